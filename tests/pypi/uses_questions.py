"""The former client of MCP, asked by servers of all kinds."""

from __future__ import annotations

from typing import Any

from mcp import ClientSession, types
from mcp.client import streamable_http

from telling import KEY, URL, main, results

mcp_1: Any = streamable_http  # types are checked against mcp 2
SERVERS = ("former", "present", "later")


async def ask(path: str, tool: str) -> dict[str, Any]:
    """The result of a tool that asks, and what was asked."""
    asked: list[str] = []

    async def on_elicit(context: Any, params: Any) -> Any:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"name": "Ann"})

    headers = {"authorization": f"Bearer {KEY}"}
    session_of: Any = ClientSession
    async with (
        mcp_1.streamablehttp_client(f"{URL}{path}", headers=headers) as (receives, sends, _),
        session_of(receives, sends, elicitation_callback=on_elicit) as session,
    ):
        await session.initialize()
        result: Any = await session.call_tool(tool, {})
        return {"result": result.content[0].text, "asked": asked}


async def run() -> None:
    """At the path of each server, and at that of all."""
    for name in SERVERS:
        results[name] = await ask(f"/mcp/{name}", "ask")
        results[f"{name} of all"] = await ask("/mcp", f"{name}_ask")


main(run)
