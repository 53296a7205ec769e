"""The shipped policies on what is really called: roles, classes of tools, approvals, flow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import tool_server
from line import KEYS, Line, config, running
from tool_client import Client, failed
from tool_server import INJECTION, Orders, Scripted, tool

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Orders, Scripted]]:
    """A real server, and a scripted one."""
    with tool_server.orders() as orders, tool_server.scripted() as scripted:
        scripted.tools = [
            tool("get_mail", annotations={"readOnlyHint": True}),
            tool("commit", annotations={"readOnlyHint": False}),
            tool("lookup"),
            tool("file_away"),
        ]
        result = {"content": [{"type": "text", "text": INJECTION}]}
        scripted.answers["tools/call"] = lambda message: {
            "jsonrpc": "2.0",
            "id": message["id"],
            "result": result if message["params"]["name"] == "get_mail" else {"content": []},
        }
        yield orders, scripted


@pytest.fixture(scope="module")
def line(servers: tuple[Orders, Scripted], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the shipped policies: bob reads, alice may use everything."""
    folder = tmp_path_factory.mktemp("mcp_policies")
    orders, scripted = servers
    roles = {"alice": "developer", "bob": "reader"}
    agents = {
        name: {"key_sha256": hashlib.sha256(KEYS[name].encode()).hexdigest(), "team": "red", "roles": [role]}
        for name, role in roles.items()
    }
    data = yaml.safe_load((ROOT / "policies" / "data.yaml").read_text())
    data["roles"]["reader"]["tools"] += ["mail/lookup"]
    copied = folder / "policies"
    copied.mkdir()
    for path in (ROOT / "policies").glob("*.rego"):
        (copied / path.name).write_text(path.read_text())
    (copied / "data.yaml").write_text(yaml.safe_dump(data))
    tools = {"orders": {"mcp": orders.url}, "mail": {"mcp": scripted.url, "write": ["file_*"]}}
    settings = config(folder, "http://127.0.0.1:9/v1", tools=tools, agents=agents, policy={"path": str(copied)})
    with running(folder, settings) as started:
        yield started


def test_a_role_decides_which_tools_there_are(line: Line) -> None:
    """By bare names, and by names with the server."""
    assert Client(line, "/mcp/orders", "bob").tools() == ["get_order", "get_customer", "get_page"]
    assert Client(line, "/mcp/mail", "bob").tools() == ["get_mail", "lookup"]
    assert "run_query" in Client(line, "/mcp/orders").tools()
    assert failed(Client(line, "/mcp/orders", "bob").call("send_mail")) == (-32602, "tool_not_found")


def test_what_may_be_read(line: Line) -> None:
    """Resources and prompts are judged under names of their own; the content labels the workflow."""
    reader, developer = Client(line, "/mcp/orders", "bob"), Client(line, "/mcp/orders")
    assert failed(reader.send("resources/read", {"uri": "notes://a"}).json()) == (-32602, "tool_not_found")
    assert reader.send("resources/templates/list").json()["result"] == {"resourceTemplates": []}
    assert "result" in reader.send("prompts/get", {"name": "greet", "arguments": {"name": "x"}}).json()
    evil = developer.send("resources/read", {"uri": "notes://evil"}, x_correlation_id="note")
    assert failed(evil.json()) == (-32000, "policy_denied")
    assert line.workflow("note").history.labels == ("untrusted",)


def test_deleting_needs_a_person(line: Line, servers: tuple[Orders, Scripted]) -> None:
    """The tool is listed, and its call is refused until somebody approves."""
    client = Client(line, "/mcp/orders")
    assert "delete_order" in client.tools()
    assert failed(client.call("delete_order", {"id": 3})) == (-32000, "approval_required")
    assert ("delete_order", {"id": 3}) not in servers[0].called


def test_after_a_poisoned_mail_nothing_is_written(line: Line, servers: tuple[Orders, Scripted]) -> None:
    """On any server of the workflow: by pattern, by what the operator and by what the server says of a tool."""
    mail, orders = Client(line, "/mcp/mail"), Client(line, "/mcp/orders")
    cid = {"x_correlation_id": "poisoned"}
    assert "result" in mail.call("commit", **cid)
    assert failed(mail.call("get_mail", **cid)) == (-32000, "policy_denied")
    assert line.workflow("poisoned").history.labels == ("untrusted",)
    for client, name in ((orders, "send_mail"), (mail, "commit"), (mail, "file_away")):
        arguments = {"to": "x", "text": "y"} if name == "send_mail" else {}
        answer = client.call(name, arguments, **cid)
        assert failed(answer) == (-32000, "policy_denied"), name
        assert answer["error"]["data"]["rule"] == "flow_write"
    assert "result" in mail.call("lookup", **cid)
    assert "result" in orders.call("get_order", {"id": 3}, **cid)
    rows = line.rows("SELECT rule FROM decisions WHERE correlation_id = 'poisoned' AND verdict = 'deny'")
    assert [rule for (rule,) in rows].count("flow_write") == 3


def test_models_of_the_workflow_are_bound_too(line: Line) -> None:
    """The same label refuses a call of a model that offers a tool that writes."""
    cid = "poisoned-model"
    Client(line, "/mcp/mail").call("get_mail", x_correlation_id=cid)
    offered = [{"type": "function", "function": {"name": "send_mail"}}]
    assert line.chat("hi", "demo", cid=cid, tools=offered).status_code == 403
