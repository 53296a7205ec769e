"""The CPU time that judging one call may take, and a flag that ends the work when its result is no longer needed.

Config key: `server.scan_budget`. Scanners call `spend` between steps, with a rough count of microseconds; the clock of
the thread is read once for every `STEP` of them. Reading that clock is a system call, so for work of less than a `STEP`
the units count as microseconds. That holds for all work outside `begin` and `end`: there, a thread may serve other
calls between two readings, or the next reading may be on another thread, which has another clock. A budget belongs to
the context of its call (PEP 567), so it follows work that moves to another thread; a scanner that is used without a
call has no budget.
"""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, TypeVar, TypeVarTuple

from gateway.errors import Unfinished

STEP: Final = 256
"""Units between two readings of the clock. A unit is about a microsecond of ordinary work."""
NEVER: Final = 1 << 62
_NANO: Final = 1_000_000_000
_BYTE: Final = 1_000  # nanoseconds that each byte of a body adds
_REMEMBERED: Final = 4096  # results of a call
_UNIT: Final = 1_000  # nanoseconds that a unit counts until the clock is read

Args = TypeVarTuple("Args")
Result = TypeVar("Result")
PASSING = (KeyboardInterrupt, SystemExit, GeneratorExit, CancelledError, Unfinished)
"""Exceptions that are not faults of a stage. All others are faults, even a `BaseException` such as a Rust panic."""


class Spent(BaseException):
    """The work exceeds the budget of the call. Not an `Exception`, so that no scanner catches it as its own fault."""


class TooLong(Unfinished):
    """The work takes too long for the event loop and must be restarted in a thread."""


class Abandoned(Unfinished):
    """The result is no longer needed."""


class Budget:
    """The budget of one call. `left` is in nanoseconds of CPU time; one thread at a time works on it."""

    __slots__ = ("_began", "_mark", "_slice", "_timed", "_units", "abandoned", "left", "remembered", "seconds", "spent")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = int(seconds * _NANO)
        self.abandoned = False
        self.remembered: dict[object, object] = {}  # see `once`
        self.spent = 0  # total units, which tests count
        self._units = STEP
        self._mark = 0  # the last reading of the clock of the thread; 0: none since the work began
        self._began = 0  # `spent` when the work began
        self._slice = NEVER
        self._timed = False  # whether work is between `begin` and `end`, all on one thread

    def extend(self, size: int) -> None:
        """Extend the budget for more bytes: one second per megabyte."""
        self.left += size * _BYTE

    def begin(self, within: int = NEVER) -> None:
        """Work begins on this thread; `within`: the nanoseconds that may be spent here."""
        self._charge()
        self._mark = 0
        self._slice = within
        self._timed = True

    def end(self) -> None:
        """Work on this thread ends."""
        self._charge()
        self._mark = 0
        self._began = self.spent
        self._slice = NEVER
        self._timed = False

    def spend(self, units: int) -> None:
        """Count work in units. Raises Spent, TooLong and Abandoned."""
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
        if self._timed and not self._mark:
            self._mark = time.thread_time_ns()
        self._slice -= used
        if self.left < 0:
            raise Spent
        if self._slice < 0:
            raise TooLong

    def _charge(self) -> int:
        """Subtract the nanoseconds used since the last reading from the rest."""
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
"""Count all work of this context against a budget."""


def current() -> Budget | None:
    """The budget of the call of this context; None outside a call."""
    return _current.get()


def spend(units: int) -> None:
    """Count work for the call of this context, in units. Raises Spent, TooLong and Abandoned."""
    budget = _current.get()
    if budget is not None:  # the code of `Budget.spend` without a function call, because this function is called often
        budget.spent += units
        budget._units -= units
        if budget._units < 0:
            budget._units = STEP
            budget.look()


def exceeded(units: int) -> bool:
    """The same for code that cannot raise: True if the work must stop; `look` then raises the reason."""
    budget = _current.get()
    if budget is None:
        return False
    try:
        budget.spend(units)
    except (Spent, TooLong, Abandoned):
        return True
    return False


def look() -> None:
    """Raise the exception that stopped the work, if any."""
    budget = _current.get()
    if budget is not None:
        budget.look()


def once(function: Callable[[*Args], Result]) -> Callable[[*Args], Result]:
    """A function of the caller's words whose results are remembered within one call, and no longer.

    The time that a cache of all calls saves would tell one team what another sent. Outside a call nothing is kept.
    """

    def remembering(*args: *Args) -> Result:
        budget = _current.get()
        if budget is None:
            return function(*args)
        known, key = budget.remembered, (function, args)
        if key in known:
            return known[key]  # type: ignore[return-value]  # what this function returned
        result = function(*args)
        if len(known) < _REMEMBERED:
            known[key] = result
        return result

    return remembering
