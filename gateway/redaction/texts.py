"""Facts about text parts, cached by content hash, because agents resend the whole conversation with every turn.

Only new text is scanned and counted. Values contain offsets, never text. The cache has two generations: a text that
occurs again moves to the younger generation, and when that is full, the older one is dropped. So a text stays as long
as conversations resend it, at the cost of two look-ups.

Keys are Python's own hash of the text: SipHash-1-3 with a random secret of this process (PEP 456), so nobody can
construct a harmful text with the hash of a harmless one, and two texts collide by accident with probability 2^-64. If
the secret is switched off (PYTHONHASHSEED), keys are SHA-256 digests, which are three times as slow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Sequence
from hashlib import sha256
from typing import Generic, TypeVar

from gateway.texts import Finding, Slot, after, lead_of


def _digested(named: tuple[str, str]) -> Hashable:
    team, text = named
    return sha256(f"{len(team)}:{team}{text}".encode("utf-8", "surrogatepass")).digest()


def _secret_is_random() -> bool:
    return sys.hash_info.algorithm.startswith("siphash") and os.environ.get("PYTHONHASHSEED", "random") == "random"


# By (team, text): a text that only another team sent is new, so response times do not reveal that it was sent.
hashed: Callable[[tuple[str, str]], Hashable] = hash if _secret_is_random() else _digested


def _digest_of_two(keys: tuple[Hashable, Hashable]) -> Hashable:
    return sha256(b"".join(key for key in keys if type(key) is bytes)).digest()


chained: Callable[[tuple[Hashable, Hashable]], Hashable] = hash if _secret_is_random() else _digest_of_two
"""The key of two texts in this order, from the keys of each."""


_PLAIN = frozenset({str, int, type(None)})  # types of keys without words before their text


def _led(team: str, slot: Slot) -> Hashable:
    """The key of a text that may have words before it."""
    lead, text = lead_of(slot[1]), slot[2]
    return chained((hashed((team, lead)), hashed((team, text)))) if lead else hashed((team, text))


V = TypeVar("V")
Found = tuple[Slot, Sequence[Finding]]


class Generations(Generic[V]):
    """A bounded map by content hash (see the module). Callers look in `young` first."""

    __slots__ = ("_old", "_size", "young")

    def __init__(self, size: int = 32_768) -> None:
        self._size = size
        self.young: dict[Hashable, V] = {}
        self._old: dict[Hashable, V] = {}

    def recall(self, key: Hashable) -> V | None:
        """The value from either generation, which is moved to the younger one."""
        value = self.young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.keep(key, value)
        return value

    def peek(self, key: Hashable) -> V | None:
        """The value, which stays in its generation: safe in any thread."""
        value = self.young.get(key)
        return self._old.get(key) if value is None else value

    def keep(self, key: Hashable, value: V) -> None:
        """Store a value."""
        if len(self.young) >= self._size:
            self._old, self.young = self.young, {}
        self.young[key] = value


class Texts:
    """Bounded maps from a text to its findings, and to its tokens, which few calls need (see `InputTokens`).

    `counted`: tokens are needed before the call leaves. `ready`: whether the table of tokens is there.
    """

    def __init__(
        self,
        count: Callable[[str], int],
        scan: Callable[[str], Sequence[Finding]] | None,
        *,
        counted: bool = True,
        size: int = 32_768,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.count = count
        self.ready = ready
        self._scan = scan
        self.counted = counted
        self._kept: Generations[Sequence[Finding]] = Generations(size)
        self._tokens: Generations[int] = Generations(size)

    def fresh(self, slots: Sequence[Slot], team: str = "") -> int:
        """The number of characters of new texts."""
        known = self._kept.young
        plain = _PLAIN
        return sum(
            [
                len(slot[2])
                for slot in slots
                if (hashed((team, slot[2])) if type(slot[1]) in plain else _led(team, slot)) not in known
            ]
        )

    def find(self, slots: Sequence[Slot], team: str = "") -> list[Found]:
        """The slots with findings."""
        if self._scan is None:
            return []
        known, found, plain = self._kept.young, [], _PLAIN
        for slot in slots:
            text = slot[2]
            key = hashed((team, text)) if type(slot[1]) in plain else _led(team, slot)
            findings = known.get(key)
            if findings is None:
                findings = self._recall(key, text, lead_of(slot[1]), self._scan)
            if findings:
                found.append((slot, findings))
        return found

    def _recall(
        self, key: Hashable, text: str, lead: str, scan: Callable[[str], Sequence[Finding]]
    ) -> Sequence[Finding]:
        """The findings from the older generation, or searched for now."""
        findings = self._kept.recall(key)
        if findings is None:
            findings = (after(lead, text, scan) if lead else scan(text)) or ()
            self._kept.keep(key, findings)
        return findings

    def tokens(self, slots: Sequence[Slot], team: str = "") -> int:
        """The tokens of all slots together."""
        total = 0
        for slot in slots:
            key = hashed((team, slot[2]))
            counted = self._tokens.recall(key)
            if counted is None:
                counted = self.count(slot[2])
                self._tokens.keep(key, counted)
            total += counted
        return total
