"""Cross-origin requests of browsers (WHATWG Fetch, section 3.2): preflight requests and the headers of answers.

Config key: `server.cors`, off by default. Applies to `/v1/`, `/v1beta/`, `/mcp` and the metadata of OAuth, never to the
admin API. A page sends its key in a header, and no cookie is read: `Access-Control-Allow-Credentials` is never sent, so
`*` is a safe setting.
Fails closed: answers to a page of another origin lack these headers, and its browser does not let the page read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.dialects.routes import METHODS
from gateway.identity.resource import WELL_KNOWN
from gateway.ingress.request import header
from gateway.ingress.wire import Exchange, Head

Scope = Mapping[str, Any]

PATHS: Final = ("/v1/", "/v1beta/", "/mcp/", f"{WELL_KNOWN}/")
EXPOSED: Final = b", ".join(
    [
        *(b"x-request-id", b"x-correlation-id", b"x-meshgate-code", b"x-meshgate-state", b"x-should-retry"),
        *(b"retry-after", b"retry-after-ms", b"ratelimit", b"ratelimit-policy", b"server-timing"),
        *(b"x-ratelimit-%s-requests" % what for what in (b"limit", b"remaining", b"reset")),
        *(b"x-ratelimit-%s-tokens" % what for what in (b"limit", b"remaining", b"reset")),
        *(b"idempotent-replayed", b"x-meshgate-dropped", b"x-meshgate-cache"),
        *(b"mcp-session-id", b"www-authenticate"),
    ]
)
"""The headers of an answer that a page may read, in addition to the CORS-safelisted ones."""
_MAX_AGE = b"600"  # seconds that a browser may cache a preflight; also how long a removed origin may stay in use
_NAMES = re.compile(rb"[A-Za-z0-9_-]{1,64}(?:[ \t]*,[ \t]*[A-Za-z0-9_-]{1,64}){0,63}")


def covers(path: str) -> bool:
    """Whether answers of a path may be read by pages of some origin."""
    return f"{path}/".startswith(PATHS)


def allowed(scope: Scope, origins: Sequence[str]) -> bytes:
    """The value of `Access-Control-Allow-Origin`; empty if the origin may not read the answer."""
    origin = header(scope["headers"], b"origin")
    if not origin:
        return b""
    if "*" in origins:
        return b"*"
    return origin if origin.decode("latin-1") in origins else b""


def is_preflight(scope: Scope) -> bool:
    """Whether the request is a preflight request."""
    return scope["method"] == "OPTIONS" and bool(header(scope["headers"], b"access-control-request-method"))


def preflight(scope: Scope, origin: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of the answer to a preflight request. Any request header is allowed: without cookies, none is unsafe.

    Unknown paths are allowed too, so that the page can read the 404.
    """
    path = scope["path"]
    # The path is not looked up: what it takes, the answer to the request itself says.
    methods = METHODS.get(path, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
    wanted = header(scope["headers"], b"access-control-request-headers")
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", methods.encode()),
        *([(b"access-control-allow-headers", wanted)] if _NAMES.fullmatch(wanted) else ()),
        (b"access-control-max-age", _MAX_AGE),
        (b"vary", b"Origin, Access-Control-Request-Headers"),
    ]


def readable(scope: Scope, send: Any, origin: bytes) -> tuple[Scope, Any]:
    """Scope and `send` of a request whose answer gets the headers with which a page of `origin` may read it.

    Each answer says that it depends on the origin, also one to no page or to a page of another origin: a cache must not
    give this one to a page that may read it (WHATWG Fetch, 3.2.5).
    """
    more: tuple[tuple[bytes, bytes], ...] = ((b"vary", b"Origin"),)
    if origin:
        more = ((b"access-control-allow-origin", origin), (b"access-control-expose-headers", EXPOSED), *more)

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    extensions = scope.get("extensions") or {}
    own: Exchange | None = extensions.get("meshgate.exchange")
    if own is None:
        return scope, sending
    return {**scope, "extensions": {**extensions, "meshgate.exchange": _Readable(own, more)}}, sending


class _Readable:
    """An exchange whose answer gets more headers."""

    def __init__(self, exchange: Exchange, more: Sequence[tuple[bytes, bytes]]) -> None:
        self._put = exchange.put
        self._more = more
        self.headers, self.client, self.receive = exchange.headers, exchange.client, exchange.receive
        self.know, self.watch, self.unwatch = exchange.know, exchange.watch, exchange.unwatch

    async def put(self, data: bytes, *, more: bool, head: Head | None = None) -> None:
        """Send a piece of the answer."""
        await self._put(data, more=more, head=head and (head[0], [*head[1], *self._more]))
