"""Elements of lists: texts by themselves, and one text together.

A client may show the parts of a message one by one, or join them. So the elements of a list are judged as the one text
that they make, and each as a text of its own; what only one of both readings shows is found as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from gateway.call import Finding
from gateway.detect.personal.placeholders import LIKE, PLACEHOLDER

CERTAIN: Final = 0.95
"""The score of a finding that a checksum, or a form of its own, confirms."""


SHORTEST: Final = 6
"""Characters below which an element is no finding by itself."""


class Elements:
    """What the elements of one run hold by themselves, until the run is judged as far as they go.

    `judge` finds in a whole text. `ahead` is how much of the run came before the first element and is not judged yet.
    With `certain`, only what is beyond doubt counts across elements: in the arguments of a tool they are values of
    their own, as a rule.
    """

    __slots__ = ("_at", "_certain", "_end", "_ends", "_judge", "_own")

    def __init__(self, judge: Callable[[str], Sequence[Finding]], ahead: int = 0, *, certain: bool = False) -> None:
        self._judge = judge
        self._certain = certain
        self._at = 0  # how far the run is judged
        self._end = ahead  # how much of it has come
        self._own: list[Finding] = []  # with places in the run
        self._ends: deque[int] = deque()  # where elements end

    def add(self, text: str, *, element: bool = True) -> None:
        """A further piece of the run."""
        if element and len(text) >= SHORTEST:
            self.note(text)
        self._end += len(text)
        if self._certain:
            self._ends.append(self._end)

    def note(self, text: str) -> None:
        """What the next pieces are, together or one of them."""
        at = self._end
        own = [one._replace(start=one.start + at, end=one.end + at) for one in self._judge(text)]
        self._own = united(self._own, own)

    def merge(self, size: int, findings: Sequence[Finding]) -> Sequence[Finding]:
        """All findings of the next `size` characters of the run, given those of the text as one."""
        at, end = self._at, self._at + size
        self._at = end
        if self._certain:
            findings = self._without_doubtful(at, end, findings)
        if not self._own:
            return findings
        due = [one for one in self._own if one.start < end]
        self._own = [one for one in self._own if one.start >= end]
        # What goes on beyond what may leave now is taken out there as well.
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
    """Findings of a text as one, with those of its elements: what overlaps becomes one, of the type that the whole has.

    A placeholder keeps its place: what looks like another within it is none.
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
