"""The expressions of `expressions.txt`, one per line: both refuse each, or give the same value, or undefined."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

from engines import opa_server
from gateway.policy.engines.rego import EvaluationError, RegoError, compile_bundle

HERE = Path(__file__).parent
HEAD = "package m\n\n"
INPUT = {
    "a": 1, "b": ["x", "y"], "c": {"k": "v"}, "neg0": -0.0, "big": 12345678901234567890123, "f": 1.1, "one": 1.0,
    "s": "héllo", "nfc": "e\u0301", "hi": "\U0001f600z", "e": 1e300, "arr": [3, 1, 2], "n": None, "t": True, "str": "5",
}  # fmt: skip


def test_expressions(tmp_path: Path) -> None:
    """Every builtin, with valid and invalid arguments: the same result as with the program `opa`."""
    lines = (HERE / "expressions.txt").read_text().splitlines()
    wrong, refused = _refused_here(lines), _refused_by_opa(lines, tmp_path)
    assert {lines[at] for at in wrong ^ refused} == set()
    left = {f"r{at}": line for at, line in enumerate(lines) if at not in refused}
    source = HEAD + "\n".join(f"{name} := {line}" for name, line in left.items()) + "\n"
    (tmp_path / "m.rego").write_text(source)
    (tmp_path / "input.json").write_text(json.dumps(INPUT))
    command = [opa_server.program(), "eval", "-d", "m.rego", "-i", "input.json", "--format", "json", "data.m"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    wanted: dict[str, Any] = json.loads(done.stdout)["result"][0]["expressions"][0]["value"]
    program = compile_bundle({"m.rego": source})
    found: dict[str, Any] = program.document(("data", "m"), program.env(json.loads(json.dumps(INPUT))))
    different = [
        (line, wanted.get(name, "undefined"), found.get(name, "undefined"))
        for name, line in left.items()
        if not _same(wanted.get(name, "undefined"), found.get(name, "undefined"))
    ]
    assert different == []


def test_no_fault_of_python() -> None:
    """In strict mode, each expression has a value or one of OPA's errors: no other exception is raised."""
    for line in (HERE / "expressions.txt").read_text().splitlines():
        with contextlib.suppress(RegoError, EvaluationError):
            program = compile_bundle({"m.rego": f"{HEAD}r := {line}\n"})
            program.document(("data", "m", "r"), program.env(INPUT, strict=True))


def _refused_here(lines: list[str]) -> set[int]:
    found = set()
    for at, line in enumerate(lines):
        try:
            compile_bundle({"m.rego": f"{HEAD}r := {line}\n"})
        except RegoError:
            found.add(at)
    return found


def _refused_by_opa(lines: list[str], folder: Path) -> set[int]:
    """OPA stops at the first kind of error, so it is queried again without the refused expressions."""
    found: set[int] = set()
    while True:
        rules = [f"r{at} := {line}" if at not in found else "" for at, line in enumerate(lines)]
        (folder / "m.rego").write_text(HEAD + "\n".join(rules) + "\n")
        command = [opa_server.program(), "check", "--format", "json", "--max-errors", "1000000", "m.rego"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
        errors = json.loads(done.stderr)["errors"] if done.returncode else []
        if not errors:
            return found
        more = {error["location"]["row"] - 3 for error in errors}
        assert more - found
        found |= more


def _same(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, float) or isinstance(found, float):
        return isinstance(found, int | float) and abs(wanted - found) <= 1e-12 * abs(wanted)
    return json.dumps(wanted, sort_keys=True) == json.dumps(found, sort_keys=True)
