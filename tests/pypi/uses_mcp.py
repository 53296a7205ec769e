"""The former client of MCP, and agents of LangChain, OpenAI Agents and Pydantic AI with the tools of a server."""

from __future__ import annotations

from typing import Any

from agents import Agent as OpenAIAgent
from agents import RunConfig, Runner
from agents.mcp import MCPServerStreamableHttp
from agents.models.openai_provider import OpenAIProvider as AgentsProvider
from langchain.agents import create_agent
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_openai import ChatOpenAI
from mcp import ClientSession
from mcp.client import streamable_http
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from telling import CARD, KEY, MODEL, TEXT, URL, failed, main, results

mcp_1: Any = streamable_http  # types are checked against mcp 2
SERVER = f"{URL}/mcp/mail"
HEADERS = {"authorization": f"Bearer {KEY}"}
UNKNOWN = ("erase", {"to": TEXT})
BLOCKED = ("send", {"to": CARD})


async def client() -> dict[str, Any]:
    """The client of the SDK."""
    async with (
        mcp_1.streamablehttp_client(SERVER, headers=HEADERS) as (receives, sends, _),
        ClientSession(receives, sends) as session,
    ):
        about: Any = await session.initialize()
        result: Any = await session.call_tool("send", {"to": TEXT})
        return {
            "server": about.serverInfo.name,
            "tools": [tool.name for tool in (await session.list_tools()).tools],
            "called": result.content[0].text,
            "unknown": await failed(session.call_tool, *UNKNOWN),
            "blocked": await failed(session.call_tool, *BLOCKED),
        }


async def langchain(openai: AsyncOpenAI) -> dict[str, Any]:
    """An agent of LangChain, with the adapter of its tools."""
    connection = {"transport": "streamable_http", "url": SERVER, "headers": HEADERS}
    servers = MultiServerMCPClient({"mail": connection})
    tools = await servers.get_tools()
    settings: dict[str, Any] = {"base_url": f"{URL}/v1", "api_key": KEY, "max_retries": 0}
    agent = create_agent(ChatOpenAI(model=MODEL, **settings), tools=tools)
    asked: Any = {"messages": [{"role": "user", "content": TEXT}]}
    async with servers.session("mail") as session:
        unknown, blocked = await failed(session.call_tool, *UNKNOWN), await failed(tools[0].ainvoke, {"to": CARD})
    return {
        "tools": [tool.name for tool in tools],
        "called": (await agent.ainvoke(asked))["messages"][-1].text,
        "unknown": unknown,
        "blocked": blocked,
    }


async def agents(openai: AsyncOpenAI) -> dict[str, Any]:
    """An agent of OpenAI Agents, whole and streamed."""
    settings = RunConfig(model_provider=AgentsProvider(openai_client=openai), tracing_disabled=True)
    async with MCPServerStreamableHttp(params={"url": SERVER, "headers": HEADERS}) as server:
        agent = OpenAIAgent(name="a", model=MODEL, mcp_servers=[server])
        called = (await Runner.run(agent, TEXT, run_config=settings)).final_output
        streamed = Runner.run_streamed(agent, TEXT, run_config=settings)
        async for _ in streamed.stream_events():
            pass
        return {
            "tools": [tool.name for tool in await server.list_tools()],
            "called": called,
            "streamed": streamed.final_output,
            "unknown": await failed(server.call_tool, *UNKNOWN),
            "blocked": await failed(server.call_tool, *BLOCKED),
        }


async def pydantic_ai(openai: AsyncOpenAI) -> dict[str, Any]:
    """An agent of Pydantic AI."""
    toolset: Any = MCPToolset(SERVER, headers=HEADERS)
    agent = Agent(OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=openai)), toolsets=[toolset])
    async with toolset:
        return {
            "tools": [tool.name for tool in await toolset.list_tools()],
            "called": (await agent.run(TEXT)).output,
            "unknown": await failed(toolset.direct_call_tool, *UNKNOWN),
            "blocked": await failed(toolset.direct_call_tool, *BLOCKED),
        }


async def run() -> None:
    """Each of them."""
    results["mcp"] = await client()
    async with AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0) as openai:
        results["langchain"] = await langchain(openai)
        results["agents"] = await agents(openai)
        results["pydantic_ai"] = await pydantic_ai(openai)


main(run)
