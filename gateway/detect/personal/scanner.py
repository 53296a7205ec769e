"""Personal data that patterns can find: e-mail addresses, phone numbers, cards, bank accounts, wallets, national
numbers, dates of birth, streets, IP and MAC addresses.

Config keys: `pii.regions`, `pii.countries`, `pii.score`, `pii.entities`. The rules are in `patterns`; an index selects
the stretches that they check, so text without personal data costs very little. The findings include all that Presidio
is sure of, without overlaps; `tests/scan/test_pii_scan.py` lists each difference with its reason.
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
"""Presidio's name of an entity -> the shorter name in the gateway."""

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
    """The gateway's name of an entity, in capitals; both names in `ALIASES` are accepted."""
    name = name.upper()
    return ALIASES.get(name, name)


def entities() -> frozenset[str]:
    """The names of all entities that are found."""
    return _GENERAL | {identity.entity for identity in IDENTITIES}


class PiiScanner:
    """Finds personal data. Immutable, shared between threads.

    `regions`: where phone numbers without a country code may be from. `countries`: whose national numbers are searched
    for (ISO 3166; None: all that are supported). `score`: minimum score of a finding, 0 to 1. `scores`: the same for
    single types. `cache_dir`: directory of compiled patterns (None: compiled at every start). `own`: the custom
    recognizers and the allowed values. Raises ValueError for a region that does not exist.
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
        # Usually the rules are compiled together with others, and this set is not needed.
        return RuleSet(self.rules, self.score, self.cache_dir, scores=self.scores)

    def prepared(self) -> RuleSet:
        """The rules alone, compiled."""
        return self._set

    def scan(self, text: str) -> list[Finding]:
        """All findings, sorted by place, none overlapping."""
        return self._set.scan(text)

    def keep(self, text: str, findings: Sequence[Finding]) -> list[Finding]:
        """Findings of other scanners, without allowed values and without those whose score is too low."""
        sure = [one for one in findings if one.score >= self.scores.get(one.entity, 0)]
        return self._allowed.without(text, sure) if self._allowed and sure else sure

    def bare(self, text: str) -> list[Finding]:
        """The same without undoing disguises."""
        return self._set.bare(text)
