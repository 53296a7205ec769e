"""Series of events with pieces of one text, which differ in the piece and in a few numbers or padding beside it.

A `DeltaFrame` is learned from one fully parsed event, and then reads the following events without parsing JSON. All
other bytes of these events are those of the parsed event. An escape, another field or an incomplete event is left to
the full parser. See `frame`, which does the same for dialects whose events differ in the piece alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, takewhile
from operator import itemgetter
from typing import Final, NamedTuple

from gateway.dialects.frame import Read, printable

_LONGEST: Final = 32 * 1024  # bytes of a piece, and of a series; a longer event is parsed in full
_DIGITS: Final = 6
NUMBER: Final = re.compile(rb"(0|[1-9][0-9]{0,%d})" % (_DIGITS - 1))
"""A number of at most six digits, which is no personal data."""
TEXT: Final = re.compile(rb'"([^"\\\x00-\x1f]{0,%d})"' % _LONGEST)
"""A string without escapes: the piece."""
PADDING: Final = re.compile(rb'"(?:[A-Za-z]|[0-9](?![0-9]{2})){0,64}"')
"""Padding as in `openai_answer.is_padding`."""
_MARKS: Final = [b"%c" % mark for mark in range(9)]  # no event has these: a control character is not valid in JSON


class Place(NamedTuple):
    """What differs: the value of a key that the event has once, and the pattern of other values."""

    key: str
    value: str | int
    pattern: re.Pattern[bytes]


class DeltaFrame:
    """The events that are equal to a parsed event except for what differs.

    `parts`: the bytes before each place that differs, and what may be there, one of them a `TEXT`; `last`: the bytes
    after the last place.
    `numbers`: the keys of the places with numbers, in order.
    """

    __slots__ = ("_between", "_columns", "_first", "_last", "_row", "_text", "numbers")

    def __init__(self, parts: Sequence[tuple[bytes, re.Pattern[bytes]]], last: bytes, numbers: Sequence[str]) -> None:
        (self._first, _), *others = parts
        self._last = last
        self._between = [before for before, _ in others]
        self._row = _row(tuple([pattern for _, pattern in parts]))
        captured = [pattern for _, pattern in parts if pattern is not PADDING]
        self._text = captured.index(TEXT)
        self._columns = [at for at, pattern in enumerate(captured) if pattern is NUMBER]
        self.numbers = numbers

    @classmethod
    def learn(cls, raw: bytes, places: Sequence[Place]) -> DeltaFrame | None:
        """The frame of a faithful event; None if a place cannot be found in its bytes."""
        if b"\\" in raw or not raw.endswith((b"\n\n", b"\r\n\r\n")):
            return None
        if len(places) > len(_MARKS):
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

    def read(self, data: bytes, at: int) -> Read | None:
        """The events from `at` on that have this frame, up to a length that is judged at once; None if there are none.

        All bytes between two events are those of the frame, so each event is what stands between them. A mark replaces
        the bytes between two places, and one pattern reads all places of all events.
        """
        first, last = self._first, self._last
        if not data.startswith(first, at):
            return None
        events = data[at + len(first) : at + _LONGEST].split(last + first)
        events[-1], ended, _ = events[-1].partition(last)
        if not ended:  # it is not complete
            events.pop()
        said = b"\n".join(events)
        for between, mark in zip(self._between, _MARKS, strict=False):
            if mark in said:
                return None
            said = said.replace(between, mark)
        rows: list[tuple[bytes, ...]] = self._row.findall(said)
        if len(rows) != len(events):  # some events have several lines
            return None
        columns = list(zip(*rows, strict=True))
        if columns and any(columns[-1]):
            columns = list(zip(*takewhile(_is_read, rows), strict=True))
        if not columns:
            return None
        sizes, text = _sizes(columns[self._text])
        if not sizes:
            return None
        around, many = len(first) + len(last), len(sizes)
        ends = list(accumulate([around + len(event) for event in events[:many]]))
        return Read(text, sizes, ends, [list(map(int, columns[at][:many])) for at in self._columns])


def _is_read(row: tuple[bytes, ...]) -> bool:
    return not row[-1]


@lru_cache(maxsize=64)
def _row(places: tuple[re.Pattern[bytes], ...]) -> re.Pattern[bytes]:
    """The pattern of an event: its places with marks between them, or, as the last group, any other line."""
    marks = [re.escape(mark) for mark in _MARKS]
    said = b"".join([pattern.pattern + mark for pattern, mark in zip(places, marks, strict=False)])
    return re.compile(b"^(?:%b|(.+))$" % said.removesuffix(marks[len(places) - 1]), re.MULTILINE)


def _sizes(pieces: Sequence[bytes]) -> tuple[list[int], str]:
    """The sizes in characters of the pieces before the first with a character that is not printable, and their text.

    Raises ValueError for a piece that is not UTF-8.
    """
    said = b"".join(pieces)
    try:
        text = said.decode()
        sizes = list(map(len, pieces if len(text) == len(said) else [piece.decode() for piece in pieces]))
    except UnicodeDecodeError:
        raise ValueError("an event is not JSON") from None
    if not text.isprintable():
        sizes = printable(text, sizes)
        text = text[: sum(sizes)]
    return sizes, text
