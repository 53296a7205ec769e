"""The last balances that Redis reported, to continue from during an outage. In memory, no IO, no clock.

A share is a limit divided by the number of gateways, rounded down, at least 1. The used part of a quota is divided
likewise and rounded up: if all gateways saw the same balances, they admit no more together than the limit allows.
Depth (hops) is a property of a single call and is not divided.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.amounts import NO_HISTORY, SHARE, Ask, Debit, History, Rejection, Reservation, Unit
from gateway.stores import State
from gateway.stores.counters import Bucket
from gateway.stores.record import MICRO, Count, Record

KEPT = 20_000  # workflows, and as many buckets, that are remembered: the most recently seen

# Offset of the versions of a history while this gateway is alone: Redis never reports such a version.
APART = 2**40

Name = tuple[str, str]  # team, correlation id


@dataclass(slots=True)
class Standing:
    """A workflow as last seen: the used part of each quota (settled and in flight), and its state."""

    since: int
    last: int
    ends: int = 0
    state: State = "open"
    reason: str = ""
    opened: bool = False
    taken: dict[str, tuple[Unit, int]] = field(default_factory=dict)
    topups: dict[str, int] = field(default_factory=dict)
    agents: dict[str, str] = field(default_factory=dict)  # each with its parent
    path: list[str] = field(default_factory=list)
    history: History = NO_HISTORY
    stripped: tuple[str, ...] = ()


class Seen:
    """The last balances, for a gateway that is one of `replicas`."""

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas
        self._workflows: OrderedDict[Name, Standing] = OrderedDict()
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._alone: OrderedDict[Name, Record] = OrderedDict()  # as an outage left them; Redis has not reported since

    def note(self, ask: Ask, got: Reservation | Rejection, now: int) -> None:
        """Remember a reply of Redis."""
        if ask.look and isinstance(got, Reservation):
            return
        name = (ask.team, ask.correlation_id)
        standing = self._workflows.get(name) or Standing(now, now)
        standing.last, standing.ends = now, now + max(ask.ttl, ask.lapse) * MICRO
        if isinstance(got, Reservation):
            standing.state, standing.reason = "open", ""
            standing.opened = standing.opened or ask.strict
            standing.agents |= zip(got.chain, ("", *got.chain), strict=False)
            standing.path = list(got.path or got.chain[-2:])
            standing.history = got.history or standing.history
            standing.stripped = got.stripped or standing.stripped
            for debit, balance in zip(ask.debits, got.balances, strict=True):
                if debit.refill:
                    self._buckets[debit.key] = Bucket(float(balance.remaining), now, debit.limit, debit.refill)
                    self._buckets.move_to_end(debit.key)
                else:
                    standing.taken[debit.key] = (debit.unit, debit.limit + balance.added - balance.remaining)
                    if balance.added:
                        standing.topups[debit.key] = balance.added
        elif not _ends(standing, ask, got):
            return
        self._workflows[name] = standing
        self._workflows.move_to_end(name)
        self._alone.pop(name, None)
        for kept in (self._workflows, self._buckets):
            if len(kept) > KEPT:
                kept.popitem(last=False)

    def mark(self, team: str, correlation_id: str, history: History) -> None:
        """Remember the history of a workflow as Redis reported it."""
        if (standing := self._workflows.get((team, correlation_id))) is not None:
            standing.history = history
        if (record := self._alone.get((team, correlation_id))) is not None:
            record.history = history._replace(version=history.version + APART)

    def keep(self, records: Mapping[Name, Record]) -> None:
        """Remember the workflows of an outage that has ended, for the next one.

        What they used is in Redis now, but the last report of Redis is older: a share would otherwise begin anew with
        every outage. What is in flight counts as used, because Redis settles it.
        """
        for name, record in records.items():
            for count in (*record.counts.values(), *record.repeats.values()):
                count.used, count.held = count.used + count.held, 0
            self._alone[name] = record
            self._alone.move_to_end(name)
        while len(self._alone) > KEPT:
            self._alone.popitem(last=False)

    def record(self, team: str, correlation_id: str) -> Record | None:
        """This gateway's share of a workflow."""
        if (alone := self._alone.get((team, correlation_id))) is not None:
            return alone
        seen = self._workflows.get((team, correlation_id))
        if seen is None:
            return None
        record = Record(team, correlation_id, seen.since, seen.last, seen.since, seen.ends, seen.state, seen.reason)
        record.opened = seen.opened
        record.agents, record.path = dict(seen.agents), list(seen.path)
        record.history = seen.history._replace(version=seen.history.version + APART)
        record.stripped = seen.stripped
        record.topups = {key: added // self._replicas for key, added in seen.topups.items()}
        for number, (key, (unit, taken)) in enumerate(seen.taken.items()):
            if unit == "repeats":
                record.repeats[key] = Count(unit, -(-taken // self._replicas), number=number)
            elif unit != "hops":
                record.counts[key] = Count(unit, -(-taken // self._replicas))
        return record

    def buckets(self, now: int, alone: Mapping[str, Bucket]) -> dict[str, Bucket]:
        """This gateway's share of each bucket, refilled up to `now`, and at most what an earlier outage left of it.

        `alone`: the buckets of that outage. What they gave out is not in Redis.
        """
        shares: dict[str, Bucket] = {}
        for key, seen in self._buckets.items():
            level = min(seen.limit, seen.level + max(0, now - seen.at) / MICRO * seen.refill) / self._replicas
            shares[key] = Bucket(level, now, self._limit(seen.limit), seen.refill / self._replicas)
        for key, left in alone.items():
            left.refill_to(now, left.limit, left.refill)
            if (share := shares.setdefault(key, left)).level > left.level:
                share.level = left.level
        return shares

    def share(self, debit: Debit) -> Debit:
        """The debit with this gateway's share of the limit."""
        if debit.unit == "hops":
            return debit
        return debit._replace(limit=self._limit(debit.limit), refill=debit.refill / self._replicas)

    def _limit(self, limit: int) -> int:
        return max(1, limit // self._replicas) if limit else 0


def _ends(standing: Standing, ask: Ask, got: Rejection) -> bool:
    """Whether the rejection means that the workflow accepts no more calls; if so, record the new state."""
    debit = ask.debits[got.index] if got.index >= 0 else None
    ending = debit is not None and debit.unit not in ("hops", "repeats") and not debit.key.startswith(SHARE)
    if got.reason == "exceeded" and debit is not None and ending:
        standing.state, standing.reason = "frozen", debit.name
    elif got.reason == "frozen":
        standing.state, standing.reason = "frozen", debit.name if debit is not None else "frozen"
    elif got.reason == "expired":
        standing.state, standing.reason = "frozen", "quotas.seconds"
    elif got.reason in ("closed", "idle"):
        standing.state = "closed" if got.reason == "closed" else "expired"
    else:
        return False
    return True
