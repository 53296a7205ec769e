"""Writes to one SQLite file with group commit: many rows in one commit, and many waiting callers for one fsync.

The event loop appends statements to a list. Callers that need their rows on disk await `barrier()`, and all of them
share the next commit. The event loop itself writes the rows to the write-ahead log, which costs a few microseconds for
each; only the fsync runs in a thread. (If the thread also ran the statements, thread and loop would alternate at every
statement, at ten times the cost.) Statements that may take long also run in the thread, and so do all statements while
another process locks the file.

Fails closed: after a failed write, every barrier raises `StoreUnavailable`. After a temporary fault (the disk is full,
the file is locked), the rows are kept and written again every `RETRY` seconds; once they are on disk, barriers succeed
again. Any other fault (a failed fsync, a damaged or replaced file) is final: see `lost`.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import operator
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gateway.stores import StoreUnavailable
from gateway.stores.hand import Hand

Statement = tuple[str, tuple[Any, ...]]
# Rows in one statement: SQLite compiles few sizes, and a commit has few statements, mostly one of a kind.
CHUNKS = (64, 32, 16, 8, 7, 6, 5, 4, 3, 2, 1)

# Seconds after which rows are written if no caller waits for them.
LINGER = 0.05
# Seconds between two commits for each caller that waited for the first, at most MOST_SPACING: a single call hardly
# waits, and under load many calls share an fsync, which costs more CPU than writing their rows.
SPACING = 0.001
MOST_SPACING = 0.005
# Seconds for which a commit waits while other calls make progress, so that their rows share its fsync: as long as the
# event loop has work, waiting costs no time.
MOST_PATIENCE = 0.01
_MOST_ON_LOOP = 512  # rows that the loop writes itself; more would delay other calls
_PATIENCE = 5000  # milliseconds that the thread waits for another process to unlock the file
_CHECKPOINT = 4000  # rows after which a checkpoint copies the log into the file, so that the log starts over
RETRY = 1.0  # seconds between two attempts to write after a temporary fault
MOST_KEPT = 100_000  # rows kept in memory during a temporary fault; with more, the fault is final

# Primary result codes of temporary faults (sqlite.org/rescode.html). A failed fsync is not temporary: the kernel may
# have dropped the pages, and a second fsync would report success.
_DAMAGED = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
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
    """A statement for one row. Statements of the same text are combined: one statement, many rows.

    Within a commit, consecutive bulk statements are grouped by text, ordered by `rank`, with their rows in order.
    The text is `INSERT ... VALUES (?, ...)` or `DELETE ... WHERE id = ?`, and must be fast.
    """

    rank: int

    def __new__(cls, rank: int, text: str) -> Bulk:
        bulk = super().__new__(cls, text)
        bulk.rank = rank
        return bulk

    @functools.cached_property
    def width(self) -> int:
        """The number of values of a row."""
        return self.count("?")

    @functools.cached_property
    def texts(self) -> dict[int, str]:
        """The statement for each number of rows in `CHUNKS`."""
        head, _, row = self.partition(" VALUES ")
        if row:
            return {size: f"{head} VALUES {', '.join([row] * size)}" for size in CHUNKS}
        head, _, rest = self.partition(" WHERE id = ?")
        if rest or head == self:
            raise ValueError(f"no bulk form of {self!r}")
        return {size: f"{head} WHERE id IN ({', '.join('?' * size)})" for size in CHUNKS}


def connect(path: str | Path) -> sqlite3.Connection:
    """A connection with the settings that all users of the file need. A new file is readable by its owner only."""
    # An existing file must not be opened and closed here: closing any descriptor of a file releases every lock of this
    # process on it (fcntl(2)), and without SQLite's locks another process could delete the log that we write to.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    for pragma in (
        f"busy_timeout = {_PATIENCE}",  # a command-line process may hold the lock for a moment: wait
        "journal_mode = WAL",  # readers and the writer do not block each other; a commit is one append and one fsync
        "synchronous = FULL",  # fsync on every commit: a confirmed commit survives a power failure
        "journal_size_limit = 67108864",  # a burst must not leave a huge -wal file behind
        "foreign_keys = ON",  # off by default in SQLite for historical reasons only
        "trusted_schema = OFF",  # a planted view or trigger in the file must not call functions with side effects
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


class Writer:
    """Writes rows of one file in the order of submission. For use on one event loop.

    `submit` and `submit_all` never wait. The constructor raises `sqlite3.Error` if the file cannot be opened or
    `schema` is not valid. The writer itself does two things that SQLite would do at a commit: the fsync
    (`synchronous = NORMAL` only appends to the log; `_sync` follows before any caller is notified) and checkpoints.
    """

    def __init__(self, path: str | Path, schema: Sequence[str] = ()) -> None:
        self.path = str(path)
        self._connection = connect(path)
        for statement in schema:
            self._connection.execute(statement)
        self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the first read creates the log
        for pragma in ("synchronous = NORMAL", "wal_autocheckpoint = 0", "busy_timeout = 0"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._wal = _open_log(self.path)
        self._hand = Hand(f"writer {Path(path).name}")
        self._pending: list[Statement] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._served: list[asyncio.Future[None]] = []  # callers whose rows are being synced
        self._submitted = self._committed = 0
        self._flying = 0  # rows that are being synced
        self._loose = 0  # rows since the last checkpoint
        self._due = 0.0
        self._latest = 0.0  # when a commit that waits begins at the latest
        self._noted = 0  # `_submitted` at the last look
        self._timer: asyncio.Handle | None = None
        self._batch: list[Statement] = []  # the rows being written, kept until they are on disk
        self._error: str | None = None
        self.lost = False
        """The fault is final: the process must be restarted."""

    def submit(self, sql: str, params: tuple[Any, ...]) -> int:
        """Enqueue one statement; returns its mark. After a final fault, the statement is dropped and barriers fail."""
        if self._timer is None or self._error is not None:
            return self.submit_all(((sql, params),))
        self._pending.append((sql, params))  # as `submit_all` does where nothing else is to be done
        self._submitted += 1
        return self._submitted

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
        """Whether the statements up to this mark are on disk."""
        return mark <= self._committed

    async def barrier(self) -> None:
        """Return after the commit of everything submitted before. Raises `StoreUnavailable`."""
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
        """Write nothing more: the fault is final. To be called on the event loop; waiting callers fail immediately."""
        if not self.lost:
            self._lose(reason)
            self._pending.clear()
            waiters, self._waiters = self._waiters, []
            _resolve(waiters, self._error)

    def _lose(self, reason: str) -> None:
        self._error = f"{self.path}: {reason}; repair this and restart the gateway"
        self.lost = True
        _log.error("state store: %s", self._error)

    def close(self) -> None:
        """Write pending rows and wait for the disk; everything after that fails."""
        self._hand.close()
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
        now = time.monotonic()
        wait = self._due - now
        self._noted, self._latest = self._submitted, max(self._due, now) + MOST_PATIENCE
        self._timer = loop.call_later(wait, self._look, loop) if wait > 0 else loop.call_soon(self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, unless calls made progress since the last turn of the loop: then more rows are about to come."""
        if self._submitted == self._noted or time.monotonic() > self._latest:
            self._begin()
        else:
            self._noted = self._submitted
            self._timer = loop.call_soon(self._look, loop)

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
        self._hand.do(asyncio.get_running_loop(), functools.partial(self._guarded, rest), self._answer)

    def _write_here(self, batch: list[Statement]) -> Callable[[], None]:
        """Write rows on the event loop if they are few and fast; returns the work that is left for the thread."""
        if self._error is None and len(batch) <= _MOST_ON_LOOP and _all_bulk(batch):
            try:
                self._guarded(self._write, batch, True)
            except BlockingIOError:
                pass  # another process writes; the thread can wait for it
            else:
                return self._sync
        return functools.partial(self._write_and_sync, batch)

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
        """Do the work. After a fault, `_error` keeps every caller from being told that its rows are on disk."""
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
        """Write and sync, with a busy timeout. For the thread, and for `close`."""
        self._connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
        try:
            self._write(batch, _all_bulk(batch))
        except BlockingIOError:
            locked = sqlite3.OperationalError(f"locked by another process for {_PATIENCE // 1000} s")
            locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise locked from None
        finally:
            self._connection.execute("PRAGMA busy_timeout = 0")
        self._sync()

    def _write(self, batch: list[Statement], bulk: bool) -> None:
        """Append to the log, all or nothing. Raises BlockingIOError, without any change, if the file is locked.

        `bulk`: whether all statements are bulk statements.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise BlockingIOError from None
            raise
        if bulk:
            self._write_bulk(batch)
        else:
            for same, run in itertools.groupby(batch, key=_is_bulk):
                if same:
                    self._write_bulk(run)
                else:
                    for sql, params in run:
                        self._connection.execute(sql, params)
        self._connection.execute("COMMIT")
        self._loose += len(batch)

    def _write_bulk(self, run: Iterable[Statement]) -> None:
        kinds: dict[str, list[Any]] = {}  # all values of all rows, one after another
        for sql, params in run:
            if sql in kinds:
                kinds[sql] += params
            else:
                kinds[sql] = [*params]
        execute = self._connection.execute
        for sql in sorted(kinds, key=_rank):
            texts: dict[int, str] = sql.texts  # type: ignore[attr-defined]
            values = kinds[sql]
            width = sql.width  # type: ignore[attr-defined]
            count, at = len(values) // width, 0
            if count in texts:
                execute(texts[count], values)
                continue
            for size in CHUNKS:
                while count - at >= size:
                    execute(texts[size], values[at * width : (at + size) * width])
                    at += size

    def _sync(self) -> None:
        """Sync the log; after `_CHECKPOINT` rows, copy it into the file."""
        _to_disk(self._wal)
        if self._loose >= _CHECKPOINT:
            self._loose = 0
            # The log and the file are synced in turn (SQLite, "Write-Ahead Logging", 2.1); NORMAL does that here.
            # If the disk is full, the copy fails but no row is lost: the rows are in the log.
            with suppress(sqlite3.OperationalError):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


_to_disk = getattr(os, "fdatasync", os.fsync)


@contextmanager
def reading(path: str | Path, writer: Writer | None) -> Iterator[None]:
    """Reads of a file. Raises `StoreUnavailable`; damage gives the writer up, because no read will succeed again."""
    try:
        yield
    except sqlite3.Error as error:
        if writer is not None and getattr(error, "sqlite_errorcode", -1) & 0xFF in _DAMAGED:
            writer.give_up(f"the file or its log was damaged, truncated or overwritten ({error})")
        raise StoreUnavailable(f"{path}: could not read ({error})") from error


def _open_log(path: str) -> int:
    """A descriptor of the write-ahead log, which exists while a connection is open; syncs the folder with its name."""
    log = os.open(f"{path}-wal", os.O_RDONLY)
    folder = os.open(Path(path).resolve().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return log


def _all_bulk(batch: list[Statement]) -> bool:
    return all([type(sql) is Bulk for sql, _ in batch])  # noqa: C419  (a generator would take twice as long)


def _is_bulk(statement: Statement) -> bool:
    return isinstance(statement[0], Bulk)


_rank = operator.attrgetter("rank")


def _resolve(waiters: list[asyncio.Future[None]], error: str | None) -> None:
    for waiter in waiters:
        if waiter.done():  # cancelled
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(StoreUnavailable(error))
