"""The national ids, tax and licence numbers that are looked for: those that Presidio or python-stdnum know.

Presidio's patterns and checksums give the verdict, or those of python-stdnum (`identities_numbers`). What is added is
when they may speak:

- `alone`: the form is telling (letters in fixed places, separators, a date, more than one check digit), so that fewer
  than one random value in fifty passes: found wherever it stands;
- otherwise ten digits are ten digits, and one check digit lets one in ten through: found beside a word that names it,
  in English or in the language of its country.
"""

from __future__ import annotations

from typing import Final

from gateway.detect.personal.identities_america import AMERICA
from gateway.detect.personal.identities_europe import EUROPE
from gateway.detect.personal.identities_numbers import NUMBERS
from gateway.detect.personal.identities_world import WORLD
from gateway.detect.personal.number_kind import Identity

IDENTITIES: Final[tuple[Identity, ...]] = (*WORLD, *EUROPE, *AMERICA, *NUMBERS)


def countries() -> frozenset[str]:
    """The countries (ISO 3166) that have numbers here."""
    return frozenset(identity.country for identity in IDENTITIES)
