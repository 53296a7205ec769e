"""`python -m benchmarks.latency`: what the gateway adds to the time of a call at half of its highest rate, all on.

The gateway and the mock get the same calls at the same rate, in turns; what is added is the difference of the same
quantile. Streams have 100 events, each in its own write, with a pause of a millisecond between two.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from statistics import median

from benchmarks.cells import BODIES, Body, Measure, Times, ask, load
from benchmarks.process import free_port, run_to_end
from benchmarks.run import build
from benchmarks.systems import AllOn, Mock, System

PAUSE = 1000  # microseconds between two events of a stream
FLOORS = {"p50_ms": 0.6, "p99_ms": 4.0, "first_p50_ms": 1.0, "gap_p99_ms": 0.3}
"""Milliseconds that may be added: to a whole call, to the first content of a stream, between two pieces of it."""
_TITLES = {"p50_ms": "call, p50", "p99_ms": "call, p99", "first_p50_ms": "first content, p50", "gap_p99_ms": "gap, p99"}


def added(systems: Sequence[System], body: Body, rate: float, times: Times, rounds: int) -> tuple[Measure, Measure]:
    """Medians over the rounds for the mock and for the gateway, in turns."""
    taken: list[list[Measure]] = [[] for _ in systems]
    for number in range(rounds):
        for results, system in zip(taken, systems, strict=True):
            ask(system, f"/group/{body.group}")
            ask(system, f"/pace/{PAUSE if body.stream else 0}")
            results.append(load(system, body, times, seed=number + 1, rate=rate))
    direct, through = ({key: median([one[key] for one in results]) for key in FLOORS} for results in taken)
    return direct, through


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a floor does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args(argv)
    build()
    mock = Mock(f"http://127.0.0.1:{free_port()}")
    systems = [mock, AllOn(mock.upstream)]
    missed = 0
    try:
        for system in systems:
            system.start()
        for name, keys in (("1k", ("p50_ms", "p99_ms")), ("stream", ("first_p50_ms", "gap_p99_ms"))):
            body = dataclasses.replace(next(one for one in BODIES if one.name == name), group=1, connections=64)
            ask(mock, f"/group/{body.group}")
            ask(mock, f"/pace/{PAUSE if body.stream else 0}")
            highest = load(systems[1], body, Times(2, options.seconds), seed=0)["rate"]
            direct, through = added(systems, body, highest / 2, Times(1, options.seconds), options.rounds)
            for key in keys:
                more = through[key] - direct[key]
                missed += more > FLOORS[key]
                print(
                    f"{body.title}, {highest / 2:,.0f} of {highest:,.0f} calls/s: {_TITLES[key]}: "
                    f"{direct[key]:.2f} -> {through[key]:.2f} ms, added {more:.2f} (at most {FLOORS[key]})",
                    flush=True,
                )
    finally:
        for system in reversed(systems):
            system.stop()
    return int(missed > 0)


if __name__ == "__main__":
    run_to_end(main)
