"""The writer thread: order, group commit, and what happens when it cannot write."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.stores import StoreUnavailable
from gateway.stores.writer import Writer, connect

SCHEMA = ("CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, text TEXT)",)
PUT = "INSERT INTO rows VALUES (?, ?)"


def rows(path: Path) -> list[tuple[int, str]]:
    connection = connect(path)
    try:
        return connection.execute("SELECT * FROM rows ORDER BY number").fetchall()
    finally:
        connection.close()


async def test_after_the_barrier_rows_are_there(tmp_path: Path) -> None:
    """What was submitted before a barrier is committed after it, in order."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    mark = 0
    for number in range(100):
        mark = writer.submit(PUT, (number, "old"))
    writer.submit("UPDATE rows SET text = ? WHERE number = ?", ("new", 99))
    await writer.barrier()
    assert writer.written(mark)
    written = rows(tmp_path / "w.db")
    assert len(written) == 100
    assert written[-1] == (99, "new")
    await asyncio.to_thread(writer.close)


async def test_waiters_share_a_commit(tmp_path: Path) -> None:
    """Many barriers at once all return, also when one of them is cancelled."""
    writer = Writer(tmp_path / "w.db", SCHEMA)

    async def one(number: int) -> None:
        writer.submit(PUT, (number, ""))
        await writer.barrier()

    tasks = [asyncio.create_task(one(number)) for number in range(50)]
    await asyncio.sleep(0)
    tasks[7].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [task.cancelled() for task in tasks].count(True) == 1
    await writer.barrier()
    assert len(rows(tmp_path / "w.db")) == 50
    await asyncio.to_thread(writer.close)


async def test_a_barrier_with_nothing_to_write_returns(tmp_path: Path) -> None:
    """Nobody waits for a commit that is not needed."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    await writer.barrier()
    await asyncio.to_thread(writer.close)


async def test_closing_writes_what_is_pending(tmp_path: Path) -> None:
    """Rows that nobody waited for are on disk after close, and later barriers fail."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    for number in range(10):
        writer.submit(PUT, (number, ""))
    await asyncio.to_thread(writer.close)
    assert len(rows(tmp_path / "w.db")) == 10
    with pytest.raises(StoreUnavailable, match="closed"):
        await writer.barrier()


async def test_a_failed_write_fails_every_later_barrier(tmp_path: Path) -> None:
    """After an error nobody is told that his rows are on disk, and nothing of that batch is."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    writer.submit_all([(PUT, (1, "a")), (PUT, (1, "twice"))])
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"could not write .*restart"):
            await writer.barrier()
    with pytest.raises(StoreUnavailable):
        writer.check()
    writer.submit(PUT, (2, "b"))
    await asyncio.to_thread(writer.close)
    assert rows(tmp_path / "w.db") == []


def test_a_schema_that_is_not_sql_fails_at_once(tmp_path: Path) -> None:
    """A mistake in the schema shows where the writer is made."""
    with pytest.raises(sqlite3.OperationalError):
        Writer(tmp_path / "w.db", ("CREATE TABEL x",))


def test_the_file_is_private_and_safe(tmp_path: Path) -> None:
    """A new file is readable by its owner only, in WAL mode, synced on every commit."""
    connection = connect(tmp_path / "w.db")
    assert (tmp_path / "w.db").stat().st_mode & 0o777 == 0o600
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()
