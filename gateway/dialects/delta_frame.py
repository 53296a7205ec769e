"""Series of events with pieces of one text, which differ in the piece and in a few numbers or padding beside it.

A `DeltaFrame` is learned from one fully parsed event, and then reads the following events without parsing JSON. All
other bytes of these events are those of the parsed event. Another field or an incomplete event is left to the full
parser. See `frame`, which does the same for dialects whose events differ in the piece alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

from gateway.dialects.frame import Read, printable, readable

_LONGEST: Final = 32 * 1024  # bytes of a piece, and of a series; a longer event is parsed in full
_DIGITS: Final = 6
NUMBER: Final = re.compile(rb"(0|[1-9][0-9]{0,%d}+)" % (_DIGITS - 1))
"""A number of at most six digits, which is no personal data."""
TEXT: Final = re.compile(rb'"([^"\\\x00-\x1f]*+(?:\\[ -~][^"\\\x00-\x1f]*+)*+)"')
"""A string: the piece."""
PADDING: Final = re.compile(rb'("(?:[A-Za-z]|[0-9](?![0-9]{2})){0,64}")')
"""Padding as in `openai_answer.is_padding`."""
_BEGIN: Final = 5  # bytes of an event by which a pattern finds it: `data:` or `event`


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

    __slots__ = ("_around", "_columns", "_event", "_first", "_row", "_text", "numbers")

    def __init__(self, parts: Sequence[tuple[bytes, re.Pattern[bytes]]], last: bytes, numbers: Sequence[str]) -> None:
        patterns = [pattern for _, pattern in parts]
        self._first = parts[0][0]
        self._row = _row(
            self._first[:_BEGIN], tuple([len(part) for part, _ in parts]), tuple(patterns), last.count(b"\n")
        )
        said = [part.replace(b"%", b"%%") + (b'"%b"' if pattern is TEXT else b"%b") for part, pattern in parts]
        self._event = b"".join([*said, last.replace(b"%", b"%%")])
        self._around = len(self._event % ((b"",) * len(parts)))
        self._text = patterns.index(TEXT)
        self._columns = [at for at, pattern in enumerate(patterns) if pattern is NUMBER]
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

        A pattern takes what differs from the events, and jumps over all other bytes. Then the events are written anew
        with the bytes of the frame, and compared with what was received.
        """
        if not data.startswith(self._first, at):
            return None
        values: list[bytes] = self._row.split(data[at : at + _LONGEST])
        width = self._row.groups
        others = values[:: width + 1]  # bytes before each event, and after the last
        del values[:: width + 1]
        many = len(others) - 1
        if any(others[:many]):
            many = next(number for number, other in enumerate(others) if other)
            del values[many * width :]
        raw = self._event * many % tuple(values)
        if not data.startswith(raw, at):
            many = self._equal(data, at, values, many)
        sizes, text = _sizes(values[self._text : many * width : width])
        if not sizes:
            return None
        if len(sizes) * width < len(values):
            del values[len(sizes) * width :]
            raw = self._event * len(sizes) % tuple(values)
        numbers = [values[column::width] for column in self._columns]
        return Read(raw, text, sizes, list(map(len, values)), self._around, numbers)

    def _equal(self, data: bytes, at: int, values: Sequence[bytes], many: int) -> int:
        """The number of events from `at` on that have the bytes of this frame around these values; less than `many`."""

        def differ(some: int) -> bool:
            return not data.startswith(self._event * some % tuple(values[: some * self._row.groups]), at)

        return bisect_left(range(1, many), True, key=differ)


@lru_cache(maxsize=256)
def _row(begin: bytes, sizes: Sequence[int], places: Sequence[re.Pattern[bytes]], lines: int) -> re.Pattern[bytes]:
    """The pattern of an event: bytes before each place, only by their number, the places, and the ends of its lines.

    The number is that of one model and provider. An id, which differs from stream to stream, has mostly one length.
    """
    jumps = [b"(?s:.{%d})" % size for size in (sizes[0] - len(begin), *sizes[1:])]
    said = b"".join([jump + place.pattern for jump, place in zip(jumps, places, strict=True)])
    start = re.escape(begin)
    # Only at the beginning of a line: no part of a string is read again. Asked after the bytes by which `re` searches.
    return re.compile(rb"%b(?<![^\n]%b)%b(?:[^\n]*+\n){%d}" % (start, start, said, lines))


def _sizes(pieces: Sequence[bytes]) -> tuple[list[int], str]:
    """The sizes in characters of the pieces before the first with a character that is not printable, and their text.

    A piece may have escapes for line breaks and printable characters. Raises ValueError for one that is not UTF-8.
    """
    said = b"".join(pieces)
    try:
        if b"\\" in said:
            texts = readable(pieces)
            return list(map(len, texts)), "".join(texts)
        text = said.decode()
        sizes = list(map(len, pieces if len(text) == len(said) else [piece.decode() for piece in pieces]))
    except UnicodeDecodeError:
        raise ValueError("an event is not JSON") from None
    if not text.isprintable():
        sizes = printable(text, sizes)
        text = text[: sum(sizes)]
    return sizes, text
