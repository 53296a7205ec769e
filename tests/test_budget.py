"""The CPU time of one call: counted on one thread at a time, and only while that thread works for the call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from gateway.budget import STEP, Budget, Spent

BUSY = 0.05
"""Seconds of CPU time of other work."""


def busy() -> None:
    """Use the CPU for something else than the call."""
    end = time.thread_time() + BUSY
    while time.thread_time() < end:
        pass


def elsewhere(work: Callable[[], None]) -> None:
    """Run work in a thread of its own, to its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def work(budget: Budget, units: int = 2 * STEP + 2) -> None:
    """A piece of work of the call, in which the clock is read."""
    budget.begin()
    for _ in range(units):
        budget.spend(1)
    budget.end()


def test_other_work_of_the_thread_is_not_charged() -> None:
    """What a thread does between two pieces of work of a call, or after the last, is not the call's."""
    budget = Budget(BUSY / 2)
    work(budget)
    busy()
    for _ in range(2 * STEP + 2):
        budget.spend(1)
    busy()
    budget.spend(2 * STEP)
    busy()
    work(budget)
    assert budget.left > 0


@pytest.mark.parametrize("older", ["first", "second"])
def test_the_clocks_of_two_threads_are_not_compared(older: str) -> None:
    """A call that moves between threads is charged its own work: none of an older thread's, and none is given back."""
    budget = Budget(BUSY / 2)

    def begun() -> None:
        if older == "first":
            busy()
        work(budget)

    elsewhere(begun)
    left = budget.left
    if older == "second":
        busy()
    budget.spend(2 * STEP + 2)
    assert left - 1_000_000 * STEP < budget.left < left


def test_work_outside_a_piece_counts_in_units() -> None:
    """Nothing is free: without a clock, a unit is a microsecond, also if a piece of work begins after it."""
    budget = Budget(1)
    budget.spend(STEP // 2)
    work(budget, 0)
    budget.spend(STEP // 4)
    work(budget, 0)
    assert budget.left == 1_000_000_000 - 1000 * (STEP // 2 + STEP // 4)
    with pytest.raises(Spent):
        budget.spend(1_000_000)
