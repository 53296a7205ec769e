"""What gateways measure of other agents: how often a message succeeds, how long that takes, what it costs.

Of all gateways and workers with the same state, over the last messages of each agent. A message that the gateway
refused, or whose caller went away, says nothing about the agent and is not counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import orjson

from gateway.amounts import NANO_USD
from gateway.call import Json
from gateway.record.ended import Ended
from gateway.stores import FIGURES, Figures, StoreUnavailable

_FAULTS: Final = frozenset({"upstream_error", "upstream_timeout"})


class _Seen(NamedTuple):
    succeeded: bool
    nanoseconds: int
    cost: int  # nano-USD


class Measures:
    """The figures of all agents, by name: those of the state as last read, and what this process adds."""

    def __init__(self) -> None:
        self._shared: dict[str, deque[_Seen]] = {}
        self._fresh: dict[str, deque[_Seen]] = {}
        self._leaving: dict[str, deque[_Seen]] = {}  # what is being written

    def note(self, ended: Ended) -> None:
        """Count a call that has ended, if it brought an agent a message."""
        if ended.kind != "agent" or not ended.calls or not ended.sent or ended.replayed:
            return
        if not ended.finished and ended.code not in _FAULTS:
            return
        succeeded = ended.finished and not ended.failed and not ended.code
        one = _Seen(succeeded, ended.ended_ns - ended.started_ns, ended.cost)
        self._fresh.setdefault(ended.model, deque(maxlen=FIGURES)).append(one)

    async def write(self, store: Figures) -> None:
        """Add what this process measured to the state. Raises StoreUnavailable; then all of it is written next time."""
        for agent in list(self._fresh):
            taken = self._leaving[agent] = self._fresh.pop(agent)
            try:
                await store.measure(agent, [orjson.dumps([*one]) for one in taken])
                self._shared.setdefault(agent, deque(maxlen=FIGURES)).extend(taken)
            except StoreUnavailable:
                taken.extend(self._fresh.get(agent, ()))
                self._fresh[agent] = taken
                raise
            finally:
                del self._leaving[agent]

    async def read(self, store: Figures, agents: Iterable[str]) -> None:
        """Read the figures of these agents; forget all others. Raises StoreUnavailable."""
        found = {}
        for agent in agents:
            found[agent] = deque([_Seen(*orjson.loads(it)[:3]) for it in await store.measured(agent)], FIGURES)
        self._shared = found

    def of(self, agent: str) -> Json:
        """The figures of an agent: `calls`, `success` (0 to 1), `p50_seconds`, `p95_seconds`, `cost_usd` for a call.

        Empty if nothing was measured. Times are those of successes.
        """
        parts = (self._shared, self._leaving, self._fresh)
        seen = [one for part in parts for one in part.get(agent, ())][-FIGURES:]
        if not seen:
            return {}
        times = sorted(one.nanoseconds for one in seen if one.succeeded)
        figures: Json = {"calls": len(seen), "success": round(len(times) / len(seen), 4)}
        if times:
            figures |= {"p50_seconds": _seconds(times, 0.5), "p95_seconds": _seconds(times, 0.95)}
        figures["cost_usd"] = round(sum(one.cost for one in seen) / len(seen) / NANO_USD, 9)
        return figures


def _seconds(times: Sequence[int], part: float) -> float:
    """The time below which this part of the sorted times is (nearest rank)."""
    rank = -(-int(part * 100) * len(times) // 100)
    return round(times[max(rank, 1) - 1] / 1e9, 6)
