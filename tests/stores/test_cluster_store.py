"""Properties of a Cluster only: two steps with the guarantee of one step, and nodes that come, go and change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import orjson
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.amounts import Ask, Debit, Rejection, Reservation
from gateway.errors import ConfigError
from gateway.stores import End, StoreUnavailable, open_store
from gateway.stores.batch import Batch
from gateway.stores.cluster import ClusterStore
from gateway.stores.nodes import slot_of
from gateway.stores.redis import RedisStore
from redis_cluster import Cluster, cluster
from servers import acl_rule
from store_harness import Clock, ask, bucket, quota, servers_of, standing, take


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Cluster that these tests may change, reached as the user with the least rights."""
    users = tmp_path_factory.mktemp("users") / "users.acl"
    users.write_text(f"user default on nopass ~* &* +@all\n{acl_rule()}\n")
    with cluster(3, 0, "--aclfile", str(users)) as running:
        running.url = running.url.replace("//", "//meshgate:password@")
        yield running


@pytest.fixture
async def store(nodes: Cluster) -> AsyncIterator[ClusterStore]:
    """A store on the emptied Cluster, on the test's clock."""
    for url in servers_of(nodes.url):
        with redis.Redis.from_url(url) as client:
            client.flushall()
    opened = ClusterStore(nodes.url, clock=Clock())
    await opened.open()
    yield opened
    await opened.close()


def model(limit: int, amount: int, key: str = "model:m", unit: str = "requests") -> Debit:
    return bucket(limit, amount, key=key, unit=unit)


async def left(store: ClusterStore, debit: Debit) -> int:
    """The level of a bucket."""
    return (await take(store, debit._replace(amount=0), cid="probe")).balances[0].remaining


async def test_a_team_whose_node_is_down_holds_up_no_other(
    store: ClusterStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overdue reservations of other teams lapse, even without the list of teams; the fault is reported."""
    teams = ("a", "b", "c")
    for team in teams:
        await take(store, quota(1000, 40), team=team)
    assert isinstance(store._clock, Clock)
    store._clock.advance(61)
    ask_redis, listed = store._call, store.teams

    async def down(operation: str, keys: Sequence[str], *args: Any) -> Any:
        if "{a}" in keys[0]:
            raise StoreUnavailable("redis: a node is down")
        return await ask_redis(operation, keys, *args)

    async def gone() -> list[str]:
        raise StoreUnavailable("redis: a node is down")

    monkeypatch.setattr(store, "_call", down)
    with pytest.raises(StoreUnavailable, match="a node is down"):
        await store.sweep()
    await take(store, quota(1000, 2), team="b", cid="later")
    store._clock.advance(61)
    monkeypatch.setattr(store, "teams", gone)
    with pytest.raises(StoreUnavailable):
        await store.sweep()
    monkeypatch.setattr(store, "_call", ask_redis)
    monkeypatch.setattr(store, "teams", listed)
    found = {(it.team, it.correlation_id): it.lapsed["tokens"] for it in await store.workflows(None, 9)}
    assert found == {("a", "w"): 0, ("b", "w"): 40, ("c", "w"): 40, ("b", "later"): 2}
    assert await store.sweep() == 1


async def test_balances_stand_in_the_order_of_the_debits(store: ClusterStore) -> None:
    """For debits in any slots, balances are in the order of the debits."""
    debits = (model(9, 2), bucket(8, 1), quota(1000, 400), model(7, 4, "provider:p"), model(9, 3))
    assert [it.remaining for it in (await take(store, *debits)).balances] == [7, 7, 600, 3, 4]


async def test_a_refusal_elsewhere_gives_everything_back(store: ClusterStore) -> None:
    """If a shared bucket refuses, the refusal names the bucket, nothing stays taken, and no record is left."""
    await take(store, model(5, 5, "provider:p"), cid="other")
    debits = (bucket(8, 3), model(9, 2), model(5, 1, "provider:p"), quota(1000, 400))
    outcome = await store.reserve(ask(*debits, cid="new"))
    assert outcome == Rejection("rate", 2, 5, 0, 1.0, 5)
    assert [await left(store, debit) for debit in debits[:2]] == [8, 9]
    assert await store.workflow("t", "new") is None
    await take(store, quota(1000, 1000), cid="new")


async def test_a_workflow_in_use_survives_a_refusal(store: ClusterStore) -> None:
    """Undoing a reservation does not change what other calls of the workflow hold and have used."""
    await store.settle(await take(store, quota(1000, 200)), {"tokens": 150}, "settled")
    await take(store, quota(1000, 300))
    outcome = await store.reserve(ask(quota(1000, 400), model(0, 1)))
    assert isinstance(outcome, Rejection)
    assert await standing(store) == (150, 300, 0)


async def test_the_teams_slot_refuses_first(store: ClusterStore) -> None:
    """A call of a refused workflow takes nothing from shared buckets."""
    await store.freeze("t", "w", "stop")
    assert await store.reserve(ask(model(9, 2), quota(1000, 1))) == Rejection("frozen", -1)
    await store.settle(await take(store, quota(1000, 900), cid="x"), {}, "settled")
    assert await store.reserve(ask(model(9, 2), quota(1000, 101), cid="x")) == Rejection(
        "exceeded", 1, 900, 0, None, 1000
    )
    assert await left(store, model(9, 0)) == 9


async def test_shared_tokens_are_settled_once(store: ClusterStore) -> None:
    """A bucket elsewhere gets the difference back when the call is settled, only once."""
    reservation = await take(store, model(1000, 800, unit="tokens"), quota(5000, 800))
    assert await store.settle(reservation, {"model:m": 300, "tokens": 300}, "settled")
    assert not await store.settle(reservation, {"model:m": 0, "tokens": 0}, "settled")
    assert await left(store, model(1000, 0, unit="tokens")) == 700
    assert await standing(store) == (300, 0, 0)


async def test_a_call_that_pays_only_elsewhere(store: ClusterStore) -> None:
    """Without debits in the team's slot, a call still ends once and gives the unused part back."""
    reservation = await take(store, model(1000, 800, unit="tokens"))
    assert await store.settle(reservation, {"model:m": 300}, "settled")
    assert not await store.settle(reservation, {"model:m": 0}, "settled")
    assert await left(store, model(1000, 0, unit="tokens")) == 700


async def test_together_never_over_any_limit(store: ClusterStore, nodes: Cluster) -> None:
    """Many calls of several teams and replicas: no bucket and no quota gives more than it has, nothing leaks."""
    others = [ClusterStore(nodes.url, clock=store._clock) for _ in range(2)]
    stores = [store, *others]

    def wants(number: int) -> Ask:
        debits = (model(40, 1), model(33, 1, "provider:p"), quota(200, 10))
        return ask(*debits, team=f"team-{number % 3}", cid=f"w{number % 2}")

    outcomes = await asyncio.gather(*(stores[number % 3].reserve(wants(number)) for number in range(240)))
    admitted = [it for it in outcomes if isinstance(it, Reservation)]
    assert 0 < len(admitted) <= 33
    assert await left(store, model(40, 0)) == 40 - len(admitted)
    assert await left(store, model(33, 0, "provider:p")) == 33 - len(admitted)
    held = [work.held.get("tokens", 0) for work in await store.workflows(None, 100)]
    assert sum(held) == 10 * len(admitted)
    for number in range(33 - len(admitted)):  # the rest can be had: nothing was left behind
        assert isinstance(await store.reserve(wants(number)), Reservation)
    assert isinstance(await store.reserve(wants(0)), Rejection)
    for other in others:
        await other.close()


async def test_taking_and_giving_back_happen_once(store: ClusterStore) -> None:
    """Taking and giving back are idempotent, and may arrive in any order."""
    keys = ["mg1:{model:m}:b", "mg1:{model:m}:b:taken"]
    taking, giving = orjson.dumps(("id", 60000, 10, 1.0, [4])), orjson.dumps(("id", 60000, 10, 1.0, 4, 0))
    assert [await store._call("take", keys, taking) for _ in range(2)] == [b"ok 6 4000"] * 2
    assert [await store._call("give", keys, giving) for _ in range(3)] == [1, 0, 0]
    assert (await store._call("take", keys, taking)).startswith(b"rate")  # it was given back before it arrived
    assert await left(store, model(10, 0)) == 10


async def test_a_gateway_that_dies_between_the_steps(store: ClusterStore) -> None:
    """The reservation of the first step lapses at its estimate, like any reservation that is not settled."""
    both = ask(quota(1000, 400), model(9, 2))
    await super(ClusterStore, store).reserve(both._replace(debits=both.debits[:1]))
    assert isinstance(store._clock, Clock)
    store._clock.advance(61)
    assert await store.sweep() == 1
    assert await standing(store) == (400, 0, 400)
    assert await left(store, model(9, 0)) == 9


STEP = st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 4), st.integers(0, 60), st.integers(0, 3))


@given(steps=st.lists(STEP, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_two_steps_are_as_good_as_one(nodes: Cluster, redis_url: str, steps: list[tuple[int, ...]]) -> None:
    """For any sequence of operations, a Cluster answers as a single server does."""
    for url in [*servers_of(nodes.url), redis_url]:
        with redis.Redis.from_url(url) as client:
            client.flushall()

    async def both() -> None:
        clock = Clock()
        stores = [ClusterStore(nodes.url, clock=clock), RedisStore(redis_url, clock=clock)]
        flying: list[list[Reservation]] = []
        for kind, requests, tokens, amount, seconds in steps:
            if kind < 4 or not flying:
                debits = (
                    bucket(6, 1),
                    quota(150, amount),
                    model(5, requests),
                    model(9, tokens, "provider:p", "tokens"),
                )
                wants = ask(*debits, cid=f"w{kind % 2}")
                one, other = [await store.reserve(wants) for store in stores]
                assert type(one) is type(other)
                if isinstance(one, Reservation) and isinstance(other, Reservation):
                    assert one.balances == other.balances
                    flying.append([one, other])
                elif isinstance(one, Rejection) and isinstance(other, Rejection):
                    assert (one.reason, one.retry_after) == (other.reason, other.retry_after)
            elif kind < 6:
                state: End = "settled" if kind == 4 else "released"
                used = {"provider:p": tokens, "tokens": amount} if kind == 4 else {}
                pair = zip(stores, flying.pop(0), strict=True)
                assert [await store.settle(it, used, state) for store, it in pair] == [True, True]
            clock.advance(seconds)
        for cid in ("w0", "w1"):
            assert await standing(stores[0], cid) == await standing(stores[1], cid)
        for store in stores:
            await store.close()

    asyncio.run(both())


async def test_a_node_pays_one_pipeline_a_tick(store: ClusterStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of one tick to many teams cost one round trip for each node, in each step."""
    teams = [f"team-{number}" for number in range(12)]
    for team in teams:
        await store.reserve(ask(quota(1000, 1), team=team))
    trips, exchange = [], Batch._exchange

    async def counted(batch: Batch, wire: bytes, count: int) -> list[Any]:
        trips.append(batch.name)
        return await exchange(batch, wire, count)

    monkeypatch.setattr(Batch, "_exchange", counted)
    await asyncio.gather(*(store.reserve(ask(quota(1000, 1), team=team)) for team in teams))
    assert len(trips) == len(set(trips)) == 3


async def test_a_forgotten_script_is_loaded_again(store: ClusterStore, nodes: Cluster) -> None:
    """Every node is given the script when it has lost it."""
    for node in nodes.nodes:
        node.ask("SCRIPT", "FLUSH")
    await asyncio.gather(*(store.reserve(ask(quota(1000, 1), team=f"t{number}")) for number in range(9)))
    assert len(await store.workflows(None, 100)) == 9


async def test_each_node_is_asked_whether_it_takes_writes(store: ClusterStore, nodes: Cluster) -> None:
    """`on_error: local` returns to a Cluster only if no node is full, whichever node it is."""
    await store.writable()
    for url in servers_of(nodes.url):
        with redis.Redis.from_url(url) as client:
            client.config_set("maxmemory", 1)
            try:
                with pytest.raises(StoreUnavailable, match="OutOfMemory"):
                    await store.writable()
            finally:
                client.config_set("maxmemory", 0)
    await store.writable()


async def test_slots_that_move_under_load_lose_nothing(nodes: Cluster) -> None:
    """While a team's slot moves to another node, calls continue, and the final sums are correct."""
    store = ClusterStore(nodes.url)
    await store.open()
    work = "mg1:{mover}:w:w"
    slot = slot_of(("GET", work))
    owner = next(node for node in nodes.nodes if any(_has(node.ask("CLUSTER", "SLOTS"), node.port, slot)))
    target = next(node for node in nodes.nodes if node is not owner)
    settled, done, warm = 0, False, asyncio.Event()

    async def calls() -> None:
        nonlocal settled
        while not done:
            got = await store.reserve(ask(quota(10**9, 7), bucket(10**6, 1, key="team:mover"), team="mover"))
            assert isinstance(got, Reservation)
            await store.settle(got, {"tokens": 5}, "settled")
            settled += 5
            if settled % 500 == 0:
                warm.set()

    def move() -> None:
        source_id, target_id = owner.ask("CLUSTER", "MYID"), target.ask("CLUSTER", "MYID")
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        owner.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        while keys := owner.ask("CLUSTER", "GETKEYSINSLOT", slot, 1):  # one at a time: keys of one call on both nodes
            owner.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, owner):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    callers = [asyncio.create_task(calls()) for _ in range(8)]
    await warm.wait()
    await asyncio.to_thread(move)
    warm.clear()
    await warm.wait()
    done = True
    await asyncio.gather(*callers)
    workflow = await store.workflow("mover", "w")
    assert workflow is not None
    assert (workflow.used["tokens"], workflow.held["tokens"], workflow.lapsed["tokens"]) == (settled, 0, 0)
    assert target.ask("EXISTS", work)
    await store.close()


def _has(ranges: Any, port: int, slot: int | None) -> Iterator[bool]:
    items = ranges.items() if isinstance(ranges, dict) else (((it[0], it[1]), {"primary": it[2]}) for it in ranges)
    for (first, last), owners in items:
        yield slot is not None and first <= slot <= last and int(owners["primary"][1]) == port


async def test_a_server_that_is_no_cluster(redis_url: str) -> None:
    """`redis+cluster://` for a single server is reported as a mistake in the configuration."""
    store = open_store(redis_url.replace("redis://", "redis+cluster://").removesuffix("/0"))
    with pytest.raises(ConfigError, match="is not a Cluster: write redis://"):
        await store.open()
    await store.close()
