"""Far from every limit, a bound of the input tokens is reserved; near one, their exact number."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import calls
from gateway.amounts import NO_REPEATS, Ask, Balance, Debit, Rejection, Reservation, is_far
from gateway.call import Call, InputTokens, Subject
from gateway.errors import Refusal
from gateway.limits.tokens import O200k, at_most
from gateway.reserve.levels import Levels
from gateway.reserve.reserve import Reserve

EXACT, BOUND = 10, 40


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def bucket(amount: int = 1, unit: Any = "tokens", key: str = "team:t") -> Debit:
    return Debit(key, unit, amount, 10_000, "team-tokens", refill=1.0, window=60)


def test_a_level_that_is_not_known_is_left_to_the_store() -> None:
    """Except in buckets that teams share: a Cluster does not take them with the others."""
    assert Levels().are_far("t", "w", [bucket()], 1)
    assert not Levels().are_far("t", "w", [bucket(key="model:m")], 1)
    assert Levels().are_far("t", "w", [bucket(unit="requests", key="model:m")], 1)


def test_a_level_is_known_for_a_second() -> None:
    clock = Clock()
    levels = Levels(clock)
    shared = bucket(50, key="model:m")
    levels.note("t", "w", [shared, bucket()], [Balance(10_000, 0), Balance(3_999, 0)])
    assert levels.are_far("t", "w", [shared], BOUND)
    clock.now = 1.1
    assert not levels.are_far("t", "w", [shared], BOUND)
    assert not levels.are_far("t", "w", [bucket(50)], BOUND)  # it was near, and may still be


@pytest.mark.parametrize(("left", "far"), [(4_000, True), (3_999, False)])
def test_a_hundred_times_the_bound_must_be_left(left: int, far: bool) -> None:
    levels = Levels()
    levels.note("t", "w", [bucket()], [Balance(left, 0)])
    assert levels.are_far("t", "w", [bucket(50)], BOUND) is far


def test_quotas_of_another_workflow_say_nothing() -> None:
    quota = Debit("tokens", "tokens", 50, 1_000_000, "quotas.tokens")
    levels = Levels()
    levels.note("t", "w", [quota], [Balance(100, 0)])
    assert not levels.are_far("t", "w", [quota], BOUND)
    assert levels.are_far("t", "other", [quota], BOUND)
    assert levels.are_far("other", "w", [quota], BOUND)


@given(st.text(max_size=40))
def test_a_bound_is_never_too_low(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    assert COUNTER.count(text) <= at_most([text])


COUNTER = O200k()


class Store:
    """A store with one bucket. `others` is what another replica takes before the next call."""

    def __init__(self, left: int) -> None:
        self.rest = left
        self.others = 0
        self.asked: list[int] = []

    def left(self, *_: object) -> None:
        """This store must be asked."""

    async def reserve(self, ask: Ask) -> Reservation | Rejection:
        self.rest -= self.others
        self.others = 0
        (debit,) = ask.debits
        self.asked.append(debit.amount)
        if ask.excess and not is_far(debit.unit, debit.amount, ask.excess, self.rest):
            return Rejection("near", 0)
        if debit.amount > self.rest:
            return Rejection("rate", 0, 0, 0, 1.0)
        self.rest -= debit.amount
        return Reservation(ask, (Balance(self.rest, 0),))


class One:
    """Limits with one bucket."""

    def debits(self, *args: Any, **_: Any) -> list[Debit]:
        return [bucket(args[3])]


class NoQuotas:
    """Quotas without a limit."""

    def debits(self, *_: Any) -> Sequence[Debit]:
        return ()

    def ask(self, id: str, team: str, workflow: str, agent: str, debits: tuple[Debit, ...], **_: Any) -> Ask:
        return Ask(id, team, workflow, agent, debits, None, 60, 60)


class NoLoops:
    """No detection of loops."""

    reads = follows = False

    def follow(self, *_: Any) -> None:
        pass


class NoForward:
    """No targets."""

    def patience(self, _: Any) -> float:
        return 0.0


class NoTools:
    """No tools."""

    def targets(self, _: Any) -> list[Any]:
        return []

    def price(self, _: Any) -> int:
        return 0

    def patience(self, _: Any) -> float:
        return 0.0

    def sampled(self, _: Any) -> None:
        return None

    def repeats(self, *_: Any) -> Any:
        return NO_REPEATS


def reserve(store: Store) -> Reserve:
    parts = (store, One(), NoQuotas(), NoLoops(), NoForward(), NoTools(), None, 0.0)
    return Reserve(*cast("Any", parts))


def call() -> Call:
    one = calls.call(resource=calls.call().resource._replace(kind="agent"), subject=Subject("bot", "red"))
    one.request.input = InputTokens(BOUND, lambda: EXACT)
    return one


async def test_far_from_every_limit_no_call_is_counted() -> None:
    """Also the first one, of which the store sees how far the limits are."""
    store = Store(100_000)
    stage, first, second = reserve(store), call(), call()
    await stage.reserve(first)
    await stage.reserve(second)
    assert store.asked == [BOUND, BOUND]
    assert (first.admission.bound, second.admission.bound) == (True, True)


async def test_near_a_limit_calls_are_counted_at_once_from_the_second_on() -> None:
    store = Store(BOUND * 50)
    stage, first, second = reserve(store), call(), call()
    await stage.reserve(first)
    await stage.reserve(second)
    assert store.asked == [BOUND, EXACT, EXACT]
    assert (first.admission.bound, second.admission.bound) == (False, False)


async def test_the_table_of_tokens_is_built_in_a_thread() -> None:
    """The first count of a process takes a fifth of a second, in which other calls are served."""
    threads = set[int]()

    def count() -> int:
        threads.add(threading.get_ident())
        return EXACT

    one = call()
    one.request.input = InputTokens(BOUND, count, lambda: False)
    await reserve(Store(EXACT)).reserve(one)
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_near_the_limit_no_call_is_refused_that_fits() -> None:
    """A bucket gives exactly as many calls as their exact tokens allow, whatever was left before."""
    store = Store(EXACT * 7)
    stage = reserve(store)
    for _ in range(7):
        await stage.reserve(call())
    with pytest.raises(Refusal):
        await stage.reserve(call())
    assert store.rest == 0


async def test_a_bound_that_is_refused_is_counted() -> None:
    """Another replica emptied the bucket: the call that fits is admitted with its exact amount."""
    store = Store(100_000)
    stage, late = reserve(store), call()
    await stage.reserve(call())
    store.others = store.rest - EXACT
    await stage.reserve(late)
    assert store.asked == [BOUND, BOUND, EXACT]
    assert not late.admission.bound


class Knowing(Store):
    """A store that knows what is left."""

    def left(self, *_: object) -> list[int]:  # type: ignore[override]
        return [self.rest]


@pytest.mark.parametrize(("left", "asked"), [(BOUND * 100, BOUND), (BOUND * 100 - 1, EXACT)])
async def test_a_store_that_knows_what_is_left_decides(left: int, asked: int) -> None:
    """No call is counted because the one before was long ago."""
    store, first = Knowing(left), call()
    await reserve(store).reserve(first)
    assert store.asked == [asked]
    assert first.admission.bound is (asked == BOUND)


async def test_near_the_limit_of_such_a_store_no_call_is_refused_that_fits() -> None:
    store = Knowing(EXACT * 7)
    stage = reserve(store)
    for _ in range(7):
        await stage.reserve(call())
    with pytest.raises(Refusal):
        await stage.reserve(call())
    assert store.rest == 0
