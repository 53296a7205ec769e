"""Phone numbers and national numbers with tabs or line ends between their groups, after a word that names them.

Cells of a table look the same, so no other group of digits may precede or follow the number in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import regex

from gateway.budget import spend
from gateway.detect.core.index import Expression
from gateway.detect.core.rules import Family, Match, Rule

_EXPRESSION: Final = Expression(r"\b\d[\d .-]{0,14}[\t\r\n]{1,2}\d[\d .\t\r\n-]{3,24}\b")
# Possessive, as each digit belongs to one group only: a column of numbers would otherwise be split in every way.
_GROUPS: Final = r"\d++(?:[ .-]\d++){0,5}+"
_RUN: Final = regex.compile(
    rf"(?<![\w.,/:+-])(?<!\d[\s.,/-]{{1,2}}){_GROUPS}(?:[\t\r\n]{{1,2}}+{_GROUPS}){{1,6}}+(?!\w)(?![\s.,/-]{{0,2}}\d)"
)
_BREAK: Final = regex.compile(r"[\t\r\n]{1,2}")
_FEWEST, _MOST = 7, 19  # digits
_LONGEST: Final = 40
_SURE: Final = 0.7
_NEXT: Final = 24  # characters before the number in which the word must be: further away there are other cells
_CUT: Final = regex.compile(r"\A\w+")
_NOT_GROUPS: Final = regex.compile(r"(?:19|20)\d\d-\d\d(?:-\d\d)?|\d{1,3}(?:\.\d{1,3})*\.\d{1,3}")  # a date, a version
_LOOKED: Final = 20  # microseconds that a number takes


def family(phones: Sequence[Rule], numbers: Sequence[Family]) -> Family:
    """A family that gives broken numbers to the rules for phone numbers and the families of national numbers."""

    def find(text: str, start: int, end: int) -> list[Match]:
        found = []
        for run in _RUN.finditer(text, start, end):
            if run.end() - run.start() <= _LONGEST and _FEWEST <= sum(map(str.isdigit, run.group())) <= _MOST:
                spend(_LOOKED)
                found += judged(text, *run.span())
        return found

    def judged(text: str, start: int, end: int) -> list[Match]:
        low = max(0, start - _NEXT)
        parts = _BREAK.split(text[start:end])
        if any(_NOT_GROUPS.fullmatch(part) for part in parts):
            return []
        before = text[low:start]
        if low and not text[low - 1].isspace():
            before = _CUT.sub("", before)  # a word that is cut in two is a different word
        plain = f"{before}{' '.join(parts)}"
        first, last = len(before), len(plain)
        matches = [match for rule in phones for match in rule.matches(plain, first, last)]
        matches += [match for one in numbers for match in one.matches(plain, first, last)]
        return [
            match._replace(start=start, end=end)
            for match in matches
            if match.score >= _SURE and (match.start, match.end) == (first, last)
        ]

    members = (*phones, *(rule for one in numbers for rule in one.members))
    return Family(_EXPRESSION, members, find)
