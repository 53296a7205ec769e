"""Holds the engine that judges, and puts a new one in its place when the bundle's files change.

Config key: `policy.path`. A bundle takes over whole, by one assignment, after it compiled and its own tests passed;
one that does not is reported and the last good one stays. Who asks for a verdict takes `engine` once and uses that
object for the verdict and its version.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Protocol

from gateway.engines import Engine, PolicyUnavailable, load_engine, open_engine
from gateway.engines.bundle import files
from gateway.errors import ConfigError
from gateway.sections import Policy

INTERVAL = 0.3  # seconds between two looks: a change takes effect within one
Fingerprint = tuple[tuple[str, int, int], ...]


class Reports(Protocol):
    """Who is told of a change: None when it took effect, else why it was refused."""

    def reloaded(self, what: str, problem: str | None) -> None: ...


class Policies:
    """The live engine. Made by `open`."""

    def __init__(self, policy: Policy, engine: Engine, reports: Reports | None, seen: Fingerprint) -> None:
        self.engine = engine
        self._policy = policy
        self._reports = reports
        self._seen = seen
        self._retired: list[tuple[float, Engine]] = []

    @classmethod
    async def open(cls, policy: Policy, reports: Reports | None = None) -> Policies:
        """Load and open. Raises ConfigError: without a first good bundle there is nothing to serve by."""
        seen = await asyncio.to_thread(fingerprint, policy.path)
        try:
            engine = await open_engine(policy)
        except PolicyUnavailable as error:
            raise ConfigError(f"policy.engine: {policy.engine}: {error}") from None
        return cls(policy, engine, reports, seen)

    @property
    def version(self) -> str:
        """The version in force."""
        return self.engine.version

    async def step(self) -> bool:
        """Look once; True if another bundle took over."""
        await self._close_retired()
        seen = await asyncio.to_thread(fingerprint, self._policy.path)
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            engine = await asyncio.to_thread(load_engine, self._policy)
            await engine.open()
        except (ConfigError, PolicyUnavailable) as error:
            self._report(str(error))
            return False
        # Files may change while they are read; then what was read is not what is there now.
        if await asyncio.to_thread(fingerprint, self._policy.path) != seen:
            self._seen = ()
            await engine.close()
            return False
        changed = engine.version != self.engine.version
        # Calls that took the old engine still ask it; it is closed when none can.
        self._retired.append((time.monotonic() + 2 * self._policy.timeout, self.engine))
        self.engine = engine
        self._report(None)
        return changed

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.look()

    async def look(self) -> None:
        """Look once. Raises nothing but cancellation."""
        try:
            await self.step()
        except Exception as error:
            # Whatever went wrong, the last good bundle judges on and the next look is due.
            self._report(f"cannot look at {self._policy.path}: {error}")

    async def ping(self) -> None:
        """Return if the live engine can judge."""
        await self.engine.ping()

    async def close(self) -> None:
        """Close the live engine and those before it."""
        for _, engine in self._retired:
            await engine.close()
        await self.engine.close()

    async def _close_retired(self) -> None:
        now = time.monotonic()
        while self._retired and self._retired[0][0] < now:
            await self._retired.pop(0)[1].close()

    def _report(self, problem: str | None) -> None:
        if self._reports is not None:
            self._reports.reloaded("policy", problem)


def fingerprint(path: str) -> Fingerprint:
    """What would be different if a file of the bundle had changed: names, sizes, times."""
    found = []
    for file in files(Path(path)):
        try:
            stat = file.stat()
        except OSError:
            continue
        found.append((str(file), stat.st_mtime_ns, stat.st_size))
    return tuple(found)
