"""`python -m benchmarks.run`: all systems side by side in one run, in interleaved rounds, on two cores.

Builds the mock upstream and the load generator (Go), starts every system, measures each kind of call against each
system round by round, and writes results.json, results.md and the table of the README. Exits with 1 if a floor does
not hold or the run is invalid, with 2 if the benchmark cannot run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks import report
from benchmarks.cells import BODIES, Body, Measure, Times, measure, summary
from benchmarks.process import BenchmarkError, free_port, run_to_end
from benchmarks.profiling import profile
from benchmarks.systems import ROOT, SYSTEMS, WORK, LiteLLM, System, need

FOLDER: Final = ROOT / "benchmarks"
_MARKS: Final = ("<!-- written by `make bench` -->", "<!-- until here -->")


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--only", default="", help=f"systems, comma-separated: {','.join(SYSTEMS)}")
    parser.add_argument("--bodies", default="", help=f"kinds of call: {','.join(body.name for body in BODIES)}")
    parser.add_argument("--rounds", type=int, default=3, help="medians are taken over them")
    parser.add_argument("--seconds", type=float, default=3.0, help="the window of one cell; LiteLLM has twice that")
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds before each window")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of results.json and results.md")
    parser.add_argument("--quick", action="store_true", help="one short round that judges no floor and writes nothing")
    parser.add_argument("--profile", metavar="SYSTEM", help="sample this system under load instead (py-spy)")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.seconds, options.warmup = 1, 0.5, 0.3
    known = {"only": list(SYSTEMS), "bodies": [body.name for body in BODIES]}
    for name, values in known.items():
        chosen = [value for value in getattr(options, name).split(",") if value] or values
        if unknown := set(chosen) - set(values):
            parser.error(f"--{name}: no {', '.join(sorted(unknown))}; there are {', '.join(values)}")
        setattr(options, name, chosen)
    if options.quick and not LiteLLM.venv.exists():
        options.only = [name for name in options.only if name != LiteLLM.name]
    return options


def build() -> None:
    """Compile load and mock; nothing is downloaded."""
    if (os.cpu_count() or 1) < 2:
        raise BenchmarkError("the benchmark needs two cores: one for the gateway, one for load and mock")
    (WORK / "bin").mkdir(parents=True, exist_ok=True)
    argv = [need("go", "golang-go"), "build", "-o", f"{WORK / 'bin'}/", "./load", "./mock"]
    subprocess.run(argv, cwd=ROOT / "benchmarks", check=True, env={**os.environ, "GOFLAGS": "-mod=mod"})


def start(stack: ExitStack, names: Sequence[str]) -> list[System]:
    """Start every system; the mock is always started, even if it is not measured."""
    upstream = f"http://127.0.0.1:{free_port()}"
    systems = []
    for name in dict.fromkeys(("mock", *names)):
        system = SYSTEMS[name](upstream)
        stack.callback(system.stop)
        print(f"starting {system.title}", flush=True)
        system.start()
        systems.append(system)
    return [system for system in systems if system.name in names]


def cells(systems: Sequence[System], bodies: Sequence[Body], rounds: int, times: Times) -> report.Cells:
    """Measure all: in each round every body against every system, each round starting with another system."""
    taken: dict[str, dict[str, list[Measure]]] = {body.name: {} for body in bodies}
    for system in systems:
        measure(system, bodies[0], Times(times.warmup, min(times.window, 1.0)), seed=0)
    for number in range(rounds):
        turn = number % len(systems)
        for body in bodies:
            for system in (*systems[turn:], *systems[:turn]):
                if body.systems and system.name not in body.systems:
                    continue
                result = measure(system, body, times, seed=number * len(BODIES) + BODIES.index(body) + 1)
                taken[body.name].setdefault(system.name, []).append(result)
                print(
                    f"round {number + 1} {body.name:>9} {system.title:<16} {result['rate']:>9,.0f} calls/s", flush=True
                )
    return {body: {name: summary(rounds) for name, rounds in row.items()} for body, row in taken.items()}


def about(systems: Sequence[System], options: argparse.Namespace) -> dict[str, Any]:
    """The machine and the settings of the run."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": names[0].partition(":")[2].strip() if names else platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {system.title: version for system in systems if (version := system.version())},
        "rounds": options.rounds,
        "seconds": options.seconds,
    }


def words(results: dict[str, Any], before: dict[str, Any]) -> Iterator[str]:
    """The lines of results.md."""
    found: report.Cells = results["cells"]
    facts = results["about"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    yield "# Results\n"
    yield f"{facts['date']}, {facts['cpu']}, {facts['cores']} cores, Python {facts['python']}; {versions}."
    yield f"Medians of {facts['rounds']} rounds of {facts['seconds']:g} s a cell; README.md says how it is measured."
    yield from report.tables(found)
    yield "\n### Floors\n"
    yield from (f"- {'PASS' if held else 'FAIL'} {text}" for held, text in report.floors(found))
    for title, lines in (
        ("Faults", [f"- FAIL {text}" for text in report.faults(found)]),
        ("What to know", [f"- {text}" for text in report.limits(found)]),
        ("Against the run before", [f"    {line}" for line in report.comparison(found, before)]),
    ):
        if lines:
            yield f"\n### {title}\n"
            yield from lines


def in_readme(readme: str, results: dict[str, Any]) -> str:
    """The text of the README with the table of these results between its two marks. Raises BenchmarkError."""
    head, begin, rest = readme.partition(_MARKS[0])
    _, end, tail = rest.partition(_MARKS[1])
    if not (begin and end):
        raise BenchmarkError(f"README.md has no place for the table, between {_MARKS[0]} and {_MARKS[1]}")
    facts = results["about"]
    where = f"{facts['date']}, {facts['cpu']}, one core for the gateway, Python {facts['python']}:\n"
    return "\n".join((head + begin, where, *report.brief(results["cells"]), end + tail))


def main(argv: Sequence[str] | None = None) -> int:
    """Run and report; the exit code."""
    options = arguments(argv)
    times = Times(options.warmup, options.seconds)
    bodies = [body for body in BODIES if body.name in options.bodies]
    with ExitStack() as stack:
        build()
        if options.profile:
            (system,) = start(stack, [options.profile])
            return profile(system, bodies[0], options.seconds)
        systems = start(stack, options.only)
        results = {"about": about(systems, options), "cells": cells(systems, bodies, options.rounds, times)}
    kept = options.out / "results.json"
    before = json.loads(kept.read_text()) if kept.exists() else {}
    text = "\n".join(words(results, before)) + "\n"
    print(text)
    failed = any(report.faults(results["cells"]))
    if options.quick:
        return int(failed)
    options.out.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "results.md").write_text(text)
    if options.out == FOLDER and results["cells"].keys() == {body.name for body in BODIES}:
        readme = ROOT / "README.md"
        readme.write_text(in_readme(readme.read_text(), results))
    return int(failed or not all(held for held, _ in report.floors(results["cells"])))


if __name__ == "__main__":
    run_to_end(main)
