"""The ledger of every store: what calls take, and what is charged in the end. On SQLite and on a real Redis."""

from __future__ import annotations

import asyncio

import pytest

from gateway.amounts import Debit, Rejection, Reservation
from gateway.errors import ConfigError
from gateway.stores import Store, open_store
from store_harness import Backend, Clock, ask, bucket, quota, refused, standing, take


async def test_settling_charges_what_was_used(store: Store) -> None:
    """A settled reservation leaves its actual use behind and nothing in flight."""
    reservation = await take(store, quota(1000, 400))
    assert await standing(store) == (0, 400, 0)
    assert reservation.balances[0].remaining == 600
    assert await store.settle(reservation, {"tokens": 150}, "settled")
    assert await standing(store) == (150, 0, 0)


async def test_a_charge_left_out_is_charged_as_reserved(store: Store) -> None:
    """A key without a reported amount is charged its estimate, never zero."""
    reservation = await take(store, quota(1000, 400), quota(10, 1, "calls"))
    await store.settle(reservation, {"tokens": 5}, "settled")
    assert await standing(store, unit="calls") == (1, 0, 0)


async def test_releasing_gives_quota_back(store: Store) -> None:
    """A call that never cost anything leaves no trace in the quota."""
    reservation = await take(store, quota(1000, 400), quota(10, 1, "calls"))
    await store.settle(reservation, {}, "released")
    assert await standing(store) == (0, 0, 0)
    assert await standing(store, unit="calls") == (0, 0, 0)


async def test_ending_twice_counts_once(store: Store) -> None:
    """Only the first ending of a reservation does anything."""
    reservation = await take(store, quota(1000, 400))
    assert await store.settle(reservation, {"tokens": 100}, "settled")
    assert not await store.settle(reservation, {"tokens": 100}, "settled")
    assert not await store.settle(reservation, {}, "released")
    assert await standing(store) == (100, 0, 0)


async def test_use_above_the_estimate_is_charged_in_full(store: Store) -> None:
    """A provider that used more than was reserved is charged, past the limit if need be; then the workflow freezes."""
    reservation = await take(store, quota(1000, 900))
    await store.settle(reservation, {"tokens": 1200}, "settled")
    assert await standing(store) == (1200, 0, 0)
    assert (await refused(store, quota(1000, 0))).reason == "exceeded"


async def test_an_upper_bound_that_does_not_fit_freezes_nothing(store: Store) -> None:
    """The exact amount may fit, so a workflow is frozen only by a firm debit."""
    await store.settle(await take(store, quota(1000, 900)), {"tokens": 900}, "settled")
    assert await refused(store, quota(1000, 200), firm=False) == Rejection("exceeded", 0, 900, 0, limit=1000)
    await take(store, quota(1000, 50))
    assert (await refused(store, quota(1000, 200))).reason == "exceeded"
    assert (await refused(store, quota(1000, 1))).reason == "frozen"


async def test_no_settled_room_freezes(store: Store) -> None:
    """When settled amounts leave no room, the workflow freezes and names the exhausted quota."""
    await store.settle(await take(store, quota(1000, 900)), {}, "settled")
    rejection = await refused(store, quota(50, 1, "calls"), quota(1000, 101))
    assert rejection == Rejection("exceeded", 1, 900, 0, limit=1000)
    workflow = await store.workflow("t", "w")
    assert workflow is not None
    assert (workflow.state, workflow.reason) == ("frozen", "quotas.tokens")
    assert await refused(store, quota(1000, 1)) == Rejection("frozen", 0, 900, 0, limit=1000)


async def test_calls_in_flight_make_busy_and_freeze_nothing(store: Store) -> None:
    """A call that fails only because other calls hold the rest is refused as busy, and succeeds after they end."""
    first = await take(store, quota(1000, 600))
    assert await refused(store, quota(1000, 500)) == Rejection("busy", 0, 0, 600, limit=1000)
    await store.settle(first, {"tokens": 100}, "settled")
    await take(store, quota(1000, 500))


async def test_a_clock_that_is_set_back_stops_no_bucket(place: Backend) -> None:
    """A bucket refills from the new time on, instead of standing still until the clock has caught up."""
    store = await place.open()
    await take(store, bucket(5, 5))
    place.clock.advance(-3600)
    assert (await refused(store, bucket(5, 2))).retry_after == pytest.approx(2, abs=0.01)
    place.clock.advance(2.1)
    await take(store, bucket(5, 2))
    await store.close()


async def test_all_or_none(store: Store) -> None:
    """When one debit is refused, no other debit is taken."""
    await take(store, quota(10, 8, "calls"))
    outcome = await refused(store, bucket(5, 1), quota(1000, 700), quota(10, 5, "calls"))
    assert (outcome.reason, outcome.index) == ("busy", 2)
    assert await standing(store) == (0, 0, 0)
    reservation = await take(store, bucket(5, 5))
    assert reservation.balances[0].remaining == 0


async def test_names_cannot_break_out(store: Store) -> None:
    """Braces, colons and spaces in team, agent and correlation id are only characters."""
    odd = ask(quota(1000, 900), bucket(5, 1, key="team:}{x"), team="a}:w:{b", cid="x:}{ y", agent="a:b")
    assert isinstance(await store.reserve(odd), Reservation)
    workflow = await store.workflow("a}:w:{b", "x:}{ y")
    assert workflow is not None
    assert workflow.agents == {"a:b": ""}
    assert [it.team for it in await store.workflows(None, 5)] == ["a}:w:{b"]


async def test_large_amounts_stay_exact(store: Store) -> None:
    """Nano-USD of millions of dollars lose nothing."""
    limit = 2**53 - 1
    reservation = await take(store, quota(limit, 2**52 + 1, "cost"))
    assert reservation.balances[0].remaining == limit - 2**52 - 1
    await store.settle(reservation, {"cost": 2**52 - 1}, "settled")
    await store.settle(await take(store, quota(limit, 5, "cost")), {"cost": 3}, "settled")
    assert await standing(store, unit="cost") == (2**52 + 2, 0, 0)


async def test_concurrent_reserves_never_overshoot(store: Store) -> None:
    """Of many concurrent calls, exactly as many are admitted as the limit allows."""
    outcomes = await asyncio.gather(*(store.reserve(ask(quota(1000, 30), bucket(50, 1))) for _ in range(200)))
    admitted = [it for it in outcomes if isinstance(it, Reservation)]
    assert len(admitted) == 33
    assert await standing(store) == (0, 990, 0)


async def test_a_bucket_refills_continuously(store: Store, place: Backend) -> None:
    """Waiting for `retry_after` is enough, and a little less is not."""
    await take(store, bucket(10, 10, refill=4.0))
    rejection = await refused(store, bucket(10, 3, refill=4.0))
    assert rejection == Rejection("rate", 0, 10, 0, 0.75, 10)
    place.clock.advance(0.7)
    assert (await refused(store, bucket(10, 3, refill=4.0))).reason == "rate"
    place.clock.advance(0.05)
    await take(store, bucket(10, 3, refill=4.0))


@pytest.mark.parametrize("refill", [1 / 3, 1 / 60, 7 / 60, 1000 / 3600, 200_000 / 60])
async def test_retry_after_is_right_at_any_rate(store: Store, place: Backend, refill: float) -> None:
    """The waiting time is right for rates that a float cannot represent exactly."""
    for _ in range(20):
        outcome = await store.reserve(ask(bucket(7, 2, refill=refill)))
        if isinstance(outcome, Rejection):
            assert outcome.retry_after is not None
            place.clock.advance(outcome.retry_after)
            await take(store, bucket(7, 2, refill=refill))


async def test_more_than_a_bucket_holds_never_succeeds(store: Store) -> None:
    """An amount above the burst is refused without a time to wait."""
    assert await refused(store, bucket(10, 11)) == Rejection("rate", 0, 0, 0, None, 10)


async def test_token_buckets_get_the_difference_back(store: Store) -> None:
    """Tokens not used return to the bucket; a request stays spent."""
    tokens = bucket(1000, 800, key="team:t", unit="tokens")
    reservation = await take(store, tokens, bucket(5, 1))
    await store.settle(reservation, {"team:t": 300}, "settled")
    after = await take(store, bucket(1000, 700, key="team:t", unit="tokens"), bucket(5, 1))
    assert [it.remaining for it in after.balances] == [0, 3]


async def test_released_calls_keep_their_request_spent(store: Store) -> None:
    """A call denied later returns all its tokens but not its request."""
    reservation = await take(store, bucket(1000, 800, key="team:t", unit="tokens"), bucket(5, 1))
    await store.settle(reservation, {}, "released")
    after = await take(store, bucket(1000, 0, key="team:t", unit="tokens"), bucket(5, 0))
    assert [it.remaining for it in after.balances] == [1000, 4]


async def test_debt_is_paid_by_refill(store: Store, place: Backend) -> None:
    """Use above the estimate puts a bucket into debt, and even a debit of nothing waits until it is paid."""
    tokens = bucket(100, 50, refill=10.0, key="team:t", unit="tokens")
    await store.settle(await take(store, tokens), {"team:t": 180}, "settled")
    nothing = bucket(100, 0, refill=10.0, key="team:t", unit="tokens")
    rejection = await refused(store, nothing)
    assert (rejection.reason, rejection.retry_after) == ("rate", 8.0)
    place.clock.advance(8.0)
    assert (await take(store, nothing)).balances[0].remaining == 0


async def test_debits_of_one_bucket_add_up(store: Store) -> None:
    """Two debits on the same key are one bucket, in reserve and in settle."""
    both = (bucket(10, 6, key="team:t", unit="tokens"), bucket(10, 5, key="team:t", unit="tokens"))
    assert (await refused(store, *both)).index == 1
    reservation = await take(store, both[0], bucket(10, 4, key="team:t", unit="tokens"))
    await store.settle(reservation, {"team:t": 3}, "settled")
    assert (await take(store, bucket(10, 0, key="team:t", unit="tokens"))).balances[0].remaining == 7


async def test_buckets_shared_by_teams(store: Store) -> None:
    """A model's bucket is shared by all teams."""
    model = bucket(3, 2, key="model:gpt")
    await take(store, model)
    other = await store.reserve(ask(model, team="u"))
    assert isinstance(other, Rejection)


async def test_a_lost_reservation_lapses_at_its_estimate(store: Store, place: Backend) -> None:
    """A reservation that is not settled in time is charged as reserved and marked; settling it later has no effect."""
    reservation = await take(store, quota(1000, 400), bucket(1000, 400, key="team:t", unit="tokens"))
    place.clock.advance(59)
    assert await store.sweep() == 0
    place.clock.advance(2)
    assert await store.sweep() == 1
    assert await standing(store) == (400, 0, 400)
    assert not await store.settle(reservation, {"tokens": 1}, "settled")
    assert await store.sweep() == 0
    assert await standing(store) == (400, 0, 400)


async def test_what_a_dead_process_left_lapses(place: Backend) -> None:
    """After a crash, settled sums remain, and open reservations are charged at their estimates."""
    first = await place.open()
    await first.settle(await take(first, quota(1000, 300)), {"tokens": 100}, "settled")
    await take(first, quota(1000, 400))
    await first.durable()
    await first.close()
    place.clock.advance(61)
    second = await place.open()
    await second.sweep()
    assert await standing(second) == (500, 0, 400)
    await second.close()


async def test_buckets_survive_a_restart(place: Backend) -> None:
    """A restart does not fill the buckets."""
    first = await place.open()
    await take(first, bucket(10, 9, refill=0.01))
    await first.close()
    second = await place.open()
    assert (await refused(second, bucket(10, 2, refill=0.01))).reason == "rate"
    await second.close()


async def test_a_healthy_store_answers(store: Store) -> None:
    """Ping, durable and refresh return on a store that works."""
    await store.ping()
    await store.durable()
    await store.refresh()
    assert await store.workflows(None, 1) == []


@pytest.mark.parametrize("url", ["postgres://x/y", "sqlite://nothing", "sqlite:///", "redis://host:port/0"])
def test_a_wrong_url_says_what_to_write(url: str) -> None:
    """A `state` that names no store is a configuration error with the forms that do."""
    with pytest.raises(ConfigError, match=r"^state: "):
        open_store(url, clock=Clock())


async def test_a_debit_of_nothing_settles(store: Store) -> None:
    """An estimate of zero, and an actual amount of zero, are ordinary amounts."""
    reservation = await take(store, quota(1000, 0))
    assert await store.settle(reservation, {"tokens": 7}, "settled")
    assert await standing(store) == (7, 0, 0)


async def test_a_share_refuses_and_freezes_nothing(store: Store) -> None:
    """A part of a workflow may run out: the workflow goes on, and its sums have each amount once."""
    share = quota(100, 60)._replace(key="share:s:tokens", name="budget.tokens")
    first = await take(store, quota(1000, 60), share)
    assert (await refused(store, quota(1000, 60), share)).reason == "busy"
    await store.settle(first, {"tokens": 50, "share:s:tokens": 50}, "settled")
    assert await refused(store, quota(1000, 60), share) == Rejection("exceeded", 1, 50, 0, limit=100)
    other = share._replace(key="share:other:tokens")
    await store.settle(await take(store, quota(1000, 60), other), {}, "released")
    workflow = await store.workflow("t", "w")
    assert workflow is not None
    assert (workflow.state, workflow.used["tokens"], workflow.held["tokens"]) == ("open", 50, 0)


async def test_a_share_is_never_overdrawn(store: Store) -> None:
    """However many calls come at once."""
    share = quota(10, 1)._replace(key="share:s:tokens")
    outcomes = await asyncio.gather(*(store.reserve(ask(quota(1000, 1), share)) for _ in range(30)))
    taken = [it for it in outcomes if isinstance(it, Reservation)]
    assert len(taken) == 10
    await asyncio.gather(*(store.settle(it, {}, "settled") for it in taken))
    assert (await refused(store, quota(1000, 1), share)).reason == "exceeded"
    assert await standing(store) == (10, 0, 0)


async def test_a_share_outlives_the_process(place: Backend) -> None:
    """Its use is on disk, like that of the quota."""
    share = quota(10, 10)._replace(key="share:s:tokens")
    store = await place.open()
    await store.settle(await take(store, quota(1000, 10), share), {}, "settled")
    await store.durable()
    await store.close()
    store = await place.open()
    assert (await refused(store, quota(1000, 1), share._replace(amount=1))).used == 10
    await store.close()


async def test_what_is_left_is_what_a_reservation_finds(store: Store, place: Backend) -> None:
    """A store that knows without being asked is right before and after refill, use, top-up and expiry."""
    debits = (bucket(1000, 300, unit="tokens"), quota(5000, 400), quota(10, 1, "calls"))
    if store.left("t", "w", debits) is None:
        return
    used = {"agent:t:a": 250, "tokens": 150}
    for pause in (0, 0, 7, 100):
        place.clock.advance(pause)
        before = store.left("t", "w", debits)
        assert before is not None
        assert list(before) == list(store.left("t", "w", debits) or ()), "looking takes nothing"
        reservation = await take(store, *debits)
        expected = [level - debit.amount for level, debit in zip(before, debits, strict=True)]
        assert [balance.remaining for balance in reservation.balances] == expected
        await store.settle(reservation, used, "settled")
    await store.freeze("t", "w", "tokens")
    await store.resume("t", "w", {"tokens": 1000})
    assert list(store.left("t", "w", debits) or ())[1:] == [6000 - 4 * 150, 6]
    assert list(store.left("t", "other", debits) or ())[1:] == [5000, 10]


@pytest.mark.parametrize(
    "debit",
    [
        quota(1_000_000, 100),
        quota(1_000_000, 100, "cost"),
        bucket(1_000_000, 100, key="team:t", unit="tokens", refill=1e-9),
    ],
)
async def test_a_bound_is_taken_only_far_from_every_limit(store: Store, debit: Debit) -> None:
    """From a hundred times the excess on (of a cost: of the amount); a refusal takes nothing, and others are asked."""
    least = 100 * (40 if debit.unit == "tokens" else 100)
    beside = bucket(10, 1, refill=1e-9)
    await take(store, debit._replace(amount=1_000_000 - least))
    await take(store, beside, debit, excess=40)
    left = least - 100
    assert await refused(store, beside, debit, excess=40) == Rejection("near", 1)
    got = await take(store, beside, debit)
    assert [it.remaining for it in got.balances] == [8, left - 100]
    await refused(store, beside, debit, excess=40, firm=False)
    assert (await take(store, beside._replace(amount=8), debit)).balances[0].remaining == 0


async def test_a_bound_is_far_only_if_eight_such_calls_fit(store: Store) -> None:
    assert await refused(store, quota(7_999, 1000), excess=1) == Rejection("near", 0)
    await take(store, quota(8_000, 1000), excess=1)
    await take(store, quota(10**6, 1, "calls"), bucket(10, 1), excess=10**6)  # neither tokens nor cost
