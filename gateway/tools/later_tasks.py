"""Tasks of the later era: the extension `io.modelcontextprotocol/tasks` of 2026-07-28.

The server decides whether a call becomes a task; the result comes with the state, and so do questions, which the client
answers with `tasks/update`. A server of 2025-11-25 has the same tasks in another form: for a client of the later era,
its tools that can only be called as tasks are called so, and its answers are put into the form of the extension. Such a
server cannot ask the client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from gateway.call import Call, Json
from gateway.dialects import mcp, mcp_questions
from gateway.dialects.jsonrpc import PARAMS, Fault
from gateway.dialects.mcp import Mcp
from gateway.dialects.mcp_questions import RESPONSES, Task, TaskAsk
from gateway.errors import Refusal
from gateway.stores import StoreUnavailable
from gateway.tools.notices import NOTHING_BESIDE, TASK_CHANGED, Beside
from gateway.tools.rounds import Rounds
from gateway.tools.said import suits
from gateway.tools.server import Server
from gateway.tools.sessions import Sessions
from gateway.tools.task_owners import Found, TaskOwners
from gateway.tools.tasks import described, in_later_form
from gateway.tools.wire import broken, parsed, written

_ENDED: Final = frozenset({"completed", "failed"})
_KIND: Final = b"resultType"
_MOST: Final = 100  # tasks of which one client can hear in a stream
Ask = Callable[[str], Awaitable[bytes]]
"""Sends a method about the task of a call; returns the response of the server."""


class LaterTasks:
    """Answers about tasks for clients of the later era."""

    def __init__(self, owners: TaskOwners, sessions: Sessions, rounds: Rounds) -> None:
        self._owners = owners
        self._sessions = sessions
        self._rounds = rounds

    async def taken(self, call: Call, codec: Mcp, server: Server, raw: bytes) -> bytes:
        """The response to a call that the server made a task, without its id; any other one is returned unchanged.

        Raises Refusal, StoreUnavailable.
        """
        if _KIND not in raw and b"\\u00" not in raw:  # an escape may spell the name
            return raw
        said = parsed(raw)
        result = said.get("result")
        if type(result) is not dict or result.get("resultType") != "task":
            return raw
        if not codec.takes_tasks:
            raise broken(server.name, "made a task of a call that cannot be one")
        told = in_later_form(described(server, result, words=True, later=True))
        codec.added["taskId",] = await self._owners.begun(call, codec, server, result, later=True)
        return written(server.name, {**said, "result": {"resultType": "task", **told}})

    async def state(self, call: Call, codec: Mcp, server: Server, task: Task, ask: Ask) -> Json:
        """The state of the task that a message is about, with its result or its questions. Raises Refusal."""
        codec.added["taskId",] = codec.task_id
        result = _result(await ask(mcp.TASK_GET))
        told = in_later_form(described(server, result, words=True, later=task.later))
        if not task.later:
            if told["status"] in _ENDED:
                told |= _ended(server, await ask(mcp.TASK_RESULT))
            elif told["status"] == "input_required":  # the gateway has told the server that nobody can be asked
                told["status"] = "working"
        else:
            more, beside = await self._details(call, codec, server, task, result)
            codec.asks, codec.keys = beside.asks, beside.keys
            told |= more
        _check_promise(server, codec.promised, told)
        return {"resultType": "complete", **told}

    async def wanted(self, call: Call, codec: Mcp, server: Server, ids: Any) -> dict[str, Found]:
        """Those tasks of which a client wants to hear, and may: id of the server -> task, and the caller's id.

        `ids`: as the client sent them. Raises Refusal, StoreUnavailable.
        """
        if not codec.takes_tasks:
            raise mcp.missing_tasks()
        assert call.subject is not None, "streams come after identify"
        found = dict[str, Found]()
        for id in ids[:_MOST] if type(ids) is list else ():
            task = self._sessions.task_of(call.subject, server.name, id)
            if task is not None and task.later and await self._owners.tool_of(call, server, task, id) is not None:
                found[task.id] = task, id
        return found

    async def told(
        self, call: Call, codec: Mcp, server: Server, said: Json, wanted: Mapping[str, Found]
    ) -> Json | None:
        """What the client of a stream hears of a notification about a task; None if that may not be passed on."""
        params = said.get("params")
        id = params.get("taskId") if type(params) is dict else None
        if type(params) is not dict or type(id) is not str or id not in wanted:
            return None
        task, given = wanted[id]
        try:
            tool = await self._owners.tool_of(call, server, task, given)
            if tool is None:
                return None
            told = in_later_form(described(server, params, words=True, later=True))
            more, beside = await self._details(call, codec, server, task, params)
            _check_promise(server, tool.tool.get("outputSchema"), more)
        except (Refusal, StoreUnavailable):  # clients ask for the state as well
            return None
        beside = beside._replace(task=task, added={("taskId",): given})
        return {"method": TASK_CHANGED, "params": {**told, **more}, "beside": beside}

    async def _details(self, call: Call, codec: Mcp, server: Server, task: Task, said: Json) -> tuple[Json, Beside]:
        """What a state has beside the task itself. Raises Refusal."""
        match said.get("status"):
            case "completed" if type(said.get("result")) is dict:
                kept = {key: value for key, value in said["result"].items() if key != mcp.META}
                return {"result": kept}, NOTHING_BESIDE
            case "failed" if (error := _error(said.get("error"))) is not None:
                return {"error": error}, NOTHING_BESIDE
            case "input_required" if type(said.get("inputRequests")) is dict:
                return await self._questions(call, codec, server, task, said["inputRequests"])
            case "working" | "cancelled":
                return {}, NOTHING_BESIDE
        raise broken(server.name, "describes a task without what its state has")

    async def _questions(
        self, call: Call, codec: Mcp, server: Server, task: Task, questions: Json
    ) -> tuple[Json, Beside]:
        """Questions of a task, as they may be passed on. Raises Refusal."""
        assert call.subject is not None, "calls leave after identify"
        kinds, tokens = await self._rounds.screened(call, server, questions, codec.able(server.row.asks))
        asked = {key: TaskAsk(kind, key, tokens.get(key, 0)) for key, kind in kinds.items()}
        told = {"inputRequests": questions}
        keys = {key: self._sessions.ask_key(call.subject, server.name, task, one) for key, one in asked.items()}
        return told, Beside(asks=mcp_questions.addresses(told), keys=keys)


def answers(call: Call, codec: Mcp) -> Json:
    """The parameters of `tasks/update` for the server: the judged answers, under its own keys. Raises Refusal."""
    said = call.request.body["params"][RESPONSES]
    if said.keys() != codec.answered_asks.keys():  # a server may ask under a key that is personal data
        raise Fault(PARAMS, f"A key in `params.{RESPONSES}` was edited, because it looks like personal data.")
    return {**codec.given, RESPONSES: {asked.key: said[key] for key, asked in codec.answered_asks.items()}}


def acknowledged(raw: bytes) -> Json:
    """What a client hears of `tasks/update` and `tasks/cancel`. Raises Refusal."""
    _result(raw)
    return {"resultType": "complete"}


def _check_promise(server: Server, promised: Any, told: Json) -> None:
    """Check the structured content of a task with the schema of its tool. Raises Refusal."""
    if "result" in told and type(promised) is dict and promised and not suits(promised, told["result"]):
        raise broken(server.name, "answered with structured content that does not fit the tool's output schema")


def _result(raw: bytes) -> Json:
    """The result of a response. Raises Refusal if the server does not do this with the task."""
    result = parsed(raw).get("result")
    if type(result) is not dict:
        raise Fault(PARAMS, "The server does not have this task, or does not do this with it any more.")
    return result


def _ended(server: Server, raw: bytes) -> Json:
    """The end of a task of 2025-11-25: the state of the extension, with result or error. Raises Refusal."""
    said = parsed(raw)
    if type(said.get("result")) is dict:
        return {"status": "completed", "result": {key: it for key, it in said["result"].items() if key != mcp.META}}
    if (error := _error(said.get("error"))) is not None:
        return {"status": "failed", "error": error}
    raise broken(server.name, "has no result of a task that has ended")


def _error(said: Any) -> Json | None:
    fits = type(said) is dict and type(said.get("code")) is int and type(said.get("message")) is str
    return {"code": said["code"], "message": said["message"]} if fits else None
