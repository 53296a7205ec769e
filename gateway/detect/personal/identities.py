"""National ids, tax numbers and licence numbers that Presidio or python-stdnum know.

The patterns and checksums of Presidio or python-stdnum (`identities_numbers`) decide. Added here is where a number
counts:

- `alone`: the form is specific (letters in fixed places, separators, a date, more than one check digit), so that fewer
  than one random value in fifty passes: the number is found anywhere;
- otherwise any ten digits have the form, and one check digit lets one in ten through: the number is found only after a
  word that names it, in English or in the language of its country.
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
    """The countries (ISO 3166) whose numbers are supported."""
    return frozenset(identity.country for identity in IDENTITIES)
