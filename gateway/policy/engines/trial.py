"""Tries a bundle before it takes effect: the bundle must compile, and its own tests must pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.errors import ConfigError
from gateway.policy.engines.bundle import Bundle, TestResult, load, run_tests

_SHOWN = 5  # maximum number of failed tests in one message


class Trial(NamedTuple):
    """The result of trying a bundle: its version and its tests."""

    version: str
    tests: list[TestResult]


def run(path: str | Path, *, strict: bool = False) -> Trial:
    """Try the bundle in a folder. Raises ConfigError if it does not compile."""
    from gateway.policy.engines.embedded import Embedded

    bundle = load(path)
    Embedded(bundle, strict=strict)
    return Trial(bundle.version, run_tests(bundle, strict=strict))


def tried(path: str | Path, *, strict: bool = False) -> Bundle:
    """The bundle in a folder. Raises ConfigError unless the bundle compiles and all its tests pass."""
    from gateway.policy.engines.embedded import check_entry_point

    bundle = load(path)
    check_entry_point(bundle)
    all_passed(run_tests(bundle, strict=strict))
    return bundle


def all_passed(tests: Sequence[TestResult]) -> None:
    """Raise ConfigError with the failed tests, if any."""
    failed = [test for test in tests if not test.passed]
    if failed:
        shown = "; ".join(f"{test.file}: {test.name}: {test.message}" for test in failed[:_SHOWN])
        raise ConfigError(f"{len(failed)} of the bundle's own tests failed: {shown}")
