"""Payment cards: 12 to 19 digits of an issuer's range with a valid Luhn checksum, written in any of the usual ways.

Presidio requires groups of four with a blank or a dash, at most 16 digits, and accepts the first digits 1, 3, 4, 5, 6.
Here the issuer's prefix determines the length, so that timestamps and database ids are not reported. Separators may be
blanks of any width, dashes, dots or slashes, and may be absent.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

import regex

from gateway.budget import spend
from gateway.detect.core.index import Expression
from gateway.detect.core.neighbours import Near
from gateway.detect.core.rules import Rule

_GAP: Final = r"[ \t\r\n\u00a0\u2002-\u200a\u202f./_‐‑‒–—-]"
_INDEXED: Final = rf"(?<![^\W_])\d(?:{_GAP}*\d){{11,}}(?:\b|_)"
_GAPS: Final = regex.compile(rf"{_GAP}+")
_NOT_DIGITS: Final = regex.compile(r"\D+")
_GROUPS: Final = regex.compile(r"\d+")
_FRACTION: Final = regex.compile(r"(?:(?:\A|[\d\s+,(=:-])\.|(?<!\d)0,)\Z")  # before the digits of a decimal
_WHOLE: Final = regex.compile(r"\.0+(?![\d.])")  # after the digits of a whole number that was written as a fraction
_DECIMAL: Final = re.compile(r"[0-9]{1,2}\.[0-9]{10,}")  # its groups are of two sizes, and the second is a fraction
_SHORTEST: Final = 12
_LONGEST: Final = 19
_WIDEST: Final = 3  # characters between two groups
_ZERO: Final = ord("0")
_IDS: Final = frozenset({12, 13, 17, 18, 19})  # lengths that ids and timestamps also have
_EMBOSSED: Final = ((4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3))
_USUAL: Final = frozenset({*_EMBOSSED, (8, 8), (6, 10), (6, 6, 4), (4, 4, 8), (4, 8, 4), (8, 4, 4), (4, 12), (6, 13)})
"""Sizes of the groups of a card. Digits in other groups, such as versions, need a word for a card before them."""
_NEAR: Final = 5  # maximum words between a word for a card and its number
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
# Maestro and similar networks (RuPay, Elo, Verve, Dankort) in their long and short forms, Mir, Troy.
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
    """Whether the Luhn checksum of ASCII digits is valid."""
    plain = digits.encode()
    odd, even = plain[-1::-2], plain[-2::-2].translate(_DOUBLED)
    return (sum(odd) + sum(even) - _ZERO * len(plain)) % 10 == 0


def is_card(digits: str) -> bool:
    """Whether ASCII digits are a possible number of a card network."""
    return bool(_ISSUED.fullmatch(digits)) and luhn(digits)


def _plain(text: str) -> str:
    """The digits of a text as ASCII; digits that are too new for this version of Python are left out."""
    digits = _NOT_DIGITS.sub("", text)
    if digits.isascii():
        return digits
    return "".join(str(unicodedata.digit(digit, "x")) for digit in digits)


def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
    """The cards in a stretch of digits and gaps, from left to right, the longest at each place."""
    if _DECIMAL.fullmatch(text, start, end) is not None:
        return [(start, end, 0.0)]
    groups = []
    for match in _GROUPS.finditer(text, start, end):
        spend(1)
        groups.append(match.span())
    digits = _plain(text[start:end])
    found = [(start, end, 0.0)]
    first = at = 0  # index of a group, and the number of digits before it
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

    None if there is no card. The groups of a card have the sizes that cards have, and one kind of separator. After a
    word for a card all groups may also have one size, or all but the last three to eight digits, with any gaps except
    those of versions and decimals. Anything else is a sequence of separate numbers.
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
            and _written(text, groups, first, last)
        ):
            best = last
        usual = usual and 3 <= here <= 8
        if not (alike or usual):
            break
    return best


def _written(text: str, groups: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    """Whether digits are written like a card, and are not part of a table, a version or a decimal."""
    low, high = groups[first][0], groups[last][1]
    before = text[low - 1 : low]
    if before.isascii() and before.isalnum():
        return False
    if first == last and _in_name(text, low, high) and _near.keys(text, low).get("card") != 0:
        return False  # digits of an identifier, unless the word before them is a card (`card_4539148803436467`)
    total = sum(end - start for start, end in groups[first : last + 1])
    if _fraction(text, low, high):
        return False
    if first == last:
        return total not in _IDS or _named(text, low)
    gaps = {text[groups[at][1] : groups[at + 1][0]] for at in range(first, last)}
    if any(sign in gap for gap in gaps for sign in "\t\r\n"):
        return len(gaps) == 1 and _sizes(groups, first, last) in _EMBOSSED and not _column(text, groups, first, last)
    kinds = {_kind(gap) for gap in gaps}
    sizes = _sizes(groups, first, last)
    if len(kinds) > 1 and not (kinds <= _MIXED and sizes in _USUAL):
        return "." not in kinds and _named(text, low)
    if sizes in _USUAL and not _column(text, groups, first, last):
        return True
    if total not in _IDS and set(sizes) == {1} and (first, last) == (0, len(groups) - 1):
        return True  # single digits, with no other digits around them
    return _named(text, low)


def _in_name(text: str, low: int, high: int) -> bool:
    """Whether underscores join digits to a word before or behind them; `_4539148803436467_` is emphasized."""
    before, after = text[max(0, low - 4) : low], text[high : high + 4]
    return (before.endswith("_") and before.rstrip("_")[-1:].isalnum()) or (
        after.startswith("_") and after.lstrip("_")[:1].isalpha()
    )


def _sizes(groups: Sequence[tuple[int, int]], first: int, last: int) -> tuple[int, ...]:
    return tuple(high - low for low, high in groups[first : last + 1])


def _kind(gap: str) -> str:
    """The separator in a gap, without the blanks around it; all dashes are one kind."""
    sign = gap.strip()[:1]
    return "-" if sign in _DASHES else sign


_MIXED: Final = frozenset({"", "-"})  # separators that people mix in the groups of a card: blanks and dashes
_DASHES: Final = frozenset("-‐‑‒–—")


def _named(text: str, low: int) -> bool:
    return _near.keys(text, low).get("card", _FAR) <= _NEAR


def _column(text: str, groups: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    """Whether the groups are cells of a row or column, with further groups next to them in the same way.

    With blanks or separators between them, two further groups of the size of the last are needed that are not a card.
    """
    gap = text[groups[first][1] : groups[first + 1][0]]
    size = groups[last][1] - groups[last][0]
    broken = any(sign in gap for sign in "\t\r\n")

    def beside(at: int, step: int) -> int:
        count = 0
        while 0 <= at + step < len(groups) and count < len(_EMBOSSED[0]):
            one, other = sorted((at, at + step))
            here = groups[at + step]
            if text[groups[one][1] : groups[other][0]] != gap or (not broken and here[1] - here[0] != size):
                break
            at, count = at + step, count + 1
        return count

    further = beside(first, -1) + beside(last, 1)
    if broken or further < 2:
        return broken and further > 0
    four = len(_EMBOSSED[0])
    others = groups[last + 1 : last + 1 + four], groups[max(0, first - four) : first]
    return not any(is_card("".join(_plain(text[low:high]) for low, high in one)) for one in others)


def _fraction(text: str, low: int, high: int) -> bool:
    """Whether the digits begin or end on one side of a decimal point."""
    value = text[low:high]
    if (value.isdigit() or "." in value) and _FRACTION.search(text, max(0, low - 3), low):
        return True
    if "." in value and text[low - 1 : low] == ".":
        return True
    after = text[high : high + 2]
    if len(after) < 2 or after[0] != "." or not after[1].isdigit():
        return False
    return "." in value or _WHOLE.match(text, high) is None


def rule() -> Rule:
    """The rule for cards."""
    return Rule("CREDIT_CARD", "CreditCardRecognizer", Expression(_INDEXED), find)
