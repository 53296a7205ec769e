"""Series of events with pieces of one text, which differ in the piece and in a few numbers or padding beside it.

A `DeltaFrame` is learned from one fully parsed event, and then reads the following events without parsing JSON. All
other bytes of these events are those of the parsed event. An escape, another field or an incomplete event is left to
the full parser. See `frame`, which does the same for dialects whose events differ in the piece alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from operator import itemgetter
from typing import Final, NamedTuple

from gateway.dialects.frame import Read, printable

_LONGEST: Final = 32 * 1024  # bytes of a piece, and of a series; a longer event is parsed in full
_DIGITS: Final = 6
_ZERO, _QUOTE = b'0"'
NUMBER: Final = re.compile(rb"0|[1-9][0-9]{0,%d}(?![0-9])" % (_DIGITS - 1))
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


class DeltaFrame:
    """The events that are equal to a parsed event except for what differs.

    `parts`: the bytes before each place that differs, and what may be there, one of them a `TEXT`; `last`: the bytes
    after the last place.
    `numbers`: the keys of the places with numbers, in order.
    """

    __slots__ = ("_first", "_last", "_places", "numbers")

    def __init__(self, parts: Sequence[tuple[bytes, re.Pattern[bytes]]], last: bytes, numbers: Sequence[str]) -> None:
        self._first = parts[0][0]
        self._last = last
        after = [before for before, _ in parts[1:]]
        self._places = [(pattern, ahead) for (_, pattern), ahead in zip(parts, [*after, b""], strict=True)]
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

    def read(self, data: bytes, at: int) -> Read | None:
        """The events from `at` on that have this frame, up to a length that is judged at once; None if there are none.

        They are split at the bytes after the last place, which end an event, and then at the bytes between the places.
        So each value is looked at once, and the pieces are decoded together.
        """
        events = data[at : at + _LONGEST].split(self._last)
        events.pop()  # it is not complete
        first, skip = self._first, len(self._first)
        around, places = skip + len(self._last), self._places
        pieces, numbers, ends = list[bytes](), list[list[int]](), list[int]()
        end = 0
        for event in events:
            if not event.startswith(first):
                break
            piece, counts, rest = b"", list[int](), event[skip:]
            for pattern, after in places:
                if after:
                    value, found, rest = rest.partition(after)
                    if not found:
                        break
                else:
                    value = rest
                if pattern is NUMBER:
                    if not value.isdigit() or len(value) > _DIGITS or (value[0] == _ZERO and len(value) > 1):
                        break
                    counts.append(int(value))
                elif pattern is TEXT:
                    if len(value) < 2 or value[0] != _QUOTE or value[-1] != _QUOTE:
                        break
                    piece = value[1:-1]
                elif pattern.fullmatch(value) is None:
                    break
            else:
                end += around + len(event) - skip
                pieces.append(piece)
                numbers.append(counts)
                ends.append(end)
                continue
            break
        sizes, text = _sizes(pieces)
        if not sizes:
            return None
        return Read(text, sizes, ends[: len(sizes)], numbers[: len(sizes)])


def _sizes(pieces: list[bytes]) -> tuple[list[int], str]:
    """The sizes in characters of the pieces that are strings without escapes and control characters, and their text.

    Raises ValueError for a piece that is not UTF-8.
    """
    said = b"".join(pieces)
    if b'"' in said or b"\\" in said:
        pieces = list(takewhile(lambda piece: b'"' not in piece and b"\\" not in piece, pieces))
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
