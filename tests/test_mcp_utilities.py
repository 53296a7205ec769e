"""The utilities of MCP through the gateway: completions, levels of logs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

import tool_server
from line import Line, config, policies, running
from tool_client import Client, failed
from tool_server import MAIL, Scripted

POLICY = """package gateway

import rego.v1

decision := {"allow": allow, "deny": deny, "obligations": labels}

default allow := false

allow if input.subject.agent == "alice"

deny contains {"code": "argument", "message": "No", "class": "safety"} if {
	input.action.name == "complete"
	input.action.args.ref.name == "secret"
}

labels contains {"code": "l", "labels": ["pii"]} if {
	input.action.of_result
	"tool" in input.content.pii_from
}
"""
REF = {"type": "ref/prompt", "name": "greet"}


@pytest.fixture(scope="module")
def served() -> Iterator[Scripted]:
    """A scripted server that has everything."""
    with tool_server.scripted() as made:
        made.about = {"tools": {}, "completions": {}, "logging": {}, "prompts": {}}
        yield made


@pytest.fixture
def server(served: Scripted) -> Scripted:
    """The same, as new."""
    served.answers.clear()
    served.seen.clear()
    return served


@pytest.fixture(scope="module")
def line(served: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a policy, before that server and one that the gateway runs."""
    folder = tmp_path_factory.mktemp("utilities")
    tools = {"it": {"mcp": served.url, "timeout": "5s"}, "process": {"command": [sys.executable, "-c", "pass"]}}
    policy = policies(folder, POLICY)
    with running(folder, config(folder, "http://127.0.0.1:9/v1", tools=tools, policy=policy)) as started:
        yield started


def completing(*values: str) -> Any:
    """An answer with these completions."""
    result = {"completion": {"values": list(values), "total": len(values), "hasMore": False}}
    return lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": result}


def complete(line: Line, agent: str = "alice", path: str = "/mcp/it", **params: Any) -> Any:
    """The response to a request for completions."""
    asked = {"ref": REF, "argument": {"name": "name", "value": "A"}, **params}
    return Client(line, path, agent).send("completion/complete", asked, x_correlation_id="completes").json()


def test_completions_are_served(line: Line, server: Scripted) -> None:
    """With what the server gets of the request; texts are judged in both directions."""
    server.answers["completion/complete"] = completing("Ann", f"Ann of {MAIL}")
    context = {"arguments": {"mail": MAIL}}
    answer = complete(line, context=context)
    assert answer["result"]["completion"] == {"values": ["Ann", f"Ann of {MAIL}"], "total": 2, "hasMore": False}
    assert server.seen[-1][1]["params"] == {
        "ref": REF,
        "argument": {"name": "name", "value": "A"},
        "context": {"arguments": {"mail": "<EMAIL_1>"}},
    }
    server.answers["completion/complete"] = completing("bob@example.org")
    assert complete(line)["result"]["completion"]["values"] == ["<EMAIL>"]
    assert "pii" in line.workflow("completes").history.labels


def test_who_may_complete(line: Line, server: Scripted) -> None:
    """The policy decides, by the argument too; whoever may see nothing hears that there is nothing."""
    server.answers["completion/complete"] = completing("Ann")
    assert failed(complete(line, ref={**REF, "name": "secret"})) == (-32000, "policy_denied")
    assert failed(complete(line, agent="bob")) == (-32602, "tool_not_found")
    assert [one for _, one in server.seen if one["method"] == "completion/complete"] == []


@pytest.mark.parametrize("params", [{"ref": "greet"}, {"argument": None}, {"argument": ["A"]}])
def test_completions_that_are_not_valid(line: Line, server: Scripted, params: dict[str, Any]) -> None:
    """The protocol's own error; at the path of all servers there are none."""
    assert failed(complete(line, **params)) == (-32602, "invalid_request")
    assert failed(complete(line, path="/mcp")) == (-32601, "invalid_request")


def test_a_client_hears_what_is_served(line: Line, server: Scripted) -> None:
    """Of what the server has."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    told = Client(line).send("initialize", params).json()["result"]["capabilities"]
    assert told == {"tools": {}, "prompts": {}, "completions": {}, "logging": {}}


def test_the_level_of_a_log_is_passed_on_in_a_session(line: Line, server: Scripted) -> None:
    """To the client's own session with the server."""
    client = Client(line)
    session = client.open()
    server.session, before = "other", server.session
    server.answers["logging/setLevel"] = lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": {"x": MAIL}}
    answer = client.send("logging/setLevel", {"level": "warning", "x": MAIL}, mcp_session_id=session)
    server.session = before
    assert answer.json() == {"jsonrpc": "2.0", "id": 7, "result": {}}
    headers, message = server.seen[-1]
    assert (message["params"], headers["mcp-session-id"]) == ({"level": "warning"}, "s1")


def test_levels_that_are_not_passed_on(line: Line, server: Scripted) -> None:
    """Unknown levels; without a session, at the path of all servers and for processes, others would be affected."""
    client = Client(line)
    session = client.open()
    for level in (None, "loud", 3):
        assert failed(client.send("logging/setLevel", {"level": level}, mcp_session_id=session).json())[0] == -32602
    for path in ("/mcp/it", "/mcp", "/mcp/process"):
        answer = Client(line, path).send("logging/setLevel", {"level": "info"})
        assert failed(answer.json()) == (-32601, "invalid_request")
    server.answers["logging/setLevel"] = lambda message: {
        "jsonrpc": "2.0",
        "id": message["id"],
        "error": {"code": -32603, "message": "no"},
    }
    assert failed(client.send("logging/setLevel", {"level": "info"}, mcp_session_id=session).json()) == (
        -32000,
        "upstream_error",
    )
