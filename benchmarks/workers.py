"""`python -m benchmarks.workers`: what two workers on two cores serve, beside one, with Redis and everything on.

The load generator, the provider and Redis need the cores, too, so calls/s show little on two cores. The share of the
processor is what tells: a call costs two workers more than one by what they do twice (caches, policies, connections),
and two cores serve twice as many calls, divided by that.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.cells import BODIES, Times, load
from benchmarks.process import free_port, run_to_end
from benchmarks.run import build
from benchmarks.systems import AllOnRedis, Mock


class Workers(AllOnRedis):
    """Everything on with Redis, in some workers, on all cores."""

    def __init__(self, upstream: str, workers: int) -> None:
        super().__init__(upstream)
        self.name, self.workers = f"workers-{workers}", workers

    def run(self, argv: Any, ready: str, seconds: float, env: dict[str, str] | None = None) -> None:
        more = ["--workers", str(self.workers)] if self.workers > 1 else []
        super().run([*argv, *more], ready, seconds, env)
        assert self.child is not None
        for pid in self.child.tree():
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), range(os.cpu_count() or 1))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args(argv)
    build()
    mock = Mock(f"http://127.0.0.1:{free_port()}")
    systems = [Workers(mock.upstream, workers) for workers in (1, 2)]
    body = next(body for body in BODIES if body.name == "1k")
    costs: dict[int, list[float]] = {1: [], 2: []}
    rates: dict[int, list[float]] = {1: [], 2: []}
    try:
        for system in (mock, *systems):
            system.start()
        for number in range(options.rounds + 1):
            for one in systems:
                assert one.child is not None
                before = one.child.cpu_seconds()
                result = load(one, body, Times(1, options.seconds), seed=number)
                cost = (one.child.cpu_seconds() - before) / max(result["total"], 1) * 1e6
                if number:  # the first round is a warm-up
                    costs[one.workers].append(cost)
                    rates[one.workers].append(result["rate"])
                    print(f"{one.workers} workers: {result['rate']:6.0f} calls/s, {cost:6.0f} us a call", flush=True)
    finally:
        for system in (*systems, mock):
            system.stop()
    gained, seen = 2 * median(costs[1]) / median(costs[2]), median(rates[2]) / median(rates[1])
    print(f"two workers of one, by processor time: {gained:.2f}; by calls/s here: {seen:.2f}")
    return 0


if __name__ == "__main__":
    run_to_end(main)
