"""Profiles a system under load: py-spy samples the process from outside, so that it runs at full speed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.cells import Body, Times, load
from benchmarks.process import BenchmarkError
from benchmarks.systems import LOAD_CORE, WORK, System

_VENV = WORK / "profile-venv"


def profile(system: System, body: Body, seconds: float, top: int = 40) -> int:
    """Sample the system for a number of seconds; print functions by own and by total time, and keep the stacks."""
    if system.child is None:
        raise BenchmarkError(f"{system.title} has no process to sample")
    stacks = WORK / f"profile-{system.name}-{body.name}.txt"
    argv = [install(), "record", "--pid", system.child.process.pid, "--duration", max(1, round(seconds))]
    argv += ["--rate", 500, "--format", "raw", "--output", stacks]
    load(system, body, Times(1, 0.1), seed=0)
    with subprocess.Popen(["taskset", "-c", str(LOAD_CORE), *map(str, argv)], stdout=subprocess.DEVNULL) as sampler:
        load(system, body, Times(0.5, seconds + 1), seed=1)
        if sampler.wait(60):
            raise BenchmarkError("py-spy failed; it needs the right to trace the process (root, or ptrace_scope 0)")
    print(f"stacks: {stacks.relative_to(WORK.parent)}")
    own, total = times(stacks)
    samples = sum(own.values())
    for title, counts in (("own", own), ("with callees", total)):
        print(f"\n{title} time, share of {samples} samples")
        for name, count in counts.most_common(top):
            print(f"{count / samples:7.1%}  {name}")
    return 0


def times(stacks: Path) -> tuple[Counter[str], Counter[str]]:
    """Samples by function, as the innermost frame and anywhere, from `outer;inner count` lines."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in stacks.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame.rpartition(":")[0] + ")" for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        total.update(dict.fromkeys(frames, int(count)))
    return own, total


def install() -> Path:
    """The path of py-spy, in a separate virtual environment that is created once."""
    command = _VENV / "bin" / "py-spy"
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", _VENV], check=True)
        subprocess.run([_VENV / "bin" / "python", "-m", "pip", "install", "-q", "py-spy"], check=True)
    return command
