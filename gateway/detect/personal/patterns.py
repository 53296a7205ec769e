"""The rules for personal data: which there are, put together from the modules that know one kind each.

Presidio's recognizers give the verdict wherever it has one, less the entities in `LEFT_OUT`. Where its patterns miss
what people write, or take what they do not, the rules are of this house: `cards`, `accounts`, `addresses`, `births`,
`links`, `telephones`, `wallets`. When a national number may speak is in `identities`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import regex

from gateway.detect.core.context import ContextWords
from gateway.detect.core.index import Expression
from gateway.detect.core.rules import Family, Rule, finder
from gateway.detect.personal import (
    accounts,
    addresses,
    births,
    broken,
    cards,
    emails,
    ip_addresses,
    national,
    telephones,
    wallets,
)
from gateway.detect.personal.presidio import Pattern, predefined_recognizers

LEFT_OUT: Final = {
    "URL": "an address of a web page is not personal data",
    "DATE_TIME": "a date by itself is not personal data; a date of birth is, as DATE_OF_BIRTH",
    "UUID": "tools, traces and tool calls go by them, and nothing about them is personal",
    "DE_PLZ": "five digits beside a word like Ort: towns with their postcode belong to STREET_ADDRESS",
}


def pii_rules(regions: Sequence[str], countries: Collection[str] | None = None) -> list[Rule | Family]:
    """The rules for personal data.

    Phone numbers as in `regions` (ISO 3166), or anywhere with a country code; national numbers of `countries` (None:
    of all that there are).
    """
    numbers, phones = national.families(countries), telephones.rules(regions)
    return [
        cards.rule(),
        *emails.email_rules(),
        emails.credentials_rule(),
        *wallets.rules(),
        accounts.rule(),
        *ip_addresses.rules(),
        *map(_no_run, _pattern_rules(predefined_recognizers.MacAddressRecognizer())),
        births.rule(),
        *addresses.rules(),
        *numbers,
        *phones,
        broken.family(phones, [one for one in numbers if one.expression is national.DIGITS]),
    ]


# Weights of collation `[.42DC.0020.0011]`, and more than three groups: no address of hardware.
_RUN_BEFORE: Final = regex.compile(r"(?:\[|(?<![0-9A-Za-z])[0-9A-Fa-f]{2,4})\.\Z|\[\*\Z")
_RUN_AFTER: Final = regex.compile(r"\.[0-9A-Fa-f]{2,4}(?![0-9A-Za-z])")


def _no_run(rule: Rule) -> Rule:
    """The rule without dotted groups that are part of a longer run."""

    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        return [
            (low, high, 0.0 if score and "." in text[low:high] and _in_run(text, low, high) else score)
            for low, high, score in rule.find(text, start, end)
        ]

    return replace(rule, find=find)


def _in_run(text: str, low: int, high: int) -> bool:
    before = _RUN_BEFORE.search(text, max(0, low - 8), low)
    return before is not None or _RUN_AFTER.match(text, high) is not None


def _pattern_rules(recognizer: Any) -> Iterator[Rule]:
    entity = recognizer.supported_entities[0]
    context = ContextWords(recognizer.context) if recognizer.context else None
    flags = recognizer.global_regex_flags
    for pattern in recognizer.patterns:
        find = finder(regex.compile(pattern.regex, flags), _judge(recognizer, pattern))
        yield Rule(entity, recognizer.name, Expression(pattern.regex, flags), find, context)


def _judge(recognizer: Any, pattern: Pattern) -> Callable[[str], float]:
    """Scores as `PatternRecognizer` does: a checksum that holds is certain, one that fails rejects."""

    def judge(value: str) -> float:
        try:
            valid = recognizer.validate_result(value)
            if valid is False or recognizer.invalidate_result(value):
                return 0.0
        except ValueError:  # a digit that Unicode knows and this Python does not yet
            return 0.0
        return 1.0 if valid else float(pattern.score)

    return judge
