"""Sends a refusal in the caller's dialect, also in the middle of a stream. Messages of upstreams are judged first."""

from __future__ import annotations

from gateway.call import Call
from gateway.errors import Refusal
from gateway.ingress.reply import Reply


async def refuse(call: Call, refusal: Refusal, reply: Reply) -> None:
    """Send a refusal in the dialect of the caller, also in the middle of a stream."""
    refusal.stage = refusal.stage or call.stage
    if refusal.said or refusal.terms:
        _add_judged_words(call, refusal)
    own = call.runtime.own
    refusal.hints = {name: value for name, value in refusal.hints.items() if not own.holds(f"{name}: {value}".encode())}
    call.refusal = refusal
    if call.keeper is not None:  # before the caller gets the refusal, so that a retry finds the key free
        await call.keeper.abandon()
    await reply.refuse(refusal)


def _add_judged_words(call: Call, refusal: Refusal) -> None:
    """Append the message of the provider if the output filter passes it."""
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
