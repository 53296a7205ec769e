"""The server on real sockets: each test sends bytes to a port and waits for the answer and the end."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import inspect
import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn.server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http import flow_control, httptools_impl

from gateway.config import grammar
from gateway.errors import Refusal
from gateway.serving import server

pytestmark = pytest.mark.server

Address = tuple[str, int]
PATIENCE = 20.0  # seconds after which a test gives up; nothing below waits that long when it passes
GET = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
BUSY = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"  # is answered until a gate opens, or the client goes
LAST = b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"


class App:
    """A small ASGI app whose paths do one thing each, with events that tell a test what happened inside."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.heard: list[str] = []
        self.began = threading.Event()
        self.gone = threading.Event()
        self.gate: asyncio.Event | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.ended: list[str] = []

    def open_gate(self) -> None:
        assert self.loop is not None
        assert self.gate is not None
        self.loop.call_soon_threadsafe(self.gate.set)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
        else:
            self.calls.append(scope["path"])
            await getattr(self, scope["path"].strip("/"))(scope, receive, send)

    async def lifespan(self, receive: Any, send: Any) -> None:
        self.loop, self.gate = asyncio.get_running_loop(), asyncio.Event()
        for _ in range(2):
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self.ended.append("lifespan")
            await send({"type": message["type"] + ".complete"})

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers with the request: method, body, header names, query."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.heard.append("disconnect")
                self.gone.set()
                return
            body, more = body + message["body"], message["more_body"]
        names = [name.decode() for name, _ in scope["headers"]]
        seen = {"method": scope["method"], "body": body.decode("latin-1"), "headers": names}
        seen["query"] = scope["query_string"].decode()
        await self.whole(send, json.dumps(seen).encode())

    async def early(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers without reading the body."""
        await self.whole(send, b"early")

    async def whole(self, send: Any, body: bytes) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def wait(self, scope: Any, receive: Any, send: Any) -> None:
        """Streams one piece, then waits for the gate or a disconnect."""
        assert self.gate is not None
        scope["extensions"][server.DISCONNECT](self.notice)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            self.began.set()
            await self.gate.wait()
            await send({"type": "http.response.body", "body": b"second"})
        finally:
            await asyncio.sleep(0)
            self.ended.append("call")

    async def late(self, scope: Any, receive: Any, send: Any) -> None:
        """Asks to hear of a disconnect only after it happened."""
        await receive()
        while (await receive())["type"] != "http.disconnect":
            pass
        scope["extensions"][server.DISCONNECT](self.notice)

    async def flood(self, scope: Any, receive: Any, send: Any) -> None:
        """Streams without end."""
        scope["extensions"][server.DISCONNECT](self.notice)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.began.set()
        while not self.gone.is_set():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})

    def notice(self) -> None:
        self.heard.append("callback")
        self.gone.set()
        assert self.gate is not None
        self.gate.set()


@contextmanager
def serving(app: App, **values: Any) -> Iterator[Address]:
    """The app on a port of its own, in a thread, until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    running = server.make_server(app, grammar.Server(**values), sockets=[listener])
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        running.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def shared() -> Iterator[Address]:
    """One server with small bounds on sizes, for the tests that end on their own."""
    with serving(App(), max_body=1000, max_header_bytes=8192) as address:
        yield address


def connect(address: Address) -> socket.socket:
    return socket.create_connection(address, timeout=PATIENCE)


def rest(sock: socket.socket) -> bytes:
    """All data of the server until it ends the connection."""
    data = bytearray()
    while piece := sock.recv(65536):
        data += piece
    return bytes(data)


def talk(address: Address, *pieces: bytes) -> bytes:
    with connect(address) as sock:
        for piece in pieces:
            sock.sendall(piece)
        return rest(sock)


def answers(data: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """The responses in a byte string: status, headers, body; each with a Content-Length, as the app here sends it."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = int(headers.get("content-length", 0))
        found.append((int(lines[0].split()[1]), headers, data[:length]))
        data = data[length:]
    return found


def refusal(data: bytes) -> tuple[int, str]:
    """Status and code of the one error in `data`, whose form is checked."""
    ((status, headers, body),) = answers(data)
    error = json.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    return status, error["code"]


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
REFUSED = {
    "no Host": (b"GET /echo HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "empty Host": (b"GET /echo HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "a Host that is none": (b"GET /echo HTTP/1.1\r\nHost: a/zq b\r\n\r\n", 400),
    "a user in Host": (b"GET /echo HTTP/1.1\r\nHost: zq@b\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /echo\r\n\r\n", 400),
    "HTTP/0.9 by name": (b"GET /echo HTTP/0.9\r\n\r\n", 400),
    "HTTP/1.2": (b"GET /echo HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    "HTTP/2.0": (b"GET /echo HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a folded line": (b"GET /echo HTTP/1.1\r\nHost: a\r\nX: zq\r\n zq\r\n\r\n", 400),
    "bare LF": (b"GET /echo HTTP/1.1\nHost: a\n\n", 400),
    "bare CR in a value": (b"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\rzq\r\n\r\n", 400),
    "NUL in a value": (b"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\0zq\r\n\r\n", 400),
    "space before the colon": (b"GET /echo HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "a control character in a name": (b"GET /echo HTTP/1.1\r\nHost: a\r\nX\1zq: a\r\n\r\n", 400),
    "two Content-Lengths": (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    "a list as Content-Length": (POST + b"Content-Length: 1, 1\r\n\r\na", 400),
    "a signed Content-Length": (POST + b"Content-Length: +1\r\n\r\na", 400),
    "a Content-Length without end": (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    "Content-Length and Transfer-Encoding": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "Transfer-Encoding and Content-Length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
    "another Transfer-Encoding": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "two Transfer-Encodings": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "Transfer-Encoding twice": (POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "Transfer-Encoding in HTTP/1.0": (b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "CONNECT": (b"CONNECT zq:1 HTTP/1.1\r\nHost: zq:1\r\n\r\n", 400),
    "no path at all": (b"GET http://zq HTTP/1.1\r\nHost: zq\r\n\r\n", 400),
    "no method at all": (b"zq\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a chunk size that is none": (CHUNKED + b"zq\r\n", 400),
    "a chunk longer than it says": (CHUNKED + b"1\r\nzq\r\n0\r\n\r\n", 400),
    "a Content-Length over the limit": (POST + b"Content-Length: 1001\r\n\r\n", 413),
    "chunks over the limit": (CHUNKED + b"3e8\r\n" + b"a" * 1000 + b"\r\n1\r\na\r\n", 413),
    "65 kB of headers": (LAST[:-2] + b"X: " + b"a" * 65_000 + b"\r\n\r\n", 431),
    "headers over the limit, not ended": (LAST[:-2] + b"X: " + b"a" * 600_000, 431),
    "trailers over the limit, not ended": (CHUNKED + b"0\r\nX: " + b"a" * 600_000, 431),
    "201 headers": (LAST[:-2] + b"X: a\r\n" * 199 + b"\r\n", 431),
    "a path over the limit": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
}


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(shared: Address, sent: bytes, status: int) -> None:
    """Everything except a plain HTTP/1.1 request gets an error in OpenAI's form without its content, and the end."""
    got = talk(shared, sent)
    code = "request_too_large" if status in (413, 431) else "invalid_request"
    assert refusal(got) == (status, code)
    assert b"zq" not in got


@pytest.mark.parametrize("path", [b"/mcp", b"/mcp/it", b"/mcp/it?a=b", b"/a2a/it", b"/a2a/it/"])
def test_refused_where_json_rpc_is_spoken(shared: Address, path: bytes) -> None:
    """In the form of that protocol, which has numbers as codes."""
    for head, status, code in ((b"Content-Length: 1001", 413, -32000), (b"Content-Length: x", 400, -32600)):
        ((got, _, body),) = answers(talk(shared, b"POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n" % (path, head)))
        said = json.loads(body)
        assert (got, said["jsonrpc"], said["id"], said["error"]["code"]) == (status, "2.0", None, code)
        assert said["error"]["data"] == {"code": "request_too_large" if status == 413 else "invalid_request"}


SERVED = {
    "plain": LAST,
    "HTTP/1.0 without Host": b"GET /echo HTTP/1.0\r\n\r\n",
    "absolute form": b"GET http://b:80/echo HTTP/1.1\r\nHost: b:80\r\nConnection: close\r\n\r\n",
    "an IPv6 Host": b"GET /echo HTTP/1.1\r\nHost: [::1]:8080 \r\nConnection: close\r\n\r\n",
    "empty lines first": b"\r\n\r\n" + LAST,
    "200 headers": LAST[:-2] + b"X: a\r\n" * 198 + b"\r\n",
    "bytes above ASCII in a value": LAST[:-2] + b"X: \xe9\r\n\r\n",
    "a body of the very limit": POST + b"Content-Length: 1000\r\n\r\n" + b"a" * 1000,
    "Chunked": POST + b"Transfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("sent", SERVED.values(), ids=SERVED.keys())
def test_served(shared: Address, sent: bytes) -> None:
    """Requests that the RFC allows are served."""
    ((status, _, _),) = answers(talk(shared, sent))
    assert status == 200


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"host", b"transfer-encoding", b"content-length", b"x"]),
            st.sampled_from([b"a", b"a:1", b"a b", b"", b"chunked", b"gzip", b"7", b"1001"]),
        ),
        max_size=6,
    )
)
def test_one_reading(headers: list[tuple[bytes, bytes]]) -> None:
    """A valid head has one valid Host, at most one Transfer-Encoding, and a length within the limit."""
    lengths = [value for name, value in headers if name == b"content-length"]
    if not all(value.isdigit() for value in lengths) or len(lengths) > 1:
        return  # the parser lets none of these through
    try:
        server.check_head("1.1", b"POST", b"/", headers, grammar.Server(max_body=1000))
    except Refusal:
        return
    values = {key: [value for name, value in headers if name == key] for key, _ in headers}
    assert len(values[b"host"]) == 1
    assert values[b"host"][0] not in (b"", b"a b")
    assert values.get(b"transfer-encoding", [b"chunked"]) == [b"chunked"]
    assert all(int(value) <= 1000 for value in lengths)


@pytest.mark.parametrize("answered", [True, False])
def test_a_connection_is_freed_without_the_garbage_collector(*, answered: bool) -> None:
    """A cycle for each connection took 20 kB until the next full collection, which may never come."""
    app, freed, seen = App(), threading.Event(), list[weakref.ref[Any]]()

    def watch() -> None:
        (connection,) = running.server_state.connections
        assert isinstance(connection, server.Protocol)
        connection.sweep(asyncio.get_running_loop().time())  # the sweep remembers what it saw
        seen.append(weakref.ref(connection, lambda _: freed.set()))
        noted.set()

    noted, listener = threading.Event(), socket.create_server(("127.0.0.1", 0))
    running = server.make_server(app, grammar.Server(), sockets=[listener])
    thread = threading.Thread(target=running.run)
    gc.disable()
    try:
        thread.start()
        with connect(listener.getsockname()) as sock:
            sock.sendall(GET if answered else BUSY)
            sock.recv(65536)
            assert app.loop is not None
            app.loop.call_soon_threadsafe(watch)
            assert noted.wait(PATIENCE)
        assert freed.wait(PATIENCE)
    finally:
        gc.enable()
        running.should_exit = True
        thread.join(PATIENCE)


def test_slow_headers() -> None:
    """Connections that send their headers slowly, or nothing, all end with 408, and others are served meanwhile."""
    with serving(App(), header_timeout=1) as address:
        slow = [connect(address) for _ in range(200)]
        try:
            for number, sock in enumerate(slow):
                sock.sendall(GET[: number % (len(GET) - 2)])
            assert answers(talk(address, LAST))[0][0] == 200
            assert [refusal(rest(sock))[0] for sock in slow] == [408] * 200
        finally:
            for sock in slow:
                sock.close()
        assert answers(talk(address, LAST))[0][0] == 200


def test_slow_headers_after_an_answer() -> None:
    """The time limit for headers applies to every request on a connection, and the previous answer is complete."""
    with serving(App(), header_timeout=0.2) as address:
        served, late = answers(talk(address, GET, GET[:10]))
    assert (served[0], late[0]) == (200, 408)


def test_slow_body() -> None:
    """A body that does not arrive gets 408; the app is notified of the disconnect."""
    app = App()
    with serving(app, body_timeout=0.2) as address:
        assert refusal(talk(address, POST + b"Content-Length: 5\r\n\r\nab")) == (408, "invalid_request")
        assert app.gone.wait(PATIENCE)


def test_idle() -> None:
    """A connection without a further request ends silently, with or without empty lines."""
    with serving(App(), idle_timeout=0.2) as address:
        ((status, _, _),) = answers(talk(address, GET, b"\r\n"))
        assert status == 200


def test_unread_answer() -> None:
    """A client that does not read its answer is disconnected, and the app is notified."""
    app = App()
    with serving(app, idle_timeout=0.2) as address, connect(address) as sock:
        sock.sendall(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        assert app.gone.wait(PATIENCE)
        assert app.heard == ["callback"]


def test_body_after_the_answer() -> None:
    """A body that the app does not read is discarded; the next request is served."""
    with serving(App(), max_body=300_000) as address:
        early = b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"
        with connect(address) as sock:
            sock.sendall(early)
            assert sock.recv(65536).endswith(b"early")
            sock.sendall(b"a" * 200_000 + LAST)
            assert answers(rest(sock))[0][0] == 200


def test_too_large_while_sending() -> None:
    """A client that sends a body far too large without listening still gets to read why it was refused."""
    with serving(App(), max_body=1000) as address:
        got = talk(address, POST + b"Content-Length: 3000000\r\n\r\n", b"a" * 3_000_000)
        assert refusal(got) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("sent", "first"),
    [
        (POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", b"HTTP/1.1 100"),
        (POST + b"Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n", b"HTTP/1.1 413"),
        (b"POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", b"HTTP/1.1 200"),
    ],
)
def test_expect(shared: Address, sent: bytes, first: bytes) -> None:
    """A client gets 100 Continue only for an acceptable body, and the connection ends after it."""
    with connect(shared) as sock:
        sock.sendall(sent)
        start = sock.recv(12)
        assert start == first
        if first.endswith(b"100"):
            sock.sendall(b"abc")
        got = rest(sock)
        assert b"connection: close" in got
        assert (b'"body": "abc"' in got) == first.endswith(b"100")


def test_too_many_connections() -> None:
    """A connection beyond the limit gets a 503 with Retry-After; after another connection ends, it is accepted."""
    with serving(App(), max_connections=1) as address:
        with connect(address) as first:
            first.sendall(BUSY)
            assert first.recv(12) == b"HTTP/1.1 200"
            with connect(address) as second:
                got = rest(second)
            assert refusal(got) == (503, "overloaded")
            assert answers(got)[0][1]["retry-after"] == "1"
        statuses = iter(lambda: answers(talk(address, LAST))[0][0], 200)
        assert set(statuses) <= {503}


def test_connections_far_beyond_the_limit() -> None:
    """Past twice the limit a connection is cut without an answer."""
    with serving(App(), max_connections=1) as address, connect(address) as first:
        first.sendall(BUSY)
        assert first.recv(12) == b"HTTP/1.1 200"
        with connect(address) as second, connect(address) as third:
            assert refusal(rest(second))[0] == 503
            assert cut(third)


def cut(sock: socket.socket) -> bool:
    """True if the connection ends, or is reset, without a word."""
    try:
        return rest(sock) == b""
    except ConnectionResetError:
        return True


REQUESTS = b"".join(
    [
        b"POST /echo?n=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /echo?n=2 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /echo?n=3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nde\r\n1\r\nf\r\n0\r\nHost: b\r\n\r\n",
        b"POST /echo?n=4 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AA\r\nContent-Length: 3\r\n\r\nghi",
        b"POST /echo?n=5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    ]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(REQUESTS)), max_size=8))
def test_pipelining(shared: Address, cuts: list[int]) -> None:
    """Pipelined requests are answered completely and in order, for any cut of the bytes."""
    marks = [0, *sorted(cuts), len(REQUESTS)]
    pieces = [REQUESTS[start:end] for start, end in itertools.pairwise(marks)]
    seen = [json.loads(body) for _, _, body in answers(talk(shared, *pieces))]
    assert [item["query"] for item in seen] == ["n=1", "n=2", "n=3", "n=4", "n=5"]
    assert [item["body"] for item in seen] == ["abc", "", "def", "ghi", ""]


def test_trailers(shared: Address) -> None:
    """A trailer does not become a header."""
    ((_, _, body),) = answers(talk(shared, CHUNKED + b"0\r\nAuthorization: Bearer b\r\nX: y\r\n\r\n"))
    assert json.loads(body)["headers"] == ["host", "connection", "transfer-encoding"]


def test_an_error_waits_for_its_turn() -> None:
    """The error for a pipelined request is sent after the previous answers, not inside them."""
    app = App()
    with serving(app) as address, connect(address) as sock:
        sock.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /echo HTTP/1.1\r\n\r\n")
        assert app.began.wait(PATIENCE)
        app.open_gate()
        got = rest(sock)
    stream, _, error = got.partition(b"0\r\n\r\n")
    assert b"second" in stream
    assert refusal(error)[0] == 400
    assert app.heard == []


def test_a_bad_body_sent_ahead() -> None:
    """A pipelined request with an invalid body never starts; the request before it is answered."""
    app = App()
    bad = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"
    with serving(app) as address:
        served, refused = answers(talk(address, b"GET /early HTTP/1.1\r\nHost: a\r\n\r\n" + bad))
    assert (served[0], refused[0]) == (200, 400)
    assert app.calls == ["/early"]


def test_too_many_ahead(shared: Address) -> None:
    """A client may send only so many requests ahead; those are answered, then it ends."""
    got = answers(talk(shared, GET * 500))
    assert [status for status, _, _ in got] == [200] * (server.MAX_AHEAD + 1) + [400]


def test_disconnect() -> None:
    """The callback runs once if the client disconnects before the answer is complete."""
    app = App()
    with serving(app) as address:
        with connect(address) as sock:
            sock.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
            assert app.began.wait(PATIENCE)
        assert app.gone.wait(PATIENCE)
    assert app.heard == ["callback"]


def test_disconnect_with_a_request_ahead() -> None:
    """The callback belongs to the current request; a pipelined request after it never starts."""
    app = App()
    with serving(app) as address:
        with connect(address) as sock:
            sock.sendall(GET + b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
            assert app.began.wait(PATIENCE)
        assert app.gone.wait(PATIENCE)
    assert app.heard == ["callback"]
    assert app.calls == ["/echo", "/flood"]


def test_disconnect_before_it_was_asked_for() -> None:
    """A callback that is registered after the disconnect runs immediately."""
    app = App()
    with serving(app) as address:
        with connect(address) as sock:
            sock.sendall(b"POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
        assert app.gone.wait(PATIENCE)
    assert app.heard == ["callback"]


def test_no_disconnect_after_the_answer() -> None:
    """A client that closes after its answer, or keeps the connection, is not a disconnect."""
    app = App()
    with serving(app) as address, connect(address) as sock:
        sock.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        assert app.began.wait(PATIENCE)
        app.open_gate()
        while not sock.recv(65536).endswith(b"0\r\n\r\n"):
            pass
    assert app.heard == []


def test_stop_lets_answers_end() -> None:
    """When the server stops, an answer in progress is sent completely, then the app is notified."""
    app = App()
    listener = socket.create_server(("127.0.0.1", 0))
    running = server.make_server(app, grammar.Server(), sockets=[listener])
    thread = threading.Thread(target=running.run)
    thread.start()
    with connect(listener.getsockname()) as sock:
        sock.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        assert app.began.wait(PATIENCE)
        running.should_exit = True
        assert until_refused(listener)
        app.open_gate()
        assert rest(sock).endswith(b"second\r\n0\r\n\r\n")
    thread.join(PATIENCE)
    assert app.ended == ["call", "lifespan"]


def until_refused(listener: socket.socket) -> bool:
    """True once the listening socket is closed."""
    return poll(lambda: listener.fileno() == -1)


def poll(happened: Callable[[], bool]) -> bool:
    waiter = threading.Event()
    return any(happened() or waiter.wait(0.01) for _ in range(int(PATIENCE * 100)))


def test_stop_waits_for_what_it_cancels() -> None:
    """After the drain time, calls are cancelled and end before the app closes its stores."""
    app = App()
    with serving(app, drain=0) as address, connect(address) as sock:
        sock.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        assert app.began.wait(PATIENCE)
    assert app.ended == ["call", "lifespan"]


PROGRAM = """
import socket, sys
from gateway.config import grammar
from gateway.serving import server

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            print(message["type"], flush=True)

server.make_server(app, grammar.Server(port=0)).run()
"""


def test_sigterm() -> None:
    """SIGTERM stops the server in good order."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "lifespan.startup\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "lifespan.shutdown\n"
        assert process.wait(PATIENCE) == -signal.SIGTERM


def test_uvicorn_is_the_one_we_read() -> None:
    """The parts of uvicorn that the server leans on have not changed since they were last read."""
    source = "".join(inspect.getsource(module) for module in (httptools_impl, flow_control, uvicorn.server))
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    assert digest == "1df4030688a78142", (
        f"uvicorn's httptools protocol changed ({digest}). Compare it with the version locked before, "
        "check that gateway/serving/server.py still overrides what it means to (cycle, scope, pipeline, "
        "on_response_complete, _should_upgrade, _start_asgi_task), then write the new digest here."
    )
