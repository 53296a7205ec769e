"""Properties of the Redis store: shared counters, lost replies, a server that loses data or stops."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
import redis

from gateway.amounts import Reservation
from gateway.stores import StoreUnavailable, open_store
from gateway.stores.batch import pack
from gateway.stores.redis import RedisStore
from servers import free_port, redis_server
from store_harness import Backend, Clock, ask, bucket, quota, standing, take


@pytest.fixture
def url(redis_url: str) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url


async def test_replicas_never_overshoot_together(url: str) -> None:
    """Three replicas concurrently admit exactly up to the limit, and each sees the usage of the others."""
    replicas = [RedisStore(url) for _ in range(3)]
    outcomes = await asyncio.gather(
        *(replicas[number % 3].reserve(ask(quota(1000, 30), cid="w")) for number in range(150))
    )
    admitted = [it for it in outcomes if isinstance(it, Reservation)]
    assert len(admitted) == 33
    await asyncio.gather(*(replicas[2].settle(it, {"tokens": 10}, "settled") for it in admitted))
    assert await standing(replicas[0]) == (330, 0, 0)
    for replica in replicas:
        await replica.close()


async def test_the_servers_clock_refills(url: str) -> None:
    """Without a test clock, the server's time counts: the reset of a bucket follows its rate."""
    store = RedisStore(url)
    reservation = await take(store, bucket(100, 50, refill=1.0))
    assert reservation.balances[0].reset == 50.0
    workflow = await store.workflow("t", "w")
    with redis.Redis.from_url(url) as client:
        seconds: Any = client.time()
    assert workflow is not None
    assert abs(workflow.last_seen - seconds[0]) < 5
    await store.close()


async def test_a_forgotten_script_is_loaded_again(url: str) -> None:
    """A server that lost its scripts (restart, SCRIPT FLUSH) is given them again, unnoticed."""
    store = RedisStore(url)
    await take(store, quota(1000, 1))
    with redis.Redis.from_url(url) as client:
        client.script_flush()
    await asyncio.gather(*(take(store, quota(1000, 1)) for _ in range(5)))
    assert await standing(store) == (0, 6, 0)
    await store.close()


async def test_a_connection_closed_by_the_server_is_no_outage(url: str) -> None:
    """Idle connections that the server dropped are replaced without an error."""
    store = RedisStore(url)
    await take(store, quota(1000, 1))
    with redis.Redis.from_url(url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    await take(store, quota(1000, 1))
    assert await standing(store) == (0, 2, 0)
    await store.close()


async def test_reserving_twice_under_one_id_takes_once(url: str) -> None:
    """A reserve that is sent again because its reply was lost takes nothing more."""
    store = RedisStore(url)
    once = ask(quota(1000, 900), bucket(5, 5))
    first, second = await store.reserve(once), await store.reserve(once)
    assert isinstance(first, Reservation)
    assert isinstance(second, Reservation)
    assert [it.remaining for it in second.balances] == [100, 0]
    assert await standing(store) == (0, 900, 0)
    await store.close()


async def test_a_call_cancelled_while_reserving_leaks_nothing(url: str) -> None:
    """If a caller disconnects before the reply, the next sweep gives its reservation back."""
    store = RedisStore(url)
    await store.ping()
    leaving = asyncio.create_task(store.reserve(ask(quota(1000, 400))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await store.ping()
    await store.sweep()
    assert await standing(store) == (0, 0, 0)
    await store.close()


async def test_redis_gone_fails_closed_and_comes_back(url: str) -> None:
    """Without a server, errors name the server without a password; settlements are repeated once it is back."""
    port = free_port()
    place = Backend("redis", f"redis://:secret-word@127.0.0.1:{port}/0", Clock())
    with pytest.raises(StoreUnavailable, match=re.escape(f"127.0.0.1:{port}")) as failure:
        await place.open()
    assert "secret-word" not in str(failure.value)

    store = open_store(place.url, clock=place.clock)
    with redis_server(port, "--requirepass", "secret-word"):
        reservation = await take(store, quota(1000, 400))
    assert await store.settle(reservation, {"tokens": 30}, "settled")
    for failing in (store.reserve(ask(quota(1000, 1))), store.ping(), store.keys()):
        with pytest.raises(StoreUnavailable):
            await failing
    with redis_server(port, "--requirepass", "secret-word"):
        await store.ping()
        assert isinstance(await store.reserve(ask(quota(1000, 1))), Reservation)
    await store.close()


async def test_a_settle_that_failed_is_told_again(url: str) -> None:
    """Calls that could not be settled while Redis was stalled are settled by a later sweep, once."""
    store = RedisStore(url)
    reservation = await take(store, quota(1000, 400))
    with redis.Redis.from_url(url) as client:
        client.execute_command("CLIENT", "PAUSE", 1500, "ALL")
        await store.settle(reservation, {"tokens": 30}, "settled")
        client.execute_command("CLIENT", "UNPAUSE")
    await store.sweep()
    await store.sweep()
    assert await standing(store) == (30, 0, 0)
    await store.close()


async def test_every_key_of_a_teams_call_is_in_one_slot(url: str) -> None:
    """Workflow, reservations and the buckets of team and agent share a hash tag, as a Cluster demands."""
    store = RedisStore(url)
    debits = (bucket(5, 1, key="agent:t:a"), bucket(5, 1, key="team:t"), quota(1000, 1))
    await store.reserve(ask(*debits))
    await store.seal("t", "w", [("EMAIL", b"d", b"c")], 100)
    with redis.Redis.from_url(url) as client:
        keys: Any = client.keys("*")
    tags = {re.search(r"\{(.*?)\}", key.decode()) for key in keys if key != b"mg1:teams"}
    assert {tag.group(1) for tag in tags if tag} == {"t"}
    assert len(keys) == 7
    await store.close()


async def test_records_expire_by_themselves(url: str) -> None:
    """Every key but the index of teams and of reservations has a time to live."""
    store = RedisStore(url)
    reservation = await take(store, quota(1000, 1), bucket(5, 1))
    await store.seal("t", "w", [("EMAIL", b"d", b"c")], 100)
    await store.settle(reservation, {}, "settled")
    with redis.Redis.from_url(url) as client:
        forever = [key for key in client.scan_iter() if client.ttl(key) == -1]
    assert sorted(forever) == [b"mg1:teams", b"mg1:{t}:seen"]
    await store.close()


def test_commands_on_the_wire() -> None:
    """Text, numbers and raw bytes are packed as bulk strings, counted in bytes."""
    assert pack(("SET", "é", 12, b"\x00\r\n")) == b"*4\r\n$3\r\nSET\r\n$2\r\n\xc3\xa9\r\n$2\r\n12\r\n$3\r\n\x00\r\n\r\n"
