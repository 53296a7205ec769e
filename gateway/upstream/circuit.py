"""The circuit breaker of one target: a target that fails is not tried at each call. No clock, no IO.

closed: calls pass. open: no call passes for a while. half-open: that while is over, and one call probes the target; the
others wait for its outcome elsewhere. A target that answers closes the circuit, a failed probe opens it for longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

State = Literal["closed", "open", "half_open"]


class Rules(NamedTuple):
    """When a circuit opens: after `failures` in a row, or from `ratio` failed calls of at least `calls` in `window`.

    Times in seconds: open for `wait`, twice as long after each failed probe, at most `longest`.
    """

    failures: int = 5
    ratio: float = 0.5
    calls: int = 20
    window: float = 30
    wait: float = 5
    longest: float = 120


class Circuit:
    """The breaker. `now`: seconds of any steady clock.

    `closed` is read for each call. `row`, `good`, `bad`: failures in a row, answers and failures since `since`.
    `level`: how often the circuit opened without an answer in between. `tell`: called when it has opened or closed.
    """

    __slots__ = ("bad", "closed", "good", "level", "probing", "row", "rules", "since", "tell", "until")

    def __init__(self, rules: Rules, tell: Callable[[], object] = lambda: None) -> None:
        self.rules = rules
        self.tell = tell
        self.closed = True
        self.probing = False
        self.row = self.good = self.bad = self.level = 0
        self.since = self.until = 0.0

    def state(self, now: float) -> State:
        """What the next call meets."""
        if self.closed:
            return "closed"
        return "open" if now < self.until else "half_open"

    def may_probe(self, now: float) -> bool:
        """Whether a call may be the probe of an open circuit; then no other call may, until its outcome is known."""
        if self.probing or now < self.until:
            return False
        self.probing = True
        return True

    def answered(self) -> None:
        """The target answered."""
        self.good += 1
        self.row = 0
        if not self.closed:
            self.close()
            self.tell()

    def failed(self, now: float) -> None:
        """The target failed: no connection, no answer in time, an error of its own, or an answer that is none."""
        rules = self.rules
        if now - self.since > rules.window:
            self.since, self.good, self.bad = now, 0, 0
        self.row += 1
        self.bad += 1
        every = self.good + self.bad
        often = every >= rules.calls and self.bad >= rules.ratio * every
        if self.probing or (self.closed and (self.row >= rules.failures or often)):
            self.level += 1
            self.open(now + min(rules.wait * 2.0 ** min(self.level - 1, 30), rules.longest), self.level)
            self.tell()

    def let_go(self) -> None:
        """The call ended without an outcome: its caller has gone. The next call may be the probe."""
        self.probing = False

    def open(self, until: float, level: int) -> None:
        """Open the circuit, or keep it open; also as another gateway found."""
        self.closed = self.probing = False
        self.until, self.level = until, level

    def close(self) -> None:
        """Close the circuit; also as another gateway found."""
        self.closed, self.probing = True, False
        self.row = self.good = self.bad = self.level = 0
