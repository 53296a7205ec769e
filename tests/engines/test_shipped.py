"""The shipped policies: their own tests, here and with OPA, and OPA's style."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engines import opa_server
from gateway.policy.engines.trial import run


def test_their_tests_pass_here(shipped: Path) -> None:
    """All tests pass in-process, and every file of rules has tests."""
    tests = run(shipped).tests
    assert [test for test in tests if not test.passed] == []
    rules = {path.stem for path in shipped.glob("*.rego") if not path.stem.endswith("_test")}
    assert {Path(test.file).stem.removesuffix("_test") for test in tests} == rules


@pytest.mark.parametrize("command", [["check", "--strict"], ["test"], ["fmt", "--fail", "--list"]])
def test_opa_finds_nothing_wrong(command: list[str], shipped: Path) -> None:
    """The strict check, the tests and the format pass with OPA."""
    done = subprocess.run([opa_server.program(), *command, str(shipped)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
