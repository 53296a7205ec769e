"""Limits for the items of a body: the server limits bytes, but each message, key and value has its own cost.

Config keys: `server.max_messages`, `max_parts`, `max_tools`, `max_tool_calls`, `max_keys`, `max_values`. A request that
exceeds a limit is refused with request_too_large, an answer with upstream_error; the message names the setting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from gateway.bodies import Json

MOST_NESTED: Final = 1_000_000
"""Maximum JSON values in a string, or in one event; beyond, a string is plain text, and an event is refused."""
MOST_LEVELS: Final = 200
"""Maximum levels of nesting of one event or one answer; the JSON library can write 254."""
SMALL: Final = 65_536
"""Size in bytes below which values are not counted."""
_BRACKET: Final = re.compile(rb"[\[\]{}]")
# An unterminated string extends to the end; otherwise each quote in it would be tried as a beginning.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)


class Caps(NamedTuple):
    """The limits, by the name of the setting."""

    messages: int
    parts: int
    tools: int
    tool_calls: int
    keys: int
    values: int

    def over(self, counts: Mapping[str, int]) -> str:
        """Which count exceeds its limit, as a phrase; "" if none does."""
        for name, count in counts.items():
            most: int = getattr(self, name)
            if count > most:
                return self.words(name, count)
        return ""

    def words(self, name: str, count: int = 0) -> str:
        """The phrase for an exceeded limit."""
        most: int = getattr(self, name)
        found = f"{count} " if count else f"more than {most} "
        return f"{found}{_NAMES[name]}; server.max_{name} allows {most}"

    @property
    def least(self) -> int:
        """The size in bytes below which a body cannot exceed any limit."""
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
    """Whether JSON has more than `most` values; checked before parsing: one byte may become an object of 50 bytes."""
    if len(raw) <= most or _marks(raw) < most:
        return False
    return _marks(_STRING.sub(b"", raw)) >= most


def is_crowded(raw: bytes) -> bool:
    """Whether an event, or JSON inside a string, has too many values."""
    return len(raw) > SMALL and has_more_values(raw, MOST_NESTED)


def is_deep(raw: bytes) -> bool:
    """Whether an event or a whole answer is nested too deeply to be parsed and written."""
    if raw.count(b"{") + raw.count(b"[") <= MOST_LEVELS:
        return False
    depth = 0
    for mark in _BRACKET.findall(_STRING.sub(b"", raw)):
        depth += 1 if mark in b"{[" else -1
        if depth > MOST_LEVELS:
            return True
    return False


def check_event(data: bytes, what: str) -> None:
    """Raise ValueError for an event with too many values or levels; `what` names the event."""
    if is_crowded(data):
        raise ValueError(f"{what} holds more than {MOST_NESTED} values")
    if is_deep(data):
        raise ValueError(f"{what} is nested more than {MOST_LEVELS} levels deep")


def _marks(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{") - raw.count(b"[]") - raw.count(b"{}")


def of_messages(messages: Iterable[Any]) -> dict[str, int]:
    """The number of parts in all messages, and the largest number of tool calls in one message (OpenAI)."""
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
    """The counts of a chat request, whose lists have been checked."""
    tools = body.get("tools") or ()
    return {"messages": len(body["messages"]), "tools": len(tools), **of_messages(body["messages"])}


def of_answer(answer: Json) -> dict[str, int]:
    """The counts of a chat completion."""
    return of_messages(choice.get("message") for choice in answer["choices"])
