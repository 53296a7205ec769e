"""Measures work without a clock: executed lines of Python, and items that built-in methods visit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final

import phonenumbers

import gateway

_OURS: Final = tuple(str(Path(module.__file__ or "").parent) for module in (gateway, phonenumbers))
_COLLECTIONS: Final = (list, dict, tuple, set)
_WALKS: Final = frozenset({"count", "index", "remove", "insert", "copy", "__contains__"})


class Steps:
    """Counts the steps of a block on this thread: `count` afterwards."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Steps:
        self._before = sys.gettrace(), sys.getprofile()
        sys.settrace(self._calls)
        sys.setprofile(self._built_in)
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        sys.settrace(self._before[0])
        sys.setprofile(self._before[1])

    def _calls(self, frame: FrameType, event: str, arg: object) -> Callable[..., Any] | None:
        return self._lines if frame.f_code.co_filename.startswith(_OURS) else None

    def _lines(self, frame: FrameType, event: str, arg: object) -> Callable[..., Any]:
        self.count += 1
        return self._lines

    def _built_in(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            self.count += 1
            owner: Any = getattr(arg, "__self__", None)
            if type(owner) in _COLLECTIONS and arg.__name__ in _WALKS:
                self.count += len(owner)


def steps(work: Callable[[], object]) -> int:
    """The number of steps that some work takes."""
    with Steps() as counted:
        work()
    return counted.count


EXPONENT: Final = 1.2
"""Twice the input may add 2.3 times the steps that the doubling before added. Linear work adds 2 times, n log n a
little more, a square 4 times."""
_NOISE: Final = 2_000  # further steps that say nothing: caches that fill, a threshold that is passed


def grows_evenly(work: Callable[[int], Callable[[], object]], size: int) -> str:
    """ "" if work grows no faster than size ** EXPONENT over two doublings; otherwise the numbers of steps.

    `work` makes the input of a size, and gives what is to be done with it. What a size costs once cancels out. Where
    one doubling crosses a threshold, the next one tells.
    """
    taken = [steps(work(size << doubling)) for doubling in range(3)]
    if _is_even(taken):
        return ""
    taken.append(steps(work(size << 3)))
    return "" if _is_even(taken[1:]) else f"steps of each doubling: {taken}"


def _is_even(taken: list[int]) -> bool:
    before, after = taken[-2] - taken[-3], taken[-1] - taken[-2]
    return after <= _NOISE or after <= 2**EXPONENT * max(before, 1)
