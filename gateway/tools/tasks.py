"""Calls that run as tasks (2025-11-25, basic/utilities/tasks): the client asks for their state and their result later.

The id of a task that a client gets is sealed for the caller and the server, with the tool that was called: any other
caller has no such task. `task_owners` finds the tasks of a caller among those of a server. Without IO.
"""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.call import Json
from gateway.dialects import mcp
from gateway.dialects.jsonrpc import PARAMS, Fault
from gateway.dialects.mcp import Mcp
from gateway.tools.server import Server
from gateway.tools.wire import broken, parsed, written

_STATES: Final = frozenset({"working", "input_required", "completed", "failed", "cancelled"})
_MOST: Final = 10_000_000_000  # milliseconds
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)


def offered(about: Json) -> Json:
    """The capability of tasks that clients hear of; empty if a server takes no calls as tasks.

    `about`: what the server says of itself.
    """
    able: Any = about.get("capabilities")
    tasks: Any = able.get("tasks") if type(able) is dict else None
    node = tasks
    for key in ("requests", "tools", "call"):
        node = node.get(key) if type(node) is dict else None
    if type(node) is not dict:
        return {}
    lists: Json = {"list": {}} if type(tasks.get("list")) is dict else {}
    return {**lists, "cancel": {}, "requests": {"tools": {"call": {}}}}


def state(codec: Mcp, server: Server, raw: bytes) -> Json:
    """The state of a task, without its id and without words of the server. Raises Refusal."""
    said = parsed(raw)
    if "error" in said:
        raise Fault(PARAMS, "The server does not have this task, or does not do this with it any more.")
    result = said.get("result")
    told = described(server, result if type(result) is dict else {})
    codec.added["taskId",] = codec.task_id
    return told


def related(codec: Mcp, server: Server, raw: bytes) -> bytes:
    """The result of a task without the server's id."""
    said = parsed(raw)
    result = said.get("result")
    if type(result) is not dict:
        return raw
    result.pop(mcp.META, None)
    codec.added[mcp.META, mcp.RELATED_TASK, "taskId"] = codec.task_id
    return written(server.name, said)


def described(server: Server, said: Json, *, words: bool = False, later: bool = False) -> Json:
    """What the protocol says of a task, without its id. Raises Refusal.

    `words`: with the server's message. `later`: the server says it in the form of the later era.
    """
    period, poll = ("ttlMs", "pollIntervalMs") if later else ("ttl", "pollInterval")
    status, ttl = said.get("status"), said.get(period)
    if type(status) is not str or status not in _STATES or not (ttl is None or _is_period(ttl)):
        raise broken(server.name, "describes a task without a usable state")
    told: Json = {"status": status, "ttl": ttl if ttl is None else _period(ttl)}
    for key in ("createdAt", "lastUpdatedAt"):
        if type(said.get(key)) is str and _TIME.fullmatch(said[key]):  # any other text would reach the client unjudged
            told[key] = said[key]
    if _is_period(said.get(poll)):
        told["pollInterval"] = _period(said[poll])
    if words and type(said.get("statusMessage")) is str:
        told["statusMessage"] = said["statusMessage"]
    return told


def in_later_form(told: Json) -> Json:
    """A state in the form that clients of the later era read."""
    names = {"ttl": "ttlMs", "pollInterval": "pollIntervalMs"}
    return {names.get(key, key): value for key, value in told.items()}


def _is_period(said: Any) -> bool:
    return type(said) in (int, float) and said >= 0


def _period(said: float) -> int:
    """Whole milliseconds, at most 115 days: a longer number could be any value, and states are not judged."""
    return int(min(said, _MOST))
