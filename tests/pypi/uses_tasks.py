"""The former client of MCP with tasks."""

from __future__ import annotations

from typing import Any

from mcp import ClientSession
from mcp.client import streamable_http
from mcp.types import CallToolResult

from telling import KEY, URL, failed, main, results

mcp_1: Any = streamable_http  # types are checked against mcp 2


def mcp_1_session(session: ClientSession) -> Any:
    """The session with the methods of the former client."""
    return session


async def run() -> None:
    """A call as a task, its state and its result, and the list of tasks."""
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        mcp_1.streamablehttp_client(f"{URL}/mcp/tasks", headers=headers) as (receives, sends, _),
        ClientSession(receives, sends) as session,
    ):
        about: Any = await session.initialize()
        results["offered"] = about.capabilities.tasks.model_dump(exclude_none=True)
        tasks = mcp_1_session(session).experimental
        made = await tasks.call_tool_as_task("report", {"about": "costs"}, ttl=60000)
        id = made.task.taskId
        results["begun"] = made.task.status
        await session.call_tool("finish", {"about": "costs"})
        results["state"] = (await tasks.get_task(id)).status
        results["result"] = (await tasks.get_task_result(id, CallToolResult)).content[0].text
        results["listed"] = [task.taskId == id for task in (await tasks.list_tasks()).tasks if task.taskId == id]
        second = (await tasks.call_tool_as_task("report", {"about": "more"})).task.taskId
        results["cancelled"] = (await tasks.cancel_task(second)).status
        results["unknown"] = await failed(tasks.get_task, "t-1")


main(run)
