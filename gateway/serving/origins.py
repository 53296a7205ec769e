"""Which pages may reach tool servers: the check of `Origin` against DNS rebinding (MCP, basic/transports).

Config keys: `server.cors`, `server.public_url`. A page whose host name is made to point at the gateway looks like one
of the gateway itself, so a name in `Host` says nothing, except for the names of the loopback interface, which nobody
else can have. Programs send no `Origin`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.call import Headers
from gateway.config.grammar import Server
from gateway.dialects.jsonrpc import INVALID, Fault
from gateway.errors import Refusal

_LOOPBACK: Final = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")
_DEFAULTS: Final[Mapping[str, str]] = {"http": ":80", "https": ":443"}


def foreign(headers: Headers, server: Server) -> Refusal | None:
    """The refusal of a request of a page that may not call; None if it may, or if this is no request of a page."""
    origins = [value for name, value in headers if name == b"origin"]
    if not origins or "*" in server.cors:
        return None
    allowed = {*server.cors, _own(server.public_url), _local(headers)} - {""}
    if all(origin.decode("latin-1").lower() in allowed for origin in origins):
        return None
    words = "Pages of this origin may not call tool servers: the operator may add the origin to server.cors."
    return Fault(INVALID, words, status=403)


def _own(url: str) -> str:
    """The origin of the gateway as browsers write it, without a default port; "" without a URL."""
    scheme, _, place = url.lower().partition("://")
    return f"{scheme}://{place.removesuffix(_DEFAULTS.get(scheme, ''))}" if place else ""


def _local(headers: Headers) -> str:
    """The origin of the gateway for a caller on the same machine; "" for any other."""
    hosts = [value.lower() for name, value in headers if name == b"host"]
    return f"http://{hosts[0].decode()}" if len(hosts) == 1 and _LOOPBACK.fullmatch(hosts[0]) else ""
