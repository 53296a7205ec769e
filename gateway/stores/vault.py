"""The vaults in memory: the number of each value of a workflow, and how models spelled the values that were restored.

No IO, no clock, no plaintext.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from gateway.stores import SPELLINGS, SPELLINGS_SIZE, Sealed, Spelling, Unsealed

MOST: Final = 8_000_000
"""Bytes of the vaults in memory: of 500 workflows with twenty values and spellings each."""
_EMPTY, _VALUE, _SPELLING = 700, 240, 215  # bytes beside those of ciphertexts, with the place of a spelling
_TRIES: Final = 16  # vaults that are considered at once, because the first may not be written


@dataclass(slots=True)
class Vault:
    """The sealed values of a workflow. A vault is dropped as a whole, so that numbers are stable.

    `first` is when the record of the workflow began, in microseconds; 0 without a record. `ends` is when a vault
    without a record is dropped. `spellings`: digest -> ciphertext, the oldest first; their numbers count from 1.
    `places`: place -> digest; None if a spelling has no place, because another process has kept it.
    """

    ends: int = 0
    mark: int = 0
    first: int = 0
    numbers: dict[tuple[str, bytes], int] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    items: list[Unsealed] = field(default_factory=list)
    spellings: dict[bytes, bytes] = field(default_factory=dict)
    places: dict[int, bytes] | None = field(default_factory=dict)
    newest: int = 0
    size: int = 0
    weight: int = _EMPTY  # bytes in memory, roughly
    counted: int = 0  # see `Vaults`

    def alive(self, first: int, now: int) -> bool:
        """Whether this is the vault of the workflow whose record began at `first` (0: there is no record now)."""
        return self.first == first if first and self.first else self.ends >= now

    def add(self, entity: str, digest: bytes, number: int, ciphertext: bytes) -> None:
        """Add a value under its number."""
        self.numbers[entity, digest] = number
        self.highest[entity] = max(number, self.highest.get(entity, 0))
        self.items.append((entity, number, ciphertext))
        self.weight += _VALUE + len(ciphertext)

    def assign(self, sealed: Sequence[Sealed]) -> tuple[list[int], list[tuple[str, bytes, int, bytes]]]:
        """The number of each value, and the new values: (entity, digest, number, ciphertext)."""
        fresh = []
        for entity, digest, ciphertext in sealed:
            if (entity, digest) not in self.numbers:
                number = self.highest.get(entity, 0) + 1
                self.add(entity, digest, number, ciphertext)
                fresh.append((entity, digest, number, ciphertext))
        return [self.numbers[entity, digest] for entity, digest, _ in sealed], fresh

    def spell(self, items: Sequence[Spelling], places: Sequence[int] = ()) -> list[tuple[int, bytes, bytes]]:
        """Add spellings, with the place of each; returns the new spellings: (number, digest, ciphertext)."""
        fresh = []
        for at, (digest, ciphertext) in enumerate(items):
            if digest not in self.spellings:
                self.put(self.newest + 1, digest, ciphertext, places[at] if places else None)
                fresh.append((self.newest, digest, ciphertext))
        return fresh

    def put(self, number: int, digest: bytes, ciphertext: bytes, place: int | None = None) -> None:
        """Add the next spelling under its number; the oldest spellings are dropped to make room."""
        if place is None or self.places is None or len(self.places) >= SPELLINGS:
            self.places = None
        else:
            self.places[place] = digest
        self.spellings[digest] = ciphertext
        self.newest = number
        self.size += len(ciphertext)
        self.weight += _SPELLING + len(ciphertext)
        while len(self.spellings) > SPELLINGS or self.size > SPELLINGS_SIZE:
            oldest = self.spellings.pop(next(iter(self.spellings)))
            self.size -= len(oldest)
            self.weight -= _SPELLING + len(oldest)


class Vaults:
    """The vaults in memory by (team, correlation id): at most `most` bytes, besides those that are not yet written.

    The least recently used are dropped first, and read again when needed. `written`: whether a mark is on disk.
    """

    def __init__(self, written: Callable[[int], bool], most: int = MOST) -> None:
        self._written = written
        self._most = most
        self._vaults: dict[tuple[str, str], Vault] = {}
        self.size = 0
        """Bytes of all."""

    def __len__(self) -> int:
        return len(self._vaults)

    def take(self, name: tuple[str, str]) -> Vault | None:
        """The vault of a workflow, which is the most recently used from then on."""
        vault = self._vaults.pop(name, None)
        if vault is not None:
            self._vaults[name] = vault
        return vault

    def put(self, name: tuple[str, str], vault: Vault) -> None:
        """Keep a vault that is new or was changed."""
        before = self._vaults.get(name)
        if before is not vault:
            self.size -= before.counted if before is not None else 0
            self._vaults[name] = vault
        self.size += vault.weight - vault.counted
        vault.counted = vault.weight
        if self.size > self._most:
            self._evict()

    def drop_ended(self, now: int) -> None:
        """Drop vaults whose time is over."""
        for name in [name for name, it in self._vaults.items() if it.ends < now and self._written(it.mark)]:
            self._drop(name)

    def _evict(self) -> None:
        for name in list(islice(self._vaults, _TRIES)):
            if self.size > self._most and self._written(self._vaults[name].mark):
                self._drop(name)

    def _drop(self, name: tuple[str, str]) -> None:
        gone = self._vaults.pop(name)
        self.size -= gone.counted
        gone.counted = 0
