"""One tool server: its connection, the gateway's sessions with it, and the list of its tools, which is kept a while."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from gateway.call import Json
from gateway.config.tools import Tool
from gateway.tools import catalogue
from gateway.tools.catalogue import Listed
from gateway.tools.wire import NO_HEADERS, Hold, Session, SessionLost, Wire, unheld

_SEATS: Final = 1024  # sessions of the gateway with one server
Seat = tuple[str, str]
"""Team and agent for whom the gateway has a session; empty for the gateway itself."""
OWN: Final[Seat] = ("", "")


class Server:
    """One row of `tools`; outlives reloads that do not change the row. For one event loop."""

    def __init__(self, name: str, row: Tool, wire: Wire, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.row = row
        self.wire = wire
        self._clock = clock
        self._seats: OrderedDict[Seat, Session] = OrderedDict()
        self._opening: dict[Seat, asyncio.Lock] = {}
        self._reading = asyncio.Lock()
        self._listed: list[Listed] = []
        self._until = 0.0
        self.about: Json = {}
        """What the server says of itself: capabilities, serverInfo, instructions."""

    async def seat(self, seat: Seat = OWN) -> Session:
        """The gateway's session for a caller, opened if there is none. Raises Refusal."""
        known = self._seats.get(seat)
        if known is not None:
            self._seats.move_to_end(seat)
            return known
        async with self._opening.setdefault(seat, asyncio.Lock()):
            if (known := self._seats.get(seat)) is not None:
                return known
            session, self.about = await self.wire.open()
            self._seats[seat] = session
            self._opening.pop(seat, None)
            if len(self._seats) > _SEATS:
                _, oldest = self._seats.popitem(last=False)
                await self.wire.end(oldest)
            return session

    async def ask(self, message: Json, hold: Hold, seat: Seat = OWN, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
        """Send a request in the session of a seat; in a new one if the server has lost that. Raises Refusal."""
        session = await self.seat(seat)
        try:
            return await self.wire.ask(session, message, hold, headers)
        except SessionLost:
            if self._seats.get(seat) == session:
                del self._seats[seat]
            return await self.wire.ask(await self.seat(seat), message, hold, headers)

    async def tools(self) -> list[Listed]:
        """The tools of the server, asked again after `refresh` seconds. Raises Refusal."""
        if self._clock() < self._until:
            return self._listed
        async with self._reading:
            if self._clock() < self._until:
                return self._listed
            try:
                found = await catalogue.read(self.name, self.wire, await self.seat(), unheld)
            except SessionLost:
                self._seats.pop(OWN, None)
                found = await catalogue.read(self.name, self.wire, await self.seat(), unheld)
            if [one.digest for one in found] != [one.digest for one in self._listed]:
                self._listed = found
            self._until = self._clock() + self.row.refresh
            return self._listed

    def forget(self) -> None:
        """The list may have changed: ask for it again."""
        self._until = 0.0

    async def close(self) -> None:
        """End all sessions, and the connection."""
        for session in self._seats.values():
            await self.wire.end(session)
        await self.wire.close()
