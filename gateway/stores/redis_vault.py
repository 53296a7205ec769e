"""The vault in Redis or Valkey: numbers of values, and how models spelled the values that were restored.

Each step is one call of `redis.lua`. A vault is in the slot of its team, as the record of its workflow is.

A reservation says how many spellings the vault has had since the record of its workflow began. If this process has kept
as many, it knows the places of all of them, without a further step. A spelling is kept before the caller gets the
answer, so that the count in the reservation of a call includes each spelling that its request may have.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.stores import SPELLINGS, Sealed, Spelling, Unsealed

Script = Callable[..., Awaitable[Any]]  # operation, keys, arguments
_AT_ONCE = 1000  # fields that one call reads: Lua passes at most a few thousand arguments to a command
_WORKFLOWS: Final = 4096  # workflows that are remembered: more than have calls in flight
_PLACES: Final = 65_536  # places of all of them: 6 MB


@dataclass(slots=True)
class _Kept:
    """The spellings of a workflow whose record began at `first`: how many the vault has had, and this process kept."""

    first: bytes
    count: int
    own: int = 0
    places: dict[int, bytes] = field(default_factory=dict)


class RedisVault:
    """The methods of `stores.Vault`. `script` calls the script, `keys` names the keys of (team, correlation id)."""

    def __init__(self, script: Script, keys: Callable[[str, str], list[str]]) -> None:
        self._script = script
        self._keys = keys
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._size = 0

    async def seal(self, team: str, correlation_id: str, items: Sequence[Sealed], ttl: float) -> list[int]:
        """See `Store.seal`."""
        flat = [part for item in items for part in (item[0], item[1].hex(), item[2])]
        numbers: list[int] = await self._script("seal", self._keys(team, correlation_id), round(ttl * 1000), *flat)
        return numbers

    async def unseal(self, team: str, correlation_id: str) -> list[Unsealed]:
        """See `Store.unseal`."""
        flat = await self._script("unseal", self._keys(team, correlation_id))
        found: list[Unsealed] = []
        for name, ciphertext in zip(flat[::2], flat[1::2], strict=True):
            if name.startswith(b"c:"):
                entity, _, number = name[2:].decode().rpartition(":")
                found.append((entity, int(number), ciphertext))
        return sorted(found)

    async def spell(
        self, team: str, correlation_id: str, items: Sequence[Spelling], ttl: float, places: Sequence[int] = ()
    ) -> None:
        """See `Store.spell`."""
        flat = [part for digest, ciphertext in items for part in (digest.hex(), ciphertext)]
        first, before, after = await self._script("spell", self._keys(team, correlation_id), round(ttl * 1000), *flat)
        kept = self._kept.get((team, correlation_id))
        if kept is None or kept.first != first:
            return
        kept.count = max(kept.count, after)
        if kept.own == before and len(places) == len(items) and after <= SPELLINGS:
            self._size -= len(kept.places)
            kept.places |= {place: digest for place, (digest, _) in zip(places, items, strict=True)}
            self._size += len(kept.places)
            kept.own = after
            self._bound()

    async def places(self, team: str, correlation_id: str) -> Mapping[int, bytes] | None:
        """See `Store.places`: those of a workflow whose last reservation counted as many as this process kept."""
        kept = self._kept.get((team, correlation_id))
        return kept.places if kept is not None and kept.own == kept.count else None

    async def spellings(self, team: str, correlation_id: str, digests: Sequence[bytes]) -> list[bytes | None]:
        """See `Store.spellings`."""
        keys, found = self._keys(team, correlation_id), list[bytes | None]()
        for at in range(0, len(digests), _AT_ONCE):
            found += await self._script("spellings", keys, *(digest.hex() for digest in digests[at : at + _AT_ONCE]))
        return found

    def note(self, team: str, correlation_id: str, told: bytes) -> None:
        """Remember what a reservation says of the vault: when its record began, and how many spellings it has had.

        Replies may come in another order than the steps were taken, and the count of a record never falls.
        """
        first, _, count = told.partition(b" ")
        name = team, correlation_id
        kept = self._kept.get(name)
        if kept is not None and kept.first == first:
            kept.count = max(kept.count, int(count))
        else:
            self.forget(*name)
            self._kept[name] = _Kept(first, int(count))
        self._kept.move_to_end(name)
        self._bound()

    def forget(self, team: str, correlation_id: str) -> None:
        """No reservation says what the vault has now."""
        if (kept := self._kept.pop((team, correlation_id), None)) is not None:
            self._size -= len(kept.places)

    def _bound(self) -> None:
        while len(self._kept) > _WORKFLOWS or self._size > _PLACES:
            self.forget(*next(iter(self._kept)))
