"""The steps of a chat for loop detection: prompts, turns of the model, results of tools.

The messages have been checked (`OpenAIChat.parse`); all other values in them may be of any type.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.bodies import Json, Step, ToolUse
from gateway.dialects.checks import text


def waiting(earlier: Sequence[Step], *, every: bool = False) -> dict[str, deque[ToolUse]]:
    """The tool calls of the last turn that have no result yet, by id, in order. `every`: those of all turns."""
    asked: dict[str, deque[ToolUse]] = {}
    turn = next((at for at in range(len(earlier) - 1, -1, -1) if earlier[at].kind == "turn"), len(earlier))
    for step in earlier[0 if every else turn :]:
        for use in step.uses:
            if step.kind == "turn":
                asked.setdefault(use.id, deque()).append(use)
            elif step.kind == "result" and asked.get(use.id):
                asked[use.id].popleft()
    return asked


def steps(messages: list[Json], earlier: Sequence[Step] = ()) -> list[Step]:
    """The steps after `earlier`, in order. A result belongs to a call of the previous turn."""
    found: list[Step] = []
    asked = waiting(earlier)
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
            if asking := asked.get(id):
                found.append(Step("result", plain(content), (asking.popleft(),)))
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
        arguments = inner.get("arguments", inner.get("input"))  # the input of a custom tool is a text
        uses.append(ToolUse(text(call.get("id")), text(inner.get("name")), "" if arguments is None else arguments))
    return uses


def plain(content: Any) -> str:
    """The content of a message as one text; parts that are not text are included as JSON."""
    if type(content) is str:
        return content.strip()
    if type(content) is list and len(content) == 1 and type(content[0]) is dict and content[0].get("type") == "text":
        return plain(content[0].get("text"))
    return "" if content is None else orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()
