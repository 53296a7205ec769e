"""Progressive discovery: with many tools, a client gets two in place of all. Config key: `tools.*.discovery`.

`search_tools` finds tools by words, `call_tool` calls one by its name. The same tools are visible, and a call is judged
as a call of the tool that it names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import orjson

from gateway.call import Json
from gateway.dialects.mcp_names import CALL_TOOL, SEARCH_TOOLS
from gateway.tools.catalogue import FIELDS

_FOUND: Final = 10  # tools of one answer
_WORD: Final = re.compile(r"[^\W_]+")
_READS: Final[Json] = {"readOnlyHint": True}
DEFINITIONS: Final[Sequence[Json]] = (
    {
        "name": SEARCH_TOOLS,
        "description": "Find tools by words of their names and descriptions. Call what you find with call_tool.",
        "inputSchema": {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "Words, such as: customer address"}},
            "required": ["query"],
        },
        "annotations": _READS,
    },
    {
        "name": CALL_TOOL,
        "description": "Call a tool that search_tools found.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "The name of the tool"},
                "arguments": {"type": "object", "description": "Its arguments, as its inputSchema says"},
            },
            "required": ["name"],
        },
    },
)


def found(tools: Sequence[Json], query: str) -> Json:
    """The result of a search: the tools with most words of the query, in names first."""
    words = {word.lower() for word in _WORD.findall(query)}
    scored = [(score, -at, tool) for at, tool in enumerate(tools) if (score := _score(tool, words)) or not words]
    scored.sort(key=lambda one: one[:2], reverse=True)
    # A client of a list shows a model what it knows; here all is text, so that only what the pin covers may be in it.
    hits = [{name: tool[name] for name in FIELDS if name in tool} for _, _, tool in scored[:_FOUND]]
    return {
        "content": [{"type": "text", "text": orjson.dumps(hits).decode()}],
        "structuredContent": {"tools": hits, "more": max(0, len(scored) - _FOUND)},
    }


def _score(tool: Json, words: set[str]) -> int:
    name = {word.lower() for word in _WORD.findall(f"{tool.get('name')} {tool.get('title') or ''}")}
    said = {word.lower() for word in _WORD.findall(str(tool.get("description") or ""))}
    return sum(3 * any(part.startswith(word) for part in name) + (word in said) for word in words)
