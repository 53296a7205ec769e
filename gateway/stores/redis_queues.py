"""Queues and figures in Redis or Valkey. The queues are in one slot of a Cluster, the figures of each name in another.

Numbers of a queue begin at 0 again once the queue was empty: a late `shift` of the same number finds another record,
but only after the lease of the one that it is about has ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from gateway.stores import FIGURES, Leased, Room
from gateway.stores.record import MICRO

_KEYS: Final = ("mg1:{queues}:due", "mg1:{queues}:counts", "mg1:{queues}:records")
_FIGURES_KEPT: Final = 30 * 86400  # seconds


class RedisQueues:
    """See `stores.Queues` and `stores.Figures`. `call` runs an operation of the script, `command` one of Redis."""

    def __init__(self, call: Callable[..., Awaitable[Any]], command: Callable[..., Awaitable[Any]]) -> None:
        self._call = call
        self._command = command

    async def push(self, queue: str, owner: str, record: bytes, room: Room) -> bool:
        """See `Queues.push`."""
        return bool(await self._call("push", _KEYS, queue, owner, record, *room))

    async def lease(self, seconds: float, most: int) -> list[Leased]:
        """See `Queues.lease`."""
        flat = await self._call("lease", _KEYS, round(seconds * MICRO), most)
        rows = zip(*[iter(flat)] * 4, strict=True)
        return [Leased(queue.decode(), int(number), int(tries), record) for queue, number, tries, record in rows]

    async def postpone(self, queue: str, number: int, seconds: float) -> None:
        """See `Queues.postpone`."""
        await self._call("postpone", _KEYS, queue, number, round(seconds * MICRO))

    async def shift(self, queue: str, number: int, *, all: bool = False) -> int:
        """See `Queues.shift`."""
        return int(await self._call("shift", _KEYS, queue, number, int(all)))

    async def measure(self, name: str, records: Sequence[bytes]) -> None:
        """See `Figures.measure`."""
        await self._call("measure", [_figures(name)], FIGURES, _FIGURES_KEPT * 1000, *records)

    async def measured(self, name: str) -> list[bytes]:
        """See `Figures.measured`."""
        return [member.partition(b":")[2] for member in await self._command("ZRANGE", _figures(name), "0", "-1")]


def _figures(name: str) -> str:
    return f"mg1:{{figures:{name}}}"
