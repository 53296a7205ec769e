"""The states of a workflow and their effects on calls: on SQLite and on a real Redis."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.amounts import REPEATS, Rejection, Reservation
from gateway.stores import Store, Workflow
from store_harness import Backend, ask, bucket, hops, quota, refused, repeats, standing, take


async def seen(store: Store, cid: str = "w") -> Workflow:
    """The workflow, which must be there."""
    workflow = await store.workflow("t", cid)
    assert workflow is not None
    return workflow


# Top-ups


async def test_a_topup_raises_the_limit_for_good(store: Store) -> None:
    """After a top-up the limit in force counts: in balances, rejections and the listing; several add up."""
    await store.settle(await take(store, quota(1000, 900)), {}, "settled")
    assert (await refused(store, quota(1000, 200))).reason == "exceeded"
    assert await store.resume("t", "w", {"tokens": 300})
    taken = await take(store, quota(1000, 200))
    assert [tuple(it) for it in taken.balances] == [(200, 0.0, 300)]
    assert await refused(store, quota(1000, 201)) == Rejection("busy", 0, 900, 200, limit=1300)
    await store.settle(taken, {}, "settled")
    assert await store.resume("t", "w", {"tokens": 50, "cost": 7})
    assert (await seen(store)).topups == {"tokens": 350, "cost": 7}
    assert await refused(store, quota(1000, 251)) == Rejection("exceeded", 0, 1100, 0, limit=1350)
    assert await refused(store, quota(1000, 1)) == Rejection("frozen", 0, 1100, 0, limit=1350)


async def test_topups_survive_a_restart(place: Backend) -> None:
    """Top-ups survive a reopening of the store."""
    first = await place.open()
    await take(first, quota(1000, 1))
    await first.resume("t", "w", {"tokens": 500})
    await first.close()
    second = await place.open()
    assert (await take(second, quota(1000, 1400))).balances[0].added == 500
    assert (await seen(second)).topups == {"tokens": 500}
    await second.close()


async def test_large_topups_stay_exact(store: Store) -> None:
    """Amounts up to the maximum are exact; larger limits stay at the maximum."""
    await take(store, quota(10, 1))
    await store.resume("t", "w", {"tokens": 2**52 + 1})
    assert (await take(store, quota(0, 5))).balances[0].remaining == 2**52 - 5
    await store.resume("t", "w", {"tokens": 2**52 + 1})
    assert (await take(store, quota(100, 0))).balances[0].remaining == 2**53 - 1 - 6


# Closed, opened


async def test_a_closed_workflow_takes_no_more(store: Store) -> None:
    """Closing is for good: calls are refused, calls in flight settle, nothing opens or freezes it again."""
    reservation = await take(store, quota(1000, 400))
    assert not await store.close_workflow("t", "unknown", "done")
    assert await store.close_workflow("t", "w", "done")
    assert not await store.close_workflow("t", "w", "again")
    assert await refused(store, quota(1000, 1)) == Rejection("closed")
    await store.settle(reservation, {"tokens": 30}, "settled")
    assert not await store.resume("t", "w", {"tokens": 5})
    await store.freeze("t", "w", "by hand")
    assert await refused(store, quota(1000, 1)) == Rejection("closed")
    workflow = await seen(store)
    assert (workflow.state, workflow.reason, workflow.topups) == ("closed", "done", {})
    assert await standing(store) == (30, 0, 0)


async def test_a_frozen_workflow_can_be_closed(store: Store) -> None:
    """A frozen workflow can be closed."""
    await store.freeze("t", "w", "stop")
    assert await store.close_workflow("t", "w", "gave up")
    assert (await refused(store)).reason == "closed"


async def test_strict_wants_an_opened_workflow(store: Store) -> None:
    """With `strict`, only opened workflows accept calls; a refusal leaves no record."""
    assert await refused(store, quota(1000, 1), strict=True) == Rejection("unknown")
    assert await store.workflow("t", "w") is None
    assert await store.open_workflow("t", "w", 1000)
    assert not await store.open_workflow("t", "w", 1000)
    assert (await seen(store)).strict_opened
    await take(store, quota(1000, 1), strict=True)
    await take(store, quota(1000, 1), cid="loose")
    assert not (await seen(store, "loose")).strict_opened
    assert await refused(store, quota(1000, 1), cid="loose", strict=True) == Rejection("unknown")
    assert not await store.open_workflow("t", "loose", 1000)


async def test_an_opened_workflow_is_kept_for_its_time(store: Store, place: Backend) -> None:
    """A workflow that is never called is dropped after its ttl, and can be opened again."""
    await store.open_workflow("t", "w", 100)
    place.clock.advance(99)
    assert await store.workflow("t", "w") is not None
    place.clock.advance(2)
    assert await store.workflow("t", "w") is None
    assert (await refused(store, quota(1000, 1), strict=True)).reason == "unknown"
    assert await store.open_workflow("t", "w", 100)


async def test_states_survive_a_restart(place: Backend) -> None:
    """Closed, expired and opened are still so when the store is opened again."""
    first = await place.open()
    for cid in ("closed", "expired", "opened"):
        assert await first.open_workflow("t", cid, 1000)
    await first.close_workflow("t", "closed", "done")
    place.clock.advance(50)
    await refused(first, cid="expired", idle=40)
    await first.durable()
    await first.close()
    second = await place.open()
    assert [(await seen(second, cid)).state for cid in ("closed", "expired", "opened")] == ["closed", "expired", "open"]
    assert (await refused(second, cid="closed")).reason == "closed"
    assert await refused(second, cid="expired", idle=40) == Rejection("idle", limit=40)
    assert isinstance(await second.reserve(ask(cid="opened", strict=True)), Reservation)
    await second.close()


# Idle


async def test_a_silent_workflow_expires(store: Store, place: Backend) -> None:
    """Not called for longer than `idle` it has ended, for good; each call and each answer keeps it alive."""
    first = await take(store, quota(1000, 1), idle=100)
    place.clock.advance(90)
    second = await take(store, quota(1000, 1), idle=100)
    for it in (first, second):
        await store.settle(it, {}, "settled")
    place.clock.advance(100)
    await store.settle(await take(store, quota(1000, 1), idle=100), {}, "settled")
    place.clock.advance(100.5)
    assert await refused(store, quota(1000, 1), idle=100) == Rejection("idle", limit=100)
    place.clock.advance(1)
    assert await refused(store, quota(1000, 1), idle=100) == Rejection("idle", limit=100)
    assert ((await seen(store)).state, (await seen(store)).reason) == ("expired", "quotas.idle")
    assert not await store.resume("t", "w")
    assert not await store.close_workflow("t", "w", "done")


async def test_a_long_call_is_no_silence(store: Store, place: Backend) -> None:
    """While a call is in flight, even a call that holds nothing, the workflow is not idle."""
    await take(store, quota(1000, 0), idle=10)
    place.clock.advance(50)
    await take(store, quota(1000, 1), idle=10)
    assert await standing(store) == (0, 1, 0)


async def test_a_resumed_workflow_is_not_idle(store: Store, place: Backend) -> None:
    """After any time frozen, the idle time counts from the resume."""
    await store.settle(await take(store, quota(1000, 1), idle=100), {}, "settled")
    await store.freeze("t", "w", "look")
    place.clock.advance(500)
    await store.resume("t", "w")
    place.clock.advance(99)
    await take(store, quota(1000, 1), idle=100)
    assert await standing(store) == (1, 1, 0)


async def state(store: Store, cid: str = "w") -> tuple[str, str]:
    """The state that everybody sees, alone and in the list."""
    alone, listed = await seen(store, cid), {it.correlation_id: it for it in await store.workflows("t", 100)}
    assert (listed[cid].state, listed[cid].reason) == (alone.state, alone.reason)
    return alone.state, alone.reason


async def test_silence_shows_before_the_next_call(store: Store, place: Backend) -> None:
    """Past `idle` a workflow is expired for whoever looks, and nothing opens, freezes or closes it again."""
    await store.settle(await take(store, quota(1000, 1), idle=100), {}, "settled")
    place.clock.advance(100)
    assert await state(store) == ("open", "")
    place.clock.advance(0.5)
    assert await state(store) == ("expired", "quotas.idle")
    assert not await store.resume("t", "w", {"tokens": 5})
    assert not await store.close_workflow("t", "w", "done")
    await store.freeze("t", "w", "stop")
    assert await state(store) == ("expired", "quotas.idle")
    assert (await seen(store)).topups == {}
    assert await refused(store, quota(1000, 1), idle=100) == Rejection("idle", limit=100)
    assert await state(store) == ("expired", "quotas.idle")


async def test_a_call_under_way_shows_as_no_silence(store: Store, place: Backend) -> None:
    """While a call is in flight its workflow stays open; the end of the call restarts the idle time."""
    flying = await take(store, idle=10, cid="w")
    place.clock.advance(50)
    assert await state(store) == ("open", "")
    await store.settle(flying, {}, "settled")
    place.clock.advance(10)
    assert await state(store) == ("open", "")
    place.clock.advance(1)
    assert await state(store) == ("expired", "quotas.idle")


async def test_age_shows_before_the_next_call(store: Store, place: Backend) -> None:
    """Past `seconds` a workflow is frozen for whoever looks; it can be resumed, and its age counts from then."""
    await store.settle(await take(store, quota(1000, 1), seconds=100), {}, "settled")
    place.clock.advance(101)
    assert await state(store) == ("frozen", "quotas.seconds")
    assert await store.resume("t", "w")
    assert await state(store) == ("open", "")
    place.clock.advance(99)
    await take(store, quota(1000, 1), seconds=100)
    place.clock.advance(2)
    assert await refused(store, quota(1000, 1), seconds=100) == Rejection("expired", used=101, limit=100)
    assert await state(store) == ("frozen", "quotas.seconds")


async def test_the_time_that_ran_out_first_counts(store: Store, place: Backend) -> None:
    """The state does not change by waiting longer: expired if it was idle first, frozen if it was too old first."""
    for cid, idle in (("silent", 50), ("old", 150)):
        await store.settle(await take(store, quota(1000, 1), cid=cid, seconds=100, idle=idle), {}, "settled")
    place.clock.advance(120)
    assert [(await state(store, cid))[0] for cid in ("silent", "old")] == ["expired", "frozen"]
    place.clock.advance(120)
    assert [(await state(store, cid))[0] for cid in ("silent", "old")] == ["expired", "frozen"]
    assert (await refused(store, quota(1000, 1), cid="silent", seconds=100, idle=50)).reason == "idle"
    assert (await refused(store, quota(1000, 1), cid="old", seconds=100, idle=150)).reason == "expired"


async def test_the_times_of_the_last_call_count(store: Store, place: Backend) -> None:
    """Between calls, the limits of the last call apply, or the limits with which the workflow was opened."""
    await store.settle(await take(store, quota(1000, 1), idle=10), {}, "settled")
    await store.settle(await take(store, quota(1000, 1), idle=90), {}, "settled")
    await store.open_workflow("t", "opened", 1000, seconds=500, idle=20)
    await store.settle(await take(store, quota(1000, 1), cid="free", idle=20), {}, "settled")
    await store.settle(await take(store, quota(1000, 1), cid="free"), {}, "settled")
    place.clock.advance(80)
    assert [(await state(store, cid))[0] for cid in ("w", "opened", "free")] == ["open", "expired", "open"]
    place.clock.advance(80)
    assert [(await state(store, cid))[0] for cid in ("w", "opened", "free")] == ["expired", "expired", "open"]


async def test_silence_shows_after_a_restart(place: Backend) -> None:
    """How long a workflow may be silent is kept with it."""
    first = await place.open()
    await first.settle(await take(first, quota(1000, 1), idle=100), {}, "settled")
    await first.open_workflow("t", "opened", 1000, idle=100)
    await first.durable()
    await first.close()
    second = await place.open()
    assert [(await state(second, cid))[0] for cid in ("w", "opened")] == ["open", "open"]
    place.clock.advance(101)
    assert [(await state(second, cid))[0] for cid in ("w", "opened")] == ["expired", "expired"]
    assert not await second.resume("t", "w")
    await second.close()


# Hops and repeats


async def test_repeats_refuse_and_freeze_nothing(store: Store) -> None:
    """Repeats of a key beyond its limit are refused; other keys and other calls continue."""
    for _ in range(2):
        await store.settle(await take(store, repeats(3, "search"), quota(1000, 10)), {}, "settled")
    flying = await take(store, repeats(3, "search"))
    assert await refused(store, quota(1000, 10), repeats(3, "search")) == Rejection("exceeded", 1, 2, 1, limit=3)
    assert await standing(store) == (20, 0, 0)
    await take(store, repeats(3, "fetch"))
    assert (await seen(store)).state == "open"
    await store.settle(flying, {}, "released")
    await take(store, repeats(3, "search"))
    assert (await seen(store)).used["repeats"] == 2


async def test_the_same_twice_in_one_call(store: Store) -> None:
    """Two debits of one key in one call add up."""
    assert (await refused(store, repeats(1, "search"), repeats(1, "search"))).index == 1
    await store.settle(await take(store, repeats(2, "search"), repeats(2, "search")), {}, "settled")
    assert (await refused(store, repeats(2, "search"))).used == 2


async def test_depth_is_compared_not_added(store: Store) -> None:
    """The depth of each call counts separately; the workflow remembers the greatest settled depth."""
    taken = [await take(store, hops(3, depth)) for depth in (1, 3, 3, 2)]
    assert taken[3].balances[0].remaining == 1
    for it in taken[:3]:
        await store.settle(it, {}, "settled")
    assert await refused(store, hops(3, 4)) == Rejection("exceeded", 0, 3, 0, limit=3)
    workflow = await seen(store)
    assert (workflow.state, workflow.used["hops"], workflow.held["hops"]) == ("open", 3, 0)


async def test_only_so_many_repeats_are_kept(store: Store) -> None:
    """The oldest counters are dropped; a counter that was dropped during its call starts again, consistently."""
    old = await take(store, repeats(2, "old"))
    for number in range(REPEATS):
        await store.settle(await take(store, repeats(2, f"tool {number}")), {}, "settled")
    await store.settle(old, {}, "settled")
    for _ in range(2):
        await store.settle(await take(store, repeats(2, "old")), {}, "settled")
    assert (await refused(store, repeats(2, "old"))).used == 2
    await take(store, repeats(1, "tool 0"))
    assert (await refused(store, repeats(1, f"tool {REPEATS - 1}"))).used == 1


async def test_repeats_survive_a_restart(place: Backend) -> None:
    """Counters of repeats are as they were, and the workflow's successor does not inherit them."""
    first = await place.open()
    for number in range(REPEATS + 3):
        await first.settle(await take(first, repeats(1, f"tool {number}")), {}, "settled")
    await first.close()
    second = await place.open()
    assert (await refused(second, repeats(1, "tool 3"))).used == 1
    await second.settle(await take(second, repeats(1, "tool 2")), {}, "settled")
    place.clock.advance(2 * 86400)
    await second.sweep()
    await take(second, repeats(1, "tool 9"))
    await second.close()


# A bare ask


async def test_a_bare_ask_takes_nothing(store: Store) -> None:
    """A bare ask only checks the state: no record is created, and a frozen or closed workflow refuses."""
    outcome = await store.reserve(ask())
    assert isinstance(outcome, Reservation)
    assert not await store.settle(outcome, {}, "settled")
    assert await store.workflow("t", "w") is None
    await store.freeze("t", "w", "stop")
    assert (await refused(store)).reason == "frozen"


async def test_a_look_leaves_no_trace(store: Store, place: Backend) -> None:
    """A look gets the answer of a call, for any limits, and the chain of agents; it does not count as a call."""
    times: dict[str, Any] = {"seconds": 100, "idle": 50, "chained": True, "look": True}
    fresh = await store.reserve(ask(**times))
    assert isinstance(fresh, Reservation)
    assert (fresh.balances, fresh.chain) == ((), ("a",))
    assert not await store.settle(fresh, {}, "released")
    assert await store.workflow("t", "w") is None
    await store.settle(await take(store, quota(1000, 7), seconds=100, idle=50, chained=True), {}, "settled")
    before = await seen(store)
    place.clock.advance(40)
    for agent in ("a", "b"):
        looked = await store.reserve(ask(agent=agent, **times))
        assert isinstance(looked, Reservation)
        assert looked.chain == tuple(dict.fromkeys(("a", agent)))
    assert await seen(store) == before
    place.clock.advance(11)
    assert await refused(store, **times) == Rejection("idle", limit=50)


async def test_a_look_is_refused_as_a_call(store: Store, place: Backend) -> None:
    """Not opened, frozen, closed, too old: refused as for any call."""
    assert (await refused(store, strict=True, look=True)).reason == "unknown"
    await store.settle(await take(store, quota(1000, 7), seconds=100), {}, "settled")
    await store.freeze("t", "w", "stop")
    assert (await refused(store, look=True)).reason == "frozen"
    await store.resume("t", "w")
    place.clock.advance(101)
    assert (await refused(store, seconds=100, look=True)).reason == "expired"
    await store.close_workflow("t", "w", "done")
    assert (await refused(store, seconds=100, look=True)).reason == "closed"


# Waiting


async def test_settled_returns_when_a_call_ends(store: Store) -> None:
    """Whoever waits is woken by a settle, a resume or a close of that workflow, and by no other's."""
    flying = await take(store, quota(1000, 10))
    other = await take(store, quota(1000, 10), cid="other")
    waiting = asyncio.create_task(store.settled("t", "w", 60))
    await asyncio.sleep(0)
    await store.settle(other, {}, "settled")
    assert not waiting.done()
    await store.settle(flying, {}, "settled")
    await waiting
    waiting = asyncio.create_task(store.settled("t", "w", 60))
    await asyncio.sleep(0)
    await store.resume("t", "w", {"tokens": 1})
    await waiting


async def test_settled_returns_when_the_time_is_up(store: Store) -> None:
    """A wait ends in time, and a cancelled wait leaves nothing behind."""
    await store.settled("t", "w", 0.01)
    leaving = asyncio.create_task(store.settled("t", "w", 60))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled()


async def test_the_turn_of_a_call_that_waited_long(store: Store, place: Backend) -> None:
    """While the first call asks, no other call is admitted, however small; its turn ends with the call."""
    big = ask(quota(100, 80), first=True)
    small = await take(store, quota(100, 40))
    assert await store.reserve(big) == Rejection("busy", 0, 0, 40, limit=100)
    assert await refused(store, bucket(5, 1), quota(100, 1)) == Rejection("busy", 1, 0, 40, limit=100)
    assert (await refused(store, quota(100, 1), first=True)).reason == "busy"
    await take(store, bucket(5, 1))
    await take(store, repeats(5, "search"))
    await store.settle(small, {"tokens": 0}, "settled")
    assert isinstance(await store.reserve(big), Reservation)
    await take(store, quota(100, 1))
    gone = ask(quota(100, 80), first=True)
    assert isinstance(await store.reserve(gone), Rejection)
    assert (await refused(store, quota(100, 1))).reason == "busy"
    place.clock.advance(2)
    await take(store, quota(100, 1))
