"""Hardware addresses: six pairs of hexadecimal digits, or three groups of four with dots, as Presidio finds them.

Runs of more pairs are fingerprints, serial numbers and keys of certificates; three groups of digits with dots are
decimals. Zero, broadcast and multicast addresses identify nobody and are not reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import regex

from gateway.detect.core.context import ContextWords
from gateway.detect.core.index import Expression
from gateway.detect.core.neighbours import Near
from gateway.detect.core.rules import Find, Rule, RuleSet
from gateway.detect.personal.presidio import recognizer

_PAIR: Final = "[0-9A-Fa-f]{2}"
# A run is one match, with what a certificate that is printed puts between its lines: else a part of it would be found.
_PAIRS: Final = rf"(?:\b|_){_PAIR}(?:[:-]{_PAIR}){{5,}}"
_PAIRS_WHOLE: Final = rf"(?:\b|_){_PAIR}(?:[:-]{_PAIR}){{5}}"
_PAIRS_BEGUN: Final = rf"(?:\b|_){_PAIR}(?:[:-]\s*{_PAIR})+"
_PAIRS_ALONE: Final = rf"(?<![^\W_]){_PAIR}(?:[:-]{_PAIR}){{5,}}(?![^\W_])"
_ADDRESS: Final = regex.compile(rf"{_PAIR}([:-])(?:{_PAIR}\1){{4}}{_PAIR}|[^:-]*")
_DOTTED: Final = r"(?:\b|_)[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?:\b|_)"
_DOTTED_ALONE: Final = r"(?<![^\W_])[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![^\W_])"
# Weights of collation `[.42DC.0020.0011]`, decimals of a drawing, and more than three groups.
_RUN_BEFORE: Final = regex.compile(r"(?:[\[\s]|(?<![0-9A-Za-z])[0-9A-Fa-f]{1,4}|[-+,\d])\.\Z|[-+]\Z|\[\*\Z")
_RUN_AFTER: Final = regex.compile(r"\.[0-9A-Fa-f]{2,4}(?![0-9A-Za-z])|-?\.\d| 0 |[-,]\d")
_MORE_BEFORE: Final = regex.compile(rf"(?<![0-9A-Za-z]){_PAIR}[:-]\s{{0,40}}\Z")
_MORE_AFTER: Final = regex.compile(rf"[:-]\s{{0,40}}{_PAIR}\b")
_NOBODY: Final = regex.compile(r"(?i)0+|f+|01005e.*|0180c2.*|3333.*|(..)\1+")
_NAMED: Final = 4
_FAR: Final = 99
_near: Final = Near(
    {
        "mac": (
            *("mac", "mac address", "macaddress", "hwaddr", "lladdr", "ether", "ethernet", "hardware address", "bssid"),
            *(
                "physical address",
                "device",
                "interface",
                "host",
                "wlan",
                "bluetooth",
                "wifi",
                "mac-adresse",
                "adresse mac",
            ),
        )
    }
)


def telling(text: str, start: int, end: int) -> bool:
    """Whether six bytes are the address of a device, and neither part of a longer run nor decimals."""
    digits = "".join(char for char in text[start:end] if char not in ":-.")
    if _NOBODY.fullmatch(digits):
        return False
    if "." in text[start:end]:
        if _RUN_BEFORE.search(text, max(0, start - 8), start) or _RUN_AFTER.match(text, end):
            return False
    elif _MORE_BEFORE.search(text, max(0, start - 48), start) or _MORE_AFTER.match(text, end):
        return False
    return not digits.isdigit() or _near.keys(text, start).get("mac", _FAR) <= _NAMED


def _finder(pattern: regex.Pattern[str], score: float) -> Find:
    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        found = []
        for match in pattern.finditer(text, start, min(len(text), end + RuleSet.MARGIN)):
            one = _ADDRESS.fullmatch(match.group()) is not None and telling(text, *match.span())
            found.append((*match.span(), score if one else 0.0))
        return found

    return find


def rules() -> Iterator[Rule]:
    """The rules for hardware addresses."""
    presidio = recognizer("MacAddressRecognizer")
    context, score = ContextWords(presidio.context), float(presidio.patterns[0].score)
    for source, alone, whole in ((_PAIRS, _PAIRS_ALONE, _PAIRS_WHOLE), (_DOTTED, _DOTTED_ALONE, "")):
        expression = Expression(source, 0, whole, _PAIRS_BEGUN if whole else "")
        yield Rule("MAC_ADDRESS", presidio.name, expression, _finder(regex.compile(alone), score), context)
