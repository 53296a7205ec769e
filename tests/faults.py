"""Faults between gateways and Redis under load, and the accounts afterwards: reported and charged usage.

Each scenario returns its books. `tests/live/test_redis_faults.py` asserts them, `benchmarks/faults.py` reports them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.amounts import Reservation
from gateway.stores import Store, StoreUnavailable
from gateway.stores.cluster import ClusterStore
from gateway.stores.local import LocalStore
from gateway.stores.redis import RedisStore
from redis_cluster import Server, cluster, server, until
from store_harness import ask, bucket, quota
from toxiproxy import proxied

REPLICAS = 2
CALLERS = 24
TEAMS = tuple(f"team-{number}" for number in range(6))
BEFORE = AFTER = 0.4  # seconds of load with all well
DURING = 1.5  # seconds of load with the fault
HANGS = 15.0  # seconds after which a call counts as hanging, whatever may be slow here

Fault = tuple[str, dict[str, int]]
NETWORK: dict[str, Fault] = {
    "latency": ("latency", {"latency": 80, "jitter": 40}),
    "stall": ("timeout", {"timeout": 0}),
    "reset": ("reset_peer", {"timeout": 0}),
    "down": ("down", {}),
    "3-byte slices": ("slicer", {"average_size": 3, "size_variation": 1, "delay": 0}),
}


@dataclass
class Books:
    """What providers reported for calls that were admitted, and what the store charged, in tokens."""

    calls: int = 0
    refused: int = 0
    during: int = 0
    hung: int = 0
    lost: int = 0
    reported: int = 0
    charged: int = 0
    held: int = 0
    lapsed: int = 0


class Load:
    """Callers of several teams on several replicas, each call reserved, used and settled."""

    def __init__(self, stores: Sequence[Store], *, shared: bool = False, dies: bool = False) -> None:
        self.books = Books()
        self.faulty = False
        self._stores = stores
        self._shared = (bucket(10**9, 1, 1e6, "model:m"),) if shared else ()
        self._dying = stores[-1] if dies else None  # a gateway that ends nothing more once the fault is there
        self._lapse = 4 if dies else 60
        self._stop = False
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, fault: Callable[[], Awaitable[None]], heal: Callable[[], Awaitable[None]]) -> Books:
        """Calls before, during and after the fault; then all due settlements are sent, and the charges are compared."""
        self._tasks = [asyncio.create_task(self._caller(number)) for number in range(CALLERS)]
        sweeps = asyncio.create_task(self._sweeps())
        await asyncio.sleep(BEFORE)
        await fault()
        self.faulty = True
        await asyncio.sleep(DURING)
        self.faulty = False
        await heal()
        await asyncio.sleep(AFTER)
        self._stop = True
        await asyncio.gather(*self._tasks)
        sweeps.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeps
        await self._read()
        return self.books

    async def _caller(self, number: int) -> None:
        pick = random.Random(number)
        store, team = self._stores[number % len(self._stores)], TEAMS[number % len(TEAMS)]
        while not self._stop and not (self.faulty and store is self._dying):
            try:
                async with asyncio.timeout(HANGS):
                    await self._call(store, team, pick.randint(1, 50))
            except StoreUnavailable:
                self.books.refused += 1
                await asyncio.sleep(0.02)
            except TimeoutError:
                self.books.hung += 1

    async def _call(self, store: Store, team: str, used: int) -> None:
        wants = ask(quota(10**12, 50), bucket(10**9, 1, 1e6, f"team:{team}"), *self._shared, team=team)
        got = await store.reserve(wants._replace(lapse=self._lapse))
        assert isinstance(got, Reservation), got
        if store is self._dying and not self.books.lost:
            self.books.lost = 1  # under way when the gateway dies
            return
        await asyncio.sleep(0.002)
        self.books.calls += 1
        self.books.during += self.faulty
        self.books.reported += used
        await store.settle(got, {"tokens": used}, "settled")

    async def _sweeps(self) -> None:
        """The periodic work of a gateway, here more often than each second."""
        while True:
            await asyncio.sleep(0.2)
            for store in self._stores:
                with contextlib.suppress(StoreUnavailable):
                    await store.sweep()

    async def _read(self) -> None:
        await asyncio.sleep(self._lapse if self.books.lost else 0)
        for _ in range(3):
            for store in self._stores:
                await store.sweep()
        for team in TEAMS:
            workflow = await self._stores[0].workflow(team, "w")
            assert workflow is not None
            self.books.charged += workflow.used["tokens"]
            self.books.held += workflow.held["tokens"]
            self.books.lapsed += workflow.lapsed["tokens"]


@contextlib.asynccontextmanager
async def replicas(kind: type[RedisStore], url: str, acks: int = 0) -> AsyncIterator[list[RedisStore]]:
    """The stores of several gateways on one Redis."""
    stores = [kind(url, acks=acks) for _ in range(REPLICAS)]
    for store in stores:
        await store.open()
    yield stores
    for store in stores:
        await store.close()


async def network(name: str) -> Books:
    """A fault of the network between the gateways and their Redis."""
    kind, attributes = NETWORK[name]
    with server("--appendfsync", "no") as redis, proxied(redis.port) as proxy:

        async def fault() -> None:
            await asyncio.to_thread(proxy.spoil, kind, **attributes)

        async def heal() -> None:
            await asyncio.to_thread(proxy.heal)

        async with replicas(RedisStore, f"redis://127.0.0.1:{proxy.port}/0") as stores:
            return await Load(stores).run(fault, heal)


async def killed(fsync: str) -> Books:
    """The server is killed, and started again on its append-only file."""
    with server("--appendfsync", fsync) as redis:
        async with replicas(RedisStore, redis.url) as stores:
            return await Load(stores).run(_do(redis.kill), _do(redis.start))


async def both_killed() -> Books:
    """A gateway dies with a call in flight, and the server is killed and restarted as well."""
    with server("--appendfsync", "always") as redis:
        async with replicas(RedisStore, redis.url) as stores:
            return await Load(stores, dies=True).run(_do(redis.kill), _do(redis.start))


async def alone() -> Books:
    """The server is killed, the gateways continue with their shares, and the server is restarted."""
    with server("--appendfsync", "always") as redis:
        async with replicas(RedisStore, redis.url) as remotes:
            stores = [LocalStore(remote, REPLICAS) for remote in remotes]

            async def heal() -> None:
                await asyncio.to_thread(redis.start)
                await asyncio.gather(*(store._probe for store in stores if store._probe is not None))

            return await Load(stores).run(_do(redis.kill), heal)


async def node_lost() -> Books:
    """One of three masters of a Cluster without replicas is killed, and restarted."""
    with cluster(3, 0, "--appendfsync", "always", "--cluster-require-full-coverage", "no") as nodes:
        lost = nodes.nodes[1]

        async def heal() -> None:
            await asyncio.to_thread(lost.start)
            await asyncio.to_thread(until, lambda: all(map(nodes.well, nodes.nodes)), "the Cluster to be well")

        async with replicas(ClusterStore, nodes.url) as stores:
            return await Load(stores, shared=True).run(_do(lost.kill), heal)


async def failover() -> Books:
    """One of three masters of a Cluster is killed, and its replica takes over; writes wait for a replica."""
    with cluster(3, 1, "--appendfsync", "no", "--cluster-require-full-coverage", "no") as nodes:
        lost = nodes.nodes[1]
        heirs = [node for node in nodes.nodes if node is not lost]

        async def heal() -> None:
            await asyncio.to_thread(until, lambda: _served(heirs), "the replica to take over")
            await asyncio.to_thread(lost.start)  # as a replica: the heir needs one to confirm its writes
            await asyncio.to_thread(until, lambda: all(map(nodes.well, nodes.nodes)), "the Cluster to be well")

        async with replicas(ClusterStore, nodes.url, acks=1) as stores:
            return await Load(stores, shared=True).run(_do(lost.kill), heal)


def _served(nodes: Sequence[Server]) -> bool:
    """Whether the slots of a lost master have another master."""
    for node in nodes:
        lines = node.ask("CLUSTER", "NODES")
        text = lines.decode() if isinstance(lines, bytes) else str(lines)
        if text.count("master") < 4:  # the lost one, listed as failed, and three
            return False
    return True


def _do(work: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def do() -> None:
        await asyncio.to_thread(work)

    return do
