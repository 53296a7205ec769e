"""The arithmetic of admission in memory: token buckets and workflows, reserve and settle. No IO, no clock.

Time is an argument, in whole microseconds: with floats, rounding would make some waiting times slightly too short.
`redis.lua` is the same arithmetic for many processes; one contract suite tests both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.amounts import SHARE, Ask, Balance, Debit, Marked, Rejection, Reservation, is_far
from gateway.stores import FOREVER, End, State, Workflow, actual, charges, slowest
from gateway.stores.record import MICRO, Change, Count, Record

# Continuous refill leaves rounding errors on a level; a bucket that is short by less than this is not short.
DUST = 1e-6
# A refused call extends the life of its workflow's record, but a flood of calls must not cause a flood of writes.
TOUCH = 60 * MICRO
_new = tuple.__new__  # a named tuple without the function that a call of its class runs
# The turn of a call that has waited long ends after this time without a try: the caller may have gone.
TURN = 2 * MICRO


@dataclass(slots=True)
class Bucket:
    """A token bucket: `level` units at time `at`, refilled continuously up to `limit`. A negative level is a debt."""

    level: float
    at: int
    limit: int
    refill: float

    def refill_to(self, now: int, limit: int, refill: float) -> None:
        """Refill up to `now`, by the current limit."""
        if now > self.at:
            self.level += (now - self.at) / MICRO * refill
        if self.level > limit:
            self.level = float(limit)
        self.at = now  # also where the clock was set back: otherwise nothing would be refilled until then
        self.limit, self.refill = limit, refill

    def full(self, now: int) -> bool:
        """Whether the bucket is full: then it need not be kept."""
        return self.level + max(0, now - self.at) / MICRO * self.refill >= self.limit


Name = tuple[str, str]  # team, correlation id
Outlived = Literal["quotas.seconds", "quotas.idle", ""]


class Counters:
    """All buckets, and the workflows in use. `load` reads a workflow that is not in memory."""

    def __init__(self, load: Callable[[str, str], Record | None] = lambda _team, _id: None) -> None:
        self._load = load
        self.buckets: dict[str, Bucket] = {}
        self.records: dict[Name, Record] = {}
        self.open: dict[str, tuple[Ask, int]] = {}  # reservation id -> what it took, when it lapses

    def look(self, team: str, correlation_id: str, now: int) -> Record | None:
        """The same as `record`, for a reader: a record that is not in memory is not kept there."""
        record = self.records.get((team, correlation_id)) or self._load(team, correlation_id)
        return None if record is None or (record.ends < now and record.at_rest()) else record

    def record(self, team: str, correlation_id: str, now: int) -> Record | None:
        """The record of a workflow, if there is one. A record with calls in flight never expires."""
        name = (team, correlation_id)
        record = self.records.get(name)
        if record is None:
            record = self._load(team, correlation_id)
            if record is None:
                return None
            self.records[name] = record
        if record.ends < now and record.at_rest():
            del self.records[name]
            return None
        return record

    def reserve(self, ask: Ask, now: int) -> Reservation | Rejection:
        """Take all debits or none. `Rejection` describes the effect of a rejection on the workflow."""
        if ask.id in self.open:
            raise ValueError(f"call {ask.id} has a reservation already")
        record = self.record(ask.team, ask.correlation_id, now) or _fresh(ask.team, ask.correlation_id, now)
        if (refused := self._refused(record, ask, now)) is None:
            if not ask.debits and ask.bare:
                known = record.history if ask.history else None
                chain = record.chain(ask.agent) if ask.look else ()
                return Reservation(ask, (), chain, (), known, record.stripped)
            balances: list[Balance] = []
            repeats = len(record.repeats)
            behind = bool(record.turn) and record.turn != ask.id and now < record.turn_ends
            for index, debit in enumerate(ask.debits):
                outcome = (
                    self._take_rate(debit, index, now) if debit.refill else self._take(debit, index, record, behind)
                )
                if ask.excess and not isinstance(outcome, Rejection) and _is_near(debit, ask.excess, outcome):
                    self._put_back(debit, record)
                    outcome = Rejection("near", index)
                if isinstance(outcome, Rejection):
                    refused = self._longest_wait(ask, outcome, now) if outcome.reason == "rate" else outcome
                    for taken in ask.debits[:index]:
                        self._put_back(taken, record)
                    for key in list(record.repeats)[repeats:]:
                        del record.repeats[key]
                    break
                balances.append(outcome)
            else:
                if record.turn == ask.id:
                    record.turn = ""
                if record.repeats:
                    record.trim()
                if not record.path or record.path[-1] != ask.agent:
                    record.follow(ask.agent)
                self._keep(record, ask, now)
                self.open[ask.id] = (ask, now + ask.lapse * MICRO)
                path = tuple(record.path) if len(record.path) > 2 else ()
                if ask.tools:
                    record.show(ask.tools)
                told = record.history if ask.history else None
                return Reservation(ask, tuple(balances), record.chain(ask.agent), path, told, record.stripped)
        self._note(record, ask, refused, now)
        return refused

    def left(self, team: str, correlation_id: str, debits: Sequence[Debit], now: int) -> list[int]:
        """What each bucket and quota holds, before the debit. Only the life of an expired record ends."""
        record = self.record(team, correlation_id, now)
        amounts: list[int] = []
        for debit in debits:
            key, unit, _, limit, _, refill, _, _ = debit
            if refill:
                if (bucket := self.buckets.get(key)) is not None:
                    level = bucket.level + (now - bucket.at) / MICRO * refill if now > bucket.at else bucket.level
                    limit = limit if level > limit else int(level)
            elif record is not None:
                limit = record.limit(debit) if record.topups else limit
                count = record.counts.get(key) if unit != "repeats" else record.repeats.get(key)
                if count is not None:
                    limit -= count.used + count.held
            amounts.append(limit)
        return amounts

    def settle(self, ask: Ask, used: Mapping[str, int], state: End, now: int) -> bool:
        """End a reservation, once. See `Store.settle`."""
        if self.open.pop(ask.id, None) is None:
            return False
        record = self.records.get((ask.team, ask.correlation_id))
        reported = state == "settled"
        for debit, amount in charges(ask.debits):
            charged = used.get(debit.key, amount) if reported else -1
            if not 0 <= charged <= FOREVER:
                charged = actual(debit, amount, used, state)
            if debit.refill:
                if charged != amount:
                    bucket = self._bucket(debit, now)
                    bucket.level = min(float(debit.limit), bucket.level + amount - charged)
            elif debit.unit == "hops":
                if record is not None and state == "settled":
                    deepest = record.begin(debit)
                    deepest.used = max(deepest.used, charged)
            elif record is not None and (count := record.counts.get(debit.key) or record.count(debit)) is not None:
                # A counter of repeats may be younger than the call: the previous counter of this name was dropped.
                held = count.held - amount
                count.held = held if held > 0 else 0
                count.used += charged
                if state == "lapsed":
                    count.lapsed += charged
        if record is not None:
            record.last = max(record.last, now)
            record.ends = max(record.ends, now + ask.ttl * MICRO)
        return True

    def mark(self, team: str, correlation_id: str, labels: Sequence[str], version: int, now: int) -> Marked | None:
        """Label a workflow if its history has this version; None if the workflow has no record. See `Store.mark`."""
        record = self.record(team, correlation_id, now)
        if record is None:
            return None
        done = record.history.version == version
        if done and labels:
            record.set_labels(labels)
        return Marked(done, record.history)

    def strip(self, team: str, correlation_id: str, tools: Sequence[str], now: int) -> Record | None:
        """Remember tools that were taken out of a request; None if there is no record of the workflow."""
        record = self.record(team, correlation_id, now)
        if record is not None:
            record.strip(tools)
        return record

    def overdue(self, now: int) -> list[Ask]:
        """Reservations that did not end in time."""
        return [ask for ask, due in self.open.values() if due <= now]

    def change(self, team: str, correlation_id: str, change: Change, now: int) -> Record | None:
        """Apply a change to a workflow; None if the change does not apply: see `Store`."""
        record = self.record(team, correlation_id, now)
        if record is not None:
            ended = self.outlived(record, record.seconds, record.idle, now) == "quotas.idle"
            return record if not ended and record.change(change, now) else None
        if change.kind not in ("open", "freeze"):
            return None
        record = self.records[team, correlation_id] = _fresh(team, correlation_id, now)
        record.ends = now + change.ttl * MICRO
        if change.kind == "freeze":
            record.end("frozen", change.reason)
        else:
            record.opened, record.seconds, record.idle = True, change.seconds, change.idle
        return record

    def view(self, record: Record, now: int) -> Workflow:
        """A workflow for display: if its time has run out, in the state that its next call would find."""
        over = record.state == "open" and self.outlived(record, record.seconds, record.idle, now)
        if not over:
            return record.view(record.state, record.reason)
        state: State = "expired" if over == "quotas.idle" else "frozen"
        return record.view(state, over)

    def outlived(self, record: Record, seconds: int | None, idle: int | None, now: int) -> Outlived:
        """Which time limit of an open workflow ran out first, if any; a workflow with calls in flight is not idle."""
        if idle is None and (seconds is None or now <= record.since + seconds * MICRO):
            return ""
        age_ends = math.inf if seconds is None else record.since + seconds * MICRO
        rest_ends = math.inf if idle is None else max(record.last, record.since) + idle * MICRO
        if now > rest_ends and rest_ends < age_ends and record.state == "open" and not self._in_flight(record):
            return "quotas.idle"
        return "quotas.seconds" if now > age_ends else ""

    def evict(self, before: int, written: Callable[[int], bool], most: int) -> None:
        """Drop workflows from memory that can be loaded again: those last seen before a time, and beyond `most` those
        least recently seen, down to three quarters of `most`.
        """
        records = self.records
        if len(records) > most:
            last = sorted(it.last for it in records.values())
            before = max(before, last[len(last) - most * 3 // 4])
        idle = [name for name, it in records.items() if it.last < before and it.at_rest() and written(it.mark)]
        for name in idle:
            del records[name]

    def drain(self, now: int) -> list[str]:
        """Drop full buckets, which need not be kept. Returns their keys."""
        full = [key for key, bucket in self.buckets.items() if bucket.full(now)]
        for key in full:
            del self.buckets[key]
        return full

    def _take(self, debit: Debit, index: int, record: Record, behind: bool) -> Balance | Rejection:
        """Take an amount of a quota."""
        key, unit, amount, most, _, _, _, _ = debit
        limit = record.limit(debit) if record.topups else most
        if unit == "hops":
            if amount > limit:
                deepest = record.count(debit) or Count("hops")
                return Rejection("exceeded", index, deepest.used, limit=limit)
            return Balance(limit - amount, 0.0, limit - debit.limit)
        count = record.counts.get(key) or record.begin(debit)
        used, held = count.used, count.held
        if used + amount > limit or (unit == "repeats" and used + held + amount > limit):
            return Rejection("exceeded", index, used, held, limit=limit)
        if used + held + amount > limit or (behind and unit != "repeats"):
            return Rejection("busy", index, used, held, limit=limit)
        count.held = held = held + amount
        balance: Balance = _new(Balance, (limit - used - held, 0.0, limit - most))
        return balance

    def _take_rate(self, debit: Debit, index: int, now: int) -> Balance | Rejection:
        """Take an amount of a token bucket."""
        key, _, amount, limit, _, refill, _, _ = debit
        bucket = self.buckets.get(key)
        if bucket is None:
            bucket = self._bucket(debit, now)
        else:
            bucket.refill_to(now, limit, refill)
        level = bucket.level
        if level + DUST < amount:
            return _short(debit, index, level)
        bucket.level = level = level - amount
        left = math.floor(level + DUST)
        balance: Balance = _new(Balance, (left if left > 0 else 0, (limit - level) / refill, 0))
        return balance

    def _longest_wait(self, ask: Ask, first: Rejection, now: int) -> Rejection:
        """Of all short buckets, the one with the longest wait, so that Retry-After suffices for all of them."""
        short = [first]
        for index in range(first.index + 1, len(ask.debits)):
            debit = ask.debits[index]
            if debit.refill and (level := self._bucket(debit, now).level) + DUST < debit.amount:
                short.append(_short(debit, index, level))
        return slowest(short)

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
        elif debit.unit != "hops":
            record.begin(debit).held -= debit.amount

    def _keep(self, record: Record, ask: Ask, now: int) -> None:
        self.records.setdefault((ask.team, ask.correlation_id), record)
        if record.seconds != ask.seconds or record.idle != ask.idle:
            record.seconds, record.idle, record.dirty = ask.seconds, ask.idle, True
        if now > record.last:
            record.last = now
        # The record is kept at least until its reservations have lapsed, even if `ttl` is shorter.
        ends = now + (ask.ttl if ask.ttl > ask.lapse else ask.lapse) * MICRO
        if ends > record.ends:
            record.ends = ends
        if ask.agent not in record.agents:
            record.meet(ask.agent)

    def _note(self, record: Record, ask: Ask, refused: Rejection, now: int) -> None:
        """Record the effects of a refusal; a workflow that has ended is kept as long as it is called."""
        if refused.reason == "exceeded" and ask.debits[refused.index].unit not in ("hops", "repeats"):
            if ask.firm and not ask.debits[refused.index].key.startswith(SHARE):
                record.end("frozen", ask.debits[refused.index].name)
        elif refused.reason == "expired":
            record.end("frozen", "quotas.seconds")
        elif refused.reason == "idle" and record.state == "open":
            record.end("expired", "quotas.idle")
        elif refused.reason == "busy" and ask.first and (record.turn in ("", ask.id) or now >= record.turn_ends):
            record.turn, record.turn_ends = ask.id, now + TURN
        news = record.dirty or record.seconds != ask.seconds or record.idle != ask.idle
        if record.state != "open" and (news or record.last + TOUCH < now):
            self._keep(record, ask, now)
            record.dirty = True

    def _refused(self, record: Record, ask: Ask, now: int) -> Rejection | None:
        """Why the workflow accepts no call at all; None if the workflow is open."""
        if record.state != "open":
            return _ended(record, ask)
        if ask.strict and not record.opened:
            return Rejection("unknown")
        over = self.outlived(record, ask.seconds, ask.idle, now)
        if over == "quotas.seconds":
            return Rejection("expired", used=(now - record.since) // MICRO, limit=ask.seconds or 0)
        return Rejection("idle", limit=ask.idle or 0) if over else None

    def _in_flight(self, record: Record) -> bool:
        """Whether calls of the workflow are in flight, including calls that hold nothing.

        Scans all open reservations, so only for rare cases.
        """
        name = (record.team, record.correlation_id)
        return any((ask.team, ask.correlation_id) == name for ask, _ in self.open.values())


def _fresh(team: str, correlation_id: str, now: int) -> Record:
    return Record(team, correlation_id, now, now, now, now)


def _ended(record: Record, ask: Ask) -> Rejection:
    """Why the workflow is not open; for a frozen workflow with the quota that froze the workflow, if asked for."""
    if record.state == "closed":
        return Rejection("closed")
    if record.state == "expired":
        return Rejection("idle", limit=ask.idle or 0)
    for index, debit in enumerate(ask.debits):
        if not debit.refill and debit.name == record.reason:
            count = record.count(debit) or Count(debit.unit)
            return Rejection("frozen", index, count.used, count.held, limit=record.limit(debit))
    return Rejection("frozen")


def _is_near(debit: Debit, excess: int, left: Balance) -> bool:
    """Whether the limit of a debit of tokens or cost was near before it was taken."""
    counts = debit.unit in ("tokens", "cost")
    return counts and not is_far(debit.unit, debit.amount, excess, left.remaining + debit.amount)


def _short(debit: Debit, index: int, level: float) -> Rejection:
    return Rejection("rate", index, debit.limit - math.floor(level + DUST), 0, _wait(debit, level), debit.limit)


def _wait(debit: Debit, level: float) -> float | None:
    """Seconds until the bucket has the amount, rounded up to a millisecond; None if the amount never fits."""
    if debit.amount > debit.limit:
        return None
    return math.ceil((debit.amount - level) / debit.refill * 1000) / 1000
