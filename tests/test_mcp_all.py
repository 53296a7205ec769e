"""All servers on one path, and the search in place of long lists."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import tool_server
from line import Line, config, running
from tool_client import Client, failed, text
from tool_server import Scripted, tool


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Scripted, Scripted]]:
    """A small server, and one with many tools."""
    with tool_server.scripted() as small, tool_server.scripted() as large:
        small.tools = [tool("get_it"), tool("x" * 128)]
        large.tools = [tool(f"act_{n}", "Does nothing") for n in range(60)]
        large.tools[40] = tool("find_customer", "The address of a customer")
        large.tools[41] = tool("act_41") | {"x-note": "changes at will", "_meta": {"note": "changes at will"}}
        yield small, large


@pytest.fixture(scope="module")
def line(servers: tuple[Scripted, Scripted], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before these, and a server that does not answer."""
    folder = tmp_path_factory.mktemp("all")
    small, large = servers
    tools = {
        "small": {"mcp": small.url},
        "large": {"mcp": large.url, "discovery": "search"},
        "dead": {"mcp": "http://127.0.0.1:9/mcp"},
    }
    settings = config(folder, "http://127.0.0.1:9/v1", tools=tools, limits=[{"per": "tool", "requests": "100/h"}])
    with running(folder, settings) as started:
        yield started


def test_tools_have_the_names_of_their_servers(line: Line, servers: tuple[Scripted, Scripted]) -> None:
    """A call reaches its server under the bare name; a name that would be too long is left out of the list."""
    client = Client(line, "/mcp")
    session = client.open()
    assert client.tools() == ["small_get_it", "search_tools", "call_tool"]
    answer = client.send("tools/call", {"name": "small_get_it", "arguments": {"a": 1}}, mcp_session_id=session)
    assert json.loads(text(answer.json())) == {"a": 1}
    assert servers[0].seen[-1][1]["params"]["name"] == "get_it"
    for name in ("get_it", "small_", "small_none", "none_get_it", "dead"):
        assert failed(client.call(name)) == (-32602, "tool_not_found"), name
    assert line.client.delete("/mcp", headers={**client.headers, "mcp-session-id": session}).status_code == 200


def test_a_session_of_all_is_none_of_one(line: Line) -> None:
    """And the other way round."""
    everything, one = Client(line, "/mcp"), Client(line, "/mcp/small")
    assert one.send("ping", mcp_session_id=everything.open()).status_code == 404
    assert everything.send("ping", mcp_session_id=one.open()).status_code == 404


@pytest.mark.parametrize(("path", "prefix"), [("/mcp/large", ""), ("/mcp", "large_")])
def test_a_search_finds_what_is_called_then(
    line: Line, servers: tuple[Scripted, Scripted], path: str, prefix: str
) -> None:
    """By words; the call is one of the tool itself, for limits and records too."""
    client = Client(line, path)
    assert {"search_tools", "call_tool"} <= set(client.tools())
    hits = client.call("search_tools", {"query": "address of customer"})["result"]["structuredContent"]
    assert hits["tools"][0]["name"] == f"{prefix}find_customer"
    every = client.call("search_tools", {"query": "act"})["result"]["structuredContent"]
    assert (len(every["tools"]), every["more"]) == (10, 49)
    arguments = {"name": f"{prefix}find_customer", "arguments": {"name": "Ann"}}
    answer = client.call("call_tool", arguments, x_correlation_id=f"search{prefix}")
    assert json.loads(text(answer)) == {"name": "Ann"}
    assert servers[1].seen[-1][1]["params"] == {"name": "find_customer", "arguments": {"name": "Ann"}}
    assert line.metric("meshgate_requests_total", model="large/find_customer") >= 1
    assert failed(client.call("call_tool", {"name": f"{prefix}none"})) == (-32602, "tool_not_found")
    assert failed(client.call("call_tool", {})) == (-32602, "tool_not_found")
    assert failed(client.call("call_tool", {"name": "a", "arguments": 3})) == (-32602, "invalid_request")


def test_without_search_these_are_names_as_others(line: Line) -> None:
    """They do not exist."""
    assert failed(Client(line, "/mcp/small").call("search_tools", {"query": "a"})) == (-32602, "tool_not_found")


def test_a_search_shows_what_a_pin_covers(line: Line) -> None:
    """The result is a text for the model: a field that may change at any time is no part of it."""
    answer = Client(line, "/mcp/large").call("search_tools", {"query": "act_41"})
    assert "act_41" in text(answer)
    assert "changes at will" not in json.dumps(answer)
