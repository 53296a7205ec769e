"""The vault in Redis or Valkey: numbers of values, and how models spelled the values that were restored.

Each step is one call of `redis.lua`. A vault is in the slot of its team, as the record of its workflow is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from gateway.stores import Sealed, Spelling, Unsealed

Script = Callable[..., Awaitable[Any]]  # operation, keys, arguments
_AT_ONCE = 1000  # fields that one call reads: Lua passes at most a few thousand arguments to a command


class RedisVault:
    """The methods of `stores.Vault`. `script` calls the script, `places` names the keys of (team, correlation id)."""

    def __init__(self, script: Script, places: Callable[[str, str], list[str]]) -> None:
        self._script = script
        self._places = places

    async def seal(self, team: str, correlation_id: str, items: Sequence[Sealed], ttl: float) -> list[int]:
        """See `Store.seal`."""
        flat = [part for item in items for part in (item[0], item[1].hex(), item[2])]
        numbers: list[int] = await self._script("seal", self._places(team, correlation_id), round(ttl * 1000), *flat)
        return numbers

    async def unseal(self, team: str, correlation_id: str) -> list[Unsealed]:
        """See `Store.unseal`."""
        flat = await self._script("unseal", self._places(team, correlation_id))
        found: list[Unsealed] = []
        for field, ciphertext in zip(flat[::2], flat[1::2], strict=True):
            if field.startswith(b"c:"):
                entity, _, number = field[2:].decode().rpartition(":")
                found.append((entity, int(number), ciphertext))
        return sorted(found)

    async def spell(
        self,
        team: str,
        correlation_id: str,
        items: Sequence[Spelling],
        ttl: float,
        places: Sequence[int] = (),  # noqa: ARG002
    ) -> None:
        """See `Store.spell`."""
        flat = [part for digest, ciphertext in items for part in (digest.hex(), ciphertext)]
        await self._script("spell", self._places(team, correlation_id), round(ttl * 1000), *flat)

    async def places(self, team: str, correlation_id: str) -> Mapping[int, bytes] | None:  # noqa: ARG002
        """None: other processes keep spellings, too."""
        return None

    async def spellings(self, team: str, correlation_id: str, digests: Sequence[bytes]) -> list[bytes | None]:
        """See `Store.spellings`."""
        places, found = self._places(team, correlation_id), list[bytes | None]()
        for at in range(0, len(digests), _AT_ONCE):
            found += await self._script("spellings", places, *(digest.hex() for digest in digests[at : at + _AT_ONCE]))
        return found
