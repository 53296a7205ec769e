"""Events of one text that arrived together: judged as one piece, and split only where one of them must change."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from gateway.dialects.frame import Read

if TYPE_CHECKING:
    from gateway.dialects import Chunk


class Lot:
    """The events of a `Read`. `make`: these events as separate chunks, each with a field if it has text.

    `gone`: events that have left. `events`: the separate chunks, once the lot was split.
    """

    __slots__ = ("_ends", "_make", "events", "gone", "read")

    def __init__(self, read: Read, make: Callable[[], Sequence[Chunk]]) -> None:
        self.read = read
        self.events: Sequence[Chunk] = ()
        self.gone = 0
        self._make = make
        self._ends = list(accumulate(read.sizes))

    def __len__(self) -> int:
        return len(self._ends)

    def complete(self, size: int) -> int:
        """The number of events that end within the first `size` characters of the text."""
        return bisect_right(self._ends, size)

    def text(self, first: int, last: int) -> str:
        """The text of the events from `first` on, before `last`."""
        return self.read.text[self._ends[first - 1] if first else 0 : self._ends[last - 1] if last else 0]

    def raw(self, first: int, last: int) -> bytes:
        """The bytes of these events."""
        return self.read.raw[self.read.begin(first) : self.read.begin(last)]

    def split(self) -> Sequence[Chunk]:
        """The events as separate chunks."""
        if not self.events:
            self.events = self._make()
        return self.events
