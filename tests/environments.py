"""Virtual environments of their own for clients and servers from PyPI whose requirements conflict with ours.

The lock files are in tests/pypi; each is installed once. The scripts there run in these environments.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

HERE = Path(__file__).parent / "pypi"
SECONDS = 120
"""How long a program may take: the first import of a framework compiles thousands of modules."""
FRAMEWORKS = "frameworks"
OTHERS = "others"
_KEPT = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE")


def programs(name: str) -> Path:
    """The folder of programs of an environment, installed at the first call; the test fails if that is impossible."""
    lock = HERE / f"{name}.lock"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshgate" / "pypi"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache / f"{name}-{digest}"
    done = folder / ".installed"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.held").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # processes of a run start at once
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            for command in _commands(folder, lock):
                made = subprocess.run(command, capture_output=True, text=True)
                if made.returncode:
                    pytest.fail(f"tests/pypi/{lock.name} could not be installed:\n{made.stderr[-2000:]}")
            done.touch()
    return folder / "bin"


def _commands(folder: Path, lock: Path) -> list[list[str]]:
    """How an environment is made: by uv where there is one, as in the Makefile."""
    python, uv = str(folder / "bin" / "python"), shutil.which("uv")
    options = ["--quiet", "--no-deps", "--require-hashes", "-r", str(lock)]  # the file has all
    if uv:
        venv = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
        return [venv, [uv, "pip", "install", "--python", python, *options]]
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--no-compile"]
    return [[sys.executable, "-m", "venv", str(folder)], [*pip, *options]]


def run(
    command: Sequence[str], home: Path, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end in the folder `home`, with an environment of its own."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    made = {**kept, "HOME": str(home), **environment}
    return subprocess.run(command, cwd=home, env=made, input="", capture_output=True, text=True, timeout=SECONDS)


def script(name: str, file: str, home: Path, environment: Mapping[str, str]) -> Any:
    """What a script of tests/pypi prints in an environment, as JSON."""
    ended = run([str(programs(name) / "python"), str(HERE / file)], home, environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)
