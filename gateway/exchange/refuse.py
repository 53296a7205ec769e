"""A refusal in the caller's format, also in the middle of a stream. An upstream's own words are judged before."""

from __future__ import annotations

from gateway.call import Call
from gateway.errors import Refusal
from gateway.ingress.reply import Reply


async def refuse(call: Call, refusal: Refusal, reply: Reply) -> None:
    """Say no in the caller's format, also in the middle of a stream."""
    refusal.stage = refusal.stage or call.stage
    if refusal.said or refusal.terms:
        _add_judged_words(call, refusal)
    own = call.runtime.own
    refusal.hints = {name: value for name, value in refusal.hints.items() if not own.holds(f"{name}: {value}".encode())}
    call.refusal = refusal
    if call.keeper is not None:  # before the caller hears of it, so that the next try finds the key free
        await call.keeper.abandon()
    await reply.refuse(refusal)


def _add_judged_words(call: Call, refusal: Refusal) -> None:
    """A provider's own explanation joins the message if the output filter lets it pass."""
    screen, own = call.runtime.filter(call), call.runtime.own
    try:
        said = screen.text(refusal.said) if screen is not None else refusal.said
        passed = {
            name: term
            for name, term in refusal.terms.items()
            if (screen is None or screen.text(term) == term) and not own.holds(term.encode())
        }
    except Refusal:
        return
    if said:
        refusal.message += f" It said: {said}"
    refusal.param = passed.pop("param", refusal.param)
    refusal.detail = {**refusal.detail, **{f"upstream_{name}": term for name, term in passed.items()}}
