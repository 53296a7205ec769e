"""News of tool servers between the workers of one gateway: a stream hears of the processes of all workers.

Each worker has a socket of its own in the folder of the supervisor, to which the others send one message a line. A
worker that is slow gets each change once, and loses messages of logs. Without a supervisor there is one worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from gateway.call import Json
from gateway.exchange.siblings import door
from gateway.ids import WORKER

_LOOK: Final = 0.5  # seconds between two looks for workers that have started
_LONGEST: Final = 256 * 1024  # bytes of a message
_WAITING: Final = 1024 * 1024  # bytes of logs that a worker has not taken
_log = logging.getLogger("meshgate")


class Reader(Protocol):
    """Who reads the news, and writes them. A message without a key is not needed if there are too many."""

    def hear(self, worker: str, said: Json) -> None:
        """Another worker has sent a message."""
        ...

    def gone(self, worker: str) -> None:
        """Another worker has ended."""
        ...

    def standing(self) -> Iterable[tuple[str, Json]]:
        """The messages that a worker must get first, with their keys."""
        ...


class SiblingNews:
    """Sends news to the other workers, and takes theirs. For one event loop."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lines: dict[Path, _Line] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.AbstractServer | None = None
        self._here: Path | None = None

    async def open(self) -> None:
        """Begin to listen, and look for the others; nothing without a supervisor."""
        if (place := door()) is None:
            return
        here = place.with_suffix(".news")
        try:
            self._server = await asyncio.start_unix_server(self._take, here, limit=2 * _LONGEST)
        except OSError as fault:
            _log.error("other workers hear no news, as %s is no path of a socket: %s", here, fault)
            return
        self._here = here
        self._run(self._look(here))

    def tell(self, key: str, said: Json) -> None:
        """Send a message to all others. A later message with the same key replaces one that waits; "" has none."""
        if not self._lines:
            return
        data = orjson.dumps([WORKER, said])
        if len(data) < _LONGEST:
            for line in self._lines.values():
                line.put(key, data)

    async def close(self) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._here is not None:
            self._here.unlink(missing_ok=True)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._keep(asyncio.create_task(work))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, here: Path) -> None:
        """Connect to each worker that there is. A socket without a worker refuses, and is tried again."""
        while True:
            for path in here.parent.glob("*.news"):
                if path != here and path not in self._lines:
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_unix_connection(path)
                        line = self._lines[path] = _Line(writer)
                        for key, said in self._reader.standing():
                            line.put(key, orjson.dumps([WORKER, said]))
                        self._run(self._send(path, line))
            await asyncio.sleep(_LOOK)

    async def _send(self, path: Path, line: _Line) -> None:
        try:
            await line.send()
        except OSError:
            pass  # the worker has ended
        finally:
            self._lines.pop(path, None)
            line.writer.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the messages of one worker, until it ends."""
        task = asyncio.current_task()
        assert task is not None, "connections are tasks"
        self._keep(task)
        worker = ""
        try:
            while line := await reader.readline():
                worker, said = orjson.loads(line)
                self._reader.hear(worker, said)
        except (OSError, ValueError) as fault:
            _log.error("the news of another worker could not be read (%s)", type(fault).__name__)
        finally:
            writer.close()
            if worker:
                self._reader.gone(worker)


class _Line:
    """What one worker has not taken yet, in order."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._waiting: dict[str | int, bytes] = {}
        self._logs = 0  # bytes
        self._stirred = asyncio.Event()

    def put(self, key: str, data: bytes) -> None:
        if key:
            self._waiting.pop(key, None)
            self._waiting[key] = data
        elif self._logs + len(data) <= _WAITING:
            self._logs += len(data)
            self._waiting[self._logs] = data
        self._stirred.set()

    async def send(self) -> None:
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            said, self._waiting, self._logs = self._waiting, {}, 0
            self.writer.write(b"\n".join([*said.values(), b""]))
            await self.writer.drain()
