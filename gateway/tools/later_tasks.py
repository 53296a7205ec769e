"""Tasks of the later era: the extension `io.modelcontextprotocol/tasks` of 2026-07-28.

The server decides whether a call becomes a task; the result comes with the state, and so do questions, which the client
answers with `tasks/update`. A server of 2025-11-25 has the same tasks in another form: for a client of the later era,
its tools that can only be called as tasks are called so, and its answers are put into the form of the extension. Such a
server cannot ask the client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson

from gateway.call import Call, Json
from gateway.dialects import mcp, mcp_questions
from gateway.dialects.jsonrpc import PARAMS, Fault
from gateway.dialects.mcp import Mcp
from gateway.dialects.mcp_questions import RESPONSES, Task, TaskAsk
from gateway.tools.rounds import Rounds
from gateway.tools.said import suits
from gateway.tools.server import Server
from gateway.tools.sessions import Sessions
from gateway.tools.task_owners import TaskOwners
from gateway.tools.tasks import described, in_later_form
from gateway.tools.wire import broken, written

_ENDED: Final = frozenset({"completed", "failed"})
_KIND: Final = b"resultType"
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
        if _KIND not in raw:
            return raw
        try:
            said = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return raw
        result = said.get("result") if type(said) is dict else None
        if type(result) is not dict or result.get("resultType") != "task":
            return raw
        if not codec.takes_tasks:
            raise broken(server.name, "made a task of a call that cannot be one")
        told = in_later_form(described(server, result, words=True, later=True))
        codec.added["taskId",] = await self._owners.begun(call, codec, server, result, later=True)
        return written(server.name, {**said, "result": {"resultType": "task", **told}})

    async def state(self, call: Call, codec: Mcp, server: Server, ask: Ask) -> Json:
        """The state of the task that a message is about, with its result or its questions. Raises Refusal."""
        task = codec.task
        assert task is not None, "the message is about a task"
        codec.added["taskId",] = codec.task_id
        result = _result(await ask(mcp.TASK_GET))
        told = in_later_form(described(server, result, words=True, later=task.later))
        if not task.later:
            if told["status"] in _ENDED:
                told |= _ended(server, await ask(mcp.TASK_RESULT))
            elif told["status"] == "input_required":  # the gateway has told the server that nobody can be asked
                told["status"] = "working"
        else:
            told |= await self.details(call, codec, server, task, result)
        if "result" in told and codec.promised and not suits(codec.promised, told["result"]):
            raise broken(server.name, "answered with structured content that does not fit the tool's output schema")
        return {"resultType": "complete", **told}

    async def details(self, call: Call, codec: Mcp, server: Server, task: Task, said: Json) -> Json:
        """What a state has beside the task itself; writes `codec.asks` and `codec.keys`. Raises Refusal."""
        match said.get("status"):
            case "completed" if type(said.get("result")) is dict:
                return {"result": {key: value for key, value in said["result"].items() if key != mcp.META}}
            case "failed" if (error := _error(said.get("error"))) is not None:
                return {"error": error}
            case "input_required" if type(said.get("inputRequests")) is dict:
                return {"inputRequests": await self._questions(call, codec, server, task, said["inputRequests"])}
            case "working" | "cancelled":
                return {}
        raise broken(server.name, "describes a task without what its state has")

    async def _questions(self, call: Call, codec: Mcp, server: Server, task: Task, questions: Json) -> Json:
        """Questions of a task, as they may be passed on. Raises Refusal."""
        assert call.subject is not None, "calls leave after identify"
        kinds, tokens = await self._rounds.screened(call, server, questions, codec.able(server.row.asks))
        asked = {key: TaskAsk(kind, key, tokens.get(key, 0)) for key, kind in kinds.items()}
        codec.asks = mcp_questions.addresses({"inputRequests": questions})
        codec.keys = {key: self._sessions.ask_key(call.subject, server.name, task, one) for key, one in asked.items()}
        return questions


def answers(call: Call, codec: Mcp) -> Json:
    """The parameters of `tasks/update` for the server: the judged answers, under its own keys."""
    said = call.request.body["params"][RESPONSES]
    return {**codec.given, RESPONSES: {asked.key: said[key] for key, asked in codec.answered_asks.items()}}


def acknowledged(raw: bytes) -> Json:
    """What a client hears of `tasks/update` and `tasks/cancel`. Raises Refusal."""
    _result(raw)
    return {"resultType": "complete"}


def _result(raw: bytes) -> Json:
    """The result of a response. Raises Refusal if the server does not do this with the task."""
    try:
        said: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        said = None
    result = said.get("result") if type(said) is dict else None
    if type(result) is not dict:
        raise Fault(PARAMS, "The server does not have this task, or does not do this with it any more.")
    return result


def _ended(server: Server, raw: bytes) -> Json:
    """The end of a task of 2025-11-25: the state of the extension, with result or error. Raises Refusal."""
    try:
        said: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        said = None
    if type(said) is dict and type(said.get("result")) is dict:
        return {"status": "completed", "result": {key: it for key, it in said["result"].items() if key != mcp.META}}
    if type(said) is dict and (error := _error(said.get("error"))) is not None:
        return {"status": "failed", "error": error}
    raise broken(server.name, "has no result of a task that has ended")


def _error(said: Any) -> Json | None:
    fits = type(said) is dict and type(said.get("code")) is int and type(said.get("message")) is str
    return {"code": said["code"], "message": said["message"]} if fits else None
