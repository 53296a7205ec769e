"""fastmcp, unmodified, as server and client on both sides of the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastmcp import Client, Context, FastMCP
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError
from fastmcp.server.elicitation import AcceptedElicitation

import tool_server
from line import Line, config, running
from tool_server import MAIL


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before a server of fastmcp, and one of the official SDK."""
    shop = FastMCP("shop")

    @shop.tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    @shop.tool
    def owner(of: str) -> dict[str, str]:
        """Who owns what."""
        return {"of": of, "owner": MAIL}

    @shop.tool
    async def ask(context: Context) -> str:
        """Ask the user."""
        chosen = await context.elicit(f"Name of {MAIL}?", response_type=str)
        assert isinstance(chosen, AcceptedElicitation)
        return chosen.data

    folder = tmp_path_factory.mktemp("fastmcp")
    with tool_server.serving(shop.http_app()) as url, tool_server.orders() as orders:
        tools = {"shop": {"mcp": url, "asks": ["elicitation"]}, "orders": {"mcp": orders.url}}
        with running(folder, config(folder, "http://127.0.0.1:9/v1", tools=tools)) as started:
            yield started


def connected(line: Line, path: str) -> Client[StreamableHttpTransport]:
    """A client with a gateway key."""
    return Client(StreamableHttpTransport(f"{line.url}{path}", headers={"Authorization": "Bearer mg-alice"}))


async def test_a_server_of_fastmcp(line: Line) -> None:
    """Lists, results, structured content, errors."""
    async with connected(line, "/mcp/shop") as client:
        assert [tool.name for tool in await client.list_tools()] == ["add", "owner", "ask"]
        assert (await client.call_tool("add", {"a": 2, "b": 3})).data == 5
        assert (await client.call_tool("owner", {"of": "it"})).structured_content == {"of": "it", "owner": "<EMAIL>"}
        with pytest.raises(Exception, match="no tool of this name"):
            await client.call_tool("none", {})


async def test_all_servers(line: Line) -> None:
    """A server of fastmcp and one of the official SDK as one."""
    async with connected(line, "/mcp") as client:
        names = [tool.name for tool in await client.list_tools()]
        assert {"shop_add", "orders_get_order"} <= set(names)
        assert (await client.call_tool("orders_get_order", {"id": 3})).structured_content == {"id": 3, "state": "open"}
        with pytest.raises(ToolError, match="Error executing tool"):
            await client.call_tool("orders_delete_order", {"id": 3})


async def test_a_server_asks_its_client(line: Line) -> None:
    """As without a gateway, except for what may not pass."""
    asked: list[str] = []

    async def on_elicit(message: str, response_type: Any, params: Any, context: Any) -> Any:
        asked.append(message)
        return {"value": "Ann"}

    transport = StreamableHttpTransport(f"{line.url}/mcp/shop", headers={"Authorization": "Bearer mg-alice"})
    async with Client(transport, mode="legacy", elicitation_handler=on_elicit) as client:
        assert (await client.call_tool("ask", {})).data == "Ann"
    assert asked == ["Name of <EMAIL>?"]
