"""Words of a text, and candidates for entities in a NER worker."""

from __future__ import annotations

from typing import Final, NamedTuple

import regex

from gateway.detect.names import cues
from gateway.detect.names.lists import fold

_WORD: Final = regex.compile(cues.WORD)
_NEXT: Final = regex.compile(r"[ \u00a0]")
_INITIAL: Final = regex.compile(r"\.[ \u00a0]")


class Candidate(NamedTuple):
    """A stretch that may be an entity: [start, end), type, score (0 to 1)."""

    start: int
    end: int
    entity: str
    score: float


class Token(NamedTuple):
    """A word: its place, its form in the lists, and how it is written."""

    start: int
    end: int
    word: str
    capital: bool
    shouted: bool  # at least two letters, all capitals

    @property
    def initial(self) -> bool:
        """Whether the word is one letter, as in J. Doe."""
        return self.end - self.start == 1 and self.capital


def tokens(text: str, start: int = 0, end: int | None = None) -> list[Token]:
    """The words of a stretch, each without a possessive s."""
    found = []
    for match in _WORD.finditer(text, start, len(text) if end is None else end):
        low, high = match.span()
        word = match.group()
        if word[-2:] in ("'s", "’s"):
            word, high = word[:-2], high - 2
        found.append(Token(low, high, fold(word), word[0].isupper(), len(word) > 1 and word.isupper()))
    return found


def adjacent(text: str, one: Token, other: Token) -> bool:
    """Whether only a blank is between two words, or the full stop of an initial and a blank."""
    if _NEXT.fullmatch(text, one.end, other.start):
        return True
    return one.end - one.start <= 2 and bool(_INITIAL.fullmatch(text, one.end, other.start))
