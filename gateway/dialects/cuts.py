"""Where the messages of a body end, in bytes, and the reading of a body whose beginning and end are known.

JSON composes: a known beginning up to the end of a message, the messages after it, and a known end from the bracket on
that closes the list of messages are one body, and no other reading of it is possible. So only the messages between are
parsed.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import orjson

from gateway.bodies import Json
from gateway.dialects.tree import Shape, Survey

_MARK: Final = re.compile(rb'"[^"]*+"|[\[\]{}]')
_BLOCK: Final = 1024  # bytes that are compared first: most bodies that differ do so at their beginning
_NEEDLE: Final = 64  # bytes by which a stretch is found
_INSIDE: Final = 2  # levels around a message: the body, and its list of messages


class Ends(NamedTuple):
    """The offset after each message, that of the bracket that closes their list, and that after the one that opens it.

    `begin`: 0 if the body was read from the end of a message on.
    """

    messages: list[int]
    close: int
    begin: int


def ends(raw: bytes, history: str, start: int = 0) -> Ends | None:
    """The ends of the messages of a body that was parsed; None if it has no list of messages.

    `history`: the key of that list. `start`: the end of a message, from which on the body is read; 0: from its
    beginning.
    """
    found: list[int] = []
    key = b'"%b"' % history.encode()
    part = raw[start:]
    if b"\\" in part:  # the same number of bytes, without escaped quotes
        part = part.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
    depth, listed, name = (_INSIDE, True, b"") if start else (0, False, b"")
    begin = 0
    for mark in _MARK.finditer(part):
        text = mark[0]
        if text == b"{" or text == b"[":
            depth += 1
            if not listed and depth == _INSIDE and name == key and text == b"[":
                listed, begin = True, mark.end()
        elif text == b"}" or text == b"]":
            depth -= 1
            if listed and depth < _INSIDE:
                return Ends(found, start + mark.start(), begin)
            if listed and depth == _INSIDE:
                found.append(start + mark.end())
        elif depth == 1:
            name = text  # before a list at this level: its key
    return None


def common(one: bytes, other: bytes, start: int = 0) -> int:
    """The number of bytes that both begin with; the first `start` bytes are known to be equal."""
    low, high, step = start, min(len(one), len(other)), _BLOCK
    while low < high:
        at = min(low + step, high)
        part, same = one[low:at], other[low:at]
        if part == same:
            low, step = at, 2 * step
        elif at - low <= _BLOCK:  # the highest bit in which the numbers differ is in the first byte that differs
            return at - ((int.from_bytes(part) ^ int.from_bytes(same)).bit_length() + 7) // 8
        else:
            high = at
            step = (at - low) // 2
    return low


def shifted(one: bytes, other: bytes, size: int) -> int:
    """How far a stretch of one goes on that stands further on in the other; `size`: bytes that both begin with."""
    at = other.find(one[size : size + _NEEDLE], size)
    return size + common(one[size:], other[at:]) if at >= 0 else size


def between(
    raw: bytes, history: str, start: int, close: int, shape: Shape, max_depth: int
) -> tuple[list[Json], Survey] | None:
    """The messages of a body from the end of one to the bracket that closes their list, and a survey of them.

    None if they must be read together with the whole body: they are not messages, or have duplicate keys, or numbers
    that a float cannot represent. Raises Refusal(invalid_request) beyond the depth limit.
    """
    part = raw[start:close]
    try:
        values = orjson.loads(b"[0%b]" % part)
    except orjson.JSONDecodeError:
        return None
    messages = values[1:]
    if not messages or not all(type(message) is dict for message in messages):
        return None
    survey = Survey(shape, max_depth)
    survey.walk({history: messages})
    colons = survey.keys - 1 + survey.colons  # without the key of the list
    if survey.inexact or part.count(b":") != colons or (b"\\" in part and b"\\u003" in part):
        return None
    return messages, survey
