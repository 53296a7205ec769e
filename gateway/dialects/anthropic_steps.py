"""The steps of a conversation in the Messages dialect, for loop detection."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.bodies import Json, Step, ToolUse
from gateway.dialects.anthropic_tables import calls_a_tool
from gateway.dialects.checks import text
from gateway.dialects.openai_steps import plain, waiting


def steps(messages: list[Json], earlier: Sequence[Step] = ()) -> list[Step]:
    """Prompts, turns of the model and tool results after `earlier`, in order.

    A result belongs to a call of the previous turn.
    """
    found: list[Step] = []
    asked = waiting(earlier)
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
                if asking := asked.get(text(block.get("tool_use_id"))):
                    found.append(Step("result", plain(block.get("content")), (asking.popleft(),)))
            else:
                said.append(block)
        if said or not blocks:
            found.append(Step("prompt", plain(said)))
    return found


def _blocks(content: Any) -> Iterator[Json]:
    if type(content) is str:
        yield {"type": "text", "text": content}
    elif type(content) is list:
        yield from (block for block in content if type(block) is dict)


def _use(block: Json) -> ToolUse:
    arguments = block.get("input")
    return ToolUse(text(block.get("id")), text(block.get("name")), {} if arguments is None else arguments)
