"""The arithmetic of admission in memory: token buckets and workflows, reserve and settle. No IO, no clock.

Time is an argument, in whole microseconds: sums of floats would make "wait so long" come out a hair too short.
`redis.lua` is the same arithmetic for many processes; one suite of tests holds both to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.call import Ask, Balance, Debit, Rejection, Reservation
from gateway.stores import DEFAULT_TTL, End, Workflow, actual, charges

MICRO = 1_000_000
# Continuous refill leaves rounding dust on a level; a bucket this little short is not short.
DUST = 1e-6
# A refused call keeps its workflow remembered, but a flood of them must not become a flood of writes.
TOUCH = 60 * MICRO


@dataclass(slots=True)
class Bucket:
    """A token bucket: `level` units at time `at`, refilled continuously up to `limit`. Below zero it is in debt."""

    level: float
    at: int
    limit: int
    refill: float

    def refill_to(self, now: int, limit: int, refill: float) -> None:
        """Bring the level up to now, by the limit that is in force now."""
        elapsed = max(0, now - self.at) / MICRO
        self.level = min(float(limit), self.level + elapsed * refill)
        self.at = max(self.at, now)
        self.limit, self.refill = limit, refill

    def full(self, now: int) -> bool:
        """A full bucket is as good as none."""
        return self.level + max(0, now - self.at) / MICRO * self.refill >= self.limit


@dataclass(slots=True)
class Count:
    """One quota of a workflow: settled, in flight, and the part of settled that is an estimate."""

    unit: str
    used: int = 0
    held: int = 0
    lapsed: int = 0


@dataclass(slots=True)
class Record:
    """A workflow as counted. Times in microseconds; its age counts from `since`, it is forgotten after `ends`.

    `dirty`: more than counts has changed since it was last written. `mark`: when that was, in the writer's count.
    """

    team: str
    correlation_id: str
    first: int
    last: int
    since: int
    ends: int
    state: Literal["open", "frozen"] = "open"
    reason: str = ""
    agents: dict[str, None] = field(default_factory=dict)
    counts: dict[str, Count] = field(default_factory=dict)
    dirty: bool = True
    mark: int = 0

    def freeze(self, reason: str) -> None:
        self.state, self.reason, self.dirty = "frozen", reason, True

    def resume(self, now: int) -> None:
        self.state, self.reason, self.since, self.dirty = "open", "", now, True

    def idle(self) -> bool:
        """Nothing of it is in flight."""
        return not any(count.held for count in self.counts.values())

    def view(self) -> Workflow:
        """The record as others see it, summed by unit."""
        used: dict[str, int] = {}
        held: dict[str, int] = {}
        lapsed: dict[str, int] = {}
        for count in self.counts.values():
            used[count.unit] = used.get(count.unit, 0) + count.used
            held[count.unit] = held.get(count.unit, 0) + count.held
            lapsed[count.unit] = lapsed.get(count.unit, 0) + count.lapsed
        return Workflow(
            self.team,
            self.correlation_id,
            self.state,
            self.reason,
            self.first / MICRO,
            self.last / MICRO,
            tuple(self.agents),
            used,
            held,
            lapsed,
        )


Name = tuple[str, str]  # team, correlation id


class Counters:
    """All buckets, and the workflows that are in use. `load` brings back a workflow that is not in memory."""

    def __init__(self, load: Callable[[str, str], Record | None] = lambda _team, _id: None) -> None:
        self._load = load
        self.buckets: dict[str, Bucket] = {}
        self.records: dict[Name, Record] = {}
        self.open: dict[str, tuple[Ask, int]] = {}  # reservation id -> what it took, when it lapses

    def record(self, team: str, correlation_id: str, now: int) -> Record | None:
        """The workflow, if it is remembered. One with calls in flight never expires."""
        name = (team, correlation_id)
        record = self.records.get(name)
        if record is None:
            record = self._load(team, correlation_id)
            if record is None:
                return None
            self.records[name] = record
        if record.ends < now and record.idle():
            del self.records[name]
            return None
        return record

    def reserve(self, ask: Ask, now: int) -> Reservation | Rejection:
        """Take all or none. A rejection for exceeded or expired freezes the workflow."""
        if ask.id in self.open:
            raise ValueError(f"call {ask.id} has a reservation already")
        record = self.record(ask.team, ask.correlation_id, now) or _fresh(ask.team, ask.correlation_id, now)
        if (refused := _refused(record, ask, now)) is None:
            balances: list[Balance] = []
            for index, debit in enumerate(ask.debits):
                outcome = self._take(debit, index, record, now)
                if isinstance(outcome, Rejection):
                    for taken in ask.debits[:index]:
                        self._put_back(taken, record)
                    refused = outcome
                    break
                balances.append(outcome)
            else:
                self._keep(record, ask, now)
                self.open[ask.id] = (ask, now + ask.lapse * MICRO)
                return Reservation(ask, tuple(balances))
        self._note(record, ask, refused, now)
        return refused

    def settle(self, ask: Ask, used: Mapping[str, int], state: End, now: int) -> bool:
        """End a reservation, once. See `Store.settle`."""
        if self.open.pop(ask.id, None) is None:
            return False
        record = self.records.get((ask.team, ask.correlation_id))
        for debit, amount in charges(ask.debits):
            charged = actual(debit, amount, used, state)
            if debit.refill:
                if charged != amount:
                    bucket = self._bucket(debit, now)
                    bucket.level = min(float(debit.limit), bucket.level + amount - charged)
            elif record is not None and (count := record.counts.get(debit.key)) is not None:
                count.held -= amount
                count.used += charged
                if state == "lapsed":
                    count.lapsed += charged
        if record is not None:
            record.last = max(record.last, now)
            record.ends = max(record.ends, now + ask.ttl * MICRO)
        return True

    def overdue(self, now: int) -> list[Ask]:
        """Reservations that nobody has ended in time."""
        return [ask for ask, due in self.open.values() if due <= now]

    def change(self, team: str, correlation_id: str, reason: str | None, now: int) -> Record | None:
        """Freeze (with a reason) or resume (None) a workflow by hand. None: there was nothing to resume."""
        record = self.record(team, correlation_id, now)
        if reason is None:
            if record is not None:
                record.resume(now)
            return record
        if record is None:
            record = self.records[team, correlation_id] = _fresh(team, correlation_id, now)
        record.ends = max(record.ends, now + DEFAULT_TTL * MICRO)
        record.freeze(reason)
        return record

    def evict(self, before: int, written: Callable[[int], bool]) -> None:
        """Drop from memory the idle workflows last seen `before` that can be loaded again."""
        idle = [name for name, it in self.records.items() if it.last < before and it.idle() and written(it.mark)]
        for name in idle:
            del self.records[name]

    def drain(self, now: int) -> list[str]:
        """Drop the buckets that are full: they are as good as none. Returns their keys."""
        full = [key for key, bucket in self.buckets.items() if bucket.full(now)]
        for key in full:
            del self.buckets[key]
        return full

    def _take(self, debit: Debit, index: int, record: Record, now: int) -> Balance | Rejection:
        if debit.refill:
            return self._take_rate(debit, index, now)
        count = record.counts.get(debit.key)
        if count is None:
            count = record.counts[debit.key] = Count(debit.unit)
        if count.used + debit.amount > debit.limit:
            return Rejection("exceeded", index, count.used, count.held)
        if count.used + count.held + debit.amount > debit.limit:
            return Rejection("busy", index, count.used, count.held)
        count.held += debit.amount
        return Balance(debit.limit - count.used - count.held, 0.0)

    def _take_rate(self, debit: Debit, index: int, now: int) -> Balance | Rejection:
        bucket = self._bucket(debit, now)
        level = bucket.level
        if level + DUST < debit.amount:
            spent = debit.limit - math.floor(level + DUST)
            return Rejection("rate", index, spent, 0, _wait(debit, level))
        bucket.level = level = level - debit.amount
        return Balance(max(0, math.floor(level + DUST)), (debit.limit - level) / debit.refill)

    def _bucket(self, debit: Debit, now: int) -> Bucket:
        """The bucket of a debit, refilled up to now; a new one is full."""
        bucket = self.buckets.get(debit.key)
        if bucket is None:
            bucket = self.buckets[debit.key] = Bucket(float(debit.limit), now, debit.limit, debit.refill)
        bucket.refill_to(now, debit.limit, debit.refill)
        return bucket

    def _put_back(self, debit: Debit, record: Record) -> None:
        if debit.refill:
            self.buckets[debit.key].level += debit.amount
        else:
            record.counts[debit.key].held -= debit.amount

    def _keep(self, record: Record, ask: Ask, now: int) -> None:
        self.records.setdefault((ask.team, ask.correlation_id), record)
        record.last = max(record.last, now)
        # Kept at least until its reservations have lapsed, however short the ttl.
        record.ends = max(record.ends, now + max(ask.ttl, ask.lapse) * MICRO)
        if ask.agent not in record.agents:
            record.agents[ask.agent] = None
            record.dirty = True

    def _note(self, record: Record, ask: Ask, refused: Rejection, now: int) -> None:
        """What a refusal leaves behind: a frozen workflow stays frozen for as long as it is called."""
        if refused.reason == "exceeded":
            record.freeze(ask.debits[refused.index].name)
        elif refused.reason == "expired":
            record.freeze("quotas.seconds")
        if record.state == "frozen" and (record.dirty or record.last + TOUCH < now):
            self._keep(record, ask, now)
            record.dirty = True


def _fresh(team: str, correlation_id: str, now: int) -> Record:
    return Record(team, correlation_id, now, now, now, now)


def _refused(record: Record, ask: Ask, now: int) -> Rejection | None:
    if record.state == "frozen":
        return _frozen(record, ask)
    age = now - record.since
    if ask.seconds is not None and age > ask.seconds * MICRO:
        return Rejection("expired", used=age // MICRO)
    return None


def _frozen(record: Record, ask: Ask) -> Rejection:
    """Names the quota that froze it, if the ask still has that quota."""
    for index, debit in enumerate(ask.debits):
        if not debit.refill and debit.name == record.reason:
            count = record.counts.get(debit.key) or Count(debit.unit)
            return Rejection("frozen", index, count.used, count.held)
    return Rejection("frozen")


def _wait(debit: Debit, level: float) -> float | None:
    """Seconds until the bucket has the amount, rounded up to a millisecond; None if it never will."""
    if debit.amount > debit.limit:
        return None
    return math.ceil((debit.amount - level) / debit.refill * 1000) / 1000
