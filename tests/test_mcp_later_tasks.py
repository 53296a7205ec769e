"""Tasks of the later era (the extension), at servers of that era and of the earlier one."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

import event_stream
import tool_server
from gateway.dialects import mcp, mcp_names
from gateway.dialects.mcp_questions import TaskAsk
from gateway.errors import Refusal
from gateway.tools.later_tasks import answers
from line import Line, config, policies, running
from mcp_asking import ABLE, ACCEPTED, FORM, SAMPLED, prompt
from mcp_tasking import POLICY, Tasks, User
from tool_client import Client, failed, text
from tool_server import INJECTION, MAIL, Scripted
from waiting import eventually

TIME = "2026-08-01T00:00:00Z"
TASKS: dict[str, Any] = {"extensions": {mcp_names.TASK_EXTENSION: {}}}
SHOWN = {"createdAt": TIME, "lastUpdatedAt": TIME, "ttlMs": 60000, "pollIntervalMs": 5}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
ASKS = {"method": "elicitation/create", "params": FORM}
MISSING = (-32021, "invalid_request")
NONE = (-32602, "tool_not_found")


class Later:
    """A server with both eras, which makes tasks of calls in the later one. `more`: what the state has beside it."""

    def __init__(self, server: Scripted) -> None:
        self.server = server
        self.offers: dict[str, Any] = TASKS
        self.status = "working"
        self.more: dict[str, Any] = {}
        self.state: dict[str, Any] = {**SHOWN, "taskId": "l-1", "statusMessage": f"for {MAIL}", "x": MAIL}
        self.acknowledges: dict[str, Any] = {"result": {"resultType": "complete", "x": MAIL}}
        for method in ("server/discover", "tools/call", "tasks/get", "tasks/update", "tasks/cancel"):
            server.answers[method] = self.answer

    def answer(self, message: dict[str, Any]) -> Any:
        """The response to a request."""
        made = {"jsonrpc": "2.0", "id": message["id"]}
        params = message["params"]
        able = params["_meta"][mcp_names.CAPABILITIES] if "_meta" in params else {}
        state = {**self.state, "status": self.status, **self.more}
        match message["method"]:
            case "server/discover":
                result: dict[str, Any] = {
                    "supportedVersions": ["2025-11-25", mcp_names.MODERN],
                    "capabilities": self.offers,
                }
                return {**made, "result": {**result, "resultType": "complete"}}
            case "tools/call" if "extensions" in able:
                return {**made, "result": {**state, "resultType": "task"}}
            case "tools/call":
                return {**made, "result": {"content": [{"type": "text", "text": "no task"}]}}
            case _ if params.get("taskId") != self.state["taskId"] or able.get("extensions") != TASKS["extensions"]:
                return {**made, "error": {"code": -32602, "message": f"no {params}"}}
            case "tasks/get":
                return {**made, "result": {**state, "resultType": "complete"}}
        return {**made, **self.acknowledges}


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    """A scripted server."""
    with tool_server.scripted() as made:
        made.tools = [
            tool_server.tool("may"),
            tool_server.tool("exact", outputSchema=SCHEMA),
            tool_server.tool("must", execution={"taskSupport": "required"}),
            tool_server.tool("either", execution={"taskSupport": "optional"}),
            tool_server.tool("hidden", execution={"taskSupport": "required"}),
        ]
        yield made


@pytest.fixture(scope="module")
def line(server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before the server: one may ask, one may not."""
    folder = tmp_path_factory.mktemp("later")
    rows = {"it": {"mcp": server.url, "asks": ["sampling", "elicitation"]}, "mute": {"mcp": server.url}}
    settings = config(
        folder,
        "http://127.0.0.1:9/v1",
        tools=rows,
        policy=policies(folder, POLICY),
        delegations={"ttl": "1h", "most": 6},
        quotas={"tokens": 1_000_000, "calls": 1000},
        output={"sql": ["select"]},
    )
    with running(folder, settings) as started:
        yield started


@pytest.fixture
def later(line: Line, server: Scripted) -> Iterator[Later]:
    """The server, which has tasks in the later era; the gateway asks it anew which eras it has."""
    forget(line)
    server.seen.clear()
    yield Later(server)
    server.answers.clear()
    server.about = {"tools": {}}


def forget(line: Line) -> None:
    """Have the gateway ask again what the server is."""
    for name in ("it", "mute"):
        made = line.gateway.runtime.line.desks.mcp._server(name)
        made._later = (False, -1.0)
        made._seats.clear()


class Caller:
    """A client of the later era."""

    def __init__(self, line: Line, agent: str = "alice", path: str = "/mcp/it", able: Any = TASKS) -> None:
        self.client = Client(line, path, agent)
        self.able = able

    def raw(self, method: str, params: dict[str, Any], **headers: str) -> Any:
        """The response of HTTP to a request."""
        meta = {mcp_names.VERSION: mcp_names.MODERN, mcp_names.CAPABILITIES: self.able}
        sent = {"mcp_protocol_version": mcp_names.MODERN, "mcp_method": method, **headers}
        name = params.get(mcp_names.NAMED.get(method, ""))
        sent |= {"mcp_name": name} if "mcp_name" not in headers and type(name) is str else {}
        return self.client.send(method, {**params, "_meta": meta}, **sent)

    def send(self, method: str, params: dict[str, Any], **headers: str) -> Any:
        """The response to a request."""
        return self.raw(method, params, **headers).json()

    def call(self, tool: str = "may", **headers: str) -> Any:
        """Call a tool."""
        return self.send("tools/call", {"name": tool, "arguments": {}}, **headers)

    def begin(self, tool: str = "may", **headers: str) -> str:
        """Call a tool, which becomes a task; returns the id."""
        result = self.call(tool, **headers)["result"]
        assert result["resultType"] == "task"
        return str(result["taskId"])

    def get(self, id: Any, **headers: str) -> Any:
        """The state of a task."""
        return self.send("tasks/get", {"taskId": id}, **headers)


def test_a_call_becomes_a_task(line: Line, server: Scripted, later: Later) -> None:
    """As the server decides, under an id of the gateway; what is said is judged as a result is."""
    alice = Caller(line)
    made = alice.call()["result"]
    id = made.pop("taskId")
    assert made == {**SHOWN, "resultType": "task", "status": "working", "statusMessage": "for <EMAIL>"}
    assert "l-1" not in id
    headers, body = server.seen[-1]
    assert (headers["mcp-method"], headers["mcp-name"]) == ("tools/call", "may")
    assert body["params"]["_meta"][mcp_names.CAPABILITIES] == TASKS
    state = alice.get(id)["result"]
    assert state == {**made, "resultType": "complete", "taskId": id}
    headers, body = server.seen[-1]
    assert (headers["mcp-method"], headers["mcp-name"], body["params"]["taskId"]) == ("tasks/get", "l-1", "l-1")
    assert alice.send("tasks/cancel", {"taskId": id})["result"] == {"resultType": "complete"}
    assert server.seen[-1][0]["mcp-name"] == "l-1"


def test_results_come_with_the_state(line: Line, server: Scripted, later: Later) -> None:
    """Judged as those of the tool, with its labels; also errors, and results of another workflow."""
    alice = Caller(line)
    id = alice.begin()
    later.status, later.more = "completed", {"result": {"content": [{"type": "text", "text": f"of {MAIL}"}]}}
    later.more["result"]["_meta"] = {"x": {"taskId": "l-1"}}
    state = alice.get(id, x_correlation_id="later-results")["result"]
    assert state["result"] == {"content": [{"type": "text", "text": "of <EMAIL>"}]}
    assert (state["status"], state["resultType"], state["taskId"]) == ("completed", "complete", id)
    assert line.workflow("later-results").history.labels == ("read:it",)
    for pieces in ([INJECTION], [INJECTION[:40], INJECTION[40:]]):
        later.more = {"result": {"content": [{"type": "text", "text": one} for one in pieces]}}
        answer = alice.get(id)
        assert "result" not in answer
        assert "Ignore" not in json.dumps(answer)
    later.status, later.more = "failed", {"error": {"code": -32603, "message": f"no {MAIL}", "data": {"x": 1}}}
    assert alice.get(id)["result"]["error"] == {"code": -32603, "message": "no <EMAIL>"}
    later.status, later.more = "cancelled", {"result": {"x": 1}, "error": {"code": 1, "message": "x"}}
    assert {*alice.get(id)["result"]} == {*SHOWN, "status", "statusMessage", "resultType", "taskId"}


def test_to_ask_for_a_state_is_no_call(line: Line, later: Later) -> None:
    """Clients ask again and again: that counts in limits of requests only."""
    alice = Caller(line)
    id = alice.begin(x_correlation_id="polls")
    for _ in range(5):
        assert "result" in alice.get(id, x_correlation_id="polls")
    eventually(lambda: not line.workflow("polls").held.get("calls"))
    assert line.workflow("polls").used["calls"] == 1


def test_messages_about_a_task_are_of_its_workflow(line: Line, server: Scripted, later: Later) -> None:
    """Unless they name another: what was masked in the arguments is a value again in the result."""
    alice = Caller(line)
    given = {"name": "may", "arguments": {"to": "bob.jones@example.org"}}
    id = alice.send("tools/call", given, x_correlation_id="of-task")["result"]["taskId"]
    masked = server.seen[-1][1]["params"]["arguments"]["to"]
    assert masked == "<EMAIL_1>"
    later.status, later.more = "completed", {"result": {"content": [{"type": "text", "text": f"sent to {masked}"}]}}
    assert alice.get(id)["result"]["result"]["content"][0]["text"] == "sent to bob.jones@example.org"
    assert line.workflow("of-task").history.labels == ("read:it",)
    named = alice.get(id, x_correlation_id="another-task")["result"]["result"]
    assert named["content"][0]["text"] == "sent to bob.jones@example.org"
    assert line.workflow("another-task").history.labels == ("read:it",)
    raw = alice.raw("tasks/get", {"taskId": id})
    assert raw.headers["x-correlation-id"] == "of-task"


def test_structured_results_fit_the_schema(line: Line, later: Later) -> None:
    """Of the tool, as without a task."""
    alice = Caller(line)
    id = alice.begin("exact")
    later.status = "completed"
    for said, fits in ((7, True), ("x", False)):
        later.more = {"result": {"content": [], "structuredContent": {"n": said}}}
        answer = alice.get(id)
        assert ("result" in answer) is fits, answer
    assert failed(answer) == (-32000, "upstream_error")


def test_sql_in_the_answer_to_a_question_of_a_task(line: Line, server: Scripted, later: Later) -> None:
    """It is refused as in arguments, and does not leave."""
    alice = Caller(line, able={**TASKS, **ABLE})
    id = alice.begin()
    later.status, later.more = "input_required", {"inputRequests": {"a": question()}}
    (key,) = alice.get(id)["result"]["inputRequests"]
    server.seen.clear()
    answer = {"action": "accept", "content": {"name": "DROP TABLE users"}}
    said = alice.send("tasks/update", {"taskId": id, "inputResponses": {key: answer}})
    assert failed(said) == (-32000, "sql_blocked")
    assert [body for _, body in server.seen if body["method"] == "tasks/update"] == []


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
def test_a_task_belongs_to_its_caller(line: Line, server: Scripted, later: Later, method: str) -> None:
    """Another agent has none of this id, nor has the path of another server; made-up ids are unknown."""
    id = Caller(line).begin()
    server.seen.clear()
    for caller in (Caller(line, "bob"), Caller(line, path="/mcp/mute"), Caller(line, path="/mcp")):
        answer = caller.send(method, {"taskId": id, "inputResponses": {"a": ACCEPTED}})
        assert failed(answer) == (MISSING if caller.client.path == "/mcp" else (-32602, "invalid_request"))
    others: list[Any] = ["l-1", id[:-3] + "AAA", "", "x" * 5000]
    for other in others:
        answer = Caller(line).send(method, {"taskId": other, "inputResponses": {"a": ACCEPTED}})
        assert failed(answer) == (-32602, "invalid_request")
    answer = Caller(line).raw(method, {"taskId": id}, mcp_name="l-1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, mcp_names.MISMATCH)
    assert [body["method"] for _, body in server.seen if body["method"].startswith("tasks/")] == []


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
def test_who_loses_a_tool_loses_its_tasks(
    line: Line, server: Scripted, later: Later, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """By another policy: of the tool itself, of results of tasks, of answers."""
    alice = Caller(line, able={**TASKS, **ABLE})
    id = alice.begin()
    later.status, later.more = "input_required", {"inputRequests": {"a": question()}}
    (key,) = alice.get(id)["result"]["inputRequests"]
    lost = {"tasks/get": ["it/may", "it/task_result"], "tasks/update": ["it/may", "it/answer_elicitation"]}
    visible = line.gateway.runtime.line.desks.mcp._visible
    server.seen.clear()
    for name in lost.get(method, ["it/may"]):

        async def may(call: Any, asked: str, *, writes: bool | None = None, name: str = name) -> bool:
            return asked != name

        with monkeypatch.context() as patched:
            patched.setattr(visible, "may", may)
            assert failed(alice.send(method, {"taskId": id, "inputResponses": {key: ACCEPTED}})) == NONE
    assert [body["method"] for _, body in server.seen if body["method"].startswith("tasks/")] == []


def test_clients_that_do_not_declare_the_extension(line: Line, server: Scripted, later: Later) -> None:
    """Get no task, and may not ask for one; tools that need one are refused with what is missing."""
    id = Caller(line).begin()
    plain = Caller(line, able={})
    assert text(plain.call()) == "no task"
    for method in ("tasks/get", "tasks/cancel", "tasks/update"):
        answer = plain.raw(method, {"taskId": id})
        assert (answer.status_code, failed(answer.json())) == (400, MISSING)
        assert answer.json()["error"]["data"]["requiredCapabilities"] == TASKS
    assert failed(plain.call("must")) == MISSING
    assert failed(plain.call("hidden")) == NONE
    assert failed(Caller(line, path="/mcp").call("it_must")) == (-32601, "tool_not_found")
    assert text(Caller(line, path="/mcp").call("it_may")) == "no task"
    for method in ("tasks/list", "tasks/result"):
        assert failed(Caller(line).send(method, {"taskId": id})) == (-32601, "invalid_request")


def test_a_task_that_nobody_declared(line: Line, server: Scripted, later: Later) -> None:
    """Is a fault of the server: its id would reach the client."""
    made = {**SHOWN, "taskId": "l-1", "status": "working", "resultType": "task"}
    server.answers["tools/call"] = lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": made}
    for answer in (Caller(line, able={}).call(), Caller(line, able=ABLE).call(), Client(line).call("may")):
        assert failed(answer) == (-32000, "upstream_error")
    escaped = json.dumps({"jsonrpc": "2.0", "id": 7, "result": made}).replace("resultType", "result\\u0054ype")
    server.answers["tools/call"] = lambda message: (200, escaped.encode())
    assert failed(Caller(line, able={}).call()) == (-32000, "upstream_error")


def test_what_clients_hear(line: Line, server: Scripted, later: Later) -> None:
    """The extension, where tasks are served; tools that need tasks, where the client declares it."""
    told = Caller(line).send("server/discover", {})["result"]["capabilities"]
    assert told["extensions"] == TASKS["extensions"]
    names = [tool["name"] for tool in Caller(line).send("tools/list", {})["result"]["tools"]]
    assert names == ["may", "exact", "must", "either"]
    names = [tool["name"] for tool in Caller(line, able={}).send("tools/list", {})["result"]["tools"]]
    assert names == ["may", "exact", "either"]
    assert "extensions" not in Caller(line, path="/mcp").send("server/discover", {})["result"]["capabilities"]
    later.offers = {}
    forget(line)
    assert "extensions" not in Caller(line).send("server/discover", {})["result"]["capabilities"]
    assert text(Caller(line).call()) == "no task"
    assert failed(Caller(line).call("must")) == (-32601, "tool_not_found")


@pytest.mark.parametrize(
    ("status", "more"),
    [
        ("odd", {}),
        (None, {}),
        ("working", {"ttlMs": "x"}),
        ("completed", {}),
        ("completed", {"result": []}),
        ("failed", {"error": INJECTION}),
        ("failed", {"error": {"code": "x", "message": "x"}}),
        ("input_required", {}),
        ("input_required", {"inputRequests": []}),
        ("input_required", {"inputRequests": {"a": 7}}),
        ("input_required", {"inputRequests": {"a": {"method": "roots/list"}}}),
        ("input_required", {"inputRequests": {"x" * 65: ASKS}}),
        (
            "input_required",
            {"inputRequests": {str(n): {"method": "elicitation/create", "params": FORM} for n in range(17)}},
        ),
    ],
)
def test_servers_that_describe_no_task(line: Line, later: Later, status: Any, more: dict[str, Any]) -> None:
    """A fault of the server."""
    alice = Caller(line, able={**TASKS, **ABLE})
    id = alice.begin()
    later.status, later.more = status, more
    assert failed(alice.get(id)) == (-32000, "upstream_error")


def test_a_task_that_the_server_has_lost(line: Line, later: Later) -> None:
    """The error has no words of the server about it."""
    alice = Caller(line)
    id = alice.begin()
    later.state["taskId"] = "l-2"
    for method in ("tasks/get", "tasks/cancel"):
        answer = alice.send(method, {"taskId": id})
        assert failed(answer) == (-32602, "invalid_request")
        assert "l-1" not in json.dumps(answer)


def question(method: str = "elicitation/create", params: Any = FORM) -> dict[str, Any]:
    """A question of a server."""
    return {"method": method, "params": params}


def test_questions_of_a_task(line: Line, server: Scripted, later: Later) -> None:
    """Come with its state, under keys of the gateway, the same each time; answers are judged, and leave as the server
    asked for them."""
    alice = Caller(line, able={**TASKS, **ABLE})
    id = alice.begin()
    first = question(params={**FORM, "message": f"Is it {MAIL}?"})
    later.status, later.more = "input_required", {"inputRequests": {"a": first, "b": question(), MAIL: question()}}
    later.more["inputRequests"].pop(MAIL)
    asked = alice.get(id)["result"]["inputRequests"]
    assert alice.get(id)["result"]["inputRequests"] == asked
    assert [*asked.values()] == [question(params={**FORM, "message": "Is it <EMAIL>?"}), question()]
    a, b = asked
    answers = {a: {"action": "accept", "content": {"mail": "bob.jones@example.org"}}, b: {"action": "decline"}}
    assert alice.send("tasks/update", {"taskId": id, "inputResponses": answers})["result"] == {"resultType": "complete"}
    got = server.seen[-1][1]["params"]
    told = {"a": {"action": "accept", "content": {"mail": "<EMAIL_1>"}}, "b": {"action": "decline"}}
    assert (got["taskId"], got["inputResponses"]) == ("l-1", told)
    assert server.seen[-1][0]["mcp-name"] == "l-1"
    assert {*got} == {"taskId", "inputResponses", "_meta"}
    assert "result" in alice.send("tasks/update", {"taskId": id, "inputResponses": {b: ACCEPTED}})


def test_a_key_that_was_masked() -> None:
    """Where answers may hold personal data, and requests may not."""
    codec = mcp.Mcp("it", ())
    codec.answered_asks = {f"d.elicitation.0.{MAIL}": TaskAsk("elicitation", MAIL, 0)}
    asked = SimpleNamespace(request=SimpleNamespace(body={"params": {"inputResponses": {"d.<EMAIL_1>": {}}}}))
    with pytest.raises(Refusal, match="personal data"):
        answers(asked, codec)  # type: ignore[arg-type]


def test_answers_to_what_was_not_asked(line: Line, server: Scripted, later: Later) -> None:
    """Nor of another task, caller or kind: nothing leaves."""
    alice, bob = (Caller(line, agent, able={**TASKS, **ABLE}) for agent in ("alice", "bob"))
    id = alice.begin()
    later.status, later.more = "input_required", {"inputRequests": {"a": question()}}
    (key,) = alice.get(id)["result"]["inputRequests"]
    later.state["taskId"] = "l-2"
    other = alice.begin()
    his = bob.begin()
    digest, kind, tokens, name = key.split(".")
    forged = [f"{digest}.{kind}.{tokens}.b", f"{digest}.sampling.{tokens}.{name}", f"{digest}.{kind}.99.{name}"]
    forged += ["a", "", f"{digest}.{kind}.x.{name}", f"{digest}.{kind}.{'9' * 99}.{name}", f"é.{kind}.{tokens}.{name}"]
    server.seen.clear()
    for one in forged:
        answer = alice.send("tasks/update", {"taskId": id, "inputResponses": {one: ACCEPTED}})
        assert failed(answer) == (-32602, "invalid_request")
    for caller, task in ((alice, other), (bob, his)):
        answer = caller.send("tasks/update", {"taskId": task, "inputResponses": {key: ACCEPTED}})
        assert failed(answer) == (-32602, "invalid_request")
    wrong: list[Any] = [None, [], {}, "x", {key: {"action": "odd"}}, {key: 7}]
    for said in wrong:
        answer = alice.send("tasks/update", {"taskId": id, "inputResponses": said})
        assert failed(answer) == (-32602, "invalid_request")
    assert [body["method"] for _, body in server.seen if body["method"].startswith("tasks/")] == []


def test_questions_are_screened(line: Line, server: Scripted, later: Later) -> None:
    """Instructions, addresses that carry data out, and kinds that a row does not let the server ask."""
    alice = Caller(line, able={**TASKS, **ABLE})
    id = alice.begin()
    later.status = "input_required"
    url = {"mode": "url", "message": "Please look.", "elicitationId": "e"}
    for params in ({**FORM, "message": INJECTION}, {**url, "url": f"https://x.example/?to={MAIL}"}):
        later.more = {"inputRequests": {"a": question(params=params)}}
        assert "result" not in alice.get(id)
    later.more = {"inputRequests": {"a": question(params={**url, "url": "https://x.example/a"})}}
    (asked,) = alice.get(id)["result"]["inputRequests"].values()
    assert asked["params"]["url"] == "https://x.example/a"
    later.more = {"inputRequests": {f"to {MAIL}": question()}}
    assert "result" not in alice.get(id)
    mute = Caller(line, path="/mcp/mute", able={**TASKS, **ABLE})
    id = mute.begin()
    later.more = {"inputRequests": {"a": question()}}
    assert failed(mute.get(id)) == (-32000, "upstream_error")


def test_sampling_is_charged_to_the_workflow(line: Line, server: Scripted, later: Later) -> None:
    """With the answer."""
    alice = Caller(line, able={**TASKS, **ABLE})
    id = alice.begin()
    later.status = "input_required"
    said = prompt("a prompt of several words " * 40)
    later.more = {"inputRequests": {"a": question("sampling/createMessage", said)}}
    (key,) = alice.get(id)["result"]["inputRequests"]
    alice.send("tasks/update", {"taskId": id, "inputResponses": {key: SAMPLED}}, x_correlation_id="sampled-task")
    eventually(lambda: not line.workflow("sampled-task").held.get("calls"))
    assert line.workflow("sampled-task").used["tokens"] > 200
    assert line.workflow("sampled-task").used["calls"] == 1


class Stream:
    """A subscription of the later era: what is put into `says` is told; the answer ends with the test."""

    def __init__(self, server: Scripted) -> None:
        self.says: queue.SimpleQueue[Any] = queue.SimpleQueue()
        server.answers["subscriptions/listen"] = lambda message: partial(self.write, message["id"])

    def write(self, id: Any, handler: Any) -> None:
        """The stream."""
        send = event_stream.begin(handler)
        while (said := self.says.get(timeout=10)) is not None:
            send(said)
        send({"id": id, "result": {"resultType": "complete"}})

    def heard(self, caller: Caller, wanted: Any, told: list[Any], **headers: str) -> list[Any]:
        """What a client hears of this."""
        for one in (*told, None):
            self.says.put(one)
        raw = caller.raw("subscriptions/listen", {"notifications": wanted}, **headers).text
        return [json.loads(line.removeprefix("data: ")) for line in raw.splitlines() if line.startswith("data: {")]


def changed(id: Any, status: str = "working", **more: Any) -> dict[str, Any]:
    """That a task has another state."""
    return {"method": "notifications/tasks", "params": {**SHOWN, "taskId": id, "status": status, "x": MAIL, **more}}


def agreed(*ids: str) -> dict[str, Any]:
    """That the server tells of these tasks."""
    return {"method": "notifications/subscriptions/acknowledged", "params": {"notifications": {"taskIds": [*ids]}}}


def test_a_client_hears_of_its_tasks(line: Line, server: Scripted, later: Later) -> None:
    """Of those that it named, with results and questions, judged as those that it asks for."""
    alice = Caller(line, able={**TASKS, **ABLE})
    mine = alice.begin()
    later.state["taskId"] = "l-2"
    also = alice.begin()
    later.state["taskId"] = "l-3"
    his = Caller(line, "bob").begin()
    result = {"content": [{"type": "text", "text": f"of {MAIL}"}], "_meta": {"x": 1}}
    told = [
        agreed("l-1", "l-2", "l-3", "l-9"),
        changed("l-1", statusMessage=f"for {MAIL}"),
        changed("l-3"),
        changed("l-9"),
        changed(7),
        changed("l-1", "odd"),
        changed("l-1", "completed"),
        changed("l-1", "completed", result={"content": [{"type": "text", "text": INJECTION}]}),
        changed("l-1", "failed", error={"code": 1, "message": f"no {MAIL}"}),
        changed("l-2", "input_required", inputRequests={"a": question()}),
        changed("l-2", "input_required", inputRequests={"a": question(params={**FORM, "message": INJECTION})}),
        changed("l-2", "input_required", inputRequests={f"to {MAIL}": question()}),
        changed("l-2", "completed", result=result),
        {"method": "notifications/tasks/status", "params": changed("l-1")["params"]},
    ]
    wanted = {"taskIds": [mine, also, his, "l-1", 7, None]}
    acknowledged, *heard, end = Stream(server).heard(alice, wanted, told, x_correlation_id="of-tasks")
    sent = next(body for _, body in server.seen if body["method"] == "subscriptions/listen")["params"]
    assert sent["notifications"] == {"taskIds": ["l-1", "l-2"]}
    assert sent["_meta"][mcp_names.CAPABILITIES]["extensions"] == TASKS["extensions"]
    assert acknowledged["params"]["notifications"] == {"taskIds": [mine, also]}
    assert [one["method"] for one in heard] == ["notifications/tasks"] * 4
    said = [{key: one["params"][key] for key in one["params"] if key not in (*SHOWN, "_meta")} for one in heard]
    (key,) = said[2]["inputRequests"]
    assert said == [
        {"taskId": mine, "status": "working", "statusMessage": "for <EMAIL>"},
        {"taskId": mine, "status": "failed", "error": {"code": 1, "message": "no <EMAIL>"}},
        {"taskId": also, "status": "input_required", "inputRequests": {key: question()}},
        {"taskId": also, "status": "completed", "result": {"content": [{"type": "text", "text": "of <EMAIL>"}]}},
    ]
    assert end["result"]["resultType"] == "complete"
    later.state["taskId"] = "l-2"
    assert "result" in alice.send("tasks/update", {"taskId": also, "inputResponses": {key: ACCEPTED}})
    assert server.seen[-1][1]["params"]["inputResponses"] == {"a": ACCEPTED}
    assert line.workflow("of-tasks").history.labels == ("read:it", "untrusted")


def test_a_stream_of_tasks_has_a_workflow_of_its_own(line: Line, server: Scripted, later: Later) -> None:
    """Unless it names one: it may be of several tasks."""
    alice = Caller(line)
    mine = alice.begin(x_correlation_id="begun-before")
    told = [agreed("l-1"), changed("l-1", statusMessage=INJECTION), changed("l-1", statusMessage=f"of {MAIL}")]
    _, heard, _ = Stream(server).heard(alice, {"taskIds": [mine]}, told)
    assert heard["params"]["statusMessage"] == "of <EMAIL>"
    assert line.workflow("begun-before").history.labels == ("read:it",)


def test_streams_of_tasks_need_the_extension(line: Line, server: Scripted, later: Later) -> None:
    """Of the client, and of the server; who lost the tool hears nothing."""
    alice = Caller(line)
    mine = alice.begin()
    stream = Stream(server)
    answer = Caller(line, able={}).raw("subscriptions/listen", {"notifications": {"taskIds": [mine]}})
    assert (answer.status_code, failed(answer.json())) == (400, MISSING)
    later.offers = {}
    forget(line)
    (end,) = stream.heard(alice, {"taskIds": [mine]}, [changed("l-1")])
    sent = next(body for _, body in server.seen if body["method"] == "subscriptions/listen")["params"]
    assert (sent["notifications"], end["result"]["resultType"]) == ({}, "complete")


def test_who_lost_a_tool_hears_nothing_of_its_tasks(
    line: Line, server: Scripted, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream has none of them."""
    alice = Caller(line)
    mine = alice.begin()
    visible = line.gateway.runtime.line.desks.mcp._visible

    async def only_listen(call: Any, name: str, *, writes: bool | None = None) -> bool:
        return name == "it/listen"

    monkeypatch.setattr(visible, "may", only_listen)
    acknowledged, _ = Stream(server).heard(alice, {"taskIds": [mine]}, [agreed("l-1"), changed("l-1")])
    assert acknowledged["params"]["notifications"] == {}


@pytest.fixture
def earlier(line: Line, server: Scripted) -> Iterator[Tasks]:
    """The server, which has the earlier era alone, and tasks in it."""
    forget(line)
    server.seen.clear()
    unknown = {"code": -32601, "message": "no such method"}
    server.answers["server/discover"] = lambda message: {"jsonrpc": "2.0", "id": message["id"], "error": unknown}
    yield Tasks(server)
    server.answers.clear()
    server.about = {"tools": {}}


def answering(said: Any, message: dict[str, Any]) -> Any:
    """A response that says this."""
    return {"jsonrpc": "2.0", "id": message["id"], **said}


OLD = {"createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z"}
BRIDGED = {**OLD, "status": "working", "ttlMs": 60000, "pollIntervalMs": 5, "statusMessage": "for <EMAIL>"}


def test_tasks_of_a_server_of_the_earlier_era(line: Line, server: Scripted, earlier: Tasks) -> None:
    """Tools that need a task are called as one; state and result come in the form of the later era."""
    alice = Caller(line)
    assert alice.send("server/discover", {})["result"]["capabilities"]["extensions"] == TASKS["extensions"]
    assert "must" in [tool["name"] for tool in alice.send("tools/list", {})["result"]["tools"]]
    made = alice.call("must")["result"]
    id = made.pop("taskId")
    assert made == {**BRIDGED, "resultType": "task"}
    assert server.seen[-1][1]["params"] == {"name": "must", "arguments": {}, "task": {}}
    assert alice.get(id)["result"] == {**BRIDGED, "resultType": "complete", "taskId": id}
    for status, shown in (("input_required", "working"), ("cancelled", "cancelled")):
        earlier.state["status"] = status
        assert alice.get(id)["result"] == {**BRIDGED, "resultType": "complete", "taskId": id, "status": shown}
    for status in ("completed", "failed"):
        earlier.state["status"] = status
        state = alice.get(id)["result"]
        assert (state["status"], state["result"]) == (
            "completed",
            {"content": [{"type": "text", "text": "done for <EMAIL>"}]},
        )
    assert text(alice.call("either")) == text(alice.call("may")) == "no task"
    assert alice.send("tasks/cancel", {"taskId": id})["result"] == {"resultType": "complete"}
    answer = alice.send("tasks/update", {"taskId": id, "inputResponses": {"a": ACCEPTED}})
    assert failed(answer) == (-32602, "invalid_request")


def test_the_end_of_a_task_of_the_earlier_era(line: Line, server: Scripted, earlier: Tasks) -> None:
    """An error of the request is one of the task; anything else is a fault of the server."""
    alice = Caller(line)
    id = alice.begin("must")
    earlier.state["status"] = "failed"
    ends: list[tuple[Any, Any]] = [
        ({"error": {"code": -32603, "message": f"no {MAIL}"}}, {"code": -32603, "message": "no <EMAIL>"}),
        ({"error": "x"}, None),
        ({}, None),
    ]
    for said, error in ends:
        server.answers["tasks/result"] = partial(answering, said)
        answer = alice.get(id)
        if error is None:
            assert failed(answer) == (-32000, "upstream_error")
        else:
            assert (answer["result"]["status"], answer["result"]["error"]) == ("failed", error)


def test_a_task_crosses_from_the_earlier_era_only(line: Line, server: Scripted, later: Later) -> None:
    """A client of the earlier era hears that a task is one of the later."""
    id = Caller(line).begin()
    for method in ("tasks/get", "tasks/cancel", "tasks/result"):
        answer = User(line).about(method, id)
        assert failed(answer) == (-32602, "invalid_request")
        assert mcp_names.MODERN in answer["error"]["message"]
