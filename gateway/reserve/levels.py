"""How full buckets and quotas are, or were after the last call: whether a call is far from every limit.

Far from every limit, an upper bound of the input tokens is reserved, because to count them takes longer than all other
steps of `reserve`; settlement returns the rest. Near one, they are counted, so that no call is refused for tokens that
it does not have.

A store that must be asked refuses the bound itself if a limit is near (`Ask.excess`). So what is not known counts as
far, except for buckets that teams share, which a Cluster takes in a second step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from gateway.amounts import Balance, Debit, is_far

_RECENT: Final = 1.0  # seconds; other replicas take from the same buckets
_MOST: Final = 8192  # buckets and quotas of workflows; those not used within the last second count for nothing
_COUNTED: Final = frozenset({"tokens", "cost"})
_OWN: Final = ("agent:", "team:")  # buckets that teams do not share


class Levels:
    """What is left in the buckets and quotas of a store that must be asked. For one configuration: a limit may change
    with it."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._left: dict[str | tuple[str, str, str], tuple[int, float]] = {}

    def note(self, team: str, workflow: str, debits: Iterable[Debit], balances: Iterable[Balance]) -> None:
        """Remember what a reservation left."""
        left, now = self._left, self._now()
        if len(left) >= _MOST:
            left.clear()
        # Members of a named tuple are taken all at once: by their names they would take ten times as long.
        for (key, unit, _, _, _, refill, _, _), balance in zip(debits, balances, strict=True):
            if unit in _COUNTED:
                left[key if refill else (team, workflow, key)] = balance[0], now

    def are_far(self, team: str, workflow: str, debits: Sequence[Debit], excess: int) -> bool:
        """Whether every debit, of which up to `excess` tokens may be too much, is far from its limit, or may be.

        What is left is what the last reservation left; of buckets that teams share, within the last second.
        """
        left, since = self._left, self._now() - _RECENT
        for key, unit, amount, _, _, refill, _, _ in debits:
            if unit not in _COUNTED:
                continue
            known = left.get(key if refill else (team, workflow, key))
            if refill and not key.startswith(_OWN) and (known is None or known[1] < since):
                return False
            if known is not None and not is_far(unit, amount, excess, known[0]):
                return False
        return True


def counted(debits: Iterable[Debit]) -> list[Debit]:
    """The debits that depend on the number of tokens."""
    return [debit for debit in debits if debit[1] in _COUNTED]


def all_far(debits: Iterable[Debit], left: Iterable[int], excess: int) -> bool:
    """Whether all such debits are far from their limits, for a store that knows what is left."""
    for (_, unit, amount, _, _, _, _, _), level in zip(debits, left, strict=True):
        if not is_far(unit, amount, excess, level):
            return False
    return True
