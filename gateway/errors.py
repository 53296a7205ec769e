"""The closed set of error codes, and the exception for refusals.

Every refusal of a call has a code of `TABLE`, which says the HTTP status, who is at fault, and whether a retry can
help. The codes are labels of the violation metric, so they are few and do not change.

Each codec writes a `Refusal` in its dialect (OpenAI, Anthropic); this module knows no dialect.
"""

from __future__ import annotations

import contextlib
import dis
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Final, Literal

Domain = Literal["caller", "policy", "limit", "upstream", "gateway"]
Stage = Literal["identify", "ingress", "reserve", "redact", "authorize", "durable", "upstream", "output", "settle"]
"""The labels of the stages, in the order of the line, for refusals, metrics, `Server-Timing` and the log."""
Failures = Callable[[str], object]
"""Counts a fault of the gateway itself, by its stage."""


@dataclass(frozen=True, slots=True)
class Code:
    """The properties of an error code: HTTP status, fault domain, and whether the same request may succeed later.

    `wait`: seconds until a retry makes sense, if the refusal knows no better.
    """

    status: int
    domain: Domain
    retry: bool = False
    wait: float | None = None


TABLE: Mapping[str, Code] = {
    "invalid_request": Code(400, "caller"),
    "unauthenticated": Code(401, "caller"),
    "model_not_found": Code(404, "caller"),
    "tool_not_found": Code(404, "caller"),
    "request_too_large": Code(413, "caller"),
    "rate_limited": Code(429, "limit", retry=True),
    "quota_busy": Code(429, "limit", retry=True),
    "quota_exceeded": Code(403, "limit"),
    "policy_denied": Code(403, "policy"),
    "approval_required": Code(403, "policy"),
    "pii_blocked": Code(403, "policy"),
    "output_blocked": Code(403, "policy"),
    "sql_blocked": Code(403, "policy"),
    "tool_not_offered": Code(403, "policy"),
    "secret_blocked": Code(403, "policy"),
    "workflow_frozen": Code(403, "limit"),
    "hop_limit": Code(403, "limit"),
    "loop_detected": Code(403, "limit"),
    "upstream_error": Code(502, "upstream", retry=True),
    "upstream_timeout": Code(504, "upstream", retry=True),
    "policy_unavailable": Code(503, "gateway", retry=True),
    "state_unavailable": Code(503, "gateway", retry=True, wait=1),
    "overloaded": Code(503, "gateway", retry=True),
}


_YIELD: Final = dis.opmap["YIELD_VALUE"]
POLICY_UNAVAILABLE: Final = "policy_unavailable"  # the rule of a decision without a policy result


class Unfinished(BaseException):
    """Work was stopped for an external reason: it continues elsewhere, or its result is no longer needed."""


class Refusal(Exception):
    """A call is not served. The message is for a human reader.

    `code` is a key of `TABLE`. `message` says what happened, the limit, what was used and what to do; it never
    contains a secret or a blocked value. `retry_after`: seconds, set only if waiting helps. `stage`: the stage that
    refused. `detail`: fields of the error object for programs (`approval_id`, `rule`).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        stage: Stage | Literal[""] = "",
        param: str | None = None,
        retry_after: float | None = None,
        status: int | None = None,
        detail: Mapping[str, object] | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        row = TABLE[code]
        super().__init__(message)
        self.code = code
        self.message = message
        self.stage: Stage | Literal[""] = stage
        self.param = param
        self.retry_after = row.wait if retry_after is None else retry_after
        self.status = status or row.status
        self.domain = row.domain
        self.retry = row.retry
        self.detail = detail or {}
        self.hints: Mapping[str, str] = {}  # headers of an upstream about retries
        self.headers = headers  # headers of the answer: `allow`, `accept-encoding`
        self.said = ""  # the message of an upstream, which is appended after the output filter has judged it
        self.terms: Mapping[str, str] = {}  # the upstream's own `code`, `type` and `param`, likewise


class NotJson(Refusal):
    """A body that is not JSON, which some dialects tell apart from one that is not valid."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid_request", message)


def uncounted(stage: str) -> None:
    """Count nothing: the `Failures` of a part that is used outside the gateway."""


def trace(fault: BaseException) -> str:
    """The type of a fault and where it was raised, without its message, which may contain a secret value."""
    return f"{type(fault).__name__}\n{''.join(traceback.format_tb(fault.__traceback__))}".rstrip()


def release(fault: BaseException | None) -> None:
    """Free what the frames of a handled fault hold: a frame that holds the fault, too, is a cycle with all of its call.

    Such cycles wait for a full garbage collection, which hardly ever comes (`serving.heap`). The fault may be one that
    other calls got, too: frames of calls that go on stay as they are.
    """
    while fault is not None:
        _clear(fault.__traceback__)
        fault.__traceback__ = None
        before, fault.__context__, fault.__cause__ = fault.__context__, None, None
        fault = before


def _clear(trace: TracebackType | None) -> None:
    while trace is not None:
        if not _is_suspended(trace.tb_frame):
            with contextlib.suppress(RuntimeError):  # it is running
                trace.tb_frame.clear()
        trace = trace.tb_next


def _is_suspended(frame: FrameType) -> bool:
    """Whether a coroutine or generator waits in a frame: before Python 3.13, `frame.clear` would close it."""
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == _YIELD


class ConfigError(Exception):
    """A mistake in the configuration, a policy or a command. The message names file, line, key and allowed values."""
