"""Tells what was drawn at random from what somebody wrote: identifiers, words and placeholders against keys.

Adjacent letters speak: `_PAIRS` says for each pair how much more often identifiers have it than chance has, in bits,
moved by six to fit a digit (made from the identifiers of open-source Python packages).
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Final

import regex

_PAIRS: Final = (
    "36761362634878261878543452", "84438324761833731764711061", "82547338607634841648611040",
    "84469544822644730665632140", "64674553513668454887354642", "73547733900733830756701140",
    "73439257703646640775621032", "93339222723554830647613050", "65766562234769752677450415",
    "82249223704324730081733012", "73449345814645742575645040", "84469332833743840356631051",
    "96449212702564780364611140", "74778583744435750378552032", "55662452535779660866755312",
    "82448235603732860857621160", "41030301500811232542921100", "83559452825565730676542051",
    "63638436706544674379633051", "82539327802443750766623162", "66657552613778470878131202",
    "93539330810335630443212120", "83338336904427820763322220", "64748414701363481359322461",
    "65556442602667590577345144", "84349335812444620334543054",
)  # fmt: skip
_A: Final = ord("a")
_MOVED: Final = 6
_LETTERS: Final = regex.compile(r"\p{Lu}?[a-z]+|[A-Z]+")
_TURNS: Final = regex.compile(
    r"(?<=[0-9])(?=[A-Za-z])|(?<=[A-Za-z])(?=[0-9])|(?<=[a-z])(?=[A-Z])|(?<=[A-Z]{2})(?=[a-z])"
)
_HEX: Final = regex.compile(r"(?:0x)?(?:[0-9a-f]{16,}|[0-9A-F]{16,})")
_TURN: Final = 1.6  # bits that a change from letters to digits, or of case, speaks for chance
_WORDY: Final = 0.55  # bits of a character that speak for words, above which a value is made of them

_STAND_INS: Final = regex.compile(
    r"(?i)x{4}|\*{3}|\.{3}|0123456|1234567|abcdef(?!\d)|example|sample|dummy|changeme"
    r"|placeholder|your[_-]?|redacted|replace[_-]?|insert[_-]?|(?<![a-z])(?:test|fake|mock|demo|foo|bar|todo|my)"
    r"(?![a-z])"
)


def entropy(value: str) -> float:
    """Shannon entropy in bits a character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def repeats(value: str) -> bool:
    """Whether a token says next to nothing: `ghp_xxxx...`, `AKIAXXXX...`, the same few characters again and again."""
    size = len(value)
    run = max((len(same.group()) for same in _SAME.finditer(value)), default=0)
    return size >= 8 and (len(set(value)) < min(8, size / 3) or run >= max(6, 0.4 * size))


_SAME: Final = regex.compile(r"(?i)(.)\1+")


def stands_in(value: str) -> bool:
    """Whether a value says itself that it is none: an example, a placeholder."""
    return _STAND_INS.search(value) is not None or repeats(value)


def wordy(value: str) -> float:
    """How many bits a character speak for words rather than chance; negative for chance."""
    bits = 0.0
    for match in _LETTERS.finditer(value):
        run = match.group().lower()
        bits += sum(int(_PAIRS[ord(a) - _A][ord(b) - _A]) - _MOVED for a, b in pairwise(run))
    return (bits - _TURN * sum(1 for _ in _TURNS.finditer(value))) / len(value)


def random(value: str, fewest: int = 10) -> bool:
    """True for letters and digits drawn at random: no identifier, no path, no placeholder, no number."""
    if len(value) < fewest or stands_in(value):
        return False
    if not (regex.search(r"\d", value) and regex.search(r"[A-Za-z]", value)):
        return False
    if _HEX.fullmatch(value):
        return entropy(value) >= 2.8
    return entropy(value) >= (3.2 if len(value) >= 16 else 2.9) and wordy(value) < (_WORDY if len(value) >= 24 else 0.0)
