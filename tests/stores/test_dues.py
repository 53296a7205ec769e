"""Answers that are made in the background, in every store."""

from __future__ import annotations

import asyncio

from gateway.amounts import HELD, Reservation
from gateway.stores import Store
from store_harness import Backend, ask, quota, standing


async def hold(store: Store) -> Reservation:
    """Reserve 100 tokens for an answer that is made in the background."""
    outcome = await store.reserve(ask(quota(1000, 100), lapse=3600)._replace(id=f"call{HELD}"))
    assert isinstance(outcome, Reservation)
    return outcome


async def test_a_record_is_taken_when_it_is_due(place: Backend) -> None:
    """Byte for byte, the oldest first; not again before its time, and not once it is deleted."""
    store, record = await place.open(), bytes(range(256)) * 20
    await store.put_due("b", b"second", 20)
    await store.put_due("a", record, 10)
    await store.put_due("c", b"third", 3600)
    assert dict(await store.take_dues(10, 60)) == {}
    place.clock.advance(30)
    assert dict(await store.take_dues(1, 60)) == {"a": record}
    assert dict(await store.take_dues(10, 60)) == {"b": b"second"}
    assert dict(await store.take_dues(10, 60)) == {}
    place.clock.advance(61)
    assert set(await store.take_dues(10, 60)) == {"a", "b"}
    await store.put_due("b", b"later", 5)
    await store.drop_due("a")
    await store.drop_due("a")
    place.clock.advance(6)
    assert dict(await store.take_dues(10, 60)) == {"b": b"later"}
    await store.close()


async def test_of_many_that_take_one_gets_each(place: Backend) -> None:
    """One worker asks for an answer."""
    store = await place.open()
    for number in range(5):
        await store.put_due(str(number), b"%d" % number, 0)
    place.clock.advance(1)
    taken = await asyncio.gather(*(store.take_dues(2, 60) for _ in range(4)))
    assert sorted(id for one in taken for id in one) == list("01234")
    await store.close()


async def test_records_outlive_the_process(place: Backend) -> None:
    """And so does the reservation, which is then charged what was used."""
    store = await place.open()
    await store.put_due("a", b"record", 10)
    held = await hold(store)
    await store.close()
    store = await place.open()
    place.clock.advance(60)
    await store.sweep()
    assert dict(await store.take_dues(10, 60)) == {"a": b"record"}
    assert await standing(store) == (0, 100, 0)
    assert await store.settle(held, {"tokens": 7}, "settled")
    assert not await store.settle(held, {"tokens": 7}, "settled")
    assert await standing(store) == (7, 0, 0)
    await store.close()


async def test_a_held_reservation_lapses(place: Backend) -> None:
    """In its time: then the estimate is charged."""
    store = await place.open()
    await hold(store)
    place.clock.advance(3601)
    assert await store.sweep() == 1
    assert await standing(store) == (100, 0, 100)
    await store.close()
