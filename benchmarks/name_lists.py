"""Generates the word lists of `gateway.detect.names`: `python -m benchmarks.name_lists` writes `words.txt.gz`.

Names, cities and countries are those of the locales of Faker (MIT). Common words are determined by the token table of
o200k_base (`limits.tokens`): tokens are ranked by frequency, and a word that is more frequent in lower case than with a
capital is not a name by itself. A test compares the file with the output of this script.
"""

from __future__ import annotations

import base64
import gzip
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from zoneinfo import available_timezones

from gateway.detect.names import lists
from gateway.detect.names.lists import Lists, fold

_PLACES: Final = (
    "countries",
    "cities",
    "city_names",
    "states",
    "provinces",
    "counties",
    "municipalities",
    "towns",
    "villages",
)

_CONTINENTS: Final = (
    "Africa Antarctica Asia Europe Oceania Scandinavia Siberia Balkans Caribbean UK USA England Scotland"
)

_NEVER: Final = 1_000_000  # the rank of a word that is not a token
_USUAL: Final = 60_000  # below this rank a name also counts as a common word


def collect(left_out: Iterable[str] = ()) -> Lists:
    """The lists of all locales except `left_out`, so that a benchmark can use names that are in no list."""
    out = frozenset(left_out)
    given: set[str] = set()
    family: set[str] = set()
    for table, words in _tables("person", out):
        if table.startswith("first_name"):
            given.update(words)
        elif table.startswith("last_name"):
            family.update(words)
    places = {word for table, words in _tables("address", out) if table in _PLACES for word in words}
    places |= {fold(zone.rpartition("/")[2].replace("_", " ")) for zone in available_timezones() if zone[:3] != "Etc"}
    places |= set(map(fold, _CONTINENTS.split()))
    ranks = _ranks()
    common = {
        fold(word)
        for word, rank in ranks.items()
        if word.islower()
        and rank < ranks.get(word.capitalize(), _NEVER)
        and (rank < _USUAL or not _name(word, given, family))
    }
    # Words at the beginning of sentences, or in headings.
    common |= _words("common.txt") | {
        fold(word) for table, words in _tables("lorem", frozenset(), "en_US") for word in words
    }
    # English words for nationalities, peoples, religions and political groups.
    singular = _words("groups.txt")
    groups = singular | {word + "s" for word in singular if not word.endswith(("s", "sh", "ch", "ese"))}
    places = {place for place in places if len(place) > 2 and place not in common and place not in groups}
    return Lists(
        frozenset(word for word in given if len(word) > 1),
        frozenset(word for word in family if len(word) > 1),
        frozenset(places),
        frozenset(groups),
        frozenset(common),
        frozenset(word for word in ranks if not word.islower()),
    )


def _name(word: str, given: set[str], family: set[str]) -> bool:
    return fold(word) in given or fold(word) in family


def _ranks() -> dict[str, int]:
    """Word that is one token of o200k_base, as written after a blank -> rank."""
    spec = importlib.util.find_spec("bpe_openai")
    assert spec is not None
    assert spec.submodule_search_locations
    table = Path(spec.submodule_search_locations[0]) / "data" / "o200k_base.tiktoken.gz"
    ranks: dict[str, int] = {}
    for token, rank in map(bytes.split, gzip.decompress(table.read_bytes()).splitlines()):
        if token.startswith(b"I"):  # base64 of a token that begins with a blank
            word = base64.b64decode(token).decode("utf-8", "ignore")
            if word[:1] == " " and word[1:].isalpha():
                ranks[word[1:]] = int(rank)
    return ranks


def _words(name: str) -> set[str]:
    return set(map(fold, (lists.FILE.parent / name).read_text(encoding="utf-8").split()))


def _tables(kind: str, left_out: frozenset[str], only: str = "") -> Iterator[tuple[str, set[str]]]:
    """(name, folded words) of the tables of one kind of Faker provider."""
    package = importlib.import_module(f"faker.providers.{kind}")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name in left_out or (only and module.name != only):
            continue
        provider: Any = importlib.import_module(f"faker.providers.{kind}.{module.name}").Provider
        for table, values in vars(provider).items():
            if isinstance(values, tuple | list | dict | set | frozenset):
                yield table, {fold(value) for value in values if isinstance(value, str)}


def main() -> None:
    """Write the file."""
    data = lists.text(collect()).encode()
    lists.FILE.write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{lists.FILE}: {lists.FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
