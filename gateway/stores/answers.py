"""Answers kept under an idempotency key, for one process: running calls in memory, answers in SQLite.

The leases of a process end with the process, so they are not written to disk. See `Store.begin`. No clock.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from gateway.stores import Begun, Kept
from gateway.stores.writer import Writer

Name = tuple[str, str]  # team, key

_GET = "SELECT digest, ends, sealed FROM answers WHERE team = ? AND key = ?"
_PUT = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)"


class _Answer(NamedTuple):
    digest: bytes
    ends: int  # microseconds
    sealed: bytes
    mark: int  # of the writer


class Answers:
    """The running calls, and the answers that are not on disk yet."""

    def __init__(self) -> None:
        self._running: dict[Name, bytes] = {}
        self._fresh: dict[Name, _Answer] = {}

    def begin(self, reader: sqlite3.Connection, name: Name, digest: bytes, now: int) -> Begun:
        """See `Store.begin`. One synchronous step, so that concurrent calls cannot interleave."""
        running = self._running.get(name)
        if running is not None:
            return "running" if running == digest else "conflict"
        fresh = self._fresh.get(name)
        kept = fresh[:3] if fresh else reader.execute(_GET, name).fetchone()
        if kept is None or kept[1] <= now:
            self._running[name] = digest
            return "new"
        return Kept(kept[2]) if kept[0] == digest else "conflict"

    def finish(self, writer: Writer, name: Name, digest: bytes, sealed: bytes, ends: int) -> None:
        """See `Store.finish`; on disk after the writer's next barrier."""
        if self._running.get(name) == digest:
            del self._running[name]
            mark = writer.submit(_PUT, (*name, digest, ends, sealed))
            self._fresh[name] = _Answer(digest, ends, sealed, mark)

    def abandon(self, name: Name, digest: bytes) -> None:
        """See `Store.abandon`."""
        if self._running.get(name) == digest:
            del self._running[name]

    def drop_written(self, writer: Writer) -> None:
        """Drop answers from memory that are on disk."""
        for name in [name for name, answer in self._fresh.items() if writer.written(answer.mark)]:
            del self._fresh[name]
