"""Context words: a weak match counts for more where a word like "card" or "passport" stands shortly before it.

Presidio's `LemmaContextAwareEnhancer` with its defaults (five words before the match, none after, substrings count,
+0.35, at least 0.4), over words split here instead of by a language model. Only the text before the match counts,
at most `REACH` characters, so in a stream a match is judged as soon as it is complete.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import regex

from gateway.detect.personal.placeholders import WRITTEN
from gateway.detect.personal.presidio import STOP_WORDS

REACH: Final = 160
BOOST: Final = 0.35
FLOOR: Final = 0.4
WORDS: Final = 6  # five before the match, and the word in which the match begins

# Runs of white space beyond one blank count as a word, and punctuation separates without counting, as in spaCy.
TOKENS: Final = regex.compile(r"[\p{L}\p{M}\p{N}_]+|[^\S ]\s*| \s+|[^\p{L}\p{M}\p{N}_\s]")
_PLACEHOLDER: Final = regex.compile(WRITTEN)
_PUNCTUATION: Final = regex.compile(r"\p{P}")


class ContextWords:
    """The context words of one recognizer."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = tuple(word.lower() for word in words)
        self._any = regex.compile("|".join(map(regex.escape, self._words)), regex.IGNORECASE)

    def support(self, text: str, start: int, end: int) -> bool:
        """Whether a context word is before [start, end) in `text`, or in the word in which the stretch begins."""
        low = max(0, start - REACH)
        if not self._any.search(text, low, end):
            return False
        return any(word in token for token in keywords(text, low, start, end) for word in self._words)


def _without_placeholders(text: str) -> str:
    """The text without the names in placeholders: they describe the value that was replaced, not the next value."""
    return _PLACEHOLDER.sub("-", text) if "<" in text else text


def boosted(score: float) -> float:
    """The score of a match with a context word."""
    return min(1.0, max(FLOOR, score + BOOST))


def keywords(text: str, low: int, start: int, end: int) -> list[str]:
    """The last significant words of `text` from `low` on, up to the word in which [start, end) begins."""
    tokens = TOKENS.findall(_without_placeholders(text[low:end]))
    begun = TOKENS.findall(text, start, end)
    while len(begun) > 1 and tokens:  # words within the match, except the first, are not its context
        begun.pop()
        tokens.pop()
    if low and tokens and not text[low - 1].isspace() and not text[low].isspace():
        tokens.pop(0)  # the reach begins in the middle of this word
    found: list[str] = []
    for token in reversed(tokens):
        word = token.lower()
        if word not in STOP_WORDS and not _PUNCTUATION.fullmatch(word):
            found.append(word)
            if len(found) == WORDS:
                break
    return found
