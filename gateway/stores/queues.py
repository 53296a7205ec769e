"""Queues and figures in SQLite: in memory for the one process that has the file, and on disk for the next."""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final, NamedTuple

from gateway.stores import FIGURES, Leased, Room
from gateway.stores.record import MICRO
from gateway.stores.writer import Writer

_TRIM: Final = """DELETE FROM figures WHERE name = ?1 AND seq <=
    (SELECT seq FROM figures WHERE name = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)"""


class _Waiting(NamedTuple):
    number: int
    owner: str
    record: bytes


@dataclass
class _Queue:
    due: int
    tries: int = 0
    waiting: deque[_Waiting] = field(default_factory=deque)


class SqliteQueues:
    """See `stores.Queues` and `stores.Figures`. `now`: microseconds."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._queues: dict[str, _Queue] = {}
        self._numbers = count(1)
        self._of: Counter[str] = Counter()
        self._size = self._bytes = 0

    def load(self, rows: sqlite3.Connection) -> None:
        """Read what waits. Its tries begin anew."""
        last, due = 0, self._now()
        for number, queue, owner, record in rows.execute("SELECT * FROM queued ORDER BY number"):
            self._add(queue, _Waiting(number, owner, record), due)
            last = number
        self._numbers = count(last + 1)

    def push(self, writer: Writer, queue: str, owner: str, record: bytes, room: Room) -> bool:
        """See `Queues.push`; not on disk yet."""
        if self._size >= room.records or self._of[owner] >= room.own or self._bytes + len(record) > room.bytes:
            return False
        one = _Waiting(next(self._numbers), owner, record)
        self._add(queue, one, self._now())
        writer.submit("INSERT INTO queued VALUES (?, ?, ?, ?)", (one.number, queue, owner, record))
        return True

    def lease(self, seconds: float, most: int) -> list[Leased]:
        """See `Queues.lease`."""
        now, found = self._now(), list[Leased]()
        for name, queue in self._queues.items():
            if queue.due <= now and len(found) < most:
                queue.due, queue.tries = now + round(seconds * MICRO), queue.tries + 1
                found.append(Leased(name, queue.waiting[0].number, queue.tries, queue.waiting[0].record))
        return found

    def postpone(self, name: str, number: int, seconds: float) -> None:
        """See `Queues.postpone`."""
        queue = self._queues.get(name)
        if queue is not None and queue.waiting[0].number == number:
            queue.due = self._now() + round(seconds * MICRO)

    def shift(self, writer: Writer, name: str, number: int, *, all: bool) -> int:
        """See `Queues.shift`; not on disk yet."""
        queue = self._queues.get(name)
        if queue is None or queue.waiting[0].number != number:
            return 0
        gone = list(queue.waiting) if all else [queue.waiting[0]]
        for one in gone:
            queue.waiting.popleft()
            self._count(one, -1)
            writer.submit("DELETE FROM queued WHERE number = ?", (one.number,))
        queue.due, queue.tries = self._now(), 0
        if not queue.waiting:
            del self._queues[name]
        return len(gone)

    def _add(self, name: str, one: _Waiting, due: int) -> None:
        self._queues.setdefault(name, _Queue(due)).waiting.append(one)
        self._count(one, 1)

    def _count(self, one: _Waiting, sign: int) -> None:
        self._size += sign
        self._bytes += sign * len(one.record)
        self._of[one.owner] += sign
        if not self._of[one.owner]:
            del self._of[one.owner]


def measure(writer: Writer, name: str, records: Sequence[bytes]) -> None:
    """See `Figures.measure`; not on disk yet."""
    for record in records:
        writer.submit("INSERT INTO figures (name, record) VALUES (?, ?)", (name, record))
    writer.submit(_TRIM, (name, FIGURES))


def measured(reader: sqlite3.Connection, name: str) -> list[bytes]:
    """See `Figures.measured`."""
    return [record for (record,) in reader.execute("SELECT record FROM figures WHERE name = ? ORDER BY seq", (name,))]
