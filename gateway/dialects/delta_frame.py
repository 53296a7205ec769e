"""Series of events with pieces of one text, which differ in the piece and in a few numbers or padding beside it.

A `DeltaFrame` is learned from one fully parsed event, and then reads the following events without parsing JSON. All
other bytes of these events are those of the parsed event. An escape, another field or an incomplete event is left to
the full parser. See `frame`, which does the same for dialects whose events differ in the piece alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

_LONGEST: Final = 32 * 1024  # bytes of a piece, and of a series; a longer event is parsed in full
NUMBER: Final = re.compile(rb"0|[1-9][0-9]{0,5}(?![0-9])")
"""A number of at most six digits, which is no personal data."""
TEXT: Final = re.compile(rb'"[^"\\\x00-\x1f]{0,%d}"' % _LONGEST)
"""A string without escapes: the piece."""
PADDING: Final = re.compile(rb'"(?:[A-Za-z]|[0-9](?![0-9]{2})){0,64}"')
"""Padding as in `openai_answer.is_padding`."""


class Place(NamedTuple):
    """What differs: the value of a key that the event has once, and the pattern of other values."""

    key: str
    value: str | int
    pattern: re.Pattern[bytes]


class Read(NamedTuple):
    """One event: its bytes, its numbers in the order of their places, its piece."""

    raw: bytes
    numbers: Sequence[int]
    text: str


class DeltaFrame:
    """The events that are equal to a parsed event except for what differs.

    `parts`: the bytes before each place that differs, and what may be there; `last`: the bytes after the last place.
    `numbers`: the keys of the places with numbers, in order.
    """

    __slots__ = ("_last", "_parts", "numbers")

    def __init__(self, parts: Sequence[tuple[bytes, re.Pattern[bytes]]], last: bytes, numbers: Sequence[str]) -> None:
        self._parts = parts
        self._last = last
        self.numbers = numbers

    @classmethod
    def learn(cls, raw: bytes, places: Sequence[Place]) -> DeltaFrame | None:
        """The frame of a faithful event; None if a place cannot be found in its bytes."""
        if b"\\" in raw or not raw.endswith((b"\n\n", b"\r\n\r\n")):
            return None
        found = []
        for place in places:
            key = b'"%s":' % place.key.encode()
            said = place.value
            value = b"%d" % said if type(said) is int else b'"%s"' % str(said).encode()
            at = raw.find(key) + len(key)
            at += raw[at : at + 1] == b" "
            end = at + len(value)
            if raw.count(key) != 1 or raw[at:end] != value or raw[end : end + 1] not in (b",", b"}"):
                return None
            found.append((at, end, place))
        found.sort(key=itemgetter(0))
        before, begin = list[tuple[bytes, re.Pattern[bytes]]](), 0
        for at, end, place in found:
            before.append((raw[begin:at], place.pattern))
            begin = end
        return cls(before, raw[begin:], [place.key for _, _, place in found if place.pattern is NUMBER])

    def read(self, data: bytes, at: int) -> Iterator[Read]:
        """The events from `at` on that have this frame, up to a length that is judged at once."""
        most, parts, last = at + _LONGEST, self._parts, self._last
        while at < most:
            begin, numbers, text = at, list[int](), b""
            for before, pattern in parts:
                if not data.startswith(before, at):
                    return
                found = pattern.match(data, at + len(before))
                if found is None:
                    return
                at = found.end()
                if pattern is TEXT:
                    text = found[0]
                elif pattern is NUMBER:
                    numbers.append(int(found[0]))
            if not data.startswith(last, at):
                return
            at += len(last)
            try:
                said = text[1:-1].decode()
            except UnicodeDecodeError:
                raise ValueError("an event is not JSON") from None
            if not said.isprintable():
                return
            yield Read(data[begin:at], numbers, said)
