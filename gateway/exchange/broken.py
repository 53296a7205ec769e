"""Answers of providers that are not valid."""

from __future__ import annotations

from gateway.call import Call, Json
from gateway.dialects import items, surrogates
from gateway.dialects.items import Caps
from gateway.errors import Refusal


class TooMuch(ValueError):
    """An answer has more values or levels of nesting than the bounds allow."""


def loaded(raw: bytes, caps: Caps) -> tuple[Json, bool]:
    """The object that a whole answer is, and whether halves of characters were replaced in it.

    Raises TooMuch for an answer beyond the bounds, ValueError for one that is no JSON object.
    """
    if items.has_more_values(raw, caps.values):
        raise TooMuch(caps.words("values"))
    if items.is_deep(raw):
        raise TooMuch(f"more than {items.MOST_LEVELS} levels of nesting")
    body, mended = surrogates.loads(raw)
    if type(body) is not dict:
        raise ValueError("it is no object")
    return body, mended


def garbage(call: Call, what: str) -> Refusal:
    """The refusal for an answer that is not valid; `what` describes the answer."""
    return Refusal(
        "upstream_error",
        f"The provider {call.outcome.provider} answered with {what}. Try again later.",
        stage="upstream",
    )
