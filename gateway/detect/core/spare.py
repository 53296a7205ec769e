"""The parts of findings that are not allowed values (see `allowed`)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

import regex

_LABEL: Final = regex.compile(r"[\p{Ll}\s.:#=-]*[\s:#=]")
_SIGN: Final = regex.compile(r"\w")


Span = tuple[int, int]


def united(spans: Iterable[Span]) -> list[Span]:
    """The stretches, sorted, with overlapping ones joined."""
    found: list[Span] = []
    for low, high in sorted(spans):
        if found and low < found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def outside(text: str, start: int, end: int, allowed: Sequence[Span]) -> Span | None:
    """The part of a finding that is not allowed; None if all is. `allowed` are sorted and do not overlap."""
    whole = (start, end)
    at = bisect_right(allowed, (start, len(text))) - 1
    if at >= 0 and allowed[at][1] > start:
        if allowed[at][1] >= end:
            return None
        if allowed[at][0] < start:
            start = allowed[at][1]
    at = bisect_right(allowed, (end - 1, len(text))) - 1
    if at >= 0 and start <= allowed[at][0]:
        low, high = allowed[at]
        if high > end:
            end = low
        elif not _SIGN.search(text, high, end) and (low == start or _LABEL.fullmatch(text, start, low)):
            return None
    if (start, end) == whole:
        return whole
    signs = [one.start() for one in _SIGN.finditer(text, start, end)]
    return (signs[0], signs[-1] + 1) if signs else None
