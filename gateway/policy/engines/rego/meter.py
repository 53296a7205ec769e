"""The budget of an evaluation: steps, time, and the size of what it makes.

What goes through values in depth (comparing, keys, JSON) spends from the meter of the evaluation that its thread is in:
`[a, a]` nested forty times takes little memory and takes forever to read.
"""

from __future__ import annotations

import threading
import time

from gateway.policy.engines.rego.errors import TooLong

SLICE = 5_000
"""Steps between two looks at the clock."""
MOST_MADE = 128 << 20
"""Bytes, about, that builtins of one evaluation may make."""


class Meter:
    """Steps (about one for each item that is looked at, or a microsecond), bytes that builtins made, and a deadline.

    `left` is what is left of a slice; generated code takes from it and calls `spent` below zero.
    """

    __slots__ = ("deadline", "left", "made", "steps")

    def __init__(self, steps: int, deadline: float) -> None:
        self.deadline = deadline
        self.steps = steps
        self.made = MOST_MADE
        self.left = 0
        self.spent()

    def spent(self) -> None:
        """Begin another slice. Raises TooLong."""
        self.steps += self.left  # what went below zero
        if self.steps <= 0:
            raise TooLong("the evaluation took more steps than it may")
        if time.monotonic() > self.deadline:
            raise TooLong("the evaluation took longer than it may")
        self.left = min(SLICE, self.steps)
        self.steps -= self.left

    def take(self, steps: int) -> None:
        """Use up steps. Raises TooLong."""
        self.left -= steps
        if self.left < 0:
            self.spent()

    def makes(self, size: int) -> None:
        """Count bytes that were made, or are about to be. Raises TooLong."""
        self.made -= size
        if self.made < 0:
            raise TooLong("the evaluation made more values than it may")


class _Running(threading.local):
    meter: Meter | None = None


RUNNING = _Running()
"""The evaluation that this thread is in."""


def spend(steps: int) -> None:
    """Use up steps of the evaluation that this thread is in, if it is in one. Raises TooLong."""
    meter = RUNNING.meter
    if meter is not None:
        meter.left -= steps
        if meter.left < 0:
            meter.spent()
