"""The cost of a decision, by engine: the shipped policies, a plain call.

    python -m benchmarks.policy [--out FILE] [--before FOLDER]

Each figure is the best of `ROUNDS` rounds, so that other load on the machine matters little. `CPU` is that of the
gateway's process with its threads, but without an OPA server; `waits` is the time that a call waits; `memory` is what
the engine adds to the process. Engines whose program is not installed are left out. FOLDER is a checkout of an earlier
state, with its `.venv`: its embedded engine is measured in the same run, by the benchmark and with the policies of that
state. Writes `policy.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gateway.cli.commands.bench import plain_input
from gateway.config.sections import Policy
from gateway.policy.engines import load_engine
from gateway.policy.engines.rego import compile_bundle

ROUNDS = 25
CALLS = 200
ROOT = Path(__file__).parents[1]
PORT = 18181
OTHERS = "## On the line"
BEFORE = "embedded at"
FULL = "with personal data and history"
LIMITS = {"memoized": 3.0, "not seen before": 25.0, FULL: 40.0}
"""Maximum microseconds of CPU for a decision of the embedded engine."""
RULES = (10, 100, 1000, 10_000)
MODULE = """package rules.r@

deny contains "no_@" if {
	input.subject.team == "t@"
	not allowed
}

allowed if {
	some model in data.teams["t@"].models
	model == input.action.model
}
"""


class Row(NamedTuple):
    """Microseconds and megabytes."""

    name: str
    cpu: float
    wall: float
    memory: float | None = None


def document(number: int) -> dict[str, Any]:
    """A plain call; each number is a different call for a policy that reads the agent's name."""
    made = plain_input(["reader"])
    made["subject"]["agent"] = f"agent-{number}"
    return made


def full(number: int) -> dict[str, Any]:
    """A call with personal data, of a workflow that has used tools."""
    made = document(number)
    made["content"] |= {"pii": {"EMAIL_ADDRESS": 2, "PERSON": 1}, "pii_from": ["tool", "user"], "urls": ["example.com"]}
    made["content"]["injection"] = {"tool": 0.2, "user": 0.1}
    made["context"]["history"] = {"tools": ["get_mail", "list_files", "search_web"], "labels": ["read:pii"]}
    return made


async def _measure(engine: Any, made: Callable[[], dict[str, Any]]) -> tuple[float, float]:
    """CPU and time of one decision, in microseconds."""
    cpu = wall = float("inf")
    for _ in range(ROUNDS):
        documents = [made() for _ in range(CALLS)]
        gc.collect()
        began, waited = time.process_time(), time.perf_counter()
        for one in documents:
            await engine.decide(one)
        cpu = min(cpu, time.process_time() - began)
        wall = min(wall, time.perf_counter() - waited)
    return cpu / CALLS * 1e6, wall / CALLS * 1e6


async def _rows(name: str, policy: Policy) -> list[Row]:
    before = _memory()
    engine = load_engine(policy)
    await engine.open()
    numbers = iter(range(10**9))
    cost = await _measure(engine, lambda: document(next(numbers)))
    found = [Row(f"{name}, not seen before", *cost, _memory() - before)]
    found.append(Row(f"{name}, {FULL}", *await _measure(engine, lambda: full(next(numbers)))))
    if getattr(engine, "memoized", False):
        same = document(-1)
        found.append(Row(f"{name}, memoized", *await _measure(engine, lambda: same)))
    await engine.close()
    return found


def _memory() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.contextmanager
def _opa(program: str) -> Iterator[str]:
    url = f"http://127.0.0.1:{PORT}"
    command = [program, "run", "--server", "--addr", url.removeprefix("http://"), "--log-level", "error"]
    child = subprocess.Popen([*command, "--bundle", str(ROOT / "policies")], stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        yield url
    finally:
        child.kill()
        child.wait()


def one(name: str) -> None:
    """Measure one engine in this process, so that its memory is its own; prints its rows."""
    policy = Policy(path=str(ROOT / "policies"), timeout=10)
    with contextlib.ExitStack() as stack:
        if name == "opa":
            url = stack.enter_context(_opa(str(shutil.which("opa"))))
            policy = policy.model_copy(update={"url": url})
        for row in asyncio.run(_rows(name, policy.model_copy(update={"engine": name}))):
            print(*row, sep="\t")


def _rows_of(python: str, folder: Path, name: str) -> list[Row]:
    """The rows of one engine, measured in a separate process."""
    command = [python, "-m", "benchmarks.policy", "--one", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    found = []
    for line in done.stdout.splitlines():
        label, cpu, wall, memory = line.split("\t")
        found.append(Row(label, float(cpu), float(wall), None if memory == "None" else float(memory)))
    return found


def _before(folder: Path) -> list[Row]:
    """The rows of the embedded engine of a checkout, named by its commit."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout.strip()
    rows = _rows_of(str(folder / ".venv" / "bin" / "python"), folder, "embedded")
    return [row._replace(name=row.name.replace("embedded", f"{BEFORE} {commit}", 1)) for row in rows]


def by_rules() -> list[tuple[str, float, float]]:
    """Growing bundles: description, seconds of CPU to load, microseconds of CPU for a decision."""
    found = []
    for count in RULES:
        lines = [
            f'deny contains "d{n}" if {{ input.subject.team == "t{n}"; input.action.max_tokens > {n} }}'
            for n in range(count)
        ]
        modules = {"m.rego": 'package gateway\n\ndecision := {"deny": deny}\n\n' + "\n".join(lines)}
        found.append((f"{count} rules of `input.subject.team == ...`", *_compiled(modules, {})))
    modules = {f"m{n}.rego": MODULE.replace("@", str(n)) for n in range(1000)}
    data = {"teams": {f"t{n}": {"models": [f"m{m}" for m in range(1300)], "limit": n} for n in range(1000)}}
    modules["main.rego"] = 'package gateway\n\ndecision := {"deny": data.rules.r5.deny}\n'
    found.append(("1000 modules, 10 MB of data", *_compiled(modules, data)))
    return found


def _compiled(modules: dict[str, str], data: dict[str, Any]) -> tuple[float, float]:
    begun = time.process_time()
    program = compile_bundle(modules, data)
    loaded = time.process_time() - begun
    asked = {"subject": {"team": "t5"}, "action": {"model": "m7", "max_tokens": 100}}
    gc.collect()
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(CALLS):
            program.document(("data", "gateway", "decision"), program.env(asked))
        best = min(best, (time.process_time() - begun) / CALLS)
    return loaded, best * 1e6


def page(rows: list[Row], grown: list[tuple[str, float, float]]) -> str:
    """The figures as tables."""
    lines = [
        "# What a policy decision costs",
        "",
        "`python -m benchmarks.policy`; the shipped policies, microseconds for one decision: the best of "
        f"{ROUNDS} rounds of {CALLS}, at a load average of {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors. "
        "A call is plain unless the line says otherwise.",
        "",
        "| engine | CPU of the gateway, us | waits, us | memory, MB |",
        "|---|--:|--:|--:|",
    ]
    for row in rows:
        memory = "" if row.memory is None else f"{row.memory:.0f}"
        lines.append(f"| {row.name} | {row.cpu:.1f} | {row.wall:.1f} | {memory} |")
    if any(row.name.startswith(BEFORE) for row in rows):
        lines += [
            "",
            f"`{BEFORE} COMMIT` is the embedded engine of that state of the project (over the library regopy),",
        ]
        lines += ["measured by its own benchmark with the policies shipped then, in the same run (`--before`)."]
    limits = ", ".join(f"{name} under {most:g} us" for name, most in LIMITS.items())
    lines += ["", f"Held for the embedded engine: {limits}: {'yes' if holds(rows) else 'no'}.", ""]
    lines += ["A decision of the embedded engine alone, by the size of the bundle:", ""]
    lines += ["| bundle | to load, s of CPU | a decision, us of CPU |", "|---|--:|--:|"]
    lines += [f"| {name} | {loaded:.2f} | {cpu:.1f} |" for name, loaded, cpu in grown]
    lines.append("")
    return "\n".join(lines)


def holds(rows: list[Row]) -> bool:
    """Whether the embedded engine meets its limit."""
    cpu = {row.name: row.cpu for row in rows}
    return all(cpu[f"embedded, {name}"] < most for name, most in LIMITS.items())


def main() -> int:
    """Measure all, and write the page; returns 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("policy.md"))
    parser.add_argument("--before", type=Path, help="a checkout of an earlier state")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one)
        return 0
    rows: list[Row] = []
    for name in ("embedded", "wasm", "opa"):
        if name != "embedded" and shutil.which("opa") is None:
            print(f"{name}: left out, the program opa is not installed", file=sys.stderr)
            continue
        rows += _rows_of(sys.executable, ROOT, name)
    rows += _before(args.before) if args.before else []
    text = page(rows, by_rules())
    before = args.out.read_text() if args.out.exists() else ""
    _, mark, others = before.partition(OTHERS)  # of `policy_line`
    args.out.write_text(f"{text}\n{mark}{others}" if mark else text)
    print(text)
    return 0 if holds(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
