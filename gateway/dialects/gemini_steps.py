"""The steps of a conversation in Gemini's dialect, for loop detection."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from gateway.bodies import Json, Step, ToolUse
from gateway.dialects.checks import text
from gateway.dialects.gemini_tables import each_part, field
from gateway.dialects.openai_steps import plain, waiting


def steps(messages: list[Json], earlier: Sequence[Step] = ()) -> list[Step]:
    """Prompts, turns of the model and results of functions after `earlier`, in order.

    A result belongs to a call of the previous turn: by its id, or else by the name of the function.
    """
    found: list[Step] = []
    asked = waiting(earlier)
    for message in messages:
        parts = each_part(message)
        if message.get("role") == "model":
            uses, asked = tuple(_uses(parts)), {}
            for use in uses:
                asked.setdefault(use.id, deque()).append(use)
            found.append(Step("turn", "", uses))
            continue
        said = []
        for part in parts:
            result = _inner(part, "functionResponse")
            if result is None:
                said.append(part)
            elif asking := asked.get(_id(result)):
                found.append(Step("result", plain([result.get("response")]), (asking.popleft(),)))
        if said or not parts:
            found.append(Step("prompt", _text(said)))
    return found


def _inner(part: Json, name: str) -> Json | None:
    value = part.get(name, part.get("function_" + name[8:].lower()))
    return value if type(value) is dict else None


def _id(call: Json) -> str:
    return text(call.get("id")) or text(call.get("name"))


def _uses(parts: list[Json]) -> Iterator[ToolUse]:
    for part in parts:
        call = _inner(part, "functionCall")
        if call is not None:
            yield ToolUse(_id(call), text(call.get("name")), field(call, "args") or {})


def _text(parts: list[Json]) -> str:
    """The text of a prompt; parts that are not text are included as JSON."""
    if len(parts) == 1 and parts[0].keys() == {"text"}:
        return plain(parts[0]["text"])
    return plain(parts)
