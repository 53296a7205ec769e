"""What operators accepted of the tools of servers, in every store."""

from __future__ import annotations

import asyncio

from gateway.stores import Store
from store_harness import Backend


async def test_a_record_is_replaced_by_who_knows_it(store: Store) -> None:
    """Byte for byte; who knows an older record, or none, changes nothing."""
    first, second = bytes(range(256)) * 100, b""
    assert await store.pins("orders") is None
    assert await store.pin("orders", first, None)
    assert not await store.pin("orders", second, None)
    assert not await store.pin("orders", second, b"other")
    assert await store.pins("orders") == first
    assert await store.pin("orders", second, first)
    assert await store.pins("orders") == second
    assert await store.pin("orders", b"third", second)
    assert await store.pins("other") is None


async def test_one_of_many_is_the_first(store: Store) -> None:
    """Of several that write a first record, one succeeds."""
    done = await asyncio.gather(*(store.pin("orders", b"%d" % number, None) for number in range(10)))
    assert sum(done) == 1
    assert await store.pins("orders") == b"%d" % done.index(True)


async def test_records_outlive_the_process(place: Backend) -> None:
    """And no time ends them."""
    store = await place.open()
    assert await store.pin("orders", b"record", None)
    await store.close()
    store = await place.open()
    place.clock.advance(10 * 365 * 86400)
    await store.sweep()
    assert await store.pins("orders") == b"record"
    await store.close()
