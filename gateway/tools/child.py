"""A child process that speaks over its pipes, which may misbehave: its start and end, and what it may write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import time
from asyncio.subprocess import PIPE, Process
from typing import Final, cast

import orjson

from gateway.call import Json
from gateway.config.tools import Tool

GRACE: Final = 2.0
"""Seconds for a process to end by itself."""
LONGEST_WAIT: Final = 30.0
"""Seconds between two starts."""
_FIRST_PAUSE: Final = 0.5  # seconds
_PASSED: Final = ("PATH", "HOME", "LANG", "TMPDIR")
_WINDOW: Final = 60.0  # seconds
_STRAYS: Final = 10_000  # lines in a window that answer no call; one more for each 4 KB of a line
_UNREAD: Final = 256 * 1024  # bytes that wait for the process to read them, beyond which it gets no short messages


class Pauses:
    """The pauses before a process that ends again and again is started: longer each time."""

    def __init__(self) -> None:
        self._pause = _FIRST_PAUSE
        self._began = 0.0

    def started(self) -> None:
        """The process has started."""
        self._began = time.monotonic()

    def next(self) -> float:
        """Seconds of the next pause."""
        long = time.monotonic() - self._began > LONGEST_WAIT
        pause = _FIRST_PAUSE if long else self._pause
        self._pause = min(LONGEST_WAIT, 2 * pause)
        return pause


class Flood(Exception):
    """A process writes what no call waits for, without end."""


class Strays:
    """Counts lines of a process that answer no call."""

    def __init__(self) -> None:
        self._left = _STRAYS
        self._until = 0.0

    def count(self, line: bytes) -> None:
        """Count a line. Raises Flood for too many in a minute."""
        now = time.monotonic()
        if now > self._until:
            self._left, self._until = _STRAYS, now + _WINDOW
        self._left -= 1 + len(line) // 4096
        if self._left < 0:
            raise Flood


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """The pipes of a process, which end with it: others that it started may hold them open for ever."""

    _started: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the process."""
        super().connection_made(transport)
        self._started = cast(asyncio.SubprocessTransport, transport)  # that of uvloop is no subclass

    def process_exited(self) -> None:
        """End what the process started. What has left its group cannot hold the pipes."""
        super().process_exited()
        if self._started is not None:
            kill(self._started.get_pid())
            asyncio.get_running_loop().call_later(GRACE, _close, self._started)


def _close(transport: asyncio.SubprocessTransport) -> None:
    if (pipe := transport.get_pipe_transport(1)) is not None:
        pipe.close()


async def started(row: Tool) -> Process:
    """The process of a row, which leads a group of its own. Raises OSError, ValueError."""
    loop = asyncio.get_running_loop()
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    transport, protocol = await loop.subprocess_exec(
        lambda: _Protocol(row.max_answer, loop),
        *row.command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**environment, **row.env},
        start_new_session=True,
    )
    process = Process(transport, protocol, loop)
    if row.memory is not None:
        with contextlib.suppress(OSError):
            resource.prlimit(process.pid, resource.RLIMIT_AS, (row.memory, row.memory))
    return process


def add(process: Process, message: Json) -> None:
    """Write a short message, unless the process does not read, or has ended."""
    pipe = process.stdin
    if pipe is None or pipe.is_closing() or pipe.transport.get_write_buffer_size() > _UNREAD:
        return
    with contextlib.suppress(OSError, RuntimeError):
        pipe.write(orjson.dumps(message) + b"\n")


def kill(pid: int) -> None:
    """End a process, and those that it started."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
