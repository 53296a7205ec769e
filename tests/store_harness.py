"""Helpers of the store tests: a clock that tests set, debits, and a function that opens either store."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from gateway.amounts import Ask, Debit, Rejection, Reservation, Unit
from gateway.stores import Store, open_store

_ids = itertools.count()


class Clock:
    """A clock that is advanced by hand."""

    def __init__(self) -> None:
        self.micro = 1_800_000_000_000_000

    def __call__(self) -> float:
        return self.micro / 1_000_000

    def advance(self, seconds: float) -> None:
        self.micro += round(seconds * 1_000_000)


@dataclass
class Backend:
    """A store that can be opened again, as after a crash of the process that had it open."""

    name: str
    url: str
    clock: Clock

    async def open(self) -> Store:
        store = open_store(self.url, clock=self.clock)
        await store.open()
        return store


def backend(name: str, folder: Path, redis_url: str) -> Backend:
    """A fresh, empty store of this name."""
    if name == "sqlite":
        return Backend(name, f"sqlite:///{folder / f'state-{next(_ids)}.db'}", Clock())
    for node in servers_of(redis_url):
        with redis.Redis.from_url(node) as client:
            client.flushall()
    return Backend(name, redis_url, Clock())


def servers_of(url: str) -> list[str]:
    """The URL of each server of a `state` URL, for the user with all rights."""
    scheme, _, rest = url.partition("://")
    hosts = rest.rpartition("@")[2]
    return [f"{scheme.removesuffix('+cluster')}://{host}" for host in hosts.split(",")]


def quota(limit: int, amount: int, key: str = "tokens") -> Debit:
    unit: Unit = "calls" if key == "calls" else "cost" if key == "cost" else "tokens"
    return Debit(key, unit, amount, limit, f"quotas.{key}")


def hops(limit: int, depth: int) -> Debit:
    return Debit("hops", "hops", depth, limit, "quotas.hops")


def repeats(limit: int, key: str, amount: int = 1) -> Debit:
    return Debit(key, "repeats", amount, limit, f"the tool {key} with the same arguments")


def bucket(limit: int, amount: int, refill: float = 1.0, key: str = "agent:t:a", unit: str = "requests") -> Debit:
    return Debit(key, "tokens" if unit == "tokens" else "requests", amount, limit, f"agent-{unit}", refill, 60)


def ask(*debits: Debit, cid: str = "w", team: str = "t", agent: str = "a", ttl: int = 86400, **more: Any) -> Ask:
    times = {"seconds": None, "lapse": 60, **more}
    return Ask(f"call-{next(_ids)}", team, cid, agent, debits, ttl=ttl, **times)


async def take(store: Store, *debits: Debit, cid: str = "w", **more: Any) -> Reservation:
    """Reserve, and expect success."""
    outcome = await store.reserve(ask(*debits, cid=cid, **more))
    assert isinstance(outcome, Reservation), outcome
    return outcome


async def refused(store: Store, *debits: Debit, cid: str = "w", **more: Any) -> Rejection:
    """Reserve, and expect a refusal."""
    outcome = await store.reserve(ask(*debits, cid=cid, **more))
    assert isinstance(outcome, Rejection), outcome
    return outcome


async def standing(store: Store, cid: str = "w", unit: str = "tokens") -> tuple[int, int, int]:
    """(used, held, lapsed) of a workflow in one unit."""
    workflow = await store.workflow("t", cid)
    if workflow is None:
        return (0, 0, 0)
    sums: Sequence[int] = [kind.get(unit, 0) for kind in (workflow.used, workflow.held, workflow.lapsed)]
    return (sums[0], sums[1], sums[2])
