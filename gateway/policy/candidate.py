"""A candidate bundle judges the same calls as the live bundle, in a separate process and without effect.

Config key: `policy.candidate`. The process gets every input with the result of the live bundle. If the results differ,
a metric counts the difference and the decision log keeps the result of the candidate (`meshgate policy differences`).
No call waits for the candidate: if the process falls behind, decisions are skipped and counted as skipped; if it dies,
it is restarted.
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

LINGER = 0.05  # seconds that decisions are collected before they are sent to the process
MOST = 4 * 1024 * 1024  # unread bytes in the pipe to the process above which decisions are skipped
_AGAIN = 5.0  # seconds after which a process that ended is restarted
_LINE = 16 * 1024 * 1024  # maximum bytes of one line of the process
_log = logging.getLogger("meshgate.candidate")


class Reports(base.Reports, Protocol):
    """Receives changes of the bundle and the outcomes of the comparison."""

    def candidate(self, outcome: str, count: int, change: str = "") -> None:
        """Count decisions by outcome: same, differs, skipped. `change`: the difference in words."""


Keep = Callable[[str, str, bytes], None]
"""Writes a difference to the decision log: id of the call, version of the candidate, its result as JSON."""


class Candidate:
    """The process, and the decisions that wait to be sent. Call `open`, then `offer`; `close` ends the process."""

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
        """Start the process. Decisions are skipped until it is ready."""
        self._task = asyncio.create_task(self._run())

    def offer(self, call: Call) -> None:
        """Send a decision of the live bundle to the process."""
        decision = call.authorization.decision
        if decision is None:
            return
        line = {"id": call.id, "input": call.authorization.input, "result": orjson.Fragment(decision.result)}
        self._waiting.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER, self._send)

    async def close(self) -> None:
        """End the process."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _send(self) -> None:
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
            self._reports.reloaded("candidate", "policy.candidate: the process of the candidate ended and is restarted")
            await asyncio.sleep(_AGAIN)

    async def _attend(self) -> None:
        """Start the process, and read its lines until it ends."""
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
        """Process a line of the process: its version or problem, a number of equal results, or one difference."""
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
