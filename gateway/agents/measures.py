"""What the gateway measures of other agents: how often a message succeeds, how long that takes, what it costs.

Of this process, over the last messages of each agent. A message that the gateway refused, or whose caller went away,
says nothing about the agent and is not counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.amounts import NANO_USD
from gateway.call import Json
from gateway.record.ended import Ended

_WINDOW: Final = 512
"""Messages of each agent that are remembered."""
_FAULTS: Final = frozenset({"upstream_error", "upstream_timeout"})


class _Seen(NamedTuple):
    succeeded: bool
    nanoseconds: int
    cost: int  # nano-USD


class Measures:
    """The figures of all agents, by name."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[_Seen]] = {}

    def note(self, ended: Ended) -> None:
        """Count a call that has ended, if it brought an agent a message."""
        if ended.kind != "agent" or not ended.calls or not ended.sent or ended.replayed:
            return
        if not ended.finished and ended.code not in _FAULTS:
            return
        succeeded = ended.finished and not ended.failed and not ended.code
        one = _Seen(succeeded, ended.ended_ns - ended.started_ns, ended.cost)
        self._seen.setdefault(ended.model, deque(maxlen=_WINDOW)).append(one)

    def of(self, agent: str) -> Json:
        """The figures of an agent: `calls`, `success` (0 to 1), `p50_seconds`, `p95_seconds`, `cost_usd` for a call.

        Empty if nothing was measured. Times are those of successes.
        """
        seen = self._seen.get(agent)
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
