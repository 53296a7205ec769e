"""One thread that writes to one SQLite file, many rows to a commit (group commit).

The event loop only appends to a list; whoever must know that his rows are on disk awaits `barrier()`, and all who
wait share the next commit. A failed write makes every later barrier raise `StoreUnavailable`: fails closed.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gateway.stores import StoreUnavailable

Statement = tuple[str, tuple[Any, ...]]
CHUNKS = (64, 16, 4, 1)  # rows to a statement: few sizes, so that SQLite compiles few texts

# Rows that nobody waits for are written after this many seconds at the latest.
LINGER = 0.05
# After a commit that n waited for, the next begins n times this many seconds later, at most MOST_SPACING: a lone call
# waits for next to nothing, and under load many calls share an fsync, which costs more CPU than writing their rows.
SPACING = 0.001
MOST_SPACING = 0.005


class Bulk(str):
    """A statement for one row that may be written together with others of its kind: one statement, many rows.

    Within a commit, all bulk statements between two others are written kind by kind, by `rank`, rows in their order.
    Each statement lets the event loop in and out once, however many rows it holds; row by row that would be the most
    expensive part of a call. The text is `INSERT ... VALUES (?, ...)` or `DELETE ... WHERE id = ?`.
    """

    rank: int

    def __new__(cls, rank: int, text: str) -> Bulk:
        made = super().__new__(cls, text)
        made.rank = rank
        return made

    @functools.cached_property
    def texts(self) -> dict[int, str]:
        """The statement for each number of rows of `CHUNKS`."""
        head, _, row = self.partition(" VALUES ")
        if row:
            return {size: f"{head} VALUES {', '.join([row] * size)}" for size in CHUNKS}
        head, _, rest = self.partition(" WHERE id = ?")
        if rest or head == self:
            raise ValueError(f"no bulk form of {self!r}")
        return {size: f"{head} WHERE id IN ({', '.join('?' * size)})" for size in CHUNKS}


def connect(path: str | Path) -> sqlite3.Connection:
    """A connection with the settings that all users of the file share. A new file is readable by its owner only."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    for pragma in (
        "busy_timeout = 5000",  # a command-line process may hold the write lock for a moment: wait, don't fail
        "journal_mode = WAL",  # readers and the writer do not block each other; a commit is one append and one fsync
        "synchronous = FULL",  # fsync on every commit: a reservation that was confirmed survives a power cut
        "journal_size_limit = 67108864",  # a burst must not leave a huge -wal file behind for ever
        "foreign_keys = ON",  # off by default in SQLite for history's sake only
        "trusted_schema = OFF",  # a planted view or trigger in the file must not call functions with side effects
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


class Writer:
    """Writes rows of one file in the order they were submitted.

    `submit` and `submit_all` may be called from any thread and never wait; `barrier` from one event loop.
    Raises `sqlite3.Error` at once if the file cannot be opened or `schema` is not SQL.
    """

    def __init__(self, path: str | Path, schema: Sequence[str] = ()) -> None:
        self.path = str(path)
        self._connection = connect(path)
        for statement in schema:
            self._connection.execute(statement)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._pending: list[Statement] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._submitted = self._committed = 0
        self._busy = False
        self._closed = False
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"writer {Path(path).name}", daemon=True)
        self._thread.start()

    def submit(self, sql: str, params: tuple[Any, ...]) -> int:
        """Enqueue one statement; returns its mark. After a failure it is dropped: the barrier has the word for that."""
        with self._lock:
            if self._error is None:
                self._pending.append((sql, params))
            self._submitted += 1
            return self._submitted

    def submit_all(self, statements: Sequence[Statement]) -> int:
        """Enqueue statements that must be committed together; returns the mark of the last."""
        with self._lock:
            if self._error is None:
                self._pending.extend(statements)
            self._submitted += len(statements)
            return self._submitted

    def written(self, mark: int) -> bool:
        """Whether what was submitted under this mark is on disk."""
        return mark <= self._committed

    async def barrier(self) -> None:
        """Return after the commit that covers everything submitted before."""
        with self._lock:
            if self._error is not None:
                raise StoreUnavailable(self._error)
            if not self._pending and not self._busy:
                return
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
        self._wake.set()
        await waiter

    def check(self) -> None:
        """Raise `StoreUnavailable` if a write has failed or the writer is closed."""
        if self._error is not None:
            raise StoreUnavailable(self._error)

    def close(self) -> None:
        """Write what is pending and end the thread; everything after that fails."""
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        due = 0.0
        while not (self._closed and not self._pending):
            self._wake.wait(LINGER)
            if not self._closed:
                time.sleep(max(0.0, due - time.monotonic()))
            began = time.monotonic()
            self._wake.clear()
            with self._lock:
                batch, self._pending = self._pending, []
                waiters, self._waiters = self._waiters, []
                self._busy = bool(batch)
            if batch:
                self._commit(batch)
            self._busy = False
            due = began + min(MOST_SPACING, SPACING * len(waiters))
            self._answer(waiters)
        with self._lock:
            self._error = self._error or f"{self.path}: already closed"
            waiters, self._waiters = self._waiters, []
        self._answer(waiters)
        self._connection.close()

    def _commit(self, batch: list[Statement]) -> None:
        if self._error is not None:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for bulk, run in itertools.groupby(batch, key=_is_bulk):
                if bulk:
                    self._write_bulk(run)
                else:
                    for sql, params in run:
                        self._connection.execute(sql, params)
            self._connection.execute("COMMIT")
            self._committed += len(batch)
        except Exception as error:  # whatever it was, the rows are lost: nobody may be told that they are on disk
            self._fail(error)

    def _write_bulk(self, run: Iterable[Statement]) -> None:
        kinds: dict[str, list[tuple[Any, ...]]] = {}
        for sql, params in run:
            kinds.setdefault(sql, []).append(params)
        for sql in sorted(kinds, key=_rank):
            rows, at = kinds[sql], 0
            for size in CHUNKS:
                while len(rows) - at >= size:
                    flat = [value for row in rows[at : at + size] for value in row]
                    self._connection.execute(sql.texts[size], flat)  # type: ignore[attr-defined]
                    at += size

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._error = f"{self.path}: could not write ({error}); check the disk, then restart the gateway"
            self._pending = []
        if self._connection.in_transaction:
            self._connection.rollback()

    def _answer(self, waiters: list[asyncio.Future[None]]) -> None:
        if not waiters:
            return
        try:
            waiters[0].get_loop().call_soon_threadsafe(_resolve, waiters, self._error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return


def _is_bulk(statement: Statement) -> bool:
    return isinstance(statement[0], Bulk)


def _rank(sql: str) -> int:
    assert isinstance(sql, Bulk)
    return sql.rank


def _resolve(waiters: list[asyncio.Future[None]], error: str | None) -> None:
    for waiter in waiters:
        if waiter.done():  # cancelled meanwhile
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(StoreUnavailable(error))
