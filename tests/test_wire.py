"""The line as a plain ASGI application, and the answer's way on the gateway's own server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import uvicorn
import yaml
from hypothesis import given
from hypothesis import strategies as st

import upstream as scripted
from gateway.config.load import load
from gateway.ingress.wire import AsgiExchange
from gateway.serving.app import Gateway
from gateway.serving.cycle import Connection, Cycle
from line import KEYS, config

SCOPE = {"type": "http", "headers": [], "client": ("127.0.0.1", 1)}


@contextlib.contextmanager
def elsewhere(folder: Path, settings: dict[str, Any]) -> Iterator[httpx.Client]:
    """A client of a gateway that uvicorn serves with its own protocol, without what our server adds."""
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings))
    ready = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    app = Gateway(load(path), path, lambda _: ready.set())
    server = uvicorn.Server(uvicorn.Config(app, http="httptools", ws="none", log_config=None, lifespan="on"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    ready.wait()
    headers = {"authorization": f"Bearer {next(iter(KEYS.values()))}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", headers=headers) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.mark.parametrize("origins", [[], ["https://page.example"]], ids=["direct", "with CORS"])
def test_another_server_serves_the_line(up: scripted.Upstream, tmp_path: Path, origins: list[str]) -> None:
    """Whole, streamed, refused, and a body that arrives in many pieces."""
    body: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hello " * 20_000}]}
    origin = {"origin": "https://page.example"}
    with elsewhere(tmp_path, config(tmp_path, up.url, server={"cors": origins})) as client:
        whole = client.post("/v1/chat/completions", json=body, headers=origin)
        assert whole.status_code == 200
        assert whole.json()["choices"][0]["message"]["content"]
        assert int(whole.headers["content-length"]) == len(whole.content)
        assert (whole.headers.get("access-control-allow-origin") is not None) == bool(origins)
        streamed = client.post("/v1/chat/completions", json={**body, "stream": True}, headers=origin)
        assert streamed.status_code == 200
        assert streamed.text.endswith("data: [DONE]\n\n")
        assert client.get("/v1/chat/completions").status_code == 405
        assert client.get("/v1/models").status_code == 200
        assert client.post("/v1/chat/completions", json=body, headers={"authorization": "x"}).status_code == 401


async def test_the_watch_leaves_the_body_to_its_reader() -> None:
    """On another server, the watch for a disconnect begins once the body was read; then the disconnect is told."""
    pieces: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    gone = asyncio.Event()

    async def send(_: dict[str, Any]) -> None:
        raise AssertionError("nothing is sent")

    exchange = AsgiExchange(cast(Any, SCOPE), pieces.get, send)
    exchange.watch(gone.set)
    for _ in range(5):
        await asyncio.sleep(0)
    pieces.put_nowait({"type": "http.request", "body": b"a", "more_body": True})
    pieces.put_nowait({"type": "http.request", "body": b"b", "more_body": False})
    assert [(await exchange.receive())["body"] for _ in range(2)] == [b"a", b"b"]
    assert not gone.is_set()
    pieces.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(gone.wait(), 10)
    exchange.unwatch()


class Socket:
    """A connection that keeps what is written."""

    client = ("127.0.0.1", 1)
    always = b"date: today\r\n"

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = self.answered = 0
        self.transport = self.flow = self
        self.write_paused = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed += 1

    def is_closing(self) -> bool:
        return self.closed > 0

    def on_response_complete(self) -> None:
        self.answered += 1


def cycle(**options: bool) -> tuple[Socket, Cycle]:
    """A request on such a connection."""
    end = Socket()
    wanted = {"keep_alive": True, "waits": False, "bare": False, **options}
    return end, Cycle(cast(Connection, end), [], **wanted)


async def test_a_whole_answer_is_one_write() -> None:
    """Status, headers and body."""
    end, one = cycle()
    await one.put(b"hello", more=False, head=(200, [(b"content-length", b"5")]))
    assert end.written == [b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 5\r\n\r\nhello"]
    assert (end.closed, end.answered, one.response_complete) == (0, 1, True)
    with pytest.raises(RuntimeError):
        await one.put(b"more", more=False)


async def test_a_stream_is_chunked() -> None:
    """The headers leave with the first piece; an empty piece writes nothing."""
    end, one = cycle(keep_alive=False)
    await one.put(b"a", more=True, head=(200, []))
    await one.put(b"", more=True)
    await one.put(b"bc", more=False)
    assert end.written == [
        b"HTTP/1.1 200 OK\r\ndate: today\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n",
        b"2\r\nbc\r\n0\r\n\r\n",
    ]
    assert end.closed == 1


@given(
    st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=8)), max_size=3),
    st.sampled_from([b"", b"\n", b"\r\nx: y", b"\0", b"\x7f"]),
)
def test_no_header_breaks_its_line(headers: list[tuple[bytes, bytes]], bad: bytes) -> None:
    """Whatever names and values are, either nothing is written, or each is one line."""
    end, one = cycle()
    given_ = [*headers, (b"x-last", b"v" + bad)]
    try:
        asyncio.run(one.put(b"", more=False, head=(200, given_)))
    except (RuntimeError, ValueError):
        assert not end.written
        return
    [data] = end.written
    lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    ours = {b"date: today", b"connection: close", b"transfer-encoding: chunked"}
    assert [line for line in lines[1:] if line not in ours] == [name.lower() + b": " + value for name, value in given_]


@pytest.mark.parametrize(("said", "sent"), [(b"5", b"1234"), (b"3", b"1234")])
async def test_a_length_that_is_wrong(said: bytes, sent: bytes) -> None:
    """Nothing is written."""
    end, one = cycle()
    with pytest.raises(RuntimeError):
        await one.put(sent, more=False, head=(200, [(b"content-length", said)]))
    assert not end.written


async def test_what_goes_to_a_client_that_has_gone() -> None:
    """Is discarded; the watch hears of the client once, and one that begins later hears immediately."""
    end, one = cycle()
    heard: list[str] = []
    one.watch(lambda: heard.append("gone"))
    one.lose()
    one.lose()
    one.watch(lambda: heard.append("late"))
    await one.put(b"hello", more=False, head=(200, [(b"content-length", b"5")]))
    assert (end.written, heard) == ([], ["gone", "late"])
    assert (await one.receive())["type"] == "http.disconnect"
