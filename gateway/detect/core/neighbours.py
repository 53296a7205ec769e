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
# Other characters become blanks, capitals small letters: a tenth of the time of `_ASCII`.
_SPLIT: Final = bytes(ord(chr(byte).lower()) if byte < 128 and chr(byte).isalnum() else ord(" ") for byte in range(256))
_QUOTE: Final = ord("'")
_JOINED: Final = _SPLIT[: ord("'")] + b"'" + _SPLIT[ord("'") + 1 :]  # the same for text with apostrophes
_QUOTED: Final = re.compile(rb"(?<=[a-z0-9])'[a-z]+(['0-9])?")  # an apostrophe within a word
_PLACEHOLDER: Final = regex.compile(WRITTEN)
_JOINS: Final = frozenset("'’")
_FEW: Final = 24  # places of one block for which splitting the block takes longer than it saves
_KEPT: Final = 256  # places of one block whose words are kept
_BLOCK: Final = 2048  # characters that are split at a time
_BLOCKS: Final = 64
Before = tuple[list[str], bool]
"""The words before a place in lower case, the nearest first, and whether they are ASCII."""


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
        self.plain: dict[int, str | None] = {}  # block -> its words and blanks, see `_blanked`
        self.places: dict[int, dict[int, Before]] = {}  # block -> place -> the words before it

    def turn(self, text: str) -> None:
        """Read this text from now on."""
        if text is not self.text:
            self.text, self.blocks, self.plain, self.places = text, {}, {}, {}

    def words(self, text: str, start: int) -> _Words | None:
        """The words of a block with many places that blanks do not tell apart; None for any other."""
        self.turn(text)
        number = start // _BLOCK
        places = self.places.get(number)
        if places is None or start in places or len(places) < _FEW or self.plain[number] is not None:
            return None
        words = self.blocks.get(number)
        if words is None:
            if len(self.blocks) >= _BLOCKS:
                self.blocks.clear()
            words = self.blocks[number] = _Words(text, number)
        return words

    def before(self, text: str, start: int) -> Before:
        """The words before a place of a text; split once for all vocabularies."""
        self.turn(text)
        number = start // _BLOCK
        places = self._places(text, number)
        before = places.get(start)
        if before is None:
            before = self._split(text, start, number)
            if len(places) < _KEPT:
                places[start] = before
        return before

    def _places(self, text: str, number: int) -> dict[int, Before]:
        """The known places of a block, which is read first if it is new."""
        places = self.places.get(number)
        if places is None:
            if len(self.plain) >= _BLOCKS:
                self.plain.clear()
                self.places.clear()
            low = max(0, number * _BLOCK - REACH)
            self.plain[number] = _blanked(text[low : (number + 1) * _BLOCK])
            places = self.places[number] = {}
        return places

    def _split(self, text: str, start: int, number: int) -> Before:
        low = max(0, start - REACH)
        plain = self.plain[number]
        if plain is None or not text[low:start].isascii():
            return _words_before(text, start)
        shift = max(0, number * _BLOCK - REACH)
        words = plain[low - shift : start - shift].rsplit(None, WORDS)
        if len(words) > WORDS:
            del words[0]  # all that is before them
        elif low and words and not text[low - 1].isspace() and not text[low].isspace():
            del words[0]  # the reach begins in the middle of this word
        if words and words[-1][-1] == "'":
            words[-1] = words[-1][:-1]
        words.reverse()
        return words, True


def _blanked(block: str) -> str | None:
    """A block with small letters and blanks for all that is not part of a word, or beyond ASCII.

    None if its words cannot be told apart by blanks: it holds placeholders, escaped digits, or `a'b'c`.
    """
    if "\\" in block:
        if "\\x0" in block:
            return None
        block = without_letters(block)
    if "<" in block and _PLACEHOLDER.search(block) is not None:
        return None
    data = block.encode("ascii", "replace")
    if "'" not in block:
        return data.translate(_SPLIT).decode()
    data = data.translate(_JOINED)
    plain = bytearray(data.replace(b"'", b" "))
    at = data.find(b"'")
    while at >= 0:
        word = _QUOTED.match(data, at)
        if word is not None:
            if word[1]:  # a word of `_ASCII` ends there
                return None
            plain[at] = _QUOTE
        at = data.find(b"'", at + 1)
    return plain.decode()


def _words_before(text: str, start: int) -> Before:
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
    return (nearest, True) if plain else ([token.lower() for token in nearest], False)


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
        self._last = self._ending.keys()
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

    def lack(self, text: str, start: int, end: int) -> bool:
        """Whether no word of the vocabularies is before a place in [start, end); False if that takes longer to tell."""
        stretch = text[start:end]
        if not stretch.isascii() or stretch.lower() != stretch.upper():
            return False
        words, plain = _reading.before(text, start)
        return plain and not self._of(words, plain)

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
        return self._of(*_reading.before(text, start))

    def _of(self, lower: list[str], plain: bool) -> dict[str, int]:
        """The same out of the words before a place."""
        found: dict[str, int] = {}
        ending, inside = self._ending, self._inside
        if plain and self._last.isdisjoint(lower):
            return found
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
