"""The tools that a server lists, within bounds, and the digest of each.

The digest covers everything that a model reads of a tool (RFC 8785 form, SHA-256): name, title, description, schemas,
annotations and icons. A tool whose digest changes is another tool.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

import orjson

from gateway.call import Json
from gateway.config.tools import Tool
from gateway.dialects.mcp_names import EXTENSIONS, LIST, TASK_EXTENSION
from gateway.dialects.tree import Shape, Survey
from gateway.errors import Refusal
from gateway.limits.loops import canonical
from gateway.tools.wire import broken

MOST: Final = 2_000
"""Tools of one server."""
_PAGES: Final = 100
FIELDS: Final = ("name", "title", "description", "inputSchema", "outputSchema", "annotations", "icons")
"""What a model reads of a tool, and the digest covers."""
_LONGEST: Final = 64 * 1024  # bytes of one tool
_ALL: Final = 4 * 1024 * 1024  # bytes of all pages
_SHORT: Final = 32 * 1024  # bytes of a page that is read on the event loop
_DEPTH: Final = 24  # levels of a schema
_PLAIN: Final = Shape(frozenset(), frozenset(), frozenset())


class Listed(NamedTuple):
    """One tool as its server lists it: `tool` as JSON, with the digest of what a model reads of it."""

    name: str
    tool: Json
    digest: str


def digest(tool: Json) -> str:
    """The digest of a tool, as hex."""
    told = {name: tool[name] for name in FIELDS if name in tool}
    return hashlib.sha256(canonical(orjson.dumps(told).decode()).encode()).hexdigest()


async def read(server: str, ask: Callable[[Json], Awaitable[bytes]]) -> list[Listed]:
    """Ask a server for all its tools. Raises Refusal(upstream_error, upstream_timeout), and what `ask` raises."""
    found: dict[str, Listed] = {}
    cursor: str | None = None
    size = number = 0
    for _ in range(_PAGES):
        params: Json = {} if cursor is None else {"cursor": cursor}
        raw = await ask({"jsonrpc": "2.0", "id": 1, "method": LIST, "params": params})
        size += len(raw)
        if size > _ALL:
            raise broken(server, f"lists tools in more than {_ALL} bytes")
        try:
            page = _page(raw) if len(raw) <= _SHORT else await asyncio.to_thread(_page, raw)
        except (ValueError, TypeError, AttributeError, LookupError):
            raise broken(server, "answered with something that is not a list of tools") from None
        number += page.number
        if number > MOST:
            raise broken(server, f"lists more than {MOST} tools")
        for one in page.tools:
            found.setdefault(one.name, one)
        cursor = page.cursor if type(page.cursor) is str else None
        if not cursor:
            return list(found.values())
    raise broken(server, f"lists its tools on more than {_PAGES} pages")


class _Page(NamedTuple):
    """A page of a list: the tools that can be served, how many it has in all, and where the next page begins."""

    tools: list[Listed]
    number: int
    cursor: object


def _page(raw: bytes) -> _Page:
    """Read a response. Raises ValueError, TypeError, AttributeError, LookupError for one that is not a list."""
    result = orjson.loads(raw).get("result")
    tools, cursor = result["tools"], result.get("nextCursor")
    number = len(tools)
    return _Page(listed(tools) if number <= MOST else [], number, cursor)


def listed(tools: Iterable[Json]) -> list[Listed]:
    """The tools of a list that can be served: those with a name and an object as input, within the bounds.

    Raises ValueError if this is not a list of objects.
    """
    found = []
    for tool in tools:
        if type(tool) is not dict:
            raise ValueError("a tool is no object")
        name, schema = tool.get("name"), tool.get("inputSchema")
        if type(name) is not str or not 0 < len(name) <= 128 or type(schema) is not dict:
            continue
        if len(orjson.dumps(tool)) > _LONGEST or not _is_shallow(tool):
            continue
        found.append(Listed(name, tool, digest(tool)))
    return found


def _is_shallow(tool: Json) -> bool:
    try:
        Survey(_PLAIN, _DEPTH).walk(tool)
    except Refusal:
        return False
    return True


def writes(row: Tool, listed: Listed) -> bool | None:
    """Whether a tool writes: by the row of its server, else by its annotations; None if neither says.

    A tool that destroys writes. Without `readOnlyHint`, `destructiveHint` says so (schema: `ToolAnnotations`).
    """
    if any(fnmatchcase(listed.name, pattern) for pattern in row.write):
        return True
    said = listed.tool.get("annotations")
    reads = said.get("readOnlyHint") if type(said) is dict else None
    if type(reads) is not bool:
        return True if type(said) is dict and said.get("destructiveHint") is True else None
    return not reads


def has_later_tasks(about: Json) -> bool:
    """Whether a server has tasks in the later era. `about`: what it says of itself."""
    node: Any = about.get("capabilities")
    for key in (EXTENSIONS, TASK_EXTENSION):
        node = node.get(key) if type(node) is dict else None
    return type(node) is dict


def takes_task(listed: Listed) -> bool:
    """Whether a tool can be called as a task."""
    said = listed.tool.get("execution")
    return type(said) is dict and said.get("taskSupport") in ("optional", "required")


def needs_task(listed: Listed) -> bool:
    """Whether a tool can only be called as a task (2025-11-25, server/tools: `execution.taskSupport`)."""
    said = listed.tool.get("execution")
    return type(said) is dict and said.get("taskSupport") == "required"


def repeats(row: Tool, listed: Listed) -> bool:
    """Whether a tool may be called again without effect: by the row of its server, or if it reads or says so."""
    if any(fnmatchcase(listed.name, pattern) for pattern in row.idempotent):
        return True
    said = listed.tool.get("annotations")
    return writes(row, listed) is False or (type(said) is dict and said.get("idempotentHint") is True)
