"""`python -m benchmarks.tools`: work of a tool call beside a chat call of equal size, and of a list of 500 tools.

Steps are instructions of the interpreter on the event loop of the gateway (`sys.settrace` with opcodes), calls those of
functions in Python and C (`sys.setprofile`). They do not depend on the load of the machine. The time is that of the
processor, of the thread of the event loop. All are the least of several rounds, with everything on. Targets: 1.3 chat
calls for a tool call, 2 ms for a list that is cached.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.process import run_to_end

TESTS = Path(__file__).parents[1] / "tests"
WORDS = "The order was sent on Monday and should be there soon, so please wait until Friday. "
SIZE = 12  # repeats of these words: 1 kB
WARM, ROUNDS = 5, 7
ON: dict[str, Any] = {
    "limits": [{"per": "agent", "requests": "100m/min"}, {"per": "team", "tokens": "100000m/min"}],
    "quotas": {"tokens": 10**12, "cost_usd": 1e6, "calls": 10**12, "seconds": "1d"},
    "policy": {"path": str(TESTS.parent / "policies")},
    "pii": {"default": "mask"},
    "output": {"secrets": "block", "pii": "redact", "exfiltration_urls": "block"},
}


class Counter:
    """Counts work of one thread, between `start` and `stop`, which run in it."""

    def __init__(self) -> None:
        self.steps = self.calls = 0

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        """Count instructions."""
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.steps += event == "opcode"
        return self.trace

    def profile(self, _: FrameType, event: str, __: object) -> None:
        """Count calls of functions."""
        self.calls += event in ("call", "c_call")


def on_loop(line: Any, work: Callable[[], None]) -> None:
    """Run on the event loop of the gateway, and wait."""
    done = threading.Event()
    line.loop.call_soon_threadsafe(work)
    line.loop.call_soon_threadsafe(done.set)
    done.wait()


def measured(line: Any, work: Callable[[int], None]) -> tuple[int, int, int]:
    """Steps, calls and microseconds of one call, least of several."""
    for number in range(WARM):
        work(number)
    steps, calls, times = [], [], []
    clock: list[int] = []
    for number in range(WARM, WARM + ROUNDS):
        counter = Counter()
        on_loop(line, lambda counter=counter: sys.settrace(counter.trace))  # type: ignore[misc]
        work(number)
        on_loop(line, lambda: sys.settrace(None))
        on_loop(line, lambda counter=counter: sys.setprofile(counter.profile))  # type: ignore[misc]
        work(number + ROUNDS)
        on_loop(line, lambda: sys.setprofile(None))
        clock.clear()
        on_loop(line, lambda: clock.append(time.thread_time_ns()))
        work(number + 2 * ROUNDS)
        on_loop(line, lambda: clock.append(time.thread_time_ns()))
        times.append((clock[1] - clock[0]) // 1000)
        steps.append(counter.steps)
        calls.append(counter.calls)
    return min(steps), min(calls), min(times)


def main() -> int:
    """Measure and print the table; the exit code."""
    sys.path.insert(0, str(TESTS))
    import tool_server
    import upstream
    from line import config, running
    from tool_client import Client

    with (
        tempfile.TemporaryDirectory() as folder,
        upstream.running() as up,
        tool_server.scripted() as server,
        tool_server.scripted() as many,
    ):
        many.tools = [tool_server.tool(f"get_{number}") for number in range(500)]
        tools = {"it": {"mcp": server.url, "refresh": "1h"}, "many": {"mcp": many.url, "refresh": "1h"}}
        with running(Path(folder), config(Path(folder), up.url, tools=tools, **ON)) as line:
            client, listing = Client(line), Client(line, "/mcp/many")

            def chat(number: int) -> None:
                assert line.chat(f"{WORDS * SIZE}{number}", cid="chat").status_code == 200

            def call(number: int) -> None:
                text = f"{number} {WORDS * SIZE}"  # other texts than those of chat calls, which are known then
                assert "result" in client.call("get_it", {"text": text}, x_correlation_id="tool")

            def listed(_: int) -> None:
                assert len(listing.tools()) == 500

            rows = {"chat call": chat, "tool call": call, "list of 500 tools": listed}
            figures = {name: measured(line, work) for name, work in rows.items()}
    base = figures["chat call"]
    print("| 1 kB | steps | of a chat call | calls | of a chat call | us |\n|---|--:|--:|--:|--:|--:|")
    for name, (steps, calls, least) in figures.items():
        print(f"| {name} | {steps:,} | {steps / base[0]:.2f} | {calls:,} | {calls / base[1]:.2f} | {least:,} |")
    return 0


if __name__ == "__main__":
    run_to_end(main)
