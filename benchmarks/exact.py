"""The runs of the accuracy benchmark: a crowd uses up a quota on several gateways, and charges are compared."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import redis

from benchmarks.crowd import CEILING, INPUT_PRICE, LEAST, MOST, OUTPUT_PRICE, PROMPT, TEXT, Crowd, Provider, Tally, Used
from benchmarks.process import BenchmarkError
from benchmarks.replicas import LAPSE, TEAM, Proxy, Replica, redis_server
from benchmarks.systems import KEYS, System
from gateway.amounts import NANO_USD
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.limits.tokens import O200k
from gateway.stores import Workflow, open_store

_AVERAGE = (LEAST + MOST) // 2
MEAN = Used(PROMPT + _AVERAGE, PROMPT * INPUT_PRICE + _AVERAGE * OUTPUT_PRICE)


@dataclass(frozen=True)
class Size:
    """The number of callers and gateways, and the approximate number of calls in the quota."""

    callers: int
    gateways: int
    calls: int


FULL = Size(callers=500, gateways=3, calls=1500)
QUICK = Size(callers=40, gateways=2, calls=120)
FEWER = 100  # callers of LiteLLM: 500 would take longer than all other runs together
LATE = 10  # callers that come after the lost reservations have lapsed
S = TypeVar("S", bound=System)


@dataclass
class Row:
    """One run. Amounts are in units of the quota: tokens, nano-USD, calls.

    `used`: usage that the provider reported, of the calls that were charged by report. `charged`: all charges in the
    store; `lapsed`: the part of them that is an estimate. `ask`: the reservation of one call near the limit; far from
    the limit a reservation is an upper bound, so it is larger.
    """

    system: str
    quota: str
    limit: int
    ask: int
    used: int
    charged: int
    lapsed: int
    seconds: float
    callers: int
    tally: Tally

    @property
    def overshoot(self) -> float:
        """Charged beyond the limit, in percent of the limit."""
        return max(0, self.charged - self.limit) / self.limit * 100

    @property
    def idle(self) -> float:
        """Quota left when all callers were refused for good, in percent of the limit."""
        return max(0, self.limit - self.charged) / self.limit * 100

    @property
    def idle_calls(self) -> float:
        """The same in calls."""
        return max(0, self.limit - self.charged) / self.ask

    def faults(self) -> Iterator[str]:
        """The descriptions of what is not exact."""
        if self.charged != self.used + self.lapsed:
            yield f"charged {self.charged}, but {self.used} were reported and {self.lapsed} are marked as lapsed"
        if self.charged > self.limit:
            yield f"charged {self.charged} of {self.limit}"
        if self.idle_calls >= 1:
            yield f"{self.idle_calls:.1f} calls' worth was left when everybody was refused"
        if self.tally.unheard:
            yield f"{self.tally.unheard} callers were never told that it is over"


@dataclass(frozen=True)
class Quota:
    """A quota in the configuration and in the store, with the reservation and the usage of one call."""

    key: str
    setting: str
    limit: int
    ask: int
    part: int  # of `Used`; -1: each call is one

    def settings(self) -> dict[str, Any]:
        return {self.setting: self.limit / NANO_USD if self.key == "cost" else self.limit, "ttl": "1d"}

    def of(self, used: Used) -> int:
        return 1 if self.part < 0 else used[self.part]

    def sum(self, calls: Sequence[Used]) -> int:
        return sum(map(self.of, calls))


def quotas(calls: int) -> list[Quota]:
    """Quotas for about so many calls."""
    counted = O200k().count(TEXT) + OPENAI_CHAT.overhead({"messages": [{}]})
    return [
        Quota("tokens", "tokens", calls * MEAN.tokens, counted + CEILING, 0),
        Quota("cost", "cost_usd", calls * MEAN.cost, counted * INPUT_PRICE + CEILING * OUTPUT_PRICE, 1),
        Quota("calls", "calls", calls, 1, -1),
    ]


async def exact(provider: Provider, redis_url: str, size: Size, quota: Quota) -> Row:
    """The whole quota used up by the crowd."""
    replicas = _replicas(provider, redis_url, size, quota)
    flow = str(uuid.uuid4())
    crowd = Crowd([it.base for it in await _begin(replicas)], KEYS[0], _named(flow))
    try:
        began = time.monotonic()
        tally = await crowd.run(size.callers)
        seconds = time.monotonic() - began
        workflow = await _at_rest(redis_url, flow, 10)
    finally:
        _stop(replicas)
    used = quota.sum(provider.used(tally.sent))
    return _row("Meshgate", quota, used, workflow, seconds, size.callers, tally)


class Killed:
    """The same, but one gateway is killed by SIGKILL; the others end its reservations, and use up the rest.

    Its reservations are held until they lapse, so no caller is refused for good before that: the crowd stops when no
    call is served any more, and a few callers come back afterwards.
    """

    def __init__(self, provider: Provider, redis_url: str, size: Size, quota: Quota) -> None:
        self._provider, self._redis_url, self._size, self._quota = provider, redis_url, size, quota
        self._replicas = _replicas(provider, redis_url, size, quota)
        self._flow = str(uuid.uuid4())
        self._seconds = 0.0

    async def run(self) -> None:
        """Return when the crowd has stopped; reservations of the dead gateway are still held."""
        urls = [it.base for it in await _begin(self._replicas)]
        crowd = Crowd(urls, KEYS[0], _named(self._flow))
        self._provider.stall["0"] = self._size.calls // 6 // self._size.gateways
        began = time.monotonic()
        running = asyncio.ensure_future(crowd.run(self._size.callers))
        stalled = asyncio.ensure_future(self._provider.stalled.wait())
        await asyncio.wait((running, stalled), return_when=asyncio.FIRST_COMPLETED)
        if not stalled.done():
            stalled.cancel()
            raise BenchmarkError("the crowd stopped before the gateway that is to be killed had its share of the calls")
        child = self._replicas[0].child
        assert child is not None
        os.killpg(child.process.pid, signal.SIGKILL)
        self._provider.release.set()
        crowd.patience = 3  # until the reservations of the dead gateway lapse, the others serve what is left, and stop
        self._tally = await running
        self._seconds = time.monotonic() - began
        self._lost = _reserved(self._redis_url)
        self._held = (await _workflow(self._redis_url, self._flow)).held.get(self._quota.key, 0)

    async def end(self, ahead: float = 0.0) -> Row:
        """Wait until the calls of the dead gateway have lapsed; `ahead` advances the clock instead."""
        if ahead:
            store = open_store(self._redis_url, clock=lambda: time.time() + ahead)
            await store.open()
            await store.sweep()
            await store.close()
        await _at_rest(self._redis_url, self._flow, LAPSE)
        late = await Crowd([it.base for it in self._replicas[1:]], KEYS[0], _named(self._flow)).run(LATE)
        workflow = await _at_rest(self._redis_url, self._flow, 10)
        self.close()
        answered = {**self._tally.answered, **late.answered}
        kept = [number for number, id in answered.items() if id not in self._lost]
        used = self._quota.sum(self._provider.used(kept))
        title = f"Meshgate, 1 of {self._size.gateways} killed"
        tally = Tally([], answered, self._tally.waits + late.waits, self._tally.final + late.final, late.unheard)
        row = _row(title, self._quota, used, workflow, self._seconds, self._size.callers, tally)
        if not self._lost or row.lapsed != self._held or self._held < len(self._lost) * self._quota.ask:
            lost = f"{len(self._lost)} calls were lost and held {self._held} {self._quota.key}"
            raise BenchmarkError(f"{lost}, but {row.lapsed} have lapsed")
        return row

    def close(self) -> None:
        _stop(self._replicas)


async def beside(provider: Provider, redis_url: str, size: Size, quota: Quota) -> Row:
    """LiteLLM's session budget, with as many proxies on the same Redis."""
    budget = quota.limit / NANO_USD
    proxies = [Proxy(provider.url, number, redis_url, budget) for number in range(size.gateways)]
    crowd = Crowd([it.base for it in await _begin(proxies)], Proxy.keys[0], {Proxy.session: str(uuid.uuid4())})
    try:
        began = time.monotonic()
        callers = min(size.callers, FEWER)
        tally = await crowd.run(callers)
        seconds = time.monotonic() - began
    finally:
        _stop(proxies)
    used = quota.sum(provider.used(tally.sent))
    return Row(
        f"LiteLLM {proxies[0].version()}",
        Proxy.setting,
        quota.limit,
        quota.ask,
        used,
        used,
        0,
        seconds,
        callers,
        tally,
    )


def _replicas(provider: Provider, redis_url: str, size: Size, quota: Quota) -> list[Replica]:
    return [Replica(f"{provider.url}/{number}", number, redis_url, quota.settings()) for number in range(size.gateways)]


async def _begin(systems: Sequence[S]) -> Sequence[S]:
    """Start all of them; if one fails, stop the others."""
    try:
        await asyncio.gather(*(asyncio.to_thread(system.start) for system in systems))
    except BaseException:
        _stop(systems)
        raise
    return systems


def _stop(systems: Sequence[System]) -> None:
    for system in systems:
        system.stop()


def _named(flow: str) -> dict[str, str]:
    return {"x-correlation-id": flow}


def _reserved(redis_url: str) -> set[str]:
    """The ids of calls that are reserved and have not ended."""
    pattern = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    with redis.Redis.from_url(redis_url) as client:
        members = [member for key in client.keys("*:open") for member in client.zrange(key, 0, -1)]
    return {found[0].decode() for member in members if (found := pattern.search(member))}


async def _workflow(redis_url: str, flow: str) -> Workflow:
    """The workflow now. Raises BenchmarkError if no gateway has kept it."""
    store = open_store(redis_url)
    await store.open()
    try:
        workflow = await store.workflow(TEAM, flow)
    finally:
        await store.close()
    if workflow is None:
        raise BenchmarkError(f"no gateway has kept the workflow {flow}")
    return workflow


async def _at_rest(redis_url: str, flow: str, seconds: float) -> Workflow:
    """The workflow when none of its calls is in flight, or after that many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        workflow = await _workflow(redis_url, flow)
        if not any(workflow.held.values()) or time.monotonic() > deadline:
            return workflow
        await asyncio.sleep(0.1)


def _row(system: str, quota: Quota, used: int, workflow: Workflow, seconds: float, callers: int, tally: Tally) -> Row:
    charged, lapsed = workflow.used.get(quota.key, 0), workflow.lapsed.get(quota.key, 0)
    setting = f"quotas.{quota.setting}"
    return Row(system, setting, quota.limit, quota.ask, used, charged, lapsed, seconds, callers, tally)


async def measure(size: Size, *, litellm: bool, ahead: float = 0.0) -> list[Row]:
    """All runs. `ahead`: seconds to advance the clock instead of waiting for calls to lapse."""
    tokens, cost, calls = quotas(size.calls)
    with redis_server() as redis_url:
        async with Provider(seed=1).running() as provider:
            killed = Killed(provider, redis_url, size, tokens)
            try:
                await killed.run()
                rows = [_told(await exact(provider, redis_url, size, quota)) for quota in (tokens, cost, calls)]
                rest = [_told(await beside(provider, redis_url, size, cost))] if litellm else []
                return [*rows, _told(await killed.end(ahead)), *rest]
            finally:
                killed.close()


def _told(row: Row) -> Row:
    print(f"{row.system}, {row.quota}: {len(row.tally.answered)} calls in {row.seconds:.1f} s", flush=True)
    return row
