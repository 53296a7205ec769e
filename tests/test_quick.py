"""The quick set of tests (`tests/quick.py`) needs no server."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

import quick

FILES = sorted(quick.TESTS.rglob("test_*.py"))


def test_what_helpers_start_is_known() -> None:
    """Every helper module that starts a process or listens is among those that keep a test out of the quick set."""
    starting = ("subprocess", "asyncio.start_server", "create_server")
    for path in sorted(quick.TESTS.rglob("*.py")):
        name = ".".join(path.relative_to(quick.TESTS).with_suffix("").parts)
        if not path.name.startswith("test_") and any(word in path.read_text("utf-8") for word in starting):
            assert name in quick.SERVERS | QUIET or quick.needs_a_server(path), name


# Helpers that start programs, none of which serves.
QUIET = {"quick", "environments", "engines.bundles", "engines.opa_cases", "ner_model", "certificates", "patterns"}


@pytest.mark.slow
def test_no_test_of_the_quick_set_is_about_a_server() -> None:
    """As pytest selects it: no live test, no variant for Redis or OPA, no file that reaches a server."""
    command = [sys.executable, "-m", "pytest", "--quick", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=quick.TESTS.parent, capture_output=True, text=True, check=True)
    selected = {line.partition(":")[0] for line in done.stdout.splitlines() if line.startswith("tests/")}
    assert len(selected) > 50
    assert not {path for path in FILES if quick.needs_a_server(path)} & {quick.TESTS.parent / name for name in selected}
    assert "tests/test_server.py" not in selected


@pytest.mark.parametrize("path", [quick.TESTS / "test_line.py", quick.TESTS / "live" / "test_openai_sdk.py"])
def test_files_that_reach_servers_are_known(path: Path) -> None:
    """By their imports, or by their folder."""
    assert quick.needs_a_server(path)


def test_nothing_may_listen_while_the_quick_set_runs() -> None:
    """The audit hook refuses an address of the network and the programs that serve, and nothing else."""
    with socket.socket() as here, pytest.raises(quick.Served):
        quick.forbid("socket.bind", (here, ("127.0.0.1", 0)))
    with pytest.raises(quick.Served):
        quick.forbid("subprocess.Popen", ("/usr/bin/redis-server", [], None, None))
    with socket.socket(socket.AF_UNIX) as local:
        quick.forbid("socket.bind", (local, "\0name"))
    quick.forbid("subprocess.Popen", (sys.executable, [], None, None))
