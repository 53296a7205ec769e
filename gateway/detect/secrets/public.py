"""Tells values that anybody may see from credentials: versions, dates, media types, addresses, words of a language.

For what an operator configures (headers, parameters of URLs), where a name alone does not say what a value is. Unlike
`chance`, which must not take ordinary text for a key, this judge takes a value for a secret in case of doubt.
"""

from __future__ import annotations

from typing import Final

import regex

from gateway.detect.secrets.chance import wordy

_PIECE: Final = regex.compile(r"[^\W_]+")
_SHORT: Final = 4  # characters of a piece with letters and digits, such as `v2` or `x86`
_SHORTS: Final = 8  # characters of all such pieces; a value with more is written in groups, as licence keys are
_DATE: Final = 8  # digits of the longest number that is a date or a version
_SYLLABLE: Final = 6  # letters that are too few to be judged
_WORDY: Final = -0.5  # bits of a letter that speak for words, below which a piece is drawn at random


def is_public(value: str) -> bool:
    """Whether a value consists of words, short numbers and abbreviations only."""
    shorts = 0
    for piece in _PIECE.findall(value):
        if piece.isdecimal():
            if len(piece) > _DATE:
                return False
        elif piece.isalpha():
            if len(piece) > _SYLLABLE and wordy(piece.lower()) < _WORDY:
                return False
        else:
            shorts += len(piece)
            if len(piece) > _SHORT or shorts > _SHORTS:
                return False
    return True
