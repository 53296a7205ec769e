"""Payment cards: 12 to 19 digits of an issuer's range whose Luhn sum holds, written in any of the usual ways.

Presidio wants groups of four with a blank or a dash, at most 16 digits, and takes any first digit of 1, 3, 4, 5, 6.
Here the issuer's prefix decides how long a number is, so that timestamps and ids of databases are none, and separators
may be blanks of any width, dashes, dots, slashes or none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

import regex

from gateway.budget import spend
from gateway.detect.core.index import Expression
from gateway.detect.core.neighbours import Near
from gateway.detect.core.rules import Rule

_GAP: Final = r"[ \t\r\n\u00a0\u2002-\u200a\u202f./_‐‑‒–—-]"
_INDEXED: Final = rf"\b\d(?:{_GAP}*\d){{11,}}\b"
_GAPS: Final = regex.compile(rf"{_GAP}+")
_NOT_DIGITS: Final = regex.compile(r"\D+")
_GROUPS: Final = regex.compile(r"\d+")
_POINT: Final = regex.compile(r"\d[.,]")
_SHORTEST: Final = 12
_LONGEST: Final = 19
_WIDEST: Final = 3  # characters between two groups
_ZERO: Final = ord("0")
_IDS: Final = frozenset({12, 13, 17, 18, 19})  # digits of ids and times
_EMBOSSED: Final = ((4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3))
_NEAR: Final = 5  # words between a word for a card and its number
_FAR: Final = 99
_near: Final = Near(
    {
        "card": (
            *(
                "card",
                "cards",
                "credit card",
                "debit card",
                "card number",
                "cardnumber",
                "creditcard",
                "pan",
                "cc",
                "visa",
            ),
            *("mastercard", "maestro", "unionpay", "amex", "discover", "jcb", "diners", "rupay", "mir", "kreditkarte"),
            *(
                "karte",
                "kartennummer",
                "carte",
                "tarjeta",
                "carta",
                "cartão",
                "kaart",
                "kort",
                "kortti",
                "karta",
                "kártya",
            ),
            *("карта", "карты", "κάρτα", "kart", "卡号", "信用卡", "カード", "카드", "charge", "payment", "pay"),
        )
    }
)
_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")  # twice the digit, less nine where that is above nine
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
    plain = digits.encode()
    odd, even = plain[-1::-2], plain[-2::-2].translate(_DOUBLED)
    return (sum(odd) + sum(even) - _ZERO * len(plain)) % 10 == 0


def is_card(digits: str) -> bool:
    """Whether ASCII digits are a number that some network gives out."""
    return bool(_ISSUED.fullmatch(digits)) and luhn(digits)


def _plain(text: str) -> str:
    """The digits of a text, each as the ASCII one of its value; one that this Python does not know is none."""
    digits = _NOT_DIGITS.sub("", text)
    if digits.isascii():
        return digits
    return "".join(str(unicodedata.digit(digit, "x")) for digit in digits)


def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
    """The cards in a stretch of digits and gaps: the longest that begins at a group of digits, then the next."""
    groups = []
    for match in _GROUPS.finditer(text, start, end):
        spend(1)
        groups.append(match.span())
    digits = _plain(text[start:end])
    found = [(start, end, 0.0)]
    first = at = 0  # a group, and how many digits stand before it
    while first < len(groups):
        spend(2)
        last = _card(text, groups, first, digits, at)
        if last is not None:
            found.append((groups[first][0], groups[last][1], 1.0))
        beyond = first + 1 if last is None else last + 1
        at += sum(high - low for low, high in groups[first:beyond])
        first = beyond
    return found


def _card(text: str, groups: Sequence[tuple[int, int]], first: int, digits: str, at: int) -> int | None:
    """The last group of the longest card that begins with the group `first`, whose digits begin at `at`.

    Groups are those of one number if all are of one size, or all but the last have three to eight digits: else they
    are one number and the next.
    """
    low, high = groups[first]
    size = high - low
    total, alike, usual = 0, True, True
    best = before = None
    for last in range(first, min(first + _LONGEST, len(groups))):
        start, end = groups[last]
        if before is not None and (start - before > _WIDEST or _GAPS.fullmatch(text, before, start) is None):
            break
        before = end
        here = end - start
        total += here
        if total > _LONGEST:
            break
        alike = alike and here == size
        if (
            total >= _SHORTEST
            and (alike or usual)
            and is_card(digits[at : at + total])
            and not (last == first and _decimal(text, low, end))
            and not (last == first and _unsure(text, low, total))
            and not (last > first and _column(text, groups, first, last))
        ):
            best = last
        usual = usual and 3 <= here <= 8
        if not (alike or usual):
            break
    return best


def _unsure(text: str, low: int, total: int) -> bool:
    """Whether digits without a break are of a length that ids and times have more often, and no word says card."""
    return (total in _IDS) and _near.keys(text, low).get("card", _FAR) > _NEAR


def _column(text: str, groups: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    """Whether groups with tabs or line ends between are cells of a table: not as on a card, or more of them beside."""
    gaps = {text[groups[at][1] : groups[at + 1][0]] for at in range(first, last)}
    if not any(sign in gap for gap in gaps for sign in "\t\r\n"):
        return False
    sizes = tuple(high - low for low, high in groups[first : last + 1])
    if len(gaps) > 1 or sizes not in _EMBOSSED:
        return True
    gap = gaps.pop()
    before = first > 0 and text[groups[first - 1][1] : groups[first][0]] == gap
    after = last + 1 < len(groups) and text[groups[last][1] : groups[last + 1][0]] == gap
    return before or after


def _decimal(text: str, low: int, high: int) -> bool:
    """Whether the digits are one side of a decimal point."""
    before, after = text[max(0, low - 2) : low], text[high : high + 2]
    return bool(_POINT.fullmatch(before) or _POINT.fullmatch(after[::-1]))


def rule() -> Rule:
    """The rule for cards."""
    return Rule("CREDIT_CARD", "CreditCardRecognizer", Expression(_INDEXED), find)
