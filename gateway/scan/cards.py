"""Payment cards: 12 to 19 digits of an issuer's range whose Luhn sum holds, written in any of the usual ways.

Presidio wants groups of four with a blank or a dash, at most 16 digits, and takes any first digit of 1, 3, 4, 5, 6.
Here the issuer's prefix decides how long a number is, so that timestamps and ids of databases are none, and separators
may be blanks of any width, dashes, dots, slashes or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import regex

from gateway.scan.index import Expression
from gateway.scan.rules import Rule

_GAP: Final = r"[ \u00a0\u2002-\u200a\u202f./_‐‑‒–—-]"
_INDEXED: Final = rf"\b\d(?:{_GAP}*\d){{11,}}\b"
_NOT_DIGITS: Final = regex.compile(r"\D+")
_GROUPS: Final = regex.compile(r"\d+")
_POINT: Final = regex.compile(r"\d[.,]")
_SHORTEST: Final = 12
_LONGEST: Final = 19
_WIDEST: Final = 3  # characters between two groups
# Prefix and length by network, in this order: Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay,
# Maestro and its kin (RuPay, Elo, Verve, Dankort) in full and in short, Mir, Troy.
_ISSUED: Final = regex.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"
    r"|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}"
    r"|30[0-59]\d{11}|3095\d{10,15}|3[689]\d{12,17}"
    r"|(?:6011|64[4-9]\d|65\d{2})\d{12,15}"
    r"|35\d{14,17}|(?:2131|1800)\d{11,12}"
    r"|(?:62|8[12])\d{14,17}"
    r"|(?:50|5[6-8]|6\d)\d{14,17}"
    r"|(?:50(?:18|20|38)|5[678]\d{2}|6304|6390|6759|676[1-3]|0604)\d{8,11}"
    r"|220[0-4]\d{12,15}|9792\d{12}"
)


def luhn(digits: str) -> bool:
    """Whether the Luhn sum of ASCII digits holds."""
    odd = digits[-1::-2]
    even = digits[-2::-2]
    return (sum(map(int, odd)) + sum(int("0246813579"[int(digit)]) for digit in even)) % 10 == 0


def is_card(digits: str) -> bool:
    """Whether ASCII digits are a number that some network gives out."""
    return bool(_ISSUED.fullmatch(digits)) and luhn(digits)


def _together(sizes: Sequence[int]) -> bool:
    """Whether groups of these sizes are how people write one number, and not one number and the next."""
    return len(set(sizes)) == 1 or all(3 <= size <= 8 for size in sizes[:-1])


def _plain(text: str, start: int, end: int) -> str:
    digits = _NOT_DIGITS.sub("", text[start:end])
    if digits.isascii():
        return digits
    try:
        return "".join(str(int(digit)) for digit in digits)
    except ValueError:  # a digit that Unicode knows and this Python does not yet
        return ""


def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
    """The cards in a stretch of digits and gaps: the longest that begins at a group of digits, then the next."""
    groups = [match.span() for match in _GROUPS.finditer(text, start, end)]
    found = [(start, end, 0.0)]
    first = 0
    while first < len(groups):
        last = _card(text, groups, first)
        if last is None:
            first += 1
        else:
            found.append((groups[first][0], groups[last][1], 1.0))
            first = last + 1
    return found


def _card(text: str, groups: Sequence[tuple[int, int]], first: int) -> int | None:
    """The last group of the longest card that begins with the group `first`."""
    low = groups[first][0]
    sizes: list[int] = []
    best = None
    for last in range(first, len(groups)):
        if last > first and groups[last][0] - groups[last - 1][1] > _WIDEST:
            break
        sizes.append(groups[last][1] - groups[last][0])
        total = sum(sizes)
        if total > _LONGEST:
            break
        high = groups[last][1]
        if total < _SHORTEST or not _together(sizes) or (last == first and _decimal(text, low, high)):
            continue
        if is_card(_plain(text, low, high)):
            best = last
    return best


def _decimal(text: str, low: int, high: int) -> bool:
    """Whether the digits are one side of a decimal point."""
    before, after = text[max(0, low - 2) : low], text[high : high + 2]
    return bool(_POINT.fullmatch(before) or _POINT.fullmatch(after[::-1]))


def rule() -> Rule:
    """The rule for cards."""
    return Rule("CREDIT_CARD", "CreditCardRecognizer", Expression(_INDEXED), find)
