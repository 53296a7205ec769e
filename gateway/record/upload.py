"""Sends decisions to a collector: OPA's decision-log API, or any HTTP sink that takes a gzipped JSON array.

Config key: `audit.upload`. Beside the line. A decision leaves the queue on disk once the collector has confirmed it
with a status of 2xx, so one that is away, slow or full loses nothing; what it confirmed and we could not note is sent
twice. Of several processes over one log one sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gzip
import logging
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

import httpx
import orjson

from gateway.config.sections import Upload
from gateway.policy.decisions import Reader, event

_MOST_PAUSE = 60.0
_log = logging.getLogger("meshgate.upload")


class Done(Protocol):
    """Who notes what was sent."""

    def sent(self, last: int) -> None: ...
    async def durable(self) -> None: ...


class Uploader:
    """One collector. `run` until cancelled."""

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
        """Send whatever is to be sent, until cancelled. A fault is told of, and the work goes on."""
        while True:
            try:
                await self._run()
            except Exception as error:
                self._report(f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._settings.interval)

    async def _run(self) -> None:
        with await self._turn():
            reader = await asyncio.to_thread(Reader, self._path)
            try:
                async with httpx.AsyncClient(headers=self._headers, timeout=self._settings.timeout) as client:
                    await self._send_all(reader, client)
            finally:
                await asyncio.to_thread(reader.close)

    async def _turn(self) -> IO[str]:
        """The lock beside the log, which one process holds; the others wait for it to end."""
        lock = await asyncio.to_thread(open, f"{self._path}-upload.lock", "w")
        try:
            while not _locked(lock):  # noqa: ASYNC110  no event tells of another process's end
                await asyncio.sleep(self._settings.interval)
        except BaseException:
            lock.close()
            raise
        return lock

    async def _send_all(self, reader: Reader, client: httpx.AsyncClient) -> None:
        pause = 0.0
        while True:
            last, body, count = await asyncio.to_thread(_next, reader, self._batch)
            self.waiting = await asyncio.to_thread(reader.waiting)
            if last and await self._sent(client, body, count):
                self._done.sent(last)
                await self._done.durable()
                self.waiting -= count
                pause = 0.0
                more, self._batch = count == self._batch, min(self._settings.batch, 2 * self._batch)
                if more:
                    continue
            elif last and self._batch >= count:  # else it was too large, and half of it may not be
                pause = min(_MOST_PAUSE, 2 * pause or self._settings.interval)
            await asyncio.sleep(pause or self._settings.interval)

    async def _sent(self, client: httpx.AsyncClient, body: bytes, count: int) -> bool:
        """Whether the collector has them now. A request that is too large for it is halved."""
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
                if count == 1:  # else it would hold up all that come after it; the log has it still
                    _log.error("audit.upload: one decision is too large for the collector, and is not sent")
                    self._failed()
                    return True
        self._report(problem)
        return False

    def _report(self, problem: str) -> None:
        _log.warning("audit.upload: decisions were not sent (%s); they stay on disk", problem)
        self._failed()


def _next(reader: Reader, most: int) -> tuple[int, bytes, int]:
    """The next batch, as the body of a request."""
    last, found = reader.unsent(most)
    body = gzip.compress(orjson.dumps([event(one) for one in found]), 6) if last else b""
    return last, body, len(found)


def _locked(lock: IO[str]) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


class Uploads:
    """The uploader of the configuration in force: another one when the settings change."""

    def __init__(self, path: Path, failed: Callable[[], None]) -> None:
        self._path = path
        self._failed = failed
        self._settings: Upload | None = None
        self._task: asyncio.Task[None] | None = None
        self._uploader: Uploader | None = None

    @property
    def waiting(self) -> int:
        """Decisions that are still to be sent, as of the last look."""
        return self._uploader.waiting if self._uploader else 0

    async def follow(self, settings: Upload | None, done: Done) -> None:
        """Send by these settings from now on."""
        if settings == self._settings:
            return
        await self.close()
        self._settings = settings
        if settings is not None:
            self._uploader = Uploader(settings, self._path, done, self._failed)
            self._task = asyncio.create_task(self._uploader.run())

    async def close(self) -> None:
        """Stop sending; what is left is sent by whoever comes next."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._task = self._uploader = self._settings = None
