"""The HTTP+JSON binding of A2A through the whole gateway: the same checks as over JSON-RPC, with HTTP's errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agent_server import POLICY, Scripted, scripted, task
from line import Line, config, policies, running
from tool_server import MAIL

CARD = "4111 1111 1111 1111"


@pytest.fixture(scope="module")
def up() -> Iterator[Scripted]:
    """A scripted agent."""
    with scripted() as made:
        made.card = {
            "name": "Planner",
            "supportedInterfaces": [
                {"url": f"{made.url}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            ],
        }
        yield made


@pytest.fixture
def agent(up: Scripted) -> Scripted:
    """The same, as new."""
    up.answer, up.raw, up.status, up.stream = None, None, 200, None
    up.seen.clear()
    return up


@pytest.fixture(scope="module")
def line(up: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a policy and quotas."""
    folder = tmp_path_factory.mktemp("rest")
    fields = {
        "a2a": {"planner": {"url": up.url, "price": 0.25}},
        "policy": policies(folder, POLICY),
        "quotas": {"cost_usd": 100, "calls": 100},
        "output": {"pii": "block"},
    }
    with running(folder, config(folder, "http://127.0.0.1:9/v1", **fields)) as started:
        yield started


def ask(line: Line, method: str, path: str, said: Any = None, *, who: str = "alice", **more: str) -> Any:
    """The answer of HTTP."""
    headers = {"authorization": f"Bearer mg-{who}"} | {name.replace("_", "-"): value for name, value in more.items()}
    content = b"" if said is None else said if isinstance(said, bytes) else json.dumps(said).encode()
    return line.client.request(method, f"/a2a/planner{path}", content=content, headers=headers)


def message(text: str, **more: Any) -> dict[str, Any]:
    """The body of a message."""
    return {"message": {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": text}], **more}}


def failed(answer: Any) -> tuple[int, str]:
    """Status and reason of an error."""
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    return answer.status_code, error["details"][0]["reason"]


def test_messages_and_tasks(line: Line, agent: Scripted) -> None:
    """As over JSON-RPC, without its envelope; tasks of others are not found."""
    answer = ask(line, "POST", "/message:send", message(f"to {MAIL}"), x_correlation_id="rest")
    assert answer.headers["content-type"] == "application/a2a+json"
    id = answer.json()["task"]["id"]
    assert MAIL in answer.text
    assert MAIL not in json.dumps(agent.seen)
    assert agent.seen[0]["method"] == "SendMessage"
    assert ask(line, "GET", f"/tasks/{id}?historyLength=3", x_correlation_id="rest").json()["id"] == id
    assert agent.seen[-1]["params"] == {"id": id, "historyLength": 3}
    assert ask(line, "POST", f"/tasks/{id}:cancel", {"metadata": {"why": "x"}}).json()["id"] == id
    assert agent.seen[-1]["params"] == {"id": id, "metadata": {"why": "x"}}
    agent.seen.clear()
    for method, path in (("GET", f"/tasks/{id}"), ("POST", f"/tasks/{id}:cancel"), ("GET", f"/tasks/{id}:subscribe")):
        assert failed(ask(line, method, path, who="bob")) == (404, "TASK_NOT_FOUND")
    assert agent.seen == []
    agent.answer = lambda method, params: {"tasks": [task(id, "x"), task("other", "y")], "nextPageToken": ""}
    assert [it["id"] for it in ask(line, "GET", "/tasks?pageSize=5").json()["tasks"]] == [id]
    assert agent.seen[-1]["params"] == {"pageSize": 5}
    assert line.workflow("rest").used["calls"] == 2


def test_streams(line: Line, agent: Scripted) -> None:
    """Events are bare results; a refusal is an event `error`."""

    def events(*texts: str) -> Iterator[bytes]:
        working = {"id": "s1", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}, "metadata": {"n": 2**70}}
        said: list[dict[str, Any]] = [{"task": working}]
        for text in texts:
            artifact = {"artifactId": "a", "parts": [{"text": text}]}
            said.append({"artifactUpdate": {"taskId": "s1", "contextId": "c", "artifact": artifact}})
        for result in said:
            yield b"data: " + json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode() + b"\n\n"

    agent.stream = lambda method, params: events("Hello.")
    raw = ask(line, "POST", "/message:stream", message("go")).text
    first, second = (json.loads(one.removeprefix("data: ")) for one in raw.strip().split("\n\n"))
    assert first["task"]["metadata"]["n"] == 2**70
    assert second["artifactUpdate"]["artifact"]["parts"] == [{"text": "Hello."}]
    agent.stream = lambda method, params: events(f"card {CARD[:9]}", CARD[9:])
    raw = ask(line, "POST", "/tasks/s1:subscribe").text
    last = raw.strip().split("\n\n")[-1]
    assert last.startswith("event: error\ndata: ")
    assert json.loads(last.partition("data: ")[2])["error"]["details"][0]["reason"] == "OUTPUT_BLOCKED"
    assert CARD[10:] not in raw


@pytest.mark.parametrize(
    ("method", "path", "said", "expected"),
    [
        ("POST", "/message:send", b"[]", (400, "INVALID_REQUEST")),
        ("POST", "/message:send", b"{", (400, "INVALID_REQUEST")),
        ("POST", "/message:send", b"{}", (400, "INVALID_PARAMS")),
        ("POST", "/message:send", message("forbidden"), (403, "POLICY_DENIED")),
        ("POST", "/message:send", b'{"message": {}, "message": {}}', (400, "INVALID_REQUEST")),
        ("POST", "/message:send", b'{"message": {}}, "id": {}', (400, "INVALID_REQUEST")),
        ("GET", "/tasks/a%20b", None, (400, "INVALID_PARAMS")),
        ("GET", "/tasks?pageSize=1&pageSize=2", None, (400, "INVALID_PARAMS")),
        ("GET", "/extendedAgentCard", None, (400, "EXTENDED_AGENT_CARD_NOT_CONFIGURED")),
        ("GET", "/message:send", None, (405, "INVALID_REQUEST")),
    ],
)
def test_mistakes(line: Line, agent: Scripted, method: str, path: str, said: Any, expected: tuple[int, str]) -> None:
    """Have the status of HTTP and the reason of the protocol, and nothing leaves."""
    assert failed(ask(line, method, path, said)) == expected
    assert agent.seen == []


def test_versions_keys_and_errors_of_the_agent(line: Line, agent: Scripted) -> None:
    """Only 1.0 has these paths; an error of the agent keeps its code."""
    assert failed(ask(line, "GET", "/tasks/x", a2a_version="0.3")) == (400, "VERSION_NOT_SUPPORTED")
    assert failed(ask(line, "GET", "/tasks/x", who="nobody")) == (401, "UNAUTHENTICATED")
    error = {"code": -32005, "message": "no pictures", "data": [{"@type": "x"}]}
    agent.raw = json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode()
    for path in ("/message:send", "/message:stream"):
        answer = ask(line, "POST", path, message("draw"))
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "no pictures"
    agent.raw = b"garbage"
    assert failed(ask(line, "POST", "/message:send", message("x"))) == (502, "UPSTREAM_ERROR")


def test_idempotency(line: Line, agent: Scripted) -> None:
    """The same message with the same key is answered once."""
    first, second = (ask(line, "POST", "/message:send", message("once"), idempotency_key="k1") for _ in range(2))
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert len(agent.seen) == 1
