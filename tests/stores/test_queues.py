"""Queues of records, and figures, in every store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.stores import FIGURES, Leased, Room, Store
from store_harness import Backend

ROOM = Room(100, 50, 10_000)


async def told(store: Store, seconds: float = 10, most: int = 9) -> list[tuple[str, int, bytes]]:
    """Queue, tries and record of what is due."""
    return [(it.queue, it.tries, it.record) for it in await store.lease(seconds, most)]


async def first(store: Store, seconds: float = 10) -> Leased:
    """The one record that is due."""
    (it,) = await store.lease(seconds, 9)
    return it


async def test_records_come_in_order_one_at_a_time(place: Backend) -> None:
    """For each queue; the next is due once the first is out, byte for byte."""
    store = await place.open()
    records = [bytes(range(256)), b"", b"x:y"]
    for record in records:
        assert await store.push("q", "ann", record, ROOM)
    assert await store.push("other", "ann", b"o", ROOM)
    got = await store.lease(10, 9)
    assert sorted((it.queue, it.tries, it.record) for it in got) == [("other", 1, b"o"), ("q", 1, records[0])]
    assert await told(store) == []
    await store.shift("other", next(it.number for it in got if it.queue == "other"))
    assert await store.shift("q", next(it.number for it in got if it.queue == "q")) == 1
    for record in records[1:]:
        it = await first(store)
        assert (it.queue, it.record) == ("q", record)
        assert await store.shift("q", it.number) == 1
        assert await store.shift("q", it.number) == 0
    assert await told(store) == []
    await store.close()


async def test_a_lease_ends(place: Backend) -> None:
    """And the record is given out again, as what its holder postponed is after its time."""
    store = await place.open()
    await store.push("q", "ann", b"1", ROOM)
    it = await first(store, 10)
    place.clock.advance(9)
    assert await told(store) == []
    place.clock.advance(2)
    assert await told(store, 10) == [("q", 2, b"1")]
    await store.postpone("q", it.number, 3)
    await store.postpone("q", it.number + 1, 0)
    await store.postpone("unknown", 0, 0)
    assert await told(store) == []
    place.clock.advance(4)
    assert await told(store) == [("q", 3, b"1")]
    await store.close()


async def test_what_waits_outlives_the_process(place: Backend) -> None:
    """In its order, and what was taken out does not come back."""
    store = await place.open()
    for record in (b"1", b"2", b"3"):
        await store.push("q", "ann", record, ROOM)
    await store.shift("q", (await first(store)).number)
    it = await first(store, 5)
    assert it.record == b"2"
    await store.durable()
    await store.close()
    place.clock.advance(6)
    again = await place.open()
    it = await first(again)
    assert it.record == b"2"
    assert await again.shift("q", it.number, all=True) == 2
    await again.push("q", "ann", b"4", ROOM)
    assert (await first(again)).record == b"4"
    await again.close()


async def test_there_is_room_for_so_much(store: Store) -> None:
    """Records, records of an owner, bytes; what is taken out makes room."""
    assert [await store.push("q", "ann", b"x", Room(9, 2, 99)) for _ in range(3)] == [True, True, False]
    assert [await store.push("p", "bob", b"x", Room(3, 2, 99)) for _ in range(2)] == [True, False]
    assert not await store.push("p", "carl", b"x" * 10, Room(9, 9, 12))
    assert await store.push("p", "carl", b"x" * 9, Room(9, 9, 12))
    got = {it.queue: it for it in await store.lease(10, 9)}
    assert await store.shift("q", got["q"].number, all=True) == 2
    assert await store.push("q", "ann", b"xy", Room(4, 1, 12))
    assert await store.shift("p", got["p"].number + 1) == 0


async def test_as_many_queues_as_asked_for(store: Store) -> None:
    """The others wait."""
    for number in range(5):
        await store.push(f"q{number}", "ann", b"x", ROOM)
    seen = [[it.queue for it in await store.lease(10, 2)] for _ in range(4)]
    assert [len(it) for it in seen] == [2, 2, 1, 0]
    assert sorted(it for some in seen for it in some) == [f"q{number}" for number in range(5)]


async def test_a_record_is_given_to_one(store: Store) -> None:
    """Of many who ask at once."""
    for number in range(20):
        await store.push(f"q{number}", "ann", b"x", ROOM)
    got = await asyncio.gather(*(store.lease(10, 3) for _ in range(10)))
    names = [it.queue for some in got for it in some]
    assert len(names) == len(set(names)) == 20


Step = tuple[str, str, int]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["push", "out", "drop"]), st.sampled_from("abc"), st.integers(0, 9)), max_size=30
    )
)
async def test_counts_are_those_of_what_waits(place: Backend, steps: list[Step]) -> None:
    """Whatever came and went: there is room for exactly what is left."""
    store = await place.open()
    room = Room(6, 4, 30)
    waits: dict[str, list[Any]] = {"a": [], "b": [], "c": []}
    for what, queue, size in steps:
        if what == "push":
            everything = [it for some in waits.values() for it in some]
            fits = len(everything) < 6 and len(waits[queue]) < 4 and sum(everything) + size <= 30
            assert await store.push(queue, queue, b"x" * size, room) is fits
            if fits:
                waits[queue].append(size)
            continue
        for it in await store.lease(0, 9):
            gone = len(waits[it.queue]) if what == "drop" else 1
            if it.queue == queue:
                assert len(it.record) == waits[queue][0]
                assert await store.shift(queue, it.number, all=what == "drop") == gone
                del waits[queue][:gone]
    while left := await store.lease(0, 9):
        for it in left:
            await store.shift(it.queue, it.number, all=True)
    await store.close()


async def test_figures_of_all_gateways(place: Backend) -> None:
    """The newest, in their order, also for the next process."""
    store = await place.open()
    assert await store.measured("planner") == []
    await store.measure("planner", [b"1", bytes(range(256))])
    await store.measure("other", [b"x"])
    await store.measure("planner", [b"3"])
    await store.durable()
    assert await store.measured("planner") == [b"1", bytes(range(256)), b"3"]
    await store.measure("planner", [str(number).encode() for number in range(FIGURES)])
    await store.durable()
    await store.close()
    again = await place.open()
    assert await again.measured("planner") == [str(number).encode() for number in range(FIGURES)]
    assert await again.measured("other") == [b"x"]
    await again.close()


@pytest.mark.parametrize("name", ["a b", "é", "x}y"])
async def test_any_name(store: Store, name: str) -> None:
    """Of a queue, an owner, an agent."""
    assert await store.push(name, name, b"x", ROOM)
    assert (await first(store)).queue == name
    await store.measure(name, [b"y"])
    await store.durable()
    assert await store.measured(name) == [b"y"]
