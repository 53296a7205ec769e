"""The interface of an HTTP client: send a call, return the answer as it arrives.

Two clients implement it: `direct`, which has only what is needed here, and `library`, which is aiohttp. Both send a
call again, once and on a new connection, if the provider had already closed the pooled connection, unless the call may
not be sent twice.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Protocol

from multidict import CIMultiDict, MultiMapping
from yarl import URL

AT_ONCE: Final = 5.0  # seconds within which a write fails on a connection that was closed before
KEEP_ALIVE: Final = 30.0  # seconds that an idle connection is kept
WARM: Final = 2.0  # seconds in which hardly any server closes an idle connection


class Broken(ConnectionError):
    """The connection ended before the answer was complete."""


class Malformed(ConnectionError):
    """The answer is not HTTP/1.1."""


class Late(TimeoutError):
    """A time limit has passed. The words complete a sentence about the provider, and name the limit."""


class Timeouts(NamedTuple):
    """Time limits of one exchange, in seconds: in total, to connect, between two pieces of the answer, for the first.

    `first`: None for `idle`.
    """

    total: float
    connect: float
    idle: float
    first: float | None = None

    @property
    def first_byte(self) -> float:
        """Seconds until the first byte of the body."""
        return self.idle if self.first is None else self.first

    def connected(self) -> Late:
        """No connection in time."""
        return Late(f"did not accept a connection within {min(self.connect, self.total):g} s (connect_timeout)")

    def begun(self) -> Late:
        """No beginning of an answer in time."""
        name = "idle_timeout" if self.first is None else "first_byte_timeout"
        return Late(f"did not begin to answer within {self.first_byte:g} s ({name})")

    def stirred(self) -> Late:
        """Silence in the middle of an answer."""
        return Late(f"fell silent in the middle of its answer, for {self.idle:g} s (idle_timeout)")

    def ended(self) -> Late:
        """No end of the answer in time."""
        return Late(f"did not complete its answer within {self.total:g} s (timeout)")


@dataclass(frozen=True, slots=True)
class Destination:
    """The URL of calls, their headers and time limits. Created once.

    `head`: a cache for the client, for the encoded bytes before the length of the body. `once`: the call has an effect,
    so it is not sent again if its connection ends before an answer: nobody knows whether the server had read the call.
    """

    url: URL
    headers: CIMultiDict[str]
    timeouts: Timeouts
    method: str = "POST"
    head: list[bytes] = field(default_factory=list, compare=False)
    once: bool = False

    def having(self, extra: Iterable[tuple[str, str]]) -> Destination:
        """The same destination with further headers, which replace headers of the same name."""
        headers = self.headers.copy()
        for name, value in extra:
            headers[name] = value
        return Destination(self.url, headers, self.timeouts, self.method, once=self.once)

    def sent_once(self) -> Destination:
        """The same destination for a call that is not sent twice."""
        return replace(self, once=True)

    def below(self, path: str, method: str) -> Destination:
        """What is below this URL, with the same headers and query. `path`: encoded, with a query of its own."""
        place, _, query = path.partition("?")
        own = self.url.raw_query_string
        asked = "&".join(filter(None, (own, query)))
        url = f"{str(self.url).partition('?')[0]}{place}{'?' if asked else ''}{asked}"
        return Destination(URL(url, encoded=True), self.headers, self.timeouts, method, once=self.once)


class Response(Protocol):
    """An answer whose head has arrived. Reading raises TimeoutError, or another OSError if the body breaks off."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> MultiMapping[str]:
        """The headers, by case-insensitive name."""
        ...

    def values(self, name: bytes) -> Sequence[str]:
        """The values of one header, by its name in lower case; empty without the header."""
        ...

    @property
    def length(self) -> int:
        """The Content-Length of the body in bytes; 0 without one."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the body is known to have been read to its end."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        ...

    async def read(self, most: int) -> bytes:
        """The first bytes of the body: at most `most`, at least one unless the body is empty."""
        ...

    def release(self) -> None:
        """The body was read to its end: the connection may serve another call."""

    def close(self) -> None:
        """Give up the exchange: the connection closes."""


class Written(Protocol):
    """What a client tells of a call while it waits. `written`: the call is on a connection, and may have been read."""

    written: bool


class Client(Protocol):
    """Sends calls, and keeps a pool of connections."""

    async def post(self, to: Destination, body: bytes, told: Written | None = None) -> Response:
        """Send a body, by the method of its destination; returns once the head of the answer has arrived.

        Raises TimeoutError, or another OSError.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""


def authorization(url: URL) -> str:
    """The value of Authorization for a URL with a user or a password (RFC 7617); "" for a URL without both."""
    if url.user is None and url.password is None:
        return ""
    return "Basic " + base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode("latin-1")).decode()
