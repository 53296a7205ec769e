"""Answers of calls whose event stream broke: a client of a session goes on where it was (`Last-Event-ID`)."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp.server.mcpserver import Context, MCPServer

import event_stream
import tool_server
from gateway.exchange import kept
from line import Line, config, running
from mcp_asking import ABLE, ACCEPTED, FORM, Asked
from tool_client import Client, sdk, text
from tool_server import Scripted
from waiting import eventually


@pytest.fixture(scope="module")
def served() -> Iterator[Scripted]:
    """A scripted server."""
    with tool_server.scripted() as made:
        made.tools = [tool_server.tool("get_it")]
        yield made


@pytest.fixture
def server(served: Scripted) -> Iterator[Scripted]:
    """The same, as new."""
    served.answers.clear()
    served.seen.clear()
    served.told = queue.SimpleQueue()
    yield served
    for _ in range(20):
        served.told.put({"end": True})


@pytest.fixture(scope="module")
def line(served: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before it."""
    folder = tmp_path_factory.mktemp("resumption")
    tools = {
        "it": {"mcp": served.url, "timeout": "20s", "asks": ["elicitation"]},
        "other": {"mcp": served.url, "timeout": "20s"},
    }
    settings = config(folder, "http://127.0.0.1:9/v1", tools=tools, pii={"vault_key": "A" * 43 + "="})
    with running(folder, settings) as started:
        yield started


def telling(server: Scripted) -> None:
    """The server tells what `server.told` says, one message at a time, and ends with the response."""

    def answer(message: dict[str, Any]) -> Any:
        token = message["params"].get("_meta", {}).get("progressToken")

        def write(handler: Any) -> None:
            send = event_stream.begin(handler)
            with contextlib.suppress(OSError):
                while "end" not in (said := server.told.get(timeout=10)):
                    if "progress" in said:
                        params = {"progressToken": token, **said}
                        send({"method": "notifications/progress", "params": params})
                    else:
                        send(said)
                send({"id": message["id"], "result": {"content": [{"type": "text", "text": "done"}]}})

        return write

    server.answers["tools/call"] = answer


class Events:
    """The events of a response of HTTP: pairs of id and message."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self._lines = response.iter_lines()
        self.id = ""

    def next(self) -> Any:
        """The next message."""
        for one in self._lines:
            if one.startswith("id: "):
                self.id = one[4:]
            elif one.startswith("data: "):
                return json.loads(one[6:])
        raise EOFError

    def rest(self) -> list[Any]:
        """All messages to the end."""
        found = []
        with contextlib.suppress(EOFError):
            while True:
                found.append(self.next())
        return found


def opened(line: Line, *, path: str = "/mcp/it", agent: str = "alice", version: str = "2025-11-25") -> str:
    """A session."""
    params = {"protocolVersion": version, "capabilities": ABLE, "clientInfo": {"name": "t", "version": "1"}}
    return str(Client(line, path, agent).send("initialize", params).headers["mcp-session-id"])


@contextlib.contextmanager
def calling(line: Line, session: str, *, path: str = "/mcp/it", tool: str = "get_it") -> Iterator[Events]:
    """The stream of a call that wants progress; leaving breaks the connection."""
    params = {"name": tool, "arguments": {}, "_meta": {"progressToken": "t"}}
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    headers = {**Client(line, path).headers, "mcp-session-id": session}
    with httpx.Client(timeout=20) as client, client.stream("POST", line.url + path, json=message, headers=headers) as r:
        yield Events(r)


@contextlib.contextmanager
def resuming(line: Line, session: str, last: str, *, path: str = "/mcp/it", agent: str = "alice") -> Iterator[Events]:
    """The stream after an event."""
    headers = {**Client(line, path, agent).headers, "mcp-session-id": session, "last-event-id": last}
    with httpx.Client(timeout=20) as client, client.stream("GET", line.url + path, headers=headers) as response:
        yield Events(response)


def progress(said: Any) -> Any:
    """The number in a report of progress."""
    return said["params"]["progress"]


def begun(line: Line, server: Scripted, session: str, **more: Any) -> str:
    """A call whose connection broke after the first of two events; returns the id of the event."""
    telling(server)
    server.told.put({"progress": 1})
    with calling(line, session, **more) as stream:
        assert progress(stream.next()) == 1
        assert stream.id
    return stream.id


@pytest.mark.parametrize("path", ["/mcp/it", "/mcp"])
def test_an_answer_goes_on_after_an_event(line: Line, server: Scripted, path: str) -> None:
    """What came while nobody listened, what comes then, and the response; the server is called once."""
    session = opened(line, path=path)
    last = begun(line, server, session, path=path, tool="get_it" if path != "/mcp" else "it_get_it")
    server.told.put({"progress": 2})
    with resuming(line, session, last, path=path) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert progress(stream.next()) == 2
        second = stream.id
        server.told.put({"progress": 3})
        assert progress(stream.next()) == 3
        server.told.put({"end": True})
        (answer,) = stream.rest()
        assert (answer["id"], text(answer)) == (7, "done")
    assert len([1 for _, body in server.seen if body.get("method") == "tools/call"]) == 1
    with resuming(line, session, second, path=path) as stream:  # once more, after the end
        first, answer = stream.rest()
        assert (progress(first), text(answer)) == (3, "done")
    with resuming(line, session, stream.id, path=path) as stream:
        assert stream.rest() == []


def test_a_question_waits_for_the_client(line: Line, server: Scripted) -> None:
    """Asked while nobody listened."""
    session = opened(line)
    last = begun(line, server, session)
    server.told.put({"id": "q", "method": "elicitation/create", "params": FORM})
    with resuming(line, session, last) as stream:
        question = stream.next()
        assert question["method"] == "elicitation/create"
        body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": ACCEPTED})
        assert Client(line).post(body, mcp_session_id=session).status_code == 202
        eventually(lambda: [body for _, body in server.seen if "method" not in body])
        server.told.put({"end": True})
        assert text(stream.rest()[-1]) == "done"


def test_forged_and_foreign_ids(line: Line, server: Scripted) -> None:
    """Of another session, agent or server, or made up: not found, and nothing of the answer is said."""
    session = opened(line)
    last = begun(line, server, session)
    server.told.put({"end": True})
    bob, other = opened(line, agent="bob"), opened(line)
    for told in (
        {"session": other},
        {"session": bob, "agent": "bob"},
        {"session": session, "agent": "bob"},
        {"session": opened(line, path="/mcp/other"), "path": "/mcp/other"},
        {"session": opened(line, path="/mcp"), "path": "/mcp"},
        {"session": session, "last": last[:-2] + ("AA" if last[-2:] != "AA" else "BB")},
        {"session": session, "last": "x"},
        {"session": session, "last": "x" * 5000},
    ):
        asked = {"last": last, **told}
        with resuming(line, asked.pop("session"), asked.pop("last"), **asked) as stream:
            assert stream.response.status_code in (400, 404), told
            assert b"done" not in stream.response.read()
    with resuming(line, session, last) as stream:
        assert text(stream.rest()[-1]) == "done"


def test_who_cannot_come_back(line: Line, server: Scripted) -> None:
    """A client of an earlier version, or without a session, gets no ids, and its call ends with the connection."""
    for session in (opened(line, version="2025-06-18"), ""):
        telling(server)
        server.told.put({"progress": 1})
        with calling(line, session) as stream:
            assert progress(stream.next()) == 1
            assert stream.id == ""
        eventually(lambda: line.metric("meshgate_calls_in_flight") == 0)
        for _ in range(2):
            server.told.put({"end": True})
        server.told = queue.SimpleQueue()


def test_the_last_reader_goes_on(line: Line, server: Scripted) -> None:
    """A second one takes the place of the first."""
    session = opened(line)
    last = begun(line, server, session)
    with resuming(line, session, last) as first:
        server.told.put({"progress": 2})
        assert progress(first.next()) == 2
        with resuming(line, session, last) as second:
            assert progress(second.next()) == 2
            assert first.rest() == []
            server.told.put({"end": True})
            assert text(second.rest()[-1]) == "done"


def held(line: Line) -> kept.KeptStreams:
    """What the gateway keeps."""
    return line.gateway.shared.listeners.streams


def test_what_is_kept_is_bounded(line: Line, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is too long is not kept, and its call ends if nobody is there; those that ended go first."""
    session = opened(line)
    last = begun(line, server, session)
    monkeypatch.setattr(kept, "_BYTES", 10_000)
    server.told.put({"progress": 2, "message": "x" * 20_000})
    eventually(lambda: line.metric("meshgate_calls_in_flight") == 0)
    with resuming(line, session, last) as stream:
        assert stream.response.status_code == 400
        assert "not kept any more" in stream.response.read().decode()
    server.told = queue.SimpleQueue()
    monkeypatch.setattr(kept, "_STREAMS", 2)
    lasts = []
    for _ in range(3):
        lasts.append(begun(line, server, session))
        server.told.put({"end": True})
        eventually(lambda: line.metric("meshgate_calls_in_flight") == 0)
    seen = []
    for last in lasts:
        with resuming(line, session, last) as stream:
            seen.append(stream.response.status_code)
    assert seen == [400, 200, 200]


def test_calls_without_room(line: Line, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are served without ids."""
    monkeypatch.setattr(kept, "_STREAMS", 1)
    session = opened(line)
    last = begun(line, server, session)
    waits, server.told = server.told, queue.SimpleQueue()
    telling(server)
    server.told.put({"progress": 1})
    server.told.put({"end": True})
    with calling(line, session) as stream:
        assert len(stream.rest()) == 2
        assert stream.id == ""
    waits.put({"end": True})
    del last


def test_a_client_that_does_not_come_back(line: Line, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or that goes again: its call ends after a while."""
    monkeypatch.setattr(kept, "_ALONE", 0.2)
    session = opened(line)
    last = begun(line, server, session)
    eventually(lambda: line.metric("meshgate_calls_in_flight") == 0)
    with resuming(line, session, last) as stream:
        assert stream.response.status_code == 400
    server.told = queue.SimpleQueue()
    monkeypatch.setattr(kept, "_ALONE", 30.0)
    last = begun(line, server, session)
    monkeypatch.setattr(kept, "_ALONE", 0.2)
    with resuming(line, session, last) as stream:
        server.told.put({"progress": 2})
        assert progress(stream.next()) == 2
    eventually(lambda: line.metric("meshgate_calls_in_flight") == 0)


def test_a_key_that_is_revoked(line: Line, server: Scripted) -> None:
    """Ends the call that nobody listens to, and what was kept of it."""
    session = opened(line)
    last = begun(line, server, session)
    line.loop.call_soon_threadsafe(held(line).sweep, lambda key: False)
    eventually(lambda: line.metric("meshgate_calls_in_flight") == 0)
    assert (held(line)._streams, held(line)._of, held(line)._size) == ({}, {}, 0)
    with resuming(line, session, last) as stream:
        assert stream.response.status_code == 400


def test_another_gateway_has_nothing_of_it(line: Line, server: Scripted, tmp_path: Path) -> None:
    """With the same key: an error at once. So after a restart; a gateway that stops waits for no client."""
    settings = config(
        tmp_path, "http://127.0.0.1:9/v1", tools={"it": {"mcp": server.url}}, pii={"vault_key": "A" * 43 + "="}
    )
    with running(tmp_path, settings) as other:
        session = opened(other)
        last = begun(other, server, session)
        with resuming(line, session, last) as stream:
            assert stream.response.status_code == 400
            assert "not kept" in stream.response.read().decode()


def test_a_refusal_is_kept_too(line: Line, server: Scripted) -> None:
    """The answer of a call may be an error."""
    session = opened(line)
    asked = Asked(line)
    asked.session = session
    last = begun(line, server, session)
    server.told.put({"id": 7, "result": {"content": [{"type": "text", "text": "AKIA" + "IOSFODNN7EXAMPLQ"}]}})
    with resuming(line, session, last) as stream:
        (answer,) = stream.rest()
    assert answer["error"]["data"]["code"] == "secret_blocked"


@contextlib.contextmanager
def breaking(url: str, breaks: Callable[[bytes], bool]) -> Iterator[str]:
    """A proxy on the way to a gateway, which closes a connection after bytes for which `breaks` is true; its URL."""
    port = int(url.rpartition(":")[2])
    listener = socket.create_server(("127.0.0.1", 0))

    def pass_on(source: socket.socket, target: socket.socket, breaks: Callable[[bytes], bool]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
                if breaks(data):
                    break
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        source.close()  # each socket is the source of one way

    threads: list[threading.Thread] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                gateway = socket.create_connection(("127.0.0.1", port))
                for ways in ((client, gateway, lambda data: False), (gateway, client, breaks)):
                    threads.append(threading.Thread(target=pass_on, args=ways))
                    threads[-1].start()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for one in (thread, *threads):
            one.join()


async def test_the_official_sdk(tmp_path: Path) -> None:
    """As client and server, unmodified: the client comes back by itself, and gets the answer."""
    server, broke, calls = MCPServer("slow"), threading.Event(), []

    @server.tool()
    async def work(context: Context) -> str:
        """Work for a while."""
        calls.append(1)
        for number in range(5):
            await context.report_progress(number, 5)
        return "done"

    def breaks(data: bytes) -> bool:
        if b"notifications/progress" not in data or broke.is_set():
            return False
        broke.set()
        return True

    told: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)

    with tool_server.serving(server.streamable_http_app()) as url:
        settings = config(tmp_path, "http://127.0.0.1:9/v1", tools={"it": {"mcp": url}})
        with running(tmp_path, settings) as line, breaking(line.url, breaks) as proxy:
            async with sdk(f"{proxy}/mcp/it", mode="legacy") as client:
                result = await client.call_tool("work", {}, progress_callback=on_progress)
    assert broke.is_set()
    assert result.structured_content == {"result": "done"}
    assert calls == [1]
    assert told == sorted(set(told))
    assert told[-1] == 4
