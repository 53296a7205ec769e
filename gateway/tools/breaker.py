"""The circuit breaker of tool servers and agents: what fails is not called for a while, and callers hear so at once.

Config key: `routing.breaker`. A failure is no connection, no answer in time, an answer that breaks off, an error of the
server itself (HTTP 5xx without a response; 502 to 504 of HTTP tools), or a process that ended. Errors of a tool,
refused credentials and answers that are too long are none: a caller could take the server from others with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final

from gateway import ids
from gateway.call import Json, Target
from gateway.config.a2a import RemoteAgent
from gateway.config.tools import Tool
from gateway.errors import Refusal
from gateway.stores import Outages
from gateway.tools.wire import (
    NO_HEADERS,
    NOTHING,
    Hold,
    Relay,
    Session,
    SessionLost,
    TokenRefused,
    Told,
    Unanswered,
    Wire,
)
from gateway.upstream.health import Healths

_AWAY: Final = frozenset({502, 503, 504})
_PROBE: Final = 60.0  # seconds for which no other gateway probes
_ANSWERS: Final = (Refusal, SessionLost, TokenRefused)


class Breakers:
    """The circuits of all tool servers, among those of the targets of models. `outages`: what other gateways found.

    `noun`: what messages call a server. `part`: the second half of the targets' names, so that the names of the rows
    of two sections do not meet.
    """

    def __init__(
        self, healths: Healths, outages: Outages | None = None, *, noun: str = "tool server", part: str = ""
    ) -> None:
        self.healths = healths
        self.outages = outages
        self.noun = noun
        self._part = part
        self._process = ids.uuid7()
        self._rows: Mapping[str, Tool | RemoteAgent] = {}

    def of(self, server: str, *, own: bool = False) -> Breaker:
        """The breaker of a server. `own`: the server belongs to this process, so its state is no news for others."""
        return Breaker(self, Target(server, self._process if own else self._part))

    def follow(self, rows: Mapping[str, Tool] | Mapping[str, RemoteAgent]) -> None:
        """Close the circuits of servers whose row is gone or has changed: the fault may be mended."""
        for name, row in self._rows.items():
            if rows.get(name) != row:
                own = isinstance(row, Tool) and row.command
                self.healths.renew(Target(name, self._process if own else self._part))
        self._rows = dict(rows)


class Breaker:
    """The breaker of one server."""

    def __init__(self, breakers: Breakers, target: Target) -> None:
        self.breakers = breakers
        self.target = target

    def attempt(self) -> Attempt:
        """One exchange with the server, as a context. Raises Refusal(upstream_error) if the circuit is open."""
        return Attempt(self)


class Attempt:
    """One exchange. `status`: of the HTTP answer, if that tells whether the server works."""

    __slots__ = ("_breaker", "_probes", "status")

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._probes = False
        self.status = 0

    async def __aenter__(self) -> Attempt:
        parts, target = self._breaker.breakers, self._breaker.target
        health = parts.healths.of(target)
        self._probes = not health.circuit.closed
        if self._probes and not await parts.healths.may_probe(health, parts.outages, _PROBE):
            wait = max(1.0, health.circuit.until - time.monotonic())
            words = f"The {parts.noun} {target.provider} failed several calls in succession, and is not called."
            raise Refusal("upstream_error", f"{words} Try again in {wait:.0f} s.", stage="upstream", retry_after=wait)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        healths, target = self._breaker.breakers.healths, self._breaker.target
        health = healths.of(target)
        if isinstance(fault, Unanswered) or (fault is None and self.status in _AWAY):
            healths.states[target.provider] = 0
            health.circuit.failed(time.monotonic())
        elif fault is None:
            healths.answered(health.account)
        else:
            healths.ended(health, isinstance(fault, _ANSWERS), self._probes)


class GuardedWire(Wire):
    """A connection whose exchanges go through a breaker."""

    def __init__(self, wire: Wire, breaker: Breaker) -> None:
        self._wire = wire
        self._breaker = breaker

    async def open(self, bearer: str = "", able: Json = NOTHING) -> tuple[Session, Json]:
        """See `Wire.open`."""
        async with self._breaker.attempt():
            return await self._wire.open(bearer, able)

    async def ask(
        self,
        session: Session,
        message: Json,
        hold: Hold,
        headers: Mapping[str, str] = NO_HEADERS,
        bearer: str = "",
        relay: Relay | None = None,
    ) -> bytes:
        """See `Wire.ask`."""
        async with self._breaker.attempt():
            return await self._wire.ask(session, message, hold, headers, bearer, relay)

    async def listen(self, session: Session, bearer: str = "", last: str = "", message: Json | None = None) -> Told:
        """See `Wire.listen`. What happens once the stream is open says nothing."""
        async with self._breaker.attempt():
            return await self._wire.listen(session, bearer, last, message)

    async def tell(self, session: Session, message: Json, bearer: str = "") -> None:
        """See `Wire.tell`."""
        async with self._breaker.attempt():
            await self._wire.tell(session, message, bearer)

    async def end(self, session: Session, bearer: str = "") -> None:
        """See `Wire.end`. The faults that this ignores say nothing."""
        await self._wire.end(session, bearer)

    async def close(self) -> None:
        """See `Wire.close`."""
        await self._wire.close()

    def follow(self, changed: Callable[[], None]) -> None:
        """See `Wire.follow`."""
        self._wire.follow(changed)
