"""The words shortly before a number: its name distinguishes a tax number from an order number.

Presidio's context looks for substrings ("tin" in "meeting", "us" in "just") and gives the same weight to all of them.
Here whole words and phrases count, in any script, and the nearest one counts most. Only the text before the number
counts, at most `context.REACH` characters, so in a stream a number is judged as soon as it is complete.

A block with many numbers is split into words once, for all vocabularies, and only words of a vocabulary are examined.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import regex

from gateway.detect.core.context import REACH
from gateway.detect.personal.placeholders import WRITTEN
from gateway.detect.unmask.escapes import without_letters

WORDS: Final = 12
"""How many words before a number are examined."""
_STEM: Final = 2  # minimum letters of a word that has a plural
_TOKENS: Final = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}]+)?")
_ASCII: Final = re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z]+)?")  # the same for ASCII, in a third of the time
# Other characters become blanks, capitals small letters: a tenth of the time of `_ASCII`, for text without apostrophes.
_SPLIT: Final = bytes(ord(chr(byte).lower()) if byte < 128 and chr(byte).isalnum() else ord(" ") for byte in range(256))
_PLACEHOLDER: Final = regex.compile(WRITTEN)
_JOINS: Final = frozenset("'’")
_FEW: Final = 24  # places of one block for which splitting the block takes longer than it saves
_BLOCK: Final = 2048  # characters that are split at a time
_BLOCKS: Final = 64


class _Words:
    """The words of a block and of the reach before it, in order, in lower case, with their offsets."""

    __slots__ = ("ascii", "ends", "known", "lower", "starts")

    def __init__(self, text: str, number: int) -> None:
        low = max(0, number * _BLOCK - REACH)
        block = without_letters(text[low : (number + 1) * _BLOCK])
        if "<" in block:
            block = _PLACEHOLDER.sub(lambda match: " " * len(match[0]), block)
        self.ascii = block.isascii()
        spans = [match.span() for match in (_ASCII if self.ascii else _TOKENS).finditer(block)]
        self.starts = [low + start for start, _ in spans]
        self.ends = [low + end for _, end in spans]
        if self.ascii:  # beyond ASCII, a letter may become two
            block = block.lower()
        words = [block[start:end] for start, end in spans]
        self.lower = words if self.ascii else [word.lower() for word in words]
        self.known: dict[Near, list[int]] = {}  # the indices of words that are in a vocabulary


class _Reading(threading.local):
    """The text that this thread reads, and the blocks of it that were split."""

    def __init__(self) -> None:
        self.text = ""
        self.blocks: dict[int, _Words] = {}
        self.places: dict[int, dict[int, list[str]]] = {}  # block -> place -> the words before it, the nearest first

    def words(self, text: str, start: int) -> _Words | None:
        """The words before a place; None for the first few places of a block."""
        if text is not self.text:
            self.text, self.blocks, self.places = text, {}, {}
        number = start // _BLOCK
        places = self.places.get(number)
        if places is None or start in places or len(places) < _FEW:
            return None
        words = self.blocks.get(number)
        if words is None:
            if len(self.blocks) >= _BLOCKS:
                self.blocks.clear()
            words = self.blocks[number] = _Words(text, number)
        return words

    def before(self, text: str, start: int) -> list[str]:
        """The words before a place of this text in lower case, the nearest first; split once for all vocabularies."""
        places = self.places.setdefault(start // _BLOCK, {})
        nearest = places.get(start)
        if nearest is None:
            nearest = _words_before(text, start)
            if len(places) < _FEW:
                places[start] = nearest
        return nearest


def _words_before(text: str, start: int) -> list[str]:
    low = max(0, start - REACH)
    before = without_letters(text[low:start])
    if "<" in before:  # a placeholder names the value that it replaced, not the next value
        before = _PLACEHOLDER.sub(" ", before)
    plain = before.isascii()
    if not plain:
        tokens = _TOKENS.findall(before)
    elif "'" in before:
        tokens = _ASCII.findall(before.lower())
    else:
        tokens = before.encode().translate(_SPLIT).decode().split()
    if low and tokens and not text[low - 1].isspace() and not text[low].isspace():
        del tokens[0]  # the reach begins in the middle of this word
    nearest = tokens[: -WORDS - 1 : -1]
    return nearest if plain else [token.lower() for token in nearest]


_reading: Final = _Reading()


class Near:
    """Finds the vocabularies of the words before a place. Immutable, shared between threads."""

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
        # By the last word of a phrase: the words before it in reverse order, and the vocabularies of the phrase.
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
        """Vocabulary -> how many words lie between its nearest word and `start`; 0 for the word directly before."""
        words = _reading.words(text, start)
        if words is None:
            return self._keys(text, start)
        known = words.known.get(self)
        if known is None:
            ending, inside = self._ending, self._inside and not words.ascii
            known = [at for at, word in enumerate(words.lower) if word in ending or (inside and not word.isascii())]
            words.known[self] = known
        before = text[start - 1 : start]
        if before.isalnum() or before in _JOINS or not before.isascii():  # a word may go on over the place
            return self._keys(text, start)
        return self._known(words, known, text, start) if known else {}

    def _known(self, words: _Words, known: list[int], text: str, start: int) -> dict[str, int]:
        """The same out of the words of a block, of which `known` are in a vocabulary."""
        found: dict[str, int] = {}
        end = bisect_right(words.ends, start)
        last = bisect_left(known, end)
        if not last:
            return found
        low = max(0, start - REACH)
        first = bisect_left(words.starts, low)
        cut = low and not text[low - 1].isspace() and not text[low].isspace()
        if cut and not (first and words.ends[first - 1] > low):
            first += 1  # the reach begins in the middle of this word
        first = max(first, end - WORDS)
        while last and known[last - 1] >= first:
            last -= 1
            at = known[last]
            self._add_found(found, words.lower[at], end - 1 - at, words.lower[first:at][::-1])
        return found

    def _keys(self, text: str, start: int) -> dict[str, int]:
        """The same from the text."""
        lower = _reading.before(text, start)
        found: dict[str, int] = {}
        ending, inside = self._ending, self._inside
        for back, word in enumerate(lower):
            if word in ending or (inside and not word.isascii()):
                self._add_found(found, word, back, lower[back + 1 :])
        return found

    def _add_found(self, found: dict[str, int], word: str, back: int, before: list[str]) -> None:
        """Add the vocabularies of a word, `back` words away; `before` are the words before it, the nearest first."""
        for phrase, belongs in self._ending.get(word, ()):
            if not phrase or phrase == tuple(before[: len(phrase)]):
                for key in belongs:
                    found.setdefault(key, back)
        if self._inside and not word.isascii():
            for part, belongs in self._inside:
                if part in word:
                    for key in belongs:
                        found.setdefault(key, back)


def _plurals(word: str) -> Iterator[str]:
    """The plurals of a word: "ts" is not the plural of "t"."""
    if len(word) >= _STEM:
        yield from (word + ending for ending in ("'s", "’s", "s"))


def _spaced(word: str) -> bool:
    return regex.search(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]", word) is None
