"""One tool server: its connection, the gateway's sessions with it, and the list of its tools, which is kept a while."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, NamedTuple, TypeVar

import orjson

from gateway.call import Json
from gateway.config.tools import Tool
from gateway.errors import Refusal
from gateway.tools import catalogue
from gateway.tools.catalogue import Listed
from gateway.tools.credentials import NOBODY, Caller, Credential, check_echo
from gateway.tools.wire import NO_HEADERS, Hold, Relay, Session, SessionLost, TokenRefused, Wire, broken, unheld

Result = TypeVar("Result")
_AGAIN: Final = 1.0  # seconds for which a list is used although the server says that it has changed
_SEATS: Final = 1024  # sessions of the gateway with one server, and lists of tools
Seat = tuple[str, str]
"""Team and agent for whom the gateway has a session; empty for the gateway itself."""


class _List(NamedTuple):
    """The tools of a server, and when they were asked for."""

    tools: list[Listed]
    read: float


_NOTHING: Final = _List([], -math.inf)


class Server:
    """One row of `tools`; outlives reloads that do not change the row. For one event loop."""

    def __init__(
        self, name: str, row: Tool, wire: Wire, credential: Credential, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.row = row
        self._wire = wire
        wire.follow(self._renew)
        self._credential = credential
        self._clock = clock
        self._seats: OrderedDict[Seat, Session] = OrderedDict()
        self._opening: dict[Seat, asyncio.Lock] = {}
        self._reading: dict[Seat, asyncio.Lock] = {}
        self._lists: OrderedDict[Seat, _List] = OrderedDict()
        self._changed = -math.inf  # when the server last said that its list has changed
        self.about: Json = {}
        """What the server says of itself: capabilities, serverInfo, instructions."""

    async def open(self, caller: Caller) -> Session:
        """Open a session for a client. Raises Refusal."""
        session, self.about = await self._bearing(caller, self._wire.open)
        return session

    async def seat(self, caller: Caller = NOBODY) -> Session:
        """The gateway's session for a caller, opened if there is none. Raises Refusal."""
        seat = caller.seat
        known = self._seats.get(seat)
        if known is not None:
            self._seats.move_to_end(seat)
            return known
        async with self._opening.setdefault(seat, asyncio.Lock()):
            if (known := self._seats.get(seat)) is not None:
                return known
            session = self._seats[seat] = await self.open(caller)
            self._opening.pop(seat, None)
            if len(self._seats) > _SEATS:
                _, oldest = self._seats.popitem(last=False)
                await self._leave(oldest)
            return session

    async def ask(
        self,
        message: Json,
        hold: Hold,
        caller: Caller = NOBODY,
        headers: Mapping[str, str] = NO_HEADERS,
        relay: Relay | None = None,
    ) -> bytes:
        """Send a request in the session of a caller; in a new one if the server has lost that. Raises Refusal."""
        session = await self.seat(caller)
        try:
            return await self.ask_in(session, message, hold, caller, headers, relay)
        except SessionLost:
            if self._seats.get(caller.seat) == session:
                del self._seats[caller.seat]
            return await self.ask_in(await self.seat(caller), message, hold, caller, headers, relay)

    async def ask_in(
        self,
        session: Session,
        message: Json,
        hold: Hold,
        caller: Caller,
        headers: Mapping[str, str] = NO_HEADERS,
        relay: Relay | None = None,
    ) -> bytes:
        """Send a request in a session. Raises Refusal, SessionLost."""

        async def ask(bearer: str) -> bytes:
            async def checked(said: Json) -> None:
                assert relay is not None, "there is something to pass notifications on"
                check_echo(self.name, bearer, orjson.dumps(said))
                await relay(said)

            raw = await self._wire.ask(session, message, hold, headers, bearer, relay and checked)
            check_echo(self.name, bearer, raw)
            return raw

        return await self._bearing(caller, ask)

    async def tell_in(self, session: Session, message: Json, caller: Caller) -> None:
        """Send a notification in a session. Raises Refusal."""
        await self._bearing(caller, partial(self._wire.tell, session, message))

    async def end(self, session: Session, caller: Caller) -> None:
        """End a session of a client. Raises Refusal if there is no credential for the caller."""
        await self._bearing(caller, partial(self._wire.end, session))

    async def _leave(self, session: Session) -> None:
        """End a session of the gateway, if that needs no token of a caller; the server forgets the others in time."""
        if not self._credential.personal:
            with contextlib.suppress(Refusal):
                await self.end(session, NOBODY)

    async def _bearing(self, caller: Caller, do: Callable[[str], Awaitable[Result]]) -> Result:
        """Do something with the credential for a caller; once more with another if the server refuses that."""
        bearer = await self._credential.bearer(caller)
        try:
            return await do(bearer)
        except TokenRefused:
            if not self._credential.forget(caller, bearer):
                raise self._refused() from None
        bearer = await self._credential.bearer(caller)
        try:
            return await do(bearer)
        except TokenRefused:
            self._credential.forget(caller, bearer)
            raise self._refused() from None

    def _refused(self) -> Refusal:
        return broken(self.name, "refused the credentials of the gateway (HTTP 401)")

    async def tools(self, caller: Caller = NOBODY) -> list[Listed]:
        """The tools of the server, asked again after `refresh` seconds, or when the server says that they have changed.

        Raises Refusal.

        A server that is called with tokens of callers may list other tools to each.
        """
        asks = caller if self._credential.personal else NOBODY
        seat = asks.seat
        known = self._lists.get(seat, _NOTHING)
        if self._is_fresh(known):
            return known.tools
        async with self._reading.setdefault(seat, asyncio.Lock()):
            known = self._lists.get(seat, _NOTHING)
            if self._is_fresh(known):
                return known.tools
            began = self._clock()
            try:
                found = await self._read(asks)
            except SessionLost:
                self._seats.pop(seat, None)
                found = await self._read(asks)
            if [one.digest for one in found] == [one.digest for one in known.tools]:
                found = known.tools
            self._lists[seat] = _List(found, began)
            self._reading.pop(seat, None)
            if len(self._lists) > _SEATS:
                self._lists.popitem(last=False)
            return found

    async def _read(self, caller: Caller) -> list[Listed]:
        session = await self.seat(caller)
        return await catalogue.read(self.name, partial(self._asked, session, caller))

    async def _asked(self, session: Session, caller: Caller, message: Json) -> bytes:
        return await self.ask_in(session, message, unheld, caller)

    def _is_fresh(self, known: _List) -> bool:
        """Whether a list is used as it is."""
        age = self._clock() - known.read
        return age < (self.row.refresh if known.read > self._changed else min(_AGAIN, self.row.refresh))

    def _renew(self) -> None:
        """Ask for the lists again: the server says that they have changed."""
        self._changed = self._clock()

    async def close(self) -> None:
        """End all sessions, and the connection."""
        for session in self._seats.values():
            await self._leave(session)
        await self._wire.close()
