"""Dates of birth: a date shortly after a word for birth, in many languages. A date alone is not personal data.

Dates are found in digits (any order, any of the usual separators) and with the names of months. The nearest word
decides: a date of issue after a date of birth is not reported.
"""

from __future__ import annotations

from datetime import date
from typing import Final

import regex

from gateway.budget import spend
from gateway.detect.core.index import Expression
from gateway.detect.core.neighbours import Near
from gateway.detect.core.rules import Rule, RuleSet

_SCORE: Final = 0.85
_JUDGED: Final = 20  # microseconds that a date takes
_REACH: Final = 7  # maximum words between a word for birth and the date
_MONTH: Final = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mai|maj|mei|okt|dez|des|mär|mrz|mrt|mae|fév|fev|avr|aoû|aou|déc|"
    r"ene|abr|ago|dic|gen|mag|giu|lug|set|ott|out|sty|lut|kwi|cze|lip|sie|wrz|paź|lis|gru|янв|фев|мар|апр|ма[йя]|июн|"
    r"июл|авг|сен|окт|ноя|дек|oca|şub|nis|haz|tem|ağu|eyl|eki|kas|ara|juin|juil)\w{0,9}"
)


def _source(month: str) -> str:
    return (
        r"\b(?<![\w./-])(?:"
        r"\d{1,2} ?[./-] ?\d{1,2} ?[./-] ?(?:19|20)?\d{2}"
        r"|(?:19|20)\d{2} ?[./-] ?\d{1,2} ?[./-] ?\d{1,2}"
        r"|\d{1,2} \d{1,2} (?:19|20)\d{2}"
        r"|(?:19|20)\d{2} ?[年년] ?\d{1,2} ?[月월] ?\d{1,2} ?[日일]"
        rf"|\d{{1,2}}(?:st|nd|rd|th|er|º|°|\.)?(?: (?:of|de|del))?[ /.-]?{month}[.,]?(?: (?:de|del))?[ /.-]{{0,2}}"
        r"(?:19|20)?\d{2}"
        rf"|{month}\.? \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d{{2}}"
        r")(?![\w/])(?![.-]\d)"
    )


_SOURCE: Final = _source(_MONTH)
# Matches at least as much, with few beginnings.
_BEGUN: Final = (
    r"\b(?:\d{1,4} ?[./-] ?\d{1,2} ?[./-] ?\d{1,4}|\d{1,2} \d{1,2} \d{2,4}"
    r"|\d{4} ?[年년] ?\d{1,2} ?[月월] ?\d{1,2} ?[日일]"
    r"|\d{1,2}[a-z]{0,2}[º°.]?(?: [a-z]{2,3})? ?[/.-]?\w{3,14}[.,]?(?: [a-z]{2,3})?[ /.-]{0,2}\d{2,4}"
    r"|\b\w{3,14}\.? \d{1,2}[a-z]{0,2},? \d{4})"
)
BIRTH: Final = (
    *("dob", "d o b", "date of birth", "birth date", "birthdate", "birthday", "bday", "born", "birth", "birth day"),
    *("geboren", "geburtsdatum", "geb", "geburtstag", "geboortedatum", "geboren op", "né", "née", "né e", "naissance"),
    *("nacimiento", "nacido", "nacida", "nació", "cumpleaños", "nascita", "nato", "nata", "compleanno", "nascimento"),
    *("nascido", "nascida", "nasceu", "aniversário", "födelsedatum", "född", "född den", "fødselsdato", "født"),
    *("fødselsdag", "syntymäaika", "syntynyt", "urodzenia", "urodzony", "urodzona", "narození", "narozen", "narozena"),
    *("születési", "született", "születésnap", "doğum", "doğum tarihi", "doğumlu", "дата рождения", "рождения"),
    *("родился", "родилась", "народження", "γέννησης", "γεννήσεως", "生年月日", "誕生日", "生まれ", "生日", "出生"),
    *("생년월일", "생일", "วันเกิด", "ngày sinh", "lahir", "tanggal lahir", "जन्म", "जन्मतिथि", "data nasterii", "născut"),
)
"""Words for a birth, and names of its date."""
_OTHER: Final = (
    *("issued", "issue", "expires", "expiry", "expiration", "valid", "hired", "joined", "created", "updated", "due"),
    *("since", "died", "deceased", "death", "married", "admitted", "visit", "appointment", "deadline", "ausgestellt"),
    *(
        "gültig",
        "expire",
        "délivré",
        "emisión",
        "caducidad",
        "scadenza",
        "invoice",
        "order",
        "started",
        "ended",
        "hire",
    ),
    *("registered", "signed", "graduated", "published", "release", "version", "founded", "start date", "end date"),
)
_NUMBERS: Final = regex.compile(r"\d+")


def _plausible(value: str) -> bool:
    """Whether the digits are a possible date of birth."""
    try:
        numbers = [int(number) for number in _NUMBERS.findall(value)]
    except ValueError:  # a digit that is too new for this version of Python
        return False
    years = [number for number in numbers if number > 31]
    if any(not (number < 100 or 1900 <= number <= date.today().year) for number in years) or len(years) > 1:
        return False
    rest = [number for number in numbers if number <= 31]
    return bool(rest) and all(rest[:2]) and (len(rest) < 2 or min(rest[:2]) <= 12)


def rule() -> Rule:
    """The rule for dates of birth."""
    pattern = regex.compile(_SOURCE, regex.IGNORECASE)
    near, births = Near({"birth": BIRTH, "other": _OTHER}), Near({"birth": BIRTH})

    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        found = []
        for match in pattern.finditer(text, start, min(len(text), end + RuleSet.MARGIN)):
            spend(_JUDGED)
            if match.end() > end:
                continue
            keys = near.keys(text, match.start())
            back = keys.get("birth", _REACH + 1)
            born = back <= _REACH and back <= keys.get("other", back) and _plausible(match.group())
            found.append((*match.span(), _SCORE if born else 0.0))
        return found

    expression = Expression(_SOURCE, regex.IGNORECASE, "", _BEGUN, "words")
    return Rule("DATE_OF_BIRTH", "Births", expression, find, idle=births.lack)
