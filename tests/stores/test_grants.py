"""The tokens of users at tool servers, in every store."""

from __future__ import annotations

import asyncio

from gateway.stores import Store
from store_harness import Backend


async def test_a_record_is_replaced_and_deleted_by_who_knows_it(store: Store) -> None:
    """Byte for byte; who knows an older record, or none, changes nothing."""
    first, second = bytes(range(256)) * 20, b"second"
    assert await store.grant("a") is None
    assert await store.put_grant("a", None, None)
    assert await store.put_grant("a", first, None)
    assert await store.put_grant("a", first, None), "the same again, as after a lost reply"
    assert not await store.put_grant("a", second, None)
    assert not await store.put_grant("a", second, b"other")
    assert not await store.put_grant("a", None, b"other")
    assert await store.grant("a") == first
    assert await store.put_grant("a", second, first)
    assert not await store.put_grant("a", None, first)
    assert await store.grant("a") == second
    assert await store.grant("b") is None
    assert await store.put_grant("a", None, second)
    assert await store.grant("a") is None
    assert not await store.put_grant("a", first, second)


async def test_all_records_are_listed(store: Store) -> None:
    """By id; deleted ones are not."""
    for id in "abc":
        assert await store.put_grant(id, id.encode() * 3, None)
    assert await store.put_grant("b", None, b"bbb")
    assert dict(await store.grants()) == {"a": b"aaa", "c": b"ccc"}


async def test_of_many_that_replace_a_record_one_succeeds(store: Store) -> None:
    """Tokens that a refresh replaced are not overwritten by those of a refresh that began with the same."""
    assert await store.put_grant("a", b"old", None)
    done = await asyncio.gather(*(store.put_grant("a", b"%d" % number, b"old") for number in range(10)))
    assert sum(done) == 1
    assert await store.grant("a") == b"%d" % done.index(True)


async def test_records_outlive_the_process(place: Backend) -> None:
    """And no time ends them."""
    store = await place.open()
    assert await store.put_grant("a", b"record", None)
    await store.close()
    store = await place.open()
    place.clock.advance(10 * 365 * 86400)
    await store.sweep()
    assert await store.grant("a") == b"record"
    await store.close()
