"""Sends decisions to a collector: OPA's decision-log API, or any HTTP sink that accepts a gzipped JSON array.

Config key: `audit.upload`. Runs in the background. A decision leaves the queue on disk once the collector has confirmed
it with a status of 2xx, so no decision is lost if the collector is unreachable, slow or full; a decision is sent twice
if the confirmation could not be recorded. Of several processes with one log, only one sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gzip
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol

import orjson

from gateway.config.sections import Upload
from gateway.policy.decisions import Reader, event

if TYPE_CHECKING:
    import httpx  # imported on use: few configurations upload, and the package is large

_MOST_PAUSE = 60.0
_log = logging.getLogger("meshgate.upload")


class Done(Protocol):
    """Records which decisions were sent."""

    def sent(self, last: int) -> None:
        """Enqueue that all decisions up to this sequence number were sent."""

    async def durable(self) -> None:
        """Return when everything enqueued so far is on disk."""


class Uploader:
    """The queue of one collector. `run` until cancelled."""

    def __init__(self, settings: Upload, path: Path, done: Done, failed: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._path = path
        self._done = done
        self._failed = failed
        self._batch = settings.batch
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", **settings.headers}
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        self._headers = headers
        self.waiting = 0

    async def run(self) -> None:
        """Send decisions until cancelled. A fault is reported, and sending continues."""
        while True:
            try:
                await self._run()
            except Exception as error:
                self._report(f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._settings.interval)

    async def _run(self) -> None:
        import httpx

        with await self._turn():
            queue = _Queue(self._path)
            try:
                async with httpx.AsyncClient(headers=self._headers, timeout=self._settings.timeout) as client:
                    await self._send_all(queue, client)
            finally:
                await queue.close()

    async def _turn(self) -> IO[str]:
        """The lock file beside the log. One process holds the lock; others wait until that process ends."""
        lock = await asyncio.to_thread(open, f"{self._path}-upload.lock", "w")
        try:
            while not _locked(lock):  # noqa: ASYNC110  there is no event for the end of another process
                await asyncio.sleep(self._settings.interval)
        except BaseException:
            lock.close()
            raise
        return lock

    async def _send_all(self, queue: _Queue, client: httpx.AsyncClient) -> None:
        pause = 0.0
        while True:
            last, body, count, self.waiting = await queue.next(self._batch)
            if last and await self._sent(client, body, count):
                self._done.sent(last)
                await self._done.durable()
                self.waiting -= count
                pause = 0.0
                more, self._batch = count == self._batch, min(self._settings.batch, 2 * self._batch)
                if more:
                    continue
            elif last and self._batch >= count:  # otherwise the batch was too large, and half of it is tried at once
                pause = min(_MOST_PAUSE, 2 * pause or self._settings.interval)
            await asyncio.sleep(pause or self._settings.interval)

    async def _sent(self, client: httpx.AsyncClient, body: bytes, count: int) -> bool:
        """Whether the collector confirmed a batch. After 413, the next batch has half the size."""
        import httpx

        try:
            answer = await client.post(self._settings.url, content=body)
        except httpx.HTTPError as error:
            problem = type(error).__name__
        else:
            if answer.is_success:
                return True
            problem = f"status {answer.status_code}"
            if answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
                self._batch = max(1, count // 2)
                if count == 1:  # drop it from the queue, or it would block all others; the log keeps it
                    _log.error("audit.upload: a decision is too large for the collector and is not sent")
                    self._failed()
                    return True
        self._report(problem)
        return False

    def _report(self, problem: str) -> None:
        _log.warning("audit.upload: decisions were not sent (%s); they stay on disk", problem)
        self._failed()


class _Batch(NamedTuple):
    """The next decisions to send: the last sequence number (0: none), the body of the request, the number of its
    decisions, and how many wait in all."""

    last: int
    body: bytes
    size: int
    waiting: int


class _Queue:
    """The queue on disk, read in a thread of its own: a read that a cancelled task left ends before the file closes.

    SQLite may crash the process where a connection is closed while another thread uses the connection.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "upload")
        self._reader: Reader | None = None

    async def next(self, most: int) -> _Batch:
        """The next batch of at most `most` decisions. Raises ConfigError without a log, sqlite3.Error."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._next, most)

    async def close(self) -> None:
        """Close the file, after the read in progress."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _next(self, most: int) -> _Batch:
        if self._reader is None:
            self._reader = Reader(self._path)
        last, decisions = self._reader.unsent(most)
        body = gzip.compress(orjson.dumps([event(decision) for decision in decisions]), 6) if last else b""
        return _Batch(last, body, len(decisions), self._reader.waiting())

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()


def _locked(lock: IO[str]) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


class Uploads:
    """The uploader of the current configuration, replaced when the settings change."""

    def __init__(self, path: Path, failed: Callable[[], None]) -> None:
        self._path = path
        self._failed = failed
        self._settings: Upload | None = None
        self._task: asyncio.Task[None] | None = None
        self._uploader: Uploader | None = None

    @property
    def waiting(self) -> int:
        """The number of decisions that were not sent yet, as of the last read."""
        return self._uploader.waiting if self._uploader else 0

    async def follow(self, settings: Upload | None, done: Done) -> None:
        """Use these settings from now on; None: stop sending."""
        if settings == self._settings:
            return
        await self.close()
        self._settings = settings
        if settings is not None:
            self._uploader = Uploader(settings, self._path, done, self._failed)
            self._task = asyncio.create_task(self._uploader.run())

    async def close(self) -> None:
        """Stop sending; the rest stays in the queue."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._task = self._uploader = self._settings = None
