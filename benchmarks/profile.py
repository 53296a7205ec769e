"""`python -m benchmarks.profile`: where the processor time of a call goes, by room of the gateway and kind of call.

py-spy samples the gateway from outside while it is under load. A sample belongs to the innermost frame of the gateway's
own code: what a room calls in libraries is the room's. Figures are microseconds a call: the share of samples of the
processor time of the process, divided by the calls of that time.
"""

from __future__ import annotations

import argparse
import subprocess
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.cells import BODIES, Body, Times, load
from benchmarks.process import BenchmarkError, run_to_end
from benchmarks.profiling import install
from benchmarks.run import build, start
from benchmarks.systems import LOAD_CORE, SYSTEMS, WORK, System

_CELLS = "1k,1k-agent,16k-agent,64k-agent,stream"
_OUTSIDE = "event loop, server"
_DEEP = ("detect", "policy/engines")
"""Folders whose parts are rows of their own."""


def sampled(system: System, body: Body, seconds: float) -> tuple[Counter[str], float]:
    """The samples by room, and the processor time of a call in microseconds."""
    assert system.child is not None
    stacks = WORK / f"profile-{system.name}-{body.name}.txt"
    argv = [install(), "record", "--pid", system.child.process.pid, "--duration", max(1, round(seconds))]
    argv += ["--rate", 500, "--format", "raw", "--output", stacks]
    load(system, body, Times(1, 0.1), seed=0)
    with subprocess.Popen(["taskset", "-c", str(LOAD_CORE), *map(str, argv)], stdout=subprocess.DEVNULL) as sampler:
        before = system.child.cpu_seconds()
        result = load(system, body, Times(0.5, seconds), seed=1)
        cost = (system.child.cpu_seconds() - before) / max(result["total"], 1) * 1e6
        if sampler.wait(60):
            raise BenchmarkError("py-spy failed; it needs the right to trace the process (root, or ptrace_scope 0)")
    return rooms(stacks.read_text()), cost


def rooms(stacks: str) -> Counter[str]:
    """Samples by room, from `outer;inner count` lines."""
    counts: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        counts[_room(stack.split(";"))] += int(count)
    return counts


def _room(frames: Sequence[str]) -> str:
    for frame in reversed(frames):
        path = frame.rpartition("(")[2].rpartition(":")[0].rpartition("gateway/")[2]
        if "(gateway/" in frame or "/gateway/" in frame:
            folder = Path(path).parent
            if str(folder) == ".":
                return "pipeline itself"
            deep = next((name for name in _DEEP if path.startswith(f"{name}/")), None)
            return "/".join(folder.parts[: len(deep.split("/")) + 1]) if deep else folder.parts[0]
    return _OUTSIDE


def table(columns: dict[str, tuple[Counter[str], float]]) -> str:
    """The figures in Markdown, the dearest room first."""
    shares = {
        name: {room: count / sum(counts.values()) * cost for room, count in counts.items()}
        for name, (counts, cost) in columns.items()
    }
    rows = sorted({room for share in shares.values() for room in share}, key=lambda r: -_sum(shares, r))
    lines = [f"| us a call | {' | '.join(shares)} |", f"|---|{'--:|' * len(shares)}"]
    lines += (f"| {room} | {' | '.join(f'{one.get(room, 0):,.0f}' for one in shares.values())} |" for room in rows)
    lines.append(f"| together | {' | '.join(f'{cost:,.0f}' for _, cost in columns.values())} |")
    return "\n".join(lines)


def _sum(shares: dict[str, dict[str, float]], room: str) -> float:
    return sum(share.get(room, 0) / sum(share.values()) for share in shares.values())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--system", default="sqlite", choices=[name for name in SYSTEMS if name != "mock"])
    parser.add_argument("--bodies", default=_CELLS, help=f"kinds of call: {','.join(body.name for body in BODIES)}")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args(argv)
    wanted = options.bodies.split(",")
    bodies = [body for body in BODIES if body.name in wanted]
    if len(bodies) != len(wanted):
        parser.error(f"--bodies: there are {', '.join(body.name for body in BODIES)}")
    with ExitStack() as stack:
        build()
        (system,) = start(stack, [options.system])
        print(table({body.name: sampled(system, body, options.seconds) for body in bodies}))
    return 0


if __name__ == "__main__":
    run_to_end(main)
