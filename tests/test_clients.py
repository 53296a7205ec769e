"""The contract of `upstream.client.Client`, on sockets: both clients behave alike."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from multidict import CIMultiDict
from yarl import URL

from certificates import issue
from gateway.upstream.client import Client, Destination, Late, Response, Timeouts
from gateway.upstream.direct import MAX_HEAD, DirectClient
from gateway.upstream.library import LibraryClient

TIMEOUTS = Timeouts(30, 5, 30)
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer k"}
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Clients = Callable[[], Client]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=[DirectClient, LibraryClient])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    made: Client = request.param()
    yield made
    await made.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of one request."""
    head = await reader.readuntil(b"\r\n\r\n")
    named = head.lower().split(b"content-length: ")  # a GET without a body may have none
    length = int(named[1].split(b"\r\n")[0]) if len(named) > 1 else 0
    return head, await reader.readexactly(length)


class Server:
    """Answers each request with the next entry of `answers`, in its pieces; None closes the connection."""

    def __init__(self, *answers: list[bytes] | bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while self.answers:
                self.requests.append(await read_request(reader))
                answer = self.answers.pop(0)
                if answer is None:
                    break
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.closed.set()


@asynccontextmanager
async def listening(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await handler(reader, writer)
            writer.close()
            await writer.wait_closed()  # what was written has left
        except (asyncio.CancelledError, ConnectionError):
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for _ in range(3):  # turns in which a connection that was just accepted gets its task
            await asyncio.sleep(0)
        for task in running:
            task.cancel()
        await asyncio.gather(*running)
        for _ in range(3):  # turns of the loop in which connections that were cut are closed
            await asyncio.sleep(0)


def to(url: str, timeouts: Timeouts = TIMEOUTS, **headers: str) -> Destination:
    return Destination(URL(f"{url}/v1/chat?a=b"), CIMultiDict({**HEADERS, **headers}), timeouts)


async def whole(response: Response) -> bytes:
    finished = False
    try:
        body = b"".join([data async for data in response.chunks()])
        finished = True
    finally:
        response.release() if finished else response.close()
    return body


BODIES = {
    "length": [OK],
    "in chunks": [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"],
    "with trailers": [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: y\r\n\r\n"],
    "blanks after sizes": [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n"],
    "bare LF": [b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok"],
    "interim": [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n", OK],
    "byte by byte": [OK[at : at + 1] for at in range(len(OK))],
}


@pytest.mark.parametrize("name", sorted(BODIES))
async def test_bodies_are_read_and_connections_used_again(client: Client, name: str) -> None:
    """With any framing of the body; the next call uses the same connection."""
    server = Server(BODIES[name], BODIES[name])
    async with listening(server.serve) as url:
        there = to(url)
        for _ in range(2):
            response = await client.post(there, b"{}")
            assert (response.status, await whole(response)) == (200, b"ok")
    assert server.connections == 1
    assert [body for _, body in server.requests] == [b"{}", b"{}"]


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_what_is_below_a_destination(client: Client, method: str) -> None:
    """By another method, without a body, with the same headers; the connection serves other calls as well."""
    server = Server(OK, OK)
    async with listening(server.serve) as url:
        there = Destination(URL(f"{url}/v1/responses"), CIMultiDict(HEADERS), TIMEOUTS)
        for at, body in ((there.below("/resp_1/items?limit=2&include%5B%5D=a", method), b""), (there, b"{}")):
            response = await client.post(at, body)
            assert (response.status, await whole(response)) == (200, b"ok")
    assert server.connections == 1
    (head, empty), (plain, _) = server.requests
    assert head.startswith(f"{method} /v1/responses/resp_1/items?limit=2&include%5B%5D=a HTTP/1.1\r\n".encode())
    assert b"authorization: bearer k\r\n" in head.lower()
    assert empty == b""
    assert plain.startswith(b"POST /v1/responses HTTP/1.1\r\n")


@pytest.mark.parametrize("name", sorted(BODIES))
async def test_a_body_that_was_read_has_ended(client: Client, name: str) -> None:
    """As soon as its last piece was read, or one attempt later; never while a piece is left."""
    server = Server(BODIES[name])
    async with listening(server.serve) as url:
        response = await client.post(to(url), b"{}")
        chunks, body = response.chunks(), b""
        while not response.ended and (piece := await anext(chunks, b"")):
            body += piece
        assert (body, response.ended) == (b"ok", True)
        response.release()


async def test_values_of_headers(client: Client) -> None:
    """By name in lower case, however it was written; several in their order; none."""
    head = b"HTTP/1.1 200 OK\r\nX-Two: a\r\nContent-Type: a/b\r\nx-two: b, c\r\ncontent-length: 2\r\n\r\nok"
    server = Server([head])
    async with listening(server.serve) as url:
        response = await client.post(to(url), b"{}")
        assert list(response.values(b"x-two")) == ["a", "b, c"]
        assert list(response.values(b"content-type")) == ["a/b"]
        assert not response.values(b"x-none")
        assert response.headers.getall("X-TWO") == ["a", "b, c"]
        assert response.length == 2
        await whole(response)


async def test_a_request_is_what_was_asked_for(client: Client) -> None:
    """One request line, each header once, and a length."""
    server = Server(OK)
    async with listening(server.serve) as url:
        await whole(await client.post(to(url).having([("authorization", "Bearer other")]), b"body"))
    head, body = server.requests[0]
    first, *lines = head.decode().rstrip().split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert first == "POST /v1/chat?a=b HTTP/1.1"
    assert body == b"body"
    assert fields["authorization"] == "Bearer other"
    assert (fields["host"], fields["content-length"]) == (url.removeprefix("http://"), "4")
    assert len(lines) == len(fields)


async def test_a_user_in_the_url_is_an_authorization(client: Client) -> None:
    """RFC 7617."""
    server = Server(OK)
    async with listening(server.serve) as url:
        there = Destination(URL(url.replace("//", "//me:secret@")), CIMultiDict({"X": "y"}), TIMEOUTS)
        await whole(await client.post(there, b""))
    assert b"authorization: basic bwu6c2vjcmv0\r\n" in server.requests[0][0].lower()


async def test_no_header_holds_a_line_break(client: Client) -> None:
    """A header of the configuration cannot become two."""
    server = Server(OK)
    async with listening(server.serve) as url:
        with pytest.raises(ValueError, match=r"."):
            await client.post(to(url, X="a\r\nb: c"), b"")
    assert not server.requests


UNFRAMED = b"HTTP/1.1 200 OK\r\n\r\nuntil the end"


async def test_a_body_may_last_until_the_connection_ends(client: Client) -> None:
    """RFC 9112, 6.3; the connection is not used again."""
    server = Server([UNFRAMED])
    async with listening(server.serve) as url:
        assert await whole(await client.post(to(url), b"")) == b"until the end"


BROKEN = {
    "a length": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
    "chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
    "no size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n",
}


@pytest.mark.parametrize("name", sorted(BROKEN))
async def test_a_body_that_breaks_off_is_an_error(client: Client, name: str) -> None:
    """Half an answer is an error."""
    server = Server([BROKEN[name]])
    async with listening(server.serve) as url:
        with pytest.raises(OSError, match=r"."):
            await whole(await client.post(to(url), b""))


HEADS = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncont",
    "no HTTP": b"hello\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n"
    b"2\r\nok\r\n0\r\n\r\n",
    "no number": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
    "blank in a name": b"HTTP/1.1 200 OK\r\na b: c\r\ncontent-length: 2\r\n\r\nok",
    "too long": b"HTTP/1.1 200 OK\r\n" + b"a: " + b"b" * MAX_HEAD + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", sorted(HEADS))
async def test_a_head_that_is_none_is_an_error(client: Client, name: str) -> None:
    """Also on a fresh connection, which is not tried again."""
    server = Server([HEADS[name]])
    async with listening(server.serve) as url:
        with pytest.raises(OSError, match=r"."):
            await whole(await client.post(to(url), b""))
    assert server.connections == 1


async def test_a_dead_pooled_connection_is_tried_afresh(client: Client) -> None:
    """The pooled connection returned nothing: the call is sent again, once, on a new connection."""
    server = Server(OK, None, OK)
    async with listening(server.serve) as url:
        there = to(url)
        await whole(await client.post(there, b"1"))
        assert await whole(await client.post(there, b"2")) == b"ok"
    assert server.connections == 2
    assert [body for _, body in server.requests] == [b"1", b"2", b"2"]


async def test_what_was_answered_is_not_sent_again(client: Client) -> None:
    """Half a head is an answer that broke off."""
    server = Server(OK, [b"HTTP/1.1 2"])
    async with listening(server.serve) as url:
        there = to(url)
        await whole(await client.post(there, b"1"))
        with pytest.raises(OSError, match=r"."):
            await client.post(there, b"2")
    assert [body for _, body in server.requests] == [b"1", b"2"]


@pytest.mark.parametrize("more", [OK, b"HTTP/1.1 2"])
async def test_more_than_one_answer_spoils_the_connection(client: Client, more: bytes) -> None:
    """Unrequested data must not become the answer of the next call."""
    if more != OK and isinstance(client, LibraryClient):
        pytest.skip("aiohttp takes half a head for the beginning of the next answer")
    server = Server(OK.replace(b"ok", b"1!") + more, OK)
    async with listening(server.serve) as url:
        there = to(url)
        assert await whole(await client.post(there, b"")) == b"1!"
        assert await whole(await client.post(there, b"")) == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("ended", [OK, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"], ids=["kept", "cut"])
async def test_a_connection_is_freed_without_the_garbage_collector(ended: bytes) -> None:
    """A parser holds its connection and is held by it: such a pair would wait for a full collection."""
    client, freed = DirectClient(), asyncio.Event()
    gc.disable()
    try:
        async with listening(Server(ended).serve) as url:
            response = await client.post(to(url), b"")
            watched = [weakref.ref(connection, lambda _: freed.set()) for connection in client._open]
            with contextlib.suppress(OSError):
                await whole(response)
            del response
            async with asyncio.timeout(20):
                await freed.wait()
        assert len(watched) == 1
    finally:
        gc.enable()
        await client.close()


async def test_a_provider_that_says_close_is_believed(client: Client) -> None:
    """Connection: close."""
    server = Server(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"), OK)
    async with listening(server.serve) as url:
        there = to(url)
        for _ in range(2):
            assert await whole(await client.post(there, b"")) == b"ok"
    assert server.connections == 2


async def test_closing_is_seen_by_the_provider(client: Client) -> None:
    """A caller that has left is worked for no longer."""
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        await reader.read()
        gone.set()
        writer.close()

    async with listening(endless) as url:
        response = await client.post(to(url), b"")
        assert await response.read(10) == b"ok"
        response.close()
        await asyncio.wait_for(gone.wait(), 20)
    assert gone.is_set()


class Told:
    """What a client tells of a call."""

    written = False


async def test_a_cancelled_call_says_whether_it_was_written(client: Client) -> None:
    """A call that the provider has read is; one that still waits for its connection is not."""
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await reader.read()
        writer.close()

    told = Told()
    async with listening(serve) as url:
        call = asyncio.ensure_future(client.post(to(url), b"hi", told))
        await asyncio.wait_for(asked.wait(), 20)
        call.cancel()
        await asyncio.wait([call])
    assert (call.cancelled(), told.written) == (True, True)
    accepted = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)  # the first bytes of TLS, which get no answer
        accepted.set()
        await reader.read()
        writer.close()

    told = Told()
    async with listening(mute) as url:
        call = asyncio.ensure_future(client.post(to(url.replace("http:", "https:")), b"hi", told))
        await asyncio.wait_for(accepted.wait(), 20)
        call.cancel()
        await asyncio.wait([call])
    assert (call.cancelled(), told.written) == (True, False)


async def test_a_cancelled_call_closes_its_connection(client: Client) -> None:
    """Also while the head of the answer is waited for."""
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await reader.read()
        gone.set()
        writer.close()

    async with listening(silent) as url:
        task = asyncio.ensure_future(client.post(to(url), b""))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 20)
    assert gone.is_set()


@pytest.mark.parametrize("timeouts", [Timeouts(30, 5, 0.1), Timeouts(0.1, 5, 30)])
@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"])
async def test_silence_is_a_timeout(client: Client, timeouts: Timeouts, begun: bytes) -> None:
    """Before the head and in the body; in total and between pieces."""
    held = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(begun)
        await held.wait()
        writer.close()

    async with listening(silent) as url:
        with pytest.raises(TimeoutError):
            await whole(await client.post(to(url, timeouts), b""))
        held.set()


@pytest.mark.parametrize(
    ("timeouts", "begun", "name"),
    [
        (Timeouts(30, 5, 30, 0.1), b"", "first_byte_timeout"),
        (Timeouts(30, 5, 0.1), b"", "idle_timeout"),
        (Timeouts(30, 5, 30, 0.1), b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", "first_byte_timeout"),
        (Timeouts(30, 5, 0.1, 30), b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "idle_timeout"),
        (Timeouts(0.3, 5, 30, 30), b"", "(timeout)"),
        (Timeouts(0.3, 5, 30, 30), b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "(timeout)"),
    ],
)
async def test_each_time_limit_names_itself(client: Client, timeouts: Timeouts, begun: bytes, name: str) -> None:
    """So that the operator knows which to raise."""
    held = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(begun)
        await held.wait()
        writer.close()

    async with listening(silent) as url:
        with pytest.raises(Late, match=re.escape(name)):
            await whole(await client.post(to(url, timeouts), b""))
        held.set()


async def test_nobody_there_is_an_error(client: Client) -> None:
    """A port without a listener."""
    async with listening(Server().serve) as url:
        pass
    with pytest.raises(OSError, match=r"."):
        await client.post(to(url), b"")


async def test_long_bodies_are_sent_whole(client: Client) -> None:
    """In pieces, as fast as the provider reads them."""
    server = Server(OK, OK)
    body = bytes(range(256)) * 16_384
    async with listening(server.serve) as url:
        there = to(url)
        for _ in range(2):
            assert await whole(await client.post(there, body)) == b"ok"
    assert [body == sent for _, sent in server.requests] == [True, True]


async def test_an_answer_that_comes_before_the_request_has_left(client: Client) -> None:
    """An early refusal of a long body is read, and its connection is not used again."""

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await writer.drain()
        while await reader.read(1 << 20):
            pass
        writer.close()

    async with listening(early) as url:
        response = await client.post(to(url), bytes(32 * 1024 * 1024))
        assert (response.status, await response.read(2)) == (413, b"no")
        response.close()


async def test_what_nobody_reads_stays_with_the_provider(client: Client) -> None:
    """Backpressure: little more than is read is taken from the socket."""
    sent = 0
    total = 64 * 1024 * 1024
    stuck = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(bytes(1024 * 1024))
            sent += 1024 * 1024
            draining = asyncio.ensure_future(writer.drain())
            done, _ = await asyncio.wait([draining], timeout=0.5)
            if not done:
                stuck.set()
            await draining

    async with listening(flood) as url:
        response = await client.post(to(url), b"")
        await asyncio.wait_for(stuck.wait(), 20)
        assert sent < total
        assert len(await whole(response)) == total


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_is_checked(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool) -> None:
    """An untrusted certificate is refused before anything is sent."""
    authority, certificate, key = issue(tmp_path, "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    if trusted:
        context = ssl.create_default_context(cafile=str(authority))
        monkeypatch.setattr(ssl, "create_default_context", lambda: context)
        if isinstance(client, LibraryClient):
            pytest.skip("aiohttp makes its context when it is imported")
    server = Server(OK)
    async with listening(server.serve, tls) as url:
        if trusted:
            assert await whole(await client.post(to(url), b"")) == b"ok"
        else:
            with pytest.raises(OSError, match=r"."):
                await client.post(to(url), b"")
    assert len(server.requests) == trusted


@pytest.mark.parametrize("host", [f"{'a' * 64}.example", "a..example"])
async def test_a_name_that_no_host_has(client: Client, host: str) -> None:
    """Is a fault of the connection, as is a host that nobody knows."""
    with pytest.raises(OSError, match=r"."):
        await client.post(Destination(URL(f"http://{host}/"), CIMultiDict(HEADERS), TIMEOUTS), b"{}")
