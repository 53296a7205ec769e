"""The budget of retries of one provider, and the time before a retry. No clock, no IO.

Retries of a provider in trouble add to its load. So they are limited to a share of its calls, for all callers together.
"""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from gateway.upstream.failures import Failed

SPAN: Final = 60.0
"""Seconds for which calls and retries are counted together."""
_FIRST: Final = 0.1  # seconds before the first retry, at most; twice as long before each further one
_LONGEST: Final = 2.0


class Rules(NamedTuple):
    """`most`: retries of one call. `ratio`: retries for each call of a provider, and `least` more in a minute.

    `wait`: seconds that a call may wait in total. `queue`: calls that may wait for one window. `hedge`: seconds of
    silence after which the next target is called, too; None: never.
    """

    most: int = 1
    ratio: float = 0.2
    least: int = 10
    wait: float = 5.0
    queue: int = 100
    hedge: float | None = None


class RetryBudget:
    """Counts calls and retries. `calls` is increased by whoever sends a call that is no retry."""

    __slots__ = ("calls", "retries", "since")

    def __init__(self) -> None:
        self.calls = self.retries = 0
        self.since = 0.0

    def take(self, now: float, rules: Rules) -> bool:
        """Whether a retry is allowed; then it counts."""
        if now - self.since >= SPAN:
            self.since, self.calls, self.retries = now, 0, 0
        if self.retries + 1 > rules.least + rules.ratio * self.calls:
            return False
        self.retries += 1
        return True


def pause(failed: Failed, number: int, draw: random.Random) -> float | None:
    """Seconds before retry `number` (from 0) of a target that failed so; None if it is not to be tried again.

    The provider's `x-should-retry` and `Retry-After` come first. A target that was silent or broke the connection is
    not tried again: it may have worked, and would be paid twice. The time is randomized, so that callers that failed
    together do not return together.
    """
    if failed.again is False or (failed.again is None and failed.kind not in ("down", "busy", "limited")):
        return None
    if failed.retry_after is not None:
        return failed.retry_after * draw.uniform(1.0, 1.1)
    return min(_FIRST * 2.0 ** min(number, 30), _LONGEST) * draw.uniform(0.5, 1.0)
