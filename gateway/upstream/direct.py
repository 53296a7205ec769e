"""A client for calls to providers: HTTP/1.1 (RFC 9112) on httptools, without an answer to HEAD.

Connections are pooled by origin. The client follows no redirect, keeps no cookie and uses no proxy. The parser is as
strict as llhttp, except that a line may end in a bare LF (RFC 9112, 2.2) and blanks may follow the size of a chunk.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final

import aiohappyeyeballs
import httptools

from gateway.upstream.client import AT_ONCE, KEEP_ALIVE, WARM, Broken, Destination, Malformed, Written, authorization
from gateway.upstream.direct_response import DirectResponse
from gateway.upstream.public import NotPublic, is_public

MAX_HEAD: Final = 256 * 1024
"""Bytes of a status line with headers, or of trailers: a proxy of the provider may send long headers."""
_PIECE: Final = 256 * 1024  # bytes of a request that are handed to the socket at once
_NEXT_ADDRESS: Final = 0.25  # seconds after which another address of a host is tried as well (RFC 8305, section 5)
_OURS: Final = frozenset({"content-length", "transfer-encoding", "connection", "expect", "upgrade"})
_UNSAFE: Final = ("\r", "\n", "\0")
Origin = tuple[str, str, int]


class DirectClient:
    """The client. For one event loop. `public`: only hosts all of whose addresses are public."""

    def __init__(self, *, public: bool = False) -> None:
        self._public = public
        self._idle: dict[Origin, list[_Connection]] = {}
        self._open: set[_Connection] = set()
        self._context: ssl.SSLContext | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def post(self, to: Destination, body: bytes, told: Written | None = None) -> DirectResponse:
        """Send a body; returns once the head of the answer has arrived. Raises TimeoutError, or another OSError."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        url = to.url
        origin = url.scheme, url.raw_host or "", url.port or 0
        if not to.head:
            to.head.append(_head(to))
        head = b"%bContent-Length: %d\r\n\r\n" % (to.head[0], len(body))
        connection = self._pooled(origin, WARM if to.once else KEEP_ALIVE)
        if connection is not None:
            response = DirectResponse(loop, connection, to, begun)
            if told is not None:
                told.written = True
            try:
                await connection.send(response, head, body)
            except ConnectionError:
                if to.once or connection.heard or loop.time() - begun > AT_ONCE:
                    raise
            else:
                return response
            begun = loop.time()
            if told is not None:
                told.written = False
        try:
            connection = await self._connect(origin, to)
        except TimeoutError:
            raise to.timeouts.connected() from None
        except UnicodeError:  # such as a label of 64 characters
            raise OSError("no host can have this name") from None
        response = DirectResponse(loop, connection, to, begun)
        if told is not None:
            told.written = True
        await connection.send(response, head, body)
        return response

    async def close(self) -> None:
        """Close all connections."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._open):
            connection.abort()
        self._idle.clear()

    def _pooled(self, origin: Origin, longest: float) -> _Connection | None:
        """The connection that was used last; None if none is idle, or none was used in the last `longest` seconds."""
        waiting = self._idle.get(origin)
        if not waiting or waiting[-1].since + longest < waiting[-1].loop.time():
            return None
        connection = waiting.pop()
        return connection if not connection.transport.is_closing() else self._pooled(origin, longest)

    async def _connect(self, origin: Origin, to: Destination) -> _Connection:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(min(to.timeouts.connect, to.timeouts.total)):
            addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            if self._public and not all(is_public(str(address[4][0])) for address in addresses):
                raise NotPublic("the host has an address that is not public")
            connected = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS if len(addresses) > 1 else None, loop=loop
            )
            try:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if scheme == "https":
                    name = host.rstrip(".")
                    _, connection = await loop.create_connection(
                        lambda: _Connection(self, origin, loop), sock=connected, ssl=self._tls(), server_hostname=name
                    )
                else:
                    _, connection = await loop.create_connection(
                        lambda: _Connection(self, origin, loop), sock=connected
                    )
            except BaseException:
                connected.close()
                raise
        return connection

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context

    def opened(self, connection: _Connection) -> None:
        """A connection is open."""
        self._open.add(connection)

    def keep(self, connection: _Connection) -> None:
        """A connection has served a call and can serve another call."""
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
        """Close connections that were idle for too long; the lists are in the order of last use."""
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
    """One connection: parses answers, and hands them to the current exchange."""

    def __init__(self, client: DirectClient, origin: Origin, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self.origin = origin
        self.loop = loop
        self.transport: asyncio.Transport
        self.heard = False  # bytes have arrived since the request was sent
        self.since = 0.0  # when the connection became idle, in the loop's clock
        self._response: DirectResponse | None = None
        self._bodies: list[bytes] = []  # parts of the body of one read
        self.on_body = self._bodies.append  # of the parser, which calls it for every chunk
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)
        self._headers: list[tuple[bytes, bytes]] = []
        self._head = 0  # bytes of headers and trailers
        self._framed = False  # the body has a length or chunks; otherwise it lasts until the connection ends
        self._unread = 0  # bytes since the beginning of the head, or of the trailers
        self._interim = False  # the head belongs to a 1xx answer
        self._body = False  # the head has arrived
        self._whole = False
        self._size = 0  # parts of the body in the read that completed the answer
        self._lasts = False  # the connection stays open after the answer
        self._extra = False  # more than one answer has arrived
        self._drain: asyncio.Future[None] | None = None
        self._writing = True  # the transport accepts more
        self._sender: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    # sending

    async def send(self, response: DirectResponse, head: bytes, body: bytes) -> None:
        """Send a request, and wait for the head of the answer."""
        self._response = response
        self.look_at(response.due)
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
        """Send a long body at the pace of the provider: other calls get their turn, and early answers are read."""
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

    # deadlines: one timer for all exchanges of the connection, which is mostly there already

    def look_at(self, when: float) -> None:
        """Look at the deadlines of the exchange at this time of the loop, or earlier."""
        timer = self._timer
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timer = self.loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._response is not None:
            self._response.check(self.loop.time())

    # the socket

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self._client.opened(self)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        response = self._response
        if response is None:  # data without a request
            self.abort()
            return
        response.stirred()
        self._unread += len(data)
        fault: Malformed | None = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._extra = True
            self._complete()
        except httptools.HttpParserError as error:
            if not self._whole:
                fault = Malformed(f"the answer is not HTTP/1.1 ({type(error).__name__})")
            self._extra = True
        if self._bodies:
            self._unread = 0
            response.take(self._bodies[: self._size] if self._whole else self._bodies)
            self._bodies.clear()
        if fault is not None:
            response.fail(fault)
            self.abort()
        elif self._whole:
            self._done(response)
        elif self._unread > MAX_HEAD:
            response.fail(Malformed("the head of the answer is too large"))
            self.abort()
        else:
            response.came()

    def eof_received(self) -> None:
        """The provider sends nothing more: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.lost(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._writing = True
        self.resume_writing()
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None
        del self._parser  # it holds the connection, which is freed without the collector
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
        """End the connection immediately."""
        self.transport.abort()

    def leave(self) -> None:
        """End the connection: the exchange was given up."""
        self._response = None
        self.abort()

    def _done(self, response: DirectResponse) -> None:
        """The answer is complete: the connection can serve another call, if the whole request was sent."""
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
        self._headers, self._head = [], 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value) + 4
        if self._head > MAX_HEAD:
            raise ValueError("too large")
        if self._body:  # a trailer
            return
        self._headers.append((name, value))

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
        names = {name.lower(): value for name, value in headers}
        self._framed = b"content-length" in names or b"transfer-encoding" in names
        assert self._response is not None
        self._response.begin(status, headers, names)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        else:
            self._complete()

    def _complete(self) -> None:
        """The answer is complete: what follows is no part of it."""
        if not self._whole:
            self._whole, self._size = True, len(self._bodies)


def _head(to: Destination) -> bytes:
    """The request line and headers, without Content-Length. Raises ValueError for a header with a line break."""
    url = to.url
    lines = [f"{to.method} {url.raw_path_qs} HTTP/1.1"]
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
            raise ValueError(f"the header {name!r} of a provider contains a line break")
        lines.append(f"{name}: {value}")
    return "".join(f"{line}\r\n" for line in lines).encode()
