"""`meshgate policy test`: the tests of a bundle, run by the engine of the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines import opa_server
from engines.bundles import Write
from gateway.cli import main

RULE = 'package gateway\ndecision := {"allow": allow}\ndefault allow := false\nallow if %s'
TESTS = "package gateway_test\nimport data.gateway\ntest_yes if gateway.decision.allow with input as {%s}\n"


@pytest.mark.parametrize("engine", ["embedded", "wasm", "opa"])
def test_what_passes_and_what_fails(engine: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """All engines report the same outcome and the same version."""
    opa_server.program()
    folder = write({"p.rego": RULE % "input.x == 1", "p_test.rego": TESTS % '"x": 1'})
    assert main(["policy", "test", str(folder), "--engine", engine, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] == ["data.gateway_test.test_yes"]
    version = found["version"]
    write({"p_test.rego": TESTS % '"x": 2'})
    assert main(["policy", "test", str(folder), "--engine", engine]) == 1
    said = capsys.readouterr()
    assert "0 of 1 tests passed" in said.out
    assert "data.gateway_test.test_yes" in said.err
    assert version not in said.out


def test_a_bundle_that_the_engine_may_not_judge(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """The command reports this, and names the engine that can run the bundle."""
    folder = write({"p.rego": RULE % "graphql.is_valid(input.x, input.y)"})
    assert main(["policy", "test", str(folder)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "p.rego:4: graphql.is_valid is not available in the embedded engine" in said
    assert "use `policy.engine: opa`" in said


def test_coverage(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """Lists lines of rules that no test evaluates: after a condition that never held, or in an unused definition."""
    rules = (
        'package gateway\ndecision := {"allow": allow, "deny": deny}\ndefault allow := false\n'
        "allow if input.x == 1\nallow if {\n  input.y == 1\n  input.z == 2\n}\n"
        'deny contains "w" if {\n  some w in input.ws\n  w > 1\n}\n'
    )
    folder = write({"p.rego": rules, "p_test.rego": TESTS % '"x": 1'})
    assert main(["policy", "test", str(folder), "--coverage", "--json"]) == 0
    coverage = json.loads(capsys.readouterr().out)["coverage"]
    missed = [place.rpartition(":")[2] for place in coverage["missed"]]
    assert missed == ["6", "7", "11"]
    assert coverage["lines"] > len(missed)
    assert main(["policy", "test", str(folder), "--coverage"]) == 0
    assert f"{folder / 'p.rego'}:11" in capsys.readouterr().out


def test_strict(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """Unused names are errors, with their line; other engines leave this check to OPA."""
    folder = write({"p.rego": "package gateway\nimport data.unused\ndecision := {}\n"})
    assert main(["policy", "test", str(folder)]) == 0
    assert main(["policy", "test", str(folder), "--strict"]) == 2
    assert "p.rego:2: import data.unused unused (rego_compile_error)" in " ".join(capsys.readouterr().err.split())
    assert main(["policy", "test", str(folder), "--strict", "--engine", "wasm"]) == 2
    assert "opa check --strict" in capsys.readouterr().err


def test_bench(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reports the time of a decision and of each rule, also for a given input."""
    folder = write({"p.rego": RULE % "input.x == 1"})
    file = tmp_path / "input.json"
    file.write_text('{"x": 1}')
    assert main(["policy", "bench", str(folder), "--input", str(file), "--json", "--rounds", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {rule["rule"] for rule in found["rules"]} == {"gateway.decision", "gateway.allow"}
    assert main(["policy", "bench", str(folder), "--rounds", "3"]) == 0
    said = capsys.readouterr().out
    assert "us for a decision that is not memoized" in said
    assert f"gateway.allow   [{folder / 'p.rego'}:3]" in said
