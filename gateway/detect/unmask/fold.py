"""Undoes characters that disguise a word: full-width and other compatibility letters, and invisible characters.

`fold` keeps offsets: a span of the folded text can be mapped back to the original text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

DISGUISE: Final = re.compile(
    "[\u00a0\u00ad\u017f\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u2100-\u214f\u2460-\u24ff\u3000\u3164\ufe00-\ufe0f\ufe50-\ufe6f\ufeff\uff01-\uff5e\uffa0"
    "\U0001d400-\U0001d7ff\U000e0000-\U000e0fff]"
)
"""Characters that are replaced or removed."""


def fold(text: str) -> tuple[str, Sequence[int] | None]:
    """The text without disguise, and the offset in `text` of each of its characters; None: the same offsets."""
    if text.isascii() or not DISGUISE.search(text):
        return text, None
    parts: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        plain = _plain(char) if DISGUISE.match(char) else char
        parts.append(plain)
        places += [place] * len(plain)
    return "".join(parts), places


def _plain(char: str) -> str:
    """The text that a disguised character stands for; "" for an invisible character."""
    if char in "\u2028\u2029":
        return "\n"
    if unicodedata.category(char) in ("Cf", "Mn", "Cn") or char in "\u115f\u1160\u3164\uffa0":
        return ""
    return unicodedata.normalize("NFKC", char)
