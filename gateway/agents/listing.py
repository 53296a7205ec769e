"""Lists of tasks: of what an agent lists for the gateway, which calls it for many, a caller gets its own tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import orjson

from gateway.call import Json

_PAGES: Final = 50
"""Pages of the agent that are read for one page with a task of the caller."""
_MOST: Final = 100
"""Tasks on a page (specification 1.0, ListTasks)."""

Ask = Callable[[Json], Awaitable[bytes]]
"""Sends the parameters of a list; returns the response."""
Owns = Callable[[str], Awaitable[bool]]
"""Whether a task is the caller's."""


async def own_tasks(params: Json, ask: Ask, owns: Owns) -> bytes:
    """The response with the first page that has a task of the caller, or with the last page. Raises what `ask` raises.

    `totalSize` is the number of tasks in this answer: those of others are not counted.
    """
    asked = dict(params)
    for left in reversed(range(_PAGES)):
        raw = await ask(asked)
        try:
            said = orjson.loads(raw)
            result = said["result"]
            tasks, after = result["tasks"], result.get("nextPageToken") or ""
        except (ValueError, TypeError, LookupError, AttributeError):
            return raw  # an error, or what the codec refuses
        if type(tasks) is not list or len(tasks) > _MOST or type(after) is not str:
            return orjson.dumps({**said, "result": {}})
        ids = [task.get("id") if type(task) is dict else None for task in tasks]
        own = [task for task, id in zip(tasks, ids, strict=True) if type(id) is str and await owns(id)]
        if own or not after or not left:
            about = {"tasks": own, "nextPageToken": after, "pageSize": len(own), "totalSize": len(own)}
            return orjson.dumps({"jsonrpc": said.get("jsonrpc"), "id": said.get("id"), "result": about})
        asked["pageToken"] = after
    raise AssertionError("the last page ends the loop")
