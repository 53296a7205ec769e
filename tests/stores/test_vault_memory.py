"""The vault's memory: bounded while workflows come and go, and empty once all have expired."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets import examples
from gateway.stores import vault
from gateway.stores.sqlite import SqliteStore
from gateway.stores.vault import Vault, Vaults
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
            assert store._vaults.size <= vault.MOST + 1000 * 2000
    await store.durable()
    assert await store.seal("t", "w0", [("EMAIL", b"e", b"c"), ("EMAIL", b"d", b"c")], 600) == [2, 1]
    clock.advance(700)
    await store.sweep()
    await store.sweep()
    assert (len(store._vaults), store._vaults.size) == (0, 0)
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        store._reader.backup(copy)
        assert copy.execute("SELECT count(*) FROM sealed").fetchone() == (0,)
        assert copy.execute("SELECT count(*) FROM vaults").fetchone() == (0,)
    copy.close()
    await store.close()


@settings(deadline=None, max_examples=examples(50, 1000))
@given(steps=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=60))
def test_what_is_kept_is_counted(steps: list[tuple[int, int, bool]]) -> None:
    """Sizes add up after any steps, the most recently used stay, and what is not written is never dropped."""
    marks: set[int] = set()
    vaults = Vaults(lambda mark: mark not in marks, most=20_000)
    for number, (who, added, written) in enumerate(steps):
        name = ("t", f"w{who}")
        one = vaults.take(name)
        if one is None:
            one = Vault()
            vaults.put(name, one)
        one.assign([("EMAIL", f"{number} {at}".encode(), b"c" * 500) for at in range(added)])
        one.spell([(f"{number} {at}".encode(), b"c" * 500) for at in range(added)], range(added))
        one.mark = number + 1
        if not written:
            marks.add(one.mark)
        vaults.put(name, one)
        kept = list(vaults._vaults.values())
        assert vaults.size == sum(it.weight for it in kept)
        assert vaults.size <= 20_000 or all(it.mark in marks for it in kept[:-1])
    marks.clear()
    vaults.drop_ended(1)
    assert (len(vaults), vaults.size) == (0, 0)
