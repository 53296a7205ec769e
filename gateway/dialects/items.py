"""How many things a body may hold: bytes are bounded by the server, but each message, key and value costs by itself.

Config keys: `server.max_messages`, `max_parts`, `max_tools`, `max_tool_calls`, `max_keys`, `max_values`. A request over
one of them is refused with request_too_large, an answer with upstream_error; the message names the setting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from gateway.call import Json

MOST_NESTED: Final = 1_000_000
"""Values of JSON within a string, or of one event; beyond that a string is plain text, and an event is refused."""
MOST_LEVELS: Final = 200
"""Levels of nesting of one event or one answer; our JSON library writes 254."""
SMALL: Final = 65_536
"""Bytes of which nobody counts the values."""
_BRACKET: Final = re.compile(rb"[\[\]{}]")
# A string that does not end is one up to the end: else each quote in it would be tried as a beginning.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)


class Caps(NamedTuple):
    """The most of each, by the name of its setting."""

    messages: int
    parts: int
    tools: int
    tool_calls: int
    keys: int
    values: int

    def over(self, counts: Mapping[str, int]) -> str:
        """What is too much of what was counted, in words; "" if nothing is."""
        for name, count in counts.items():
            most: int = getattr(self, name)
            if count > most:
                return self.words(name, count)
        return ""

    def words(self, name: str, count: int = 0) -> str:
        """That there are too many of something."""
        most: int = getattr(self, name)
        found = f"{count} " if count else f"more than {most} "
        return f"{found}{_NAMES[name]}; server.max_{name} allows {most}"

    @property
    def least(self) -> int:
        """No body of fewer bytes holds too many of anything."""
        return min(self)


_NAMES: Final = {
    "messages": "messages",
    "parts": "content parts",
    "tools": "tools",
    "tool_calls": "tool calls in one message",
    "keys": "keys in one object",
    "values": "JSON values",
}


def has_more_values(raw: bytes, most: int) -> bool:
    """Whether JSON holds more values than so many, told before it is parsed: a byte may become an object of 50."""
    if len(raw) <= most or _marks(raw) < most:
        return False
    return _marks(_STRING.sub(b"", raw)) >= most


def is_crowded(raw: bytes) -> bool:
    """Whether an event, or JSON within a string, holds more values than those may."""
    return len(raw) > SMALL and has_more_values(raw, MOST_NESTED)


def is_deep(raw: bytes) -> bool:
    """Whether an event, or a whole answer, is nested deeper than what reads and writes it goes."""
    if raw.count(b"{") + raw.count(b"[") <= MOST_LEVELS:
        return False
    depth = 0
    for mark in _BRACKET.findall(_STRING.sub(b"", raw)):
        depth += 1 if mark in b"{[" else -1
        if depth > MOST_LEVELS:
            return True
    return False


def check_event(data: bytes, what: str) -> None:
    """Raise ValueError for an event that holds too much, or is nested too deep; `what` is what it is called."""
    if is_crowded(data):
        raise ValueError(f"{what} holds more than {MOST_NESTED} values")
    if is_deep(data):
        raise ValueError(f"{what} is nested more than {MOST_LEVELS} levels deep")


def _marks(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{") - raw.count(b"[]") - raw.count(b"{}")


def of_messages(messages: Iterable[Any]) -> dict[str, int]:
    """The parts of OpenAI's messages together, and the most tool calls that one of them has."""
    parts = calls = 0
    for message in messages:
        if type(message) is not dict:
            continue
        content, said = message.get("content"), message.get("tool_calls")
        if type(content) is list:
            parts += len(content)
        if type(said) is list and len(said) > calls:
            calls = len(said)
    return {"parts": parts, "tool_calls": calls}


def of_request(body: Json) -> dict[str, int]:
    """What a chat request holds; its lists have been checked to be lists."""
    tools = body.get("tools") or ()
    return {"messages": len(body["messages"]), "tools": len(tools), **of_messages(body["messages"])}


def of_answer(answer: Json) -> dict[str, int]:
    """What a chat completion holds."""
    return of_messages(choice.get("message") for choice in answer["choices"])
