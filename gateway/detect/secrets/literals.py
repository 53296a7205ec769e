"""Finds byte strings in bytes: their places, and how much of the end may be the beginning of a string.

Uses Hyperscan if it is installed, otherwise `regex`. Nothing is kept on disk. The cost of building and of searching
does not depend on the length of the strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import regex

from gateway.detect.core.index import Database, Hit, Marks, linear

_HEAD: Final = 4  # bytes of a beginning that are searched for; the rest is compared


class Literals:
    """Immutable, shared between threads; false without strings. Strings have more than four bytes.

    `least`: the fewest bytes that count as a beginning, at most four.
    """

    def __init__(self, strings: Iterable[bytes], least: int = 1) -> None:
        self.strings = tuple(sorted(set(strings)))
        self.longest = max(map(len, self.strings), default=0)
        self._whole = _Search(self.strings)
        self.holds = self._whole.holds
        """Whether data contains one of the strings."""
        heads: dict[bytes, list[bytes]] = {}
        for one in self.strings:
            heads.setdefault(one[:_HEAD], []).append(one)
        self._following = list(heads.values())
        self._heads = _Search(heads)
        self._starts = frozenset(one[:size] for one in self.strings for size in range(least, _HEAD))
        self._inside = frozenset(one[at : at + _HEAD] for one in self.strings for at in range(len(one) - 3))

    def __bool__(self) -> bool:
        return bool(self.strings)

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """The places of the strings, in order; overlapping ones are joined."""
        return joined((start, end) for _, start, end in self._whole.hits(data))

    def may_begin(self, end: bytes) -> bool:
        """Whether data with this end (at least four bytes) may end in a beginning of a string: False for most data."""
        starts = self._starts
        return end[-_HEAD:] in self._inside or end[-3:] in starts or end[-2:] in starts or end[-1:] in starts

    def begun(self, data: bytes) -> int:
        """How many bytes at the end of the data may be the beginning of a string."""
        if not self.may_begin(data):
            return 0
        tail = data[-self.longest :]
        for number, start, _ in sorted(self._heads.hits(tail), key=lambda hit: hit[1]):
            rest = tail[start:]
            if any(one.startswith(rest) and len(one) > len(rest) for one in self._following[number]):
                return len(rest)
        return next((size for size in range(min(_HEAD - 1, len(data)), 0, -1) if data[-size:] in self._starts), 0)


def joined(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches in order; overlapping ones are joined."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


class _Search:
    """A compiled set of strings."""

    def __init__(self, strings: Iterable[bytes]) -> None:
        every = list(strings)
        self._database, self._marks, self._pattern = None, None, None
        if every and linear():
            patterns = [_literal(one) for one in every]
            self._database = Database(patterns, range(len(every)), None)
            self._marks = Marks(patterns, range(len(every)), None)
        elif every:
            self._pattern = regex.compile(b"|".join(b"(%s)" % re.escape(one) for one in every))

    def holds(self, data: bytes) -> bool:
        if self._marks is not None:
            return bool(self._marks.marked(data))
        return self._pattern is not None and self._pattern.search(data) is not None

    def hits(self, data: bytes) -> list[Hit]:
        found: list[Hit] = []
        if self._database is not None:
            self._database.scan(data, found)
        elif self._pattern is not None:
            for match in self._pattern.finditer(data, overlapped=True):
                assert match.lastindex is not None
                found.append((match.lastindex - 1, *match.span()))
        return found


def _literal(data: bytes) -> str:
    """A pattern of Hyperscan for these bytes."""
    return "".join(chr(byte) if byte < 0x80 and chr(byte).isalnum() else rf"\x{byte:02x}" for byte in data)
