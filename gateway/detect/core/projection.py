"""The projection of a text: one byte for each character, so that byte offsets are character offsets.

ASCII is unchanged. Any other character becomes the ASCII byte of its kind: a digit becomes its own value, a word
character `_`, the few that fold to an ASCII letter that letter, and all others `OTHER`. Hyperscan then needs neither
UTF-8 nor Unicode tables: patterns compile many times faster, and `\\b` keeps its Unicode meaning. A projected pattern
(see `rewrite`) matches wherever the original does, and sometimes elsewhere; the original pattern decides.
"""

from __future__ import annotations

from codecs import charmap_encode
from typing import Final

import regex

from gateway.detect.core.expressions import result

OTHER: Final = 0x01
WORD: Final = ord("_")
FOLDS: Final = {"\u0130": "i", "\u017f": "s", "\u212a": "k"}  # under `regex` IGNORECASE these match an ASCII letter
_WORDS: Final = regex.compile(r"\w")
_REMEMBERED: Final = 20_000  # characters: more than any language has, fewer than an attacker can send


def _digits() -> dict[int, int]:
    """Digits beyond ASCII are in blocks of ten, from zero up; unicodedata may not know the newest digits."""
    everything = "".join(map(chr, range(128, 0x110000)))
    runs = regex.finditer(r"\d+", everything)
    return {128 + at: ord("0") + (at - run.start()) % 10 for run in runs for at in range(*run.span())}


class _Kinds(dict[int, int]):
    """Code point -> its byte, computed when first needed."""

    def __missing__(self, code: int) -> int:
        kind = WORD if _WORDS.match(chr(code)) else OTHER
        if len(self) < _REMEMBERED:
            self[code] = kind
        return kind


_KINDS: Final = _Kinds(
    {
        **{code: code for code in range(128)},
        **result("digits", "", 0, _digits),
        **{ord(c): ord(to) for c, to in FOLDS.items()},
    }
)


def _western() -> bytes:
    """The same for the bytes of Windows-1252; five of them stand for nothing, and no text encodes to them."""
    chars = [bytes([byte]).decode("cp1252", "replace") for byte in range(256)]
    return bytes(_KINDS[ord(char)] for char in chars)


_WESTERN: Final = _western()


def projected(text: str) -> bytes:
    """One byte for each character of `text`."""
    if text.isascii():
        return text.encode()
    try:
        return text.encode("cp1252").translate(_WESTERN)  # twenty times as fast, for texts in this encoding
    except UnicodeEncodeError:
        return charmap_encode(text, "strict", _KINDS)[0]


def byte_of(char: str) -> int:
    """The byte of one character."""
    return _KINDS[ord(char)]
