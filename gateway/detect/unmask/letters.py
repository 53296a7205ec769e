"""Undoes letters that stand for others: `plain` returns a text in lower-case Latin letters, as in patterns of words.

Undone are accents, forms (full width, mathematical, enclosed), look-alikes of other alphabets, small capitals, Braille
and the invisible tags of ASCII characters. Invisible characters are removed. Each step is one pass over the text.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import regex

from gateway.detect.unmask.lookalikes import SAME, SIMILAR

_UNSEEN_RANGES: Final = (
    "\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0e\ufeff\uffa0"
)
_HIDDEN: Final = regex.compile(r"[\p{Cf}\p{Mn}\u115f\u1160\u3164\uffa0--\U000e0020-\U000e007e]+", regex.V1)
_UNSEEN: Final = re.compile(f"[{_UNSEEN_RANGES}]+")
_USUAL: Final = (
    "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u200e\u200f\u2061\u2062\u2063\u2064\u3164\u115f\u1160\uffa0\u202c"
)
"""The most frequent of them: a search for each of these is faster than one search for all."""
_TAGS: Final = regex.compile("[\U000e0020-\U000e007e]{4,}")
_SCATTERED: Final = regex.compile(r"[a-z][\u200b-\u200d\u2060\u00ad\ufeff]+(?=[a-z])")
_LOOKALIKES: Final = {
    **{char: plain for char, plain in SAME.items() if char.islower()},
    **SIMILAR,
    "\u2028": "\n",
    "\u2029": "\n",
    **dict(zip("⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵⠀", "abcdefghijklmnopqrstuvwxyz ", strict=True)),  # Braille
}
_LOOKALIKE: Final = re.compile(f"[{''.join(_LOOKALIKES)}]")
_FRAMED: Final = {
    start + at: char for start in (0x1F150, 0x1F170, 0x1F1E6) for at, char in enumerate("abcdefghijklmnopqrstuvwxyz")
}
"""White letters in black circles and squares, and the letters of flags."""
_FRAMED_E: Final = ("\U0001f154", "\U0001f174", "\U0001f1ea")  # few sentences do not have this letter
_TYPOGRAPHY: Final = str.maketrans(
    "\u201c\u201d\u201e\u2018\u2019\u2013\u2014\u00ab\u00bb\u00df\u00e6\u00f8", '"""\'\'--""sao'
)


def _western() -> bytes:
    """The bytes of Windows-1252 in lower case without accents; typographic quotes and dashes as plain ones."""
    table = bytearray(range(256))
    for byte in range(256):
        char = bytes([byte]).decode("cp1252", "replace").translate(_TYPOGRAPHY)
        base = unicodedata.normalize("NFKD", char)[:1].lower()
        table[byte] = ord(base) if base and base.isascii() else ord(" ")
    return bytes(table)


_WESTERN: Final = _western()


def plain(text: str) -> str:
    """A text in lower case without accents, look-alikes and invisible characters; used for patterns as well."""
    if text.isascii():
        return text.lower()
    if "\u00ad" not in text:
        try:
            return text.encode("cp1252").translate(_WESTERN).decode("ascii")
        except UnicodeEncodeError:
            pass
    text = _HIDDEN.sub("", unicodedata.normalize("NFKD", text))
    if any(letter in text for letter in _FRAMED_E):
        text = text.translate(_FRAMED)
    if _TAGS.search(text):
        text = _TAGS.sub(lambda run: "".join(chr(ord(char) - 0xE0000) for char in run[0]), text)
    return _LOOKALIKE.sub(lambda char: _LOOKALIKES[char[0]], text.lower())


def has_unseen(text: str) -> bool:
    """Whether a text contains one of the usual invisible characters."""
    return not text.isascii() and any(char in text for char in _USUAL)


def spaced(text: str) -> str:
    """The text with a blank in place of each invisible character, which may be written instead of a blank."""
    return _UNSEEN.sub(" ", text)


def scattered(text: str) -> bool:
    """Whether letters are separated by invisible characters, or are invisible themselves."""
    return not text.isascii() and bool(_TAGS.search(text) or _SCATTERED.search(text.lower()))
