"""Names of errors in Google's APIs (google.rpc.Code, google.rpc.ErrorInfo), which Gemini and A2A use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.bodies import Json

STATUSES: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The names of statuses, by the HTTP status."""


def info(reason: str, domain: str, metadata: Mapping[str, str]) -> Json:
    """The detail that names the reason of an error."""
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": reason, "domain": domain, "metadata": dict(metadata)}
