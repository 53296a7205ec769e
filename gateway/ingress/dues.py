"""Answers that providers make in the background: what it takes to ask for their end, and to charge it.

Config keys: `stored.retrieve`, `stored.background`. A record is kept from the beginning of such an answer until its
end was charged, encrypted with the vault's key. It survives the process; of all gateways, one asks at a time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, TypeVar

import orjson
from cryptography.exceptions import InvalidTag

from gateway.amounts import Ask, Debit
from gateway.call import Held, Json
from gateway.config.sections import Stored as Settings
from gateway.dialects.routes import ENDS
from gateway.redaction.vault import Seal
from gateway.stores import Dues as Store

Row = TypeVar("Row", Ask, Debit, Held)
_GROWTH: Final = 2  # of the pause, with each look
_LONGEST: Final = 20  # times the first pause


@dataclass(frozen=True, slots=True)
class Due:
    """An answer whose end nobody has seen.

    `record`: as `Owners` wrote it. `at`: Unix seconds of its beginning. `tries`: looks so far.
    """

    name: str
    team: str
    kind: str
    id: str
    record: Json
    at: float
    tries: int = 0


class Dues:
    """Built for one configuration. `settings`: None if no call may refer to stored state; then there are none."""

    def __init__(self, settings: Settings | None, store: Store, seal: Seal | None) -> None:
        self._store = store
        self._seal = seal if settings is not None else None
        self._first = settings.retrieve if settings is not None else 0.0
        self._longest = settings.background if settings is not None else 0.0

    async def add(self, team: str, kind: str, id: str, record: Json) -> None:
        """An answer has begun. Raises StoreUnavailable."""
        if self._seal is not None and kind in ENDS:
            await self._put(self._seal, Due(_name(self._seal, team, kind, id), team, kind, id, record, time.time()))

    async def take(self, most: int, seconds: float) -> list[Due]:
        """Those whose time has come; no other gateway asks for them within `seconds`. Raises StoreUnavailable."""
        found = list[Due]()
        if self._seal is None:
            return found
        for name, sealed in (await self._store.take_dues(most, seconds)).items():
            due = _opened(self._seal, name, sealed)
            if due is None or time.time() - due.at > self._longest:  # another key, or its reservation has lapsed
                await self._store.drop_due(name)
            else:
                found.append(due)
        return found

    async def later(self, due: Due) -> None:
        """The answer is not complete, or the provider did not say: ask again later. Raises StoreUnavailable."""
        if self._seal is not None:
            await self._put(self._seal, Due(due.name, due.team, due.kind, due.id, due.record, due.at, due.tries + 1))

    async def end(self, team: str, kind: str, id: str) -> None:
        """The answer was charged. Raises StoreUnavailable."""
        if self._seal is not None:
            await self._store.drop_due(_name(self._seal, team, kind, id))

    async def _put(self, seal: Seal, due: Due) -> None:
        said = orjson.dumps((due.team, due.kind, due.id, due.record, due.at, due.tries))
        pause = self._first * min(_GROWTH**due.tries, _LONGEST)
        await self._store.put_due(due.name, seal.enclose(_context(due.name), said), pause)


def written(held: Held) -> Json:
    """What a call holds, as JSON."""
    return {
        **held._asdict(),
        "asks": [{**ask._asdict(), "debits": [it._asdict() for it in ask.debits]} for ask in held.asks],
    }


def read(said: Json | None) -> Held | None:
    """What a call holds, from JSON; fields of later releases are ignored."""
    if said is None:
        return None
    asks = [_of(Ask, one) for one in said["asks"]]
    debits = [tuple(_of(Debit, it) for it in one["debits"]) for one in said["asks"]]
    made = [ask._replace(debits=taken, tools=tuple(ask.tools)) for ask, taken in zip(asks, debits, strict=True)]
    return _of(Held, said)._replace(asks=tuple(made))


def _opened(seal: Seal, name: str, sealed: bytes) -> Due | None:
    """The record; None if it was encrypted with another key, or if another release wrote it in a form of its own."""
    try:
        due = Due(name, *orjson.loads(seal.disclose(_context(name), sealed)))
    except (InvalidTag, ValueError, TypeError):
        return None
    return due if due.kind in ENDS else None


def _of(kind: type[Row], said: Json) -> Row:
    """The fields of a named tuple that were written, the others as they are by default."""
    row: Row = kind(**{name: said[name] for name in kind._fields if name in said})
    return row


def _name(seal: Seal, team: str, kind: str, id: str) -> str:
    return seal.digest(f"due {kind}", f"{team}\0{id}").hex()


def _context(name: str) -> str:
    return f"due\0{name}"
