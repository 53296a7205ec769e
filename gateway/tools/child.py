"""A child process that speaks over its pipes, which may misbehave: its start and end, and what it may write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from typing import Final, cast

import orjson

from gateway.call import Json

GRACE: Final = 2.0
"""Seconds for a process to end by itself."""
_WINDOW: Final = 60.0  # seconds
_STRAYS: Final = 10_000  # lines in a window that answer no call; one more for each 4 KB of a line
_UNREAD: Final = 256 * 1024  # bytes that wait for the process to read them, beyond which it gets no short messages


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


async def started(command: Sequence[str], env: Mapping[str, str], longest: int) -> Process:
    """A process that leads a group of its own. `longest`: bytes of a line. Raises OSError, ValueError."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        lambda: _Protocol(longest, loop),
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=env,
        start_new_session=True,
    )
    return Process(transport, protocol, loop)


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
