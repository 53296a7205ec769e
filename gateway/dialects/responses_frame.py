"""Series of events with pieces of one text of a response: they differ in the piece, the number and the padding.

A `DeltaFrame` is learned from one fully parsed event, and then reads the following events without parsing JSON. All
other bytes of these events are those of the parsed event. An escape, another field or an incomplete event is left to
the full parser. See `frame`, which does the same for dialects whose events have no numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from gateway.call import Json

_KEYS: Final = frozenset({"type", "sequence_number", "item_id", "output_index", "content_index", "delta"})
_MORE: Final = frozenset({"logprobs", "obfuscation", "summary_index"})
_LONGEST: Final = 32 * 1024  # bytes of a piece, and of a series; a longer event is parsed in full
# What may differ: a number of at most six digits, a string without escapes, padding as in `openai_answer.is_padding`.
_NUMBER: Final = re.compile(rb"0|[1-9][0-9]{0,5}(?![0-9])")
_TEXT: Final = re.compile(rb'"[^"\\\x00-\x1f]{0,%d}"' % _LONGEST)
_PADDING: Final = re.compile(rb'"(?:[A-Za-z]|[0-9](?![0-9]{2})){0,64}"')


class Read(NamedTuple):
    """One event: its bytes, its number, its piece."""

    raw: bytes
    number: int
    text: str


class DeltaFrame:
    """The events that are equal to a parsed event except for what differs.

    `parts`: the bytes before each place that differs, and what may be there; `last`: the bytes after the last place.
    """

    __slots__ = ("_last", "_parts")

    def __init__(self, parts: Sequence[tuple[bytes, re.Pattern[bytes]]], last: bytes) -> None:
        self._parts = parts
        self._last = last

    @classmethod
    def learn(cls, raw: bytes, data: Json) -> DeltaFrame | None:
        """The frame of a faithful event; None if it has other fields, or fields that cannot be found in its bytes."""
        text, number = data.get("delta"), data.get("sequence_number")
        if not (data.keys() - _MORE <= _KEYS and type(text) is str and text.isprintable() and type(number) is int):
            return None
        if data.get("logprobs") or b"\\" in raw or not raw.endswith(b"\n\n"):
            return None
        parts = [(b'"sequence_number":', b"%d" % number, _NUMBER), (b'"delta":', b'"%s"' % text.encode(), _TEXT)]
        if "obfuscation" in data:
            parts.append((b'"obfuscation":', b'"%s"' % data["obfuscation"].encode(), _PADDING))
        places = []
        for key, value, pattern in parts:
            at = raw.find(key) + len(key)
            at += raw[at : at + 1] == b" "
            end = at + len(value)
            if raw.count(key) != 1 or raw[at:end] != value or raw[end : end + 1] not in (b",", b"}"):
                return None
            places.append((at, end, pattern))
        before, begin = list[tuple[bytes, re.Pattern[bytes]]](), 0
        for at, end, pattern in sorted(places, key=itemgetter(0)):
            before.append((raw[begin:at], pattern))
            begin = end
        return cls(before, raw[begin:])

    def read(self, data: bytes, at: int) -> Iterator[Read]:
        """The events from `at` on that have this frame, up to a length that is judged at once."""
        most, parts, last = at + _LONGEST, self._parts, self._last
        while at < most:
            begin, number, text = at, 0, b""
            for before, pattern in parts:
                if not data.startswith(before, at):
                    return
                found = pattern.match(data, at + len(before))
                if found is None:
                    return
                at = found.end()
                if pattern is _TEXT:
                    text = found[0]
                elif pattern is _NUMBER:
                    number = int(found[0])
            if not data.startswith(last, at):
                return
            at += len(last)
            try:
                said = text[1:-1].decode()
            except UnicodeDecodeError:
                raise ValueError("an event is not JSON") from None
            if not said.isprintable():
                return
            yield Read(data[begin:at], number, said)
