"""A candidate bundle evaluates the calls of the live bundle: it changes nothing, and its differences are recorded."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import upstream as scripted
from gateway.cli import main
from gateway.config.sections import Policy
from gateway.policy import candidate as candidates
from line import Line, config, running
from replays import STRICT, run
from waiting import eventually

SHIPPED = Path(__file__).resolve().parent.parent / "policies"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The candidate: as shipped, and it denies the model echo."""
    made = tmp_path / "candidate"
    shutil.copytree(SHIPPED, made)
    (made / "strict.rego").write_text(STRICT)
    return made


def settings(tmp_path: Path, up: scripted.Upstream, folder: Path | None) -> dict[str, Any]:
    policy: dict[str, Any] = {"path": str(SHIPPED)}
    if folder is not None:
        policy["candidate"] = {"path": str(folder)}
    return config(tmp_path, up.url, policy=policy)


def ready(line: Line) -> None:
    """The candidate's process has loaded its bundle."""
    eventually(lambda: bool(line.gateway.shared.candidate and line.gateway.shared.candidate.version), seconds=30)


def outcome(line: Line, name: str) -> float:
    return line.metric("meshgate_candidate_decisions_total", outcome=name)


def test_differences_are_counted_and_recorded(up: scripted.Upstream, tmp_path: Path, folder: Path) -> None:
    """Calls follow the live bundle; the metric and the command show what the candidate would change."""
    with running(tmp_path, settings(tmp_path, up, folder)) as line:
        ready(line)
        assert line.chat("hi", cid="one").status_code == 200
        assert line.chat("hi", model="demo", cid="two").status_code == 200
        eventually(lambda: outcome(line, "differs") == 1 and outcome(line, "same") == 1)
        assert line.metric("meshgate_candidate_differences_total", change="allow -> deny by no_echo") == 1
        line.rows("SELECT 1")
        code, printed = run(line, "policy", "differences")
        assert code == 1
        assert "1  allow -> deny by no_echo (candidate " in printed
        assert "workflow one" in printed


def test_differences_without_a_candidate(
    up: scripted.Upstream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says what is missing; that is an error, not the result "no differences"."""
    with running(tmp_path, settings(tmp_path, up, None)) as line:
        assert line.chat("hi").status_code == 200
        assert main(["policy", "differences", "--config", str(line.path)]) == 2
        assert "policy.candidate is not configured" in capsys.readouterr().err


def test_a_candidate_that_changes(up: scripted.Upstream, tmp_path: Path, folder: Path) -> None:
    """The candidate's files are watched like the live files; a bundle that does not compile is reported."""
    with running(tmp_path, settings(tmp_path, up, folder)) as line:
        ready(line)
        (folder / "strict.rego").write_text("{ no rego")
        eventually(lambda: line.metric("meshgate_reload_failed", what="candidate") == 1)
        assert line.chat("hi").status_code == 200
        eventually(lambda: outcome(line, "differs") == 1)
        (folder / "strict.rego").unlink()
        eventually(lambda: line.metric("meshgate_reload_failed", what="candidate") == 0)
        assert line.chat("hi").status_code == 200
        eventually(lambda: outcome(line, "same") == 1)


def test_no_candidate_to_begin_with(up: scripted.Upstream, tmp_path: Path, folder: Path) -> None:
    """The gateway starts with a broken candidate, which is used as soon as it is repaired."""
    data = (folder / "data.yaml").read_text()
    (folder / "data.yaml").write_text("roles: {}")
    with running(tmp_path, settings(tmp_path, up, folder)) as line:
        eventually(lambda: line.metric("meshgate_reload_failed", what="candidate") == 1, seconds=30)
        assert line.chat("hi").status_code == 200
        (folder / "data.yaml").write_text(data)
        ready(line)


def test_its_process_may_die(
    up: scripted.Upstream, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls continue, and the process is restarted."""
    monkeypatch.setattr(candidates, "_AGAIN", 0.05)
    with running(tmp_path, settings(tmp_path, up, folder)) as line:
        ready(line)
        running_one = line.gateway.shared.candidate
        assert running_one is not None
        assert running_one._child is not None
        running_one.version = ""
        os.kill(running_one._child.pid, signal.SIGKILL)
        assert line.chat("hi").status_code == 200
        ready(line)
        assert line.chat("hi").status_code == 200
        eventually(lambda: outcome(line, "differs") >= 1)


def test_switched_on_and_off_by_a_reload(up: scripted.Upstream, tmp_path: Path, folder: Path) -> None:
    """A changed configuration starts the process, and ends it."""
    with running(tmp_path, settings(tmp_path, up, None)) as line:
        line.path.write_text(yaml.safe_dump(settings(tmp_path, up, folder)))
        ready(line)
        started = line.gateway.shared.candidate
        assert started is not None
        child = started._child
        assert child is not None
        line.path.write_text(yaml.safe_dump(settings(tmp_path, up, None)))
        eventually(lambda: child.returncode is not None)
        assert line.chat("hi").status_code == 200


def test_a_gateway_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    """Also where the candidate cannot be used, and its process still looks for another."""
    policy = Policy(path=str(tmp_path / "none")).model_dump_json()
    code = "import subprocess, sys, os; "
    code += "child = subprocess.Popen([sys.executable, '-m', 'gateway.policy.candidate_process'], "
    code += "stdin=subprocess.PIPE, stdout=subprocess.PIPE); "
    code += f"child.stdin.write({policy!r}.encode() + b'\\n'); child.stdin.flush(); "
    code += "child.stdout.readline(); print(child.pid, flush=True); os._exit(0)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    pid = int(done.stdout)

    def ended() -> bool:
        return subprocess.run(["ps", "-p", str(pid)], stdout=subprocess.DEVNULL, check=False).returncode != 0

    eventually(ended)
