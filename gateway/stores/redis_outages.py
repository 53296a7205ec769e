"""Upstreams that are known to fail, in Redis or Valkey. One hash for all; the times are those of the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

_ALL: Final = "mg1:{outages}"
_PROBE: Final = "mg1:{outages}:probe:"
_FORGET: Final = 3600.0  # seconds after its time at which an entry ends


class RedisOutages:
    """See `stores.Outages`. `command` sends one command to Redis."""

    def __init__(self, command: Callable[..., Awaitable[Any]]) -> None:
        self._command = command

    async def _now(self) -> float:
        seconds, micro = await self._command("TIME")
        return int(seconds) + int(micro) / 1e6

    async def shut(self, name: str, seconds: float, level: int) -> None:
        """See `Outages.shut`."""
        until = await self._now() + seconds
        await self._command("HSET", _ALL, name, f"{until:.3f} {level}")

    async def reopen(self, name: str) -> None:
        """See `Outages.reopen`."""
        await self._command("HDEL", _ALL, name)
        await self._command("DEL", _PROBE + name)

    async def outages(self) -> Mapping[str, tuple[float, int]]:
        """See `Outages.outages`."""
        flat = await self._command("HGETALL", _ALL)
        if not flat:
            return {}
        now, found, old = await self._now(), dict[str, tuple[float, int]](), list[str]()
        for name, value in zip(flat[::2], flat[1::2], strict=True):
            until, _, level = value.decode().partition(" ")
            left = float(until) - now
            if left < -_FORGET:
                old.append(name.decode())
            else:
                found[name.decode()] = left, int(level)
        if old:
            await self._command("HDEL", _ALL, *old)
        return found

    async def probe(self, name: str, seconds: float) -> bool:
        """See `Outages.probe`."""
        milliseconds = max(1, round(seconds * 1000))
        return await self._command("SET", _PROBE + name, "1", "NX", "PX", str(milliseconds)) is not None
