"""Two workers of one gateway: what one has begun goes on at the other."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import httpx
import httpx2
import mcp_types as types
import pytest
from mcp.client.client import Client as SdkClient
from mcp.client.streamable_http import streamable_http_client

import event_stream
import tool_server
from asking_processes import FAST, SCRIPT
from gateway.dialects import mcp_names
from mcp_asking import ACCEPTED, FORM, Asked, answers, asking, later, required, rounds
from mcp_telling import opened, progress, telling
from mcp_working import Worker, settings_of, working
from tool_client import Client, failed, text
from tool_server import Scripted, unknown
from waiting import eventually

ASK = ("elicitation/create", FORM)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Scripted, Scripted]]:
    """A server of the earlier era, and one of the later."""
    with tool_server.scripted() as old, tool_server.scripted() as new:
        for made in (old, new):
            made.tools = [tool_server.tool("get_it", annotations={"readOnlyHint": True})]
        yield old, new


@pytest.fixture
def old(served: tuple[Scripted, Scripted]) -> Iterator[Scripted]:
    """The server of the earlier era, as new."""
    made = served[0]
    made.answers.clear()
    made.seen.clear()
    made.told = queue.SimpleQueue()
    made.answers["server/discover"] = unknown
    yield made
    for _ in range(20):
        made.told.put({"end": True})


@pytest.fixture
def new(served: tuple[Scripted, Scripted]) -> Scripted:
    """The server of the later era, as new."""
    made = served[1]
    made.answers.clear()
    made.answers["initialize"] = unknown
    result = {"supportedVersions": [mcp_names.MODERN], "capabilities": {"tools": {}}, "resultType": "complete"}
    made.answers["server/discover"] = lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": result}
    return made


@pytest.fixture(scope="module")
def workers(
    served: tuple[Scripted, Scripted], redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Worker, Worker]]:
    """A gateway before both, and before a process."""
    folder = tmp_path_factory.mktemp("w")
    (folder / "plain.py").write_text(SCRIPT)
    rows: dict[str, Any] = {}
    for name, one in zip("ab", served, strict=True):
        rows[name] = {"mcp": one.url, "timeout": "20s", "asks": ["elicitation"]}
    rows["process"] = {"command": [sys.executable, str(folder / "plain.py")], "asks": ["elicitation"]}
    (folder / "fast.py").write_text(FAST)
    rows["fast"] = {"command": [sys.executable, str(folder / "fast.py")], "asks": ["elicitation"], "timeout": "30s"}
    with working(folder, settings_of(folder, redis_url, rows)) as made:
        yield made


def test_a_held_call_goes_on_at_the_other_worker(workers: tuple[Worker, Worker], old: Scripted) -> None:
    """A later client at an earlier server: each round at another worker; judged and recorded by one of them."""
    first, second = workers
    asking(old, ASK, ASK)
    questions, state = required(later(first.line, path="/mcp/a"))
    assert questions == {"q1": {"method": ASK[0], "params": FORM}}
    questions, state = required(
        later(second.line, path="/mcp/a", requestState=state, inputResponses={"q1": {"action": "decline"}})
    )
    stranger = later(
        second.line, path="/mcp/a", agent="bob", requestState=state, inputResponses={"q2": {"action": "decline"}}
    )
    assert stranger.status_code == 400
    answer = later(
        second.line, path="/mcp/a", requestState=state, inputResponses={"q2": {"action": "accept", "content": {}}}
    )
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(text(answer.json())) == [
        {"result": {"action": "decline"}},
        {"result": {"action": "accept", "content": {}}},
    ]
    again = later(second.line, path="/mcp/a", requestState=state, inputResponses={"q2": {"action": "decline"}})
    assert (again.status_code, failed(again.json())[1]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/mcp/b", "/mcp/process"])
def test_an_answer_reaches_the_worker_of_the_call(workers: tuple[Worker, Worker], new: Scripted, path: str) -> None:
    """An earlier client, which is asked in the stream of its call: by a later server, or by a process."""
    first, second = workers
    rounds(new, {"k": {"method": ASK[0], "params": FORM}})
    for here, there in ((first, second), (second, first)):
        asked = Asked(here.line, path)

        def answer(question: Any, asked: Asked = asked, there: Worker = there) -> None:
            client = Client(there.line, path)
            body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": ACCEPTED})
            asked.taken.append(client.post(body, mcp_session_id=asked.session).status_code)

        said = asked.call(answer, arguments={"questions": [ASK]})
        assert asked.taken == [202]
        assert "accept" in json.dumps(answers(said))


def begun(worker: Worker, old: Scripted) -> dict[str, str]:
    """A call whose connection broke after its first event; returns the headers with which the client goes on."""
    session = opened(worker.line, path="/mcp/a")
    telling(old)
    old.told.put({"progress": 1})
    headers = {**Client(worker.line).headers, "mcp-session-id": session}
    params = {"name": "get_it", "arguments": {}, "_meta": {"progressToken": "t"}}
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    id = ""
    with worker.client.stream("POST", "/mcp/a", json=message, headers=headers) as response:
        for one in response.iter_lines():
            id = one[4:] if one.startswith("id: ") else id
            if one.startswith("data: "):
                break
    return {**headers, "last-event-id": id}


def test_a_stream_goes_on_at_the_other_worker(workers: tuple[Worker, Worker], old: Scripted) -> None:
    """What came while nobody listened, and what comes then, as it comes."""
    first, second = workers
    sent = begun(first, old)
    id = sent["last-event-id"]
    old.told.put({"progress": 2})
    with second.client.stream("GET", "/mcp/a", headers=sent) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = (json.loads(one[6:]) for one in response.iter_lines() if one.startswith("data: "))
        assert progress(next(events)) == 2
        old.told.put({"progress": 3})
        assert progress(next(events)) == 3
        old.told.put({"end": True})
        assert text(list(events)[-1]) == "done"
    with second.client.stream("GET", "/mcp/a", headers={**sent, "last-event-id": id[:-4] + "AAAA"}) as response:
        assert response.status_code == 400


def test_a_cancellation_reaches_the_process_of_the_other_worker(workers: tuple[Worker, Worker]) -> None:
    """The call ends, although each worker has processes of its own."""
    first, second = workers
    asked = Asked(first.line, "/mcp/process")

    def cancel(question: Any) -> None:
        del question
        body = json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}})
        assert Client(second.line, "/mcp/process").post(body, mcp_session_id=asked.session).status_code == 202

    assert "cancel" in json.dumps(asked.call(cancel, arguments={"questions": [ASK]})["error"])


class _Turns(httpx2.AsyncBaseTransport):
    """Each request goes to another worker than the one before."""

    def __init__(self, workers: tuple[Worker, Worker]) -> None:
        self._all = [httpx2.AsyncHTTPTransport(uds=str(one.door)) for one in workers]
        self._turns = cycle(self._all)

    async def aclose(self) -> None:
        for one in self._all:
            await one.aclose()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await next(self._turns).handle_async_request(request)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_official_client(workers: tuple[Worker, Worker], mode: Any) -> None:
    """Of both eras, before a server of fastmcp that runs as a process and asks in mid-call."""

    async def on_elicit(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"value": "Ann"})

    headers = {"authorization": "Bearer mg-alice"}
    async with (
        httpx2.AsyncClient(transport=_Turns(workers), headers=headers, timeout=20) as http,
        SdkClient(
            streamable_http_client(f"{workers[0].url}/mcp/fast", http_client=http),
            mode=mode,
            elicitation_callback=on_elicit,
        ) as client,
    ):
        for _ in range(4):
            result = await client.call_tool("ask", {})
            assert not result.is_error
            assert result.structured_content == {"result": "Ann"}


def statuses(workers: tuple[Worker, Worker]) -> list[int]:
    """The statuses of all calls that were recorded, whoever served them."""
    with contextlib.closing(sqlite3.connect(workers[0].door.parents[2] / "audit.db")) as database:
        return [status for (status,) in database.execute("SELECT status FROM outcomes")]


def test_a_client_that_leaves_is_recorded_once(workers: tuple[Worker, Worker], old: Scripted) -> None:
    """By the worker that has the call, and which ends the call; not by the one that handed the message over."""
    first, second = workers
    asked, over = threading.Event(), threading.Event()

    def answer(message: dict[str, Any]) -> Any:
        def write(handler: Any) -> None:
            event_stream.begin(handler)({"id": 1, "method": ASK[0], "params": FORM})
            old.told.get(timeout=10)
            asked.set()
            over.wait(10)
            handler.close_connection = True

        return write

    old.answers["tools/call"] = answer
    _, state = required(later(first.line, path="/mcp/a"))
    before = statuses(workers).count(499)
    leaving = Worker(first.port, second.door)
    leaving.client.timeout = httpx.Timeout(1)
    try:
        with pytest.raises(httpx.ReadTimeout):
            later(leaving.line, path="/mcp/a", requestState=state, inputResponses={"q1": {"action": "decline"}})
        assert asked.is_set()
        eventually(lambda: statuses(workers).count(499) > before)
        known = len(statuses(workers))
        for worker in workers:  # whatever comes after these was written before them
            assert Client(worker.line, "/mcp/a").send("tools/call", {"name": "none", "arguments": {}}).status_code
        eventually(lambda: len(statuses(workers)) >= known + 2)
        assert statuses(workers).count(499) == before + 1
    finally:
        over.set()


def test_a_worker_that_is_busy_takes_many_messages(workers: tuple[Worker, Worker]) -> None:
    """They wait for their turn, as requests at the port of the gateway do."""
    first, _ = workers
    with contextlib.ExitStack() as stack:
        pid = first.pid
        os.kill(pid, signal.SIGSTOP)
        stack.callback(os.kill, pid, signal.SIGCONT)
        for _ in range(400):
            peer = stack.enter_context(socket.socket(socket.AF_UNIX))
            peer.setblocking(False)
            peer.connect(str(first.door))  # raises BlockingIOError if there is no room


def test_a_dead_worker(workers: tuple[Worker, Worker], old: Scripted) -> None:
    """What went on there is lost: the error of the protocol, or the end of a stream, at once."""
    first, second = workers
    asking(old, ASK)
    _, state = required(later(first.line, path="/mcp/a"))
    old.told = queue.SimpleQueue()  # the call that asks waits at the one before
    sent = begun(first, old)
    old.told.put({"progress": 2})
    with second.client.stream("GET", "/mcp/a", headers=sent) as response:
        events = (json.loads(one[6:]) for one in response.iter_lines() if one.startswith("data: "))
        assert progress(next(events)) == 2
        os.kill(first.pid, signal.SIGKILL)
        assert list(events) == []
    assert second.client.get("/mcp/a", headers=sent).status_code == 400
    asking(old, ASK)
    answer = later(second.line, path="/mcp/a", requestState=state, inputResponses={"q1": {"action": "decline"}})
    assert (answer.status_code, failed(answer.json())[1]) == (400, "invalid_request")
    assert "Call again" in answer.json()["error"]["message"]
    assert later(second.line, path="/mcp/a").status_code == 200
