"""A clock for limits and quotas: Unix seconds that never go back.

A wall clock that is set back by an hour would keep every token bucket from refilling for an hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_STEP = 1.0  # seconds by which the wall clock must be ahead before it is followed


class SteadyClock:
    """Carries the wall clock on by the monotonic clock; follows the wall clock forward, never back."""

    __slots__ = ("_base", "_monotonic", "_wall")

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._base = wall() - monotonic()

    def __call__(self) -> float:
        """Unix seconds, no less than at the call before."""
        passed, wall = self._monotonic(), self._wall()
        if wall > self._base + passed + _STEP:
            self._base = wall - passed
        return self._base + passed
