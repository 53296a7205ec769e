"""One cell of the benchmark: a kind of call against one system, measured by the load generator."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.process import BenchmarkError
from benchmarks.systems import LOAD_CORE, MODEL, WORK, System

Measure = dict[str, Any]  # the output of the load generator, with the additions of this module


@dataclass(frozen=True)
class Body:
    """A kind of call: bytes of the request, calls in flight, and how many events of a stream are one write.

    `agents`: text as agents send it (code, logs, tables, paths, numbers) instead of sentences. `fresh`: no text was
    sent before; otherwise a conversation resends its history. `systems`: those to measure; all if empty.
    `workflows`: conversations; fewer where the first call of each takes long.
    """

    name: str
    title: str
    size: int
    stream: bool = False
    connections: int = 32
    group: int = 1
    agents: bool = False
    fresh: bool = False
    systems: tuple[str, ...] = ()
    workflows: int = 200


# A write to the loopback costs 3.6 us: with 100 writes for each stream, the mock would be the slowest part.
GROUP = 4
SOME = ("minimal", "sqlite", "litellm")
"""Measured with every kind of text; the other systems forward all texts in the same way."""

BODIES = (
    Body("1k", "1 kB, whole", 1024),
    Body("16k", "16 kB, whole", 16384),
    Body("64k", "64 kB, whole", 65536, workflows=40),
    Body("stream", "1 kB, streamed in 100 chunks", 1024, stream=True, group=GROUP),
    Body("1k-agent", "1 kB of text as agents send it, whole", 1024, agents=True, systems=SOME),
    Body("16k-agent", "16 kB of text as agents send it, whole", 16384, agents=True, systems=SOME, workflows=40),
    Body("64k-agent", "64 kB of text as agents send it, whole", 65536, agents=True, systems=SOME, workflows=40),
    Body("16k-fresh", "16 kB that was never sent before, whole", 16384, fresh=True, systems=SOME),
    Body("64k-fresh", "64 kB that was never sent before, whole", 65536, fresh=True, systems=SOME),
    Body(
        "64k-agent-fresh",
        "64 kB of text as agents send it that was never sent before, whole",
        65536,
        agents=True,
        fresh=True,
        systems=SOME,
    ),
    Body("single", "1 kB, streamed in 100 chunks, one call at a time", 1024, stream=True, connections=1),
)


@dataclass(frozen=True)
class Times:
    """Seconds of warm-up and of the window of one cell."""

    warmup: float
    window: float


def measure(system: System, body: Body, times: Times, seed: int) -> Measure:
    """Run the load generator once against the system; the same seed gives every system the same texts."""
    ask(system, f"/group/{body.group}")
    before, cpu = ask(system, "/stats"), system.child.cpu_seconds() if system.child else 0.0
    result = load(system, body, times, seed)
    after = ask(system, "/stats")
    if system.child:
        result["rss_mb"] = system.child.rss() / 1e6
        result["cpu_us_per_call"] = (system.child.cpu_seconds() - cpu) * 1e6 / max(result["total"], 1)
    calls = max(after["requests"] - before["requests"], 1)
    for word in ("redacted", "leaked"):
        result[word] = (after[word] - before[word]) / calls
    return result


def load(system: System, body: Body, times: Times, seed: int, rate: float = 0) -> Measure:
    """Run the load generator. `rate`: calls a second; 0: as fast as answers come."""
    flags = {
        "url": system.url,
        "keys": ",".join(system.keys),
        "model": MODEL,
        "size": body.size,
        "stream": str(body.stream).lower(),
        "agents": str(body.agents).lower(),
        "fresh": str(body.fresh).lower(),
        "connections": body.connections,
        "workflows": body.workflows,
        "warmup": f"{times.warmup}s",
        "duration": f"{times.window * system.patience}s",
        "seed": seed,
        "rate": rate,
    }
    argv = ["taskset", "-c", str(LOAD_CORE), str(WORK / "bin" / "load"), *(f"-{k}={v}" for k, v in flags.items())]
    limit = times.warmup + times.window * system.patience + 120
    done = subprocess.run(argv, capture_output=True, text=True, timeout=limit, env={"GOMAXPROCS": "1"})
    if done.returncode:
        raise BenchmarkError(f"the load generator failed: {done.stderr.strip()}")
    result: Measure = json.loads(done.stdout)
    return result


def ask(system: System, path: str) -> dict[str, int]:
    """Request an endpoint of the mock itself: its counts so far (/stats), or how it writes (/group/N)."""
    with urllib.request.urlopen(system.upstream + path, timeout=10) as answer:
        counts: dict[str, int] = json.load(answer)
    return counts


_TOTALS: dict[str, Callable[[Sequence[Any]], Any]] = {
    "errors": sum,
    "unrestored": sum,
    "calls": sum,
    "total": sum,
    "rss_mb": max,
    "first_error": lambda texts: next(filter(None, texts), ""),
    "cpu": lambda rounds: [median(core) for core in zip(*rounds, strict=True)],
}


def summary(rounds: Sequence[Measure]) -> Measure:
    """The rounds of one cell combined: medians, sums of counts, the highest memory."""
    keys = dict.fromkeys(key for one in rounds for key in one)
    merged = {key: _TOTALS.get(key, median)([one[key] for one in rounds if key in one]) for key in keys}
    return {**merged, "rates": [one["rate"] for one in rounds]}
