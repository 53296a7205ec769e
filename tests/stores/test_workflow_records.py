"""The records of workflows in every store."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.amounts import Rejection, Reservation
from gateway.stores import Store, redis
from store_harness import Backend, ask, bucket, quota, refused, standing, take


async def test_a_rejection_by_rate_makes_no_workflow(store: Store) -> None:
    """A flood with ever new correlation ids leaves no records behind."""
    await take(store, bucket(1, 1))
    await refused(store, bucket(1, 1), quota(1000, 1), cid="new")
    assert await store.workflow("t", "new") is None


async def test_workflows_of_teams_are_apart(store: Store) -> None:
    """The same correlation id in another team is another workflow."""
    await take(store, quota(1000, 900))
    other = await store.reserve(ask(quota(1000, 900), team="u"))
    assert isinstance(other, Reservation)


async def test_a_workflow_expires_by_age(store: Store, place: Backend) -> None:
    """A workflow older than its seconds is refused as expired, frozen from then on, and young again once resumed."""
    young = ask(quota(1000, 1), seconds=100)
    assert isinstance(await store.reserve(young), Reservation)
    place.clock.advance(101)
    assert await store.reserve(ask(quota(1000, 1), seconds=100)) == Rejection("expired", -1, 101, 0, limit=100)
    assert (await refused(store, quota(1000, 1))).reason == "frozen"
    assert await store.resume("t", "w")
    assert isinstance(await store.reserve(ask(quota(1000, 1), seconds=100)), Reservation)


async def test_frozen_by_hand(store: Store) -> None:
    """A frozen workflow refuses every agent, before its first call too, until it is resumed."""
    await store.freeze("t", "w", "looks wrong")
    assert await refused(store, quota(1000, 1)) == Rejection("frozen", -1)
    workflow = await store.workflow("t", "w")
    assert workflow is not None
    assert (workflow.state, workflow.reason) == ("frozen", "looks wrong")
    assert await store.resume("t", "w")
    await take(store, quota(1000, 1))
    assert not await store.resume("t", "unknown")


async def test_calls_in_flight_settle_in_a_frozen_workflow(store: Store) -> None:
    """A freeze stops new calls; calls in flight are charged nevertheless."""
    reservation = await take(store, quota(1000, 400))
    await store.freeze("t", "w", "stop")
    await store.settle(reservation, {"tokens": 250}, "settled")
    assert await standing(store) == (250, 0, 0)


async def test_workflows_are_listed_last_seen_first(store: Store, place: Backend) -> None:
    """A listing has the team's workflows with agents and times, the most recent first."""
    for cid in ("one", "two", "three"):
        await store.reserve(ask(quota(1000, 1), cid=cid, agent=f"agent-{cid}"))
        place.clock.advance(10)
    await store.reserve(ask(quota(1000, 1), cid="one", agent="other"))
    await store.reserve(ask(quota(1000, 1), cid="elsewhere", team="u"))
    listed = await store.workflows("t", 2)
    assert [it.correlation_id for it in listed] == ["one", "three"]
    assert set(listed[0].agents) == {"agent-one", "other"}
    assert listed[0].last_seen - listed[0].first_seen == 30
    assert len(await store.workflows(None, 10)) == 4


async def counted(store: Store, limit: int) -> dict[str, int]:
    """The states of the newest workflows, which are those that a listing shows."""
    states = dict(await store.states(limit))
    assert states == Counter(it.state for it in await store.workflows(None, limit))
    return states


async def test_workflows_are_counted_by_state(store: Store, place: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all teams, the most recently seen; as the next call would find them, and without those that have expired."""
    monkeypatch.setattr(redis, "_STATES", 2)
    assert await counted(store, 10) == {}
    await store.settle(await take(store, quota(1000, 1), cid="old", ttl=100), {}, "settled")
    place.clock.advance(50)
    await store.freeze("u", "bad", "stop")
    for cid, limits in (("silent", {"idle": 50}), ("calls", {"idle": 50}), ("aged", {"seconds": 40}), ("done", {})):
        place.clock.advance(1)
        reservation = await take(store, quota(1000, 1), cid=cid, **limits)
        if cid != "calls":
            await store.settle(reservation, {}, "settled")
    await store.close_workflow("t", "done", "done")
    assert await counted(store, 10) == {"open": 4, "frozen": 1, "closed": 1}
    assert await counted(store, 3) == {"open": 2, "closed": 1}
    place.clock.advance(44)
    assert await counted(store, 10) == {"open": 3, "frozen": 2, "closed": 1}
    place.clock.advance(8)
    assert await counted(store, 10) == {"open": 1, "expired": 1, "frozen": 2, "closed": 1}


async def test_workflows_are_forgotten(store: Store, place: Backend) -> None:
    """After its ttl a workflow begins anew, with no usage; a frozen workflow is kept while it is called."""
    await store.settle(await take(store, quota(1000, 900)), {}, "settled")
    place.clock.advance(86401)
    assert await store.workflow("t", "w") is None
    await take(store, quota(1000, 900))
    await store.freeze("t", "bad", "stop")
    for _ in range(3):
        place.clock.advance(80000)
        assert (await refused(store, quota(1000, 1), cid="bad")).reason == "frozen"
