"""Questions of servers of the former SDK of MCP (1.x) to its client, and between it and the present one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import mcp_types as types
import pytest
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel

import environments
import tool_server
from gateway.dialects import mcp
from line import Line, config, running
from tool_client import sdk
from tool_server import MAIL

pytestmark = pytest.mark.live

FORMER = f"""
from mcp.server.fastmcp import Context, FastMCP
from pydantic import BaseModel

server = FastMCP("former")

class Choice(BaseModel):
    name: str

@server.tool()
async def ask(ctx: Context) -> str:
    chosen = await ctx.elicit("Name of {MAIL}?", Choice)
    return chosen.data.name

server.run("stdio")
"""


class Choice(BaseModel):
    """What a user is asked for."""

    name: str


async def ask_user() -> Elicit[Choice]:
    """Ask the user."""
    return Elicit(f"Name of {MAIL}?", Choice)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A gateway that runs a server of the former SDK, before two of the present one, of which one has one era only."""
    (tmp_path / "former.py").write_text(FORMER)
    present, later = MCPServer("present"), MCPServer("later")

    @present.tool(name="ask")
    async def ask(context: Context) -> str:
        """Ask in mid-call."""
        chosen = await context.elicit(f"Name of {MAIL}?", Choice)
        return chosen.data.name if chosen.action == "accept" else "-"

    @later.tool(name="ask")
    async def resolved(chosen: Annotated[Choice, Resolve(ask_user)]) -> str:
        """Ask in the result."""
        return chosen.name

    with (
        tool_server.serving(present.streamable_http_app()) as first,
        tool_server.serving(_without_sessions(later.streamable_http_app())) as second,
    ):
        python = str(environments.programs(environments.FRAMEWORKS) / "python")
        rows: dict[str, dict[str, Any]] = {
            "former": {"command": [python, str(tmp_path / "former.py")]},
            "present": {"mcp": first},
            "later": {"mcp": second},
        }
        tools = {name: {**row, "asks": ["elicitation"]} for name, row in rows.items()}
        with running(tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", tools=tools)) as started:
            yield started


def _without_sessions(app: Any) -> Any:
    """A server that refuses the handshake of the earlier era."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        modern = (b"mcp-protocol-version", mcp.MODERN.encode()) in scope.get("headers", ())
        if scope["type"] != "http" or modern:
            await app(scope, receive, send)
            return
        while (await receive()).get("more_body"):
            pass
        head = {"status": 400, "headers": [(b"content-type", b"application/json")]}
        await send({"type": "http.response.start", **head})
        error = b'{"jsonrpc": "2.0", "id": 0, "error": {"code": -32601, "message": "Method not found"}}'
        await send({"type": "http.response.body", "body": error})

    return serve


def test_the_former_client(line: Line, tmp_path: Path) -> None:
    """Before servers of all kinds, at their paths and at that of all."""
    said = environments.script(
        environments.FRAMEWORKS, "uses_questions.py", tmp_path, {"URL": line.url, "KEY": "mg-alice"}
    )
    expected = {"result": "Ann", "asked": ["Name of <EMAIL>?"]}
    assert said == {name + of: expected for name in ("former", "present", "later") for of in ("", " of all")}


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_present_client_before_a_server_of_the_former(line: Line, mode: Any) -> None:
    """In both eras."""
    asked: list[str] = []

    async def on_elicit(context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"name": "Ann"})

    async with sdk(f"{line.url}/mcp/former", mode=mode, elicitation_callback=on_elicit) as client:
        result = await client.call_tool("ask", {})
    assert result.structured_content == {"result": "Ann"}
    assert asked == ["Name of <EMAIL>?"]
