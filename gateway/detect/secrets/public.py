"""Distinguishes public values (versions, dates, media types, addresses, ordinary words) from credentials.

For configured headers and parameters of URLs, whose name does not show whether the value is secret. Unlike `chance`,
which must not take ordinary text for a key, this module treats a value as secret in case of doubt.
"""

from __future__ import annotations

from typing import Final

import regex

from gateway.detect.secrets.chance import wordy

_PIECE: Final = regex.compile(r"[^\W_]+")
_NUMBERED: Final = regex.compile(r"([^\W\d_]+)(\d{1,4})|(\d{1,4})([^\W\d_]+)")  # `llama3`, `70B`
_SHORT: Final = 6  # maximum characters of a piece that alternates letters and digits, such as `8x7B` or `v1beta`
_MIXED: Final = 8  # maximum characters of such pieces, and of digits next to letters, in a value
_DATE: Final = 8  # digits of the longest number that is a date or a version
_SYLLABLE: Final = 6  # maximum letters of a piece that is too short to be judged
_WORDY: Final = -0.5  # bits per letter (see `chance.wordy`) below which a piece is random


def is_public(value: str) -> bool:
    """Whether a value consists of words, short numbers and abbreviations only."""
    mixed = 0
    for piece in _PIECE.findall(value):
        if piece.isdecimal():
            if len(piece) > _DATE:
                return False
        elif piece.isalpha():
            if not _is_word(piece):
                return False
        elif (parts := _NUMBERED.fullmatch(piece)) and _is_word(parts[1] or parts[4]):
            mixed += len(parts[2] or parts[3])
        elif len(piece) <= _SHORT:
            mixed += len(piece)
        else:
            return False
    return mixed <= _MIXED


def _is_word(letters: str) -> bool:
    return len(letters) <= _SYLLABLE or wordy(letters.lower()) >= _WORDY
