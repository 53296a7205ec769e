"""Properties of the SQLite store: crash safety, one process per file, concurrent commands, memory."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import sys
import tracemalloc
from pathlib import Path

import pytest

from gateway.amounts import Reservation
from gateway.errors import ConfigError
from gateway.stores import Key, StoreUnavailable
from gateway.stores import sqlite as sqlite_module
from gateway.stores.sqlite import SqliteStore
from store_harness import Clock, ask, bucket, quota, refused, standing, take

# Settles ten calls, leaves ten in flight, and dies between two breaths once they are said to be durable.
_DOOMED = """
import asyncio, os, signal, sys
from gateway.amounts import Ask, Debit
from gateway.stores import sqlite as sqlite_module
from gateway.stores.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    for number in range(20):
        debits = (Debit("tokens", "tokens", 100, 10**6, "quotas.tokens"),)
        reservation = await store.reserve(Ask(f"c{number}", "t", "w", "a", debits, None, 86400, 600))
        if number < 10:
            await store.settle(reservation, {"tokens": 7}, "settled")
    await store.durable()
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'state.db'}"


async def test_sigkill_loses_nothing_that_was_durable(tmp_path: Path) -> None:
    """Killed with SIGKILL after durable(): settled usage remains, open reservations lapse at their estimates."""
    here = {**os.environ, "PYTHONPATH": os.getcwd()}
    doomed = await asyncio.create_subprocess_exec(sys.executable, "-c", _DOOMED, url(tmp_path), env=here)
    assert await doomed.wait() == -signal.SIGKILL
    store = SqliteStore(url(tmp_path))
    await store.open()
    assert await standing(store) == (10 * 7 + 10 * 100, 0, 10 * 100)
    await store.close()


async def test_killed_at_any_moment_charges_each_call_once(tmp_path: Path) -> None:
    """For any surviving prefix of the commits, each call is charged its usage or its estimate, never both."""
    clock = Clock()
    store = SqliteStore(url(tmp_path), clock=clock)
    await store.open()
    charged = {0}
    for _ in range(10):
        reservation = await take(store, quota(10**6, 100))
        await store.durable()
        copy = tmp_path / "copy.db"
        with sqlite3.connect(tmp_path / "state.db") as source, sqlite3.connect(copy) as target:
            source.backup(target)  # what a crash at this moment would leave on disk
        source.close()
        target.close()
        crashed = SqliteStore(f"sqlite:///{copy}", clock=clock)
        await crashed.open()
        used, held, _ = await standing(crashed)
        charged.add(used)
        assert held == 0
        await crashed.close()
        copy.unlink()
        await store.settle(reservation, {"tokens": 7}, "settled")
    await store.close()
    assert charged == {0, *(7 * number + 100 for number in range(10))}


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """The error for a file in use names its process and the setting to change; once released, the file opens."""
    first = SqliteStore(url(tmp_path))
    await first.open()
    second = SqliteStore(url(tmp_path))
    with pytest.raises(ConfigError, match=rf"pid {os.getpid()}.*state: redis://"):
        await second.open()
    await first.close()
    await second.open()
    await second.close()


async def test_the_command_line_works_beside_a_gateway(tmp_path: Path) -> None:
    """Keys and freezes made by another process reach the running gateway; its counters are visible to that process."""
    gateway, cli = SqliteStore(url(tmp_path)), SqliteStore(url(tmp_path), role="cli")
    await gateway.open()
    await cli.open()
    version = await gateway.keys_version()
    await cli.add_key(Key("k", "00" * 32, "bot", "t"))
    assert await gateway.keys_version() != version
    reservation = await take(gateway, quota(1000, 300))
    await gateway.durable()
    assert await standing(cli) == (0, 300, 0)

    await cli.freeze("t", "w", "by hand")
    seen = await cli.workflow("t", "w")
    assert seen is not None
    assert seen.state == "frozen"
    await gateway.refresh()
    assert (await refused(gateway, quota(1000, 1))).reason == "frozen"
    await gateway.settle(reservation, {"tokens": 40}, "settled")
    assert await cli.resume("t", "w")
    await gateway.refresh()
    await take(gateway, quota(1000, 1))
    assert [it.used["tokens"] for it in await gateway.workflows("t", 5)] == [40]
    await cli.close()
    await gateway.close()


# Opens the file beside a gateway, shows what a workflow has used, and leaves.
_VISITOR = """
import asyncio, sys
from gateway.stores import sqlite as sqlite_module
from gateway.stores.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], role="cli")
    await store.open()
    workflow = await store.workflow("t", "w")
    print(workflow and workflow.used["tokens"])
    await store.close()

asyncio.run(main())
"""


async def test_another_process_that_leaves_takes_nothing_along(tmp_path: Path) -> None:
    """The last to leave removes SQLite's log; while a gateway has the file open, that is never the command line."""
    store = SqliteStore(url(tmp_path))
    await store.open()

    async def visit() -> str:
        command = (sys.executable, "-c", _VISITOR, url(tmp_path))
        visitor = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        out, _ = await visitor.communicate()
        return out.decode().strip()

    assert await visit() == "None"
    await store.settle(await take(store, quota(1000, 10)), {"tokens": 7}, "settled")
    await store.durable()
    assert await visit() == "7"
    await store.close()


async def test_orders_left_while_no_gateway_runs_are_taken_over(tmp_path: Path) -> None:
    """A freeze by a command without a running gateway applies at the next start."""
    cli = SqliteStore(url(tmp_path), role="cli")
    await cli.open()
    await cli.freeze("t", "w", "by hand")
    await cli.close()
    gateway = SqliteStore(url(tmp_path))
    await gateway.open()
    assert (await refused(gateway, quota(1000, 1))).reason == "frozen"
    await gateway.close()


async def test_memory_and_file_are_bounded(tmp_path: Path) -> None:
    """Idle workflows leave memory and load again unchanged; expired workflows leave the file; full buckets both."""
    clock = Clock()
    store = SqliteStore(url(tmp_path), clock=clock)
    await store.open()
    for number in range(50):
        reservation = await take(store, quota(1000, 10), bucket(10, 1, key=f"agent:{number}"), cid=f"w{number}")
        await store.settle(reservation, {}, "settled")
    await take(store, quota(1000, 10), cid="busy")
    await store.durable()
    clock.advance(50)
    await store.sweep()
    clock.advance(700)
    await store.sweep()
    assert len(store._counters.records) <= 1
    assert not store._counters.buckets
    assert await standing(store, "w7") == (10, 0, 0)
    await store.settle(await take(store, quota(1000, 10), cid="w7"), {}, "settled")
    assert await standing(store, "w7") == (20, 0, 0)
    clock.advance(86401)
    await store.sweep()
    await store.sweep()
    assert await store.workflows(None, 100) == []
    assert store._reader.execute("SELECT count(*) FROM workflows").fetchone() == (0,)
    await store.close()


async def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """A file of a later release is not touched."""
    store = SqliteStore(url(tmp_path))
    await store.open()
    await store.close()
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("UPDATE meta SET value = 99 WHERE name = 'schema'")
    connection.commit()
    connection.close()
    with pytest.raises(ConfigError, match="schema version 99"):
        await SqliteStore(url(tmp_path)).open()


async def test_when_it_cannot_write_it_admits_nothing(tmp_path: Path) -> None:
    """A failed write makes the next reserve, the barrier and the ping fail."""
    store = SqliteStore(url(tmp_path))
    await store.open()
    assert isinstance(await store.reserve(ask(quota(10, 1))), Reservation)
    store.writer.submit("INSERT INTO nowhere VALUES (1)", ())
    with pytest.raises(StoreUnavailable):
        await store.durable()
    for doomed in (store.reserve(ask(quota(10, 1))), store.ping()):
        with pytest.raises(StoreUnavailable):
            await doomed
    await store.close()


async def test_workflows_in_memory_are_bounded_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep keeps the most recent workflows and those with calls in flight; the others are loaded again, exact."""
    monkeypatch.setattr(sqlite_module, "_RECORDS", 8)
    clock = Clock()
    store = SqliteStore(url(tmp_path), clock=clock)
    await store.open()
    in_flight = await take(store, quota(1000, 5), cid="busy")
    for number in range(40):
        clock.advance(0.001)
        await store.settle(await take(store, quota(1000, 5), cid=f"w{number}"), {"tokens": number}, "settled")
    await store.durable()
    await store.sweep()
    kept = {cid for _, cid in store._counters.records}
    assert kept == {"busy", *(f"w{number}" for number in range(34, 40))}
    await store.settle(in_flight, {"tokens": 7}, "settled")
    assert await standing(store, cid="busy") == (7, 0, 0)
    for number in range(40):
        await store.settle(await take(store, quota(1000, 5), cid=f"w{number}"), {"tokens": 1}, "settled")
        assert await standing(store, cid=f"w{number}") == (number + 1, 0, 0)
    await store.close()


async def test_the_record_of_a_workflow_is_small(tmp_path: Path) -> None:
    """What a workflow keeps beside its counters holds no oversized buffer of an encoder."""
    store = SqliteStore(url(tmp_path), clock=Clock())
    await store.open()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(500):
            await store.settle(await take(store, quota(1000, 5), cid=f"w{number}"), {"tokens": 1}, "settled")
        await store.durable()
        await take(store, quota(1000, 5), cid="last")  # the thread of the writer holds its last batch until the next
        await store.durable()
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken < 500 * 2500
    await store.close()
