"""Who holds the connections: a share for each client address, and whom to let go when all are taken.

Config keys: `server.max_connections`, `server.address_share`. First to go is who showed no good key and waits, the
longest first; then who showed one and waits between two requests. Who is being answered stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from gateway.serving.shares import part

_REFILL: Final = 0.05  # seconds between two looks at all connections
_ALL: Final = "all"  # no address
_QUEUES: Final = 16  # of addresses that have their whole share there are few


class Peer(Protocol):
    """One connection."""

    place: str
    """The address that its shares go by."""
    leaving: bool
    """It has been let go."""

    def rank(self) -> tuple[bool, float] | None:
        """The order in which it would be let go, the least first; None: it stays."""


P = TypeVar("P", bound=Peer)


@dataclass(slots=True)
class _Queue(Generic[P]):
    """Connections that may go, as of one look at all: who is left, until when that holds, how many were and went."""

    left: Iterator[P]
    until: float
    size: int
    gone: int = 0


class Peers(Generic[P]):
    """The connections of one process."""

    def __init__(self, limit: int, share: float) -> None:
        self.limit = limit
        self.most = part(limit, share)
        self._all: dict[P, None] = {}  # in the order in which they came
        self._counts: dict[str, int] = {}
        # By address, and of all: who goes next, and when to look again at all connections.
        self._queues: dict[str, _Queue[P]] = {}
        self._leaving = 0

    def join(self, peer: P, now: float) -> tuple[P | None, str]:
        """A connection begins: whom to let go for it, itself included, and why; nobody while there is room.

        `now` is in seconds of any clock.
        """
        every = self._all
        every[peer] = None
        count = self._counts[peer.place] = self._counts.get(peer.place, 0) + 1
        if count > self.most:
            mine = (other for other in every if other.place == peer.place)
            return self._first(peer, peer.place, mine, now), f"Your address has {self.most} connections, its share"
        if len(every) - self._leaving > self.limit:
            why = f"All {self.limit} connections of this gateway are in use"
            return self._first(peer, _ALL, every, now), why
        return None, ""

    def leave(self, peer: P) -> None:
        """A connection has ended."""
        self._all.pop(peer, None)
        if peer.leaving:
            self._leaving -= 1
        left = self._counts.get(peer.place, 0) - 1
        if left > 0:
            self._counts[peer.place] = left
        else:
            self._counts.pop(peer.place, None)

    def _first(self, peer: P, key: str, among: Iterable[P], now: float) -> P:
        """Who goes first; the newcomer where everybody is being answered."""
        queue = self._queues.get(key)
        found = _next(queue.left, peer) if queue is not None and now < queue.until else None
        # To look at all connections is paid for by those that went; where few could, it is done once in a while only.
        if found is None and (queue is None or now >= queue.until or 4 * queue.gone >= queue.size > 0):
            if len(self._queues) > _QUEUES:
                self._queues.clear()
            waiting = _waiting(among)
            queue = self._queues[key] = _Queue(iter(waiting), now + _REFILL, len(waiting))
            found = _next(queue.left, peer)
        if found is None:
            found = peer
        elif queue is not None:
            queue.gone += 1
        found.leaving = True
        self._leaving += 1
        return found


def _next(queue: Iterator[P], peer: P) -> P | None:
    for one in queue:
        if one is not peer and not one.leaving and one.rank() is not None:
            return one
    return None


def _waiting(every: Iterable[P]) -> list[P]:
    """Those that may be let go, in the order in which they are."""
    ranked = [(rank, number, one) for number, one in enumerate(every) if not one.leaving and (rank := one.rank())]
    return [one for _, _, one in sorted(ranked, key=lambda found: found[:2])]
