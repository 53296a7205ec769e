"""The writer: order, group commit, and what happens when it cannot write."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.stores import StoreUnavailable
from gateway.stores import writer as writing
from gateway.stores.writer import Bulk, Writer, connect

SCHEMA = ("CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, text TEXT)",)
PUT = "INSERT INTO rows VALUES (?, ?)"


def rows(path: Path) -> list[tuple[int, str]]:
    connection = connect(path)
    try:
        return connection.execute("SELECT * FROM rows ORDER BY number").fetchall()
    finally:
        connection.close()


async def test_after_the_barrier_rows_are_there(tmp_path: Path) -> None:
    """Rows submitted before a barrier are committed after it, in order."""
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
    writer.close()


async def test_waiters_share_a_commit(tmp_path: Path) -> None:
    """Many concurrent barriers all return, even if one is cancelled."""
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
    writer.close()


@pytest.mark.parametrize("patience", [0.0, 3600.0], ids=["over", "left"])
async def test_a_commit_waits_while_rows_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float) -> None:
    """Rows of calls that make progress share the commit, as long as there is patience; then the commit begins."""
    monkeypatch.setattr(writing, "MOST_PATIENCE", patience)
    writer = Writer(tmp_path / "w.db", SCHEMA)
    writer.submit(PUT, (0, ""))
    first = asyncio.create_task(writer.barrier())
    number = 0
    while not first.done() and number < 200:
        await asyncio.sleep(0)
        number += 1
        writer.submit(PUT, (number, ""))
        if not patience:
            await asyncio.sleep(0.001)
    assert first.done() == (not patience)
    await first
    assert len(rows(tmp_path / "w.db")) >= (201 if patience else 1)
    writer.close()
    assert len(rows(tmp_path / "w.db")) == number + 1


async def test_a_barrier_with_nothing_to_write_returns(tmp_path: Path) -> None:
    """A barrier without pending rows returns immediately."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    async with asyncio.timeout(10):
        await writer.barrier()
    assert not writer.failing
    writer.close()


async def test_closing_writes_what_is_pending(tmp_path: Path) -> None:
    """Rows without a barrier are on disk after close, and later barriers fail."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    for number in range(10):
        writer.submit(PUT, (number, ""))
    writer.close()
    assert len(rows(tmp_path / "w.db")) == 10
    with pytest.raises(StoreUnavailable, match="closed"):
        await writer.barrier()


async def test_a_failed_write_fails_every_later_barrier(tmp_path: Path) -> None:
    """After an error, barriers fail, and no row of the batch is on disk."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    writer.submit_all([(PUT, (1, "a")), (PUT, (1, "twice"))])
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"could not write .*restart"):
            await writer.barrier()
    with pytest.raises(StoreUnavailable):
        writer.check()
    writer.submit(PUT, (2, "b"))
    writer.close()
    assert rows(tmp_path / "w.db") == []


def test_a_schema_that_is_not_sql_fails_at_once(tmp_path: Path) -> None:
    """A mistake in the schema is raised by the constructor."""
    with pytest.raises(sqlite3.OperationalError):
        Writer(tmp_path / "w.db", ("CREATE TABEL x",))


def test_the_file_is_private_and_safe(tmp_path: Path) -> None:
    """A new file is readable by its owner only, in WAL mode, synced on every commit."""
    connection = connect(tmp_path / "w.db")
    assert (tmp_path / "w.db").stat().st_mode & 0o777 == 0o600
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()


async def test_another_process_that_writes_is_waited_for(tmp_path: Path) -> None:
    """The file is locked for a moment: rows wait, the loop does not."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    other = connect(tmp_path / "w.db")
    other.execute("BEGIN IMMEDIATE")
    writer.submit(Bulk(0, PUT), (1, "late"))
    barrier = asyncio.create_task(writer.barrier())
    while not writer._flying:  # noqa: ASYNC110  (the loop's own turns are what is waited for)
        await asyncio.sleep(0)
    other.execute("INSERT INTO rows VALUES (2, 'first')")
    other.execute("COMMIT")
    other.close()
    await barrier
    assert rows(tmp_path / "w.db") == [(1, "late"), (2, "first")]
    writer.close()


async def test_the_log_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is regularly copied into the file, so it does not grow without limit."""
    monkeypatch.setattr("gateway.stores.writer._CHECKPOINT", 50)
    writer = Writer(tmp_path / "w.db", SCHEMA)
    for number in range(2000):
        writer.submit(Bulk(0, PUT), (number, "x" * 100))
        if number % 10 == 9:
            await writer.barrier()
    log = (tmp_path / "w.db-wal").stat().st_size
    assert log < 500_000  # 200 commits append a page or two each: 1.6 MB if it never started over
    assert len(rows(tmp_path / "w.db")) == 2000
    writer.close()


async def test_nobody_is_told_before_the_disk_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that fails is a write that failed."""

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    writer = Writer(tmp_path / "w.db", SCHEMA)
    monkeypatch.setattr("gateway.stores.writer._to_disk", broken)
    mark = writer.submit(Bulk(0, PUT), (1, "a"))
    with pytest.raises(StoreUnavailable, match="could not write"):
        await writer.barrier()
    assert not writer.written(mark)
    with pytest.raises(StoreUnavailable):
        writer.check()
    writer.close()


async def test_rows_that_nobody_waits_for_are_written_too(tmp_path: Path) -> None:
    """They linger, and then they are on disk."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    mark = writer.submit(Bulk(0, PUT), (1, "a"))
    async with asyncio.timeout(10):
        while not writer.written(mark):  # noqa: ASYNC110  (nothing tells: that is the point)
            await asyncio.sleep(0.01)
    assert rows(tmp_path / "w.db") == [(1, "a")]
    writer.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 70)), min_size=1, max_size=12), st.integers(0, 12))
def test_at_any_crash_point_the_file_holds_whole_submissions_in_order(steps: list[tuple[bool, int]], stop: int) -> None:
    """All confirmed rows are on disk, and the rows on disk are a prefix of the submitted rows."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "w.db"
        confirmed, ends = asyncio.run(_until(path, steps, stop))
        found = [number for number, _ in rows(path)]
        assert found == list(range(len(found)))
        assert len(found) >= confirmed
        assert len(found) in ends


async def _until(path: Path, steps: list[tuple[bool, int]], stop: int) -> tuple[int, set[int]]:
    """Submit groups, some awaited; leave after `stop` of them without closing. Rows confirmed, and where groups end."""
    writer = Writer(path, SCHEMA)
    bulk, at, confirmed, ends = Bulk(0, PUT), 0, 0, {0}
    for waits, size in steps[:stop]:
        writer.submit_all([(bulk if size % 2 else PUT, (number, "")) for number in range(at, at + size)])
        at += size
        ends.add(at)
        if waits:
            await writer.barrier()
            confirmed = at
    return confirmed, ends


async def test_a_process_beside_us_leaves_our_log_alone(tmp_path: Path) -> None:
    """Two connections here, and a short connection of another process: later writes survive a crash."""
    path = tmp_path / "w.db"
    reader = connect(path)
    writer = Writer(path, SCHEMA)
    writer.submit(Bulk(0, PUT), (1, "a"))
    await writer.barrier()
    beside = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM rows').fetchone()"
    done = await asyncio.create_subprocess_exec(sys.executable, "-c", beside, str(path))
    assert await done.wait() == 0
    writer.submit(Bulk(0, PUT), (2, "b"))
    await writer.barrier()
    copy = tmp_path / "crashed.db"
    for name in ("", "-wal"):  # the files as a crash would leave them
        (tmp_path / f"crashed.db{name}").write_bytes((tmp_path / f"w.db{name}").read_bytes())
    assert rows(copy) == [(1, "a"), (2, "b")]
    reader.close()
    writer.close()
