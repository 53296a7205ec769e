"""One tool server: its connection, the gateway's sessions with it, and the list of its tools, which is kept a while."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import Final, NamedTuple, TypeVar

import orjson

from gateway.call import Json
from gateway.config.tools import Tool
from gateway.dialects import mcp_names, surrogates
from gateway.dialects.jsonrpc import named
from gateway.errors import Refusal
from gateway.ids import uuid7
from gateway.tools import catalogue
from gateway.tools.catalogue import Listed
from gateway.tools.credentials import NOBODY, Caller, Credential, check_echo
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
    broken,
    unheld,
)

Result = TypeVar("Result")
_AGAIN: Final = 1.0  # seconds for which a list is used although the server says that it has changed
_ERA: Final = 300.0  # seconds for which the era of a server is believed
_SEATS: Final = 1024  # sessions of the gateway with one server, and lists of tools
Seat = tuple[str, str]
"""Team and agent for whom the gateway has a list; empty for the gateway itself."""
Place = tuple[str, str, bytes]
"""Team and agent for whom the gateway has a session, and what their client can be asked."""


class _List(NamedTuple):
    """The tools of a server, and when they were asked for."""

    tools: list[Listed]
    read: float


_NOTHING: Final = _List([], -math.inf)


class _Checked(Relay):
    """Passes on what does not contain the credential with which the server was called."""

    def __init__(self, server: str, bearer: str, relay: Relay) -> None:
        self._server = server
        self._bearer = bearer
        self._relay = relay

    def begin(self, session: Session) -> None:
        self._relay.begin(session)

    async def tell(self, said: Json) -> None:
        check_echo(self._server, self._bearer, orjson.dumps(said))
        await self._relay.tell(said)

    async def ask(self, question: Json) -> Json | None:
        check_echo(self._server, self._bearer, orjson.dumps(question))
        return await self._relay.ask(question)


async def _unechoed(
    server: str, bearer: str, stream: AsyncGenerator[tuple[Json, str], None]
) -> AsyncGenerator[tuple[Json, str], None]:
    """The messages of a stream. Raises Refusal for one with the credential with which the server was called."""
    async with contextlib.aclosing(stream):
        async for said, at in stream:
            check_echo(server, bearer, orjson.dumps([said, at]))
            yield said, at


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
        self._seats: OrderedDict[Place, Session] = OrderedDict()
        self._opening: dict[Place, asyncio.Lock] = {}
        self._reading: dict[Seat, asyncio.Lock] = {}
        self._lists: OrderedDict[Seat, _List] = OrderedDict()
        self._later = (False, -math.inf)  # whether the server has the later era, and until when this is believed
        self._flying: set[tuple[str, type, object]] = set()  # the requests that are not answered yet, by their ids
        self.later_tasks = False
        """Whether the server has tasks in the later era; known after `later`."""
        self._changed = -math.inf  # when the server last said that its list has changed
        self.pass_on: Callable[[], None] = lambda: None
        """Called when the server says that its lists have changed: other workers have read them, too."""
        self.about: Json = {}
        """What the server said of itself last: capabilities, serverInfo, instructions."""
        self._told: OrderedDict[Seat, Json] = OrderedDict()  # the same, to callers with tokens of their own

    def told(self, caller: Caller) -> Json:
        """What the server said of itself to a caller; to others, it may have given other instructions."""
        if not self._credential.personal:
            return self.about
        return self._told.get(caller.seat) or {**self.about, "instructions": None}

    async def open(self, caller: Caller, able: Json = NOTHING) -> Session:
        """Open a session for a client, which can be asked what `able` says. Raises Refusal."""
        session, self.about = await self._bearing(caller, partial(self._wire.open, able=able))
        if self._credential.personal:
            self._told[caller.seat] = self.about
            if len(self._told) > _SEATS:
                self._told.popitem(last=False)
        return session

    async def seat(self, caller: Caller = NOBODY, able: Json = NOTHING) -> Session:
        """The gateway's session for a caller whose client can be asked what `able` says. Raises Refusal."""
        seat = _place(caller, able)
        known = self._seats.get(seat)
        if known is not None:
            self._seats.move_to_end(seat)
            return known
        async with self._opening.setdefault(seat, asyncio.Lock()):
            if (known := self._seats.get(seat)) is not None:
                return known
            session = self._seats[seat] = await self.open(caller, able)
            self._opening.pop(seat, None)
            if len(self._seats) > _SEATS:
                _, oldest = self._seats.popitem(last=False)
                await self._leave(oldest)
            return session

    async def later(self, caller: Caller) -> Session | None:
        """A session of the later era, which has no state, if the server has that era. Raises Refusal.

        A process is started in the earlier.
        """
        if self.row.command:
            return None
        has, until = self._later
        if until < self._clock():
            has = await self._has_later(caller)
            self._later = has, self._clock() + _ERA
        return Session(mcp_names.MODERN) if has else None

    async def _has_later(self, caller: Caller) -> bool:
        message: Json = {"jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": {}}
        try:
            said = orjson.loads(await self.ask_in(Session(mcp_names.MODERN), message, unheld, caller))
        except Unanswered:
            raise
        except (Refusal, orjson.JSONDecodeError):  # it does not know the method, in a way of its own
            return False
        result = said.get("result") if type(said) is dict else None
        versions = result.get("supportedVersions") if type(result) is dict else None
        self.later_tasks = catalogue.has_later_tasks(result) if type(result) is dict else False
        return type(versions) is list and mcp_names.MODERN in versions

    async def ask(
        self,
        message: Json,
        hold: Hold,
        caller: Caller = NOBODY,
        headers: Mapping[str, str] = NO_HEADERS,
        relay: Relay | None = None,
        able: Json = NOTHING,
        holder: tuple[str, ...] = (),
        level: str = "",
    ) -> bytes:
        """Send a request in the gateway's session for a caller; in a new one if the server has lost that.

        `able`: what the client can be asked. `holder`, `level`: see `Session`. Raises Refusal.
        """

        async def ask(session: Session) -> bytes:
            session = session._replace(able=able, holder=holder, level=level)
            return await self.ask_in(session, message, hold, caller, headers, relay)

        session = await self.seat(caller, able)
        try:
            return await ask(session)
        except SessionLost:
            if self._seats.get(seat := _place(caller, able)) == session:
                del self._seats[seat]
            return await ask(await self.seat(caller, able))

    async def ask_in(
        self,
        session: Session,
        message: Json,
        hold: Hold,
        caller: Caller,
        headers: Mapping[str, str] = NO_HEADERS,
        relay: Relay | None = None,
    ) -> bytes:
        """Send a request in a session. Raises Refusal, SessionLost.

        Several clients may share a session, each with ids of its own: of two requests with one id, a server would mix
        up the answers. The later one leaves with another id.
        """
        id = message["id"]
        flying = session.id, type(id), id
        sent = {**message, "id": uuid7()} if session.id and flying in self._flying else message

        async def ask(bearer: str) -> bytes:
            checked = _Checked(self.name, bearer, relay) if relay is not None else None
            if checked is not None:
                checked.begin(session)
            raw = surrogates.readable(await self._wire.ask(session, sent, hold, headers, bearer, checked))
            check_echo(self.name, bearer, raw)
            return raw

        if sent is not message:
            return named(await self._bearing(caller, ask), sent["id"], id)
        self._flying.add(flying)
        try:
            return await self._bearing(caller, ask)
        finally:
            self._flying.discard(flying)

    async def listen(self, session: Session, caller: Caller, *, last: str = "", message: Json | None = None) -> Told:
        """Open a stream: see `Wire.listen`. Raises Refusal, SessionLost."""

        async def listen(bearer: str) -> Told:
            stream = await self._wire.listen(session, bearer, last, message)
            return _unechoed(self.name, bearer, stream) if stream is not None else None

        return await self._bearing(caller, listen)

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
                self._seats.pop(_place(asks), None)
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
        """The server says that its lists have changed."""
        self.renew()
        self.pass_on()

    def renew(self) -> None:
        """Ask for the lists again."""
        self._changed = self._clock()

    async def close(self) -> None:
        """End all sessions, and the connection."""
        for session in self._seats.values():
            await self._leave(session)
        await self._wire.close()


def _place(caller: Caller, able: Json = NOTHING) -> Place:
    return (*caller.seat, orjson.dumps(able, option=orjson.OPT_SORT_KEYS) if able else b"")
