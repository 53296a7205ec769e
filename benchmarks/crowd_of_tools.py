"""`python -m benchmarks.crowd_of_tools`: a hundred agents, ten servers, 500 tools, for ten minutes, everything on.

Each agent calls tools of all servers in workflows of its own, lists the tools, and some results hold personal data.
The gateway is a process of its own; agents and servers are this process, on the other core. A line for each minute:
calls a second, their latency, errors, and resident memory. `--minutes`, `--agents`, `--at-once`, and `--workflow`, the
calls of one workflow: with few, the tables of workflows are full sooner.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks.endurance import Many
from benchmarks.process import run_to_end

TESTS = Path(__file__).parents[1] / "tests"
SERVERS, TOOLS = 10, 50
_MINUTE = 60.0
_LIST = 0.05  # share of lists


class Crowd(Many):
    """The gateway with its servers and agents."""

    name = "crowd_of_tools"

    def __init__(self, urls: Sequence[str], agents: int) -> None:
        super().__init__("http://127.0.0.1:9")
        self._urls, self._agents = urls, agents

    def config(self) -> dict[str, Any]:
        made = super().config()
        made["tools"] = {f"s{number}": {"mcp": url, "refresh": "1m"} for number, url in enumerate(self._urls)}
        made["agents"] = {
            f"a{number}": {
                "key_sha256": hashlib.sha256(_key(number).encode()).hexdigest(),
                "team": f"t{number % 10}",
                "roles": ["developer"],
            }
            for number in range(self._agents)
        }
        return made


def _key(number: int) -> str:
    return f"mg-agent-{number}"


async def _agent(
    client: Any, base: str, number: int, until: float, found: list[float], draw: random.Random, workflow: int
) -> int:
    """The calls of one agent until a time, `workflow` in each workflow; returns the number of errors."""
    errors = calls = 0
    begun = f"{number}-{int(until)}"
    headers = {"authorization": f"Bearer {_key(number)}", "accept": "application/json, text/event-stream"}
    while time.monotonic() < until:
        server, tool = draw.randrange(SERVERS), draw.randrange(TOOLS)
        headers["x-correlation-id"] = f"w-{begun}-{calls // workflow}"
        calls += 1
        if draw.random() < _LIST:
            said: dict[str, Any] = {"jsonrpc": "2.0", "id": calls, "method": "tools/list"}
        else:
            arguments = {"text": f"order {draw.randrange(10**6)} of ann{draw.randrange(100)}@example.org"}
            params = {"name": f"get_{tool}", "arguments": arguments}
            said = {"jsonrpc": "2.0", "id": calls, "method": "tools/call", "params": params}
        began = time.perf_counter()
        answer = await client.post(f"{base}/mcp/s{server}", json=said, headers=headers)
        found.append(time.perf_counter() - began)
        errors += answer.status_code != 200 or "result" not in json.loads(answer.content)
    return errors


async def _run(system: Crowd, minutes: int, agents: int, at_once: int, workflow: int) -> None:
    import httpx

    draw = random.Random(1)
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        for minute in range(minutes):
            found: list[float] = []
            until = time.monotonic() + _MINUTE
            some = draw.sample(range(agents), at_once)  # in each minute, other agents call
            calling = (_agent(client, system.base, one, until, found, draw, workflow) for one in some)
            errors = sum(await asyncio.gather(*calling))
            cuts = quantiles(found, n=100)
            print(
                f"minute {minute + 1:>2}: {len(found) / _MINUTE:.0f} calls/s, p50 {cuts[49] * 1000:.1f} ms, "
                f"p99 {cuts[98] * 1000:.0f} ms, {errors} errors, {system.memory():.0f} MB",
                flush=True,
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd_of_tools", description=__doc__)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--workflow", type=int, default=20, help="calls of one workflow (default: 20)")
    options = parser.parse_args(argv)
    sys.path.insert(0, str(TESTS))
    import tool_server

    with ExitStack() as stack:
        servers = [stack.enter_context(tool_server.scripted()) for _ in range(SERVERS)]
        for server in servers:
            server.tools = [tool_server.tool(f"get_{number}") for number in range(TOOLS)]
        system = Crowd([server.url for server in servers], options.agents)
        try:
            system.start()
            asyncio.run(_run(system, options.minutes, options.agents, options.at_once, options.workflow))
        finally:
            system.stop()
    return 0


if __name__ == "__main__":
    run_to_end(main)
