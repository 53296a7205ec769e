"""The table that `make bench` writes into the README."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.process import BenchmarkError
from benchmarks.report import ratio
from benchmarks.run import in_readme

ROOT = Path(__file__).resolve().parent.parent


def test_the_table_replaces_the_one_before() -> None:
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    readme = (ROOT / "README.md").read_text()
    once = in_readme(readme, results)
    assert in_readme(once, results) == once
    assert len(once.splitlines()) - len(readme.splitlines()) <= 20
    results["cells"]["1k"]["sqlite"]["rate"] = 123456.0
    assert "123,456" in in_readme(once, results)


def test_ratios_are_those_of_rounds() -> None:
    """A machine that is slower in one round changes no ratio."""
    row: dict[str, dict[str, Any]] = {
        "sqlite": {"rate": 100.0, "rates": [50.0, 100.0, 300.0]},
        "minimal": {"rate": 1000.0, "rates": [500.0, 1000.0, 1500.0]},
        "redis": {"rate": 10.0},
    }
    assert ratio(row, "sqlite", "minimal") == 0.1
    assert ratio(row, "redis", "sqlite") == 0.1
    assert ratio(row, "sqlite", "bare") is None


def test_a_readme_without_a_place_for_the_table() -> None:
    with pytest.raises(BenchmarkError, match="no place for the table"):
        in_readme("# Speed\n", {"about": {}, "cells": {}})
