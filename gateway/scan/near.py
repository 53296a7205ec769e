"""Which words stand shortly before a number: what it is called tells a tax number from an order number.

Presidio's context looks for substrings ("tin" in "meeting", "us" in "just") and gives the same weight to all of them.
Here whole words and phrases count, in any script, and the nearest one says the most. Only what precedes counts,
`context.REACH` characters at most, so a stream judges a number as soon as it is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import regex

from gateway.scan.context import REACH
from gateway.scan.placeholders import WRITTEN

WORDS: Final = 12
"""How many words before a number are looked at."""
_LONGEST: Final = 4  # words of a phrase
_TOKENS: Final = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}]+)?")
_PLACEHOLDER: Final = regex.compile(WRITTEN)


class Near:
    """Finds which of several vocabularies the words before a place belong to. Immutable, shared between threads."""

    def __init__(self, vocabularies: Mapping[str, Iterable[str]]) -> None:
        self._keys: dict[str, frozenset[str]] = {}
        inside: dict[str, frozenset[str]] = {}
        for key, words in vocabularies.items():
            for word in words:
                tokens = _TOKENS.findall(word.lower())
                phrase = " ".join(tokens)
                at = inside if len(tokens) == 1 and not _spaced(phrase) else self._keys
                at[phrase] = at.get(phrase, frozenset()) | {key}
        self._inside = tuple(inside.items())  # scripts that put no space between words

    def keys(self, text: str, start: int) -> dict[str, int]:
        """Each vocabulary that has a word before `start`, and how many words lie between, 0 for the nearest."""
        low = max(0, start - REACH)
        before = text[low:start]
        if "<" in before:  # a placeholder says what stood there, not what comes next
            before = _PLACEHOLDER.sub(" ", before)
        tokens = [token.lower() for token in _TOKENS.findall(before)]
        if low and tokens and not text[low - 1].isspace() and not text[low].isspace():
            tokens.pop(0)  # cut in two by the reach: not a word
        tokens = tokens[-WORDS:]
        found: dict[str, int] = {}
        for back, end in enumerate(range(len(tokens), 0, -1)):
            for size in range(min(_LONGEST, end), 0, -1):
                phrase = " ".join(tokens[end - size : end])
                for key in self._keys.get(phrase) or self._keys.get(_singular(phrase)) or ():
                    found.setdefault(key, back)
            if self._inside and not tokens[end - 1].isascii():
                for word, keys in self._inside:
                    if word in tokens[end - 1]:
                        for key in keys:
                            found.setdefault(key, back)
        return found


def _singular(phrase: str) -> str:
    for ending in ("'s", "’s", "s"):
        if phrase.endswith(ending):
            return phrase[: -len(ending)]
    return phrase


def _spaced(word: str) -> bool:
    return regex.search(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]", word) is None
