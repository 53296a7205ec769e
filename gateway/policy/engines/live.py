"""Holds the engine that judges, and puts a new one in its place when its source has another bundle.

Config keys: `policy.path`, `policy.git`, `policy.server`. A bundle takes over whole, by one assignment, after it
compiled and its own tests passed; one that does not is reported and the last good one stays, over restarts too where
the source is beyond this machine. Who asks for a verdict takes `engine` once and uses that object for the verdict and
its version.
"""

from __future__ import annotations

import asyncio
import time

from gateway.config.sections import Policy
from gateway.errors import ConfigError
from gateway.policy.engines import Engine, PolicyUnavailable, load_engine, open_engine
from gateway.policy.sources import Found, Source, SourceError, source_of
from gateway.policy.sources.base import Reports

INTERVAL = 0.3  # seconds between two looks
SETTLED = 0.5  # seconds for which a bundle that is refused has to stay as it is before that is an error


class Policies:
    """The live engine. Made by `open`."""

    def __init__(self, policy: Policy, source: Source, engine: Engine, found: Found, reports: Reports | None) -> None:
        self.engine = engine
        self.origin = found.origin
        self._policy = policy
        self._source = source
        self._reports = reports
        self._seen = found.mark
        self._retired: list[tuple[float, Engine]] = []

    @classmethod
    async def open(cls, policy: Policy, reports: Reports | None = None) -> Policies:
        """Load and open. Raises ConfigError: without a first good bundle there is nothing to serve by."""
        source = source_of(policy, reports)
        try:
            found = await source.open()
            engine, good = await _first(policy, source, found, reports)
            await source.settled(good, engine.version)
        except BaseException as error:
            await source.close()
            if isinstance(error, SourceError):
                raise ConfigError(str(error)) from None
            raise
        policies = cls(policy, source, engine, good, reports)
        policies._seen = found.mark  # one that was refused is not tried again before it changes
        return policies

    @property
    def version(self) -> str:
        """The version in force."""
        return self.engine.version

    async def step(self) -> bool:
        """Look once; True if another bundle took over."""
        await self._close_retired()
        found = await self._source.look()
        if found.mark == self._seen:
            return False
        self._seen = found.mark
        try:
            engine = await asyncio.to_thread(load_engine, _at(self._policy, found))
            await engine.open()
        except (ConfigError, PolicyUnavailable) as error:
            await asyncio.sleep(SETTLED)
            if (await self._source.look()).mark != found.mark:  # somebody is still writing: what was read is half of it
                self._seen = None
            else:
                self._report(str(error))
            return False
        # Files may change while they are read; then what was read is not what is there now.
        if (await self._source.look()).mark != found.mark:
            self._seen = None
            await engine.close()
            return False
        changed = engine.version != self.engine.version
        # Calls that took the old engine still ask it; it is closed when none can.
        self._retired.append((time.monotonic() + 2 * self._policy.timeout, self.engine))
        self.engine, self.origin = engine, found.origin
        self._report(None)
        await self._source.settled(found, engine.version)
        return changed

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.look()

    async def look(self) -> bool:
        """Look once; True if another bundle took over. Raises nothing but cancellation."""
        try:
            return await self.step()
        except Exception as error:
            # Whatever went wrong, the last good bundle judges on and the next look is due.
            self._report(f"cannot look for another bundle: {error}")
            return False

    async def ping(self) -> None:
        """Return if the live engine can judge."""
        await self.engine.ping()

    async def retire(self) -> None:
        """Look for nothing any more; calls that began under it may still ask for verdicts until it is closed."""
        await self._source.close()

    async def close(self) -> None:
        """Close the source, the live engine and those before it."""
        await self._source.close()
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


async def _first(policy: Policy, source: Source, found: Found, reports: Reports | None) -> tuple[Engine, Found]:
    """An engine to begin with: of the newest bundle, or else of the last good one. Raises ConfigError."""
    try:
        return await _opened(policy, found), found
    except ConfigError as error:
        last = await asyncio.to_thread(source.last_good)
        if last is None or last[0].root == found.root:
            raise
        engine = await _opened(policy, last[0])
        if reports is not None:
            reports.reloaded("policy", f"{found.origin}: {error}")
        return engine, last[0]


async def _opened(policy: Policy, found: Found) -> Engine:
    try:
        return await open_engine(_at(policy, found))
    except PolicyUnavailable as error:
        raise ConfigError(f"policy.engine: {policy.engine}: {error}") from None


def _at(policy: Policy, found: Found) -> Policy:
    """The settings, with the bundle where it was found."""
    return policy.model_copy(update={"path": str(found.root)})
