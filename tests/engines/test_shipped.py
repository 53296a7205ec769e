"""The shipped policies: their own tests, here and with OPA, and OPA's style."""

from __future__ import annotations

import shutil
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


HOSTED = """package rules.settings_test

import data.rules.hosted

asks(type) := {
	"subject": {"roles": ["admin"]},
	"action": {"kind": "llm", "tools": [], "hosted": [{"type": type, "name": type, "host": ""}]},
}

codes(type) := found if {
	found := {rule.code | some rule in hosted.deny} with input as asks(type)
}

test_search if codes("web_search") == WHAT

test_code if codes("code_interpreter") == set()
"""


@pytest.mark.parametrize(("more", "codes"), [("", '{"hosted_tool"}'), ("\n    - web_search", "set()")])
def test_settings_of_hosted_tools(shipped: Path, tmp_path: Path, more: str, codes: str) -> None:
    """As shipped, a search is denied; an operator who allows one in `data.yaml` breaks no test of the bundle."""
    shutil.copytree(shipped, tmp_path / "policies")
    data = tmp_path / "policies" / "data.yaml"
    data.write_text(data.read_text().replace("\n    - apply_patch", f"\n    - apply_patch{more}"))
    (tmp_path / "policies" / "settings_test.rego").write_text(HOSTED.replace("WHAT", codes))
    assert [test for test in run(tmp_path / "policies").tests if not test.passed] == []
