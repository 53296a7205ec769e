"""Lists of names: given and family names, cities, countries.

Lists find names without cues in the sentence, and cues (`cues`) find names that are not in the lists. Common words are
a separate list, because many of them are also names: for Will, May and Grace the context decides.

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
    """Common words with a capital, as usually written: Kubernetes, Monday, JSON."""

    def known(self, word: str) -> bool:
        """Whether a word is part of a person's name in some language."""
        return word in self.given or word in self.family


def fold(word: str) -> str:
    """A word in the form of the lists: without case and accents."""
    decomposed = unicodedata.normalize("NFKD", word.replace("ł", "l").replace("Ł", "L").replace("ø", "o"))
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold().replace("\u2019", "'")


def load() -> Lists:
    """Read the lists from the file, in about 0.1 s."""
    parts = gzip.decompress(FILE.read_bytes()).decode().split("\n\n")
    return Lists(*[frozenset(part.split("\n")) for part in parts])


def text(lists: Lists) -> str:
    """The lists in the format of the file: one word per line, sorted, with an empty line between two lists."""
    return "\n\n".join("\n".join(sorted(getattr(lists, one.name))) for one in fields(lists))
