"""Calls whose process was killed: each gets an outcome, once, by another worker or after the restart.

Every process of the gateway has a row in the decision log as long as it lives, and holds the lock of one byte of the
file beside it, which the system releases with the process. Who finds a row whose lock is free takes the lock, and
records each call of this process that has a decision and no outcome as ended with `overloaded`. Nobody knows whether
such a call has reached its provider. So its reservation is charged, as an estimate, when its time is over (`lapsed`),
and the outcome has the same amounts.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final

import orjson

from gateway import ids
from gateway.call import Json
from gateway.stores import StoreUnavailable
from gateway.stores.writer import Writer, connect

SCHEMA: Final = "CREATE TABLE IF NOT EXISTS processes (name TEXT PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID"
CODE: Final = "overloaded"
_STATUS: Final = 503
_LOOK: Final = 5.0  # seconds between two looks for processes that were killed
_SKEW: Final = 60.0  # seconds by which the clock may have been set back
_UNENDED: Final = """SELECT id, team, agent, correlation_id, record FROM decisions WHERE id > ?
    AND json_extract(CAST(record AS TEXT), '$.begun.process') = ?
    AND NOT EXISTS (SELECT 1 FROM outcomes WHERE outcomes.id = decisions.id)"""
_OUTCOME: Final = "INSERT OR IGNORE INTO outcomes VALUES (?,?,?,?,?,?,?,?)"
_Row = tuple[str, str, str, str, bytes]


class Lost:
    """Finds these calls. `say`: writes a line of the log. For one event loop."""

    def __init__(self, writer: Writer, say: Callable[[Json], None]) -> None:
        self._writer = writer
        self._say = say
        self._lock = os.open(f"{writer.path}.processes", os.O_CREAT | os.O_RDWR, 0o600)
        self._next = 0.0

    async def open(self) -> None:
        """This process lives. Raises StoreUnavailable."""
        self._take(ids.WORKER)
        self._writer.submit("INSERT OR REPLACE INTO processes VALUES (?, ?)", (ids.WORKER, time.time()))
        await self._writer.barrier()

    async def close(self) -> None:
        """This process ends, and has recorded all its calls: only when they are written, others may look."""
        try:
            self._writer.submit("DELETE FROM processes WHERE name = ?", (ids.WORKER,))
            with suppress(StoreUnavailable):
                await self._writer.barrier()
        finally:
            os.close(self._lock)

    async def look(self) -> int:
        """Record the calls of processes that were killed; returns their number. Raises StoreUnavailable."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + _LOOK
        number = 0
        for name, since in await asyncio.to_thread(self._processes):
            if name != ids.WORKER and self._take(name):
                try:
                    number += await self._record(name, since)
                finally:
                    fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, _place(name))
        return number

    async def _record(self, name: str, since: float) -> int:
        rows = await asyncio.to_thread(self._unended, name, since)
        for id, team, agent, correlation_id, record in rows:
            begun = orjson.loads(record)["begun"]
            outcome = {
                "provider": "",
                "model": "",
                "upstream_status": 0,
                "tries": 0,
                "finished": False,
                "usage": None,
                "cost_nano_usd": begun["cost"],
                "reserved": begun["reserved"],
                "lost": True,
            }
            row = (id, time.time(), team, agent, correlation_id, CODE, _STATUS, orjson.dumps(outcome))
            self._writer.submit(_OUTCOME, row)
            self._say(
                {"level": "warning", "event": "call lost", "id": id, "correlation_id": correlation_id, "team": team}
            )
        self._writer.submit("DELETE FROM processes WHERE name = ?", (name,))
        await self._writer.barrier()
        return len(rows)

    def _processes(self) -> list[tuple[str, float]]:
        with closing(connect(self._writer.path)) as reader:
            return reader.execute("SELECT name, since FROM processes").fetchall()

    def _unended(self, name: str, since: float) -> list[_Row]:
        with closing(connect(self._writer.path)) as reader:
            return reader.execute(_UNENDED, (ids.uuid7(at=since - _SKEW)[:13], name)).fetchall()

    def _take(self, name: str) -> bool:
        """Take the lock of a process; False if the process lives, or if another looks after its calls."""
        with suppress(OSError):
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(name))
            return True
        return False


def _place(name: str) -> int:
    """The byte of a process: its name is a random number."""
    return int(name, 16) >> 2
