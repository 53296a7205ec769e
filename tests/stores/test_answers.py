"""Idempotency keys in both stores: one call runs, and the others get its state."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.stores import Kept, Store, open_store
from store_harness import Backend

ONE, TWO = b"1" * 16, b"2" * 16
LEASE, TTL = 30, 3600


async def begin(store: Store, key: str = "k", digest: bytes = ONE, team: str = "t") -> object:
    return await store.begin(team, key, digest, LEASE)


async def test_the_life_of_a_key(store: Store) -> None:
    """New, running, and then the answer, byte for byte; another body is a conflict all along."""
    assert await begin(store) == "new"
    assert await begin(store) == "running"
    assert await begin(store, digest=TWO) == "conflict"
    sealed = bytes(range(256)) * 5000
    await store.finish("t", "k", ONE, sealed, TTL)
    assert await begin(store) == Kept(sealed)
    assert await begin(store, digest=TWO) == "conflict"
    assert await begin(store, team="other") == "new"
    assert await begin(store, key="other") == "new"


async def test_an_abandoned_key_is_free(store: Store) -> None:
    """After an abandoned call, the next try runs, also with another body."""
    assert await begin(store) == "new"
    await store.abandon("t", "k", ONE)
    assert await begin(store, digest=TWO) == "new"
    await store.finish("t", "k", ONE, b"late", TTL)
    assert await begin(store, digest=TWO) == "running"
    await store.abandon("t", "k", ONE)
    assert await begin(store, digest=TWO) == "running"


async def test_of_many_at_once_one_runs(store: Store) -> None:
    """With any number of concurrent calls."""
    found = await asyncio.gather(*(begin(store) for _ in range(50)))
    assert sorted(map(str, found)) == ["new"] + ["running"] * 49


async def test_an_answer_has_its_time(place: Backend) -> None:
    """After its ttl, the key is free."""
    store = await place.open()
    await begin(store)
    await store.finish("t", "k", ONE, b"answer", TTL)
    place.clock.advance(TTL - 1)
    await store.sweep()
    assert await begin(store) == Kept(b"answer")
    place.clock.advance(2)
    assert await begin(store, digest=TWO) == "new"
    await store.close()


async def test_answers_outlive_the_process(place: Backend) -> None:
    """The next process has the finished answers; leases of running calls end with a regular stop, or in time."""
    store = await place.open()
    await begin(store)
    await store.finish("t", "k", ONE, b"answer", TTL)
    await begin(store, "running")
    await store.close()
    place.clock.advance(LEASE + 1)
    store = await place.open()
    assert await begin(store) == Kept(b"answer")
    assert await begin(store, "running") == "new"
    await store.close()


async def test_a_lease_is_renewed_while_its_process_lives(redis_url: str, tmp_path: Path) -> None:
    """And ends when it does not: another replica may run the call then, and the late answer of the first is dropped."""
    from store_harness import backend

    place = backend("redis", tmp_path, redis_url)
    first, second = await place.open(), await place.open()
    assert await begin(first) == "new"
    for _ in range(5):
        place.clock.advance(LEASE - 1)
        await first.sweep()
        assert await begin(second) == "running"
    place.clock.advance(LEASE + 1)
    assert await begin(second) == "new"
    await first.finish("t", "k", ONE, b"late", TTL)
    assert await begin(first) == "running"
    await first.abandon("t", "k", ONE)
    await first.sweep()
    await second.finish("t", "k", ONE, b"answer", TTL)
    assert await begin(first) == Kept(b"answer")
    await first.close()
    await second.close()


async def test_an_answer_whose_lease_ended_unnoticed_is_kept(redis_url: str, tmp_path: Path) -> None:
    """If no other call has taken the key, the late answer is kept."""
    from store_harness import backend

    place = backend("redis", tmp_path, redis_url)
    store = await place.open()
    await begin(store)
    place.clock.advance(LEASE + 1)
    await store.finish("t", "k", ONE, b"answer", TTL)
    assert await begin(store) == Kept(b"answer")
    await store.close()


steps = st.lists(st.tuples(st.sampled_from(["begin", "finish", "abandon"]), st.sampled_from("ab"), st.booleans()))


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_any_order_of_steps(kind: str, steps: list[tuple[str, str, bool]], redis_url: str, tmp_path: Path) -> None:
    """A key is always free, running for one digest, or kept for one digest."""
    from store_harness import backend

    async def run() -> None:
        store = await backend(kind, tmp_path, redis_url).open()
        model: dict[str, tuple[str, bytes]] = {}
        for step, key, other in steps:
            digest = TWO if other else ONE
            state, its = model.get(key, ("free", b""))
            if step == "begin":
                told = await begin(store, key, digest)
                want = {"free": "new", "running": "running", "kept": Kept(its)}[state] if its in (b"", digest) else None
                assert told == (want or "conflict")
                if told == "new":
                    model[key] = ("running", digest)
            elif state == "running" and its == digest and step == "finish":
                await store.finish("t", key, digest, digest, TTL)
                model[key] = ("kept", digest)
            elif state == "running" and its == digest:
                await store.abandon("t", key, digest)
                del model[key]
        await store.close()

    asyncio.run(run())


async def test_only_the_gateway_knows_what_runs(tmp_path: Path) -> None:
    """The lease of a call ends with its process: the file has no trace of a call that was in flight."""
    url = f"sqlite:///{tmp_path}/state.db"
    store = open_store(url)
    await store.open()
    await begin(store)
    await store.close()
    store = open_store(url)
    await store.open()
    assert await begin(store) == "new"
    await store.close()
