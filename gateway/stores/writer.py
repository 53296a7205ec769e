"""Writes to one SQLite file, many rows to a commit and many commits' worth of callers to an fsync (group commit).

The event loop appends to a list; whoever must know that his rows are on disk awaits `barrier()`, and all who wait share
the next commit. The rows are put into the write-ahead log by the loop itself, which costs a few microseconds each; only
what waits for the disk, the fsync, leaves it, for a thread. (A thread that also ran the statements took turns with the
loop at every one of them, at ten times their cost.) Statements that may take long, and all others once the file is
locked by another process, go to the thread as well.

Fails closed: after a failed write every barrier raises `StoreUnavailable`. A fault that may pass (the disk is full, the
file is locked) keeps the rows and writes them again every `RETRY` seconds; once they are on disk, barriers succeed
again. Any other fault (a failed fsync, a damaged or replaced file) is final: see `lost`.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway.stores import StoreUnavailable

Statement = tuple[str, tuple[Any, ...]]
CHUNKS = (64, 32, 16, 8, 4, 2, 1)  # rows to a statement: few sizes for SQLite to compile, few statements a commit

# Rows that nobody waits for are written after this many seconds at the latest.
LINGER = 0.05
# After a commit that n waited for, the next begins n times this many seconds later, at most MOST_SPACING: a lone call
# waits for next to nothing, and under load many calls share an fsync, which costs more CPU than writing their rows.
SPACING = 0.001
MOST_SPACING = 0.005
_MOST_ON_LOOP = 512  # rows that the loop writes itself; more would hold up other calls
_PATIENCE = 5000  # milliseconds that the thread waits for another process to let go of the file
_CHECKPOINT = 4000  # rows after which the log is copied into the file, so that it starts over
RETRY = 1.0  # seconds between two attempts to write after a fault that may pass
MOST_KEPT = 100_000  # rows kept in memory while nothing can be written; one more, and the fault is final

# Primary result codes of faults that may pass (sqlite.org/rescode.html). A failed fsync is none: the kernel may have
# dropped the pages, and a second fsync would report success.
_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
    }
)
_log = logging.getLogger("meshgate")


class Bulk(str):
    """A statement for one row that may be written together with others of its kind: one statement, many rows.

    Within a commit, all bulk statements between two others are written kind by kind, by `rank`, rows in their order.
    The text is `INSERT ... VALUES (?, ...)` or `DELETE ... WHERE id = ?`; it must be quick to run.
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
    # Only ever made, never opened and closed: closing any descriptor of a file drops every lock that this process holds
    # on it (fcntl(2)), and without SQLite's a process beside us would take away the log that we write to.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    for pragma in (
        f"busy_timeout = {_PATIENCE}",  # a command-line process may hold the write lock for a moment: wait, don't fail
        "journal_mode = WAL",  # readers and the writer do not block each other; a commit is one append and one fsync
        "synchronous = FULL",  # fsync on every commit: what was confirmed survives a power cut
        "journal_size_limit = 67108864",  # a burst must not leave a huge -wal file behind for ever
        "foreign_keys = ON",  # off by default in SQLite for history's sake only
        "trusted_schema = OFF",  # a planted view or trigger in the file must not call functions with side effects
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


class Writer:
    """Writes rows of one file in the order they were submitted. For use on one event loop.

    `submit` and `submit_all` never wait. Raises `sqlite3.Error` at once if the file cannot be opened or `schema` is not
    SQL. Its connection leaves two things to it that SQLite would do at a commit: the fsync (`synchronous = NORMAL`
    appends to the log and syncs nothing; `_sync` does it right after, before anybody is told) and checkpoints.
    """

    def __init__(self, path: str | Path, schema: Sequence[str] = ()) -> None:
        self.path = str(path)
        self._connection = connect(path)
        for statement in schema:
            self._connection.execute(statement)
        self._connection.execute(
            "SELECT count(*) FROM sqlite_schema"
        ).fetchone()  # from the first look on there is a log
        for pragma in ("synchronous = NORMAL", "wal_autocheckpoint = 0", "busy_timeout = 0"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._wal = _open_log(self.path)
        self._thread = ThreadPoolExecutor(1, f"writer {Path(path).name}")
        self._pending: list[Statement] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._served: list[asyncio.Future[None]] = []  # those whose rows are being synced now
        self._submitted = self._committed = 0
        self._flying = 0  # rows that are being synced
        self._loose = 0  # rows since the last checkpoint
        self._due = 0.0
        self._timer: asyncio.Handle | None = None
        self._batch: list[Statement] = []  # the rows being written, kept until they are on disk
        self._error: str | None = None
        self.lost = False
        """The fault will not pass: the process must be restarted."""

    def submit(self, sql: str, params: tuple[Any, ...]) -> int:
        """Enqueue one statement; returns its mark. After a final fault the statement is dropped: barriers fail."""
        return self.submit_all(((sql, params),))

    def submit_all(self, statements: Sequence[Statement]) -> int:
        """Enqueue statements that must be committed together; returns the mark of the last."""
        self._submitted += len(statements)
        if not self.lost:
            self._pending += statements
            if self._timer is None and not self._flying:
                self._timer = asyncio.get_running_loop().call_later(LINGER, self._begin)
            if self._error is not None and len(self._pending) > MOST_KEPT:
                self.give_up(f"{MOST_KEPT} rows waited to be written ({self._error})")
        return self._submitted

    def written(self, mark: int) -> bool:
        """Whether what was submitted under this mark is on disk."""
        return mark <= self._committed

    async def barrier(self) -> None:
        """Return after the commit that covers everything submitted before."""
        if self._error is not None:
            raise StoreUnavailable(self._error)
        if not self._pending and not self._flying:
            return
        waiter = asyncio.get_running_loop().create_future()
        if self._pending:
            self._waiters.append(waiter)
            if not self._flying and len(self._waiters) == 1:
                self._soon()
        else:
            self._served.append(waiter)
        await waiter

    @property
    def failing(self) -> bool:
        """Whether the last write failed, so that barriers fail too."""
        return self._error is not None

    def check(self) -> None:
        """Raise `StoreUnavailable` if the last write has failed or the writer is closed."""
        if self._error is not None:
            raise StoreUnavailable(self._error)

    def give_up(self, reason: str) -> None:
        """Write nothing more: the fault is final. For the event loop; whoever waits is told at once."""
        if not self.lost:
            self._lose(reason)
            self._pending.clear()
            waiters, self._waiters = self._waiters, []
            _resolve(waiters, self._error)

    def _lose(self, reason: str) -> None:
        self._error = f"{self.path}: {reason}; mend that and restart the gateway"
        self.lost = True
        _log.error("state store: %s", self._error)

    def close(self) -> None:
        """Write what is pending, waiting for the disk; everything after that fails."""
        self._thread.shutdown(wait=True)
        if self._timer is not None:
            self._timer.cancel()
        if not self.lost:
            batch, self._pending = self._pending, []
            with suppress(StoreUnavailable):
                self._guarded(self._write_and_sync, batch)
        waiters, self._waiters, self._served = self._waiters + self._served, [], []
        _resolve(waiters, self._error)
        self._error, self.lost = self._error or f"{self.path}: already closed", True
        self._connection.close()
        os.close(self._wal)

    # One cycle: write, sync, answer

    def _soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        wait = self._due - time.monotonic()
        self._timer = loop.call_later(wait, self._begin) if wait > 0 else loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._timer = None
        batch, self._pending = self._pending, []
        self._served, self._waiters = self._waiters, []
        self._due = time.monotonic() + min(MOST_SPACING, SPACING * len(self._served))
        if self.lost or not batch:
            _resolve(self._served, self._error)
            return
        self._flying = len(batch)
        self._batch = batch
        try:
            rest: Callable[[], None] = self._write_here(batch)
        except StoreUnavailable:
            self._answer()
            return
        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._thread, self._guarded, rest).add_done_callback(self._landed)

    def _write_here(self, batch: list[Statement]) -> Callable[[], None]:
        """Write rows that are quickly written; returns what is left for the thread to do."""
        if self._error is None and len(batch) <= _MOST_ON_LOOP and all(map(_is_bulk, batch)):
            try:
                self._guarded(self._write, batch)
            except BlockingIOError:
                pass  # another process writes: the thread can wait for it
            else:
                return self._sync
        return functools.partial(self._write_and_sync, batch)

    def _landed(self, done: asyncio.Future[None]) -> None:
        if not done.cancelled():
            done.exception()  # `_guarded` has kept it
        self._answer()

    def _answer(self) -> None:
        served, self._served = self._served, []
        if self._error is None:
            self._committed += self._flying
        elif not self.lost:
            self._pending[:0] = self._batch
        self._flying, self._batch = 0, []
        _resolve(served, self._error)
        if self._error is not None:
            waiters, self._waiters = self._waiters, []
            _resolve(waiters, self._error)
            if self.lost:
                self._pending.clear()
            else:
                self._timer = asyncio.get_running_loop().call_later(RETRY, self._begin)
        elif self._waiters:
            self._soon()
        elif self._pending:
            self._timer = asyncio.get_running_loop().call_later(LINGER, self._begin)

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        """Do the work. After a fault nobody may be told that the rows are on disk."""
        try:
            work(*args)
        except BlockingIOError:
            raise
        except Exception as error:
            passes = isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", -1) & 0xFF in _PASSING
            what = f"could not write ({error})"
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.rollback()
            if not passes:
                self._lose(what)
            elif self._error is None:
                self._error = f"{self.path}: {what}; calls are refused until writing succeeds: check the disk"
                _log.error("state store: %s", self._error)
            raise StoreUnavailable(self._error) from None
        if self._error is not None and not self.lost:
            self._error = None
            _log.warning("state store: %s: writing succeeds again", self.path)

    def _write_and_sync(self, batch: list[Statement]) -> None:
        """Both, with patience. For the thread, and for the end."""
        self._connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
        try:
            self._write(batch)
        except BlockingIOError:
            locked = sqlite3.OperationalError(f"locked by another process for {_PATIENCE // 1000} s")
            locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise locked from None
        finally:
            self._connection.execute("PRAGMA busy_timeout = 0")
        self._sync()

    def _write(self, batch: list[Statement]) -> None:
        """Append to the log, all or nothing. Raises BlockingIOError, with nothing done, if the file is locked."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise BlockingIOError from None
            raise
        for bulk, run in itertools.groupby(batch, key=_is_bulk):
            if bulk:
                self._write_bulk(run)
            else:
                for sql, params in run:
                    self._connection.execute(sql, params)
        self._connection.execute("COMMIT")
        self._loose += len(batch)

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

    def _sync(self) -> None:
        """Put the log on disk; now and then copy it into the file."""
        _to_disk(self._wal)
        if self._loose >= _CHECKPOINT:
            self._loose = 0
            # The log and the file are synced in turn (SQLite, "Write-Ahead Logging", 2.1); NORMAL does that here.
            # A full disk stops the copy and loses nothing: the rows are in the log.
            with suppress(sqlite3.OperationalError):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


_to_disk = getattr(os, "fdatasync", os.fsync)


def _open_log(path: str) -> int:
    """The write-ahead log, which exists from the first write to the last connection's end; its name on disk, too."""
    log = os.open(f"{path}-wal", os.O_RDONLY)
    folder = os.open(Path(path).resolve().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return log


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
