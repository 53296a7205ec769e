"""One request on a connection, and its answer: an ASGI connection for the app, and one call a piece for the data plane.

Each piece of an answer is one write, the headers together with the first piece. Decides nothing about requests: that is
`server`. Raises RuntimeError for an answer that is not valid HTTP/1.1, before a byte of it is sent.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.call import Headers
from gateway.ingress.wire import Head

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_TEXT: Final = bytes([9, *range(32, 127), *range(128, 256)])  # the bytes of a value (RFC 9110, 5.5)
_BROKEN: Final = "a header of the answer has a line break or another control character"
_LINE: Final = b"%b: %b\r\n".__mod__
_PLAIN: Final = frozenset(  # names of headers of most answers, which are written as they are
    {b"content-type", b"content-length", b"cache-control", b"x-correlation-id", b"x-request-id", b"server-timing"}
    | {b"ratelimit", b"ratelimit-policy", b"x-meshgate-code", b"retry-after", b"x-should-retry", b"x-meshgate-state"}
    | {
        b"x-ratelimit-%b-%b" % (what, of)
        for what in (b"limit", b"remaining", b"reset")
        for of in (b"requests", b"tokens")
    }
)
_MOST_NAMES: Final = 1024
_names: dict[bytes, bytes] = {}  # valid names of headers, in lower case
_log = logging.getLogger("uvicorn.error")


class Connection(Protocol):
    """The connection of a request."""

    transport: asyncio.Transport
    flow: FlowControl
    client: tuple[str, int] | None

    @property
    def always(self) -> bytes:
        """Header lines of every answer."""
        ...

    def know(self) -> None:
        """The key of a call on this connection was found valid."""

    def on_response_complete(self) -> None:
        """The answer is complete."""


class Cycle:
    """The exchange. `keep_alive`: whether the connection serves another request after it.

    `waits`: the client waits for "100 Continue". `bare`: the answer has no body. A cycle holds neither its scope nor
    its task, which hold the cycle.
    """

    __slots__ = (
        *("_bare", "_chunked", "_connection", "_continue", "_event", "_gone", "_left", "_news", "_parts", "_size"),
        *("disconnected", "headers", "keep_alive", "more_body", "response_complete", "response_started"),
    )

    def __init__(self, connection: Connection, headers: Headers, *, keep_alive: bool, waits: bool, bare: bool) -> None:
        self._connection = connection
        self.headers = headers
        self._bare = bare
        self._continue = waits
        self._gone: Callable[[], object] | None = None
        self.keep_alive = keep_alive
        self.disconnected = False
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self._event: asyncio.Event | None = None  # for a receiver that waits
        self._news = False  # something has happened since the app last received
        self._parts: list[bytes] = []
        self._size = 0
        self._chunked = False
        self._left = 0  # bytes that are missing of the announced length

    # the request

    def take(self, body: bytes) -> int:
        """A piece of the body has arrived; returns the number of bytes that the app has not received."""
        self._parts.append(body)
        self._size += len(body)
        self.stir()
        return self._size

    def stir(self) -> None:
        """Wake the app: the request goes on, has ended, or will never end."""
        self._news = True
        if self._event is not None:
            self._event.set()

    def watch(self, gone: Callable[[], object]) -> None:
        """Call `gone` once, on the event loop, if the client goes before the answer is complete; now if it has gone.

        A second registration replaces the first.
        """
        if self.disconnected:
            gone()
        else:
            self._gone = gone

    def unwatch(self) -> None:
        """End the watch."""
        self._gone = None

    @property
    def client(self) -> tuple[str, int] | None:
        """Address and port of the client."""
        return self._connection.client

    def know(self) -> None:
        """The key of the request was found valid."""
        self._connection.know()

    def lose(self) -> None:
        """The client has gone: the app gets `http.disconnect`, and further output is discarded."""
        self.disconnected = True
        self.stir()
        gone, self._gone = self._gone, None
        if gone is not None:
            gone()

    async def receive(self) -> dict[str, Any]:
        """ASGI: the next piece of the body, or the disconnect."""
        connection = self._connection
        if self._continue and not connection.transport.is_closing():
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._continue = False
        if not (self.disconnected or self.response_complete):
            connection.flow.resume_reading()
            if not self._news:
                if self._event is None:
                    self._event = asyncio.Event()
                await self._event.wait()
                self._event.clear()
            self._news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts, self._size = [], 0
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    # the answer

    async def run(self, begin: Callable[[Cycle], Awaitable[None]]) -> None:
        """Have the app answer. An app that fails gets an answer of status 500, or a closed connection."""
        try:
            await begin(self)
        except BaseException as fault:
            _log.error("Exception in ASGI application\n", exc_info=fault)
            await self._fail()
        else:
            if not self.response_complete and not self.disconnected:
                _log.error("ASGI callable returned without completing its response.")
                await self._fail()
        finally:
            self._gone = None

    async def _fail(self) -> None:
        if self.response_started:
            self._connection.transport.close()
            return
        words = b"Internal Server Error"
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(words))]
        await self.put(words, more=False, head=(500, [*headers, (b"connection", b"close")]))

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI: the status and headers, or a piece of the answer."""
        if message["type"] == "http.response.start":
            if self.response_started:
                raise RuntimeError("the answer has begun already")
            if not await self._may_write():
                return
            data = self._begin(message["status"], message.get("headers", ()))
            self._connection.transport.write(data)
        elif message["type"] == "http.response.body":
            await self.put(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected ASGI message {message['type']!r}")

    async def put(self, data: bytes, *, more: bool, head: Head | None = None) -> None:
        """A piece of the answer in one write, after `head` if it is the first. Waits while the client reads slowly."""
        if not await self._may_write():
            return
        if self.response_complete:
            raise RuntimeError("the answer is complete already")
        begun = b"" if head is None else self._begin(*head)
        if not self.response_started:
            raise RuntimeError("an answer begins with its headers")
        connection = self._connection
        if self._bare:
            data, self._left = b"", 0
        elif self._chunked:
            ending = b"" if more else b"0\r\n\r\n"
            data = b"%x\r\n%b\r\n%b" % (len(data), data, ending) if data else ending
        else:
            self._left -= len(data)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the length of the answer is not the announced one")
        if begun or data:
            connection.transport.write(begun + data if data else begun)
        if not more:
            self.response_complete = True
            self.stir()
            if not self.keep_alive:
                connection.transport.close()
            connection.on_response_complete()

    async def _may_write(self) -> bool:
        """Wait while the client reads slowly; False if it has gone."""
        flow = self._connection.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        elif self._connection.transport.is_closing():
            await asyncio.sleep(0)  # an app that writes without end would keep the loop from telling of the loss
        return not self.disconnected

    def _begin(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """The status line and headers, checked. Decides how the body is framed (RFC 9112, 6)."""
        if self.response_started:
            raise RuntimeError("the answer has begun already")
        fields = dict(headers)
        if self.keep_alive and len(fields) == len(headers) and fields.keys() <= _PLAIN:
            return self._begin_plainly(status, fields)
        lines: list[bytes] = []
        framed = closes = False
        for given, value in headers:
            name = _names[given] if given in _names else _valid(given)
            if name == b"content-length":
                self._left, framed = int(value), True
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self._chunked = framed = True
            elif name == b"connection" and b"close" in [token.strip().lower() for token in value.split(b",")]:
                self.keep_alive, closes = False, True
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        if not framed and not self._bare and status not in (204, 304):
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        said = b"".join(lines)
        # Apart from the ends of lines, headers have no control characters.
        count = len(headers) + (not self.keep_alive and not closes) + (self._chunked and not framed)
        if said.translate(None, _TEXT) != b"\r\n" * count:
            raise RuntimeError(_BROKEN)
        self.response_started = True
        self._continue = False
        return b"%b%b%b\r\n" % (STATUS_LINE[status], self._connection.always, said)

    def _begin_plainly(self, status: int, fields: dict[bytes, bytes]) -> bytes:
        """The same for an answer with names of `_PLAIN`, each once, on a connection that stays open: as most are."""
        length = fields.get(b"content-length")
        if length is not None:
            self._left = int(length)
        elif not self._bare and status not in (204, 304):
            self._chunked = True
            fields[b"transfer-encoding"] = b"chunked"
        said = b"".join(map(_LINE, fields.items()))
        if said.translate(None, _TEXT) != b"\r\n" * len(fields):
            raise RuntimeError(_BROKEN)
        self.response_started = True
        self._continue = False
        return b"%b%b%b\r\n" % (STATUS_LINE[status], self._connection.always, said)


def _valid(name: bytes) -> bytes:
    """The name of a header in lower case. Raises RuntimeError for what is no name."""
    if not _TOKEN.fullmatch(name):
        raise RuntimeError("a header of the answer has a name that is no token")
    if len(_names) < _MOST_NAMES:
        _names[name] = name.lower()
    return name.lower()
