"""Structured results of tools are held to the output schema that the tool promised."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import tool_server
from line import Line, config, running
from tool_client import Client, failed
from tool_server import Scripted

PROMISED = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "integer"}, "next": {"$ref": "#"}},
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    """A server with a tool that promises something, and one that does not."""
    with tool_server.scripted() as made:
        made.tools = [tool_server.tool("get_it", outputSchema=PROMISED), tool_server.tool("free_it")]
        yield made


@pytest.fixture(scope="module")
def line(server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway."""
    folder = tmp_path_factory.mktemp("schema")
    rows = {"it": {"mcp": server.url, "refresh": "1h"}}
    with running(folder, config(folder, "http://127.0.0.1:9/v1", tools=rows)) as started:
        yield started


def call(line: Line, server: Scripted, tool: str, **result: Any) -> Any:
    """The answer to a call with this result."""
    said = {"content": [{"type": "text", "text": "said"}], **result}
    server.answers["tools/call"] = lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": said}
    return Client(line).call(tool)


def nested(levels: int) -> dict[str, Any]:
    """A result that fits, with many levels."""
    made: dict[str, Any] = {"id": 0}
    for _ in range(levels):
        made = {"id": 0, "next": made}
    return made


@pytest.mark.parametrize(
    "result",
    [
        {"structuredContent": {"id": 7}},
        {"structuredContent": nested(10)},
        {},
        {"structuredContent": {"wrong": 1}, "isError": True},
    ],
)
def test_what_fits_passes(line: Line, server: Scripted, result: Any) -> None:
    """So do results without structured content, and errors."""
    assert call(line, server, "get_it", **result)["result"]["content"][0]["text"] == "said"


@pytest.mark.parametrize(
    "said",
    [{"id": "ann.lee@example.org"}, {}, {"id": 1, "ann.lee@example.org": 1}, [1], "x", None, {"id": "half \ud83d"}],
)
def test_what_does_not_fit_is_refused(line: Line, server: Scripted, said: Any) -> None:
    """As a fault of the server, without anything that the server wrote."""
    answer = call(line, server, "get_it", structuredContent=said)
    assert failed(answer)[1] == "upstream_error"
    assert "output schema" in answer["error"]["message"]
    assert "ann.lee" not in json.dumps(answer)


def test_a_tool_without_a_promise_says_anything(line: Line, server: Scripted) -> None:
    """Of any type."""
    assert call(line, server, "free_it", structuredContent={"x": [1]})["result"]["structuredContent"] == {"x": [1]}
