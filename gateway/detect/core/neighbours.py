"""Which words stand shortly before a number: what it is called tells a tax number from an order number.

Presidio's context looks for substrings ("tin" in "meeting", "us" in "just") and gives the same weight to all of them.
Here whole words and phrases count, in any script, and the nearest one says the most. Only what precedes counts,
`context.REACH` characters at most, so a stream judges a number as soon as it is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import regex

from gateway.detect.core.context import REACH
from gateway.detect.personal.placeholders import WRITTEN

WORDS: Final = 12
"""How many words before a number are looked at."""
_STEM: Final = 2  # letters of a word that has a plural
_TOKENS: Final = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}]+)?")
_PLACEHOLDER: Final = regex.compile(WRITTEN)


class Near:
    """Finds which of several vocabularies the words before a place belong to. Immutable, shared between threads."""

    def __init__(self, vocabularies: Mapping[str, Iterable[str]]) -> None:
        keys: dict[tuple[str, ...], frozenset[str]] = {}
        inside: dict[str, frozenset[str]] = {}
        for key, words in vocabularies.items():
            for word in words:
                tokens = tuple(_TOKENS.findall(word.lower()))
                if len(tokens) == 1 and not _spaced(tokens[0]):
                    inside[tokens[0]] = inside.get(tokens[0], frozenset()) | {key}
                else:
                    keys[tokens] = keys.get(tokens, frozenset()) | {key}
        self._inside = tuple(inside.items())  # scripts that put no space between words
        # By its last word: the words before it from the last on, and what the whole belongs to.
        self._ending: dict[str, list[tuple[tuple[str, ...], frozenset[str]]]] = {}
        for tokens, belongs in keys.items():
            self._add(tokens, belongs)
        for tokens, belongs in keys.items():
            for plural in _plurals(tokens[-1]):
                if (*tokens[:-1], plural) not in keys:
                    self._add((*tokens[:-1], plural), belongs)
        for ways in self._ending.values():
            ways.sort(key=lambda way: -len(way[0]))

    def _add(self, tokens: tuple[str, ...], belongs: frozenset[str]) -> None:
        self._ending.setdefault(tokens[-1], []).append((tokens[-2::-1], belongs))

    def keys(self, text: str, start: int) -> dict[str, int]:
        """Each vocabulary that has a word before `start`, and how many words lie between, 0 for the nearest."""
        low = max(0, start - REACH)
        before = text[low:start]
        if "<" in before:  # a placeholder says what stood there, not what comes next
            before = _PLACEHOLDER.sub(" ", before)
        tokens = _TOKENS.findall(before)
        if low and tokens and not text[low - 1].isspace() and not text[low].isspace():
            del tokens[0]  # cut in two by the reach: not a word
        tokens = tokens[: -WORDS - 1 : -1]  # the nearest first
        found: dict[str, int] = {}
        for back, token in enumerate(tokens):
            word = token.lower()
            for phrase, belongs in self._ending.get(word, ()):
                if not phrase or phrase == tuple(map(str.lower, tokens[back + 1 : back + 1 + len(phrase)])):
                    for key in belongs:
                        found.setdefault(key, back)
            if self._inside and not word.isascii():
                for part, belongs in self._inside:
                    if part in word:
                        for key in belongs:
                            found.setdefault(key, back)
        return found


def _plurals(word: str) -> Iterator[str]:
    """What stands for a word, too: "ts" is not the plural of "t"."""
    if len(word) >= _STEM:
        yield from (word + ending for ending in ("'s", "’s", "s"))


def _spaced(word: str) -> bool:
    return regex.search(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]", word) is None
