"""The cost of recording a decision, in CPU time of the line.

    python -m benchmarks.policy_line

CPU of the thread that serves, from the decision to the row on its way to disk: the best of 25 rounds of 200 calls.
Prints the figures and the load of the machine; exits with 1 if the limit is exceeded.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import orjson

from benchmarks.policy import document
from gateway.call import Call, Decision, Subject
from gateway.config.sections import Audit as Settings
from gateway.config.sections import Upload
from gateway.record.audit import SCHEMA, Audit
from gateway.stores.writer import Writer

RECORD = 15.0
"""Maximum microseconds of the serving thread for a record."""


async def record(upload: bool) -> float:
    """Microseconds of the serving thread for one record: the best of 25 rounds of 200."""
    settings = Settings(upload=Upload(url="http://127.0.0.1:1") if upload else None)
    best = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(Path(folder) / "audit.db", SCHEMA)
        audit = Audit(writer, settings)
        result = orjson.dumps({"allow": True, "deny": [], "obligations": [{"code": "labels", "labels": ["untrusted"]}]})
        for round_ in range(25):
            calls = [_call(f"{round_}-{number}", result) for number in range(200)]
            began = time.thread_time()
            for call in calls:
                audit.decided(call)
            best = min(best, (time.thread_time() - began) / len(calls) * 1e6)
            await audit.durable()
        writer.close()
    return best


def _call(id: str, result: bytes) -> Call:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import calls

    call = calls.call(correlation_id="workflow")
    call.id = id
    call.subject = Subject("agent", "team")
    call.authorization.input = document(0)
    call.authorization.decision = Decision(True, "allow", "0123456789ab", result=result)
    return call


async def _both() -> tuple[float, float]:
    return await record(upload=False), await record(upload=True)


def main() -> int:
    """Measure and print; returns 1 if the limit is exceeded."""
    kept, sent = asyncio.run(_both())
    load = os.getloadavg()[0]
    print(f"record of a decision: {kept:.1f} us of line time; with audit.upload {sent:.1f} us (load {load:.1f})")
    return 0 if max(kept, sent) < RECORD else 1


if __name__ == "__main__":
    sys.exit(main())
