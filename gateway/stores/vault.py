"""The vault of one workflow in memory: the number of each value, and how models spelled the values that were restored.

No IO, no clock, no plaintext.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.stores import SPELLINGS, SPELLINGS_SIZE, Sealed, Spelling, Unsealed


@dataclass(slots=True)
class Vault:
    """The sealed values of a workflow. A vault is dropped as a whole, so that numbers are stable.

    `first` is when the record of the workflow began, in microseconds; 0 without a record. `ends` is when a vault
    without a record is dropped. `spellings`: digest -> (number, ciphertext), the oldest first; numbers count from 1.
    `places`: place -> digest; None if a spelling has no place, because another process has kept it.
    """

    ends: int = 0
    mark: int = 0
    first: int = 0
    numbers: dict[tuple[str, bytes], int] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    items: list[Unsealed] = field(default_factory=list)
    spellings: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    places: dict[int, bytes] | None = field(default_factory=dict)
    newest: int = 0
    size: int = 0

    def alive(self, first: int, now: int) -> bool:
        """Whether this is the vault of the workflow whose record began at `first` (0: there is no record now)."""
        return self.first == first if first and self.first else self.ends >= now

    def add(self, entity: str, digest: bytes, number: int, ciphertext: bytes) -> None:
        """Add a value under its number."""
        self.numbers[entity, digest] = number
        self.highest[entity] = max(number, self.highest.get(entity, 0))
        self.items.append((entity, number, ciphertext))

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
        self.spellings[digest] = (number, ciphertext)
        self.newest = number
        self.size += len(ciphertext)
        while len(self.spellings) > SPELLINGS or self.size > SPELLINGS_SIZE:
            _, oldest = self.spellings.pop(next(iter(self.spellings)))
            self.size -= len(oldest)
