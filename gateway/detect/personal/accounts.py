"""Bank accounts: IBANs in any case and with any separators.

Presidio requires capitals and groups of four. Here the checksum (mod 97, ISO 7064) and the length of the country (the
IBAN registry of SWIFT) decide, so text after an IBAN and a blank is never taken as part of the IBAN.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

import regex

from gateway.budget import spend
from gateway.detect.core.index import Expression
from gateway.detect.core.rules import Rule

_LENGTHS: Final = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FK FI FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "AO CV LY MZ PT ST",
        26: "DZ IS TR",
        27: "BF BI CM DJ FR GR IT MC MG MR SM CF CG GA GW TD",
        28: "AL AZ BJ BY CY DO GT HN HU LB NI PL SV CI BF ML SN TG NE",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}
# An underscore before or behind an account begins another word: the checksum leaves no doubt.
_SOURCE: Final = r"(?:\b|_)(?:[A-Za-z]{2}|[A-Z]{2}[ \t-])\d{2}(?:[ \t\r\n./\u00a0\u202f–-]{0,2}[A-Za-z0-9]){11,30}"
_INDEXED: Final = r"(?:\b|_)(?:[A-Za-z]{2}|[A-Z]{2}[ \t-])\d{2}[ \t\r\n./\u00a0\u202f–-]{0,2}[A-Za-z0-9]"
_LONGEST: Final = 100
_JUDGED: Final = 10  # microseconds per candidate
_START: Final = regex.compile(
    r"(?<![^\W_])(?:(?P<country>[A-Za-z]{2})|(?P<apart>[A-Z]{2})[ \t-])\d{2}"
    r"(?=[ \t\r\n./\u00a0\u202f–-]{0,2}[A-Za-z0-9])"
)
_WRITTEN: Final = regex.compile(r"[A-Za-z0-9](?:[ \t\r\n./\u00a0\u202f–-]{0,2}[A-Za-z0-9])*")
_SIGN: Final = regex.compile(r"[A-Za-z0-9]")


def mod97(value: str) -> bool:
    """Whether ASCII letters and digits in the order of an IBAN leave 1 after division by 97."""
    return int("".join(str(int(sign, 36)) for sign in value[4:] + value[:4])) % 97 == 1


def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
    """The IBANs in a stretch."""
    found = []
    limit = min(len(text), end + _LONGEST)  # the index reports where an IBAN begins
    for begin in _START.finditer(text, start, limit):
        if begin.start() >= end:
            break
        spend(_JUDGED)
        length = _LENGTHS.get((begin["country"] or begin["apart"]).upper())
        if length is None:
            continue
        signs = [match.start() for match in islice(_SIGN.finditer(text, begin.start(), limit), length)]
        if len(signs) < length:
            continue
        last = signs[-1] + 1
        if last < len(text) and text[last].isalnum():
            continue
        written = _WRITTEN.fullmatch(text, begin.start(), last)
        if written and mod97("".join(text[at] for at in signs)):
            found.append((begin.start(), last, 1.0))
    return found


def rule() -> Rule:
    """The rule for IBANs."""
    return Rule("IBAN_CODE", "IbanRecognizer", Expression(_SOURCE, 0, _INDEXED, _SOURCE), find)
