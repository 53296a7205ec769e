"""The shadow of a text: one byte for each character, so that byte offsets are character offsets.

ASCII stays as it is. Any other character becomes the ASCII byte of its kind: a digit its own value, a word character
`_`, the few that fold onto an ASCII letter that letter, all else `OTHER`. Hyperscan then needs neither UTF-8 nor
Unicode tables: patterns compile many times faster, and `\\b` keeps its Unicode meaning. A shadow pattern (see
`rewrite`) matches wherever the real one does, sometimes elsewhere too; the real pattern has the last word.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import regex

OTHER: Final = 0x01
WORD: Final = ord("_")
FOLDS: Final = {"\u0130": "i", "\u017f": "s", "\u212a": "k"}  # under `regex` IGNORECASE these match an ASCII letter


def _table() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    everything = "".join(map(chr, range(0x110000)))
    table = np.full(len(everything), OTHER, dtype=np.uint8)
    table[:128] = np.arange(128)
    for match in regex.finditer(r"[\w--\x00-\x7f]+", everything, regex.V1):
        table[match.start() : match.end()] = WORD
    # Digits come in runs of ten, from zero up; unicodedata may not know the newest ones.
    for match in regex.finditer(r"[\d--\x00-\x7f]+", everything, regex.V1):
        table[match.start() : match.end()] = ord("0") + np.arange(len(match.group())) % 10
    for char, letter in FOLDS.items():
        table[ord(char)] = ord(letter)
    return table


_TABLE: Final = _table()


def shadow(text: str) -> bytes:
    """One byte for each character of `text`."""
    if text.isascii():
        return text.encode()
    return _TABLE.take(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)).tobytes()


def shadow_of(char: str) -> int:
    """The byte that stands for one character."""
    return int(_TABLE[ord(char)])
