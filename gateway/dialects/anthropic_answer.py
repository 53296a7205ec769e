"""Usage, service tier and errors in answers of the Messages dialect."""

from __future__ import annotations

from typing import Any, Final

from gateway.bodies import Json, Usage
from gateway.dialects import count, hosted_runs, integer
from gateway.errors import Refusal

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def usage(reported: Any) -> Usage | None:
    """The usage reported so far (reports are cumulative); None if there is no report or the report is not plausible.

    Tokens read from and written to a cache are not part of the provider's `input_tokens`, but of our total.
    """
    if type(reported) is not dict:
        return None
    output = count(reported.get("output_tokens"))
    if output is None:
        return None
    read, written = (integer(reported.get(f"cache_{what}_input_tokens")) for what in ("read", "creation"))
    details = reported.get("output_tokens_details")
    return Usage(
        input=integer(reported.get("input_tokens")) + read + written,
        output=output,
        cached=read,
        reasoning=integer(details.get("thinking_tokens")) if type(details) is dict else 0,
        tier=tier(reported),
        cache_write=written,
        runs=hosted_runs.told(reported),
    )


def tells_input(reported: Any) -> bool:
    """Whether a usage report contains the input tokens; without them, an answer would be charged no input."""
    return type(reported) is dict and count(reported.get("input_tokens")) is not None


def tier(reported: Any) -> str:
    """The service tier in the usage; "" if there is none."""
    if type(reported) is not dict:
        return ""
    speed = reported.get("speed")
    said = speed if speed not in (None, "standard") else reported.get("service_tier")
    return said if type(said) is str and len(said) <= 64 else ""


def error(said: Json) -> Json | None:
    """The error object of an answer or an event."""
    found = said.get("error")
    if said.get("type") not in ("error", None) or not found:
        return None
    return found if type(found) is dict else {"message": found}


def refused(refusal: Refusal, request_id: str) -> Json:
    """`{"type": "error", "error": {type, message}}`, with the code and the detail of the refusal in the error."""
    kind = _TYPES.get(refusal.status) or ("invalid_request_error" if refusal.status < 500 else "api_error")
    inner = {"type": kind, "message": refusal.message, "code": refusal.code, "param": refusal.param, **refusal.detail}
    return {"type": "error", "error": inner, "request_id": request_id}
