"""Cross-origin requests of browsers (WHATWG Fetch, section 3.2): preflights, and what lets a page read an answer.

Config key: `server.cors`, off by default. Holds for `/v1/` alone: the admin API is for no page. Keys travel in headers
that a page sets itself, and no cookie is read: `Access-Control-Allow-Credentials` is never sent, so that `*` may be
configured. Fails closed: what a page of another origin asks for is answered without these headers, and its browser
keeps the answer from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.dialects.routes import METHODS, MODELS
from gateway.ingress.request import header

Scope = Mapping[str, Any]

PATHS: Final = "/v1/"
EXPOSED: Final = b", ".join(
    [
        *(b"x-request-id", b"x-correlation-id", b"x-meshgate-code", b"x-meshgate-state", b"x-should-retry"),
        *(b"retry-after", b"retry-after-ms", b"ratelimit", b"ratelimit-policy", b"server-timing"),
        *(b"x-ratelimit-%s-requests" % what for what in (b"limit", b"remaining", b"reset")),
        *(b"x-ratelimit-%s-tokens" % what for what in (b"limit", b"remaining", b"reset")),
        b"idempotent-replayed",
    ]
)
"""The headers of an answer that a page may read, beside those that every page may."""
_MAX_AGE = b"600"  # seconds that a browser may remember a preflight: an origin that was taken out is gone by then
_NAMES = re.compile(rb"[A-Za-z0-9_-]{1,64}(?:[ \t]*,[ \t]*[A-Za-z0-9_-]{1,64}){0,63}")


def allowed(scope: Scope, origins: Sequence[str]) -> bytes:
    """The origin that may read the answer, as the answer has to name it; nothing where there is none."""
    origin = header(scope["headers"], b"origin") if scope["path"].startswith(PATHS) else b""
    if not origin:
        return b""
    if "*" in origins:
        return b"*"
    return origin if origin.decode("latin-1") in origins else b""


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks if it may send a request."""
    return scope["method"] == "OPTIONS" and bool(header(scope["headers"], b"access-control-request-method"))


def preflight(scope: Scope, origin: bytes) -> list[tuple[bytes, bytes]]:
    """What lets a browser send the request. It may carry any header: without cookies none can do harm.

    A path that is not served may be asked for as well, so that the page can read why it is not.
    """
    path = scope["path"]
    methods = METHODS.get(MODELS if path.startswith(MODELS) else path, "GET, POST, OPTIONS")
    wanted = header(scope["headers"], b"access-control-request-headers")
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", methods.encode()),
        *([(b"access-control-allow-headers", wanted)] if _NAMES.fullmatch(wanted) else ()),
        (b"access-control-max-age", _MAX_AGE),
        (b"vary", b"Origin, Access-Control-Request-Headers"),
    ]


def readable(send: Any, origin: bytes) -> Any:
    """`send`, with the headers that let a page read the answer."""
    more = (
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", EXPOSED),
        (b"vary", b"Origin"),
    )

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return sending
