"""Tools that run as tasks: of servers that offer them, with the caller as owner; others are not offered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from line import Line, config, policies, running
from mcp_tasking import POLICY, SERVED, SHOWN, Tasks, User, offering
from tool_client import Client, failed, text
from tool_server import INJECTION, MAIL, Scripted


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    """A server with a tool of each kind."""
    with offering() as made:
        yield made


@pytest.fixture(scope="module")
def line(server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the same server twice: listed, and searched for."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = {"it": {"mcp": server.url}, "found": {"mcp": server.url, "discovery": "search"}}
    policy = policies(folder, POLICY)
    settings = config(folder, "http://127.0.0.1:9/v1", tools=rows, policy=policy, delegations={"ttl": "1h", "most": 6})
    with running(folder, settings) as started:
        yield started


def test_lists_have_tools_that_can_be_called(line: Line) -> None:
    """At the path of a server, at that of all, and in a search."""
    assert Client(line).tools() == SERVED
    assert [name for name in Client(line, "/mcp").tools() if name.startswith("it_")] == [f"it_{one}" for one in SERVED]
    found = Client(line, "/mcp/found").call("search_tools", {"query": "must"})
    assert "must" not in [tool["name"] for tool in found["result"]["structuredContent"]["tools"]]


@pytest.mark.parametrize("name", SERVED)
def test_others_are_called(line: Line, name: str) -> None:
    """Also when the client asks for a task, which a receiver without tasks ignores."""
    params = {"name": name, "arguments": {}, "task": {"ttl": 60000}}
    assert "result" in Client(line).send("tools/call", params).json()


@pytest.mark.parametrize(
    ("path", "name", "arguments"),
    [("/mcp/it", "must", {}), ("/mcp", "it_must", {}), ("/mcp/found", "call_tool", {"name": "must", "arguments": {}})],
)
def test_a_tool_that_needs_a_task_is_refused(
    line: Line, server: Scripted, path: str, name: str, arguments: dict[str, Any]
) -> None:
    """With the reason, before anything leaves. Who may not see the tool hears that there is none."""
    before = len(server.seen)
    answer = Client(line, path).call(name, arguments)
    assert failed(answer) == (-32601, "tool_not_found")
    assert "only be called as a task" in answer["error"]["message"]
    assert [one for _, one in server.seen[before:] if one["method"] == "tools/call"] == []
    assert failed(Client(line).call("hidden")) == (-32602, "tool_not_found")


@pytest.fixture
def tasks(server: Scripted) -> Iterator[Tasks]:
    """The server, which offers tasks during a test."""
    yield Tasks(server)
    server.answers.clear()
    server.about = {"tools": {}}


def test_a_call_runs_as_a_task(line: Line, server: Scripted, tasks: Tasks) -> None:
    """State, result and end, under an id of the gateway; what the server says is judged as a result is."""
    user = User(line)
    made = user.begin(ttl=60000, x="y")
    id = made.pop("taskId")
    assert made == {**SHOWN, "statusMessage": "for <EMAIL>"}
    assert "t-1" not in id
    assert server.seen[-1][1]["params"] == {"name": "may", "arguments": {}, "task": {"ttl": 60000}}
    assert user.about("tasks/get", id)["result"] == {**SHOWN, "taskId": id}
    assert user.about("tasks/get", id)["result"] == {**SHOWN, "taskId": id}
    result = user.about("tasks/result", id)["result"]
    assert result["content"] == [{"type": "text", "text": "done for <EMAIL>"}]
    assert result["_meta"] == {"io.modelcontextprotocol/related-task": {"taskId": id}}
    assert user.about("tasks/cancel", id)["result"] == {**SHOWN, "status": "cancelled", "taskId": id}


def test_clients_hear_that_there_are_tasks(line: Line, tasks: Tasks) -> None:
    """In a session at the path of the server, where tools that need tasks are listed, too."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    told = Client(line).send("initialize", params).json()["result"]["capabilities"]
    assert told["tasks"] == {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    user = User(line)
    names = [tool["name"] for tool in user.send("tools/list", {})["result"]["tools"]]
    assert names == [*SERVED, "must"]
    assert Client(line).tools() == SERVED
    assert user.begin("must")["status"] == "working"
    assert failed(Client(line).call("must")) == (-32601, "tool_not_found")


def test_tools_that_take_no_task_are_called_as_usual(line: Line, server: Scripted, tasks: Tasks) -> None:
    """As are all without a session."""
    for name in ("plain", "never"):
        assert text(User(line).send("tools/call", {"name": name, "arguments": {}, "task": {}})) == "no task"
    assert text(Client(line).send("tools/call", {"name": "may", "arguments": {}, "task": {}}).json()) == "no task"


def test_a_task_belongs_to_its_caller(line: Line, server: Scripted, tasks: Tasks) -> None:
    """Another agent has none of this id, nor has the path of another server; made-up ids are unknown."""
    id = User(line).begin()["taskId"]
    server.seen.clear()
    for method in ("tasks/get", "tasks/cancel", "tasks/result"):
        for user in (User(line, "bob"), User(line, "mallory"), User(line, path="/mcp/found")):
            assert failed(user.about(method, id)) == (-32602, "invalid_request")
        for other in ("t-1", id[:-3] + "AAA", "", 7, None, "x" * 9000):
            assert failed(User(line).about(method, other)) == (-32602, "invalid_request")
    assert {body["method"] for _, body in server.seen} <= {"initialize", "notifications/initialized"}


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/result"])
def test_a_sub_agent_has_tasks_of_its_tools(line: Line, server: Scripted, tasks: Tasks, method: str) -> None:
    """It acts for the caller, and none of another tool exists for it."""
    id = User(line).begin()["taskId"]

    def asked(*tools: str) -> Any:
        wanted = {"agent": "helper", "tools": tools}
        headers = {"authorization": "Bearer mg-alice", "x-correlation-id": f"tasks-{len(tools)}"}
        token = line.client.post("/v1/delegations", json=wanted, headers=headers).json()["token"]
        return User(line, key=token).about(method, id)

    before = len(server.seen)
    assert failed(asked("it/plain", "it/task_result")) == (-32602, "tool_not_found")
    assert [one for _, one in server.seen[before:] if one["method"] == method] == []
    assert "result" in asked("it/plain", "it/task_result", "it/may")


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/result"])
def test_who_loses_a_tool_loses_its_tasks(
    line: Line, server: Scripted, tasks: Tasks, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """By another policy, and by a definition that is not accepted."""
    id = User(line).begin()["taskId"]
    user = User(line)
    before = len(server.seen)
    visible = line.gateway.runtime.line.desks.mcp._visible

    async def only_plain(call: Any, name: str, *, writes: bool | None = None) -> bool:
        return name == "it/plain"

    with monkeypatch.context() as patched:
        patched.setattr(visible, "may", only_plain)
        assert failed(user.about(method, id)) == (-32602, "tool_not_found")
    seen = line.gateway.runtime.line.desks.mcp._seen

    async def none(call: Any, server: Any) -> list[Any]:
        return []

    with monkeypatch.context() as patched:
        patched.setattr(seen, "accepted", none)
        assert failed(user.about(method, id)) == (-32602, "tool_not_found")
    assert [one for _, one in server.seen[before:] if one["method"] == method] == []
    assert "result" in user.about(method, id)


def test_results_of_tasks_label_as_those_of_the_tool(line: Line, tasks: Tasks) -> None:
    """Also in another workflow than that of the call."""
    user = User(line)
    id = user.begin()["taskId"]
    assert "result" in user.send("tasks/result", {"taskId": id}, x_correlation_id="another")
    assert line.workflow("another").history.labels == ("read:it",)


def test_masked_arguments_are_values_again_in_the_result(line: Line, server: Scripted, tasks: Tasks) -> None:
    """As in the result of a call, and for the owner alone."""
    user, mail = User(line), "bob.jones@example.org"
    call = {"name": "may", "arguments": {"to": mail}, "task": {}}
    id = user.send("tools/call", call)["result"]["task"]["taskId"]
    masked = server.seen[-1][1]["params"]["arguments"]["to"]
    assert masked == "<EMAIL_1>"
    tasks.result = {"content": [{"type": "text", "text": f"sent to {masked}, not <EMAIL_2>"}]}
    for headers in ({}, {"x_correlation_id": "elsewhere"}):
        told = text(user.send("tasks/result", {"taskId": id}, **headers))
        assert told == f"sent to {mail}, not <EMAIL_2>"
    other = User(line).begin()["taskId"]
    assert text(user.send("tasks/result", {"taskId": other})) == f"sent to {masked}, not <EMAIL_2>"


def test_results_of_tasks_are_judged_as_results(line: Line, tasks: Tasks) -> None:
    """By the policy, as texts of a stranger."""
    user = User(line)
    id = user.begin()["taskId"]
    tasks.result = {"content": [{"type": "text", "text": INJECTION}]}
    answer = user.about("tasks/result", id)
    assert "result" not in answer
    assert "Ignore" not in json.dumps(answer)
    tasks.words = INJECTION
    assert "error" in user.send("tools/call", {"name": "may", "arguments": {}, "task": {}})


@pytest.mark.parametrize(
    "change",
    [
        {"status": "odd"},
        {"status": None},
        {"status": {}},
        {"status": []},
        {"ttl": "x"},
        {"ttl": -1},
        {"taskId": 7},
        {"taskId": "x" * 2000},
    ],
)
def test_servers_that_describe_no_task(line: Line, tasks: Tasks, change: dict[str, Any]) -> None:
    """A fault of the server."""
    tasks.state |= change
    answer = User(line).send("tools/call", {"name": "may", "arguments": {}, "task": {}})
    assert failed(answer) == (-32000, "upstream_error")


def test_periods_of_a_task_hold_no_value(line: Line, tasks: Tasks) -> None:
    """Milliseconds are whole, and fewer than the digits of a card number."""
    user = User(line)
    id = user.begin()["taskId"]
    tasks.state |= {"ttl": 4111111111111111, "pollInterval": 500.4111111111111}
    told = user.send("tasks/get", {"taskId": id})["result"]
    assert (told["ttl"], told["pollInterval"]) == (10_000_000_000, 500)


@pytest.mark.parametrize("said", [INJECTION, MAIL, f"2026-01-01T00:00:00Z {MAIL}", "2026-01-01T00:00:00Z\n", ""])
def test_times_of_a_task_are_times(line: Line, tasks: Tasks, said: str) -> None:
    """Any other text beside the state is left out: the state of a task is not judged."""
    user = User(line)
    id = user.begin()["taskId"]
    tasks.state |= {"createdAt": said, "lastUpdatedAt": said}
    rest = {key: value for key, value in SHOWN.items() if not key.endswith("At")}
    assert user.about("tasks/get", id)["result"] == {**rest, "taskId": id}
    assert user.about("tasks/cancel", id)["result"] == {**rest, "status": "cancelled", "taskId": id}


def test_a_task_that_the_server_has_lost(line: Line, tasks: Tasks) -> None:
    """The error has no words of the server about it."""
    user = User(line)
    id = user.begin()["taskId"]
    tasks.state["taskId"] = "t-2"
    for method in ("tasks/get", "tasks/cancel"):
        answer = user.about(method, id)
        assert failed(answer) == (-32602, "invalid_request")
        assert "t-1" not in json.dumps(answer)
