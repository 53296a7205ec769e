"""The tasks of callers: who has a task is recorded, because one server may have tasks of several callers in a session.

The record of a task is kept under a keyed digest of server and the id that the server gave, and is the sealed id under
which the owner has the task. So a task that the server lists, or tells of, is known to be the caller's. If the server
gives an id again, the former owner has no task any more. Tasks of a tool that the caller may not call any more do not
exist for the caller. Fails closed: if the store does not answer, there are no tasks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from gateway.call import Call, Json, Request, Subject
from gateway.dialects import mcp
from gateway.dialects.jsonrpc import PARAMS, Fault
from gateway.dialects.mcp import Mcp
from gateway.dialects.mcp_questions import Task
from gateway.errors import Refusal
from gateway.policy.visible import Visible
from gateway.redaction.values import Values
from gateway.stores import Owners, StoreUnavailable
from gateway.tools.catalogue import Listed, writes
from gateway.tools.notices import TASK_STATUS, Beside
from gateway.tools.seen import Seen
from gateway.tools.server import Server
from gateway.tools.sessions import Sessions
from gateway.tools.tasks import described, in_later_form
from gateway.tools.wire import Relay, Session, broken, parsed, written

_LONGEST: Final = 7 * 86400  # seconds for which the id of a task is good
_MOST: Final = 100  # tasks of a server that are looked up for one page
_PAGES: Final = 5  # of a server that are asked for, for one page
_LONGEST_CURSOR: Final = 1024
_ALL: Final = ""
"""The team in records: a server gives an id once, whichever team calls it."""
Found = tuple[Task, str]
"""A task of a caller, and the id under which the caller has it."""


class TaskOwners:
    """Records the owners of tasks, and finds the tasks of a caller."""

    def __init__(self, store: Owners, sessions: Sessions, visible: Visible, seen: Seen, values: Values | None) -> None:
        self._store = store
        self._values = values
        self._sessions = sessions
        self._visible = visible
        self._seen = seen

    def enter(self, request: Request, subject: Subject, server: str, id: object) -> Task | None:
        """The task that a message is about; a message without a workflow is of that of the task."""
        task = self._sessions.task_of(subject, server, id)
        if task is not None and task.workflow and request.alone:
            request.correlation_id, request.alone = task.workflow, False
        return task

    async def restore(self, call: Call, server: Server, given: str) -> None:
        """Have what was masked for a task be values again in its result, and what only the tool got be placeholders.

        Raises StoreUnavailable.
        `given`: the id under which the caller has the task.
        """
        if self._values is not None:
            name = self._sessions.task_name(server.name, given)
            await self._values.restore(call, await self._values.of(call, name))
            if server.row.restore:
                await self._values.hide(call, await self._values.of(call, f"{name}-tool"))

    async def keep(self, call: Call, server: Server, given: str) -> None:
        """Remember what a call has masked for a task. Raises StoreUnavailable."""
        if self._values is None:
            return
        name = self._sessions.task_name(server.name, given)
        for key, some in ((name, self._values.placed(call)), (f"{name}-tool", self._values.recalled(call))):
            if some:
                await self._values.keep(call, key, await self._values.of(call, key), some, _LONGEST)

    async def tool_of(self, call: Call, server: Server, task: Task, given: str) -> Listed | None:
        """The tool of the task that the caller has as `given`; None if the task is not the caller's any more.

        Raises Refusal, StoreUnavailable.
        """
        owned = await self._given(server, task.id)
        return await self.tool(call, server, task.tool) if owned in ("", given) else None

    async def tool(self, call: Call, server: Server, name: str) -> Listed | None:
        """The tool of a task, if the caller may still call it. Raises Refusal."""
        listed = await self._seen.tool(call, server, name)
        if listed is None:
            return None
        may = await self._visible.may(call, f"{server.name}/{name}", writes=writes(server.row, listed))
        return listed if may else None

    async def taken(self, call: Call, codec: Mcp, server: Server, raw: bytes) -> bytes:
        """The response to a call that became a task, without the server's id; any other one is returned unchanged.

        Raises Refusal, StoreUnavailable.
        """
        said = parsed(raw)
        result = said.get("result")
        made = result.get("task") if type(result) is dict else None
        if type(made) is not dict:
            return raw
        told, given = described(server, made, words=True), await self.begun(call, codec, server, made)
        if codec.modern:
            codec.added["taskId",] = given
            return written(server.name, {**said, "result": {"resultType": "task", **in_later_form(told)}})
        codec.added["task", "taskId"] = given
        return written(server.name, {**said, "result": {"task": told}})

    async def listed(self, call: Call, codec: Mcp, server: Server, ask: Callable[[Json], Awaitable[bytes]]) -> Json:
        """A page of the caller's tasks, in the order of the server; `ask`: parameters -> the server's response.

        A page may be empty and have a cursor, where the server has many tasks of others. Raises Refusal,
        StoreUnavailable.
        """
        assert call.subject is not None, "lists come after identify"
        cursor, first = self._place(call, codec, server)
        told, tools, left = list[Json](), dict[str, bool](), _MOST
        for _ in range(_PAGES):
            tasks, following = _page(server, await ask({} if cursor is None else {"cursor": cursor}), cursor)
            page = tasks[first : first + left]
            found = await asyncio.gather(*(self._find(call, server, one) for one in page))
            for one, owned in zip(page, found, strict=True):
                if owned is None:
                    continue
                task, given = owned
                if task.tool not in tools:
                    tools[task.tool] = await self.tool(call, server, task.tool) is not None
                if tools[task.tool]:
                    codec.added["tasks", len(told), "taskId"] = given
                    told.append(described(server, one))
            left -= len(page)
            first += len(page)
            if first >= len(tasks):
                cursor, first = following, 0
            if told or not left or (cursor is None and not first):
                break
        if cursor is not None or first:
            codec.added["nextCursor",] = self._sessions.page(call.subject, server.name, cursor, first)
        return {"tasks": told}

    async def told(self, call: Call, server: Server, said: Json) -> Json | None:
        """What the caller hears of a notification about a task; None if that may not be passed on."""
        params = said.get("params")
        if type(params) is not dict:
            return None
        try:
            owned = await self._find(call, server, params)
            if owned is None or await self.tool(call, server, owned[0].tool) is None:
                return None
            beside = Beside(owned[0], {("taskId",): owned[1]})
            words = not server.row.restore  # which may have values that only the tool got
            return {"method": TASK_STATUS, "params": described(server, params, words=words), "beside": beside}
        except (Refusal, StoreUnavailable):  # clients cannot rely on notifications, and ask for the state as well
            return None

    def _place(self, call: Call, codec: Mcp, server: Server) -> tuple[str | None, int]:
        """Where a page begins: the cursor of the server, and how many of its tasks were passed. Raises Refusal."""
        given = codec.params.get("cursor")
        if given is None:
            return None, 0
        assert call.subject is not None, "lists come after identify"
        place = self._sessions.page_of(call.subject, server.name, given)
        if place is None:
            raise Fault(PARAMS, "`params.cursor` is none that you got here. Ask for the first page, without a cursor.")
        return place

    async def begun(self, call: Call, codec: Mcp, server: Server, said: Json, *, later: bool = False) -> str:
        """Record the owner of a new task; returns the id under which the caller has it.

        `said`: what the server says of the task. `later`: see `Task`. Raises Refusal, StoreUnavailable.
        """
        id = said.get("taskId")
        if type(id) is not str or len(id) > mcp.LONGEST_TASK:
            raise broken(server.name, "made a task without a usable id")
        task = Task(codec.called, id, later, call.request.correlation_id)
        assert call.subject is not None, "calls leave after identify"
        given = self._sessions.task(call.subject, server.name, task, time.time() + _LONGEST)
        name = self._sessions.task_name(server.name, task.id)
        if await self._given(server, task.id):  # the server begins to count again
            await self._store.disown(_ALL, name)
        await self._store.own(_ALL, name, given.encode(), _LONGEST)
        await self.keep(call, server, given)
        return given

    async def _given(self, server: Server, id: str) -> str:
        """The id under which the owner of a task has it; "" without a record. Raises StoreUnavailable."""
        record = await self._store.owned(_ALL, self._sessions.task_name(server.name, id))
        return record.decode() if record is not None else ""

    async def _find(self, call: Call, server: Server, said: Json) -> Found | None:
        """The task that a server describes; None if it is not the caller's. Raises StoreUnavailable."""
        id = said.get("taskId")
        if type(id) is not str or len(id) > mcp.LONGEST_TASK:
            return None
        assert call.subject is not None, "tasks are of callers"
        given = await self._given(server, id)
        task = self._sessions.task_of(call.subject, server.name, given)
        return (task, given) if task is not None else None


class TaskRelay(Relay):
    """Passes on what a server tells of tasks before its answer to a call. `other`: takes the rest."""

    def __init__(self, tasks: TaskOwners, call: Call, server: Server, relay: Relay, other: Relay) -> None:
        self._tasks = tasks
        self._call = call
        self._server = server
        self._relay = relay
        self._other = other

    def begin(self, session: Session) -> None:
        """The call leaves in this session."""
        self._other.begin(session)

    async def tell(self, said: Json) -> None:
        """Take a notification."""
        if said.get("method") != TASK_STATUS:
            await self._other.tell(said)
        elif (kept := await self._tasks.told(self._call, self._server, said)) is not None:
            await self._relay.tell(kept)

    async def ask(self, question: Json) -> Json | None:
        """Take a question."""
        return await self._other.ask(question)


def _page(server: Server, raw: bytes, cursor: str | None) -> tuple[list[Json], str | None]:
    """The tasks on a page of the server, and the cursor of the next one. Raises Refusal."""
    said = parsed(raw)
    if "error" in said and cursor is not None:
        raise Fault(PARAMS, "The server does not go on from `params.cursor`. Ask for the first page, without a cursor.")
    result: Any = said.get("result")
    tasks: Any = result.get("tasks") if type(result) is dict else None
    if type(tasks) is not list or any(type(one) is not dict for one in tasks):
        raise broken(server.name, "answered with something that is not a list of tasks")
    following = result.get("nextCursor")
    if type(following) not in (str, type(None)) or len(following or "") > _LONGEST_CURSOR:
        raise broken(server.name, "lists tasks with a cursor that cannot be used")
    return tasks, following
