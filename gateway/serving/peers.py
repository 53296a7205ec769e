"""Fair use of connections: a share for each client address, and which connection to close if all are taken.

Config keys: `server.max_connections`, `server.address_share`. Waiting connections without a valid key are closed first,
longest wait first, then those with a valid key between two requests. Connections with a call in flight stay open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from gateway.serving.shares import part

_REFILL: Final = 0.05  # seconds between two scans of all connections
_ALL: Final = "all"  # cannot be an address
_QUEUES: Final = 16  # few addresses use their whole share


class Peer(Protocol):
    """One connection."""

    place: str
    """The address to which shares are assigned."""
    leaving: bool
    """The connection is being closed."""

    def rank(self) -> tuple[bool, float] | None:
        """The sort key for closing, lowest first; None: the connection must stay open."""


P = TypeVar("P", bound=Peer)


@dataclass(slots=True)
class _Queue(Generic[P]):
    """Connections that may be closed, as of one scan: the rest, its expiry, the original number, the number closed."""

    left: Iterator[P]
    until: float
    size: int
    gone: int = 0


class Peers(Generic[P]):
    """All connections of one process."""

    def __init__(self, limit: int, share: float) -> None:
        self.limit = limit
        self.most = part(limit, share)
        self._all: dict[P, None] = {}  # in the order of arrival
        self._counts: dict[str, int] = {}
        # By address, and for all: which connection is closed next, and when to scan again.
        self._queues: dict[str, _Queue[P]] = {}
        self._leaving = 0

    def join(self, peer: P, now: float) -> tuple[P | None, str]:
        """A connection begins: returns the connection to close (possibly this one) and the reason, or (None, "").

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
        """The connection to close first; the new one if all others have a call in flight."""
        queue = self._queues.get(key)
        found = _next(queue.left, peer) if queue is not None and now < queue.until else None
        # A scan of all connections must be amortized over those it lets close; if few can be closed, scans are rare.
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
    """The connections that may be closed, in the order of closing."""
    ranked = [(rank, number, one) for number, one in enumerate(every) if not one.leaving and (rank := one.rank())]
    return [one for _, _, one in sorted(ranked, key=lambda found: found[:2])]
