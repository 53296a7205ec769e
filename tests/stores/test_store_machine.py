"""Random lives of reservations, compared with a simple model; every store must agree with the model."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway.amounts import Ask, History, Rejection, Reservation
from gateway.stores import Store
from gateway.stores.admit import admit
from store_harness import Backend, ask, backend, bucket, hops, quota, repeats

T = TypeVar("T")
LIMIT, BURST, REFILL, DEEPEST, TIMES, IDLE, AGE, LAPSE = 100, 50, 2.0, 3, 2, 9, 30, 60
NEVER = 10**12
FLOWS = st.sampled_from(["one", "two", "silent"])  # the last expires when it is silent, and freezes when it is old
REPLICA = st.integers(0, 1)
TOOLS = st.sampled_from(["", "search", "fetch"])
SHOWN = st.lists(st.sampled_from(["search", "fetch", "send"]), max_size=3, unique=True)
LABELS = st.lists(st.sampled_from(["untrusted", "read:pii", "read"]), max_size=2, unique=True)


class Open:
    """A reservation in flight: the held amounts, and when it lapses."""

    def __init__(self, reservation: Reservation, amount: int, tool: str, depth: int, due: float) -> None:
        self.reservation = reservation
        self.amount, self.tool, self.depth, self.due = amount, tool, depth, due


class Books:
    """The expected amounts of one workflow."""

    def __init__(self, *, seconds: int | None, idle: int | None) -> None:
        self.seconds, self.idle = seconds, idle
        self.told = False  # that it has an end is known from its first call
        self.known = False
        self.state = "open"
        self.limit = LIMIT
        self.reported = self.lapsed = self.deepest = 0
        self.last = self.since = 0.0
        self.repeated: Counter[str] = Counter()
        self.open: dict[str, Open] = {}
        self.labels: set[str] = set()
        self.cleared: set[str] = set()
        self.shown: list[str] = []
        self.changes = 0  # of these three
        self.told_versions: list[tuple[int, int]] = []  # how many changes there were, the version that was told

    @property
    def flow(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        return tuple(sorted(self.labels)), tuple(self.shown), tuple(sorted(self.cleared))

    def learned(self, history: History) -> None:
        """The history that a replica returns equals the model's history."""
        assert history[:3] == self.flow
        self.told_versions.append((self.changes, history.version))

    def show(self, tools: list[str]) -> None:
        fresh = [tool for tool in tools if tool not in self.shown]
        self.shown += fresh
        self.changes += bool(fresh)

    @property
    def used(self) -> int:
        return self.reported + self.lapsed

    @property
    def held(self) -> int:
        return sum(it.amount for it in self.open.values())

    def flying(self, tool: str) -> int:
        return sum(it.tool == tool for it in self.open.values())

    def begin(self, now: float) -> None:
        """There is a record of it from now on."""
        if not self.known:
            self.known, self.last, self.since = True, now, now

    def standing(self, now: float, asked: bool) -> str:
        """The state it is in by now, as a call (`asked`) or somebody else finds it."""
        if self.state != "open" or not self.known or not (asked or self.told):
            return self.state
        age_ends = NEVER if self.seconds is None else self.since + self.seconds
        rest_ends = NEVER if self.idle is None or self.open else self.last + self.idle
        if now > rest_ends and rest_ends < age_ends:
            return "expired"
        return "frozen" if now > age_ends else "open"

    def verdict(self, amount: int, depth: int, tool: str, level: float, tokens: int, now: float) -> str | None:
        """Why a call is refused, None if it is not."""
        if self.state != "open":
            return {"frozen": "frozen", "closed": "closed", "expired": "idle"}[self.state]
        if (by_now := self.standing(now, asked=True)) != "open":
            return {"frozen": "expired", "expired": "idle"}[by_now]
        if level + 1e-6 < tokens:
            return "rate"
        if depth > DEEPEST:
            return "exceeded"
        if tool and self.repeated[tool] + self.flying(tool) + 1 > TIMES:
            return "exceeded"
        if self.used + amount > self.limit:
            return "exceeded for good"
        return "busy" if self.used + self.held + amount > self.limit else None

    def refused(self, verdict: str, now: float) -> None:
        """What a refusal does to the workflow."""
        if verdict in ("exceeded for good", "expired"):
            self.begin(now)
            self.state = "frozen"
        elif verdict == "idle":
            self.state = "expired"
        self.told |= self.state != "open"


class Machine(RuleBasedStateMachine):
    """Reserve, wait, settle, release, lapse, label, freeze, top up, close, expire, crash, in any order, at any time."""

    place: Backend

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.place = backend(type(self).place.name, Path(self.folder.name), type(self).place.url)
        self.shared = self.place.name != "sqlite"
        self.replicas: list[Store] = [self.run(self.place.open()) for _ in range(2 if self.shared else 1)]
        self.dead: list[Store] = []
        self.books = {name: Books(seconds=None, idle=None) for name in ("one", "two")}
        self.books["silent"] = Books(seconds=AGE, idle=IDLE)
        self.level = float(BURST)
        self.ended: list[Reservation] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def store(self, replica: int = 0) -> Store:
        return self.replicas[replica % len(self.replicas)]

    @property
    def now(self) -> float:
        return self.place.clock()

    def teardown(self) -> None:
        """In the end every call has ended; then nothing is held, and each was charged once."""
        self.place.clock.advance(LAPSE + 1)
        self.run(self.store().sweep())
        for books in self.books.values():
            for id in list(books.open):
                self.lapse(books, id)
        self.the_books_agree()
        for store in [*self.replicas, *self.dead]:
            self.run(store.close())
        self.loop.close()
        self.folder.cleanup()

    # Calls

    def ask(self, flow: str, amount: int, tokens: int, depth: int, tool: str, shown: Sequence[str] = ()) -> Ask:
        debits = [bucket(BURST, tokens, REFILL, "team:t", "tokens"), hops(DEEPEST, depth)]
        if tool:
            debits.append(repeats(TIMES, tool))
        books = self.books[flow]
        asked = ask(*debits, quota(LIMIT, amount), cid=flow, seconds=books.seconds, idle=books.idle)
        return asked._replace(history=True, tools=tuple(shown))

    def admitted(self, flow: str, outcome: Reservation, amount: int, tokens: int, depth: int, tool: str) -> None:
        books = self.books[flow]
        books.begin(self.now)
        books.last, books.told = self.now, True
        books.open[outcome.ask.id] = Open(outcome, amount, tool, depth, self.now + LAPSE)
        self.level -= tokens
        assert books.used + books.held <= books.limit
        books.show(list(outcome.ask.tools))
        assert outcome.history is not None
        books.learned(outcome.history)
        balance = outcome.balances[-1]
        assert (balance.remaining, balance.added) == (books.limit - books.used - books.held, books.limit - LIMIT)

    @rule(
        flow=FLOWS,
        amount=st.integers(0, 120),
        tokens=st.integers(0, 60),
        depth=st.integers(0, DEEPEST + 1),
        tool=TOOLS,
        shown=SHOWN,
        replica=REPLICA,
    )
    def reserve(
        self, flow: str, amount: int, tokens: int, depth: int, tool: str, shown: list[str], replica: int
    ) -> None:
        books = self.books[flow]
        expected = books.verdict(amount, depth, tool, self.level, tokens, self.now)
        outcome = self.run(self.store(replica).reserve(self.ask(flow, amount, tokens, depth, tool, shown)))
        if expected is None:
            assert isinstance(outcome, Reservation), outcome
            self.admitted(flow, outcome, amount, tokens, depth, tool)
            return
        assert isinstance(outcome, Rejection)
        assert outcome.reason == expected.removesuffix(" for good")
        books.refused(expected, self.now)
        if expected in ("busy", "exceeded for good"):
            assert (outcome.used, outcome.held, outcome.limit) == (books.used, books.held, books.limit)

    @precondition(lambda self: any(books.open for books in self.books.values()))
    @rule(
        data=st.data(), actual=st.integers(0, 150), tokens=st.integers(0, 80), released=st.booleans(), replica=REPLICA
    )
    def end(self, data: st.DataObject, actual: int, tokens: int, released: bool, replica: int) -> None:
        flow = self.flow_in_flight(data)
        self.settle(flow, data.draw(st.sampled_from(sorted(self.books[flow].open))), actual, tokens, released, replica)

    def flow_in_flight(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(name for name, books in self.books.items() if books.open)))

    def settle(self, flow: str, id: str, actual: int, tokens: int, released: bool, replica: int) -> None:
        books = self.books[flow]
        it = books.open.pop(id)
        took = it.reservation.ask.debits[0].amount
        if released:
            actual = tokens = 0
        used = {"tokens": actual, "team:t": tokens}
        state: Any = "released" if released else "settled"
        assert self.run(self.store(replica).settle(it.reservation, used, state))
        books.reported += actual
        books.last = self.now
        if not released:
            books.deepest = max(books.deepest, it.depth)
            books.repeated[it.tool] += 1
        self.level = min(BURST, self.level + took - tokens)
        self.ended.append(it.reservation)

    @precondition(lambda self: self.ended)
    @rule(data=st.data(), replica=REPLICA)
    def end_again(self, data: st.DataObject, replica: int) -> None:
        reservation = data.draw(st.sampled_from(self.ended))
        assert not self.run(self.store(replica).settle(reservation, {"tokens": 50}, "settled"))

    @precondition(lambda self: any(books.open for books in self.books.values()))
    @rule(data=st.data(), amount=st.integers(0, 120), actual=st.integers(0, 100), replica=REPLICA)
    def wait_for_room(self, data: st.DataObject, amount: int, actual: int, replica: int) -> None:
        """A call that is busy waits; another ends; then it gets in, hears that it never will, or leaves."""
        flow = self.flow_in_flight(data)
        books = self.books[flow]
        if books.verdict(amount, 0, "", self.level, 0, self.now) != "busy":
            return
        store = self.store(replica)
        task = self.loop.create_task(admit(store, self.ask(flow, amount, 0, 0, ""), 1000))
        self.run(self.pump(store, task))
        assert not task.done()
        id = data.draw(st.sampled_from(sorted(books.open)))
        # The same replica: that others are heard of is a matter of time, and tested elsewhere.
        self.settle(flow, id, actual, 0, released=False, replica=replica)
        expected = books.verdict(amount, 0, "", self.level, 0, self.now)
        if expected == "busy":
            self.run(self.pump(store, task))
            assert not task.done()
            task.cancel()
            self.run(self.gone(task))
            return
        outcome = self.run(asyncio.wait_for(task, 20))
        if isinstance(outcome, Reservation):
            assert expected is None
            self.admitted(flow, outcome, amount, 0, 0, "")
        else:
            assert f"{outcome.reason} for good" == expected
            books.refused(expected, self.now)

    async def pump(self, store: Store, task: asyncio.Task[Any]) -> None:
        """Run a call until it waits."""
        for _ in range(3):
            await store.ping()
            await asyncio.sleep(0)
            if task.done():
                return

    async def gone(self, task: asyncio.Task[Any]) -> None:
        await asyncio.wait([task])

    # Flow

    @precondition(lambda self: any(books.told_versions for books in self.books.values()))
    @rule(data=st.data(), labels=LABELS, newest=st.booleans(), replica=REPLICA)
    def mark(self, data: st.DataObject, labels: list[str], newest: bool, replica: int) -> None:
        """Labels are set if the history has not changed since the version was read, on any replica."""
        flow = data.draw(st.sampled_from(sorted(name for name, books in self.books.items() if books.told_versions)))
        books = self.books[flow]
        changes, version = books.told_versions[-1] if newest else data.draw(st.sampled_from(books.told_versions))
        done, history = self.run(self.store(replica).mark("t", flow, labels, version))
        assert done == (changes == books.changes)
        fresh = set(labels) - books.cleared - books.labels
        if done and fresh:
            books.labels |= fresh
            books.changes += 1
        books.learned(history)

    @rule(flow=FLOWS, label=st.sampled_from(["untrusted", "read:pii", "read"]), off=st.booleans(), replica=REPLICA)
    def relabel(self, flow: str, label: str, off: bool, replica: int) -> None:
        books = self.books[flow]
        applies = books.known and books.standing(self.now, asked=False) in ("open", "frozen")
        expected = applies and (label in books.labels) == off
        assert self.run(self.store(replica).relabel("t", flow, label, off=off)) == expected
        if expected:
            books.labels ^= {label}
            books.cleared = books.cleared | {label} if off else books.cleared - {label}
            books.changes += 1

    # Time

    @rule(seconds=st.sampled_from([0.25, 1.0, 7.5, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.place.clock.advance(seconds)
        self.level = min(BURST, self.level + seconds * REFILL)

    @rule(replica=REPLICA)
    def sweep(self, replica: int) -> None:
        due = [(books, id) for books in self.books.values() for id, it in books.open.items() if it.due <= self.now]
        assert self.run(self.store(replica).sweep()) == len(due)
        for books, id in due:
            self.lapse(books, id)

    @rule(replica=REPLICA)
    def crash(self, replica: int) -> None:
        """A process ends without settling; reservations lapse at the next start (SQLite) or their deadline (Redis)."""
        if self.shared:
            self.dead.append(self.replicas[replica])
            self.replicas[replica] = self.run(self.place.open())
            return
        self.run(self.store().durable())
        self.run(self.store().close())
        self.replicas = [self.run(self.place.open())]
        for books in self.books.values():
            for id in list(books.open):
                self.lapse(books, id)

    def lapse(self, books: Books, id: str) -> None:
        it = books.open.pop(id)
        books.lapsed += it.amount
        books.repeated[it.tool] += 1
        books.last = self.now
        self.ended.append(it.reservation)

    # Humans

    @rule(flow=FLOWS, replica=REPLICA)
    def freeze(self, flow: str, replica: int) -> None:
        self.run(self.store(replica).freeze("t", flow, "by hand"))
        books = self.books[flow]
        books.begin(self.now)
        if books.standing(self.now, asked=False) in ("open", "frozen"):
            books.state = "frozen"

    @rule(flow=FLOWS, replica=REPLICA, topup=st.none() | st.integers(0, 60))
    def resume(self, flow: str, replica: int, topup: int | None) -> None:
        books = self.books[flow]
        expected = books.known and books.standing(self.now, asked=False) in ("open", "frozen")
        resumed = self.run(self.store(replica).resume("t", flow, None if topup is None else {"tokens": topup}))
        assert resumed == expected
        if resumed:
            books.state, books.last, books.since = "open", self.now, self.now
            books.limit += topup or 0

    @rule(flow=st.sampled_from(["two", "silent"]), replica=REPLICA)
    def close(self, flow: str, replica: int) -> None:
        books = self.books[flow]
        closed = self.run(self.store(replica).close_workflow("t", flow, "done"))
        assert closed == (books.known and books.standing(self.now, asked=False) in ("open", "frozen"))
        if closed:
            books.state = "closed"

    @rule(flow=FLOWS, replica=REPLICA)
    def open(self, flow: str, replica: int) -> None:
        books = self.books[flow]
        times = {"seconds": books.seconds, "idle": books.idle}
        opened = self.run(self.store(replica).open_workflow("t", flow, 86400, **times))
        assert opened == (not books.known)
        books.told |= opened
        books.begin(self.now)

    @invariant()
    def the_books_agree(self) -> None:
        for flow, books in self.books.items():
            workflow = self.run(self.store(1).workflow("t", flow))
            assert (workflow is not None) == books.known
            if workflow is None:
                continue
            stands = [kind.get("tokens", 0) for kind in (workflow.used, workflow.held, workflow.lapsed)]
            assert stands == [books.used, books.held, books.lapsed]
            assert workflow.state == books.standing(self.now, asked=False)
            assert workflow.topups.get("tokens", 0) == books.limit - LIMIT
            assert workflow.used.get("hops", 0) == books.deepest
            assert workflow.history[:3] == books.flow
            named = {tool: times for tool, times in books.repeated.items() if tool}
            assert workflow.used.get("repeats", 0) == max(named.values(), default=0)
            assert workflow.held.get("repeats", 0) == sum(bool(it.tool) for it in books.open.values())


@pytest.fixture
def machine(place: Backend) -> type[Machine]:
    """The machine, bound to a kind of store."""
    return type("Machine", (Machine,), {"place": place})


@pytest.mark.slow
def test_any_interleaving_keeps_the_books(machine: type[Machine]) -> None:
    """Charges are reported plus lapsed amounts, no limit is exceeded, and nothing leaks."""
    few = settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=few)
