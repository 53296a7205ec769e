"""A store that continues alone if Redis is unreachable. Config key: `state.on_error: local`, with `state.replicas`.

While Redis answers, every request goes to Redis, and the last balances are remembered (`seen.py`). During an outage,
this gateway enforces its share of every bucket and quota from memory (`local` is true) and probes Redis at growing,
randomized intervals. When every server accepts writes again, the calls admitted alone are entered into the workflows in
Redis, each once, and earlier reservations are settled there. Operations that need Redis fail closed as
`StoreUnavailable`: the vault, idempotency keys, and showing or changing workflows. If the gateway stops before Redis is
back, the calls that it admitted alone are not charged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from gateway.amounts import Ask, Debit, Marked, Rejection, Reservation
from gateway.errors import ConfigError
from gateway.stores import (
    FOREVER,
    Begun,
    Clock,
    End,
    Enlisted,
    Enlisting,
    Key,
    Leased,
    Room,
    Sealed,
    Spelling,
    StoreUnavailable,
    Unsealed,
    Workflow,
    actual,
    charges,
)
from gateway.stores.clock import SteadyClock
from gateway.stores.counters import Counters
from gateway.stores.record import MICRO
from gateway.stores.redis import RedisStore
from gateway.stores.seen import Seen
from gateway.stores.waiting import Waiting

T = TypeVar("T")

FIRST = 0.5  # seconds until Redis is first probed; the interval doubles with each probe
LONGEST = 5.0  # longest interval; all are randomized by a half, so that gateways do not probe at the same time
TOGETHER = 100  # calls entered concurrently
ROUNDS = 3  # rounds of entering ended calls before new calls wait for the rest
# A call admitted alone gets another id in Redis: its first attempt may have arrived there nevertheless.
_ALONE = ":local"

_log = logging.getLogger(__name__)


class _Ended(NamedTuple):
    """An ended call that was admitted alone; or several calls of one workflow and agent, with their sum."""

    ask: Ask
    used: Mapping[str, int]
    state: End
    calls: int = 1


class LocalStore:
    """A `Store` in front of a `RedisStore`. `clock` is for tests."""

    def __init__(self, remote: RedisStore, replicas: int, *, clock: Clock | None = None) -> None:
        self._remote = remote
        self._clock = clock or SteadyClock()
        self._seen = Seen(replicas)
        self._counters = Counters(self._seen.record)
        self._asked: dict[str, Ask] = {}  # reservations made alone, by id, as Redis will get them
        self._adopted: dict[str, Ask] = {}  # reservations made alone that Redis has adopted
        self._ended: list[_Ended] = []  # calls admitted alone, to be entered into Redis
        self._entries: list[_Ended] = []  # entries in progress: after its first attempt, an entry does not change
        self._entering = asyncio.Lock()
        self._tried: set[str] = set()  # reservations that may have reached Redis
        # Labels and tools that workflows got while this gateway was alone, to be entered into Redis.
        self._flowed: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
        self._stripped: dict[tuple[str, str], dict[str, None]] = {}  # tools that were taken out of requests meanwhile
        self._waiting = Waiting()
        self._keys: list[Key] = []
        self._keys_version = 0
        self._opened = False
        self._why = ""
        self._probe: asyncio.Task[None] | None = None
        self._gate: asyncio.Future[None] | None = None  # calls wait for this while the last entries are made

    @property
    def local(self) -> bool:
        """Whether Redis is unreachable and this gateway enforces its share."""
        return self._probe is not None

    async def open(self) -> None:
        try:
            await self._remote.open()
            self._opened = True
        except StoreUnavailable as error:
            self._lose(error)

    async def close(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await probe
        with contextlib.suppress(StoreUnavailable):
            await self._enter()
        lost = sum(it.calls for it in (*self._ended, *self._entries))
        if lost:
            _log.error("stopped without Redis: %d calls that were admitted alone are not charged", lost)
        await self._remote.close()

    async def ping(self) -> None:
        if not self.local:
            await self._or_lose(self._remote.ping())

    async def durable(self) -> None:
        return

    async def refresh(self) -> None:
        return

    # Admission

    async def reserve(self, ask: Ask) -> Reservation | Rejection:
        while self._gate is not None:
            await asyncio.shield(self._gate)
        if not self.local:
            try:
                got = await self._remote.reserve(ask)
            except StoreUnavailable as error:
                self._lose(error)
            else:
                self._seen.note(ask, got, self._now())
                return got
        alone = ask._replace(id=ask.id + _ALONE, debits=tuple(map(self._seen.share, ask.debits)))
        got = self._counters.reserve(alone, self._now())
        if isinstance(got, Reservation) and not ask.bare:
            self._asked[alone.id] = _entered(ask, alone.id)
            if ask.tools:
                self._flows(ask.team, ask.correlation_id)[1].update(dict.fromkeys(ask.tools))
        return got

    async def mark(self, team: str, correlation_id: str, labels: Sequence[str], version: int) -> Marked:
        while self._gate is not None:
            await asyncio.shield(self._gate)
        if not self.local:
            try:
                marked = await self._remote.mark(team, correlation_id, labels, version)
            except StoreUnavailable as error:
                self._lose(error)
            else:
                self._seen.mark(team, correlation_id, marked.history)
                return marked
        alone = self._counters.mark(team, correlation_id, labels, version, self._now())
        if alone is None:
            raise StoreUnavailable(self._why)
        if alone.done and labels:
            self._flows(team, correlation_id)[0].update(dict.fromkeys(labels))
        return alone

    async def strip(self, team: str, correlation_id: str, tools: Sequence[str]) -> None:
        while self._gate is not None:
            await asyncio.shield(self._gate)
        if not self.local:
            try:
                await self._remote.strip(team, correlation_id, tools)
            except StoreUnavailable as error:
                self._lose(error)
            else:
                return
        self._counters.strip(team, correlation_id, tools, self._now())
        self._stripped.setdefault((team, correlation_id), {}).update(dict.fromkeys(tools))

    def _flows(self, team: str, correlation_id: str) -> tuple[dict[str, None], dict[str, None]]:
        return self._flowed.setdefault((team, correlation_id), ({}, {}))

    async def settle(self, reservation: Reservation, used: Mapping[str, int], state: End) -> bool:
        ask = reservation.ask
        if ask.id in self._asked:
            return self._settle_alone(ask, used, state)
        if ask.id.endswith(_ALONE):
            if ask.id not in self._adopted:
                return False  # the reservation had ended
            ask = self._adopted.pop(ask.id)
        if self.local:
            self._remote.settle_later(ask, used, state)
            return True
        return await self._remote.settle(reservation._replace(ask=ask), used, state)

    def _settle_alone(self, ask: Ask, used: Mapping[str, int], state: End) -> bool:
        asked = self._asked.pop(ask.id)
        if not self._counters.settle(ask, used, state, self._now()):
            return False
        self._waiting.tell((ask.team, ask.correlation_id))
        if state != "released":
            self._ended.append(_Ended(asked, used, state))
        return True

    async def sweep(self) -> int:
        overdue = self._counters.overdue(self._now())
        lapsed = sum(self._settle_alone(ask, {}, "lapsed") for ask in overdue if ask.id in self._asked)
        if self.local:
            return lapsed
        await self._or_lose(self._enter())
        return lapsed + await self._or_lose(self._remote.sweep())

    def left(self, team: str, correlation_id: str, debits: Sequence[Debit]) -> None:  # noqa: ARG002
        return None  # also in an outage: other replicas take from the same buckets

    async def settled(self, team: str, correlation_id: str, seconds: float) -> None:
        if self.local:
            await self._waiting.wait((team, correlation_id), seconds)
        else:
            await self._remote.settled(team, correlation_id, seconds)

    # The outage, from the first failure to the return of Redis

    def _lose(self, error: StoreUnavailable) -> None:
        """Continue alone from here on."""
        if self.local:
            return
        _log.error("%s; this gateway enforces its share alone until Redis is back", error)
        self._why = str(error)
        before, self._counters = self._counters, Counters(self._seen.record)
        self._counters.buckets = self._seen.buckets(self._now(), before.buckets)
        self._probe = asyncio.get_running_loop().create_task(self._ask_again())

    async def _ask_again(self) -> None:
        """Probe Redis at growing intervals; once it answers, enter the calls admitted alone and use Redis again."""
        pause = FIRST
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
            pause = min(LONGEST, 2 * pause)
            try:
                if not self._opened:
                    await self._remote.open()
                    self._opened = True
                await self._remote.writable()
                await self._return()
            except (StoreUnavailable, ConfigError) as error:
                self._why = str(error)
            else:
                _log.warning("redis is back; the calls admitted alone are entered")
                return

    async def _return(self) -> None:
        """Enter most calls while new calls continue; new calls wait for the rest, so that none overtakes them."""
        for _ in range(ROUNDS):
            await self._enter_ended()
        self._gate = asyncio.get_running_loop().create_future()
        try:
            await self._enter()
            self._seen.keep(self._counters.records)
            self._probe = None
        finally:
            self._gate.set_result(None)
            self._gate = None

    async def _enter(self) -> None:
        """Enter into Redis the calls admitted alone: ended calls with their charge, others as reservations."""
        while self._ended or self._entries:
            await self._enter_ended()
        for id, ask in list(self._asked.items()):
            self._tried.add(id)
            await self._remote.adopt(ask)
            if id in self._asked:  # otherwise the call has ended meanwhile and is in `_ended`
                self._adopted[id] = self._asked.pop(id)
                self._counters.open.pop(id, None)
                self._tried.discard(id)
        for name, (labels, tools) in list(self._flowed.items()):
            await self._remote.enter(*name, list(labels), list(tools))
            self._flowed.pop(name)
        for name, stripped in list(self._stripped.items()):
            await self._remote.strip(*name, list(stripped))
            self._stripped.pop(name)

    async def _enter_ended(self) -> None:
        async with self._entering:
            ended, self._ended = self._ended, []
            self._entries += _summed([it for it in ended if it.ask.id not in self._tried])
            self._entries += [it for it in ended if it.ask.id in self._tried]
            while self._entries:
                some = self._entries[:TOGETHER]
                await asyncio.gather(*(self._charge(it) for it in some))
                del self._entries[: len(some)]
                self._tried.difference_update(it.ask.id for it in some)

    async def _charge(self, it: _Ended) -> None:
        """Charge an entry; idempotent, because a call is adopted once and ends once."""
        await self._remote.adopt(it.ask, it.calls)
        await self._remote.settle(Reservation(it.ask, ()), it.used, it.state)

    async def _or_lose(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        except StoreUnavailable as error:
            self._lose(error)
            raise

    # Operations that need Redis

    def _there(self) -> RedisStore:
        if self.local:
            raise StoreUnavailable(self._why)
        return self._remote

    async def workflow(self, team: str, correlation_id: str) -> Workflow | None:
        return await self._there().workflow(team, correlation_id)

    async def workflows(self, team: str | None, limit: int) -> list[Workflow]:
        return await self._there().workflows(team, limit)

    async def states(self, limit: int) -> Mapping[str, int]:
        return await self._there().states(limit)

    async def teams(self) -> list[str]:
        return await self._there().teams()

    async def open_workflow(
        self, team: str, correlation_id: str, ttl: int, *, seconds: int | None = None, idle: int | None = None
    ) -> bool:
        return await self._there().open_workflow(team, correlation_id, ttl, seconds=seconds, idle=idle)

    async def close_workflow(self, team: str, correlation_id: str, reason: str) -> bool:
        return await self._there().close_workflow(team, correlation_id, reason)

    async def freeze(self, team: str, correlation_id: str, reason: str) -> None:
        await self._there().freeze(team, correlation_id, reason)

    async def resume(self, team: str, correlation_id: str, topups: Mapping[str, int] | None = None) -> bool:
        return await self._there().resume(team, correlation_id, topups)

    async def relabel(self, team: str, correlation_id: str, label: str, *, off: bool = False) -> bool:
        return await self._there().relabel(team, correlation_id, label, off=off)

    async def seal(self, team: str, correlation_id: str, items: Sequence[Sealed], ttl: float) -> list[int]:
        return await self._there().seal(team, correlation_id, items, ttl)

    async def unseal(self, team: str, correlation_id: str) -> list[Unsealed]:
        return await self._there().unseal(team, correlation_id)

    async def spell(
        self, team: str, correlation_id: str, items: Sequence[Spelling], ttl: float, places: Sequence[int] = ()
    ) -> None:
        await self._there().spell(team, correlation_id, items, ttl, places)

    async def places(self, team: str, correlation_id: str) -> Mapping[int, bytes] | None:
        return await self._there().places(team, correlation_id)

    async def spellings(self, team: str, correlation_id: str, digests: Sequence[bytes]) -> list[bytes | None]:
        return await self._there().spellings(team, correlation_id, digests)

    async def begin(self, team: str, key: str, digest: bytes, lease: int) -> Begun:
        return await self._there().begin(team, key, digest, lease)

    async def finish(self, team: str, key: str, digest: bytes, sealed: bytes, ttl: int) -> None:
        await self._there().finish(team, key, digest, sealed, ttl)

    async def abandon(self, team: str, key: str, digest: bytes) -> None:
        await self._there().abandon(team, key, digest)

    async def own(self, team: str, id: str, record: bytes, ttl: int) -> None:
        await self._there().own(team, id, record, ttl)

    async def owned(self, team: str, id: str) -> bytes | None:
        return await self._there().owned(team, id)

    async def owned_of(self, team: str, ids: Sequence[str]) -> list[bytes | None]:
        return await self._there().owned_of(team, ids)

    async def disown(self, team: str, id: str) -> None:
        await self._there().disown(team, id)

    async def reown(self, team: str, id: str, record: bytes, before: bytes | None, ttl: int) -> bool:
        return await self._there().reown(team, id, record, before, ttl)

    async def pins(self, server: str) -> bytes | None:
        return await self._there().pins(server)

    async def pin(self, server: str, record: bytes, before: bytes | None) -> bool:
        return await self._there().pin(server, record, before)

    async def grant(self, id: str) -> bytes | None:
        return await self._there().grant(id)

    async def put_grant(self, id: str, record: bytes | None, before: bytes | None) -> bool:
        return await self._there().put_grant(id, record, before)

    async def grants(self) -> Mapping[str, bytes]:
        return await self._there().grants()

    async def put_due(self, id: str, record: bytes, seconds: float) -> None:
        await self._there().put_due(id, record, seconds)

    async def take_dues(self, most: int, seconds: float) -> Mapping[str, bytes]:
        return await self._there().take_dues(most, seconds)

    async def drop_due(self, id: str) -> None:
        await self._there().drop_due(id)

    async def enlist(self, team: str, name: str, owner: str, record: bytes, ttl: int) -> Enlisting:
        return await self._there().enlist(team, name, owner, record, ttl)

    async def enlisted(self, team: str) -> list[Enlisted]:
        return await self._there().enlisted(team)

    async def delist(self, team: str, name: str) -> None:
        await self._there().delist(team, name)

    async def push(self, queue: str, owner: str, record: bytes, room: Room) -> bool:
        return await self._there().push(queue, owner, record, room)

    async def lease(self, seconds: float, most: int) -> list[Leased]:
        return await self._there().lease(seconds, most)

    async def postpone(self, queue: str, number: int, seconds: float) -> None:
        await self._there().postpone(queue, number, seconds)

    async def shift(self, queue: str, number: int, *, all: bool = False) -> int:
        return await self._there().shift(queue, number, all=all)

    async def measure(self, name: str, records: Sequence[bytes]) -> None:
        await self._there().measure(name, records)

    async def measured(self, name: str) -> list[bytes]:
        return await self._there().measured(name)

    async def shut(self, name: str, seconds: float, level: int) -> None:
        await self._there().shut(name, seconds, level)

    async def reopen(self, name: str) -> None:
        await self._there().reopen(name)

    async def outages(self) -> Mapping[str, tuple[float, int]]:
        return await self._there().outages()

    async def probe(self, name: str, seconds: float) -> bool:
        return await self._there().probe(name, seconds)

    async def keys(self) -> list[Key]:
        if not self.local:
            self._keys = await self._or_lose(self._remote.keys())
        return self._keys

    async def add_key(self, key: Key) -> None:
        await self._there().add_key(key)

    async def revoke_key(self, id: str) -> bool:
        return await self._there().revoke_key(id)

    async def expire_key(self, id: str, at: float) -> bool:
        return await self._there().expire_key(id, at)

    async def note_keys(self, used: Mapping[str, float]) -> None:
        if not self.local:
            await self._or_lose(self._remote.note_keys(used))

    async def keys_version(self) -> int:
        if not self.local:
            self._keys_version = await self._or_lose(self._remote.keys_version())
        return self._keys_version

    def _now(self) -> int:
        return round(self._clock() * MICRO)


def _summed(ended: Sequence[_Ended]) -> list[_Ended]:
    """One entry for all calls of an agent in a workflow that ended in one state: a long outage has very many calls."""
    groups: dict[tuple[str, str, str, End], list[_Ended]] = {}
    for it in ended:
        groups.setdefault((it.ask.team, it.ask.correlation_id, it.ask.agent, it.state), []).append(it)
    entries: list[_Ended] = []
    for (_, _, _, state), calls in groups.items():
        sums: dict[str, Debit] = {}
        for it in calls:
            for debit, amount in charges(it.ask.debits):
                charged = actual(debit, amount, it.used, state)
                before = sums[debit.key].amount if debit.key in sums else 0
                both = max(before, charged) if debit.unit == "hops" else min(FOREVER, before + charged)
                sums[debit.key] = debit._replace(amount=both)
        entries.append(_Ended(calls[0].ask._replace(debits=tuple(sums.values())), {}, state, len(calls)))
    return entries


def _entered(ask: Ask, id: str) -> Ask:
    """The part of a call that is entered into its workflow: the quotas. Rates are refilled by then."""
    return ask._replace(id=id, debits=tuple([debit for debit in ask.debits if not debit.refill]))
