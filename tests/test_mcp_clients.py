"""The official SDK, unmodified, as client and server on both sides of the gateway, in both eras of the protocol."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp.types import TextContent, TextResourceContents

import tool_server
from line import Line, config, running
from tool_client import sdk
from tool_server import Orders

ERAS = ["legacy", "auto"]


@pytest.fixture(scope="module", params=[False, True], ids=["events", "json"])
def orders(request: pytest.FixtureRequest) -> Iterator[Orders]:
    """The server of the SDK, which answers with event streams, or with JSON."""
    with tool_server.orders(json_response=request.param) as made:
        yield made


@pytest.fixture(scope="module")
def line(orders: Orders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before that server."""
    folder = tmp_path_factory.mktemp("sdk")
    settings = config(
        folder, "http://127.0.0.1:9/v1", tools={"orders": {"mcp": orders.url}}, output={"sql": ["select"]}
    )
    with running(folder, settings) as started:
        yield started


@contextlib.asynccontextmanager
async def connected(line: Line, mode: Any, path: str = "/mcp/orders") -> AsyncIterator[Client]:
    """A client of the SDK with a gateway key: only URL and key differ from a direct connection."""
    async with sdk(f"{line.url}{path}", mode=mode) as client:
        yield client


def said(result: Any) -> str:
    """The text of a result."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@pytest.mark.parametrize("mode", ERAS)
async def test_lists_and_calls(line: Line, orders: Orders, mode: str) -> None:
    """Text and structured content, errors of tools, refusals of the gateway."""
    async with connected(line, mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["get_order", "get_customer", "get_page", "run_query", "send_mail", "delete_order"]
        order = await client.call_tool("get_order", {"id": 3})
        assert order.structured_content == {"id": 3, "state": "open"}
        customer = await client.call_tool("get_customer", {"name": "Ann"})
        assert said(customer) == "Ann is at <EMAIL>"
        assert customer.structured_content == {"result": "Ann is at <EMAIL>"}
        sent = await client.call_tool("send_mail", {"to": tool_server.MAIL, "text": "hi"})
        assert orders.called[-1] == ("send_mail", {"to": "<EMAIL_1>", "text": "hi"})
        assert said(sent) == f"sent to {tool_server.MAIL}"
        assert (await client.call_tool("delete_order", {"id": 1})).is_error
        for tool, arguments, code in (("run_query", {"sql": "DROP TABLE a"}, -32000), ("none", {}, -32602)):
            with pytest.raises(MCPError) as failed:
                await client.call_tool(tool, arguments)
            assert failed.value.code == code


@pytest.mark.parametrize("mode", ERAS)
async def test_what_a_client_hears_of_the_server(line: Line, mode: str) -> None:
    """Its name and instructions; of its features, those that are served."""
    async with connected(line, mode) as client:
        assert client.server_info is not None
        assert client.server_info.name == "orders"
        assert client.server_capabilities.tools is not None
        assert client.server_capabilities.resources is not None
        assert client.server_capabilities.logging is None


@pytest.mark.parametrize("mode", ERAS)
async def test_resources_and_prompts(line: Line, orders: Orders, mode: str) -> None:
    """Lists and contents, judged like results; what is asked for is redacted like arguments."""
    async with connected(line, mode) as client:
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "notes://{name}"
        assert (await client.list_resources()).resources == []
        (prompt,) = (await client.list_prompts()).prompts
        assert prompt.name == "greet"
        (content,) = (await client.read_resource("notes://today")).contents
        assert isinstance(content, TextResourceContents)
        assert content.text == "Note today of <EMAIL>"
        (message,) = (await client.get_prompt("greet", {"name": tool_server.MAIL})).messages
        assert orders.called[-1] == ("greet", {"name": "<EMAIL_1>"})
        assert isinstance(message.content, TextContent)
        assert message.content.text == f"Say hello to {tool_server.MAIL}"
