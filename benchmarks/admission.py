"""CPU of admitting and settling one call, by store: 32 calls at a time, two buckets and three quotas each.

    python -m benchmarks.admission [redis://127.0.0.1:6379/0]

Measures only this process (`time.process_time`), including the writer thread of SQLite, but not the Redis server.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from gateway.amounts import Ask, Debit, Reservation
from gateway.stores import Store, open_store

CONCURRENT = 32
CALLS = 6000


def _debits(call: int) -> tuple[Debit, ...]:
    agent = call % 20
    return (
        Debit(f"agent:t/{agent}:requests", "requests", 1, 10**6, "agent-requests", 10**4, 60),
        Debit("team:t:tokens", "tokens", 2000, 10**9, "team-tokens", 10**7, 60),
        Debit("tokens", "tokens", 2000, 10**12, "quotas.tokens"),
        Debit("cost", "cost", 2_000_000, 10**15, "quotas.cost_usd"),
        Debit("calls", "calls", 1, 10**9, "quotas.calls"),
    )


async def _call(store: Store, number: int) -> None:
    ask = Ask(f"call-{number}", "t", f"workflow-{number % 200}", f"a{number % 20}", _debits(number), 3600, 86400, 900)
    outcome = await store.reserve(ask)
    assert isinstance(outcome, Reservation)
    await store.durable()
    await store.settle(outcome, {"tokens": 1200, "cost": 900_000, "team:t:tokens": 1200, "calls": 1}, "settled")


async def _run(url: str) -> tuple[float, float]:
    store = open_store(url)
    await store.open()
    numbers = iter(range(CALLS))

    async def worker() -> None:
        for number in numbers:
            await _call(store, number)

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))
    await store.durable()
    spent = time.process_time() - cpu, time.perf_counter() - wall
    await store.close()
    return spent


def main() -> None:
    """Print one line for each store."""
    with tempfile.TemporaryDirectory() as folder:
        for url in (f"sqlite:///{Path(folder) / 'state.db'}", *sys.argv[1:]):
            cpu, wall = asyncio.run(_run(url))
            print(f"{url.partition(':')[0]:8} {cpu / CALLS * 1e6:6.1f} us CPU a call  {CALLS / wall:8.0f} calls/s")


if __name__ == "__main__":
    main()
