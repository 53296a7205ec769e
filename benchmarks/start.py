"""`python -m benchmarks.start`: how long a start takes, and how much memory the gateway has then, with everything on.

The first start compiles patterns, unless they are kept from before; the figures are of the starts after it. Wall clock
is the time until `/readyz` answers 200; a busy machine makes it longer, processor time hardly.
"""

from __future__ import annotations

import argparse
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from benchmarks.process import BenchmarkError, Child, free_port, run_to_end
from benchmarks.systems import COMPILED, WORK, AllOn

_SETTLED = 1.0  # seconds after which memory is read
_STEP = 0.005


class Start(NamedTuple):
    """Seconds until ready, processor seconds until then, and MB: resident, of it not of files, the most so far."""

    ready: float
    cpu: float
    resident: float
    anonymous: float
    peak: float


class _Kept(AllOn):
    """Everything on, with state that stays from one start to the next."""

    name = "start"

    def once(self) -> Start:
        self.port = free_port()
        self.state_folder().mkdir(parents=True, exist_ok=True)
        config = self.state_folder() / "gateway.yaml"
        config.write_text(yaml.safe_dump(self.config(), sort_keys=False))
        argv: list[str | Path] = [Path(sys.executable).parent / "meshgate", "serve", "--config", config]
        begin = time.monotonic()
        self.child = Child([*argv, "--port", str(self.port)], self.core, WORK / "logs" / "start.log")
        try:
            while not _answers(f"{self.base}/readyz"):
                if self.child.process.poll() is not None or time.monotonic() - begin > COMPILED:
                    raise BenchmarkError(f"the gateway did not start:\n{self.child.tail()}")
                time.sleep(_STEP)
            ready, cpu = time.monotonic() - begin, self.child.cpu_seconds()
            time.sleep(_SETTLED)
            return Start(ready, cpu, *_memory(self.child.process.pid))
        finally:
            self.child.stop()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _memory(pid: int) -> tuple[float, float, float]:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    resident, anonymous, peak = (int(fields[key].split()[0]) / 1000 for key in ("VmRSS", "RssAnon", "VmHWM"))
    return resident, anonymous, peak


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--starts", type=int, default=5, help="starts after the first")
    options = parser.parse_args(argv)
    system = _Kept("http://127.0.0.1:9")
    first = system.once()
    later = [system.once() for _ in range(options.starts)]
    print(f"first start  {first.ready:6.2f} s ready, {first.cpu:6.2f} s of processor")
    least = Start(*map(min, zip(*later, strict=True)))
    print(f"later starts {least.ready:6.2f} s ready, {least.cpu:6.2f} s of processor (least of {len(later)})")
    print(f"resident {least.resident:.0f} MB, of it {least.anonymous:.0f} not of files; peak {least.peak:.0f} MB")
    return 0


if __name__ == "__main__":
    run_to_end(main)
