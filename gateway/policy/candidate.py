"""A candidate bundle judges beside the live one, off the line: in a process of its own.

Config key: `policy.candidate`. Every decision is handed over with what the live bundle said; where the candidate says
otherwise, a metric counts it and the decision log keeps what it said (`meshgate policy differences`). Nothing waits for
it: where it falls behind, decisions are skipped and counted so, and where it dies it is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from typing import Protocol

import orjson

from gateway.call import Call
from gateway.config.sections import Candidate as Settings
from gateway.config.sections import Policy
from gateway.policy.sources import base

LINGER = 0.05  # seconds that decisions are gathered before they are handed over
MOST = 4 * 1024 * 1024  # bytes on their way to the process, beyond which decisions are skipped
_AGAIN = 5.0  # seconds after which a process that ended is started again
_LINE = 16 * 1024 * 1024  # bytes of one line that the process may say
_log = logging.getLogger("meshgate.candidate")


class Reports(base.Reports, Protocol):
    """Who is told of a change of the bundle, and of what the candidate made of decisions."""

    def candidate(self, outcome: str, count: int, change: str = "") -> None: ...


Keep = Callable[[str, str, bytes], None]
"""(id of the call, version of the candidate, what it said) -> into the decision log."""


class Candidate:
    """The process, and what is on its way to it. `open`, then `offer`; `close` ends both."""

    def __init__(self, settings: Settings, reports: Reports, keep: Keep) -> None:
        self.settings = settings
        self.version = ""
        self._reports = reports
        self._keep = keep
        self._waiting: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._child: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start the process; it is ready when it is."""
        self._task = asyncio.create_task(self._run())

    def offer(self, call: Call) -> None:
        """Hand over a decision that was made."""
        decision = call.authorization.decision
        if decision is None:
            return
        line = {"id": call.id, "input": call.authorization.input, "result": orjson.Fragment(decision.result)}
        self._waiting.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER, self._hand_over)

    async def close(self) -> None:
        """End the process."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _hand_over(self) -> None:
        self._timer = None
        lines, self._waiting = self._waiting, []
        pipe = self._child.stdin if self._child is not None else None
        if pipe is None or pipe.is_closing() or pipe.transport.get_write_buffer_size() > MOST:
            self._reports.candidate("skipped", len(lines))
        else:
            pipe.write(b"".join(lines))

    async def _run(self) -> None:
        while True:
            try:
                await self._attend()
            except Exception as error:
                _log.warning("policy.candidate: %s: %s", type(error).__name__, error)
            self._reports.reloaded("candidate", "policy.candidate: its process ended; it is started again")
            await asyncio.sleep(_AGAIN)

    async def _attend(self) -> None:
        """One life of the process."""
        settings = Policy.model_validate(self.settings.model_dump())
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "gateway.policy.candidate_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(settings.model_dump_json().encode() + b"\n")
            self._child = child
            async for line in child.stdout:
                self._heard(orjson.loads(line))
        finally:
            self._child = None
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    def _heard(self, said: dict[str, object]) -> None:
        """What the process says: what it is, how many it judged alike, or one that it judged otherwise."""
        if "problem" in said:
            problem = said["problem"]
            self._reports.reloaded("candidate", str(problem) if problem else None)
        if "version" in said:
            self.version = str(said["version"])
        if "same" in said:
            self._reports.candidate("same", int(str(said["same"])))
        if "id" in said:
            self._reports.candidate("differs", 1, str(said["change"]))
            self._keep(str(said["id"]), self.version, orjson.dumps({"result": said["result"]}))
