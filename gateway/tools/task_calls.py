"""Calls as tasks, and messages about tasks, for clients of both eras: what the desk does with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal

from gateway.call import Call, Json
from gateway.dialects import mcp, mcp_names, mcp_questions
from gateway.dialects.jsonrpc import PARAMS, UNKNOWN_METHOD, Fault
from gateway.dialects.mcp import Mcp
from gateway.dialects.mcp_questions import Task
from gateway.policy.visible import Visible
from gateway.tools.caller import caller_of
from gateway.tools.catalogue import Listed, needs_task, takes_task
from gateway.tools.later_tasks import LaterTasks, acknowledged
from gateway.tools.server import Server
from gateway.tools.task_owners import TaskOwners
from gateway.tools.tasks import offered, related, state
from gateway.tools.wire import Session

Way = Literal["", "session", "later", "bridge"]
"""How a client can call tools of a server as tasks; "" if it cannot.

"session": in a session of the earlier era. "later": in the form of the later era, which the server has, too. "bridge":
in that form, at a server of the earlier era.
"""
Send = Callable[[str, Json], Awaitable[bytes]]
"""Sends a method with parameters to the server of a call; returns the response."""
_AS_TASK: Final = (
    "This tool can only be called as a task (execution.taskSupport: required): in a session at the path of its server, "
    f"or with the extension {mcp_names.TASK_EXTENSION}, if the server offers tasks."
)


class TaskCalls:
    """The part of the desk for tasks."""

    def __init__(self, owners: TaskOwners, later: LaterTasks, visible: Visible) -> None:
        self._owners = owners
        self._later = later
        self._visible = visible

    async def find(self, call: Call, codec: Mcp, server: Server, task: Task) -> None:
        """Check that the task of a message is the caller's. Raises Refusal."""
        tool = await self._owners.tool_of(call, server, task, codec.task_id)
        also = {mcp_questions.answering(asked.kind) for asked in codec.answered_asks.values()}
        also |= {"task_result"} if codec.modern and codec.method == mcp_names.TASK_GET else set()
        may = [await self._visible.may(call, f"{server.name}/{name}") for name in also]
        if tool is None or not all(may) or not (call.request.control or await self._visible.admits(call)):
            raise Fault(PARAMS, "You have no task with this id.", code="tool_not_found")
        if task.later and not codec.modern:
            raise Fault(PARAMS, f"The task is one of version {mcp_names.MODERN}, of a client of that version.")
        promised = tool.tool.get("outputSchema")
        codec.promised = promised if type(promised) is dict else {}

    async def choose(self, codec: Mcp, tool: Listed, way: Callable[[], Awaitable[Way]]) -> None:
        """Determine whether a call becomes a task; writes `codec.as_task`. Raises Refusal if it must, and cannot."""
        asked, needs = codec.as_task is not None and takes_task(tool), needs_task(tool)
        how = await way() if asked or needs else ""
        codec.as_task = codec.as_task if asked and how == "session" else {} if needs and how == "bridge" else None
        if needs and codec.as_task is None and how != "later":
            if codec.modern and codec.door and not codec.takes_tasks:
                raise mcp.missing_tasks()
            raise Fault(UNKNOWN_METHOD, _AS_TASK, code="tool_not_found")

    async def way(self, call: Call, codec: Mcp, server: Server, *, joined: bool) -> Way:
        """How a client can call tools of a server as tasks. Raises Refusal.

        `joined`: whether the call is of a session with the server.
        """
        if not codec.door or not (codec.takes_tasks if codec.modern else joined):
            return ""
        if codec.modern and await server.later(caller_of(call)) is not None and server.later_tasks:
            return "later"
        await server.seat(caller_of(call))
        if not offered(server.about):
            return ""
        return "bridge" if codec.modern else "session"

    async def session(self, call: Call, codec: Mcp, server: Server) -> Session | None:
        """The session of the later era in which a call of that era must leave; None if it need not. Raises Refusal."""
        able, has = codec.able(server.row.asks), codec.takes_tasks
        if (codec.task is not None and not codec.task.later) or not (able or has):
            return None
        later = await server.later(caller_of(call))
        if later is None:
            return None
        if has and server.later_tasks:
            able = codec.declaring(server.row.asks)
        return later._replace(able=able) if able else None

    async def leaves(self, call: Call, codec: Mcp, server: Server) -> None:
        """Find the values of a task, or keep them, before a message about the task leaves. Raises StoreUnavailable."""
        if codec.method == mcp_names.TASK_RESULT:
            await self._owners.restore(call, server, codec.task_id)
        elif codec.method == mcp_names.TASK_UPDATE:
            await self._owners.keep(call, server, codec.task_id)

    async def answered(self, call: Call, codec: Mcp, server: Server, raw: bytes) -> bytes:
        """The response to a call, without the server's id of a task. Raises Refusal, StoreUnavailable."""
        if codec.as_task is not None:
            return await self._owners.taken(call, codec, server, raw)
        if codec.method == mcp_names.CALL:
            return await self._later.taken(call, codec, server, raw)
        return related(codec, server, raw) if codec.method == mcp_names.TASK_RESULT else raw

    async def listed(self, call: Call, codec: Mcp, server: Server, send: Send) -> Json:
        """A page of the caller's tasks at the server of its session. Raises Refusal, StoreUnavailable."""

        async def ask(params: Json) -> bytes:
            return await send(mcp_names.TASK_LIST, params)

        return await self._owners.listed(call, codec, server, ask)

    async def state(self, call: Call, codec: Mcp, server: Server, task: Task, send: Send) -> Json:
        """The state of a task, which its end has in the earlier era as well. Raises Refusal, StoreUnavailable."""

        async def ask(method: str) -> bytes:
            return await send(method, codec.given)

        if not codec.modern:
            return state(codec, server, await ask(codec.method))
        if codec.method == mcp_names.TASK_CANCEL:
            return acknowledged(await ask(codec.method))
        await self._owners.restore(call, server, codec.task_id)
        return await self._later.state(call, codec, server, task, ask)
