"""The rules for personal data: which there are, put together from the modules that know one kind each.

Presidio's recognizers give the verdict wherever it has one, less the entities in `LEFT_OUT`. Where its patterns miss
what people write, or take what they do not, the rules are of this house: `cards`, `accounts`, `addresses`, `births`,
`links`, `telephones`, `wallets`. When a national number may speak is in `identities`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

import regex

from gateway.scan import accounts, addresses, births, broken, cards, links, machines, national, telephones, wallets
from gateway.scan.context import ContextWords
from gateway.scan.index import Expression
from gateway.scan.rules import Family, Rule, finder
from gateway.scan.slim import Pattern, predefined_recognizers

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
        *links.email_rules(),
        links.credentials_rule(),
        *wallets.rules(),
        accounts.rule(),
        *machines.rules(),
        *_pattern_rules(predefined_recognizers.MacAddressRecognizer()),
        births.rule(),
        *addresses.rules(),
        *numbers,
        *phones,
        broken.family(phones, [one for one in numbers if one.expression is national.DIGITS]),
    ]


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
