"""Series of events with pieces of one text of a response: they differ in the piece, the number and the padding.

A `DeltaFrame` is learned from one fully parsed event, and then reads the following events without parsing JSON. All
other bytes of these events are those of the parsed event. An escape, another field or an incomplete event is left to
the full parser. See `frame`, which does the same for dialects whose events have no numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.call import Json

_KEYS: Final = frozenset({"type", "sequence_number", "item_id", "output_index", "content_index", "delta"})
_MORE: Final = frozenset({"logprobs", "obfuscation", "summary_index"})
_LONGEST: Final = 32 * 1024  # bytes of a piece; a longer event is parsed in full
# What may differ: a number of at most six digits, a string without escapes, padding as in `openai_answer.is_padding`.
_NUMBER: Final = rb"(?P<number>0|[1-9][0-9]{0,5})"
_TEXT: Final = rb'"(?P<text>[^"\\\x00-\x1f]{0,%d})"' % _LONGEST
_PADDING: Final = rb'"(?:(?:[A-Za-z]|[0-9](?![0-9]{2})){0,64})"'


class Read(NamedTuple):
    """One event: its bytes, its number, its piece."""

    raw: bytes
    number: int
    text: str


class DeltaFrame:
    """The events that are equal to a parsed event except for what differs."""

    __slots__ = ("_pattern",)

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern

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
        said, begin = b"", 0
        for at, end, pattern in sorted(places):
            said += re.escape(raw[begin:at]) + pattern
            begin = end
        return cls(re.compile(said + re.escape(raw[begin:])))

    def read(self, data: bytes, at: int) -> Iterator[Read]:
        """The events from `at` on that have this frame."""
        match = self._pattern.match
        while (found := match(data, at)) is not None:
            try:
                text = found["text"].decode()
            except UnicodeDecodeError:
                raise ValueError("an event is not JSON") from None
            if not text.isprintable():
                return
            yield Read(found[0], int(found["number"]), text)
            at = found.end()
