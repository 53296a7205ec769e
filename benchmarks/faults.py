"""Writes `benchmarks/faults.md`: the state of the accounts after each fault. Run: `python -m benchmarks.faults`.

The faults and the load are those of the tests (`tests/faults.py`). The text depends on the results, not on timing.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
REPORT = Path(__file__).with_name("faults.md")

_HEAD = """# Faults between the gateways and their Redis

Two gateways' stores, 24 callers of six teams, real servers; each fault comes under load and goes under load.
Afterwards the books are compared: the tokens that providers reported for admitted calls, and the tokens that the store
charged. A call whose gateway died is charged its estimate of 50 tokens, and marked as lapsed. Made by
`python -m benchmarks.faults`; the same scenarios are tests (`tests/live/test_redis_faults.py`).

| fault | while it lasts, calls | charged = reported + lapsed | left in flight | lapsed | calls that hung |
|---|---|---|---|---|---|
"""


async def main() -> None:
    """Run every scenario and write the report."""
    sys.path.insert(0, str(ROOT / "tests"))
    import faults

    named: dict[str, Callable[[], Awaitable[faults.Books]]] = {
        **{f"network: {name}": functools.partial(faults.network, name) for name in faults.NETWORK},
        "SIGKILL and start, appendfsync always": lambda: faults.killed("always"),
        "SIGKILL and start, appendfsync everysec": lambda: faults.killed("everysec"),
        "SIGKILL of a gateway and of Redis, which starts again": faults.both_killed,
        "SIGKILL and start, `on_error: local`": faults.alone,
        "Cluster of 3 masters loses one, which starts again": faults.node_lost,
        "Cluster of 3 masters fails over, `replicas_ack: 1`": faults.failover,
    }
    lines = []
    for fault, scenario in named.items():
        lines.append(row(fault, await scenario()))
        print(lines[-1])
    REPORT.write_text(_HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def row(fault: str, books: object) -> str:
    """One line of the table."""
    from faults import Books

    assert isinstance(books, Books)
    if not books.refused:
        during = "go on"
    elif fault.startswith("Cluster"):
        during = "of other slots go on, the rest are refused"
    else:
        during = "are refused (`state_unavailable`)"
    off = books.charged - books.reported - books.lapsed
    exact = "yes" if not off else f"**no: off by {off}**"
    return f"| {fault} | {during} | {exact} | {books.held} | {books.lapsed} | {books.hung} |"


if __name__ == "__main__":
    logging.disable(logging.ERROR)  # each refused call would be logged
    asyncio.run(main())
