"""Lines that repeat: the first of a kind is written immediately, the others of a second as one, with their number."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

EVERY: Final = 1.0
"""Seconds between two lines of one kind."""
Line = TypeVar("Line")


@dataclass(slots=True)
class _Repeated(Generic[Line]):
    """Lines of one kind since the last one was written (`at`, by the clock): their number, and the newest of them."""

    at: float
    newest: Line | None = None
    count: int = 0


class Repeats(Generic[Line]):
    """Writes at most one line a second of each kind. `write`: takes a line and how many others the line stands for.

    `clock`: monotonic seconds. Not for use by several threads at once.
    """

    def __init__(self, write: Callable[[Line, int], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._kinds: dict[Hashable, _Repeated[Line]] = {}

    def take(self, kind: Hashable, line: Line) -> None:
        """Write a line, unless a line of its kind was written less than a second ago: then count it."""
        now, last = self._clock(), self._kinds.get(kind)
        if last is not None and now - last.at < EVERY:
            last.count, last.newest = last.count + 1, line
            return
        self._kinds[kind] = _Repeated(now)
        self._write(line, last.count if last is not None else 0)

    def report(self, *, last: bool = False) -> None:
        """Write what was only counted for a second; at the end (`last`) everything. Call about once a second."""
        now = self._clock()
        for kind, it in [(kind, it) for kind, it in self._kinds.items() if last or now - it.at >= EVERY]:
            del self._kinds[kind]
            if it.newest is not None:
                self._kinds[kind] = _Repeated(now)
                self._write(it.newest, it.count - 1)
