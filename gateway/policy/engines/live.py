"""Holds the live engine, and replaces it when the source has another bundle.

Config keys: `policy.path`, `policy.git`, `policy.server`. A bundle takes effect as a whole, by one assignment, after it
compiled and its own tests passed; a bundle that fails is reported, and the last good bundle stays in use (for remote
sources, also after a restart). Callers read `engine` once, and use this object for the verdict and its version.
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from gateway.config.sections import Policy
from gateway.errors import ConfigError
from gateway.policy.engines import Engine, PolicyUnavailable, load_engine, open_engine
from gateway.policy.sources import Found, Source, SourceError, source_of
from gateway.policy.sources.base import Reports

INTERVAL = 0.3  # seconds between two checks of the source
SETTLED = 0.5  # seconds that a refused bundle must stay unchanged before it is reported: it may be half written


class Policies:
    """The live engine. Created by `open`."""

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
        """Load the first bundle. Raises ConfigError: without a valid bundle the gateway cannot serve."""
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
        policies._seen = found.mark  # a refused bundle is tried again only after it has changed
        return policies

    @property
    def version(self) -> str:
        """The version of the live bundle."""
        return self.engine.version

    async def step(self) -> bool:
        """Check the source once; True if another bundle took effect."""
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
            if (await self._source.look()).mark != found.mark:  # the bundle is still being written
                self._seen = None
            else:
                self._report(str(error))
            return False
        # The files may have changed while they were read.
        if (await self._source.look()).mark != found.mark:
            self._seen = None
            await engine.close()
            return False
        changed = engine.version != self.engine.version
        # Calls that began with the old engine still use it; it is closed when they must have ended.
        self._retired.append((time.monotonic() + 2 * self._policy.timeout, self.engine))
        self.engine, self.origin = engine, found.origin
        self._report(None)
        await self._source.settled(found, engine.version)
        return changed

    async def watch(self) -> None:
        """Check the source periodically, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.look()

    async def look(self) -> bool:
        """Check the source once; True if another bundle took effect. Raises only CancelledError."""
        try:
            return await self.step()
        except Exception as error:
            # The last good bundle stays in use, and the next check follows.
            self._report(f"cannot check for another bundle: {error}")
            return False

    async def ping(self) -> None:
        """Return if the live engine can judge."""
        await self.engine.ping()

    async def retire(self) -> None:
        """Stop checking the source. Calls that began with this engine may still ask for verdicts until `close`."""
        await self._source.close()

    async def close(self) -> None:
        """Close the source, the live engine and its predecessors."""
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
    """The first engine: for the newest bundle, otherwise for the last good bundle. Raises ConfigError."""
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
        # The address is for the operator, without what may be a password; callers read the error alone.
        at = f" (policy.url: {urlsplit(policy.url).netloc.rpartition('@')[2]})" if policy.engine == "opa" else ""
        raise ConfigError(f"policy.engine: {policy.engine}: {error}{at}") from None


def _at(policy: Policy, found: Found) -> Policy:
    """The settings, with `path` at the bundle."""
    return policy.model_copy(update={"path": str(found.root)})
