"""Personal data that patterns reach: e-mail, phone, cards, bank accounts, wallets, national numbers, dates of birth,
streets, addresses of machines.

Config keys: `pii.regions`, `pii.countries`, `pii.score`, `pii.entities`. `patterns` says which rules there are; an
index in front of them says where they need to look, so that text without personal data costs next to nothing. All that
Presidio is sure of, and more, overlaps settled; `tests/scan/test_pii_scan.py` lists each difference with its reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.detect.core.rules import Family, Rule, RuleSet
from gateway.detect.personal.emails import is_address
from gateway.detect.personal.identities import IDENTITIES, countries
from gateway.detect.personal.patterns import pii_rules
from gateway.detect.personal.recognizers import Own
from gateway.detect.unmask.spelled import spelled
from gateway.texts import Finding

__all__ = ["ALIASES", "PiiScanner", "canonical", "countries", "entities"]

ALIASES: Final = {"EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE"}
"""Presidio's names of entities that go by a shorter one here."""

_GENERAL: Final = frozenset(
    {
        "CREDIT_CARD",
        "CRYPTO",
        "DATE_OF_BIRTH",
        "EMAIL",
        "IBAN_CODE",
        "IP_ADDRESS",
        "MAC_ADDRESS",
        "PHONE",
        "STREET_ADDRESS",
        "URL_CREDENTIALS",
    }
)


def canonical(name: str) -> str:
    """The name an entity goes by here, in capitals: both spellings of `ALIASES` are taken."""
    name = name.upper()
    return ALIASES.get(name, name)


def entities() -> frozenset[str]:
    """The names of all entities that are found."""
    return _GENERAL | {identity.entity for identity in IDENTITIES}


class PiiScanner:
    """Finds personal data. Immutable, shared between threads.

    `regions` are where phone numbers without a country code may be from, `countries` whose national numbers are looked
    for (ISO 3166; None: of all that are known); `score`, 0 to 1, is what a finding
    needs at least; `cache_dir` keeps the compiled patterns (None: compiled at every start). Raises ValueError for a
    region that does not exist. `own` are the users' recognizers, and what they want spared; `scores` say for some types
    what a finding needs instead.
    """

    def __init__(
        self,
        regions: Sequence[str],
        score: float,
        cache_dir: Path | None = None,
        countries: Collection[str] | None = None,
        own: Own | None = None,
        scores: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.score = score
        self.scores = scores
        self.cache_dir = cache_dir
        rules: tuple[Rule | Family, ...] = (*pii_rules(regions, countries), spelled(is_address))
        self.rules = own.spare(rules) if own else rules
        self._allowed = own.allowed if own else None
        self.own_types: frozenset[str] = own.entities if own else frozenset()

    @cached_property
    def _set(self) -> RuleSet:
        # Mostly the rules are searched for together with others.
        return RuleSet(self.rules, self.score, self.cache_dir, scores=self.scores)

    def prepared(self) -> RuleSet:
        """The rules by themselves, compiled."""
        return self._set

    def scan(self, text: str) -> list[Finding]:
        """All findings, sorted by place, none overlapping."""
        return self._set.scan(text)

    def keep(self, text: str, findings: Sequence[Finding]) -> list[Finding]:
        """What others found in a text, less what is allowed and what is too unsure."""
        sure = [one for one in findings if one.score >= self.scores.get(one.entity, 0)]
        return self._allowed.without(text, sure) if self._allowed and sure else sure

    def bare(self, text: str) -> list[Finding]:
        """The same without undoing disguises."""
        return self._set.bare(text)
