"""How often the provider ran its own tools for an answer: `Usage.runs`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from gateway.bodies import Json
from gateway.dialects import integer
from gateway.dialects.checks import text
from gateway.dialects.cited import made_by_responses

Runs = tuple[tuple[str, int], ...]
"""Names of tools and their runs, in order of the names; tools that did not run are not in it."""
CONTAINER: Final = "container"
_PREVIEW: Final = "web_search_preview"
_SIZES: Final = frozenset({"4g", "16g", "64g"})
_MOST: Final = 64  # tools of one answer
_ITEMS: Final = frozenset(
    {"web_search", "file_search", "code_interpreter", "image_generation", "mcp"}  # of Responses
    | {"google_search", "google_maps", "url_context", "code_execution", "mcp_server_tool"}  # of Interactions
)
_REPORTED: Final = frozenset({"web_search", "web_fetch"})  # of Messages, which tells the number of their runs


def told(usage: Any) -> Runs:
    """The counts in a usage report under `server_tool_use`: `{"web_search_requests": 2}` is `web_search`, twice."""
    counts = usage.get("server_tool_use") if type(usage) is dict else None
    if type(counts) is not dict:
        return ()
    return _sorted({_named(name): integer(count) for name, count in [*counts.items()][:_MOST]})


def of_items(items: Any) -> Runs:
    """The calls among the items or steps of an answer."""
    found: dict[str, int] = {}
    for item in items if type(items) in (list, tuple) else ():
        kind = item.get("type") if type(item) is dict else None
        if type(kind) is str and kind.endswith("_call") and (name := kind.removesuffix("_call")) in _ITEMS:
            found[name] = found.get(name, 0) + 1
    return _sorted(found)


def of_response(answer: Json) -> Runs:
    """The calls among the items of a response, and the containers in which code ran: `container`, one run each.

    The items do not say what the price depends on, but the tools do, which a response repeats: a search of the older
    kind is `web_search_preview`, and a container with more memory than the least `container_4g`.
    """
    output = answer.get("output")
    if type(output) is list and len(output) == 1 and type(output[0]) is dict and output[0].get("type") == "message":
        return ()  # as most are
    found = dict(of_items(output))
    containers = made_by_responses(answer) if found or type(output) is list else ()
    if not (containers or "web_search" in found):
        return _sorted(found)
    listed = answer.get("tools")
    tools = [one for one in listed if type(one) is dict] if type(listed) is list else []
    if any(text(one.get("type")).startswith(_PREVIEW) for one in tools) and "web_search" in found:
        found[_PREVIEW] = found.pop("web_search")
    if containers:
        found[CONTAINER + max(map(_memory, tools), key=len, default="")] = len(containers)
    return _sorted(found)


def of_container(answer: Json) -> Runs:
    """One run of a container that a call made."""
    return ((CONTAINER + _memory({"container": answer}), 1),)


def has_containers(runs: Runs) -> bool:
    """Whether code ran in containers that are counted."""
    return any(name.startswith(CONTAINER) for name, _ in runs)


def used_before(runs: Runs, count: int) -> Runs:
    """The runs without so many containers, whose use was charged before."""
    return _sorted({name: n - count if name.startswith(CONTAINER) else n for name, n in runs})


def _memory(tool: Json) -> str:
    """The end of the name of the containers of a tool: their memory, if it is not the least."""
    place = tool.get("container") or tool.get("environment")
    size = text(place.get("memory_limit")).lower() if type(place) is dict else ""
    return f"_{size}" if size in _SIZES else ""


def more(runs: Runs, item: Json) -> Runs:
    """The runs in a stream so far, with that of an item, step or block that begins."""
    kind = item.get("type")
    if type(kind) is not str:
        return runs
    if kind == "server_tool_use":  # of Messages
        name = item.get("name")
        return summed((runs, ((name, 1),))) if type(name) is str and name in _REPORTED else runs
    return summed((runs, of_items((item,)))) if kind.endswith("_call") else runs


def of_candidates(candidates: Any) -> Runs:
    """The searches that candidates of Gemini are grounded in."""
    searches = 0
    for one in candidates or ():
        grounds = one.get("groundingMetadata") if type(one) is dict else None
        queries = grounds.get("webSearchQueries") if type(grounds) is dict else None
        searches += len(queries) if type(queries) is list else 0
    return (("google_search", searches),) if searches else ()


def summed(several: Iterable[Runs]) -> Runs:
    """The runs of several answers together."""
    found: dict[str, int] = {}
    for name, count in (run for runs in several for run in runs):
        if name in found or len(found) < _MOST:
            found[name] = found.get(name, 0) + count
    return _sorted(found)


def _named(name: str) -> str:
    return name[:64].removesuffix("_requests")


def _sorted(counts: dict[str, int]) -> Runs:
    return tuple(sorted((name, count) for name, count in counts.items() if count > 0))
