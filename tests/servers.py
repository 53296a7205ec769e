"""Real servers for tests: each function starts one on a free port and ends it. Plain context managers, no fixtures."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from needs import need


def free_port() -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether something accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def process(
    command: Sequence[str], ready: Callable[[], bool], *, seconds: float = 15
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process, ready when `ready()` is true, ended with the block; its output is shown if it fails."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + seconds
            while not ready():
                if child.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise RuntimeError(f"{command[0]} did not start:\n{output.read().decode(errors='replace')}")
                time.sleep(0.02)
            yield child
        finally:
            child.kill()
            child.wait()


# The package of a program, where it is not Debian's of the same name.
_VALKEY = "the Debian package valkey-server, or name the program in VALKEY_SERVER"


@contextlib.contextmanager
def redis_server(port: int | None = None, *options: str, program: str = "redis-server") -> Iterator[str]:
    """A redis-server (or valkey-server) without persistence unless `options` say otherwise; yields its URL."""
    if program == "valkey-server":
        path = need(os.environ.get("VALKEY_SERVER", program), _VALKEY)
    else:
        path = need(program, "the Debian package redis-server")
    port = port or free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [path, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(Path(folder))]
        with process([*command, "--save", "", *options], lambda: listens(port)):
            yield f"redis://127.0.0.1:{port}/0"


def acl_rule() -> str:
    """The user that docs/redis.md tells operators to create."""
    text = (Path(__file__).parent.parent / "docs" / "redis.md").read_text(encoding="utf-8")
    return next(line for line in text.splitlines() if line.startswith("user meshgate "))
