"""Pins: which definitions of tools were accepted. Tools that are new, or have changed, stay hidden until they are.

Config key: `tools.*.pins`. A record has for each tool the accepted definition, and the one that was seen last if that
differs. It is written when a list shows something new, and by `meshgate tools accept`.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import orjson

from gateway.call import Json
from gateway.errors import ConfigError
from gateway.stores import Pins as Store
from gateway.tools.catalogue import MOST, Listed, digest
from gateway.tools.suspicion import HIGH, Suspicion

State = Literal["accepted", "new", "changed", "gone"]
Mode = Literal["first_seen", "strict", "off"]
Noted = Callable[[str, str, str, float], object]
"""Called with server, tool, state and score of suspicion for each tool that is hidden from now on."""
FRESH: Final = 1.0
"""Seconds for which a record is used before it is read again."""
_TRIES: Final = 8


class Pin(NamedTuple):
    """One tool: the accepted definition (None: none), the one seen last, and since when that is seen (Unix seconds)."""

    accepted: Json | None
    seen: Json | None
    at: int = 0

    @property
    def state(self) -> State:
        """Whether the tool is served, and otherwise why not."""
        if self.seen is None:
            return "gone"
        if self.accepted is None:
            return "new"
        return "accepted" if digest(self.accepted) == digest(self.seen) else "changed"


Record = dict[str, Pin]


def encoded(record: Mapping[str, Pin]) -> bytes:
    """The bytes of a record."""
    return zlib.compress(orjson.dumps({name: tuple(pin) for name, pin in record.items()}, option=orjson.OPT_SORT_KEYS))


def decoded(data: bytes | None) -> Record:
    """The record in these bytes."""
    return {} if data is None else {name: Pin(*pin) for name, pin in orjson.loads(zlib.decompress(data)).items()}


def noted(record: Mapping[str, Pin], listed: Sequence[Listed], now: int, *, accept: bool) -> Record:
    """The record after a list was seen. `accept`: its tools are accepted."""
    seen = {one.name: one.tool for one in listed}
    after: Record = {}
    for name in [*record, *(name for name in seen if name not in record)]:
        had, tool = record.get(name), seen.get(name)
        if had is None:
            after[name] = Pin(tool if accept else None, tool, now)
        elif had.seen == tool:
            after[name] = had
        elif tool is not None or had.accepted is not None:
            after[name] = Pin(had.accepted, tool, now)
    kept = [name for name, pin in after.items() if pin.seen is not None]
    gone = [name for name in after if after[name].seen is None][-MOST:]
    return {name: after[name] for name in (*kept, *gone)}


class Pins:
    """The pins of the servers, over the store. `noted`: told of tools that are hidden from now on."""

    def __init__(
        self, store: Store, noted: Noted, suspicion: Suspicion, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._suspicion = suspicion
        self._noted = noted
        self._clock = clock
        self._known: dict[str, tuple[float, bytes | None, Mapping[str, str]]] = {}  # server -> until, record, digests
        self._served: dict[str, tuple[object, bytes | None, list[Listed]]] = {}

    async def served(self, server: str, listed: list[Listed], mode: Mode) -> list[Listed]:
        """The tools of a list that are accepted. Raises StoreUnavailable."""
        if mode == "off":
            return listed
        data, accepted = await self._accepted(server)
        before = self._served.get(server)
        if before is not None and before[0] is listed and before[1] is data:
            return before[2]
        if data is None or any(accepted.get(one.name) != one.digest for one in listed) or len(accepted) != len(listed):
            data, accepted = await self._note(server, listed, mode)
        found = [one for one in listed if accepted.get(one.name) == one.digest]
        self._served[server] = listed, data, found
        return found

    async def known(self, server: str, mode: Mode) -> list[Listed]:
        """The tools that are accepted and were there last, for a caller that cannot ask for them yet.

        Without pins, none. Raises StoreUnavailable.
        """
        if mode == "off":
            return []
        data, accepted = await self._accepted(server)
        pins = decoded(data).items()
        return [Listed(name, pin.accepted, accepted[name]) for name, pin in pins if pin.accepted and pin.seen]

    async def _accepted(self, server: str) -> tuple[bytes | None, Mapping[str, str]]:
        """The record of a server, and the digests of what is accepted."""
        known, now = self._known.get(server), self._clock()
        if known is not None and now < known[0]:
            return known[1], known[2]
        data = await self._store.pins(server)
        if known is not None and known[1] == data:
            data, digests = known[1], known[2]
        else:
            digests = await asyncio.to_thread(_digests_in, data)
        self._known[server] = now + FRESH, data, digests
        return data, digests

    async def _note(self, server: str, listed: list[Listed], mode: Mode) -> tuple[bytes | None, Mapping[str, str]]:
        """Write what a list shows."""
        for _ in range(_TRIES):
            data = await self._store.pins(server)
            fresh, digests, hidden = await asyncio.to_thread(self._after, data, listed, mode)
            if fresh != data:
                if fresh is None or not await self._store.pin(server, fresh, data):
                    continue
                for name, state, score in hidden:
                    self._noted(server, name, state, score)
                data = fresh
            self._known[server] = self._clock() + FRESH, data, digests
            return data, digests
        return None, {}  # other gateways keep changing the record: nothing is served now

    def _after(
        self, data: bytes | None, listed: Sequence[Listed], mode: Mode
    ) -> tuple[bytes | None, Mapping[str, str], list[tuple[str, str, float]]]:
        """The record after a list was seen, the digests of what is accepted, and what is hidden from now on.

        Hidden tools have their state and score. The record is `data` itself if nothing in it changes.
        """
        before = decoded(data)
        accept = data is None and mode == "first_seen"
        after = noted(before, listed, int(self._clock()), accept=accept)
        if after == before:
            return data, _digests(after), []
        scores = self._scores(before, after)
        for name, score in scores.items():
            if accept and score >= HIGH:
                after[name] = after[name]._replace(accepted=None)
        changed = [(name, pin) for name, pin in after.items() if pin != before.get(name)]
        hidden: list[tuple[str, str, float]]
        hidden = [(name, pin.state, scores.get(name, 0.0)) for name, pin in changed if pin.state in ("new", "changed")]
        return encoded(after), _digests(after), hidden

    def _scores(self, before: Record, after: Record) -> dict[str, float]:
        """The scores of the definitions that were not seen before."""
        fresh = {name: pin.seen for name, pin in after.items() if pin.seen is not None and pin != before.get(name)}
        return {name: self._suspicion.of(tool) for name, tool in fresh.items()}


def _digests(record: Mapping[str, Pin]) -> Mapping[str, str]:
    return {name: digest(pin.accepted) for name, pin in record.items() if pin.accepted is not None}


def _digests_in(data: bytes | None) -> Mapping[str, str]:
    return _digests(decoded(data))


def pending(record: Mapping[str, Pin], server: str, tools: Iterable[str] = ()) -> list[str]:
    """The named tools, or all, whose last definition is not the accepted one.

    Raises ConfigError for a tool that was not seen.
    """
    wanted = list(tools)
    for name in wanted:
        if name not in record:
            raise ConfigError(f"{server} has listed no tool of this name; `meshgate tools list {server}` has all")
    return [name for name, pin in record.items() if pin.state != "accepted" and (not wanted or name in wanted)]


async def accept(store: Store, server: str, tools: Collection[str] = ()) -> list[str]:
    """Accept what was seen last of the named tools, or of all; returns the names of those that changed.

    Raises ConfigError for a tool that was not seen.
    """
    for _ in range(_TRIES):
        data = await store.pins(server)
        record = decoded(data)
        changed = pending(record, server, tools)
        if not changed:
            return []
        for name in changed:
            pin = record[name]
            if pin.seen is None:
                del record[name]
            else:
                record[name] = pin._replace(accepted=pin.seen)
        if await store.pin(server, encoded(record), data):
            return changed
    raise ConfigError(f"the tools of {server} keep changing; try again")


def differences(before: object, after: object, at: str = "") -> list[str]:
    """What differs between two definitions, one line for each field: `path: before -> after`."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = dict.fromkeys([*before, *after])
        return [
            line
            for name in names
            for line in differences(before.get(name), after.get(name), f"{at}.{name}" if at else str(name))
        ]
    if before == after:
        return []
    return [f"{at}: {_shown(before)} -> {_shown(after)}"]


def _shown(value: object) -> str:
    return "nothing" if value is None else orjson.dumps(value).decode()
