"""The numbers of values in the vault of a workflow, in memory. No IO, no clock, no plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.stores import Sealed, Unsealed


@dataclass(slots=True)
class Vault:
    """The sealed values of a workflow. They expire together after `ends` (microseconds), so numbers stay stable."""

    ends: int = 0
    mark: int = 0
    numbers: dict[tuple[str, bytes], int] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    items: list[Unsealed] = field(default_factory=list)

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
