"""Tools that run as tasks: the gateway serves no tasks, so those that need one are not offered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import tool_server
from line import Line, config, running
from tool_client import Client, failed
from tool_server import Scripted

POLICY = """package gateway

import rego.v1

decision := {"allow": allow}

default allow := false

allow if input.action.name != "hidden"
"""
SUPPORT: dict[str, Any] = {
    "plain": None,
    "odd": "required",
    "empty": {},
    "never": {"taskSupport": "forbidden"},
    "may": {"taskSupport": "optional"},
    "must": {"taskSupport": "required"},
    "hidden": {"taskSupport": "required"},
}
SERVED = ["plain", "odd", "empty", "never", "may"]


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    """A server with a tool of each kind."""
    with tool_server.scripted() as made:
        fields = {name: {} if said is None else {"execution": said} for name, said in SUPPORT.items()}
        made.tools = [tool_server.tool(name, **more) for name, more in fields.items()]
        yield made


@pytest.fixture(scope="module")
def line(server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the same server twice: listed, and searched for."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "policies").mkdir()
    (folder / "policies" / "gateway.rego").write_text(POLICY)
    rows = {"it": {"mcp": server.url}, "found": {"mcp": server.url, "discovery": "search"}}
    policy = {"path": str(folder / "policies")}
    with running(folder, config(folder, "http://127.0.0.1:9/v1", tools=rows, policy=policy)) as started:
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
