"""Upstreams that are known to fail, in every store that gateways share."""

from __future__ import annotations

import asyncio

from gateway.stores import Store
from store_harness import Backend


async def test_all_gateways_know_what_one_found(place: Backend) -> None:
    """With the time that is left, until one of them says that the upstream answers again."""
    one = await place.open()
    other = one if place.name == "sqlite" else await place.open()
    await one.shut("a", 60, 3)
    await one.shut("b", -5, 1)
    await one.shut("c", -7200, 1)
    told = await other.outages()
    if told:  # a store of one process shares nothing
        assert told.keys() == {"a", "b"}
        assert 55 < told["a"][0] <= 60.1
        assert told["a"][1] == 3
        assert -10 < told["b"][0] < 0
    await other.reopen("a")
    assert "a" not in await one.outages()
    if other is not one:
        await other.close()
    await one.close()


async def test_one_of_many_probes(store: Store) -> None:
    """Where gateways share their state, one at a time; where there is one gateway, its circuit sees to that."""
    granted = await asyncio.gather(*(store.probe("a", 60) for _ in range(10)))
    shared = bool(await _shared(store))
    assert sum(granted) == (1 if shared else 10)
    await store.reopen("a")
    assert await store.probe("a", 0.001)


async def _shared(store: Store) -> bool:
    await store.shut("x", 60, 1)
    return "x" in await store.outages()
