"""What has happened in a conversation of the Messages dialect, as loops are judged by."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.call import Json, Step, ToolUse
from gateway.dialects.anthropic_tables import calls_a_tool


def steps(messages: list[Json]) -> list[Step]:
    """Prompts, the model's turns and tool results, in order. A result answers a call of the turn before it."""
    found: list[Step] = []
    asked: dict[str, deque[ToolUse]] = {}
    for message in messages:
        blocks = list(_blocks(message.get("content")))
        if message["role"] == "assistant":
            uses, asked = tuple(_use(block) for block in blocks if calls_a_tool(block)), {}
            for use in uses:
                asked.setdefault(use.id, deque()).append(use)
            found.append(Step("turn", "", uses))
            continue
        said = []
        for block in blocks:
            if block.get("type") == "tool_result":
                if waiting := asked.get(_name(block.get("tool_use_id"))):
                    found.append(Step("result", _plain(block.get("content")), (waiting.popleft(),)))
            else:
                said.append(block)
        if said or not blocks:
            found.append(Step("prompt", _plain(said)))
    return found


def _blocks(content: Any) -> Iterator[Json]:
    if type(content) is str:
        yield {"type": "text", "text": content}
    elif type(content) is list:
        yield from (block for block in content if type(block) is dict)


def _use(block: Json) -> ToolUse:
    arguments = block.get("input")
    return ToolUse(_name(block.get("id")), _name(block.get("name")), {} if arguments is None else arguments)


def _plain(content: Any) -> str:
    """What a message or a result says, as one text: what is not text counts too, as it is written."""
    if type(content) is str:
        return content.strip()
    if type(content) is list and len(content) == 1 and type(content[0]) is dict and content[0].get("type") == "text":
        return _plain(content[0].get("text"))
    return "" if content is None else orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()


def _name(value: Any) -> str:
    return value if type(value) is str else ""
