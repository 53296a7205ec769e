"""The throughput lost to a candidate bundle that evaluates the same calls as the live bundle.

    python -m benchmarks.candidate [--pairs 10] [--seconds 1.5]

Two gateways with the shipped policies and the demo provider, one of them with the same bundle as candidate, loaded in
turn by eight connections. Prints the throughput of each pair, the median loss, and the counts of the candidate's
decisions; exits with 1 if the loss exceeds the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from benchmarks.process import BenchmarkError, run_to_end

LIMIT = 0.05
"""Maximum loss, as a share of the throughput."""
_CONNECTIONS = 8
_POLICIES = Path(__file__).resolve().parent.parent / "policies"
_BODY = {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
_KEY = "benchmark"


def _settings(folder: Path, candidate: bool) -> dict[str, Any]:
    policy: dict[str, Any] = {"path": str(_POLICIES)}
    if candidate:
        policy["candidate"] = {"path": str(_POLICIES)}
    digest = hashlib.sha256(_KEY.encode()).hexdigest()
    return {
        "providers": {"demo": {"format": "demo"}},
        "models": {"demo": {"targets": ["demo/demo"]}},
        "agents": {"a": {"key_sha256": digest, "team": "t", "roles": ["developer"]}},
        "policy": policy,
        "state": f"sqlite:///{folder}/state.db",
        "log": "off",
    }


class Gateway:
    """One gateway in a separate folder."""

    def __init__(self, folder: Path, candidate: bool, port: int) -> None:
        folder.mkdir()
        path = folder / "gateway.yaml"
        path.write_text(yaml.safe_dump(_settings(folder, candidate)))
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(path), "--port", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    async def ready(self, session: aiohttp.ClientSession) -> None:
        """Wait until the gateway serves calls, and its candidate evaluates them."""
        for _ in range(300):
            try:
                async with session.get(f"{self.url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
        raise BenchmarkError("a gateway did not start within 30 s")

    async def load(self, session: aiohttp.ClientSession, seconds: float) -> float:
        """Calls per second."""
        end, calls = time.monotonic() + seconds, 0

        async def client() -> None:
            nonlocal calls
            while time.monotonic() < end:
                headers = {"Authorization": f"Bearer {_KEY}"}
                async with session.post(f"{self.url}/v1/chat/completions", json=_BODY, headers=headers) as answer:
                    if answer.status != 200:
                        raise BenchmarkError(f"a call was answered with status {answer.status}")
                    await answer.read()
                    calls += 1

        await asyncio.gather(*(client() for _ in range(_CONNECTIONS)))
        return calls / seconds

    async def outcomes(self, session: aiohttp.ClientSession) -> list[str]:
        """The counts of the candidate's decisions, by outcome."""
        async with session.get(f"{self.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return [line for line in lines if line.startswith("meshgate_candidate_decisions_total")]


async def measure(pairs: int, seconds: float) -> float:
    """The median loss, as a share of the throughput."""
    with tempfile.TemporaryDirectory() as folder:
        alone = Gateway(Path(folder) / "alone", False, 18301)
        beside = Gateway(Path(folder) / "beside", True, 18302)
        try:
            async with aiohttp.ClientSession() as session:
                for one in (alone, beside):
                    await one.ready(session)
                    await one.load(session, 2.0)
                lost = []
                for number in range(pairs):
                    order = (alone, beside) if number % 2 else (beside, alone)
                    rates = {one: await one.load(session, seconds) for one in order}
                    lost.append(1 - rates[beside] / rates[alone])
                    print(f"alone {rates[alone]:7.0f}/s  with a candidate {rates[beside]:7.0f}/s", flush=True)
                await asyncio.sleep(1)
                print(*await beside.outcomes(session), sep="\n")
        finally:
            for one in (alone, beside):
                one.process.terminate()
            for one in (alone, beside):
                one.process.wait()
    return statistics.median(lost)


def main() -> int:
    """Measure and print; returns 1 if the limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.5)
    args = parser.parse_args()
    lost = asyncio.run(measure(args.pairs, args.seconds))
    print(f"lost: {lost:.1%} of the throughput (median of {args.pairs} pairs; load {os.getloadavg()[0]:.1f})")
    return 0 if lost < LIMIT else 1


if __name__ == "__main__":
    run_to_end(main)
