"""Answers kept under an idempotency key, in Redis or Valkey, for many gateway processes.

A running call holds a lease, which its process renews each second. Each step is one call of `redis.lua`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from gateway.stores import Begun, Kept, StoreUnavailable

Script = Callable[..., Awaitable[Any]]  # operation, keys, arguments


class _Lease(NamedTuple):
    owner: str
    digest: bytes
    milliseconds: int


_MOST_DOUBTFUL = 1000  # leases released at once; further leases expire by themselves


class RedisAnswers:
    """The running calls of this process. `script` calls the script, `place` returns the Redis key of (team, key)."""

    def __init__(self, script: Script, place: Callable[[str, str], str]) -> None:
        self._script = script
        self._place = place
        self._me = os.urandom(8).hex()
        self._count = itertools.count()
        self._running: dict[str, _Lease] = {}  # by place
        self._doubtful: list[tuple[str, str]] = []  # place and owner of leases whose request was not answered

    async def begin(self, team: str, key: str, digest: bytes, lease: int) -> Begun:
        """See `Store.begin`."""
        place, owner = self._place(team, key), f"{self._me}:{next(self._count)}"
        try:
            state, *sealed = await self._script("begin", [place], digest.hex(), owner, lease * 1000)
        except (StoreUnavailable, asyncio.CancelledError):
            self._doubtful.append((place, owner))  # Redis may have granted the lease nevertheless
            raise
        if state == b"new":
            self._running[place] = _Lease(owner, digest, lease * 1000)
            return "new"
        if state == b"kept":
            return Kept(sealed[0])
        return "running" if state == b"running" else "conflict"

    async def finish(self, team: str, key: str, digest: bytes, sealed: bytes, ttl: int) -> None:
        """See `Store.finish`."""
        place = self._place(team, key)
        owner = self._let_go(place, digest)
        if owner:
            await self._script("finish", [place], digest.hex(), owner, ttl * 1000, sealed)

    async def abandon(self, team: str, key: str, digest: bytes) -> None:
        """See `Store.abandon`."""
        place = self._place(team, key)
        owner = self._let_go(place, digest)
        if owner:
            await self._script("abandon", [place], owner)

    async def renew(self) -> None:
        """Renew the leases of running calls. Raises `StoreUnavailable`."""
        doubtful, self._doubtful = self._doubtful[-_MOST_DOUBTFUL:], []
        told = [self._script("renew", [place], it.owner, it.milliseconds) for place, it in self._running.items()]
        told += [self._script("abandon", [place], owner) for place, owner in doubtful]
        for fault in await asyncio.gather(*told, return_exceptions=True):
            if isinstance(fault, StoreUnavailable):
                raise fault

    def _let_go(self, place: str, digest: bytes) -> str:
        """Drop the lease of this process with this digest; returns its owner, "" if there is no such lease."""
        lease = self._running.get(place)
        if lease is None or lease.digest != digest:
            return ""
        del self._running[place]
        return lease.owner
