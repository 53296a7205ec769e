"""Precision and recall of each national number: `python -m benchmarks.national`, a section of `benchmarks.detection`.

True values (`benchmarks.values`) are in sentences after a word that names them, and values that are found anywhere also
alone. False values are in the same kind of sentence without such a word. "Under its own name" is lower if two countries
have the same form (British and Italian passport numbers). The last column is the share of random texts of the same form
that pass without a word: these cannot be distinguished.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from faker import Faker

from benchmarks.values import entities, false_values, same_shape, true_values
from gateway.config.sections import Pii
from gateway.detect.personal.number_kind import Identity
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.personal.scanner import entities as detected

AIM: Final = 0.95
_NAMED: Final = ("My {word} is {value}.", "{word}: {value}", "{word} {value}", "Please check the {word} {value} again")
_ALONE: Final = ("It says {value} on the form.", "{value}", "He wrote {value}, I think", "- {value}\n- done")
_HARMLESS: Final = ("Row {value} is done.", "Order {value} has shipped", "{value} failed", "see {value} in the log")


class Rates(NamedTuple):
    """The shares of one entity, from 0 to 1; None if there are no values."""

    any_name: float  # after its word, under any name
    named: float  # under its own name
    alone: float | None
    precision: float
    shape: float | None

    def good(self) -> bool:
        """Whether the target is met: a value with the form of two countries counts under either name."""
        return min(self.any_name, 1.0 if self.alone is None else self.alone, self.precision) >= AIM


def rates(scanner: PiiScanner, ways: Sequence[Identity], size: int) -> Rates:
    """The shares of one entity, for its given forms."""
    entity, every = ways[0].entity, detected()
    fake = Faker(["en_US", "de_DE", "sv_SE"])

    def found(text: str, value: str, names: Collection[str]) -> bool:
        at, most = text.index(value), len(value)
        spans = [(one.start, one.end) for one in scanner.scan(text) if one.entity in names]
        return any(low < at + most and at < high and 2 * (high - low) >= most for low, high in spans)

    def share(sentences: Sequence[str], values: Iterator[str], words: Sequence[str]) -> list[float]:
        own = anyhow = 0
        for value in islice(values, size):
            text = random.choice(sentences).format(value=value, word=random.choice(words))
            own += found(text, value, {entity})
            anyhow += found(text, value, every)
        return [anyhow / size, own / size]

    named = [way for way in ways if way.words]
    alone = [way for way in ways if way.alone]
    first = share(_NAMED, true_values(named[0]), named[0].words)
    second = share(_ALONE, true_values(alone[0]), [""])[0] if alone else None
    sample = next(true_values(ways[0]))
    wrong = share(_HARMLESS, false_values(fake, sample), [""])[1]
    shape = share(_ALONE, (same_shape(alone[0]) for _ in iter(int, 1)), [""])[1] if alone else None
    precision = first[1] / (first[1] + wrong) if wrong else 1.0
    return Rates(first[0], first[1], second, precision, shape)


def section(size: int, seed: int) -> list[str]:
    """The table as lines of Markdown."""
    random.seed(seed)
    Faker.seed(seed)
    config = Pii()
    scanner = PiiScanner(config.regions, config.score, Path("var"))
    every = {entity: rates(scanner, ways, size) for entity, ways in sorted(entities().items())}
    lines = [
        f"## National numbers: {size} values of each, and as many false ones",
        "",
        "| kind | recall beside its word | under its own name | recall alone | precision | same form, alone |",
        "|---|---|---|---|---|---|",
    ]
    for entity, one in every.items():
        cells = (one.any_name, one.named, one.alone, one.precision, one.shape)
        lines.append(f"| {entity} | {' | '.join(map(_cell, cells))} |")
    short = [entity for entity, one in every.items() if not one.good()]
    return [*lines, "", f"Below {AIM}: {', '.join(short) or 'none'}.", ""]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    print("\n".join(section(int(sys.argv[1]) if sys.argv[1:] else 100, 20)))
