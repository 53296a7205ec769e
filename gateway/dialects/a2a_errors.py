"""Errors of the A2A protocol (1.0, sections 5.4, 9.5 and 11.6): codes, and the details that name their reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from gateway.bodies import Json
from gateway.dialects import google_rpc
from gateway.dialects.jsonrpc import INVALID, PARAMS, PARSE, UNKNOWN_METHOD, Fault
from gateway.errors import Refusal

TASK_NOT_FOUND: Final = -32001
NO_PUSH: Final = -32003
NO_EXTENDED_CARD: Final = -32007
NO_VERSION: Final = -32009
ERRORS: Final[Mapping[int, tuple[int, str, str]]] = {
    TASK_NOT_FOUND: (404, "NOT_FOUND", "TASK_NOT_FOUND"),
    -32002: (400, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE"),
    NO_PUSH: (400, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED"),
    -32004: (400, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION"),
    -32005: (400, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED"),
    -32006: (500, "INTERNAL", "INVALID_AGENT_RESPONSE"),
    NO_EXTENDED_CARD: (400, "FAILED_PRECONDITION", "EXTENDED_AGENT_CARD_NOT_CONFIGURED"),
    -32008: (400, "FAILED_PRECONDITION", "EXTENSION_SUPPORT_REQUIRED"),
    NO_VERSION: (400, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED"),
    PARAMS: (400, "INVALID_ARGUMENT", "INVALID_PARAMS"),
    INVALID: (400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
    PARSE: (400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
    UNKNOWN_METHOD: (404, "NOT_FOUND", "METHOD_NOT_FOUND"),
}
"""Code of JSON-RPC -> status of HTTP, name of the status, reason."""


def info(reason: str, metadata: Mapping[str, str]) -> Json:
    """The detail that names the reason of an error."""
    return google_rpc.info(reason, "a2a-protocol.org", metadata)


def named(refusal: Refusal, rpc: int, request_id: str) -> Json:
    """The detail of a refusal. `rpc`: its code of JSON-RPC."""
    known = ERRORS.get(rpc) if isinstance(refusal, Fault) else None
    about = {"code": refusal.code, "request_id": request_id}
    said = [
        *refusal.detail.items(),
        *([("retry_after", refusal.retry_after)] if refusal.retry_after is not None else []),
    ]
    about |= {name: value if type(value) is str else orjson.dumps(value).decode() for name, value in said}
    return info(known[2] if known else refusal.code.upper(), about)
