"""MCP through the whole gateway: calls of tools walk the line that calls of models walk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import tool_server
from line import Line, config, policies, running
from tool_client import Client, failed, text
from tool_server import INJECTION, MAIL, Scripted

CARD = "4111 1111 1111 1111"
POLICY = """package gateway

import rego.v1

decision := {"allow": allow, "deny": deny, "obligations": labels}

default allow := false

allow if input.action.kind == "llm"

allow if {
	input.action.kind == "tool"
	input.action.name != "hidden"
}

untrusted if "untrusted" in input.context.history.labels

deny contains {"code": "flow", "message": "No", "class": "safety"} if {
	untrusted
	input.action.name == "send_it"
	not input.action.of_result
}

deny contains {"code": "injected", "message": "No", "class": "safety"} if input.content.injection.tool >= 0.9

deny contains {"code": "argument", "message": "No", "class": "safety"} if input.action.args.forbidden

deny contains {"code": "server", "message": "No", "class": "safety"} if {
	input.action.kind == "tool"
	input.action.server != "it"
}

labels contains {"code": "l", "labels": ["untrusted"]} if input.content.injection.tool >= 0.5

labels contains {"code": "p", "labels": ["read:pii"]} if "tool" in input.content.pii_from
"""


@pytest.fixture(scope="module")
def up_tools() -> Iterator[Scripted]:
    """A scripted server."""
    with tool_server.scripted() as made:
        yield made


@pytest.fixture
def server(up_tools: Scripted) -> Scripted:
    """The same, as new."""
    up_tools.answers.clear()
    up_tools.seen.clear()
    return up_tools


@pytest.fixture(scope="module")
def line(up_tools: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a policy, quotas, limits and prices."""
    folder = tmp_path_factory.mktemp("mcp")
    up_tools.tools = [tool_server.tool(name) for name in ("get_it", "send_it", "hidden", "slow")]
    up_tools.tools[0]["inputSchema"] = {"type": "object", "properties": {"n": {"type": "integer"}}}
    row = {"mcp": up_tools.url, "price": {"get_*": 0.25}, "timeout": "500ms", "max_answer": 100_000, "refresh": "1h"}
    settings = config(
        folder,
        "http://127.0.0.1:9/v1",
        tools={"it": row, "dead": {"mcp": "http://127.0.0.1:9/mcp"}},
        policy=policies(folder, POLICY),
        quotas={"cost_usd": 1, "calls": 50, "repeats": 3},
        limits=[{"per": "tool", "match": {"agent": "bob"}, "requests": "2/h"}],
        pii={"entities": {"CREDIT_CARD": "block"}},
        output={"sql": ["select"]},
    )
    with running(folder, settings) as started:
        yield started


def said(words: str) -> Any:
    """An answer of a server that says something."""
    return results({"content": [{"type": "text", "text": words}]})


def results(result: dict[str, Any]) -> Any:
    """An answer of a server with a result."""
    return lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": result}


def test_a_call_reaches_the_tool_and_its_result_the_caller(line: Line, server: Scripted) -> None:
    """The tool gets its arguments and the gateway's own headers, never the caller's key; the result has the id."""
    client = Client(line)
    answer = client.call("get_it", {"n": 3}, x_correlation_id="reaches")
    assert json.loads(text(answer)) == {"n": 3}
    assert answer["id"] == 7
    headers, message = server.seen[-1]
    assert message["params"] == {"name": "get_it", "arguments": {"n": 3}}
    assert "mg-alice" not in json.dumps(headers)
    assert headers["mcp-protocol-version"] == "2025-11-25"


def test_a_call_is_charged_its_price(line: Line, server: Scripted) -> None:
    """Calls and money of the workflow; when the money does not suffice, the workflow freezes."""
    client = Client(line)
    for n in range(4):
        assert "result" in client.call("get_it", {"n": n}, x_correlation_id="priced")
    workflow = line.workflow("priced")
    assert (workflow.used["cost"], workflow.used["calls"]) == (10**9, 4)
    assert workflow.history.tools == ("it/get_it",)
    assert failed(client.call("get_it", {"n": 9}, x_correlation_id="priced")) == (-32000, "quota_exceeded")


def test_the_same_call_again_and_again_is_a_loop(line: Line, server: Scripted) -> None:
    """The order of keys does not matter."""
    client = Client(line)
    for _ in range(3):
        assert "result" in client.call("send_it", {"a": 1, "b": 2}, x_correlation_id="loop")
    assert failed(client.call("send_it", {"b": 2, "a": 1}, x_correlation_id="loop")) == (-32000, "loop_detected")
    assert "result" in client.call("send_it", {"a": 3}, x_correlation_id="loop")


def test_limits_per_tool_count_each_tool(line: Line, server: Scripted) -> None:
    """A third call of the same tool within the hour is refused; another tool is not."""
    client = Client(line, agent="bob")
    answers = [client.call("get_it", {"n": n}) for n in range(3)]
    assert failed(answers[2]) == (-32000, "rate_limited")
    assert "result" in client.call("send_it")


def test_arguments_are_redacted_and_results_restored(line: Line, server: Scripted) -> None:
    """The tool sees a placeholder; the caller gets the value back."""
    answer = Client(line).call("send_it", {"to": MAIL}, x_correlation_id="masked")
    assert server.seen[-1][1]["params"]["arguments"] == {"to": "<EMAIL_1>"}
    assert json.loads(text(answer)) == {"to": MAIL}


def test_what_must_not_leave_does_not(line: Line, server: Scripted) -> None:
    """A card is blocked, SQL that writes is refused, and the policy reads arguments."""
    client, before = Client(line), len(server.seen)
    assert failed(client.call("send_it", {"card": CARD})) == (-32000, "pii_blocked")
    assert failed(client.call("send_it", {"q": "DELETE FROM users WHERE id = 3"})) == (-32000, "sql_blocked")
    assert failed(client.call("send_it", {"forbidden": True})) == (-32000, "policy_denied")
    assert [message["method"] for _, message in server.seen[before:] if message["method"] == "tools/call"] == []


def test_a_tool_that_is_not_allowed_is_unknown(line: Line, server: Scripted) -> None:
    """In the list and in calls; a tool that does not exist gets the same answer."""
    client = Client(line)
    assert client.tools() == ["get_it", "send_it", "slow"]
    hidden, missing = client.call("hidden"), client.call("missing")
    assert failed(hidden) == failed(missing) == (-32602, "tool_not_found")
    assert hidden["error"]["message"] == missing["error"]["message"]


def test_arguments_must_fit_the_schema(line: Line, server: Scripted) -> None:
    """Refused before anything leaves; the message has no value."""
    answer = Client(line).call("get_it", {"n": "many secrets"})
    assert failed(answer) == (-32602, "invalid_request")
    assert "many secrets" not in json.dumps(answer)


def test_after_untrusted_content_no_tool_writes(line: Line, server: Scripted) -> None:
    """The result labels the workflow, whether it is passed on or withheld; reading goes on."""
    client = Client(line)
    assert "result" in client.call("send_it", {"a": 1}, x_correlation_id="flow")
    server.answers["tools/call"] = said(INJECTION)
    answer = client.call("get_it", {"n": 1}, x_correlation_id="flow")
    assert failed(answer) == (-32000, "policy_denied")
    assert "evil.example" not in json.dumps(answer)
    assert line.workflow("flow").history.labels == ("untrusted",)
    del server.answers["tools/call"]
    assert failed(client.call("send_it", {"a": 2}, x_correlation_id="flow")) == (-32000, "policy_denied")
    assert "result" in client.call("get_it", {"n": 2}, x_correlation_id="flow")


def test_personal_data_in_a_result_labels_the_workflow(line: Line, server: Scripted) -> None:
    """New personal data is taken out of the result."""
    server.answers["tools/call"] = said(f"Write to {MAIL}")
    answer = Client(line).call("get_it", {"n": 1}, x_correlation_id="pii")
    assert text(answer) == "Write to <EMAIL>"
    assert line.workflow("pii").history.labels == ("read:pii",)


def test_an_error_of_a_tool_is_passed_on(line: Line, server: Scripted) -> None:
    """Judged like a result."""
    error = {"code": -32603, "message": f"no mail to {MAIL}"}
    server.answers["tools/call"] = lambda message: {"jsonrpc": "2.0", "id": message["id"], "error": error}
    assert Client(line).call("get_it")["error"] == {"code": -32603, "message": "no mail to <EMAIL>"}


def test_a_session_belongs_to_its_caller(line: Line, server: Scripted) -> None:
    """Its calls are one workflow; nobody else can use or end the session."""
    client, other = Client(line), Client(line, agent="bob")
    session = client.open()
    first = client.send("tools/call", {"name": "get_it", "arguments": {"n": 1}}, mcp_session_id=session)
    again = client.send("tools/call", {"name": "get_it", "arguments": {"n": 2}}, mcp_session_id=session)
    assert first.headers["x-correlation-id"] == again.headers["x-correlation-id"]
    assert server.seen[-1][0]["mcp-session-id"] == "s1"
    foreign = other.send("tools/list", mcp_session_id=session)
    assert (foreign.status_code, failed(foreign.json())) == (404, (-32600, "invalid_request"))
    ended = line.client.delete("/mcp/it", headers={**other.headers, "mcp-session-id": session})
    assert ended.status_code == 404
    assert line.client.delete("/mcp/it", headers={**client.headers, "mcp-session-id": session}).status_code == 200
    assert server.seen[-1][1] == {"method": "DELETE"}


def test_what_a_model_reads_of_a_server(line: Line, server: Scripted) -> None:
    """Instructions and lists that are no tools hold nothing that reads like an order to do harm."""
    fine, bad = {"uri": "x://1", "name": "notes"}, {"uri": "x://2", "name": "notes", "description": INJECTION}
    client = Client(line)
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    told: dict[str, Any] = {}
    about = server.result({"method": "initialize", "params": params})
    for words in ("Orders of the shop. Ask for one by its number.", INJECTION):
        server.answers["initialize"] = results({**about, "instructions": words})
        told = client.send("initialize", params).json()["result"]
        assert told.get("instructions", INJECTION) == words
    assert "instructions" not in told
    for method, kind in (("resources/list", "resources"), ("prompts/list", "prompts")):
        server.answers[method] = results({kind: [fine, bad, "odd", fine]})
        for _ in range(2):
            assert client.send(method, {}).json()["result"][kind] == [fine, fine]


def test_a_session_that_has_ended_is_gone(line: Line, server: Scripted) -> None:
    """For each method, as the transport of the protocol demands, so that its client opens another one."""
    client = Client(line)
    session, other = client.open(), client.open()
    headers = {**client.headers, "mcp-session-id": session}
    assert line.client.delete("/mcp/it", headers=headers).status_code == 200
    many = len(server.seen)
    for method in ("tools/list", "ping", "tools/call"):
        gone = client.send(method, {"name": "get_it", "arguments": {"n": 1}}, mcp_session_id=session)
        assert (gone.status_code, failed(gone.json())) == (404, (-32600, "invalid_request"))
    for method in ("GET", "DELETE"):
        asked = line.client.request(method, "/mcp/it", headers={**headers, "accept": "text/event-stream"})
        assert asked.status_code == 404
    for same in (
        f"{session}=",
        f"{session}!",
        f"{session[:9]}.{session[9:]}",
        *(session[:-1] + it for it in "BCDFQgw"),
    ):
        if same != session:  # bytes that decoders ignore do not make another session
            assert client.send("tools/list", mcp_session_id=same).status_code == 404
    assert len(server.seen) == many
    assert client.send("tools/list", mcp_session_id=other).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("[]", 400, -32600),
        ("{", 400, -32700),
        ('{"id": 1, "method": "ping"}', 400, -32600),
        ('{"jsonrpc": "2.0", "id": null, "method": "ping"}', 400, -32600),
        ('{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', 400, -32602),
        ('{"jsonrpc": "2.0", "id": 1, "method": "nothing/known"}', 200, -32601),
        ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 3}}', 200, -32602),
        (
            '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_it", "arguments": 1}}',
            200,
            -32602,
        ),
    ],
)
def test_messages_that_are_not_valid(line: Line, server: Scripted, body: str, status: int, code: int) -> None:
    """Each gets the protocol's own error."""
    answer = Client(line).post(body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_messages_of_the_protocol_cost_nothing(line: Line, server: Scripted) -> None:
    """Lists, pings and notifications count in no quota."""
    client = Client(line)
    assert client.send("ping", x_correlation_id="free").json() == {"jsonrpc": "2.0", "id": 7, "result": {}}
    assert client.send("tools/list", x_correlation_id="free").status_code == 200
    told = client.post('{"jsonrpc": "2.0", "method": "notifications/initialized"}', x_correlation_id="free")
    assert (told.status_code, told.content) == (202, b"")
    assert line.workflow("free") is None


def test_who_may_call(line: Line) -> None:
    """A key is needed; an unknown server is not found, and the path takes no other methods."""
    assert line.client.post("/mcp/it", content="{}", headers={"authorization": "Bearer no"}).status_code == 401
    assert line.client.post("/mcp/none", content="{}").status_code == 404
    assert line.client.put("/mcp/it", content="{}").status_code == 405


def test_a_server_that_is_not_there(line: Line) -> None:
    """An error of JSON-RPC, and the reservation is given back."""
    assert failed(Client(line, "/mcp/dead").call("x", x_correlation_id="dead")) == (-32000, "upstream_error")
