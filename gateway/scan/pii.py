"""Personal data that patterns reach: e-mail, phone, cards, bank accounts, national ids, addresses of machines.

Config keys: `pii.regions`, `pii.score`, `pii.entities`. Presidio's recognizers give the verdict (pattern, checksum,
context words); an index in front of them says where they need to look, so that text without personal data costs next to
nothing. Same findings as Presidio alone, overlaps settled; `tests/scan/test_pii_scan.py` lists each difference with its
reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.call import Finding
from gateway.scan.patterns import is_address, presidio_rules
from gateway.scan.rules import RuleSet
from gateway.scan.spelled import spelled

ALIASES: Final = {"EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE"}
"""Presidio's names of entities that go by a shorter one here."""

_ENTITIES: Final = frozenset(
    {
        "CREDIT_CARD",
        "CRYPTO",
        "EMAIL",
        "IBAN_CODE",
        "IP_ADDRESS",
        "MAC_ADDRESS",
        "MEDICAL_LICENSE",
        "PHONE",
        "UK_NHS",
        "US_BANK_NUMBER",
        "US_DRIVER_LICENSE",
        "US_ITIN",
        "US_PASSPORT",
        "US_SSN",
    }
)


def canonical(name: str) -> str:
    """The name an entity goes by here, in capitals: both spellings of `ALIASES` are taken."""
    name = name.upper()
    return ALIASES.get(name, name)


def entities() -> frozenset[str]:
    """The names of all entities that are found."""
    return _ENTITIES


class PiiScanner:
    """Finds personal data. Immutable, shared between threads.

    `regions` are where phone numbers without a country code may be from (ISO 3166); `score`, 0 to 1, is what a finding
    needs at least; `cache_dir` keeps the compiled patterns (None: compiled at every start). Raises ValueError for a
    region that does not exist.
    """

    def __init__(self, regions: Sequence[str], score: float, cache_dir: Path | None = None) -> None:
        self.score = score
        self.cache_dir = cache_dir
        self.rules = (*presidio_rules(regions), spelled(is_address))
        self._set = RuleSet(self.rules, score, cache_dir)

    def scan(self, text: str) -> list[Finding]:
        """All findings, sorted by place, none overlapping."""
        return self._set.scan(text)

    def bare(self, text: str) -> list[Finding]:
        """The same without undoing disguises."""
        return self._set.bare(text)
