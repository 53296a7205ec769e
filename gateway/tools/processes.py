"""The processes of an MCP server (stdio): one for all callers, and others of one session each.

Config keys: `tools.*.command`, `asks`. Nothing in a question of a process, or in a message of its log, says to which
call it belongs. So a call whose client can be asked, or wants the log, has a process to itself, which started with the
capabilities of this client, and which only later calls of the same session use again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, NamedTuple

import orjson

from gateway.call import Json
from gateway.config.tools import Tool
from gateway.tools.process_news import ProcessNews
from gateway.tools.stdio import StdioWire
from gateway.tools.watches import Watches
from gateway.tools.wire import NO_HEADERS, NOTHING, Hold, Relay, Session, Told, Wire, broken, unasked

_MOST: Final = 32  # processes of sessions
_OWN: Final = 8  # of one agent, in calls at a time
_IDLE: Final = 60.0  # seconds after its last call for which a process waits for another


class _Key(NamedTuple):
    """Whose process it is, and what its client can be asked."""

    holder: tuple[str, ...]
    able: bytes


class Processes(Wire):
    """The processes of one row of `tools`. For one event loop."""

    def __init__(self, name: str, row: Tool) -> None:
        self._name = name
        self._row = row
        self._shared = StdioWire(name, row)
        self._busy: list[tuple[_Key, StdioWire]] = []
        self._idle: dict[StdioWire, tuple[_Key, asyncio.TimerHandle]] = {}  # the longest idle first
        self._ending: set[asyncio.Task[None]] = set()
        self._changed: Callable[[], None] = lambda: None

    @property
    def news(self) -> ProcessNews:
        """What the processes tell without a request."""
        return self._shared.news

    @property
    def watches(self) -> Watches:
        """The resources of which they tell."""
        return self._shared.watches

    async def open(self, bearer: str = "", able: Json = NOTHING) -> tuple[Session, Json]:
        """See `StdioWire.open`: what a server says of itself is the same in all its processes."""
        return await self._shared.open(bearer, able)

    async def ask(
        self,
        session: Session,
        message: Json,
        hold: Hold,
        headers: Mapping[str, str] = NO_HEADERS,
        bearer: str = "",
        relay: Relay | None = None,
    ) -> bytes:
        """Send a request: to a process of the session if its client can be asked or wants the log."""
        if relay is None or not session.holder or not (session.able or session.level):
            return await self._shared.ask(session, message, hold, headers, bearer, relay)
        async with self._own(_Key(session.holder, orjson.dumps(session.able)), session.able) as wire:
            await wire.log(session.level)
            return await wire.ask(session, message, hold, headers, bearer, relay)

    @contextlib.asynccontextmanager
    async def _own(self, key: _Key, able: Json) -> AsyncIterator[StdioWire]:
        """A process for one call. It ends with a call that fails: what goes on in it would reach the next call."""
        wire = self._take(key, able)
        self._busy.append((key, wire))
        try:
            yield wire
        except BaseException:
            self._end(wire)
            raise
        else:
            timer = asyncio.get_running_loop().call_later(_IDLE, self._expire, wire)
            self._idle[wire] = key, timer
        finally:
            self._busy.remove((key, wire))

    def _take(self, key: _Key, able: Json) -> StdioWire:
        """A process that no call uses. Raises Refusal if there are too many."""
        if sum(one.holder[:2] == key.holder[:2] for one, _ in self._busy) >= _OWN:  # with its sub-agents
            raise broken(self._name, f"has {_OWN} calls of yours in which it may ask or log")
        found = next((wire for wire, (one, _) in self._idle.items() if one == key), None)
        if found is not None:
            self._idle.pop(found)[1].cancel()
            return found
        if len(self._busy) >= _MOST:
            raise broken(self._name, f"has {_MOST} calls in which it may ask or log")
        if len(self._busy) + len(self._idle) >= _MOST:
            self._expire(next(iter(self._idle)))
        wire = StdioWire(self._name, self._row, able, self._shared, key.holder)
        wire.follow(self._changed)
        return wire

    def _expire(self, wire: StdioWire) -> None:
        """End a process that waits for a call."""
        self._idle.pop(wire)[1].cancel()
        self._end(wire)

    def _end(self, wire: StdioWire) -> None:
        task = asyncio.create_task(wire.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def listen(self, session: Session, bearer: str = "", last: str = "", message: Json | None = None) -> Told:
        """See `StdioWire.listen`: of all processes."""
        return await self._shared.listen(session, bearer, last, message)

    async def tell(self, session: Session, message: Json, bearer: str = "") -> None:
        """Send a notification to the processes of the session; the answer to a question to the one that asked."""
        own = [wire for key, wire in self._busy if key.holder == session.holder]
        if "method" in message:
            for wire in [*own, self._shared]:
                await wire.tell(session, message, bearer)
            return
        wire_of = next((wire for wire in own if wire.asks(message["id"])), None)
        if wire_of is None:
            raise unasked()
        await wire_of.tell(session, message, bearer)

    async def end(self, session: Session, bearer: str = "") -> None:
        """End the processes of the session that wait for a call."""
        del bearer
        for wire, (key, _) in list(self._idle.items()):
            if key.holder == session.holder:
                self._expire(wire)

    async def close(self) -> None:
        """End all processes."""
        for wire in list(self._idle):
            self._expire(wire)
        for _, wire in list(self._busy):
            self._end(wire)
        await asyncio.gather(self._shared.close(), *self._ending)

    def follow(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when a process says so."""
        self._changed = changed
        self._shared.follow(changed)
