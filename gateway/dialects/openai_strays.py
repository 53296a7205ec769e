"""Tool calls of an answer in shapes that the dialect does not have, but that a client might execute.

`tool_calls` as an object or a string, in the choice or next to the choices, `toolCalls`, a list of messages, parts of
another dialect (`{"type": "tool_use", ...}`), and both at any depth of fields that the dialect does not have. The
called tool must have been offered, as for any tool call; a shape without a name counts as a tool that was not offered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway.bodies import Json
from gateway.dialects.openai_tables import CHOICE, CHUNK, TEXTS

_TOP: Final = CHUNK
_CHOICE: Final = CHOICE | {"message"}
_MESSAGE: Final = frozenset({"role", *TEXTS, "annotations", "audio"})
_CALLING: Final = frozenset({"toolcalls", "toolcall", "functioncalls", "functioncall", "tooluse", "tooluses"})
_PARTS: Final = ("tooluse", "toolcall", "functioncall", "mcpcall")  # endings of the types of parts that call a tool
_ASKS: Final = frozenset({"input", "arguments", "args", "parameters"})
_SPEAKERS: Final = ("message", "delta")
_USUAL_BLOCK: Final = frozenset(
    {"type", "text", "thinking", "signature", "citations", "content", "title", "url", "data"}
)
_DEPTH: Final = 8
_USUAL: Final = {"tool_calls": list, "function_call": dict}
_NAMELESS: Final[Json] = {}


def strays(answer: Json, speaker: str) -> list[Json]:
    """The stray tool calls of an answer or a chunk, as tool calls, without the usual tool calls under `speaker`."""
    found = [] if answer.keys() <= _TOP else list(_fields(answer, _TOP))
    for choice in answer["choices"]:
        if not choice.keys() <= _CHOICE:
            found += _fields(choice, _CHOICE)
            messages = choice.get("messages")
            found += [call for one in messages for call in _message(one)] if type(messages) is list else []
        for key in _SPEAKERS:  # some clients read one of these in place of the other
            said = choice.get(key)
            if type(said) is dict:
                if not said.keys() <= _MESSAGE or type(said.get("content")) in (list, dict):
                    found += _message(said, known=key == speaker)
            elif type(said) is list:
                found += [call for one in said for call in _message(one)]
    return found


def _plain(name: str) -> str:
    return name[:32].strip().lower().replace("_", "").replace("-", "")


def fields(holder: Json, known: frozenset[str] = frozenset()) -> Iterator[Json]:
    """The tool calls in an object that has no tool calls in the dialect, except under the keys in `known`."""
    return _fields(holder, known)


def _fields(holder: Json, known: frozenset[str] = frozenset()) -> Iterator[Json]:
    """The tool calls under the keys of an object, and in the values below them."""
    for key, value in holder.items():
        if key in known or not value:
            continue
        if _plain(key) in _CALLING:
            yield from _calls(value)
        elif type(value) is dict or type(value) is list:
            yield from _below(value)


def _below(root: Any) -> Iterator[Json]:
    """The tool calls at any depth, recognized by their key or by the ending of their type."""
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if type(value) is list:
            waiting += [one for one in value if type(one) is dict or type(one) is list]
            continue
        if _is_call(value.get("type")):
            yield _called(value)
        for key, inner in value.items():
            if type(inner) is dict or type(inner) is list or type(inner) is str:
                if inner and _plain(key) in _CALLING:
                    yield from _calls(inner)
                elif type(inner) is not str:
                    waiting.append(inner)


def _is_call(kind: object) -> bool:
    return type(kind) is str and _plain(kind).endswith(_PARTS)


def _called(block: Json) -> Json:
    """A part that is a tool call, as a tool call."""
    inner = block.get("function")
    return {"name": block["name"]} if type(block.get("name")) is str else inner if type(inner) is dict else {}


def _calls(value: Any) -> Iterator[Json]:
    for one in value if type(value) is list else [value]:
        yield one if type(one) is dict else _NAMELESS


def _message(said: Any, *, known: bool = False) -> Iterator[Json]:
    """The stray tool calls of a message, without those in the usual forms."""
    if type(said) is not dict:
        return
    for key, value in said.items():
        if not value:
            continue
        if known and _USUAL.get(key) is type(value):
            if type(value) is list and not all(type(call) is dict for call in value):
                yield _NAMELESS
            continue
        if key == "function_call":
            yield {key: value} if type(value) is dict else _NAMELESS
        elif _plain(key) in _CALLING:
            yield from _calls(value)
        elif key == "content":
            yield from ({"function": one} for one in in_blocks(value if type(value) is list else [value]))
        elif type(value) is dict or type(value) is list:  # such as calls that another gateway puts below its own field
            yield from _below(value)


def in_blocks(blocks: list[Any], depth: int = 0) -> Iterator[Json]:
    """The calls in parts of a message that are not tool calls of the dialect.

    Recognized by the type of the part, by one of its fields, or by a name with arguments.
    """
    for block in blocks:
        if type(block) is not dict:
            continue
        kind = block.get("type")
        named = type(block.get("name")) is str and not block.keys().isdisjoint(_ASKS)
        if named or kind == "function" or _is_call(kind):
            yield _called(block)
        elif not block.keys() <= _USUAL_BLOCK:
            yield from _fields(block)
        inner = block.get("content")
        if type(inner) is list and depth < _DEPTH:
            yield from in_blocks(inner, depth + 1)
