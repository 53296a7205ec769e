"""Child processes of the benchmark: pinned to a core, ended with the run, with their use of CPU and memory.

Linux only: reads /proc and asks the kernel to end children when the benchmark dies.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

_TICK = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class BenchmarkError(Exception):
    """The benchmark cannot run, or its results are invalid. The message says what is missing and what to do."""


def run_to_end(main: Callable[[], int]) -> NoReturn:
    """Run a benchmark and exit with its status; with 2 and a message if it could not run."""
    try:
        sys.exit(main())
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


class Child:
    """A process and its descendants on one core; its output goes to a file."""

    def __init__(self, argv: Sequence[str | Path], core: int, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.argv = [str(part) for part in argv]
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)

        def pin() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.sched_setaffinity(0, {core})

        with log.open("wb") as output:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=pin,
            )

    def stop(self) -> None:
        """End the process and all its descendants."""
        for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(patience)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self.process.poll()

    def wait_for(self, url: str, seconds: float) -> None:
        """Return when the URL answers 200; after the timeout, raise with the end of the log."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.05)
        code = self.process.poll()
        state = f"ended with {code}" if code is not None else f"did not answer {url} in {seconds:.0f} s"
        raise BenchmarkError(f"{self.argv[0]} {state}; the end of its output:\n{self.tail()}")

    def tail(self, size: int = 2000) -> str:
        return self.log.read_bytes()[-size:].decode(errors="replace")

    def tree(self) -> list[int]:
        """The process and its living descendants."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (stat := _stat(int(entry.name))):
                parents[int(entry.name)] = int(stat[1])
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def rss(self) -> int:
        """Resident bytes of the whole tree (pages that processes share count for each of them)."""
        return sum(int(stat[21]) for pid in self.tree() if (stat := _stat(pid))) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """User and system time of the whole tree so far."""
        return sum(int(stat[11]) + int(stat[12]) for pid in self.tree() if (stat := _stat(pid))) / _TICK


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, state first (proc(5)); empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def free_port() -> int:
    """A free TCP port on the loopback interface."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
