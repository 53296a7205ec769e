"""Words that are names somewhere: given and family names, cities, countries, from the locales of Faker (MIT).

A list knows names that a sentence says nothing about, and a cue (`cues`) those that no list knows. Common English words
are told apart, because many of them are somebody's name: of Will, May and Grace only what surrounds them can say.
"""

from __future__ import annotations

import importlib
import pkgutil
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zoneinfo import available_timezones

_PLACES: Final = ("cities", "city_names", "states", "provinces", "counties", "municipalities", "towns", "villages")
_LOCALES_OF_PLACES: Final = ("", "countries", *_PLACES)
_CONTINENTS: Final = (
    "Africa Antarctica Asia Europe Oceania Scandinavia Siberia Balkans Caribbean UK USA England Scotland"
)

_NOT_ALONE: Final = frozenset({"polish", "labour", "orthodox", "democratic", "pole", "scot", "finn", "thai", "jain"})


@dataclass(frozen=True, slots=True)
class Lists:
    """Sets of folded words and phrases; see `fold`."""

    given: frozenset[str]
    family: frozenset[str]
    places: frozenset[str]
    groups: frozenset[str]
    common: frozenset[str]
    longest_place: int

    def known(self, word: str) -> bool:
        """Whether it is part of somebody's name somewhere."""
        return word in self.given or word in self.family


def fold(word: str) -> str:
    """A word as the lists hold it: without case and accents."""
    decomposed = unicodedata.normalize("NFKD", word.replace("ł", "l").replace("Ł", "L").replace("ø", "o"))
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold().replace("\u2019", "'")


def load(left_out: Iterable[str] = ()) -> Lists:
    """Read the lists; `left_out` are locales to do without, so that a benchmark can ask for names nobody told us.

    Raises ModuleNotFoundError where Faker is not installed.
    """
    out = frozenset(left_out)
    given: set[str] = set()
    family: set[str] = set()
    for table, words in _tables("person", out):
        if table.startswith("first_name"):
            given.update(words)
        elif table.startswith("last_name"):
            family.update(words)
    places = {word for table, words in _tables("address", out) if table in _LOCALES_OF_PLACES for word in words}
    places |= {fold(zone.rpartition("/")[2].replace("_", " ")) for zone in available_timezones() if zone[:3] != "Etc"}
    places |= set(map(fold, _CONTINENTS.split()))
    # Words that begin sentences or stand in headings, beyond Faker's list of the commonest.
    common = _words("common.txt") | {
        fold(word) for table, words in _tables("lorem", frozenset(), "en_US") for word in words
    }
    # Nationalities, peoples, religions and politics, as English says them of people.
    singular = _words("groups.txt")
    groups = singular | {word + "s" for word in singular if not word.endswith(("s", "sh", "ch", "ese"))}
    places = {place for place in places if len(place) > 2 and place not in common and place not in groups}
    return Lists(
        frozenset(word for word in given if len(word) > 1),
        frozenset(word for word in family if len(word) > 1),
        frozenset(places),
        frozenset(groups - _NOT_ALONE),
        frozenset(common),
        max(place.count(" ") for place in places) + 1,
    )


def _words(name: str) -> set[str]:
    return set(map(fold, (Path(__file__).parent / name).read_text(encoding="utf-8").split()))


def _tables(kind: str, left_out: frozenset[str], only: str = "") -> Iterator[tuple[str, set[str]]]:
    """(name, folded words) of the tables of a kind of Faker's providers."""
    package = importlib.import_module(f"faker.providers.{kind}")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name in left_out or (only and module.name != only):
            continue
        provider: Any = importlib.import_module(f"faker.providers.{kind}.{module.name}").Provider
        for table, values in vars(provider).items():
            if isinstance(values, tuple | list | dict | set | frozenset):
                yield table, {fold(value) for value in values if isinstance(value, str)}
