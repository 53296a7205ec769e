"""What the line asks of an HTTP client: send a call, hand back the answer as it comes.

Two clients implement this: `direct`, which does what is needed here and no more, and `library`, which is aiohttp. Both
send a call again, once and on a new connection, if it went out on a pooled connection that the provider had closed.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from multidict import CIMultiDict, MultiMapping
from yarl import URL

AT_ONCE: Final = 5.0  # seconds in which a connection that was closed before shows that it was
KEEP_ALIVE: Final = 30.0  # seconds that an idle connection is kept


class Broken(ConnectionError):
    """The connection ended, or was broken, before the answer was whole."""


class Malformed(ConnectionError):
    """What came is not HTTP/1.1."""


class Timeouts(NamedTuple):
    """Bounds of one exchange, in seconds: as a whole, to connect, and between two pieces of the answer."""

    total: float
    connect: float
    idle: float


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a call goes, with which headers and within which time. Made once, so that clients can keep what they make
    of it in `head`: the bytes before the length of the body."""

    url: URL
    headers: CIMultiDict[str]
    timeouts: Timeouts
    head: list[bytes] = field(default_factory=list, compare=False)

    def having(self, extra: Iterable[tuple[str, str]]) -> Destination:
        """The same with further headers, each in place of one of its name."""
        headers = self.headers.copy()
        for name, value in extra:
            headers[name] = value
        return Destination(self.url, headers, self.timeouts)


class Response(Protocol):
    """An answer whose head has come. Reading raises TimeoutError, or another OSError where the body breaks off."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> MultiMapping[str]:
        """By name, in any case."""
        ...

    @property
    def length(self) -> int:
        """Bytes that the provider says the body has; 0 where it does not."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        ...

    async def read(self, most: int) -> bytes:
        """What comes of the body first: at most so many bytes, at least one unless it is empty."""
        ...

    def release(self) -> None:
        """The body was read to its end: the connection may serve another call."""

    def close(self) -> None:
        """Nothing more is wanted: the provider sees the connection close."""


class Client(Protocol):
    """Sends calls. Keeps connections for all of them."""

    async def post(self, to: Destination, body: bytes) -> Response:
        """Send a body; returns when the head of the answer has come. Raises TimeoutError, or another OSError."""
        ...

    async def close(self) -> None:
        """Close all connections."""


def authorization(url: URL) -> str:
    """The value of Authorization for a URL with a user or a password (RFC 7617); empty for one without."""
    if url.user is None and url.password is None:
        return ""
    return "Basic " + base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode("latin-1")).decode()
