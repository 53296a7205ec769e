"""The HTTP/1.1 server: uvicorn on uvloop and httptools, hardened against slow, large and ambiguous requests.

Decides whether the bytes on a connection are a valid request (RFC 9110, RFC 9112); valid requests are served by
uvicorn. Config key: `server`. Error codes: `invalid_request` (400, 408, 505), `request_too_large` (413, 431),
`overloaded` (503). Fails closed: an ambiguous request is refused, and the connection is closed.

The parser already refuses folded lines, bare CR or LF, invalid names and values, and Content-Length that is repeated,
not a number, or combined with Transfer-Encoding; `check_head` refuses further cases. A sweep over all connections, five
times a second, replaces a timer for each connection.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import httptools
import orjson
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.config import grammar
from gateway.dialects.jsonrpc import JsonRpc
from gateway.dialects.routes import ROUTES, SOCKETS
from gateway.errors import Refusal
from gateway.exchange.siblings import PEER
from gateway.serving.cycle import Cycle
from gateway.serving.peers import Peers
from gateway.serving.shares import place

_log = logging.getLogger("meshgate")
Phase = Literal["head", "body", "answer", "idle", "end"]

App = Callable[..., Awaitable[None]]
# In `scope["extensions"]`:
DISCONNECT = "meshgate.disconnect"  # registers a callback for the disconnect of the client: `Cycle.watch`
EXCHANGE = "meshgate.exchange"  # the request as `ingress.wire.Exchange`
MAX_HEADERS = 200
MAX_AHEAD = 64  # requests a client may send before the first of them is answered
LINGER = 5.0  # seconds that a closed connection is still read, so that the client can read the error (RFC 9112, 9.6)
SLOWEST = 64 * 1024  # bytes a second that a client must read of a long answer
SWEEP = 0.2  # seconds between two checks of the deadlines
BACKLOG = 2048
_SOCKETS = frozenset(path.encode() for path in SOCKETS)
# Of most requests: they need not be parsed. A template is no path, although a URL may be equal to it.
_PATHS = {path.encode(): path for path in ROUTES if "{" not in path}
# Paths of tool servers and of other agents, whose clients read errors of JSON-RPC.
_JSON_RPC = re.compile(rb"/(?:mcp(?:/[^/?]+)?|a2a/[^/?]+/?)(?:\?.*)?")
# A path that ends with a verb (Gemini's), and its query: such a URL need not be parsed, either.
_VERB = re.compile(rb"(/(?!/)[A-Za-z0-9._~:/-]*:[A-Za-z]+)(?:\?([A-Za-z0-9._~=&-]*))?")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(?::[0-9]{0,5})?")  # RFC 3986, 3.2.2


def _malformed(why: str, status: int = 400) -> Refusal:
    return Refusal("invalid_request", why, status=status)


def _too_large(why: str, status: int = 413) -> Refusal:
    return Refusal("request_too_large", why, status=status)


def check_head(
    version: str,
    method: bytes,
    url: bytes,
    headers: list[tuple[bytes, bytes]],
    to: grammar.Server,
    came: int | None = None,
) -> None:
    """Refuse request heads that the parser accepts but a gateway must not accept (RFC 9112, 2.3, 3.2, 6.1 and 6.3).

    `version` is like "1.1", header names are lower case. `came`: the bytes in which the head arrived, if
    known. Raises `Refusal` with status 400, 413, 431 or 505.
    """
    fields = dict(headers)
    long = came is None or came + len(headers) > to.max_header_bytes  # otherwise, there is nothing to add up
    if long or len(headers) > MAX_HEADERS:
        _check_size(url, headers, to)
    if version not in ("1.1", "1.0"):
        raise _malformed("This server supports HTTP/1.1 and HTTP/1.0.", 505 if version == "2.0" else 400)
    if method == b"CONNECT":
        raise _malformed("CONNECT is not supported: this is a gateway, not a forward proxy.")
    if len(fields) != len(headers):
        names = [name for name, _ in headers]
        if names.count(b"host") > 1 or names.count(b"transfer-encoding") > 1:
            raise _malformed("Host and Transfer-Encoding may occur only once in a request.")
    host = fields.get(b"host")
    if host is None and version == "1.1":
        raise _malformed("An HTTP/1.1 request needs a Host header.")
    if host is not None and not _HOST.fullmatch(host.strip(b" \t")):
        raise _malformed("The Host header is not a host name or address with an optional port.")
    coding = fields.get(b"transfer-encoding")
    if coding is not None and (version == "1.0" or coding.strip(b" \t").lower() != b"chunked"):
        raise _malformed("The only supported Transfer-Encoding is chunked, in HTTP/1.1.")
    length = fields.get(b"content-length")
    if length is not None and int(length) > to.max_body:
        raise _too_large(f"The body has {int(length)} bytes; the limit is {to.max_body}. Send a smaller one.")


def _check_size(url: bytes, headers: list[tuple[bytes, bytes]], to: grammar.Server) -> None:
    size = len(url) + sum([len(name) + len(value) + 4 for name, value in headers])
    if size > to.max_header_bytes or len(headers) > MAX_HEADERS:
        raise _too_large(f"The headers exceed {to.max_header_bytes} bytes or {MAX_HEADERS} fields. Send less.", 431)


def _error_answer(refusal: Refusal, default_headers: Sequence[tuple[bytes, bytes]], url: bytes) -> bytes:
    """The refusal as a whole HTTP response, the last on its connection.

    It has the form of JSON-RPC where the URL, as far as that has arrived, is a path of this protocol, else OpenAI's.
    """
    if _JSON_RPC.fullmatch(url):
        fault = {"code": JsonRpc().rpc(refusal), "message": refusal.message, "data": {"code": refusal.code}}
        body = orjson.dumps({"jsonrpc": "2.0", "id": None, "error": fault})
    else:
        kind = "invalid_request_error" if refusal.status < 500 else "server_error"
        error = {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}
        body = orjson.dumps({"error": error})
    headers = [
        *default_headers,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        (b"x-meshgate-code", refusal.code.encode()),
    ]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(refusal.retry_after)))
    lines = [b"%s: %s\r\n" % header for header in headers]
    return b"".join([STATUS_LINE[refusal.status], *lines, b"\r\n", body])


def _peer(headers: list[tuple[bytes, bytes]]) -> tuple[str, int] | None:
    """The client of a request that another worker hands over."""
    given = next((value for name, value in headers if name == PEER), None)
    return None if given is None else (given.decode("latin-1"), 0)


Begin = Callable[[Cycle], Awaitable[None]]
"""Serves a request."""
Direct = Callable[[str, bytes], Begin | None]
"""The application's own way to serve a POST to a path with a query; None without one: see `Gateway.direct`."""


def _nothing(_: str, __: bytes) -> None:
    """Any other ASGI application has no way of its own."""


class Protocol(HttpToolsProtocol):
    """One connection. The sweep derives its phase from what it has, so a request has no extra cost."""

    def __init__(self, config: _Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.settings = config.settings
        self.patience = config.patience
        self.waiting: tuple[Phase, Cycle | None, int] | None = None  # as the last sweep saw it
        self.since = 0.0  # since when, in the loop's clock
        self.unread = 0  # bytes received since the last headers or the last byte of body
        self.body_bytes = 0
        self.cycle: Cycle | None = None  # type: ignore[assignment]  # the last request of which the head was read
        self.begun = False  # a head has begun to arrive, and is not complete
        self.running: Cycle | None = None  # the request being answered
        self.ahead: deque[tuple[Cycle, Begin]] = deque()  # requests that wait, with what serves them
        self.direct: Direct = getattr(self.app, "direct", _nothing)
        self._dated: tuple[object, bytes] = (None, b"")  # uvicorn's headers of every answer, and the same as lines
        self.last_words: bytes | None = None  # the error that ends the connection; later input is discarded
        self.ended = False  # the last words were sent
        self.peers = config.peers
        self.place = ""
        self.known = False  # a call on this connection had a valid key
        self.leaving = False
        self.upgraded = False  # the connection is that of a WebSocket
        self.born = 0.0
        self.inner = False  # the connection is that of another worker
        self.backlog: float | None = None  # deadline for the client to read pending data

    # the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.place, self.born = place(self.client), self.loop.time()
        self.url = b""
        self.since = self.born
        if self.inner:
            return
        victim, why = self.peers.join(self, self.born)
        if len(self.connections) > 2 * self.peers.limit:
            transport.abort()
        elif victim is self:
            self._refuse(Refusal("overloaded", f"{why}. Try again shortly.", retry_after=1))
        elif victim is not None:
            victim.let_go(f"{why}, and this one was idle. Try again shortly.")

    def rank(self) -> tuple[bool, float] | None:
        """The sort key for closing if there are too many connections: see `peers`."""
        phase = self.phase()
        return (self.known, self.since) if phase == "idle" or (phase == "head" and not self.known) else None

    def let_go(self, why: str) -> None:
        """Close this waiting connection in favour of another."""
        if self.phase() == "head":
            refusal = Refusal("overloaded", why, retry_after=1)
            self.transport.write(_error_answer(refusal, self.server_state.default_headers, b""))
        self.transport.close()

    def know(self) -> None:
        """The key of a call on this connection was found valid."""
        self.known = True

    def connection_lost(self, exc: Exception | None) -> None:
        """In place of uvicorn's, which expects its own cycles."""
        self.connections.discard(self)
        self.peers.leave(self)
        self.ahead.clear()
        self.flow.resume_writing()
        self._disconnect(self.cycle)
        self._disconnect(self.running)
        self.cycle = self.running = self.waiting = None  # each holds the connection: freed without the collector
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.last_words is not None:
            return
        self.unread += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            (self._upgrade if self._may_upgrade() else self._decline_upgrade)(rest)
        except httptools.HttpParserError as error:
            cause = error.__context__
            why = "The request is not well-formed HTTP/1.1 (RFC 9112)."
            self._refuse(cause if isinstance(cause, Refusal) else _malformed(why))
        else:
            if self.unread > self.settings.max_header_bytes:
                why = f"The headers exceed {self.settings.max_header_bytes} bytes. Send less."
                self._refuse(_too_large(why, 431))

    # the parser, and the requests: in place of uvicorn's callbacks, which make its own cycles

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.begun = True

    def on_headers_complete(self) -> None:
        parser, headers, url = self.parser, self.headers, self.url
        version, method = parser.get_http_version(), parser.get_method()
        check_head(version, method, url, headers, self.settings, self.unread)
        if self.inner:
            self.client = _peer(headers)
        if len(self.ahead) >= MAX_AHEAD:
            raise _malformed(f"More than {MAX_AHEAD} requests were sent ahead of their answers.")
        self.unread = self.body_bytes = 0
        if parser.should_upgrade():
            return  # `data_received` declines the offer
        waits = self.expect_100_continue and version != "1.0"
        # Whether the body follows an answer that came before "100 Continue" is the client's choice, so the end of such
        # a request cannot be known (RFC 9110, 10.1.1).
        lasts = version != "1.0" and not waits and parser.should_keep_alive()
        cycle = Cycle(self, headers, keep_alive=lasts, waits=waits, bare=method == b"HEAD")
        path = _PATHS.get(url) if method == b"POST" else None
        begin = self.direct(path, b"") if path is not None else None
        if begin is None and method == b"POST" and (plain := _VERB.fullmatch(url)) is not None:
            begin = self.direct(plain[1].decode("ascii"), plain[2] or b"")
        if begin is None:
            begin = partial(self._by_scope, self._scope(version, method.decode("ascii"), url, headers))
        self.headers = []  # trailers must not join the headers that the app reads (RFC 9110, 6.5.1)
        before, self.cycle, self.begun = self.cycle, cycle, False
        if before is None or before.response_complete:
            self._start(cycle, begin)
        else:
            self.flow.pause_reading()
            self.ahead.append((cycle, begin))

    def _by_scope(self, scope: dict[str, Any], cycle: Cycle) -> Awaitable[None]:
        """Have the ASGI application serve a request."""
        scope["extensions"] = {DISCONNECT: cycle.watch, EXCHANGE: cycle}
        serve: App = self.app
        return serve(scope, cycle.receive, cycle.send)

    def _scope(self, version: str, method: str, url: bytes, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        """The request as ASGI describes it (spec version 2.3), without its extensions."""
        parsed = httptools.parse_url(url)
        path = parsed.path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": method,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": parsed.path,
            "query_string": parsed.query or b"",
            "headers": headers,
            "state": self.app_state.copy(),
        }

    def on_body(self, body: bytes) -> None:
        self.unread = 0
        self.body_bytes += len(body)
        if self.body_bytes > self.settings.max_body:
            raise _too_large(f"The body exceeds {self.settings.max_body} bytes. Send a smaller one.")
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and cycle.take(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """The body is complete. Reading continues, to detect a disconnect."""
        cycle = self.cycle
        if cycle is not None and not self.begun and not cycle.response_complete:
            cycle.more_body = False
            cycle.stir()
        if not self.ahead:
            self.flow.resume_reading()

    def _should_upgrade(self) -> bool:
        return True  # uvicorn then starts no request for it and leaves it to `data_received`

    def _may_upgrade(self) -> bool:
        """Whether the request is the beginning of a WebSocket on a path that serves one."""
        if not self.settings.websockets or self.cycle is not None or self.parser.get_method() != b"GET":
            return False
        offers = [value.strip().lower() for name, value in self.headers if name == b"upgrade"]
        return offers == [b"websocket"] and self.url.partition(b"?")[0] in _SOCKETS

    def _upgrade(self, rest: bytes) -> None:
        """Hand the connection over to the protocol of WebSockets; `rest` is what came after the head."""
        from gateway.serving.upgrade import Socket  # an extra

        line = b"GET %s HTTP/1.1\r\n" % self.url
        lines = [b"%s: %s\r\n" % header for header in self.headers]
        self.upgraded = True
        self.connections.discard(self)
        socket = Socket(self.config, self.server_state, self.app_state, lambda: self.peers.leave(self))
        socket.connection_made(self.transport)
        self.transport.set_protocol(socket)
        socket.data_received(b"".join([line, *lines, b"\r\n", rest]))

    def _decline_upgrade(self, rest: bytes) -> None:
        """Serve a request that offers an upgrade as if it did not (RFC 9110, 7.8).

        For the parser, such a request ends with its headers: parse it again without the offer; `rest` is its body.
        """
        line = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        lines = [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"".join([line, *lines, b"\r\n", rest]))

    # the app

    def _start(self, cycle: Cycle, begin: Begin) -> None:
        self.running = cycle
        task = self.loop.create_task(cycle.run(begin))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    @property
    def always(self) -> bytes:
        """Header lines of every answer: the date."""
        headers = self.server_state.default_headers
        if self._dated[0] is not headers:  # uvicorn makes a new list each second
            self._dated = headers, b"".join([b"%b: %b\r\n" % header for header in headers])
        return self._dated[1]

    def on_response_complete(self) -> None:
        """As uvicorn's, without its timer for idle connections."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.ahead:
            self._start(*self.ahead.popleft())
        elif self.last_words is not None:
            self._end()

    def _disconnect(self, cycle: Cycle | None) -> None:
        """The app gets `http.disconnect`; further output is discarded."""
        if cycle is not None and not cycle.response_complete:
            cycle.lose()

    # the end

    def phase(self) -> Phase:
        """What the connection waits for: headers, a body, the app, another request, or its own end."""
        cycle = self.cycle
        if self.ended or self.transport.is_closing():
            return "end"
        if self.last_words is not None or self.upgraded:
            return "answer"
        if cycle is None or self.begun:
            return "head"
        if cycle.response_complete:
            return "idle"
        return "body" if cycle.more_body else "answer"

    def sweep(self, now: float) -> None:
        """Close the connection if a deadline has passed. `now` is in seconds of the loop's clock."""
        phase, unsent = self.phase(), self.transport.get_write_buffer_size()
        if self._stalls(now, unsent, answered=phase == "idle"):
            self.transport.abort()
            return
        waiting = (phase, self.cycle, unsent)
        if waiting != self.waiting or (self.flow.read_paused and phase in ("head", "body")):
            self.waiting, self.since = waiting, now
        elif now - self.since > (self.settings.idle_timeout if unsent else self.patience[phase]):
            self._overdue(phase, unsent)

    def _stalls(self, now: float, unsent: int, *, answered: bool) -> bool:
        """Whether the client has exceeded the deadline for reading pending data."""
        if not (self.flow.write_paused or (unsent and answered)):
            self.backlog = None
        elif self.backlog is None:
            self.backlog = now + self.settings.write_timeout + unsent / SLOWEST
        else:
            return now > self.backlog
        return False

    def resume_writing(self) -> None:
        """The client has read most of the pending data."""
        self.backlog = None
        super().resume_writing()

    def _overdue(self, phase: Phase, unsent: int) -> None:
        if unsent or phase == "end":
            self.transport.abort()
        elif phase == "idle":
            self.transport.close()
        else:
            part = "headers" if phase == "head" else "body"
            why = f"The {part} did not arrive within {self.patience[phase]:g} seconds."
            self._refuse(_malformed(why, 408))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with an error, after the answers still due, and end the connection."""
        self.last_words = _error_answer(refusal, self.server_state.default_headers, self.url)
        if self.cycle is not None and not self.begun:  # the error is in the body of this request
            if self.ahead:
                self.ahead.pop()
            elif self.cycle.response_started:
                self.last_words = b""
            self._disconnect(self.cycle)
        if self.running is None or self.running.response_complete or self.running.disconnected:
            self._end()

    def _end(self) -> None:
        """Send the last words, and let the client read them: closing with unread input would reset the connection."""
        self.ended = True
        if self.last_words is not None and not self.transport.is_closing():
            self.transport.write(self.last_words)
            self.transport.write_eof()


class _Config(uvicorn.Config):
    """uvicorn's configuration with our settings added: the only object that a protocol gets."""

    def __init__(self, app: App, settings: grammar.Server) -> None:
        self.settings = settings
        self.peers: Peers[Protocol] = Peers(settings.max_connections, settings.address_share)
        self.patience: dict[Phase, float] = {
            "head": settings.header_timeout,
            "body": settings.body_timeout,
            "answer": math.inf,
            "idle": settings.idle_timeout,
            "end": LINGER,
        }
        super().__init__(
            app,
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http=Protocol,
            ws="none",  # `Protocol` changes over itself
            ws_max_size=settings.max_body,
            ws_per_message_deflate=False,
            lifespan="on",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=True,
            backlog=BACKLOG,
            timeout_graceful_shutdown=math.ceil(settings.drain),
        )


class Server(uvicorn.Server):
    """uvicorn's server with the sweep, and a stop in which cancelled calls are settled before the stores close."""

    def __init__(self, config: _Config, sockets: list[socket.socket] | None, door: Path | None) -> None:
        super().__init__(config)
        self._settings = config
        self._sockets = sockets
        self._door = door

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await super().serve(sockets or self._sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._door is not None:
            await self._open_door(self._door)
        self._sweep(asyncio.get_running_loop())

    async def _open_door(self, path: Path) -> None:
        """Listen to other workers, unless the system takes no such path."""
        try:
            loop = asyncio.get_running_loop()
            self.servers.append(await loop.create_unix_server(self._inner, str(path), backlog=BACKLOG))
        except OSError as fault:
            _log.error("other workers cannot hand calls over, as %s is no path of a socket: %s", path, fault)

    def _inner(self) -> Protocol:
        """The protocol of a connection of another worker."""
        made = Protocol(self._settings, server_state=self.server_state, app_state=self.lifespan.state)
        made.inner = True
        return made

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if (leave := getattr(self.config.app, "leave", None)) is not None:
            leave()
        await super().shutdown(sockets)
        if self._door is not None:
            self._door.unlink(missing_ok=True)
        self._next_sweep.cancel()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, Protocol):
                connection.sweep(now)
        self._next_sweep = loop.call_later(SWEEP, self._sweep, loop)

    async def _wait_tasks_to_complete(self) -> None:
        try:
            await super()._wait_tasks_to_complete()
        except asyncio.CancelledError:  # `server.drain` has passed
            tasks = list(self.server_state.tasks)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=LINGER)
            raise


def make_server(
    app: App, settings: grammar.Server, *, sockets: list[socket.socket] | None = None, door: Path | None = None
) -> Server:
    """A server for an ASGI 3 app, for `run()` or `await serve()`. SIGTERM and SIGINT stop it within `drain` seconds.

    `sockets`: bound sockets to listen on, in place of `settings.host` and `settings.port`. `door`: the path of a socket
    for other workers, which say whose requests they hand over.
    """
    return Server(_Config(app, settings), sockets, door)
