"""Waiting for quota: `quotas.wait` on both stores and between replicas, without leftovers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
import redis

import upstream as scripted
from gateway.amounts import Ask, Rejection, Reservation
from gateway.stores import Store, StoreUnavailable
from gateway.stores.admit import admit
from gateway.stores.redis import RedisStore
from line import config, running
from servers import redis_server
from store_harness import ask, quota, standing, take

LONG = 60.0  # seconds that no test waits


async def waiting(store: Store, wanted: Ask, wait: float = LONG) -> asyncio.Task[Reservation | Rejection]:
    """A call that has been refused once and waits now."""
    task = asyncio.create_task(admit(store, wanted, wait))
    for _ in range(3):
        await store.ping()
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_a_busy_call_gets_in_when_another_ends(store: Store) -> None:
    """It waits for as much as it needs, not for the first that ends, and is then served."""
    first, second = await take(store, quota(100, 50)), await take(store, quota(100, 50))
    task = await waiting(store, ask(quota(100, 80)))
    await store.settle(first, {"tokens": 10}, "settled")
    await store.ping()
    assert not task.done()
    await store.settle(second, {"tokens": 10}, "settled")
    assert isinstance(await task, Reservation)
    assert await standing(store) == (20, 80, 0)


async def test_whoever_waits_hears_that_it_is_over(store: Store) -> None:
    """A freeze, a close, or no room left for good ends the wait with that answer."""
    for number, end in enumerate((store.freeze, store.close_workflow)):
        await take(store, quota(100, 50), cid=f"w{number}")
        task = await waiting(store, ask(quota(100, 80), cid=f"w{number}"))
        await end("t", f"w{number}", "enough")
        answer = await task
        assert isinstance(answer, Rejection)
        assert answer.reason == ("frozen", "closed")[number]
    flying = await take(store, quota(100, 50))
    task = await waiting(store, ask(quota(100, 80)))
    await store.settle(flying, {}, "settled")
    answer = await task
    assert isinstance(answer, Rejection)
    assert answer.reason == "exceeded"


async def test_a_topup_ends_the_wait(store: Store) -> None:
    """A top-up wakes waiting calls."""
    await take(store, quota(100, 50))
    task = await waiting(store, ask(quota(100, 80)))
    await store.resume("t", "w", {"tokens": 30})
    assert isinstance(await task, Reservation)


async def test_the_time_runs_out(store: Store) -> None:
    """Then it is busy, as without waiting; zero seconds do not wait at all."""
    await take(store, quota(100, 50))
    for wait in (0, 0.05):
        assert await admit(store, ask(quota(100, 80)), wait) == Rejection("busy", 0, 0, 50, limit=100)
    assert await standing(store) == (0, 50, 0)


async def test_one_who_leaves_leaves_nothing(store: Store) -> None:
    """A call that is cancelled while waiting holds nothing, and the next call is admitted."""
    flying = await take(store, quota(100, 50))
    leaving, staying = [await waiting(store, ask(quota(100, 80))) for _ in range(2)]
    leaving.cancel()
    await asyncio.wait([leaving])
    await store.settle(flying, {"tokens": 0}, "settled")
    assert isinstance(await staying, Reservation)
    assert await standing(store) == (0, 80, 0)


async def test_nobody_starves(store: Store) -> None:
    """An endless series of small calls does not block a large call, which goes first after half of its waiting time."""
    served = asyncio.Event()

    async def small_calls() -> None:
        while not served.is_set():
            mine = await admit(store, ask(quota(100, 30)), LONG)
            assert isinstance(mine, Reservation)
            for _ in range(3):
                await store.ping()
                await asyncio.sleep(0)
            await store.settle(mine, {"tokens": 0}, "settled")

    crowd = asyncio.gather(*(small_calls() for _ in range(4)))
    await asyncio.sleep(0)
    outcome = await admit(store, ask(quota(100, 90)), 1.0)
    served.set()
    assert isinstance(outcome, Reservation)
    await store.settle(outcome, {"tokens": 0}, "settled")
    await crowd


async def test_a_replica_hears_of_the_others(redis_url: str) -> None:
    """Quota that another replica returns wakes a waiting call within a moment, not only at its time limit."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    here, there = RedisStore(redis_url), RedisStore(redis_url)
    flying = await take(there, quota(100, 50))
    task = await waiting(here, ask(quota(100, 80)))
    await there.settle(flying, {"tokens": 0}, "settled")
    assert isinstance(await asyncio.wait_for(task, LONG / 2), Reservation)
    await here.close()
    await there.close()


async def test_closing_ends_the_looking(redis_url: str) -> None:
    """A store that is closed while a call waits leaves no task behind."""
    store = RedisStore(redis_url)
    task = asyncio.create_task(store.settled("t", "nobody", LONG))
    await asyncio.sleep(0)
    await store.close()
    task.cancel()
    await asyncio.wait([task])
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_store_that_goes_is_heard_by_who_waits() -> None:
    """The next attempt fails closed, without waiting any longer."""
    with redis_server() as url:
        store = RedisStore(url)
        await take(store, quota(100, 50))
        task = await waiting(store, ask(quota(100, 80)))
    with pytest.raises(StoreUnavailable):
        await task
    await store.close()


# On a running gateway


def test_a_call_waits_for_the_one_before_it(up: scripted.Upstream, tmp_path: Path) -> None:
    """With `quotas.wait`, the second of two calls is served once the first has ended; cancelled waits hold nothing."""
    up.arrived.clear()
    settings = config(tmp_path, up.url, quotas={"tokens": 5000, "wait": "50s"}, pii=None, output=None)
    settings["models"]["mid-hang"]["max_output"] = 3000
    settings["models"]["echo"]["max_output"] = 3000
    with running(tmp_path, settings) as line, httpx.Client(base_url=line.url, timeout=60) as leaver:
        body = {"model": "mid-hang", "messages": [{"role": "user", "content": "hello hello"}], "stream": True}
        headers = {"authorization": "Bearer mg-alice", "x-correlation-id": "w"}
        up.release.clear()
        with leaver.stream("POST", "/v1/chat/completions", json=body, headers=headers) as first:
            chunks = first.iter_bytes()
            next(chunks)
            with pytest.raises(httpx.ReadTimeout):
                line.client.post(
                    "/v1/chat/completions",
                    json={**body, "model": "echo", "stream": False},
                    headers=headers,
                    timeout=0.2,
                )
            assert line.workflow("w").held["tokens"] < 3100
            seen = len(up.seen)
            up.release.set()
            answer = line.chat("hi", cid="w")
            assert answer.status_code == 200
            assert len(up.seen) == seen + 1
        workflow = line.workflow("w")
        assert workflow.held["tokens"] == 0


def test_a_workflow_frozen_by_hand_is_refused_without_any_quota(up: scripted.Upstream, tmp_path: Path) -> None:
    """Without limits and quotas, a freeze applies nevertheless, and other workflows leave no record."""
    with running(tmp_path, config(tmp_path, up.url, pii=None, output=None)) as line:
        assert line.chat("hi", cid="good").status_code == 200
        store = line.gateway.shared.store
        asyncio.run_coroutine_threadsafe(store.freeze("red", "bad", "looks wrong"), line.loop).result()
        answer = line.chat("hi", cid="bad")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "workflow_frozen")
        assert line.workflow("good") is None
