"""How exactly a quota is enforced: many callers of one workflow, spread over several gateways that share one Redis.

    python -m benchmarks.accuracy [--quick] [--no-litellm] [--out DIR]

Four runs of Meshgate: a quota of tokens, of money, of calls, and one of tokens in which a gateway is killed. For
comparison, LiteLLM's session budget with the same callers. The true usage is that of the provider, which runs in this
process. README.md explains the results. Exits with 1 if Meshgate is not exact, with 2 if the benchmark cannot run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.exact import FULL, QUICK, Row, measure
from benchmarks.process import run_to_end
from benchmarks.replicas import LAPSE
from benchmarks.systems import ROOT
from gateway.amounts import NANO_USD

_COLUMNS = "system, limit, callers, answered, told to wait, charged, lapsed, overshoot, idle, idle in calls, seconds"


def words(rows: Sequence[Row], about: dict[str, Any]) -> Iterator[str]:
    """The lines of accuracy.md."""
    yield "# Accuracy\n"
    yield (
        f"{about['date']}, {about['cores']} cores, Python {about['python']}: {about['callers']} callers of one "
        f"workflow, {about['gateways']} gateways, one Redis. README.md says how to read it.\n"
    )
    columns = _COLUMNS.split(", ")
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        tally = row.tally
        yield (
            f"| {row.system} | {row.quota} {_amount(row, row.limit)} | {row.callers} "
            f"| {len(tally.answered):,} | {tally.waits:,} | {_amount(row, row.charged)} | {_amount(row, row.lapsed)} "
            f"| {row.overshoot:.2f}% | {row.idle:.3f}% | {row.idle_calls:.2f} | {row.seconds:.1f} |"
        )
    yield ""
    for row in _ours(rows):
        faults = list(row.faults())
        yield from (f"- FAIL {row.system}, {row.quota}: {fault}" for fault in faults)
        if not faults:
            yield (
                f"- PASS {row.system}, {row.quota}: charged exactly what the provider reported"
                f"{' and the estimates of what was lost' if row.lapsed else ''}; never over the limit; less than one "
                "call's worth left"
            )


def _ours(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.quota.startswith("quotas.")]


def _amount(row: Row, amount: int) -> str:
    money = row.quota.endswith(("cost_usd", "per_session"))
    return f"{amount / NANO_USD:.6f}" if money else f"{amount:,}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run and report; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description="How exactly a quota holds.")
    parser.add_argument("--quick", action="store_true", help="few callers, no waiting, writes nothing")
    parser.add_argument("--no-litellm", action="store_true", help="Meshgate only")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks", help="where the results go")
    options = parser.parse_args(argv)
    size = QUICK if options.quick else FULL
    rows = asyncio.run(measure(size, litellm=not options.no_litellm, ahead=LAPSE if options.quick else 0.0))
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "callers": size.callers,
        "gateways": size.gateways,
    }
    text = "\n".join(words(rows, about)) + "\n"
    print(text)
    if not options.quick:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "accuracy.md").write_text(text)
        kept = {"about": about, "rows": [_kept(row) for row in rows]}
        (options.out / "accuracy.json").write_text(json.dumps(kept, indent=1) + "\n")
    return int(any(fault for row in _ours(rows) for fault in row.faults()))


def _kept(row: Row) -> dict[str, Any]:
    figures = asdict(row)
    tally = figures.pop("tally")
    del tally["sent"]
    tally["answered"] = len(tally["answered"])
    return {**figures, "overshoot": row.overshoot, "idle": row.idle, "idle_calls": row.idle_calls, **tally}


if __name__ == "__main__":
    run_to_end(main)
