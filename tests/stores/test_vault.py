"""The vault of every store: it lives as long as the record of its workflow, and keeps spellings within bounds."""

from __future__ import annotations

from pathlib import Path

from gateway.amounts import STRIPPED, Reservation
from gateway.stores import SPELLINGS, SPELLINGS_SIZE, Store
from store_harness import Backend, ask, backend, bucket, quota, take

VALUE = [("EMAIL", b"d1", b"c1")]
OTHER = [("EMAIL", b"d2", b"c2")]


async def call(store: Store, ttl: int = 86400, cid: str = "w") -> Reservation:
    """One call of the workflow, from its reservation to its end."""
    reservation = await take(store, quota(100, 1), ttl=ttl, cid=cid)
    await store.settle(reservation, {"tokens": 1}, "settled")
    return reservation


async def test_numbers_stand_as_long_as_the_workflow_is_called(store: Store, place: Backend) -> None:
    """Calls without personal data keep the numbers, too; numbers end with the record of the workflow."""
    await call(store, ttl=100)
    assert await store.seal("t", "w", [*VALUE, *OTHER], 100) == [1, 2]
    await store.spell("t", "w", [(b"s", b"one")], 100)
    for _ in range(5):
        place.clock.advance(80)
        await store.sweep()
        await call(store, ttl=100)
    assert await store.seal("t", "w", [("EMAIL", b"d3", b"c3"), *OTHER], 100) == [3, 2]
    assert await store.spellings("t", "w", [b"s", b"none"]) == [b"one", None]
    place.clock.advance(101)
    await call(store, ttl=100)
    assert await store.seal("t", "w", OTHER, 100) == [1]
    assert await store.spellings("t", "w", [b"s"]) == [None]


async def test_what_has_expired_is_gone_after_a_restart(place: Backend) -> None:
    """Also where the record and its vault were written by a process that has ended."""
    first = await place.open()
    await call(first, ttl=100)
    await first.seal("t", "w", VALUE, 100)
    await first.spell("t", "w", [(b"s", b"one")], 100)
    await first.durable()
    await first.close()
    second = await place.open()
    assert await second.spellings("t", "w", [b"s"]) == [b"one"]
    place.clock.advance(90)
    await call(second, ttl=100)
    await second.close()
    place.clock.advance(90)
    third = await place.open()
    assert await third.seal("t", "w", OTHER, 100) == [2]
    place.clock.advance(101)
    assert await third.spellings("t", "w", [b"s"]) == [None]
    assert await third.seal("t", "w", OTHER, 100) == [1]
    await third.close()


async def test_a_vault_from_before_the_record_goes_on(store: Store) -> None:
    """A gateway that limits nothing keeps no records; once it does, numbers stay."""
    assert await store.seal("t", "w", VALUE, 100) == [1]
    await call(store)
    assert await store.seal("t", "w", [*OTHER, *VALUE], 100) == [2, 1]


async def test_the_first_spelling_of_a_digest_stays(store: Store) -> None:
    """Others of the same digest, in another call or the same, change nothing; workflows and teams are apart."""
    await store.spell("t", "w", [(b"a", b"1"), (b"b", b"\x00\xff"), (b"a", b"2")], 100)
    await store.spell("t", "w", [(b"a", b"3")], 100)
    assert await store.spellings("t", "w", [b"b", b"a"]) == [b"\x00\xff", b"1"]
    assert await store.spellings("t", "v", [b"a"]) == [None]
    assert await store.spellings("u", "w", [b"a"]) == [None]
    assert await store.unseal("t", "w") == []


async def test_places_are_those_of_all_spellings_or_unknown(place: Backend) -> None:
    """A store that has the places of some spellings only, says none."""
    store = await place.open()
    await call(store, ttl=100)
    assert await store.places("t", "w") == {}
    await store.spell("t", "w", [(b"a", b"1"), (b"b", b"2")], 100, [7, 8])
    await store.spell("t", "w", [(b"b", b"3")], 100, [8])
    assert await store.places("t", "w") == {7: b"a", 8: b"b"}
    await call(store, ttl=100)
    assert await store.places("t", "w") == {7: b"a", 8: b"b"}
    await call(store, ttl=100, cid="v")
    assert await store.places("t", "v") == {}
    await store.spell("t", "v", [(b"c", b"4")], 100)
    assert await store.places("t", "v") is None
    await store.durable()
    await store.close()
    store = await place.open()
    await call(store, ttl=100)
    assert await store.places("t", "w") is None
    place.clock.advance(101)
    await call(store, ttl=100)
    assert await store.places("t", "w") == {}
    for at in range(0, SPELLINGS + 20, 20):
        names = range(at, at + 20)
        await store.spell("t", "w", [(f"{name}".encode(), b"c") for name in names], 100, list(names))
    assert await store.places("t", "w") is None
    await store.close()


async def test_places_are_unknown_once_another_process_has_kept_spellings(tmp_path: Path, redis_url: str) -> None:
    """Known from the next reservation on; a process that comes later knows none."""
    place = backend("redis", tmp_path, redis_url)
    mine, other = await place.open(), await place.open()
    await call(mine)
    await call(other)
    await mine.spell("t", "w", [(b"a", b"1")], 100, [7])
    assert await mine.places("t", "w") == {7: b"a"}
    await call(other)
    assert await other.places("t", "w") is None
    await other.spell("t", "w", [(b"b", b"2")], 100, [8])
    await call(mine)
    assert await mine.places("t", "w") is None
    await mine.spell("t", "w", [(b"c", b"3")], 100, [9])
    assert await mine.places("t", "w") is None
    assert await mine.spellings("t", "w", [b"a", b"b", b"c"]) == [b"1", b"2", b"3"]
    await mine.close()
    await other.close()


async def test_places_of_a_vault_from_before_the_record_are_unknown(tmp_path: Path, redis_url: str) -> None:
    """Nobody can say whether its spellings are all that a process has kept."""
    mine = await backend("redis", tmp_path, redis_url).open()
    await mine.spell("t", "w", [(b"a", b"1")], 100, [7])
    assert await mine.places("t", "w") is None
    await call(mine)
    assert await mine.places("t", "w") is None
    await mine.spell("t", "w", [(b"b", b"2")], 100, [8])
    assert await mine.places("t", "w") is None
    await mine.close()


async def test_the_newest_spellings_are_kept(place: Backend) -> None:
    """The oldest make room, by number and by size, and stay away after a restart."""
    names = [f"{number}".encode() for number in range(SPELLINGS + 10)]
    store = await place.open()
    for at in range(0, len(names), 100):
        await store.spell("t", "w", [(name, b"c") for name in names[at : at + 100]], 100)
    found = await store.spellings("t", "w", names)
    assert found == [None] * 10 + [b"c"] * SPELLINGS
    large = b"x" * (SPELLINGS_SIZE // 4)
    for name in (b"p", b"q", b"r", b"s", b"t"):
        await store.spell("t", "w", [(name, large)], 100)
    kept = [*[None] * len(names), None, large, large, large, large]
    for _ in range(2):
        assert await store.spellings("t", "w", [*names, b"p", b"q", b"r", b"s", b"t"]) == kept
        await store.durable()
        await store.close()
        store = await place.open()
    await store.close()


async def test_stripped_tools_are_told_to_later_calls(place: Backend) -> None:
    """Stripped tools are in every later reservation, also after a restart; the newest are kept."""
    store = await place.open()
    first = await take(store, quota(100, 1))
    assert first.stripped == ()
    await store.strip("t", "w", ["pay", 'a "b"\n\u00e4/'])
    await store.strip("t", "w", ["pay", "send"])
    expected = ("pay", 'a "b"\n\u00e4/', "send")
    assert (await take(store, quota(100, 1))).stripped == expected
    assert (await take(store, quota(100, 1), bucket(10, 1), history=True, chained=True)).stripped == expected
    assert (await take(store, quota(100, 1), cid="other")).stripped == ()
    await store.durable()
    await store.close()
    store = await place.open()
    got = await store.reserve(ask(history=True, chained=True))
    assert isinstance(got, Reservation)
    assert (got.stripped, got.history is not None) == (expected, True)
    await store.strip("t", "w", [f"tool-{number}" for number in range(STRIPPED)])
    assert (await take(store, quota(100, 1))).stripped == tuple(f"tool-{number}" for number in range(STRIPPED))
    await store.close()


async def test_stripped_tools_go_with_the_record(store: Store, place: Backend) -> None:
    """After the workflow's time they may be offered again."""
    await call(store, ttl=100)
    await store.strip("t", "w", ["pay"])
    place.clock.advance(101)
    assert (await call(store, ttl=100)).stripped == ()
    assert (await call(store, ttl=100)).stripped == ()


async def test_the_vault_numbers_values(store: Store) -> None:
    """A value keeps its number; each entity counts from 1; another workflow counts separately."""
    items = [("EMAIL", b"d1", b"c1"), ("EMAIL", b"d2", b"c2"), ("PHONE", b"d1", b"c3"), ("EMAIL", b"d1", b"again")]
    assert await store.seal("t", "w", items, 100) == [1, 2, 1, 1]
    assert await store.seal("t", "w", [("EMAIL", b"d3", b"\x00\xff\n"), ("EMAIL", b"d2", b"c2")], 100) == [3, 2]
    assert await store.seal("t", "v", [("EMAIL", b"d2", b"c2")], 100) == [1]
    expected = {("EMAIL", 1, b"c1"), ("EMAIL", 2, b"c2"), ("PHONE", 1, b"c3"), ("EMAIL", 3, b"\x00\xff\n")}
    assert set(await store.unseal("t", "w")) == expected


async def test_the_vault_forgets_after_its_last_use(store: Store, place: Backend) -> None:
    """Sealing again keeps a workflow's values; left alone for their ttl they vanish."""
    await store.seal("t", "w", [("EMAIL", b"d1", b"c1")], 100)
    place.clock.advance(80)
    await store.seal("t", "w", [("EMAIL", b"d1", b"c1")], 100)
    place.clock.advance(80)
    assert len(await store.unseal("t", "w")) == 1
    place.clock.advance(21)
    await store.sweep()
    assert await store.unseal("t", "w") == []
    assert await store.seal("t", "w", [("EMAIL", b"d2", b"c2")], 100) == [1]


async def test_the_vault_survives_a_restart(place: Backend) -> None:
    """After a restart values keep their numbers."""
    first = await place.open()
    await first.seal("t", "w", [("EMAIL", b"d1", b"c1"), ("EMAIL", b"d2", b"c2")], 100)
    await first.close()
    second = await place.open()
    assert await second.seal("t", "w", [("EMAIL", b"d3", b"c3"), ("EMAIL", b"d2", b"c2")], 100) == [3, 2]
    await second.close()
