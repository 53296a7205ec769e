"""A store recovers from temporary write faults; without its file, it refuses and asks for a restart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.amounts import Reservation
from gateway.stores import StoreUnavailable
from gateway.stores import writer as writing
from gateway.stores.clock import SteadyClock
from gateway.stores.counters import Bucket
from gateway.stores.record import MICRO
from gateway.stores.sqlite import SqliteStore
from gateway.stores.watch import Watch
from gateway.stores.writer import Bulk, Writer, connect
from store_harness import ask, quota

SCHEMA = ("CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, text TEXT)",)
PUT = Bulk(0, "INSERT INTO rows VALUES (?, ?)")


def rows(path: Path) -> list[int]:
    connection = connect(path)
    try:
        return [number for (number,) in connection.execute("SELECT number FROM rows ORDER BY number")]
    finally:
        connection.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries are quick, without waiting for locks."""
    monkeypatch.setattr(writing, "RETRY", 0.01)
    monkeypatch.setattr(writing, "_PATIENCE", 1)


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not done():  # noqa: ASYNC110  (another thread's work is waited for)
            await asyncio.sleep(0.005)


async def test_a_full_disk_that_has_room_again(tmp_path: Path) -> None:
    """Rows that found no room are written later, once and in order; barriers fail until then."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    writer.submit(PUT, (0, "first"))
    await writer.barrier()
    (pages,) = writer._connection.execute("PRAGMA page_count").fetchone()
    writer._connection.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(1, 40):
        writer.submit(PUT, (number, "x" * 2000))
    with pytest.raises(StoreUnavailable, match=r"could not write .*disk"):
        await writer.barrier()
    assert writer.failing
    assert not writer.lost
    mark = writer.submit(PUT, (40, "settled meanwhile"))
    with pytest.raises(StoreUnavailable):
        await writer.barrier()
    writer._connection.execute("PRAGMA max_page_count = 100000")
    await _until(lambda: not writer.failing)
    await writer.barrier()
    assert writer.written(mark)
    assert rows(tmp_path / "w.db") == list(range(41))
    writer.close()


async def test_a_lock_that_is_let_go(tmp_path: Path) -> None:
    """Another process locks the file longer than the writer waits; afterwards everything is written."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    other = connect(tmp_path / "w.db")
    other.execute("BEGIN IMMEDIATE")
    writer.submit(PUT, (1, "a"))
    with pytest.raises(StoreUnavailable, match="locked"):
        await writer.barrier()
    other.execute("ROLLBACK")
    other.close()
    await _until(lambda: not writer.failing)
    assert rows(tmp_path / "w.db") == [1]
    writer.close()


async def test_a_fault_that_will_not_pass_is_final(tmp_path: Path) -> None:
    """An invalid statement is not repeated forever."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    writer.submit_all([(PUT, (1, "a")), (PUT, (1, "twice"))])
    with pytest.raises(StoreUnavailable, match="restart"):
        await writer.barrier()
    assert writer.lost
    writer.close()


async def test_rows_kept_in_memory_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that stays locked does not fill the memory: the fault becomes final."""
    monkeypatch.setattr(writing, "MOST_KEPT", 100)
    writer = Writer(tmp_path / "w.db", SCHEMA)
    other = connect(tmp_path / "w.db")
    other.execute("BEGIN IMMEDIATE")
    writer.submit(PUT, (0, ""))
    with pytest.raises(StoreUnavailable):
        await writer.barrier()
    for number in range(1, 200):
        writer.submit(PUT, (number, ""))
    assert writer.lost
    other.close()
    writer.close()


def _delete(path: Path) -> None:
    path.unlink()


def _replace(path: Path) -> None:
    _other(path.with_name("other.db"))
    os.replace(path.with_name("other.db"), path)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _cut(path: Path) -> None:
    os.truncate(path, 4096)


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(8192))


def _copy_over(path: Path) -> None:
    _other(path.with_name("other.db"))
    with path.open("r+b") as file:
        file.write(path.with_name("other.db").read_bytes())


def _delete_log(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def _other(path: Path) -> None:
    """The file of another gateway, larger than the file that it overwrites."""
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE filler (text)")
    made.execute("INSERT INTO filler VALUES (zeroblob(400000))")
    made.commit()
    made.close()


@pytest.mark.parametrize("harm", [_delete, _replace, _empty, _cut, _overwrite, _copy_over, _delete_log])
async def test_a_file_that_goes_away_under_the_store(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """After two checks, no call is admitted, and the message says what happened to which file."""
    path = tmp_path / "state.db"
    store = SqliteStore(f"sqlite:///{path}")
    await store.open()
    assert isinstance(await store.reserve(ask(quota(100, 10))), Reservation)
    await store.durable()
    harm(path)
    with contextlib.suppress(StoreUnavailable):  # the first look may not yet be sure
        await store.refresh()
    with pytest.raises(StoreUnavailable, match=r"state\.db: .*(deleted|replaced|truncated|overwritten).*restart"):
        await store.refresh()
    with pytest.raises(StoreUnavailable, match="restart"):
        await store.reserve(ask(quota(100, 10)))
    assert store.writer.lost
    await store.close()


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[tuple[Writer, Watch]]:
    """A writer, and the watch of its file."""
    writer = Writer(tmp_path / "w.db", SCHEMA)
    watch = Watch(writer)
    yield writer, watch
    writer.close()
    watch.close()


async def test_a_file_in_use_is_never_suspect(
    watched: tuple[Writer, Watch], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Growth, checkpoints and other processes are not faults."""
    monkeypatch.setattr(writing, "_CHECKPOINT", 20)
    writer, watch = watched
    for number in range(400):
        writer.submit(PUT, (number, "x" * 3000))
        await writer.barrier()
        watch.look()
        if number % 50 == 0:
            shutil.copy(tmp_path / "w.db", tmp_path / "copy.db")
            assert rows(tmp_path / "w.db")[-1] == number
    assert watch._problem() == ""
    assert not writer.lost


async def test_a_copy_from_before_the_start_is_no_longer_the_file(tmp_path: Path) -> None:
    """Each start has a stamp of its own; where several processes watch a file, the stamp is theirs together."""
    for alone in (True, False):
        path = tmp_path / f"{alone}.db"
        for _ in range(2):
            writer = Writer(path, SCHEMA)
            first = Watch(writer, alone=alone)
            copy = path.read_bytes()
            second = Watch(writer, alone=alone)
            assert (first._problem() == "") is not alone
            with path.open("r+b") as file:
                file.write(copy)
            assert (second._problem() == "") is not alone
            writer.close()
            first.close()
            second.close()


async def test_processes_that_start_together_have_one_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the file of one is suspect as soon as the other has written its stamp."""
    monkeypatch.setattr(writing, "_PATIENCE", 5000)
    path, begun = tmp_path / "w.db", threading.Event()
    writer = Writer(path, SCHEMA)
    watches: list[Watch] = []
    other = threading.Thread(target=lambda: watches.append(Watch(writer)))

    def drawn(below: int) -> int:
        if not begun.is_set():
            begun.set()
            other.start()
            other.join(0.1)  # it has to wait for the stamp of the first
        return below - 1 - len(watches)

    monkeypatch.setattr("gateway.stores.watch.secrets.randbelow", drawn)
    watches.insert(0, Watch(writer))
    other.join()
    assert [watch._problem() for watch in watches] == ["", ""]
    writer.close()
    for watch in watches:
        watch.close()


async def test_a_reader_during_the_start_does_not_make_the_file_suspect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as `meshgate keys list`: the stamp is in the log until the reader has gone."""
    monkeypatch.setattr(writing, "_PATIENCE", 1)
    writer = Writer(tmp_path / "w.db", SCHEMA)
    with contextlib.closing(connect(tmp_path / "w.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        watch = Watch(writer, alone=True)
        assert watch._problem() == ""
        reader.execute("COMMIT")
    with contextlib.closing(connect(tmp_path / "w.db")) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert watch._problem() == ""
    writer.close()
    watch.close()


def test_the_clock_never_goes_back() -> None:
    """The clock follows the wall clock forward; if that is set back, the monotonic clock continues."""
    wall, steady = [1000.0], [5.0]
    clock = SteadyClock(lambda: wall[0], lambda: steady[0])
    assert clock() == 1000.0
    wall[0], steady[0] = 400.0, 7.0
    assert clock() == 1002.0
    wall[0], steady[0] = 5000.0, 8.0
    assert clock() == 5000.0


def test_a_bucket_of_the_future_refills_from_now_on() -> None:
    """A bucket that was written before the clock was set back is not stuck until the clock has caught up."""
    bucket = Bucket(level=0.0, at=9000 * MICRO, limit=10, refill=1.0)
    bucket.refill_to(1000 * MICRO, 10, 1.0)
    assert bucket.level == 0.0
    bucket.refill_to(1003 * MICRO, 10, 1.0)
    assert bucket.level == pytest.approx(3.0)


class Shaky:
    """A connection on which some statements fail, as they do on a full disk."""

    def __init__(self, connection: sqlite3.Connection, fails: Iterator[bool]) -> None:
        self._connection = connection
        self._fails = fails

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        if not sql.startswith("PRAGMA") and next(self._fails, False):
            fault = sqlite3.OperationalError("database or disk is full")
            fault.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise fault
        return self._connection.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=1, max_size=6),
    st.lists(st.booleans(), max_size=40),
)
def test_what_failed_midway_is_applied_once(batches: list[list[int]], fails: list[bool]) -> None:
    """If any statement of a transaction fails, also BEGIN or COMMIT, nothing is lost or doubled.

    Each statement adds to a counter, so that one applied twice would be seen.
    """

    async def main(folder: Path) -> list[int]:
        schema = ("CREATE TABLE IF NOT EXISTS counts (id INTEGER PRIMARY KEY, n INTEGER)", "DELETE FROM counts")
        writer = Writer(folder / "w.db", [*schema, *(f"INSERT INTO counts VALUES ({at}, 0)" for at in range(3))])
        writer._connection = Shaky(writer._connection, iter(fails))  # type: ignore[assignment]
        for batch in batches:
            writer.submit_all([("UPDATE counts SET n = n + 1 WHERE id = ?", (at,)) for at in batch])
            with contextlib.suppress(StoreUnavailable):
                await writer.barrier()
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(StoreUnavailable):
                    await writer.barrier()
                    break
                await asyncio.sleep(0.002)
        writer.close()
        connection = connect(folder / "w.db")
        found = [n for (n,) in connection.execute("SELECT n FROM counts ORDER BY id")]
        connection.close()
        return found

    patch = pytest.MonkeyPatch()
    patch.setattr(writing, "RETRY", 0.001)
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(main(Path(folder)))
    finally:
        patch.undo()
    assert found == [sum(batch.count(at) for batch in batches) for at in range(3)]
