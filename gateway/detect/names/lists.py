"""Words that are names somewhere: given and family names, cities, countries.

A list knows names that a sentence says nothing about, and a cue (`cues`) those that no list knows. Common words are
told apart, because many of them are somebody's name: of Will, May and Grace only what surrounds them can say.

`words.txt.gz` is made by `benchmarks.name_lists` from the locales of Faker, whose licence is in `words.LICENSE`.
"""

from __future__ import annotations

import gzip
import unicodedata
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parent / "words.txt.gz"


@dataclass(frozen=True, slots=True)
class Lists:
    """Sets of folded words and phrases; see `fold`."""

    given: frozenset[str]
    family: frozenset[str]
    places: frozenset[str]
    groups: frozenset[str]
    common: frozenset[str]
    famous: frozenset[str]
    """Words with a capital that everybody writes, as they are written: Kubernetes, Monday, JSON."""

    def known(self, word: str) -> bool:
        """Whether it is part of somebody's name somewhere."""
        return word in self.given or word in self.family


def fold(word: str) -> str:
    """A word as the lists hold it: without case and accents."""
    decomposed = unicodedata.normalize("NFKD", word.replace("ł", "l").replace("Ł", "L").replace("ø", "o"))
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold().replace("\u2019", "'")


def load() -> Lists:
    """Read the lists from the file, in about 0.1 s."""
    parts = gzip.decompress(FILE.read_bytes()).decode().split("\n\n")
    return Lists(*[frozenset(part.split("\n")) for part in parts])


def text(lists: Lists) -> str:
    """The lists as the file holds them: a word a line, sorted, and an empty line between two lists."""
    return "\n\n".join("\n".join(sorted(getattr(lists, one.name))) for one in fields(lists))
