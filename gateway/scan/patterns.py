"""Presidio's pattern recognizers as rules: their patterns, checksums and context words, none of their overhead.

The set is the one that Presidio loads for English text, less the entities in `LEFT_OUT`. Its e-mail recognizer would
fetch the public suffix list at first use; here the list that tldextract brings along serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import regex
from tldextract import TLDExtract

from gateway.scan.context import ContextWords
from gateway.scan.index import Expression
from gateway.scan.phones import Phones, island
from gateway.scan.rules import Find, Rule, RuleSet, finder
from gateway.scan.slim import (
    EmailRecognizer,
    IbanRecognizer,
    Pattern,
    PatternRecognizer,
    PhoneRecognizer,
    RecognizerRegistry,
)

LEFT_OUT: Final = {
    "URL": "an address of a web page is not personal data",
    "DATE_TIME": "a date by itself is not personal data",
    "UUID": "tools, traces and tool calls go by them, and nothing about them is personal",
}
_NAMES: Final = {"EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE"}

# Hyperscan finds this one of Presidio's patterns too large. Two to eight groups after colons: at least as much.
_OUTLINES: Final = {
    "IPv6": r"(?<![\w:])(?:[0-9A-Fa-f]{1,4})?(?::[0-9A-Fa-f]{0,4}){2,8}"
    r"(?:%[0-9a-zA-Z]+)?(?:/\d{1,3})?(?![\w:]|\.\d)"
}

_suffixes: Final = TLDExtract(cache_dir=None, suffix_list_urls=())


def is_address(text: str) -> bool:
    """Whether the name of a host ends in a public suffix, be it that of an address."""
    return bool(_suffixes(text).fqdn)


class _Email(EmailRecognizer):
    def validate_result(self, pattern_text: str) -> bool:
        return is_address(pattern_text)


def presidio_rules(regions: Sequence[str]) -> list[Rule]:
    """The rules for personal data; phone numbers as in `regions` (ISO 3166), or anywhere with a country code."""
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    rules: list[Rule] = []
    for recognizer in registry.recognizers:
        if recognizer.supported_entities[0] in LEFT_OUT:
            continue
        if isinstance(recognizer, PhoneRecognizer):
            rules.append(_phone_rule(recognizer, regions))
        elif isinstance(recognizer, PatternRecognizer):
            rules += _pattern_rules(recognizer)
    return rules


def _pattern_rules(recognizer: Any) -> Iterator[Rule]:
    entity = recognizer.supported_entities[0]
    context = ContextWords(recognizer.context) if recognizer.context else None
    judging = _Email() if isinstance(recognizer, EmailRecognizer) else recognizer
    flags = recognizer.global_regex_flags
    for pattern in recognizer.patterns:
        judge = _judge(judging, pattern)
        compiled = regex.compile(pattern.regex, flags)
        find = _iban_finder(compiled, judge) if isinstance(recognizer, IbanRecognizer) else finder(compiled, judge)
        outline = _OUTLINES.get(pattern.name, "")
        expression = Expression(pattern.regex, flags, outline, outline)
        yield Rule(_NAMES.get(entity, entity), recognizer.name, expression, find, context)


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


def _iban_finder(pattern: regex.Pattern[str], judge: Callable[[str], float]) -> Find:
    """Tries an IBAN with and without what may be the next word after it, as `IbanRecognizer` does."""

    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        found = []
        for match in pattern.finditer(text, start, min(len(text), end + RuleSet.MARGIN)):
            low = match.start()
            ends = [match.end(group) if match.end(group) > 0 else match.end() for group in (3, 2, 1)]
            scored = ((low, high, judge(text[low:high])) for high in ends)
            found.append((*match.span(), 0.0))
            found += [next((one for one in scored if one[2] > 0), (*match.span(), 0.0))]
        return found

    return find


def _phone_rule(recognizer: Any, regions: Sequence[str]) -> Rule:
    phones = Phones(regions)

    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        spans = phones.find(text, start, end)
        return [(start, end, 0.0), *((low, high, float(recognizer.SCORE)) for low, high in spans)]

    expression = Expression(island(3), regex.IGNORECASE, begun=island(1, "*"))
    return Rule("PHONE", recognizer.name, expression, find, ContextWords(recognizer.context), yields=True)
