"""Token buckets under random histories, on both stores: admission, amounts given back, and Retry-After."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.amounts import Balance, Debit, Rejection, Reservation, Unit
from gateway.limits.ratelimit import whole_seconds
from gateway.stores import End, Store, actual
from store_harness import Backend, ask, backend

DUST = Fraction(1, 100_000)  # floats may differ from the exact level by less
LONG = 3000  # seconds; a cluster remembers a call for an hour after its time limit
KEYS = ("agent:t:a:1", "team:t:2", "model:m:3")

Step = tuple[str, int, int, int]


class Exact:
    """A bucket in exact arithmetic, without a clock: the caller passes the time to `pass_time`."""

    def __init__(self, rate: tuple[int, int], burst: int) -> None:
        self.refill = Fraction(*rate)
        self.burst = burst
        self.level = Fraction(burst)

    def pass_time(self, seconds: Fraction) -> None:
        self.level = min(Fraction(self.burst), self.level + seconds * self.refill)

    def give_back(self, amount: int) -> None:
        self.level = min(Fraction(self.burst), self.level + amount)


class History:
    """Calls on three buckets (one of requests, two of tokens), compared with the exact model."""

    def __init__(self, place: Backend, store: Store, buckets: Sequence[Exact]) -> None:
        self.place, self.store, self.buckets = place, store, buckets
        self.flying: list[Reservation] = []

    def debits(self, tokens: int) -> list[Debit]:
        wanted: tuple[tuple[Unit, int], ...] = (("requests", 1), ("tokens", tokens), ("tokens", tokens))
        return [
            Debit(key, unit, amount, it.burst, key, float(it.refill), 60)
            for key, it, (unit, amount) in zip(KEYS, self.buckets, wanted, strict=True)
        ]

    def wait(self, seconds: Fraction | int) -> None:
        self.place.clock.advance(float(seconds))
        for it in self.buckets:
            it.pass_time(Fraction(seconds))

    async def call(self, tokens: int) -> Reservation | Rejection:
        """Reserve; the store must decide as the exact books do."""
        debits = self.debits(tokens)
        outcome = await self.store.reserve(ask(*debits))
        short = [it for it, debit in zip(self.buckets, debits, strict=True) if it.level + DUST < debit.amount]
        enough = all(it.level >= debit.amount for it, debit in zip(self.buckets, debits, strict=True))
        if isinstance(outcome, Reservation):
            assert not short
            self.flying.append(outcome)
            for it, debit in zip(self.buckets, debits, strict=True):
                it.level -= debit.amount
            self.check(outcome.balances)
        else:
            assert not enough
            self.check_wait(debits, outcome)
        return outcome

    def check(self, balances: Sequence[Balance]) -> None:
        """Remaining and reset are those of the exact level."""
        for it, balance in zip(self.buckets, balances, strict=True):
            assert max(Fraction(0), it.level) - 1 - DUST < balance.remaining <= max(Fraction(0), it.level) + DUST
            exact = (it.burst - it.level) / it.refill
            assert abs(Fraction(balance.reset) - exact) <= Fraction(1, 500) + DUST / it.refill

    def check_wait(self, debits: Sequence[Debit], refused: Rejection) -> None:
        """The waiting time suffices for every bucket, and less would not suffice for the named bucket."""
        assert refused.reason == "rate"
        if refused.retry_after is None:
            assert debits[refused.index].amount > debits[refused.index].limit
            return
        assert all(debit.amount <= debit.limit for debit in debits)
        wait = Fraction(refused.retry_after)
        for it, debit in zip(self.buckets, debits, strict=True):
            assert it.level + wait * it.refill + DUST >= debit.amount
        named, amount = self.buckets[refused.index], debits[refused.index].amount
        assert named.level + (wait - Fraction(1, 500)) * named.refill - DUST < amount

    async def end(self, which: int, used: int, released: bool) -> None:
        """Settle or release any call in flight."""
        if not self.flying:
            return
        reservation = self.flying.pop(which % len(self.flying))
        reported = dict.fromkeys(KEYS[1:], used)
        state: End = "released" if released else "settled"
        assert await self.store.settle(reservation, reported, state)
        for it, debit in zip(self.buckets, reservation.ask.debits, strict=True):
            it.give_back(debit.amount - actual(debit, debit.amount, reported, state))


async def live(place: Backend, buckets: Sequence[Exact], steps: Sequence[Step]) -> None:
    """Run a history; after some refusals, wait for `retry_after` without other calls, and expect admission."""
    store = await place.open()
    try:
        history = History(place, store, buckets)
        for kind, amount, which, micro in steps:
            if kind == "wait":
                history.wait(Fraction(micro, 1_000_000))
            elif kind in ("settle", "release"):
                await history.end(which, amount, kind == "release")
            else:
                outcome = await history.call(amount)
                if kind == "insist" and isinstance(outcome, Rejection) and outcome.retry_after is not None:
                    while outcome.retry_after > LONG and history.flying:  # no call is in flight for an hour
                        await history.end(0, 0, True)
                    history.wait(whole_seconds(outcome.retry_after))
                    assert isinstance(await history.call(amount), Reservation)
        while history.flying:
            await history.end(0, 0, True)
        outcome = await store.reserve(ask(*(debit._replace(amount=0) for debit in history.debits(0))))
        if isinstance(outcome, Reservation):
            history.check(outcome.balances)
        else:
            assert any(it.level < DUST for it in buckets)
    finally:
        await store.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["call", "call", "insist", "settle", "release", "wait"]),
        st.integers(0, 130),
        st.integers(0, 5),
        st.integers(0, 90_000_000),
    ),
    max_size=40,
)
RATES = st.tuples(st.integers(1, 2000), st.sampled_from([1, 7, 60, 3600]))
BUCKETS = st.tuples(*[st.tuples(RATES, st.integers(low, high)) for low, high in ((1, 8), (1, 300), (1, 300))])


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@example(buckets=(((1, 1), 1), ((1, 1), 62), ((1, 60), 62)), steps=[("call", 62, 0, 0), ("insist", 61, 0, 0)])
@given(buckets=BUCKETS, steps=STEPS)
def test_any_history(place: Backend, buckets: tuple[tuple[tuple[int, int], int], ...], steps: list[Step]) -> None:
    """Calls, endings and pauses in any order: levels are exact, and a refused caller who waits is admitted."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = backend(place.name, Path(folder), place.url)
        asyncio.run(live(fresh, [Exact(rate, burst) for rate, burst in buckets], steps))


async def test_the_longest_wait_is_told(store: Store, place: Backend) -> None:
    """If several buckets are short, the waiting time is that of the slowest: afterwards no bucket refuses."""
    fast, slow = (
        Debit("agent:t:a:f", "requests", 1, 1, "fast", 1.0, 60),
        Debit("team:t:s", "requests", 1, 1, "slow", 0.1, 60),
    )
    assert isinstance(await store.reserve(ask(fast, slow)), Reservation)
    place.clock.advance(0.5)
    assert await store.reserve(ask(fast, slow)) == Rejection("rate", 1, 1, 0, 9.5, 1)
    assert await store.reserve(ask(slow, fast)) == Rejection("rate", 0, 1, 0, 9.5, 1)
    place.clock.advance(9.5)
    assert isinstance(await store.reserve(ask(fast, slow)), Reservation)


async def test_what_never_fits_has_no_wait_even_behind_a_short_bucket(store: Store) -> None:
    """A call that another bucket refuses permanently is not told to wait."""
    short, never = (
        Debit("agent:t:a:f", "requests", 1, 1, "short", 1.0, 60),
        Debit("team:t:s", "tokens", 9, 8, "small", 9.0, 60),
    )
    assert isinstance(await store.reserve(ask(short)), Reservation)
    assert await store.reserve(ask(short, never)) == Rejection("rate", 1, 0, 0, None, 8)
