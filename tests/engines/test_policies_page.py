"""The statements of docs/policies.md are true."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from engines import opa_server
from engines.inputs import document
from gateway.policy.engines.bundle import load
from gateway.policy.engines.embedded import Embedded
from gateway.policy.engines.rego.builtins import COMPILED, table
from gateway.policy.engines.rego.builtins.signatures import DEPRECATED, SIGNATURES
from gateway.policy.engines.trial import run
from gateway.policy.verdict import CLASSES, read

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()


@pytest.fixture
def followed(shipped: Path, tmp_path: Path) -> Path:
    """The shipped bundle with the page's first policy added."""
    folder = tmp_path / "policies"
    shutil.copytree(shipped, folder)
    found = re.findall(r"`policies/([a-z_]+\.rego)`:\n```rego\n(.*?)```", PAGE, re.DOTALL)
    assert len(found) == 2
    for name, source in found:
        (folder / name).write_text(source)
    return folder


async def test_the_first_policy(followed: Path) -> None:
    """The policy denies as described."""
    engine = Embedded(load(followed))
    refused = read(await engine.decide(document(["developer", "intern"], tools=("get_x",))), "v")
    assert refused.rule == "intern_tools"
    assert read(await engine.decide(document(["developer", "intern"])), "v").allow


def test_the_tests_of_the_first_policy(followed: Path) -> None:
    """The tests pass here and with OPA."""
    tests = run(followed).tests
    assert sum("interns_test" in test.name for test in tests) == 2
    assert all(test.passed for test in tests)
    done = subprocess.run([opa_server.program(), "test", str(followed)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_missing_builtins() -> None:
    """The builtins of OPA that are not available are listed."""
    (listed,) = re.findall(r"These builtins of OPA are not there:\n\n`(.*?)`", PAGE, re.DOTALL)
    internal = {name for name in SIGNATURES if name.startswith("internal.")} | COMPILED
    assert listed.split() == sorted(SIGNATURES.keys() - table().keys() - DEPRECATED - internal)


def test_the_input() -> None:
    """Every name in the policy input is explained."""
    described = {word for code in re.findall(r"`([^`\n]+)`", PAGE) for word in re.split(r"\W", code)}
    for section, fields in document(["reader"]).items():
        for name in fields:
            assert name in described, f"{section}.{name}"


def test_the_classes() -> None:
    """The classes are listed with their ranks."""
    for name, rank in CLASSES.items():
        assert f"`{name}` ({rank})" in PAGE
