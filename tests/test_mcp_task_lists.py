"""Lists of tasks, and what servers tell of tasks: each caller sees those that are its own."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import event_stream
from gateway.stores import StoreUnavailable
from line import Line, config, policies, running
from mcp_tasking import POLICY, SHOWN, Tasks, User, offering
from tool_client import Client, failed
from tool_server import INJECTION, MAIL, Scripted

TIME = "2026-01-01T00:00:00Z"
STATE = {"status": "working", "createdAt": TIME, "lastUpdatedAt": TIME, "ttl": 60000, "pollInterval": 5}
ENDED: Any = object()


class Many(Tasks):
    """A server with several tasks, which it lists in pages, and tells of in streams."""

    def __init__(self, server: Scripted) -> None:
        super().__init__(server)
        self.made: list[dict[str, Any]] = []
        self.size = 1000
        self.says: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.before: list[dict[str, Any]] = []
        server.answers["tasks/list"] = self.listed
        server.answers["GET"] = lambda _: self.stream

    def answer(self, message: dict[str, Any]) -> Any:
        """A new task for each call."""
        if message["method"] != "tools/call" or "task" not in message["params"]:
            return lambda handler: self.events(handler, super(Many, self).answer(message))
        made = {**self.state, "taskId": f"t-{len(self.made) + 1}", "statusMessage": MAIL}
        self.made.append(made)
        return {"jsonrpc": "2.0", "id": message["id"], "result": {"task": made}}

    def listed(self, message: dict[str, Any]) -> Any:
        """A page of all tasks of all callers."""
        at = int(message["params"].get("cursor", "0"))
        following = {"nextCursor": str(at + self.size)} if at + self.size < len(self.made) else {}
        result = {"tasks": self.made[at : at + self.size], **following}
        return {"jsonrpc": "2.0", "id": message["id"], "result": result}

    def events(self, handler: Any, answer: Any) -> None:
        """An answer after notifications."""
        data = "".join(f"data: {json.dumps(said)}\n\n" for said in (*self.before, answer)).encode()
        handler.reply(200, data, "text/event-stream")

    def stream(self, handler: Any) -> None:
        """The stream of a session."""
        send = event_stream.begin(handler)
        while (said := self.says.get(timeout=10)) is not ENDED:
            send(said)

    def tell(self, *said: Any) -> None:
        """Say this in the stream, and end it."""
        for one in (*said, ENDED):
            self.says.put(one)


def status(id: Any, **more: Any) -> dict[str, Any]:
    """That a task has another state."""
    params = {**STATE, "taskId": id, "status": "completed", "x": MAIL, **more}
    return {"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": params}


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    """A server with a tool of each kind."""
    with offering() as made:
        yield made


@pytest.fixture(scope="module")
def line(server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the same server twice."""
    folder = tmp_path_factory.mktemp("lists")
    rows = {"it": {"mcp": server.url}, "other": {"mcp": server.url}}
    policy = policies(folder, POLICY)
    settings = config(folder, "http://127.0.0.1:9/v1", tools=rows, policy=policy, delegations={"ttl": "1h", "most": 6})
    with running(folder, settings) as started:
        yield started


@pytest.fixture
def tasks(server: Scripted) -> Iterator[Many]:
    """The server, which has no tasks when a test begins."""
    made = Many(server)
    yield made
    made.tell()
    server.answers.clear()


def ids(user: User) -> list[str]:
    """The ids on all pages, as the caller has them."""
    found: list[str] = []
    params: dict[str, Any] = {}
    while True:
        result = user.send("tasks/list", params)["result"]
        assert all({key: task[key] for key in task if key != "taskId"} == SHOWN for task in result["tasks"])
        found += [task["taskId"] for task in result["tasks"]]
        if "nextCursor" not in result:
            return found
        params = {"cursor": result["nextCursor"]}


def test_a_caller_sees_its_own_tasks(line: Line, server: Scripted, tasks: Many) -> None:
    """In the order of the server, also in another session; under the ids that it got, and without words."""
    alice, bob, elsewhere = User(line), User(line, "bob"), User(line, path="/mcp/other")
    assert ids(alice) == []
    mine = [alice.begin()["taskId"], alice.begin("must")["taskId"]]
    his = bob.begin()["taskId"]
    mine.append(alice.begin()["taskId"])
    assert ids(alice) == ids(User(line)) == mine
    assert ids(bob) == [his]
    assert ids(User(line, "mallory")) == ids(elsewhere) == []
    raw = json.dumps(alice.send("tasks/list", {}))
    assert "t-1" not in raw
    assert MAIL not in raw
    assert alice.about("tasks/get", mine[0])["result"]["taskId"] == mine[0]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pages(line: Line, server: Scripted, tasks: Many, size: int) -> None:
    """However the server cuts its own; cursors are sealed for the caller and the server."""
    alice, bob = User(line), User(line, "bob")
    mine = []
    for number in range(14):
        if number % 7 in (0, 1, 6):
            mine.append(alice.begin()["taskId"])
        else:
            bob.begin()
    tasks.size = size
    assert ids(alice) == mine
    assert len(ids(bob)) == 8
    tasks.size = 2
    cursor = alice.send("tasks/list", {})["result"]["nextCursor"]
    assert cursor != "2"
    for user in (bob, User(line, path="/mcp/other")):
        assert failed(user.send("tasks/list", {"cursor": cursor})) == (-32602, "invalid_request")
    others: list[Any] = ["2", "", cursor[:-4] + "AAAA", 7, {}, "x" * 9000, mine[0]]
    for other in others:
        assert failed(alice.send("tasks/list", {"cursor": other})) == (-32602, "invalid_request")
    assert alice.send("tasks/list", {"cursor": cursor})["result"]["tasks"][0]["taskId"] == mine[2]


def test_the_work_of_a_page_is_bounded(line: Line, server: Scripted, tasks: Many) -> None:
    """By the tasks that are looked up, and the pages of the server: a page may be empty, and lists go on."""
    alice, bob = User(line), User(line, "bob")
    tasks.made = [{**tasks.state, "taskId": f"o-{number}"} for number in range(230)]
    mine = alice.begin()["taskId"]
    first = alice.send("tasks/list", {})["result"]
    assert first["tasks"] == []
    assert ids(alice) == [mine]
    assert ids(bob) == []
    tasks.size = 3
    server.seen.clear()
    assert alice.send("tasks/list", {})["result"]["tasks"] == []
    assert [body["method"] for _, body in server.seen].count("tasks/list") == 5
    assert ids(alice) == [mine]


def test_tasks_of_lost_tools_are_not_listed(
    line: Line, server: Scripted, tasks: Many, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another policy, by a definition that is not accepted, and for a sub-agent that may not call the tool."""
    alice = User(line)
    mine = [alice.begin()["taskId"], alice.begin("must")["taskId"]]
    visible, seen = (getattr(line.gateway.runtime.line.desks.mcp, name) for name in ("_visible", "_seen"))

    async def only_must(call: Any, name: str, *, writes: bool | None = None) -> bool:
        return name == "it/must"

    async def none(call: Any, server: Any) -> list[Any]:
        return []

    with monkeypatch.context() as patched:
        patched.setattr(visible, "may", only_must)
        assert ids(alice) == mine[1:]
    with monkeypatch.context() as patched:
        patched.setattr(seen, "accepted", none)
        assert ids(alice) == []
    headers = {"authorization": "Bearer mg-alice", "x-correlation-id": "listed"}
    wanted = {"agent": "helper", "tools": ["it/must"]}
    token = line.client.post("/v1/delegations", json=wanted, headers=headers).json()["token"]
    assert ids(User(line, key=token)) == mine[1:]
    assert ids(alice) == mine


@pytest.mark.parametrize("agent", ["alice", "bob"])
def test_an_id_that_the_server_uses_again(line: Line, tasks: Many, agent: str) -> None:
    """Is that of the newer task: the former owner has none, and hears nothing."""
    alice, newer = User(line), User(line, agent)
    former = alice.begin()["taskId"]
    tasks.made.clear()
    mine = newer.begin("must")["taskId"]
    assert ids(newer) == [mine]
    assert ids(alice) == ([mine] if agent == "alice" else [])
    for method in ("tasks/get", "tasks/result", "tasks/cancel"):
        assert failed(alice.about(method, former)) == (-32602, "tool_not_found")
    with listening(alice) as stream:
        tasks.tell(status("t-1"))
        assert [one["params"]["taskId"] for one in messages(stream)] == ([mine] if agent == "alice" else [])


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"tasks": {}},
        {"tasks": ["t-1"]},
        {"tasks": [], "nextCursor": 7},
        {"tasks": [], "nextCursor": "x" * 2000},
        {"tasks": [{"taskId": "t-1", "status": INJECTION, "ttl": 1}]},
    ],
)
def test_servers_that_list_no_tasks(line: Line, server: Scripted, tasks: Many, result: Any) -> None:
    """A fault of the server, as is a task without a state. What is said of others' tasks is not read."""
    alice = User(line)
    alice.begin()
    server.answers["tasks/list"] = lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": result}
    answer = alice.send("tasks/list", {})
    assert failed(answer) == (-32000, "upstream_error")
    assert INJECTION not in json.dumps(answer)


def test_odd_tasks_of_others(line: Line, server: Scripted, tasks: Many) -> None:
    """Are left out like any other."""
    odd: list[Any] = [{}, {"taskId": 7}, {"taskId": "x" * 2000}, {"taskId": "o-x", "status": MAIL}]
    server.answers["tasks/list"] = lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": {"tasks": odd}}
    assert ids(User(line)) == []


def test_lists_are_served_where_the_server_has_them(line: Line, server: Scripted, tasks: Many) -> None:
    """And in a session at its path; clients hear of them there only."""
    for where in (Client(line), Client(line, "/mcp")):
        assert failed(where.send("tasks/list", {}).json()) == (-32601, "invalid_request")
    server.about = {"tools": {}, "tasks": {"cancel": {}, "requests": {"tools": {"call": {}}}}}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    told = Client(line).send("initialize", params).json()["result"]["capabilities"]["tasks"]
    assert told == {"cancel": {}, "requests": {"tools": {"call": {}}}}
    assert failed(User(line).send("tasks/list", {})) == (-32601, "invalid_request")


class Broken:
    """A store that does not answer."""

    async def owned(self, team: str, id: str) -> bytes | None:
        """The record of an id."""
        raise StoreUnavailable("no")


def test_a_store_that_does_not_answer(line: Line, tasks: Many, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is listed, no call becomes a task, and nothing is told of one."""
    alice = User(line)
    alice.begin()
    monkeypatch.setattr(line.gateway.runtime.line.desks.mcp._owners, "_store", Broken())
    assert failed(alice.send("tasks/list", {})) == (-32000, "state_unavailable")
    answer = alice.send("tools/call", {"name": "may", "arguments": {}, "task": {}})
    assert failed(answer) == (-32000, "state_unavailable")
    with listening(alice) as stream:
        tasks.tell(status("t-1"), CHANGED)
        assert messages(stream) == [CHANGED]


CHANGED = {"jsonrpc": "2.0", "method": "notifications/prompts/list_changed", "params": {}}


@contextmanager
def listening(user: User, **headers: str) -> Iterator[Any]:
    """The stream of a session."""
    sent = {**user.client.headers, "accept": "text/event-stream", "mcp-session-id": user.session, **headers}
    with user.client.line.client.stream("GET", user.client.path, headers=sent) as response:
        yield response


def messages(response: Any) -> list[Any]:
    """The messages of a stream until its end."""
    lines = response.iter_lines()
    return [json.loads(one.removeprefix("data: ")) for one in lines if one.startswith("data: ")]


def test_a_caller_hears_of_its_tasks(line: Line, tasks: Many) -> None:
    """In the stream of a session, under the id that it got; the words are judged, and nothing else is passed on."""
    alice, bob = User(line), User(line, "bob")
    mine, lost = alice.begin()["taskId"], alice.begin("must")["taskId"]
    bob.begin()
    told = [
        status("t-1", statusMessage=f"for {MAIL}"),
        status("t-3"),
        status("t-4"),
        status(7),
        status("t-1", status="odd"),
        status("t-1", ttl=-1),
        status("t-1", statusMessage=INJECTION),
        {**status("t-1"), "task": [["may", "t-1"], "made up"], "params": []},
        status("t-2", createdAt=MAIL, statusMessage=7),
    ]
    with listening(alice, **{"x-correlation-id": "heard-of-tasks"}) as stream:
        tasks.tell(*told)
        heard = messages(stream)
    first = {**SHOWN, "status": "completed", "statusMessage": "for <EMAIL>", "taskId": mine}
    last = {key: value for key, value in {**SHOWN, "status": "completed", "taskId": lost}.items() if key != "createdAt"}
    assert [one["params"] for one in heard] == [first, last]
    assert {one["method"] for one in heard} == {"notifications/tasks/status"}
    assert line.workflow("heard-of-tasks").history.labels == ("read:it", "untrusted")


def test_who_lost_a_tool_hears_nothing_of_its_tasks(line: Line, tasks: Many, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream goes on."""
    alice = User(line)
    alice.begin()

    async def only_listen(call: Any, name: str, *, writes: bool | None = None) -> bool:
        return name == "it/listen"

    monkeypatch.setattr(line.gateway.runtime.line.desks.mcp._visible, "may", only_listen)
    with listening(alice) as stream:
        tasks.tell(status("t-1"), CHANGED)
        assert messages(stream) == [CHANGED]


def test_a_caller_hears_of_its_tasks_during_a_call(line: Line, tasks: Many) -> None:
    """Before the answer to another request of the session."""
    alice, bob = User(line), User(line, "bob")
    mine = alice.begin()["taskId"]
    bob.begin()
    tasks.before = [status("t-2"), status("t-1", statusMessage=f"for {MAIL}"), status("t-1", statusMessage=INJECTION)]
    for method, params in (("tools/call", {"name": "may", "arguments": {}}), ("tasks/result", {"taskId": mine})):
        raw = alice.client.send(method, params, mcp_session_id=alice.session).text
        said = [json.loads(one.removeprefix("data: ")) for one in raw.splitlines() if one.startswith("data: ")]
        assert [one.get("method") for one in said] == ["notifications/tasks/status", None]
        assert said[0]["params"] == {**SHOWN, "status": "completed", "statusMessage": "for <EMAIL>", "taskId": mine}
        assert "result" in said[1]
    without = Client(line).call("may")
    assert "result" in without
