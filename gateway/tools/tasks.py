"""Calls that run as tasks (2025-11-25, basic/utilities/tasks): the client asks for their state and their result later.

The id of a task that a client gets is sealed for the caller and the server, with the tool that was called: any other
caller has no such task. Tasks are not listed, because one server may have those of several callers in one session.
"""

from __future__ import annotations

import re
import time
from typing import Any, Final

import orjson

from gateway.call import Call, Json
from gateway.dialects import mcp
from gateway.dialects.jsonrpc import PARAMS, Fault
from gateway.dialects.mcp import Mcp
from gateway.dialects.mcp_questions import Task
from gateway.tools.server import Server
from gateway.tools.sessions import Sessions
from gateway.tools.wire import broken, written

OFFERED: Final[Json] = {"cancel": {}, "requests": {"tools": {"call": {}}}}
"""The capability that clients hear of."""
_STATES: Final = frozenset({"working", "input_required", "completed", "failed", "cancelled"})
_MOST: Final = 10_000_000_000  # milliseconds
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)
_LONGEST: Final = 7 * 86400.0  # seconds for which the id of a task is good


def offers(about: Json) -> bool:
    """Whether a server takes calls as tasks. `about`: what it says of itself."""
    node: Any = about.get("capabilities")
    for key in ("tasks", "requests", "tools", "call"):
        node = node.get(key) if type(node) is dict else None
    return type(node) is dict


def taken(sessions: Sessions, call: Call, codec: Mcp, server: Server, raw: bytes) -> bytes:
    """The response to a call that became a task, without the server's id; any other response is returned unchanged."""
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw
    result = said.get("result") if type(said) is dict else None
    made = result.get("task") if type(result) is dict else None
    if type(made) is not dict:
        return raw
    id, told = made.get("taskId"), _state(server, made)
    if type(made.get("statusMessage")) is str:
        told["statusMessage"] = made["statusMessage"]
    if type(id) is not str or len(id) > mcp.LONGEST_TASK:
        raise broken(server.name, "made a task without a usable id")
    assert call.subject is not None, "calls leave after identify"
    task = Task(codec.called, id)
    codec.added["task", "taskId"] = sessions.task(call.subject, server.name, task, time.time() + _LONGEST)
    return written(server.name, {**said, "result": {"task": told}})


def state(codec: Mcp, server: Server, raw: bytes) -> Json:
    """The state of a task, without its id and without words of the server. Raises Refusal."""
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise broken(server.name, "describes a task without JSON") from None
    if type(said) is dict and "error" in said:
        raise Fault(PARAMS, "The server does not have this task, or does not do this with it any more.")
    result = said.get("result") if type(said) is dict else None
    told = _state(server, result if type(result) is dict else {})
    codec.added["taskId",] = codec.task_id
    return told


def related(codec: Mcp, server: Server, raw: bytes) -> bytes:
    """The result of a task without the server's id."""
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw
    result = said.get("result") if type(said) is dict else None
    if type(result) is not dict:
        return raw
    result.pop(mcp.META, None)
    codec.added[mcp.META, mcp.RELATED_TASK, "taskId"] = codec.task_id
    return written(server.name, said)


def _state(server: Server, said: Json) -> Json:
    """What the protocol says of a task, except for its id and its message. Raises Refusal."""
    status, ttl = said.get("status"), said.get("ttl")
    if type(status) is not str or status not in _STATES or not (ttl is None or _is_period(ttl)):
        raise broken(server.name, "describes a task without a usable state")
    told: Json = {"status": status, "ttl": ttl if ttl is None else _period(ttl)}
    for key in ("createdAt", "lastUpdatedAt"):
        if type(said.get(key)) is str and _TIME.fullmatch(said[key]):  # any other text would reach the client unjudged
            told[key] = said[key]
    if _is_period(said.get("pollInterval")):
        told["pollInterval"] = _period(said["pollInterval"])
    return told


def _is_period(said: Any) -> bool:
    return type(said) in (int, float) and said >= 0


def _period(said: float) -> int:
    """Whole milliseconds, at most 115 days: a longer number could be any value, and states are not judged."""
    return int(min(said, _MOST))
