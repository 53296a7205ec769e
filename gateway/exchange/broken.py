"""Answers of providers that are not valid."""

from __future__ import annotations

from gateway.call import Call
from gateway.errors import Refusal


def garbage(call: Call, what: str) -> Refusal:
    """The refusal for an answer that is not valid; `what` describes the answer."""
    return Refusal(
        "upstream_error",
        f"The provider {call.outcome.provider} answered with {what}. Try again later.",
        stage="upstream",
    )
