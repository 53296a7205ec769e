"""Random lives of reservations against a model that keeps the books by hand; both stores must agree with it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway.call import Rejection, Reservation
from gateway.stores import Store
from store_harness import Backend, ask, backend, bucket, quota

T = TypeVar("T")
LIMIT, BURST, REFILL = 100, 50, 2.0
FLOWS = st.sampled_from(["one", "two"])


class Books:
    """What one workflow must stand at."""

    def __init__(self) -> None:
        self.used = self.lapsed = 0
        self.frozen = False
        self.open: dict[str, tuple[Reservation, int, float]] = {}  # id -> reservation, amount, due

    @property
    def held(self) -> int:
        return sum(amount for _, amount, _ in self.open.values())


class Machine(RuleBasedStateMachine):
    """Reserve, settle, release, lapse, freeze, resume, crash, in any order and at any time."""

    place: Backend

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.place = backend(type(self).place.name, Path(self.folder.name), type(self).place.url)
        self.store: Store = self.run(self.place.open())
        self.books = {"one": Books(), "two": Books()}
        self.level = float(BURST)
        self.ended: list[Reservation] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()
        self.folder.cleanup()

    @rule(flow=FLOWS, amount=st.integers(0, 120), tokens=st.integers(0, 60))
    def reserve(self, flow: str, amount: int, tokens: int) -> None:
        books = self.books[flow]
        debits = (bucket(BURST, tokens, REFILL, "team:t", "tokens"), quota(LIMIT, amount))
        outcome = self.run(self.store.reserve(ask(*debits, cid=flow)))
        expected = (
            "frozen"
            if books.frozen
            else "rate"
            if self.level + 1e-6 < tokens
            else "exceeded"
            if books.used + amount > LIMIT
            else "busy"
            if books.used + books.held + amount > LIMIT
            else None
        )
        assert (outcome.reason if isinstance(outcome, Rejection) else None) == expected
        books.frozen |= expected == "exceeded"
        if isinstance(outcome, Reservation):
            books.open[outcome.ask.id] = (outcome, amount, self.place.clock() + 60)
            self.level -= tokens
            assert books.used + books.held <= LIMIT
            assert outcome.balances[1].remaining == LIMIT - books.used - books.held

    @precondition(lambda self: any(books.open for books in self.books.values()))
    @rule(data=st.data(), actual=st.integers(0, 150), tokens=st.integers(0, 80), released=st.booleans())
    def end(self, data: st.DataObject, actual: int, tokens: int, released: bool) -> None:
        flow = data.draw(st.sampled_from(sorted(name for name, books in self.books.items() if books.open)))
        books = self.books[flow]
        id = data.draw(st.sampled_from(sorted(books.open)))
        reservation, _, _ = books.open.pop(id)
        took = reservation.ask.debits[0].amount
        if released:
            actual = tokens = 0
        used = {"tokens": actual, "team:t": tokens}
        assert self.run(self.store.settle(reservation, used, "released" if released else "settled"))
        books.used += actual
        self.level = min(BURST, self.level + took - tokens)
        self.ended.append(reservation)

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def end_again(self, data: st.DataObject) -> None:
        reservation = data.draw(st.sampled_from(self.ended))
        assert not self.run(self.store.settle(reservation, {"tokens": 50}, "settled"))

    @rule(seconds=st.sampled_from([0.25, 1.0, 7.5, 40.0]))
    def wait(self, seconds: float) -> None:
        self.place.clock.advance(seconds)
        self.level = min(BURST, self.level + seconds * REFILL)

    @rule()
    def sweep(self) -> None:
        due = [(books, id) for books in self.books.values() for id in books.open if self.overdue(books, id)]
        assert self.run(self.store.sweep()) == len(due)
        for books, id in due:
            self.lapse(books, id)

    @rule()
    def crash(self) -> None:
        """The process ends without settling; SQLite lapses at once what Redis lapses when its time is up."""
        self.run(self.store.durable())
        self.run(self.store.close())
        self.store = self.run(self.place.open())
        if self.place.name == "sqlite":
            for books in self.books.values():
                for id in list(books.open):
                    self.lapse(books, id)

    @rule(flow=FLOWS)
    def freeze(self, flow: str) -> None:
        self.run(self.store.freeze("t", flow, "by hand"))
        self.books[flow].frozen = True

    @rule(flow=FLOWS)
    def resume(self, flow: str) -> None:
        self.run(self.store.resume("t", flow))
        self.books[flow].frozen = False

    def overdue(self, books: Books, id: str) -> bool:
        return books.open[id][2] <= self.place.clock()

    def lapse(self, books: Books, id: str) -> None:
        reservation, amount, _ = books.open.pop(id)
        books.used += amount
        books.lapsed += amount
        self.ended.append(reservation)

    @invariant()
    def the_books_agree(self) -> None:
        for flow, books in self.books.items():
            workflow = self.run(self.store.workflow("t", flow))
            if workflow is None:
                assert (books.used, books.held, books.frozen) == (0, 0, False)
                continue
            stands = [kind.get("tokens", 0) for kind in (workflow.used, workflow.held, workflow.lapsed)]
            assert stands == [books.used, books.held, books.lapsed]
            assert (workflow.state == "frozen") == books.frozen


@pytest.fixture
def machine(place: Backend) -> type[Machine]:
    """The machine, bound to a kind of store."""
    return type("Machine", (Machine,), {"place": place})


def test_any_interleaving_keeps_the_books(machine: type[Machine]) -> None:
    """Charges are what was reported plus what lapsed, nothing is admitted above a limit, nothing leaks."""
    few = settings(max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=few)
