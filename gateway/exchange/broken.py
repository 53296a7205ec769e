"""Answers that are none."""

from __future__ import annotations

from gateway.call import Call
from gateway.errors import Refusal


def garbage(call: Call, what: str) -> Refusal:
    """What becomes of an answer that is not one."""
    return Refusal(
        "upstream_error",
        f"The provider {call.outcome.provider} answered with {what}. Try again later.",
        stage="upstream",
    )
