"""Lists of what providers store: a team sees its own entries, of all places where its calls may have stored any.

A call for a list is a call of the model that is called like its path; the places are the keys of the providers of this
model, one after the other, in the order of the configuration. The cursor of a page is an entry of the caller's team,
whose record says where it is, or a sealed token, which says so itself.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import orjson
from cryptography.exceptions import InvalidTag

from gateway.bodies import Cursor, Json, Page
from gateway.call import Call, Place, Reference, Resource, Stored, Target
from gateway.dialects.listed import TOKENS
from gateway.errors import Refusal
from gateway.redaction.vault import Seal

_PREFIX: Final = "page_"
_BATCH: Final = 128  # records that are read at a time: one of a large batch may have many masked values
Find = Callable[[str, str, Sequence[str]], Awaitable[list[Stored | None]]]
"""(team, kind, ids) -> the record of each."""


class Lists:
    """Part of the owners. `seal`: None if no owners are recorded."""

    def __init__(self, find: Find, seal: Seal | None) -> None:
        self._find = find
        self._seal = seal

    async def begin(self, call: Call, about: Reference, page: Page) -> None:
        """Write `call.request` and the place of the cursor in `call.reference`.

        Raises Refusal(invalid_request), StoreUnavailable.
        """
        if self._seal is None:
            words = (
                f"{call.route} has no list: this gateway does not record the owners of stored state (stored, "
                "pii.vault_key)."
            )
            raise Refusal("invalid_request", words, status=404)
        if page.until and (await self._find(call.team, call.codec.stores, [page.until]))[0] is None:
            page = page._replace(until="")  # where the list ends would say whether another team has the id
        if page.cursor.name:
            cursor, at = await self._read(call, self._seal, page.cursor)
            call.reference = about._replace(page=page._replace(cursor=cursor), at=at)
        call.resource = Resource("llm", call.route)
        call.request.body = {"model": call.route, "input": [], "store": False}
        call.request.ceiling = 1

    async def _read(self, call: Call, seal: Seal, cursor: Cursor) -> tuple[Cursor, Place]:
        """The cursor at the provider, and its place. Raises Refusal(invalid_request), StoreUnavailable."""
        if cursor.value.startswith(_PREFIX):
            try:
                token = base64.urlsafe_b64decode(cursor.value.removeprefix(_PREFIX) + "==")
                name, value, *place = orjson.loads(seal.disclose(_context(call), token))
            except (binascii.Error, InvalidTag, ValueError):
                raise _unknown(cursor) from None
            return Cursor(name, value), Place(Target(place[0], place[1]), place[2])
        stored = None
        if cursor.name not in TOKENS:
            stored = (await self._find(call.team, call.codec.stores, [cursor.value]))[0]
        if stored is None:
            raise _unknown(cursor)
        return cursor, Place(stored.target, stored.account)

    def token(self, call: Call, cursor: Cursor, place: Place) -> str:
        """A cursor of the provider, sealed: the entry or token may be one of another team."""
        assert self._seal is not None, "a call for a list is refused without an encryption key"
        sealed = self._seal.enclose(_context(call), orjson.dumps((*cursor, *place.target, place.account)))
        return _PREFIX + base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    async def own(
        self, call: Call, entries: Sequence[Json], place: Place, known: frozenset[str], most: int
    ) -> list[Json]:
        """The first `most` of the entries that are states of the caller's team at this place. Raises StoreUnavailable.

        `known`: the names of the keys that the provider has. What was stored under a key that is no longer there may be
        under any.
        """
        found: list[Json] = []
        for start in range(0, len(entries), _BATCH):
            some = entries[start : start + _BATCH]
            records = await self._find(call.team, call.codec.stores, [one["id"] for one in some])
            found += [
                entry
                for entry, stored in zip(some, records, strict=True)
                if stored is not None
                and stored.target.provider == place.target.provider
                and (stored.account == place.account or stored.account not in known)
            ]
            if len(found) >= most:
                break
        return found[:most]


def _unknown(cursor: Cursor) -> Refusal:
    return Refusal("invalid_request", f"`{cursor.name}` names no entry of this list.", param=cursor.name, status=404)


def _context(call: Call) -> str:
    return f"page\0{call.team}\0{call.codec.name}"
