"""Recorded decisions evaluated again: changes, counts, examples, and an exit code for a pull request."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import upstream as scripted
from gateway.call import Obligations
from gateway.cli import main
from gateway.cli.commands.decisions import moment
from gateway.policy.replay import Verdict, change, events, verdict
from line import Line, config, running
from replays import STRICT, run

SHIPPED = Path(__file__).resolve().parent.parent / "policies"


@pytest.fixture
def line(up: scripted.Upstream, tmp_path: Path) -> Iterator[Line]:
    """A gateway with the shipped policies that has decided three calls, two of them on the model echo."""
    bundle = tmp_path / "policies"
    shutil.copytree(SHIPPED, bundle)
    with running(tmp_path, config(tmp_path, up.url, policy={"path": str(bundle)})) as line:
        line.chat("one", cid="first")
        line.chat("two", cid="second")
        line.chat("three", model="demo", cid="third")
        line.rows("SELECT 1")
        yield line


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    folder = tmp_path / "candidate"
    shutil.copytree(SHIPPED, folder)
    return folder


def test_the_same_bundle_changes_nothing(line: Line, candidate: Path) -> None:
    """Exit code 0, and how many were judged."""
    code, printed = run(line, "policy", "replay", "--against", str(candidate))
    assert code == 0
    assert printed.startswith("3 decisions of the decision log evaluated with version")
    assert "0 verdicts differ" in printed


def test_a_stricter_bundle_is_told_of(line: Line, candidate: Path) -> None:
    """Each change with its count and examples; exit code 1."""
    (candidate / "strict.rego").write_text(STRICT)
    code, printed = run(line, "policy", "replay", "--against", str(candidate), "--examples", "1")
    assert code == 1
    assert "2  allow -> deny by no_echo" in printed
    assert printed.count("workflow") == 1
    assert "workflow first" in printed
    code, printed = run(line, "policy", "replay", "--against", str(candidate), "--json")
    told = json.loads(printed)
    assert (told["judged"], told["differ"]) == (3, 2)
    assert [one["correlation_id"] for one in told["changes"][0]["examples"]] == ["first", "second"]


def test_other_obligations_are_a_change(line: Line, candidate: Path) -> None:
    """A decision with the same verdict but other obligations is reported."""
    demand = 'package rules.short\nobligations contains {"code": "short", "limit": {"max_tokens": 5}}'
    (candidate / "short.rego").write_text(demand)
    for test in candidate.glob("*_test.rego"):
        test.unlink()
    code, printed = run(line, "policy", "replay", "--against", str(candidate))
    assert code == 1
    assert "allow, other obligations: limit" in printed


def test_a_bundle_whose_tests_fail_is_not_replayed(line: Line, candidate: Path) -> None:
    """Exit code 2: nothing was compared."""
    (candidate / "data.yaml").write_text("roles: {}")
    assert main(["policy", "replay", "--against", str(candidate), "--config", str(line.path)]) == 2


def test_export_is_what_replay_reads(line: Line, candidate: Path, tmp_path: Path) -> None:
    """An export is judged like the log itself; both can be limited to a period."""
    _, printed = run(line, "audit", "export")
    file = tmp_path / "log.ndjson"
    file.write_text(printed)
    assert len(printed.splitlines()) == 3
    (candidate / "strict.rego").write_text(STRICT)
    code, told = run(line, "policy", "replay", "--against", str(candidate), "--log", str(file))
    assert code == 1
    assert f"3 decisions of {file} evaluated" in told
    assert run(line, "audit", "export", "--since", "2999-01-01")[1] == ""
    assert run(line, "audit", "export", "--until", "24h")[1] == ""
    assert len(run(line, "audit", "export", "--since", "24h")[1].splitlines()) == 3


def test_no_log_and_no_such_log(tmp_path: Path, line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not a log is an error with a message."""
    file = tmp_path / "x"
    file.write_text("{nothing")
    arguments = ["policy", "replay", "--against", str(SHIPPED), "--config", str(line.path), "--log"]
    assert main([*arguments, str(file)]) == 2
    assert "is not a decision log" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_events_of_others_are_left_out() -> None:
    """An OPA that judges more than the gateway logs more than the gateway's decisions."""
    found = list(
        events(
            [
                {"decision_id": "1", "path": "authz/allow", "input": {}, "result": True},
                {"decision_id": "2", "path": "/gateway/decision", "input": {"a": 1}, "result": {"allow": True}},
            ]
        )
    )
    assert [one.id for one in found] == ["2"]
    with pytest.raises(ValueError, match="decision_id"):
        list(events([{"what": "else"}]))


def test_what_counts_as_a_change() -> None:
    """Words of messages do not; the rule, the approval and each obligation do."""

    def deny(code: str, message: str) -> dict[str, Any]:
        return {"allow": False, "deny": [{"code": code, "message": message, "class": "cost"}]}

    assert change(verdict(deny("a", "x")), verdict(deny("a", "y"))) is None
    assert change(verdict(deny("a", "x")), verdict(deny("b", "x"))) == "deny by a -> deny by b"
    held = verdict({"allow": True, "obligations": {"require_approval": True}})
    assert change(verdict({"allow": True}), held) == "allow -> held for approval"
    assert change(verdict(None), verdict({"allow": True})) == "deny by policy_unavailable -> allow"
    assert verdict({"allow": 3}) == Verdict(False, "policy_unavailable", Obligations())


def test_moments() -> None:
    """Times are written as people do, and nonsense is refused."""
    assert moment("2026-11-21T10:00:00Z") == 1795255200.0
    assert moment("1h") < moment("1min")
    with pytest.raises(Exception, match="a time is written like"):
        moment("yesterday")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"decision_id": "1", "path": "gateway/decision", "custom": []}', None),
        ('{"decision_id": "1", "path": "gateway/decision", "input": "x"}', "entry 1 is not an event"),
        ('{"decision_id": "1", "path": null}\n{"a": 1}', "entry 2 is not an event"),
        ('{"decision_id": "1", "path": "gateway/decision", "result": [1]}', "entry 1 is not an event"),
        ('{"decision_id": "1", "path": "other"}\n{"decis', "a JSON array, or one object per line"),
    ],
)
def test_logs_that_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, words: str | None
) -> None:
    """For any content of the file, exit code 1 means only that verdicts change."""
    log = tmp_path / "log.json"
    log.write_text(content)
    (tmp_path / "p.rego").write_text('package gateway\ndecision := {"allow": true}\n')
    code = main(["policy", "replay", "--against", str(tmp_path), "--log", str(log)])
    said = capsys.readouterr().err
    assert (code == 2 and words in said) if words else code == 1
