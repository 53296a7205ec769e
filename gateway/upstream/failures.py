"""The refusals for what goes wrong at a provider, and what each means for the next attempt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Literal

from gateway.errors import Refusal
from gateway.upstream import refusals
from gateway.upstream.client import Broken, Late, Malformed, Response
from gateway.upstream.inflate import Inflater, Packed
from gateway.upstream.ratelimits import told

MAX_ERROR = 64 * 1024  # bytes of an error answer that are read
FAULTS = (TimeoutError, OSError)
UNREACHED = "could not be reached"
_ERROR_TIME = 5.0  # seconds to wait for these bytes
_TRY_NEXT = frozenset({401, 402, 403, 408, 409, 425, 429, 500, 502, 503, 504, 529})
_HEALTHY = frozenset({409, 425})  # of one call, not of the provider
_SENT = (Broken, ConnectionResetError, BrokenPipeError)  # the request may have arrived
Kind = Literal["down", "cut", "slow", "limited", "denied", "busy"]


class Failed(Refusal):
    """A provider did not answer: another target may.

    down: no connection, or an error of its own. cut: a broken connection, or an answer that is none; slow: no answer in
    time; after both, the provider may have worked, and may charge for the call. limited: too many calls (429). denied:
    the key was refused. busy: this call cannot be served now, others can. `again`: what the provider says about a
    second try; None: nothing.
    """

    def __init__(
        self, kind: Kind, message: str, *, retry_after: float | None = None, again: bool | None = None
    ) -> None:
        code = "rate_limited" if kind == "limited" else "upstream_timeout" if kind == "slow" else "upstream_error"
        super().__init__(code, message, stage="upstream", retry_after=retry_after)
        self.kind = kind
        self.again = again


def broken(provider: str, fault: Exception, late: str, cut: str) -> Failed:
    """The refusal for a fault of the connection: `late` is the phrase for a timeout, `cut` for any other fault."""
    if isinstance(fault, TimeoutError):
        words = str(fault) if isinstance(fault, Late) else late
        return Failed("slow", f"The provider {provider} {words}. Try again later.")
    if isinstance(fault, Malformed):
        cut = "sent what is no HTTP/1.1"
    elif isinstance(fault, Broken) and cut == UNREACHED:
        cut = "closed the connection without an answer"
    kind: Kind = "down" if cut == UNREACHED and not isinstance(fault, _SENT) else "cut"
    return Failed(kind, f"The provider {provider} {cut} ({type(fault).__name__}). Try again later.")


def encoding(response: Response) -> str:
    """The compression of the body; "" for none. Some providers send `none`, or the encoding of the text."""
    every = response.values(b"content-encoding")
    if not every:
        return ""
    said = ",".join(every).lower().split(",")
    return ",".join([one for one in map(str.strip, said) if one not in ("", "identity", "none", "utf-8", "utf8")])


async def words(response: Response) -> bytes:
    """The body of an error answer, up to `MAX_ERROR` bytes; it may arrive in pieces, and break off."""
    parts, size = list[bytes](), 0
    try:
        with contextlib.suppress(*FAULTS):
            async with asyncio.timeout(_ERROR_TIME):
                while size < MAX_ERROR and (data := await response.read(MAX_ERROR - size)):
                    parts.append(data)
                    size += len(data)
        body = b"".join(parts)
        if packed := encoding(response):
            body, _ = Inflater(packed).feed(body, MAX_ERROR)
        return body
    except Packed:
        return b""
    finally:
        response.close()


def refusal(status: int, headers: Mapping[str, str], provider: str, body: bytes) -> Refusal:
    """The refusal for an error answer of the provider."""
    hints = refusals.hints(headers)
    again = {"true": True, "false": False}.get(hints.get("x-should-retry", ""))
    if status in (401, 402, 403):
        said = "refused the gateway's own account or credentials; the operator must look at providers." + provider
        return Failed("denied", f"The provider {provider} {said} (HTTP {status}).")
    if status in _TRY_NEXT or status >= 500 or status < 400 or again:
        kind: Kind = "limited" if status == 429 else "down" if status not in _HEALTHY and status >= 408 else "busy"
        wait = refusals.retry_after(headers, body)
        if wait is None and status == 429:
            wait = max((one.reset for one in told(headers) if one.remaining < 1), default=None)
        words = f"The provider {provider} answered with HTTP {status}. Try again later."
        failed = Failed("down" if status < 400 else kind, words, retry_after=wait, again=again)
        failed.hints = hints
        return failed
    found = Refusal(
        "invalid_request", f"The provider {provider} refused the request (HTTP {status}).", stage="upstream"
    )
    found.said, found.terms = refusals.words(body), refusals.terms(body)
    return found
