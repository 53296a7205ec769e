"""Divides long texts into pieces: a model's memory and time grow with the text, and two workers can share the pieces.

A piece ends with a sentence if a sentence ends near there, otherwise between two words. The next piece begins a little
before, so that a name at the boundary is complete in one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import regex

from gateway.detect.core.rules import resolve
from gateway.texts import Finding

SIZE: Final = 4000
"""Maximum characters of a piece."""
OVERLAP: Final = 200
"""Maximum characters that a piece shares with the previous one."""

_SENTENCE: Final = regex.compile(r"(?<=[.!?。！？][\"')\]]?)\s+|\n+", regex.VERSION0)
_WORD: Final = regex.compile(r"\s+")


def windows(text: str) -> Iterator[tuple[int, str]]:
    """(offset, piece) in order; together the pieces contain the whole text."""
    start = 0
    while len(text) - start > SIZE:
        end = _last(_SENTENCE, text, start + SIZE // 2, start + SIZE)
        end = end or _last(_WORD, text, start + SIZE // 2, start + SIZE) or start + SIZE
        yield start, text[start:end]
        back = _first(_WORD, text, end - OVERLAP, end)
        start = back if back is not None else end - OVERLAP
    yield start, text[start:]


def join(pieces: Iterable[tuple[int, Iterable[Finding]]]) -> list[Finding]:
    """The findings of all pieces, with offsets in the text; findings that two pieces share are joined."""
    moved = (
        finding._replace(start=finding.start + offset, end=finding.end + offset)
        for offset, findings in pieces
        for finding in findings
    )
    return resolve(set(moved))


def _last(pattern: regex.Pattern[str], text: str, start: int, end: int) -> int | None:
    found = None
    for match in pattern.finditer(text, start, end):
        found = match.end()
    return found


def _first(pattern: regex.Pattern[str], text: str, start: int, end: int) -> int | None:
    match = pattern.search(text, start, end)
    return match.end() if match else None
