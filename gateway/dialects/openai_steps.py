"""What has happened in a chat, as loops are judged by: prompts, the model's turns, results of tools.

The messages have been checked by then (`OpenAIChat.parse`); what they hold beyond that may be of any type.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import orjson

from gateway.call import Json, Step, ToolUse
from gateway.dialects.checks import text


def steps(messages: list[Json]) -> list[Step]:
    """In order. A result answers a call of the turn before it."""
    found: list[Step] = []
    asked: dict[str, deque[ToolUse]] = {}  # by id, in order
    for message in messages:
        role, content = message["role"], message.get("content")
        if role == "user":
            found.append(Step("prompt", plain(content)))
        elif role == "assistant":
            uses, asked = _uses(message), {}
            for use in uses:
                asked.setdefault(use.id, deque()).append(use)
            found.append(Step("turn", "", tuple(uses)))
        elif role in ("tool", "function"):
            id = text(message.get("tool_call_id"))
            if waiting := asked.get(id):
                found.append(Step("result", plain(content), (waiting.popleft(),)))
    return found


def _uses(message: Json) -> list[ToolUse]:
    """The tool calls of an assistant message; the older single `function_call` has no id."""
    calls = message.get("tool_calls")
    calls = [call for call in calls if type(call) is dict] if type(calls) is list else []
    if type(message.get("function_call")) is dict:
        calls.append({"function": message["function_call"]})
    uses = []
    for call in calls:
        inner = call.get(text(call.get("type")) or "function")
        inner = inner if type(inner) is dict else {}
        arguments = inner.get("arguments", inner.get("input"))  # a custom tool has a text for input
        uses.append(ToolUse(text(call.get("id")), text(inner.get("name")), "" if arguments is None else arguments))
    return uses


def plain(content: Any) -> str:
    """What a message says, as one text: parts that are not text count too, as they are written."""
    if type(content) is str:
        return content.strip()
    if type(content) is list and len(content) == 1 and type(content[0]) is dict and content[0].get("type") == "text":
        return plain(content[0].get("text"))
    return "" if content is None else orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()
