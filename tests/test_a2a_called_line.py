"""Agents that offer HTTP+JSON alone: streams, errors, hostile answers; `test_a2a_line` has what is common to both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from agent_server import POLICY, Scripted, interface, own_code, scripted
from gateway.agents import card
from gateway.agents.remote import Remote
from gateway.config.a2a import RemoteAgent
from gateway.dialects import a2a_called
from gateway.dialects.jsonrpc import Fault
from gateway.errors import Refusal
from gateway.tools.breaker import Breakers
from gateway.upstream.client import Destination
from gateway.upstream.health import Healths
from line import Line, config, policies, running
from tool_server import MAIL

CARD = "4111 1111 1111 1111"


@pytest.fixture(scope="module")
def up() -> Iterator[Scripted]:
    """A scripted agent."""
    with scripted() as made:
        capabilities = {"streaming": True, "extendedAgentCard": True}
        made.card = {
            "name": "P",
            "capabilities": capabilities,
            "supportedInterfaces": [interface(made.url, "HTTP+JSON")],
        }
        yield made


@pytest.fixture
def agent(up: Scripted) -> Scripted:
    """The same, as new."""
    up.answer, up.raw, up.status, up.stream = None, None, 200, None
    up.seen.clear()
    up.headers.clear()
    return up


@pytest.fixture(scope="module")
def line(up: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway in front of that agent, and of others that it cannot call."""
    folder = tmp_path_factory.mktemp("called")
    with scripted() as grpc:
        grpc.card = {
            "name": "G",
            "supportedInterfaces": [
                {"url": f"{grpc.url}/", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
                {"url": "http://elsewhere.example/", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
                {"url": grpc.url, "protocolBinding": "<b>ignore this</b>", "protocolVersion": "1.0"},
            ],
        }
        rows = {"planner": {"url": up.url, "auth": {"token": "agent-token-9"}, "max_answer": 100_000}}
        rows["distant"] = {"url": grpc.url}
        fields = {"a2a": rows, "policy": policies(folder, POLICY), "output": {"pii": "block"}}
        with running(folder, config(folder, "http://127.0.0.1:9/v1", **fields)) as started:
            yield started


def post(line: Line, method: str, params: Any, *, to: str = "planner", version: str = "1.0") -> Any:
    """The answer of HTTP to a request of JSON-RPC."""
    body = {"jsonrpc": "2.0", "id": "r1", "method": method, "params": params}
    return line.client.post(f"/a2a/{to}", json=body, headers={"a2a-version": version})


def message(text: str) -> dict[str, Any]:
    """The parameters of a message."""
    return {"message": {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": text}]}}


def events(answer: Any) -> list[Any]:
    """The events of a stream of JSON-RPC."""
    found = [json.loads(it.partition("data: ")[2]) for it in answer.text.strip().split("\n\n") if "data: " in it]
    assert {it["id"] for it in found} == {"r1"}
    return found


def stream(*said: Any) -> Iterator[bytes]:
    """A stream of bare results; texts are sent as they are."""
    for one in said:
        yield one if isinstance(one, bytes) else b"data: " + json.dumps(one).encode() + b"\n\n"


WORKING = {"id": "s1", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}
DONE = {"statusUpdate": {"taskId": "s1", "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED"}}}


def chunk(text: str) -> dict[str, Any]:
    """A piece of an artifact."""
    artifact = {"artifactId": "a", "parts": [{"text": text}]}
    return {"artifactUpdate": {"taskId": "s1", "contextId": "c", "artifact": artifact, "append": True}}


def test_what_is_sent(line: Line, agent: Scripted) -> None:
    """A request of HTTP with the credential of the gateway, without what was masked."""
    answer = post(line, "SendMessage", message(f"to {MAIL}"))
    assert MAIL in answer.text
    assert MAIL not in json.dumps(agent.seen)
    headers = agent.headers[-1]
    assert headers["content-type"] == "application/a2a+json"
    assert (headers["authorization"], headers["a2a-version"]) == ("Bearer agent-token-9", "1.0")


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_streams(line: Line, agent: Scripted, cut: int) -> None:
    """Have the envelope for callers of JSON-RPC and none for those of HTTP+JSON, however they arrive."""
    mail = "ann.lee@example.org"

    def pieces() -> Iterator[bytes]:
        masked = agent.seen[-1]["params"]["message"]["parts"][0]["text"].removeprefix("to ")
        raw = b"".join(
            stream({"task": WORKING}, b": keep-alive\n\n", chunk(f"sent to {masked[:4]}"), chunk(masked[4:]), DONE)
        )
        yield from (raw[at : at + cut] for at in range(0, len(raw), cut))

    agent.stream = lambda method, params: pieces()
    found = [it["result"] for it in events(post(line, "SendStreamingMessage", message(f"to {mail}")))]
    texts = [it["artifactUpdate"]["artifact"]["parts"][0]["text"] for it in found if "artifactUpdate" in it]
    assert (found[0]["task"], found[-1]) == (WORKING, DONE)
    assert "".join(texts) == f"sent to {mail}"
    rest = line.client.post("/a2a/planner/message:stream", json=message(f"to {mail}")).text
    assert json.loads(rest.partition("data: ")[2].partition("\n")[0]) == {"task": WORKING}
    agent.stream = lambda method, params: stream({"task": WORKING}, DONE)
    assert events(post(line, "SubscribeToTask", {"id": "s1"}))[-1]["result"] == DONE
    assert agent.seen[-1] == {"method": "SubscribeToTask", "params": {"id": "s1"}}


@pytest.mark.parametrize(
    "said",
    [
        [{"task": WORKING}, chunk(f"card {CARD}")],
        [{"task": WORKING}, chunk(f"card {CARD[:9]}"), chunk(CARD[9:])],
        [{"task": WORKING}, {"artifactUpdate": {**chunk(f"card {CARD}")["artifactUpdate"], "taskId": "other"}}],
        [{"task": WORKING}, {"x": CARD}],
        [{"task": WORKING}, f"data: {CARD}\n\n".encode()],
        [{"task": WORKING}, f'data: {{"task": {{}}}}, "x": "{CARD}"\n\n'.encode()],
        [{"task": WORKING}, f'data: {{"task": {{}}}}, "id": "{CARD}", "result": {{"task": {{}}}}\n\n'.encode()],
        [{"task": WORKING}, {"error": {"code": 500, "message": f"card {CARD}"}}],
        [{"task": WORKING}, f'event: error\ndata: "{CARD}"\n\n'.encode()],
        [{"task": WORKING}, chunk("x" * 120_000)],
        [],
    ],
)
def test_hostile_streams(line: Line, agent: Scripted, said: list[Any]) -> None:
    """End with an error, and nothing of what was wrong; the next caller is served."""
    agent.stream = lambda method, params: stream(*said)
    answer = post(line, "SendStreamingMessage", message("go"))
    assert CARD not in answer.text
    assert CARD[10:] not in answer.text
    assert "error" in events(answer)[-1]
    agent.stream = None
    assert "result" in post(line, "SendMessage", message("next")).json()


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (404, "TASK_NOT_FOUND", -32001),
        (400, "TASK_NOT_CANCELABLE", -32002),
        (400, "CONTENT_TYPE_NOT_SUPPORTED", -32005),
        (400, "INVALID_REQUEST", -32600),
        (500, "INVALID_AGENT_RESPONSE", -32006),
        (400, "SOMETHING_OF_ITS_OWN", -32602),
        (500, "SOMETHING_OF_ITS_OWN", -32603),
    ],
)
def test_errors_of_the_agent(line: Line, agent: Scripted, status: int, reason: str, code: int) -> None:
    """Keep their message and details, over JSON-RPC with the code of the reason, over HTTP+JSON with its status."""
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "a2a-protocol.org"}]
    error = {"error": {"code": status, "status": "X", "message": "no such plan", "details": details}}
    agent.raw, agent.status = json.dumps(error).encode(), status
    for method in ("SendMessage", "SendStreamingMessage"):
        got = post(line, method, message("x")).json()["error"]
        assert (got["code"], got["message"], got["data"]) == (code, "no such plan", details)
    answer = line.client.post("/a2a/planner/message:send", json=message("x"))
    known = reason != "SOMETHING_OF_ITS_OWN"
    assert (answer.status_code, answer.json()["error"]["details"]) == (
        status if known or status == 400 else 500,
        details,
    )
    agent.raw, agent.status = None, 200
    agent.stream = lambda method, params: stream(
        {"task": WORKING}, b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n"
    )
    last = events(post(line, "SendStreamingMessage", message("x")))[-1]["error"]
    assert (last["message"], last["data"]) == ("no such plan", details)


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (200, b"[]"),
        (200, b"{"),
        (200, b'{"task": {}}, "id": 7, "x": {'),
        (200, b'{"task": {"id": "t"}}}, {"x": {"y": 1}'),
        (200, b'{"message": {}, "task": {"id": "t"}}'),
        (404, b"not found"),
        (404, b'{"error": "no"}'),
        (500, b""),
        (302, b'{"error": {"message": "x"}}'),
        (401, b'{"error": {"code": 401, "message": "x"}}'),
        (200, b'{"x": "' + b"y" * 120_000 + b'"}'),
    ],
)
def test_hostile_answers(line: Line, agent: Scripted, status: int, raw: bytes) -> None:
    """Are errors of the upstream."""
    agent.raw, agent.status = raw, status
    assert own_code(post(line, "SendMessage", message("x")).json()["error"]) == "upstream_error"
    agent.raw, agent.status = None, 200
    assert "result" in post(line, "SendMessage", message("next")).json()


def test_the_extended_card(line: Line, agent: Scripted) -> None:
    """Is read in this binding, too."""
    agent.raw = json.dumps({"name": "P", "skills": [{"id": "private", "secret": 1}]}).encode()
    assert post(line, "GetExtendedAgentCard", {}).json()["result"]["skills"] == [{"id": "private"}]
    assert agent.seen[-1]["method"] == "GetExtendedAgentCard"
    agent.raw = json.dumps({"name": "cut \ud83d", "skills": [{"id": "private", "secret": 1}], "secret": 1}).encode()
    card = post(line, "GetExtendedAgentCard", {}).json()["result"]
    assert (card["name"], card["skills"], "secret" in card) == ("cut \ufffd", [{"id": "private"}], False)


def test_agents_that_cannot_be_called(line: Line, agent: Scripted) -> None:
    """The error says what the gateway calls, and what the agent has, in words that are not the agent's."""
    error = post(line, "SendMessage", message("x"), to="distant").json()["error"]
    assert error["code"] == -32009
    assert "JSON-RPC or HTTP+JSON, on the host" in error["message"]
    assert "gRPC 1.0" in error["message"]
    assert "ignore" not in error["message"]
    old = {"message": {"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "x"}]}}
    assert post(line, "message/send", old, version="0.3").json()["error"]["code"] == -32009
    assert agent.seen == []


def test_cards_and_their_interfaces() -> None:
    """JSON-RPC comes first; HTTP+JSON is called in 1.0, on the host of the agent, without a tenant."""
    base = URL("http://a.example")

    def found(*listed: tuple[str, str, str], **more: Any) -> dict[str, tuple[str, bool]]:
        said = [{"url": url, "protocolBinding": kind, "protocolVersion": version} for kind, version, url in listed]
        made = card.interfaces({"supportedInterfaces": said, **more}, base)
        return {version: (it.url, it.rest) for version, it in made.items()}

    rest, rpc = ("HTTP+JSON", "1.0", "http://a.example/r"), ("JSONRPC", "1.0", "http://a.example/j")
    assert found(rest) == {"1.0": ("http://a.example/r", True)}
    assert found(rest, rpc) == {"1.0": ("http://a.example/j", False)}
    assert found(("HTTP+JSON", "0.3", "http://a.example/r"), ("HTTP+JSON", "1.0", "http://b.example/r")) == {}
    assert found(rest, url="http://a.example/o") == {
        "1.0": ("http://a.example/r", True),
        "0.3": ("http://a.example/o", False),
    }


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("GetTask", {"id": "a/b"}),
        ("GetTask", {"id": "../x"}),
        ("GetTask", {"id": "x:subscribe"}),
        ("CancelTask", {"id": "x:cancel"}),
        ("GetTask", {}),
        ("GetTask", {"id": "x", "metadata": {}}),
        ("GetTaskPushNotificationConfig", {"taskId": "t", "id": "a b"}),
        ("ListTasks", {"status": ["x"]}),
    ],
)
def test_what_has_no_place(method: str, params: Any) -> None:
    """In a path or a query is refused."""
    with pytest.raises(Fault):
        a2a_called.asked({"method": method, "params": params})


@given(
    id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,20}", fullmatch=True),
    page=st.text(max_size=20),
    size=st.integers(0, 999),
    whole=st.booleans(),
)
def test_paths_and_queries_say_what_was_asked(id: str, page: str, size: int, whole: bool) -> None:
    """No value changes the path, or another value."""
    asked = a2a_called.asked(
        {"method": "ListTasks", "params": {"pageToken": page, "pageSize": size, "includeArtifacts": whole}}
    )
    url = URL(f"http://a.example/r{asked.path}", encoded=True)
    assert url.path == "/r/tasks"
    assert dict(url.query) == {"pageToken": page, "pageSize": str(size), "includeArtifacts": str(whole).lower()}
    if not id.endswith((":cancel", ":subscribe")):
        asked = a2a_called.asked({"method": "GetTask", "params": {"id": id}})
        assert URL(f"http://a.example/r{asked.path}", encoded=True).path == f"/r/tasks/{id}"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://h/x HTTP/1.0", "/x%20HTTP/1.0/tasks/t"),
        ("http://h/x\r\nY: z", "/xY:%20z/tasks/t"),
        ("http://h/x\u2028y", "/x%E2%80%A8y/tasks/t"),
        ("http://h/x#fragment", "/x/tasks/t"),
        ("http://h/x/?query=1#fragment", "/x/tasks/t"),
        ("http://h/%2e%2e/a%2Fb", "/a%2Fb/tasks/t"),
        ("http://h", "/tasks/t"),
    ],
)
async def test_urls_of_cards_are_paths(url: str, path: str) -> None:
    """Whatever is in them: what was asked for is asked of the agent, with one line of HTTP."""
    asked: list[Destination] = []

    async def post(to: Destination, data: bytes) -> Any:
        asked.append(to)
        raise OSError

    agent = Remote(
        "planner", RemoteAgent(url="http://h"), SimpleNamespace(post=post), Breakers(Healths()).of("planner")
    )
    message = {"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "t"}}
    with pytest.raises(Refusal):
        await agent.ask("1.0", card.Interface(url, rest=True), message, lambda size: None)
    assert asked[0].url.raw_path_qs == path
