"""What judging one call may cost: a bound on its CPU time, and a flag that ends the work when nobody waits for it.

Config key: `server.scan_budget`. Scanners call `spend` between steps, with a rough count of microseconds; the clock of
the thread is read once for every `STEP` of them. Reading that clock is a system call, so work of less than a `STEP`
does without: its units count as the microseconds that they stand for. A budget belongs to the context of its call
(PEP 567), so work that moves to another thread takes it along, and a scanner that is used by itself has none.
"""

from __future__ import annotations

import time
from asyncio import CancelledError
from contextvars import ContextVar
from typing import Final

from gateway.errors import Unfinished

STEP: Final = 256
"""Units between two looks at the clock. A unit is about a microsecond of ordinary work."""
NEVER: Final = 1 << 62
_NANO: Final = 1_000_000_000
_BYTE: Final = 1_000  # nanoseconds that each byte of a body adds
_UNIT: Final = 1_000  # nanoseconds that a unit counts for, before the clock is read

PASSING = (KeyboardInterrupt, SystemExit, GeneratorExit, CancelledError, Unfinished)
"""What is no fault of a stage. Anything else is, also where an extension raises what is no Exception (a Rust panic)."""


class Spent(BaseException):
    """The work takes more than the call may cost. No Exception, so that no scanner takes it for a fault of its own."""


class TooLong(Unfinished):
    """The work takes more than may be done on the event loop: do it again in another thread."""


class Abandoned(Unfinished):
    """Nobody waits for the result any more."""


class Budget:
    """The budget of one call. `left` is in nanoseconds of CPU time; one thread at a time works on it."""

    __slots__ = ("_began", "_mark", "_slice", "_units", "abandoned", "left", "seconds", "spent")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = int(seconds * _NANO)
        self.abandoned = False
        self.spent = 0  # units, all in all: what tests count
        self._units = STEP
        self._mark = 0  # the clock of the thread when it was last read; 0: not yet since the work began
        self._began = 0  # `spent` when the work began
        self._slice = NEVER

    def extend(self, size: int) -> None:
        """So many more bytes are to be judged: a second for a megabyte."""
        self.left += size * _BYTE

    def begin(self, within: int = NEVER) -> None:
        """Work begins on this thread; `within` is how many nanoseconds of it may be done here."""
        self._mark = 0
        self._began = self.spent
        self._slice = within

    def end(self) -> None:
        """Work on this thread ends."""
        self._charge()
        self._slice = NEVER

    def spend(self, units: int) -> None:
        """Some work is about to be done, or was. Raises Spent, TooLong and Abandoned."""
        self.spent += units
        self._units -= units
        if self._units < 0:
            self._units = STEP
            self.look()

    def look(self) -> None:
        """Read the clock. Raises Spent, TooLong and Abandoned."""
        if self.abandoned:
            raise Abandoned
        used = self._charge()
        if not self._mark:
            self._mark = time.thread_time_ns()
        self._slice -= used
        if self.left < 0:
            raise Spent
        if self._slice < 0:
            raise TooLong

    def _charge(self) -> int:
        """Take what was used since the last look, in nanoseconds, from what is left."""
        if self._mark:
            now = time.thread_time_ns()
            used, self._mark = now - self._mark, now
        else:
            used = (self.spent - self._began) * _UNIT
            self._began = self.spent
        self.left -= used
        return used


_current: ContextVar[Budget | None] = ContextVar("budget", default=None)
bind = _current.set
"""Let all work of this context count against a budget."""


def spend(units: int) -> None:
    """Some work is about to be done for the call of this context, or was. Raises Spent, TooLong and Abandoned."""
    budget = _current.get()
    if budget is not None:  # what follows is `Budget.spend`, without a call: scanners come here often
        budget.spent += units
        budget._units -= units
        if budget._units < 0:
            budget._units = STEP
            budget.look()


def exceeded(units: int) -> bool:
    """The same for places that cannot raise: True if the work must stop; `look` then says why."""
    budget = _current.get()
    if budget is None:
        return False
    try:
        budget.spend(units)
    except (Spent, TooLong, Abandoned):
        return True
    return False


def look() -> None:
    """Raise what stopped the work, if anything did."""
    budget = _current.get()
    if budget is not None:
        budget.look()
