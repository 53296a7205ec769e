"""The message of an upstream in a refusal: judged before the caller reads it."""

from __future__ import annotations

from gateway.call import Call
from gateway.errors import Refusal
from gateway.exchange.answers import Answers


def add_judged_words(call: Call, refusal: Refusal, answers: Answers) -> None:
    """Add the provider's own explanation to the message if the output filter lets it pass."""
    screen, own = answers.screen.needed(call), answers.own
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
