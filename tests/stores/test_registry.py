"""Registered agents, in every store."""

from __future__ import annotations

import asyncio

from gateway.stores import ENTRIES, Store
from store_harness import Backend

TTL = 60


async def names(store: Store, team: str = "t") -> list[tuple[str, str, bytes]]:
    """Name, owner and record of each entry."""
    return [(it.name, it.owner, it.record) for it in await store.enlisted(team)]


async def test_an_entry_is_replaced_by_its_owner(store: Store) -> None:
    """Byte for byte; another agent of the team cannot take the name, another team has names of its own."""
    first, second = bytes(range(256)) * 100, b""
    assert await store.enlist("t", "b", "ann", first, TTL) == "done"
    assert await store.enlist("t", "a", "bob é", b"x", TTL) == "done"
    assert await store.enlist("t", "b", "bob é", b"stolen", TTL) == "taken"
    assert await names(store) == [("a", "bob é", b"x"), ("b", "ann", first)]
    assert await store.enlist("t", "b", "ann", second, TTL) == "done"
    assert await store.enlist("other", "b", "carl", b"y", TTL) == "done"
    assert await names(store) == [("a", "bob é", b"x"), ("b", "ann", second)]
    assert await names(store, "other") == [("b", "carl", b"y")]


async def test_an_entry_has_its_time(place: Backend) -> None:
    """Which each heartbeat begins anew; then the name is free."""
    store = await place.open()
    assert await store.enlist("t", "a", "ann", b"1", TTL) == "done"
    place.clock.advance(TTL - 1)
    assert await store.enlist("t", "a", "ann", b"2", TTL) == "done"
    (entry,) = await store.enlisted("t")
    assert round(entry.ends - place.clock()) == TTL
    place.clock.advance(TTL - 1)
    assert await store.enlist("t", "a", "bob", b"3", TTL) == "taken"
    place.clock.advance(2)
    assert await names(store) == []
    await store.sweep()
    assert await store.enlist("t", "a", "bob", b"3", TTL) == "done"
    assert await names(store) == [("a", "bob", b"3")]
    await store.close()


async def test_an_entry_is_deleted(store: Store) -> None:
    """And its name is free; other teams keep theirs."""
    for team in ("t", "other"):
        await store.enlist(team, "a", "ann", b"1", TTL)
    await store.delist("t", "a")
    await store.delist("t", "unknown")
    assert await names(store) == []
    assert await names(store, "other") == [("a", "ann", b"1")]
    assert await store.enlist("t", "a", "bob", b"2", TTL) == "done"


async def test_a_name_has_one_owner(store: Store) -> None:
    """Also if several take it at the same time."""
    said = await asyncio.gather(*(store.enlist("t", "a", f"agent-{number}", b"", TTL) for number in range(10)))
    assert sorted(said) == ["done"] + ["taken"] * 9
    assert [owner for _, owner, _ in await names(store)] == [f"agent-{said.index('done')}"]


async def test_a_team_has_a_limited_number(place: Backend) -> None:
    """Entries that ended do not count, and those that are there can still be renewed."""
    store = await place.open()
    await store.enlist("t", "old", "ann", b"", TTL - 10)
    await asyncio.gather(*(store.enlist("t", f"a{number}", "ann", b"", TTL) for number in range(ENTRIES - 1)))
    assert await store.enlist("t", "more", "ann", b"", TTL) == "full"
    assert await store.enlist("t", "a1", "ann", b"new", TTL) == "done"
    assert await store.enlist("other", "more", "ann", b"", TTL) == "done"
    place.clock.advance(TTL - 5)
    assert await store.enlist("t", "more", "ann", b"", TTL) == "done"
    await store.close()


async def test_entries_outlive_the_process(place: Backend) -> None:
    """Until they end."""
    store = await place.open()
    await store.enlist("t", "a", "ann", b"1", TTL)
    await store.close()
    store = await place.open()
    assert await names(store) == [("a", "ann", b"1")]
    await store.close()
