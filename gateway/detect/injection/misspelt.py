"""Key words of cues with one typing error: a missing, additional or different letter, or two letters swapped.

A text with such a word is read again with the words corrected; its cues then count like any others. Only words of at
least six letters that few harmless texts contain are corrected, and no other form of a word: `ignored` and `systems`
are correct. Two words written as one (`ignoreall`) also count as an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_lowercase
from typing import Final

import regex

from gateway.budget import once
from gateway.detect.core.expressions import compiled

WORDS: Final = (
    *("ignore", "disregard", "forget", "override", "reveal"),
    *("previous", "instructions", "system", "prompt"),
)
"""The key words. Each adds one per cent to the time of a scan."""
_VERBS: Final = ("ignore", "disregard", "forget", "override", "bypass", "reveal", "repeat")
_MIDDLES: Final = ("all", "any", "your", "the", "every", "previous", "prior", "above")
_BEFORE: Final = "all|any|system|previous|prior|above"
_NOUNS: Final = ("previous", "prior", "above", "instructions", "prompt")
_MORE: Final = (
    "instruction",
    "prompts",
    "rules",
    "guidelines",
    "and",
    "earlier",
    "system",
    "hidden",
    "initial",
    "of",
    "me",
)
_RIGHT: Final = frozenset(
    ("forgot", "gorget", "signore", "precious", "receding", "revel", "repeal", "carlier", "sistem")
)
"""Correct words of English or another language that differ from a key word by one error."""
_WORD: Final = regex.compile(r"(?<![a-z0-9_])[a-z]{5,64}(?![a-z0-9_])")


def _errors(word: str) -> Iterator[str]:
    """Patterns of a word with one error; none matches the word itself or adds a letter to its end."""
    yield word[0] + word
    for at, letter in enumerate(word[:-1]):
        before, after = word[:at], word[at + 1 :]
        yield before + after
        yield f"{before}[{ascii_lowercase.replace(letter, '')}]{after}"
        if at:
            yield f"{before}[a-z]{letter}{after}"
        if after[0] != letter:
            yield before + after[0] + letter + after[1:]
    yield f"{word[:-1]}[a-z]{word[-1]}"


_ONES: Final = tuple((word, "|".join(_errors(word))) for word in WORDS)
_PARTS: Final = "|".join(
    sorted({*_VERBS, *_MIDDLES, *_BEFORE.split("|"), *_NOUNS, *_MORE}, key=lambda part: (-len(part), part))
)
_JOINED: Final = (
    rf"(?:(?:{'|'.join(_VERBS)})(?:{'|'.join(_MIDDLES)})|(?:{_BEFORE})(?:{'|'.join(_NOUNS)}))(?:{_PARTS}){{0,8}}"
)
PATTERNS: Final = (*(rf"\b(?:{errors})\b" for _, errors in _ONES), rf"\b(?:{_JOINED})\b")
"""Patterns of key words with an error, in the syntax that Hyperscan and `regex` share."""
_MATCHERS: Final = tuple((word, compiled(errors)) for word, errors in _ONES)
_APART: Final = compiled(rf"(?=({_JOINED})\b)(?:({_PARTS}))+")


def corrected(text: str) -> str:
    """A lower-case text with its key words corrected."""
    return _WORD.sub(lambda found: _corrected(found[0]), text)


@once
def _corrected(word: str) -> str:
    if word in WORDS or word in _RIGHT:
        return word
    if apart := _APART.fullmatch(word):
        return " ".join(apart.captures(2))
    return next((right for right, errors in _MATCHERS if errors.fullmatch(word)), word)
