"""The vault's memory: bounded while workflows come and go, and empty once all have expired."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.stores import sqlite
from gateway.stores.sqlite import SqliteStore
from store_harness import Clock

WORKFLOWS = 100_000


@pytest.mark.slow
async def test_a_hundred_thousand_workflows_leave_nothing(tmp_path: Path) -> None:
    """In memory only the newest are kept; after their time neither memory nor the file holds any."""
    clock = Clock()
    store = SqliteStore(f"sqlite:///{tmp_path / 'state.db'}", clock=clock)
    await store.open()
    for number in range(WORKFLOWS):
        await store.seal("t", f"w{number}", [("EMAIL", b"d", b"c")], 600)
        if number % 500 == 0:
            await store.durable()
            assert len(store._vaults) <= sqlite._VAULTS + 1000
    await store.durable()
    assert await store.seal("t", "w0", [("EMAIL", b"e", b"c"), ("EMAIL", b"d", b"c")], 600) == [2, 1]
    clock.advance(700)
    await store.sweep()
    await store.sweep()
    assert store._vaults == {}
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        store._reader.backup(copy)
        assert copy.execute("SELECT count(*) FROM sealed").fetchone() == (0,)
        assert copy.execute("SELECT count(*) FROM vaults").fetchone() == (0,)
    copy.close()
    await store.close()
