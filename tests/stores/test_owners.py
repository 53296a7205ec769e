"""The owners of ids that providers gave, in every store."""

from __future__ import annotations

import asyncio

from gateway.stores import Store
from store_harness import Backend

TTL = 3600


async def test_an_id_belongs_to_the_team_that_got_it(store: Store) -> None:
    """Byte for byte; another team's id is as unknown as one that nobody has."""
    record = bytes(range(256)) * 100
    await store.own("t", "id", record, TTL)
    assert await store.owned("t", "id") == record
    assert await store.owned("other", "id") is None
    assert await store.owned("t", "unknown") is None


async def test_the_first_record_stays(store: Store) -> None:
    """Also if several come at the same time; the record of another team is separate."""
    await asyncio.gather(*(store.own("t", "id", b"%d" % number, TTL) for number in range(10)))
    assert await store.owned("t", "id") == b"0"
    await store.own("other", "id", b"another", TTL)
    assert await store.owned("t", "id") == b"0"
    assert await store.owned("other", "id") == b"another"


async def test_a_record_has_its_time(place: Backend) -> None:
    """After its ttl, the id is unknown, and may be given again."""
    store = await place.open()
    await store.own("t", "id", b"first", TTL)
    place.clock.advance(TTL - 1)
    await store.sweep()
    await store.own("t", "id", b"second", TTL)
    assert await store.owned("t", "id") == b"first"
    place.clock.advance(2)
    assert await store.owned("t", "id") is None
    await store.own("t", "id", b"third", TTL)
    await store.sweep()
    assert await store.owned("t", "id") == b"third"
    await store.close()


async def test_a_deleted_record_is_unknown(store: Store) -> None:
    """To its team alone; the records of others stay."""
    for team in ("t", "other"):
        await store.own(team, "id", b"record", TTL)
    await store.disown("t", "id")
    await store.disown("t", "unknown")
    assert await store.owned("t", "id") is None
    assert await store.owned("other", "id") == b"record"


async def test_records_outlive_the_process(place: Backend) -> None:
    """The next process has them, until they expire."""
    store = await place.open()
    await store.own("t", "id", b"record", TTL)
    await store.close()
    store = await place.open()
    assert await store.owned("t", "id") == b"record"
    place.clock.advance(TTL + 61)
    await store.sweep()
    assert await store.owned("t", "id") is None
    await store.close()


async def test_several_records_in_one_query(place: Backend) -> None:
    """In the order of the ids; another team's, expired and unknown ids have none, and the same id may come twice."""
    store = await place.open()
    ids = [f"id{at}" for at in range(1500)]
    await store.own("t", "old", b"old", 10)
    await store.own("other", "id1", b"another", TTL)
    await store.own("t", "id0", b"\x00\xff", TTL)
    await store.own("t", "id1499", b"last", TTL)
    assert await store.owned_of("t", ["old"]) == [b"old"]
    place.clock.advance(11)
    found = await store.owned_of("t", [*ids, "old", "id0"])
    assert (found[0], found[1499], found[-1]) == (b"\x00\xff", b"last", b"\x00\xff")
    assert set(found[1:1499]) == {None}
    assert found[1500] is None
    assert await store.owned_of("t", []) == []
    await store.close()


async def test_a_record_is_replaced_if_it_is_the_expected_one(place: Backend) -> None:
    """Of several who replace the same record, one succeeds; a record that has expired is none."""
    store = await place.open()
    assert not await store.reown("t", "id", b"1", b"0", TTL)
    assert await store.owned("t", "id") is None
    assert await store.reown("t", "id", b"0", None, TTL)
    assert not await store.reown("t", "id", b"1", None, TTL)
    won = await asyncio.gather(*(store.reown("t", "id", b"w%d" % number, b"0", TTL) for number in range(10)))
    assert won.count(True) == 1
    assert await store.owned("t", "id") == b"w%d" % won.index(True)
    assert await store.owned("other", "id") is None
    place.clock.advance(TTL + 1)
    assert not await store.reown("t", "id", b"2", b"w%d" % won.index(True), TTL)
    assert await store.reown("t", "id", b"3", None, TTL)
    assert await store.owned("t", "id") == b"3"
    await store.close()
