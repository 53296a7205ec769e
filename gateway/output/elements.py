"""Elements of lists are judged separately and joined.

A client may show the parts of a message one by one, or join them. The elements of a list are therefore judged both as
one joined text and each as a separate text; findings of either reading count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from gateway.detect.personal.placeholders import LIKE, PLACEHOLDER
from gateway.dialects.parts import CERTAIN
from gateway.texts import Finding

SHORTEST: Final = 6
"""Minimum length in characters of an element that can be a finding by itself."""


class Elements:
    """The findings in single elements of one run, until the run is judged up to their end.

    `judge` returns the findings of a whole text. `ahead` is the number of characters of the run before the first
    element that are not judged yet. With `certain`, only findings with score `CERTAIN` count across elements: in the
    arguments of a tool, elements are usually separate values.
    """

    __slots__ = ("_at", "_certain", "_end", "_ends", "_judge", "_own")

    def __init__(self, judge: Callable[[str], Sequence[Finding]], ahead: int = 0, *, certain: bool = False) -> None:
        self._judge = judge
        self._certain = certain
        self._at = 0  # offset up to which the run is judged
        self._end = ahead  # length of the run so far
        self._own: list[Finding] = []  # offsets are those of the run
        self._ends: deque[int] = deque()  # offsets at which elements end

    def add(self, text: str, *, element: bool = True) -> None:
        """Add a piece of the run."""
        if element and len(text) >= SHORTEST:
            self.note(text)
        self._end += len(text)
        if self._certain:
            self._ends.append(self._end)

    def note(self, text: str) -> None:
        """Note the text of the next pieces, of one or of several together."""
        at = self._end
        own = [one._replace(start=one.start + at, end=one.end + at) for one in self._judge(text)]
        self._own = united(self._own, own)

    def merge(self, size: int, findings: Sequence[Finding]) -> Sequence[Finding]:
        """All findings in the next `size` characters of the run, given those of the joined text."""
        at, end = self._at, self._at + size
        self._at = end
        if self._certain:
            findings = self._without_doubtful(at, end, findings)
        if not self._own:
            return findings
        due = [one for one in self._own if one.start < end]
        self._own = [one for one in self._own if one.start >= end]
        # A finding that continues beyond these characters is also removed there.
        self._own[:0] = [one._replace(start=end) for one in due if one.end > end]
        mine = [one._replace(start=max(0, one.start - at), end=min(one.end, end) - at) for one in due]
        return united(findings, mine)

    def _without_doubtful(self, at: int, end: int, findings: Sequence[Finding]) -> Sequence[Finding]:
        ends = []
        while self._ends and self._ends[0] <= end:
            ends.append(self._ends.popleft() - at)
        if self._ends:
            ends.append(self._ends[0] - at)
        return [
            one
            for one in findings
            if one.score >= CERTAIN or one.entity == LIKE or not any(one.start < place < one.end for place in ends)
        ]


def united(joined: Sequence[Finding], own: Sequence[Finding]) -> list[Finding]:
    """The findings of a joined text and of its elements, without overlaps: the type is that of the joined text.

    A placeholder keeps its place: a finding inside a placeholder is dropped.
    """
    if not own:
        return list(joined)
    found = list(joined)
    for one in own:
        near = [other for other in found if other.start < one.end and one.start < other.end]
        if not near:
            found.append(one)
        elif one.entity not in (PLACEHOLDER, LIKE) and not any(other.entity == PLACEHOLDER for other in near):
            start, end = min(one.start, near[0].start), max(one.end, *(other.end for other in near))
            found = [other for other in found if other not in near]
            found.append(near[0]._replace(start=start, end=end))
        found.sort()
    return found
