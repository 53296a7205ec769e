"""A server of fastmcp whose tools run as tasks of the later era, and its client, with the gateway between them."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import mcp_types as mcp_2
from fastmcp import Client, Context, FastMCP
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp_tasks import TasksExtension, call_tool_task

from telling import KEY, URL, failed, main, results

server: Any = FastMCP("tasks")
server.add_extension(TasksExtension())
released = asyncio.Event()
QUIET: Any = {"show_banner": False, "uvicorn_config": {"log_level": "critical"}}


async def report(about: str) -> dict[str, str]:
    """Write a report."""
    return {"said": f"{about}: ask ann.lee@example.org."}


async def wait() -> str:
    """Wait for a long time."""
    await released.wait()
    return "Done."


async def ask(ctx: Context) -> Any:
    """Ask the user."""
    answers: Any = ctx.input_responses
    if answers is None:
        wanted = {"type": "object", "properties": {"value": {"type": "string"}}, "required": ["value"]}
        asked = {"mode": "form", "message": "Which address?", "requestedSchema": wanted}
        question = {"method": "elicitation/create", "params": asked}
        return mcp_2.InputRequiredResult.model_validate({"inputRequests": {"address": question}})
    return f"It is {answers['address'].content['value']}."


for tool in (report, wait, ask):
    server.tool(tool, task=True)


def client(key: str) -> Any:
    """A client of the gateway, whose user answers questions."""

    async def asked(message: str, kind: Any, params: Any, context: Any) -> Any:
        results.setdefault("asked", []).append(message)
        return {"value": "bob.jones@example.org"}

    transport = StreamableHttpTransport(f"{URL}/mcp/later", headers={"authorization": f"Bearer {key}"})
    return Client(transport, elicitation_handler=asked)


async def run() -> None:
    """Calls that become tasks, and what others see of them."""
    port = int(os.environ["PORT"])
    serving = asyncio.create_task(server.run_async("http", host="127.0.0.1", port=port, **QUIET))
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            break
        except OSError:
            await asyncio.sleep(0.05)
    async with client(KEY) as alice, client("mg-bob") as bob:
        results["result"] = (await alice.call_tool("report", {"about": "sales"})).data
        task = await call_tool_task(alice, "report", {"about": "costs"})
        results["later"] = (await task.result()).data
        results["state"] = (await task.status()).status
        results["answer"] = (await alice.call_tool("ask", {})).content[0].text
        waiting = await call_tool_task(alice, "wait", {})
        results["working"] = (await waiting.status()).status
        waiting._client, mine = bob, waiting._client
        results["foreign"] = await failed(waiting.status)
        waiting._client = mine
        await waiting.cancel()
        results["cancelled"] = (await waiting.wait(timeout=20)).status
    serving.cancel()


main(run)
