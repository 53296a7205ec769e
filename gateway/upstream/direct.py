"""A client for calls to providers: HTTP/1.1 (RFC 9112) on httptools, POST only.

Connections are pooled by origin. Redirects, cookies and proxies are not followed, kept or used. The parser is as strict
as llhttp, except that a line may end in a bare LF (RFC 9112, 2.2) and blanks may follow the size of a chunk.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Final

import aiohappyeyeballs
import httptools
from multidict import CIMultiDict, MultiMapping

from gateway.upstream.client import AT_ONCE, KEEP_ALIVE, Broken, Destination, Malformed, authorization

MAX_HEAD: Final = (
    256 * 1024
)  # bytes of a status line and headers, and of trailers: what stands before a provider may send long ones
_HIGH: Final = 128 * 1024  # bytes that nobody has read yet, above which no more is taken from the socket
_PIECE: Final = 256 * 1024  # bytes of a request that are handed to the socket at once
_NEXT_ADDRESS: Final = 0.25  # seconds after which another address of a host is tried as well (RFC 8305, section 5)
_OURS: Final = frozenset({"content-length", "transfer-encoding", "connection", "expect", "upgrade"})
_UNSAFE: Final = ("\r", "\n", "\0")
Origin = tuple[str, str, int]


class DirectClient:
    """The client. For one event loop."""

    def __init__(self) -> None:
        self._idle: dict[Origin, list[_Connection]] = {}
        self._open: set[_Connection] = set()
        self._context: ssl.SSLContext | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def post(self, to: Destination, body: bytes) -> DirectResponse:
        """Send a body; returns when the head of the answer has come. Raises TimeoutError, or another OSError."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        url = to.url
        origin = url.scheme, url.raw_host or "", url.port or 0
        if not to.head:
            to.head.append(_head(to))
        head = b"%bContent-Length: %d\r\n\r\n" % (to.head[0], len(body))
        connection = self._pooled(origin)
        if connection is not None:
            response = DirectResponse(loop, connection, to, begun)
            try:
                await connection.send(response, head, body)
            except ConnectionError:
                if connection.heard or loop.time() - begun > AT_ONCE:
                    raise
            else:
                return response
            begun = loop.time()
        connection = await self._connect(origin, to)
        response = DirectResponse(loop, connection, to, begun)
        await connection.send(response, head, body)
        return response

    async def close(self) -> None:
        """Close all connections."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._open):
            connection.abort()
        self._idle.clear()

    def _pooled(self, origin: Origin) -> _Connection | None:
        """The connection that was used last."""
        waiting = self._idle.get(origin)
        if not waiting:
            return None
        connection = waiting.pop()
        return connection if not connection.transport.is_closing() else self._pooled(origin)

    async def _connect(self, origin: Origin, to: Destination) -> _Connection:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(min(to.timeouts.connect, to.timeouts.total)):
            addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            made = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS if len(addresses) > 1 else None, loop=loop
            )
            try:
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if scheme == "https":
                    name = host.rstrip(".")
                    _, connection = await loop.create_connection(
                        lambda: _Connection(self, origin, loop), sock=made, ssl=self._tls(), server_hostname=name
                    )
                else:
                    _, connection = await loop.create_connection(lambda: _Connection(self, origin, loop), sock=made)
            except BaseException:
                made.close()
                raise
        return connection

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context

    def opened(self, connection: _Connection) -> None:
        """A connection was made."""
        self._open.add(connection)

    def keep(self, connection: _Connection) -> None:
        """A connection has served a call and can serve another."""
        self._idle.setdefault(connection.origin, []).append(connection)
        if self._sweep is None:
            self._sweep = connection.loop.call_later(KEEP_ALIVE, self._expire)

    def lost(self, connection: _Connection) -> None:
        """A connection has ended."""
        self._open.discard(connection)
        waiting = self._idle.get(connection.origin)
        if waiting is not None and connection in waiting:
            waiting.remove(connection)

    def _expire(self) -> None:
        """Close what was idle for too long; connections stand in the order of their last use."""
        self._sweep = None
        first = float("inf")
        for origin, waiting in list(self._idle.items()):
            for connection in list(waiting):
                if connection.since + KEEP_ALIVE > connection.loop.time():
                    first = min(first, connection.since)
                    break
                waiting.remove(connection)
                connection.abort()
            if not waiting:
                del self._idle[origin]
                continue
        if self._idle:
            loop = next(iter(self._idle.values()))[0].loop
            self._sweep = loop.call_later(max(1.0, first + KEEP_ALIVE - loop.time()), self._expire)


class _Connection(asyncio.Protocol):
    """One connection: parses answers, and hands them to the exchange that is on."""

    def __init__(self, client: DirectClient, origin: Origin, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self.origin = origin
        self.loop = loop
        self.transport: asyncio.Transport
        self.heard = False  # bytes have come since the request was sent
        self.since = 0.0  # since when it is idle, in the loop's clock
        self._response: DirectResponse | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._head = 0  # bytes of headers and trailers
        self._framed = False  # by a length or in chunks: else the body lasts until the connection ends
        self._unread = 0  # bytes since the beginning of the head, or of the trailers
        self._interim = False  # the head is that of a 1xx answer
        self._body = False  # the head has come
        self._whole = False
        self._lasts = False  # the connection outlives the answer
        self._extra = False  # more came than one answer
        self._drain: asyncio.Future[None] | None = None
        self._writing = True  # the transport takes more
        self._sender: asyncio.Task[None] | None = None

    # sending

    async def send(self, response: DirectResponse, head: bytes, body: bytes) -> None:
        """Send a request, and wait for the head of the answer."""
        self._response = response
        self.heard = self._body = self._whole = self._framed = False
        self._unread = 0
        try:
            if len(body) <= _PIECE:
                self.transport.write(head + body)
            else:
                self.transport.write(head)
                self._sender = self.loop.create_task(self._pieces(body))
            await response.begun()
        except BaseException:
            response.close()
            raise

    async def _pieces(self, body: bytes) -> None:
        """A long body, as fast as the provider takes it: other calls get their turn, and an early answer is heard."""
        view = memoryview(body)
        for at in range(0, len(body), _PIECE):
            if self.transport.is_closing():
                return
            self.transport.write(bytes(view[at : at + _PIECE]))
            if not self._writing:
                self._drain = self.loop.create_future()
                await self._drain
            else:
                await asyncio.sleep(0)

    def pause_writing(self) -> None:
        self._writing = False

    def resume_writing(self) -> None:
        self._writing = True
        drain, self._drain = self._drain, None
        if drain is not None and not drain.done():
            drain.set_result(None)

    # the socket

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self._client.opened(self)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        response = self._response
        if response is None:  # nobody asked
            self.abort()
            return
        response.stirred()
        self._unread += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._whole = self._extra = True
        except httptools.HttpParserError as error:
            if not self._whole:
                response.fail(Malformed(f"the answer is not HTTP/1.1 ({type(error).__name__})"))
                self.abort()
                return
            self._extra = True
        if self._whole:
            self._done(response)
        elif self._unread > MAX_HEAD:
            response.fail(Malformed("the head of the answer is too large"))
            self.abort()
        else:
            response.came()

    def eof_received(self) -> None:
        """Nothing more will come: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.lost(self)
        self._writing = True
        self.resume_writing()
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None
        response, self._response = self._response, None
        if response is None:
            return
        if self._body and not self._framed and exc is None:
            response.end()
        else:
            fault = Broken("the connection ended before the answer was whole")
            fault.__cause__ = exc
            response.fail(fault)

    def abort(self) -> None:
        """End the connection at once."""
        self.transport.abort()

    def leave(self) -> None:
        """The exchange is given up."""
        self._response = None
        self.abort()

    def _done(self, response: DirectResponse) -> None:
        """The answer is whole: the connection can serve another call, if all of the request has left."""
        self._response = None
        sender, self._sender = self._sender, None
        sent = sender is None or sender.done()
        if sender is not None:
            sender.cancel()
        if response.paused:
            self.transport.resume_reading()
        if not sent:
            self.abort()
        elif self._extra or not self._lasts or self.transport.is_closing():
            self.transport.close()
        else:
            self.since = self.loop.time()
            self._client.keep(self)
        response.end()

    # the parser

    def on_message_begin(self) -> None:
        if self._whole:
            self._extra = True
        self._headers, self._head = CIMultiDict(), 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value) + 4
        if self._head > MAX_HEAD:
            raise ValueError("too large")
        if self._body:  # a trailer
            return
        self._headers.add(name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))

    def on_headers_complete(self) -> None:
        if self._whole:
            return
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200 and status != 101
        if self._interim:
            return
        self._unread = 0
        self._body, self._lasts = True, self._parser.should_keep_alive()
        headers = self._headers
        self._framed = "content-length" in headers or "transfer-encoding" in headers
        assert self._response is not None
        self._response.begin(status, headers)

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        if self._response is not None and not self._whole:
            self._response.take(body)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        else:
            self._whole = True


class DirectResponse:
    """One exchange, and its answer as it comes."""

    __slots__ = (
        *("_connection", "_deadline", "_fault", "_idle", "_last", "_loop", "_parts", "_size", "_timer", "_waiter"),
        *("_over", "headers", "paused", "status"),
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: _Connection, to: Destination, begun: float) -> None:
        self._loop = loop
        self._connection: _Connection | None = connection
        self._deadline = begun + to.timeouts.total
        self._idle = to.timeouts.idle
        self._last = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._look(self._last)
        self._waiter: asyncio.Future[None] | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._fault: Exception | None = None
        self._over = False
        self.paused = False
        self.status = 0
        self.headers: MultiMapping[str] = CIMultiDict()

    # for the line

    @property
    def length(self) -> int:
        """Bytes that the provider says the body has; 0 where it does not."""
        said = self.headers.get("content-length", "")
        return int(said) if said.isdecimal() else 0

    async def begun(self) -> None:
        """Wait for the head."""
        while not self.status:
            if self._fault is not None:
                raise self._fault
            await self._wait()

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._parts:
            if self._fault is not None:
                raise self._fault
            if self._over:
                raise StopAsyncIteration
            await self._wait()
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self._size = 0
        if self.paused:
            self.paused = False
            if self._connection is not None:
                self._last = self._loop.time()
                self._connection.transport.resume_reading()
        return data

    async def read(self, most: int) -> bytes:
        """What comes of the body first: at most so many bytes, at least one unless it is empty."""
        return (await anext(self, b""))[:most]

    def release(self) -> None:
        """The body was read to its end."""
        if not self._over:
            self.close()

    def close(self) -> None:
        """Nothing more is wanted."""
        connection, self._connection = self._connection, None
        self._stop()
        if connection is not None and not self._over:
            self._over = True
            connection.leave()

    # for the connection

    def begin(self, status: int, headers: MultiMapping[str]) -> None:
        """The head has come."""
        self.status, self.headers = status, headers

    def take(self, data: bytes) -> None:
        """Some of the body has come."""
        self._parts.append(data)
        self._size += len(data)

    def stirred(self) -> None:
        """Bytes have come."""
        self._last = self._loop.time()

    def came(self) -> None:
        """What has come can be read."""
        if self._size > _HIGH and not self.paused and self._connection is not None:
            self.paused = True
            self._connection.transport.pause_reading()
        if self._parts or self.status:
            self._wake()

    def end(self) -> None:
        """The body is whole."""
        self._over, self._connection = True, None
        self.paused = False
        self._stop()
        self._wake()

    def fail(self, fault: Exception) -> None:
        """The exchange has failed; what has come can still be read."""
        if self._over or self._fault is not None:
            return
        self._fault, self._connection = fault, None
        self._stop()
        self._wake()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _look(self, now: float) -> None:
        self._timer = self._loop.call_later(min(self._deadline, self._last + self._idle) - now, self._check)

    def _check(self) -> None:
        """Whether a deadline has passed. While nobody reads, the provider is not silent: it is not listened to."""
        now = self._loop.time()
        if self.paused:
            self._last = now
        if now < self._deadline and now < self._last + self._idle:
            self._look(now)
            return
        self._timer = None
        connection = self._connection
        self.fail(TimeoutError("the provider was silent for too long"))
        if connection is not None:
            connection.leave()


def _head(to: Destination) -> bytes:
    """The request line and headers, but for the length of the body. Raises ValueError for what no header may be."""
    url = to.url
    lines = [f"POST {url.raw_path_qs} HTTP/1.1"]
    if "Host" not in to.headers:
        lines.append(f"Host: {url.host_port_subcomponent}")
    if "Accept" not in to.headers:
        lines.append("Accept: */*")
    basic = authorization(url)
    if basic:
        lines.append(f"Authorization: {basic}")
    for name, value in to.headers.items():
        if name.lower() in _OURS or (basic and name.lower() == "authorization"):
            continue
        if any(mark in value or mark in name for mark in _UNSAFE):
            raise ValueError(f"the header {name!r} of a provider holds a line break")
        lines.append(f"{name}: {value}")
    return "".join(f"{line}\r\n" for line in lines).encode()
