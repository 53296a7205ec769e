"""A clock for limits and quotas: Unix seconds that never decrease.

If the wall clock were set back by an hour, no token bucket would be refilled for an hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_STEP = 1.0  # seconds by which the wall clock must be ahead before it is followed


class SteadyClock:
    """Extends the wall clock by the monotonic clock; follows the wall clock forward, never back."""

    __slots__ = ("_base", "_monotonic", "_wall")

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._base = wall() - monotonic()

    def __call__(self) -> float:
        """Unix seconds, never less than at the previous call."""
        passed, wall = self._monotonic(), self._wall()
        if wall > self._base + passed + _STEP:
            self._base = wall - passed
        return self._base + passed
