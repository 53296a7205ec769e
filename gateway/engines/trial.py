"""Tries a bundle in a process of its own: admits, compiles and tests it before the gateway takes it.

The interpreter can end its whole process over a construct that it does not know, or run without end. Whatever a bundle
does to it, the gateway stays up and the last good bundle judges on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from gateway.engines.bundle import Bundle, TestResult, load, run_tests
from gateway.errors import ConfigError

LIMIT = 30.0  # seconds for all tests of a bundle
_SHOWN = 5  # failed tests that one message names
_ROOT = str(Path(__file__).parents[2])
_CODE = f"import sys; sys.path.insert(0, {_ROOT!r}); from {__name__} import main; main(sys.argv[1])"


class Trial(NamedTuple):
    """How a bundle did: the version that was tried, and its tests."""

    version: str
    tests: list[TestResult]


def run(path: str | Path) -> Trial:
    """Try the bundle in a folder. Raises ConfigError if it may not be used, does not compile or ends the process."""
    try:
        child = subprocess.run(  # noqa: S603  our own interpreter and our own code
            [sys.executable, "-c", _CODE, str(path)], capture_output=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{path}: the tests of the bundle ran longer than {LIMIT:g} s") from None
    if child.returncode != 0:
        raise ConfigError(
            f"{path}: the embedded engine breaks down over this bundle (exit code {child.returncode}); take back the "
            "last change, or use `policy.engine: opa`"
        )
    answer = orjson.loads(child.stdout)
    if "problem" in answer:
        raise ConfigError(answer["problem"])
    return Trial(answer["version"], [TestResult(**test) for test in answer["tests"]])


def passes(bundle: Bundle) -> None:
    """Raises ConfigError unless the bundle stands its trial and all of its tests pass."""
    version, tests = run(bundle.path)
    if version != bundle.version:
        raise ConfigError(f"{bundle.path}: it changed while it was read")
    all_passed(tests)


def all_passed(tests: Sequence[TestResult]) -> None:
    """Raises ConfigError that names those which did not."""
    failed = [test for test in tests if not test.passed]
    if failed:
        shown = "; ".join(f"{test.file}: {test.name}: {test.message}" for test in failed[:_SHOWN])
        raise ConfigError(f"{len(failed)} of the bundle's own tests failed: {shown}")


def main(path: str) -> None:
    """The child: its answer is one JSON object on stdout, where nothing that the interpreter prints may come."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    from gateway.engines.embedded import Embedded

    answer: dict[str, object]
    try:
        bundle = load(path)
        Embedded(bundle)
        answer = {"version": bundle.version, "tests": run_tests(bundle)}
    except ConfigError as error:
        answer = {"problem": str(error)}
    with open(stdout, "wb") as out:
        out.write(orjson.dumps(answer))
