"""docs/config.md names every type of finding, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.detect.personal.identities import IDENTITIES
from gateway.detect.secrets.scanner import TYPES

REFERENCE = (Path(__file__).parents[2] / "docs" / "config.md").read_text()


def test_national_numbers_are_listed() -> None:
    """By country, in the order of the tables."""
    known: dict[str, dict[str, None]] = {}
    for identity in IDENTITIES:
        known.setdefault(identity.country, {})[identity.entity] = None
    rows = [f"| {country} | {', '.join(f'`{name}`' for name in known[country])} |" for country in sorted(known)]
    table = REFERENCE.partition("| country | entities |\n|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == rows


def test_secrets_are_listed() -> None:
    """By name."""
    line = next(line for line in REFERENCE.splitlines() if line.startswith("**Secrets.** "))
    assert re.findall(r"`(\w+)`", line) == sorted(TYPES)
