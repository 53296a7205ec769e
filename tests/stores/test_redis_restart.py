"""A Redis server that is killed and restarted under load: every call is charged once."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from gateway.amounts import Reservation
from gateway.stores import StoreUnavailable
from gateway.stores.redis import RedisStore
from servers import free_port, redis_server
from store_harness import ask, quota, standing

# With `always` every answer is on disk before it is given: what Redis said is what it knows after a SIGKILL.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


async def test_killed_under_load(tmp_path: Path) -> None:
    """Three SIGKILLs among hundreds of calls from two replicas: the sum is that of the calls admitted."""
    port, draw = free_port(), random.Random(1)
    folder = ("--dir", str(tmp_path))
    with redis_server(port, *DURABLE, *folder) as url:
        replicas = [RedisStore(url) for _ in range(2)]
        await replicas[0].ping()
    stopped, moved = asyncio.Event(), asyncio.Event()
    admitted = charged = refused = 0

    async def caller(store: RedisStore) -> None:
        nonlocal admitted, charged, refused
        while not stopped.is_set():
            moved.set()
            try:
                outcome = await store.reserve(ask(quota(10**9, 100)))
            except StoreUnavailable:
                refused += 1
                await asyncio.sleep(0.01)
                continue
            assert isinstance(outcome, Reservation)
            await asyncio.sleep(draw.random() * 0.01)
            used = draw.randrange(100)
            admitted, charged = admitted + 1, charged + used
            await store.settle(outcome, {"tokens": used}, "settled")

    load: asyncio.Future[list[None]] | None = None
    for _ in range(3):
        with redis_server(port, *DURABLE, *folder):
            before = admitted
            load = load or asyncio.gather(*(caller(replicas[number % 2]) for number in range(16)))
            while admitted < before + 100:
                moved.clear()
                await moved.wait()
        before = refused
        while refused < before + 5:
            moved.clear()
            await moved.wait()
    assert load is not None
    with redis_server(port, *DURABLE, *folder):
        stopped.set()
        await load
        for store in replicas:
            assert await store.sweep() == 0
        assert await standing(replicas[0]) == (charged, 0, 0)
        for store in replicas:
            await store.close()
