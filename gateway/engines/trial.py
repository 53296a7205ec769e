"""Tries a bundle in a process of its own: admits, compiles and tests it before the gateway takes it.

The interpreter can end its whole process over a construct that it does not know, or run without end. So the trial does
all that the gateway would do with the bundle: reads it, compiles it, runs its tests, and judges a spread of inputs
(`spread`). Whatever a bundle does to it, the gateway stays up and the last good bundle judges on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from gateway.engines.base import PolicyUnavailable
from gateway.engines.bundle import Bundle, TestResult, load, run_tests
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.engines.embedded import Embedded

LIMIT = 30.0  # seconds for all tests of a bundle
SPREAD = 0.5  # seconds in which a bundle judges inputs that were made up for it, as many as it gets through
_SHOWN = 5  # failed tests that one message names
_STAGES = {b"read": "is read", b"compiled": "is compiled", b"tested": "runs its tests", b"judged": "judges inputs"}
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
    *stages, last = child.stdout.split(b"\n")
    if child.returncode != 0:
        raise ConfigError(
            f"{path}: the embedded engine breaks down when this bundle {_STAGES[stages[-1]] if stages else 'is tried'} "
            f"({_ending(child.returncode)}); take back the last change, or use `policy.engine: wasm` or "
            "`policy.engine: opa`"
        )
    answer = orjson.loads(last)
    if "problem" in answer:
        raise ConfigError(answer["problem"])
    return Trial(answer["version"], [TestResult(**test) for test in answer["tests"]])


def tried(path: str | Path) -> Bundle:
    """The bundle in a folder, after its trial. Raises ConfigError unless it stands that and all of its tests pass."""
    version, tests = run(path)
    all_passed(tests)
    bundle = load(path)  # after the trial: what cannot be read ends that process, not this one
    if version != bundle.version:
        raise ConfigError(f"{path}: it changed while it was read")
    return bundle


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

    with open(stdout, "wb") as out:

        def stage(name: str) -> None:
            out.write(name.encode() + b"\n")
            out.flush()

        answer: dict[str, object]
        try:
            stage("read")
            bundle = load(path)
            stage("compiled")
            engine = Embedded(bundle)
            stage("tested")
            answer = {"version": bundle.version, "tests": run_tests(bundle)}
            stage("judged")
            asyncio.run(_judge(engine, bundle))
        except ConfigError as error:
            answer = {"problem": str(error)}
        except RecursionError:
            answer = {"problem": f"{path}: something in it is nested too deeply to be read"}
        out.write(orjson.dumps(answer))
    os._exit(0)  # an evaluation that was given up may still run on its thread


async def _judge(engine: Embedded, bundle: Bundle) -> None:
    """Judge a spread of inputs. What the verdicts are does not matter."""
    from gateway.engines.spread import inputs

    end = time.monotonic() + SPREAD
    for document in inputs(bundle):
        with contextlib.suppress(PolicyUnavailable):
            await engine.decide(document)
        if time.monotonic() > end:
            return


def _ending(code: int) -> str:
    try:
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"
