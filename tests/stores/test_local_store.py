"""`state.on_error: local`: a gateway that continues alone, and the return of Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.amounts import Balance, History, Rejection, Reservation
from gateway.stores import StoreUnavailable, local
from gateway.stores.counters import Counters
from gateway.stores.local import LocalStore
from gateway.stores.redis import RedisStore
from gateway.stores.seen import Seen
from redis_cluster import Server, server
from store_harness import Clock, ask, bucket, quota, refused, standing, take


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """A server that keeps everything over a kill."""
    with server("--appendfsync", "always") as one:
        yield one


@pytest.fixture
def redis_server(running: Server) -> Server:
    """The same, empty and started."""
    running.kill()
    running.start()
    running.ask("FLUSHALL")
    return running


@pytest.fixture
async def store(redis_server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalStore]:
    """One of two replicas, which probes Redis often."""
    monkeypatch.setattr(local, "FIRST", 0.02)
    monkeypatch.setattr(local, "LONGEST", 0.05)
    opened = LocalStore(RedisStore(redis_server.url), 2)
    await opened.open()
    yield opened
    await opened.close()


async def back(store: LocalStore, server: Server) -> None:
    """Redis is started again, and the store has noticed."""
    probe = store._probe
    assert probe is not None
    await asyncio.to_thread(server.start)
    await asyncio.wait_for(probe, 20)
    assert not store.local


async def test_it_goes_on_with_its_share(store: LocalStore, redis_server: Server) -> None:
    """One of two replicas has half of the rest; for an unknown workflow, half of the limit."""
    await store.settle(await take(store, quota(1000, 400)), {"tokens": 400}, "settled")
    redis_server.kill()
    assert not store.local
    assert (await refused(store, quota(1000, 301))).reason == "exceeded"
    assert store.local
    await take(store, quota(1000, 500), cid="new")
    assert (await refused(store, quota(1000, 1), cid="new")).reason == "busy"


async def test_buckets_are_shared_too(store: LocalStore, redis_server: Server) -> None:
    """A bucket continues from half its last level, and is refilled at half the rate up to half its size."""
    await take(store, bucket(10, 4, refill=0.001))
    redis_server.kill()
    rejection = await refused(store, bucket(10, 4, refill=0.001))
    assert (rejection.reason, rejection.limit) == ("rate", 5)
    assert (await take(store, bucket(10, 3, refill=0.001))).balances[0].remaining == 0
    rejection = await refused(store, bucket(10, 1, refill=0.001))
    assert rejection.retry_after is not None
    assert 1900 < rejection.retry_after <= 2000


async def test_at_least_one(store: LocalStore, redis_server: Server) -> None:
    """A limit of one is a share of one; depth is not divided."""
    redis_server.kill()
    hops = quota(3, 3, "hops")._replace(unit="hops")
    await take(store, bucket(1, 1), quota(1, 1, "calls"), hops)
    assert (await refused(store, bucket(1, 1))).reason == "rate"


async def test_the_chain_goes_on(store: LocalStore, redis_server: Server) -> None:
    """A gateway that continues alone knows the chain of agents."""
    for agent in ("a", "b"):
        assert isinstance(await store.reserve(ask(quota(1000, 1), agent=agent)), Reservation)
    redis_server.kill()
    got = await store.reserve(ask(quota(1000, 1), agent="c"))
    assert isinstance(got, Reservation)
    assert got.chain == ("a", "b", "c")


async def test_what_was_frozen_stays_frozen(store: LocalStore, redis_server: Server) -> None:
    """A workflow that had ended accepts no calls alone either."""
    await store.settle(await take(store, quota(1000, 1000)), {}, "settled")
    await refused(store, quota(1000, 1))
    redis_server.kill()
    assert (await refused(store, quota(1000, 1))).reason == "frozen"


async def test_charges_are_entered_when_redis_is_back(store: LocalStore, redis_server: Server) -> None:
    """Calls settled alone are charged once; earlier reservations are settled; calls in flight stay held."""
    before = await take(store, quota(1000, 100))
    redis_server.kill()
    ended, released, flying = [await take(store, quota(1000, 50), bucket(9, 1)) for _ in range(3)]
    assert await store.settle(ended, {"tokens": 20}, "settled")
    assert not await store.settle(ended, {"tokens": 20}, "settled")
    assert await store.settle(released, {}, "released")
    assert await store.settle(before, {"tokens": 70}, "settled")
    await back(store, redis_server)
    await store.sweep()
    assert await standing(store) == (90, 50, 0)
    assert redis_server.ask("HGET", "mg1:{t}:w:w", "alone") == b"2"
    assert await store.settle(flying, {"tokens": 30}, "settled")
    assert not await store.settle(flying, {"tokens": 30}, "settled")
    await store.sweep()
    assert await standing(store) == (120, 0, 0)


async def test_entering_twice_charges_once(store: LocalStore, redis_server: Server) -> None:
    """An entry whose reply was lost is entered again, and counts once."""
    redis_server.kill()
    await store.settle(await take(store, quota(1000, 50)), {"tokens": 20}, "settled")
    entries = list(store._ended)
    await back(store, redis_server)
    store._ended += entries * 2
    await store.sweep()
    assert await standing(store) == (20, 0, 0)


async def test_lost_calls_lapse_alone_too(store: LocalStore, redis_server: Server) -> None:
    """A call admitted alone that does not end is charged at its estimate and marked."""
    clock = Clock()
    store._clock = clock
    redis_server.kill()
    await take(store, quota(1000, 50))
    clock.advance(61)
    assert await store.sweep() == 1
    await back(store, redis_server)
    assert await standing(store) == (50, 0, 50)


async def test_it_comes_back_while_calls_go_on(store: LocalStore, redis_server: Server) -> None:
    """Under load nothing is lost or doubled on the way out and back."""
    settled, stop, lost = 0, False, asyncio.Event()

    async def calls() -> None:
        nonlocal settled
        while not stop:
            got = await store.reserve(ask(quota(10**9, 7)))
            assert isinstance(got, Reservation), got
            await asyncio.sleep(0.001)
            await store.settle(got, {"tokens": 5}, "settled")
            settled += 5
            if store.local:
                lost.set()

    callers = [asyncio.create_task(calls()) for _ in range(16)]
    await asyncio.sleep(0.1)
    await asyncio.to_thread(redis_server.kill)
    await lost.wait()
    await back(store, redis_server)
    await asyncio.sleep(0.1)
    stop = True
    await asyncio.gather(*callers)
    await store.sweep()
    await store.sweep()
    assert await standing(store) == (settled, 0, 0)


async def test_what_cannot_be_done_alone(store: LocalStore, redis_server: Server) -> None:
    """The vault and changes by operators fail closed; the last known keys are valid; the gateway counts as ready."""
    version, keys = await store.keys_version(), await store.keys()
    redis_server.kill()
    await take(store, quota(1000, 1))
    for failing in (store.seal("t", "w", [], 9), store.freeze("t", "w", "stop"), store.workflow("t", "w")):
        with pytest.raises(StoreUnavailable):
            await failing
    assert (await store.keys_version(), await store.keys()) == (version, keys)
    await store.ping()
    await back(store, redis_server)


async def test_a_gateway_may_start_without_redis(redis_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It serves its share from the start, and joins the others when Redis is there."""
    monkeypatch.setattr(local, "FIRST", 0.02)
    redis_server.kill()
    store = LocalStore(RedisStore(redis_server.url), 2)
    await store.open()
    assert store.local
    await store.settle(await take(store, quota(1000, 400)), {"tokens": 30}, "settled")
    await back(store, redis_server)
    assert await standing(store) == (30, 0, 0)
    await store.close()


async def ended(store: LocalStore) -> None:
    """The outage is over."""
    if (probe := store._probe) is not None:
        await asyncio.wait_for(probe, 20)


async def test_outages_in_a_row_are_one_share(store: LocalStore, redis_server: Server) -> None:
    """What was used alone counts in the next outage, if Redis has reported nothing in between; a report replaces it."""
    limits = (quota(1000, 300), bucket(20, 6, refill=0.001))
    redis_server.kill()
    await store.settle(await take(store, *limits), {"tokens": 300, "requests": 6}, "settled")
    flying = await take(store, quota(1000, 100), bucket(20, 0, refill=0.001))
    for reason in ("exceeded", "frozen"):
        await back(store, redis_server)
        redis_server.kill()
        assert (await refused(store, quota(1000, 101))).reason == reason
        assert store.local
        assert (await refused(store, bucket(20, 5, refill=0.001), cid="other")).reason == "rate"
    await back(store, redis_server)
    assert await store.settle(flying, {"tokens": 100}, "settled")
    await take(store, quota(1000, 100))
    redis_server.kill()
    await take(store, quota(1000, 250))


async def test_labels_that_were_set_alone_outlive_the_next_outage(store: LocalStore, redis_server: Server) -> None:
    """Redis has them, and so has the gateway, although Redis has reported nothing."""
    redis_server.kill()
    alone = await known(store)
    assert (await store.mark("t", "w", ["untrusted"], alone.version)).done
    await back(store, redis_server)
    redis_server.kill()
    assert (await known(store)).labels == ("untrusted",)


@pytest.mark.parametrize("setting", [("maxmemory", "1"), ("min-replicas-to-write", "1")])
async def test_a_server_that_takes_no_writes_is_not_back(
    store: LocalStore, redis_server: Server, setting: tuple[str, str]
) -> None:
    """It answers all the while; calls would be tried on it, and the share begun again, many times a minute."""
    name, value = setting
    await store.settle(await take(store, quota(1000, 100)), {"tokens": 100}, "settled")
    redis_server.ask("CONFIG", "SET", name, value)
    try:
        await store.settle(await take(store, quota(1000, 300)), {"tokens": 300}, "settled")
        assert store.local
        with pytest.raises(StoreUnavailable):
            await store._remote.writable()
    finally:
        redis_server.ask("CONFIG", "SET", name, "0")
    await ended(store)
    assert await standing(store) == (400, 0, 0)


@given(amounts=st.lists(st.integers(1, 60), max_size=12))
def test_a_server_that_comes_and_goes(amounts: list[int]) -> None:
    """Whatever is asked for in however many outages, this gateway admits no more than its share of it."""
    seen, counters, used, taken = Seen(2), Counters(), 0, 0
    for number, amount in enumerate(amounts):
        before, counters = counters, Counters(seen.record)
        counters.buckets = seen.buckets(0, before.buckets)
        want = ask(seen.share(quota(200, amount)))
        if isinstance(counters.reserve(want, 0), Reservation):
            used += amount
            if number % 2:
                counters.settle(want, {"tokens": amount}, "settled", 0)
        if isinstance(counters.reserve(ask(seen.share(bucket(80, amount)), cid="other"), 0), Reservation):
            taken += amount
        seen.keep(counters.records)
    assert used <= 100
    assert taken <= 40


@given(st.integers(1, 200), st.data())
def test_shares_together_are_not_above_the_limit(limit: int, data: st.DataObject) -> None:
    """Replicas with the same last balance admit together no more than the rest, if it is at least one per replica."""
    replicas = data.draw(st.integers(1, min(5, limit)))
    taken = data.draw(st.integers(1, limit))
    wants = ask(quota(limit, 1))
    admitted = 0
    for _ in range(replicas):
        seen = Seen(replicas)
        seen.note(wants, Reservation(wants, (Balance(limit - taken, 0.0),)), 0)
        counters = Counters(seen.record)
        while not isinstance(counters.reserve(ask(seen.share(quota(limit, 1))), 0), Rejection):
            admitted += 1
    assert taken + admitted <= limit


async def known(store: LocalStore, *tools: str) -> History:
    """The history in the reservation of a call."""
    got = await store.reserve(ask(quota(1000, 1), history=True, tools=tools))
    assert isinstance(got, Reservation)
    assert got.history is not None
    await store.settle(got, {}, "settled")
    return got.history


async def test_tools_are_taken_out_alone(store: LocalStore, redis_server: Server) -> None:
    """Stripped tools stay stripped during an outage; tools that are stripped during an outage are entered later."""
    await take(store, quota(1000, 1))
    await store.strip("t", "w", ["pay"])
    assert (await take(store, quota(1000, 1))).stripped == ("pay",)
    redis_server.kill()
    assert (await take(store, quota(1000, 1))).stripped == ("pay",)
    await store.strip("t", "w", ["send", "pay"])
    assert (await take(store, quota(1000, 1))).stripped == ("pay", "send")
    await back(store, redis_server)
    assert (await take(store, quota(1000, 1))).stripped == ("pay", "send")


async def test_labels_are_known_and_set_alone(store: LocalStore, redis_server: Server) -> None:
    """The known history applies during an outage; labels set alone are entered once Redis is back."""
    before = await known(store, "search")
    marked = await store.mark("t", "w", ["untrusted"], before.version)
    assert marked.done
    redis_server.kill()
    alone = await known(store, "fetch")
    assert (alone.labels, alone.tools) == (("untrusted",), ("search", "fetch"))
    assert not (await store.mark("t", "w", [], marked.history.version)).done
    assert (await store.mark("t", "w", ["read:pii"], alone.version)).done
    await back(store, redis_server)
    after = await known(store)
    assert (after.labels, after.tools) == (("read:pii", "untrusted"), ("search", "fetch"))
    assert not (await store.mark("t", "w", [], alone.version)).done


async def test_redis_goes_between_verdict_and_mark(store: LocalStore, redis_server: Server) -> None:
    """The call is judged again with this gateway's history, and continues."""
    before = await known(store)
    redis_server.kill()
    marked = await store.mark("t", "w", ["untrusted"], before.version)
    assert not marked.done
    assert store.local
    assert (await store.mark("t", "w", ["untrusted"], marked.history.version)).done
    assert (await known(store)).labels == ("untrusted",)
