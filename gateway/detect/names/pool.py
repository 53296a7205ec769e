"""The processes that run language models: started with the gateway, used in the background, replaced when they die.

Config keys: `pii.ner.model`, `entities`, `score`, `workers`. Texts wait in one bounded queue; an idle worker takes one
batch. A text is not sent if no call waits for it any more. A worker ends when its socket closes, also when the gateway
is killed. Raises `Unread` if a text could not be read; the caller decides what follows.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

from gateway.detect.names import wire
from gateway.errors import ConfigError
from gateway.texts import Finding

BATCH: Final = 16_000
"""Maximum characters of a batch; a single text may be longer."""
WAITING: Final = 2_000_000
"""Maximum characters in the queue; a text that exceeds them is refused."""
_LOADING = 60  # seconds a model may take to load
_PAUSE = (0.1, 5.0)  # seconds before a worker that died is replaced: at first, and at most
# Further threads would compete for the processors that the gateway needs.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "BLIS_NUM_THREADS": "1"}
_log = logging.getLogger("meshgate.ner")


class Settings(Protocol):
    """The section `pii.ner` of the configuration."""

    @property
    def model(self) -> str: ...
    @property
    def entities(self) -> tuple[str, ...]: ...
    @property
    def workers(self) -> int: ...
    @property
    def deadline(self) -> float: ...
    @property
    def on_deadline(self) -> Literal["block", "allow"]: ...
    @property
    def score(self) -> float: ...


class Unread(Exception):
    """A text could not be searched for names. The message is the reason, and contains nothing of the text."""


class _Job:
    """A text of a team that waits for its findings."""

    __slots__ = ("future", "sent", "team", "text", "wanted")

    def __init__(self, team: str, text: str) -> None:
        self.team = team
        self.text = text
        self.future: asyncio.Future[list[Finding]] = asyncio.get_running_loop().create_future()
        self.wanted = 0
        self.sent = False


class Pool:
    """The workers of one configuration. Lives on one event loop."""

    def __init__(self, config: Settings, report: Callable[[str], None] = _log.error) -> None:
        self.config = config
        self._report = report
        self._jobs: dict[tuple[str, str], _Job] = {}  # by team and text: a text of two calls is read once
        self._queue: deque[_Job] = deque()
        self._waiting = 0
        self._filled = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._asking = 0
        self._retired = False
        self._workers: set[_Worker] = set()

    @property
    def pids(self) -> set[int]:
        """The ids of the running processes."""
        return {worker.pid for worker in self._workers}

    async def open(self) -> Pool:
        """Start the workers and wait until their models are loaded. Raises ConfigError."""
        started = await asyncio.gather(*(self._start() for _ in range(self.config.workers)), return_exceptions=True)
        workers = [outcome for outcome in started if isinstance(outcome, _Worker)]
        faults = [outcome for outcome in started if isinstance(outcome, BaseException)]
        if faults:
            await self.close()
            raise ConfigError(f"pii.ner: {faults[0]}") if isinstance(faults[0], Unread) else faults[0]
        self._tasks = [asyncio.create_task(self._keep(worker)) for worker in workers]
        return self

    async def find(self, texts: Sequence[str], deadline: float, team: str = "") -> Mapping[str, list[Finding]]:
        """Text -> its findings, for the texts that were read within `deadline` seconds.

        Raises Unread if a worker failed or the queue is full; findings in other texts are then lost for this call.
        """
        if not self._tasks:  # retired, but a call that began before still needs it
            self._tasks = [asyncio.create_task(self._keep(None)) for _ in range(self.config.workers)]
        jobs: list[_Job] = []
        self._asking += 1
        try:
            for text in dict.fromkeys(texts):
                jobs.append(self._job(team, text))
                jobs[-1].wanted += 1
            await asyncio.wait([job.future for job in jobs], timeout=deadline, return_when=asyncio.FIRST_EXCEPTION)
            return {job.text: job.future.result() for job in jobs if job.future.done()}
        finally:
            for job in jobs:
                job.wanted -= 1
                if not job.wanted and not job.sent:
                    self._fail(job, "nobody waits for it")
            self._asking -= 1
            if self._retired and not self._asking:
                await self.close()

    async def retire(self) -> None:
        """Serve no new calls: the workers end as soon as no text waits."""
        self._retired = True
        if not self._asking:
            await self.close()

    async def close(self) -> None:
        """End the workers. Waiting texts are not read."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for worker in list(self._workers):  # of tasks that were cancelled before they began
            await self._end(worker)
        for job in list(self._jobs.values()):
            self._fail(job, "The scanner for names has ended.")

    def _job(self, team: str, text: str) -> _Job:
        job = self._jobs.get((team, text))
        if job is None:
            if self._waiting + len(text) > WAITING:
                raise Unread("more text waits for the scanner for names than it may take on")
            job = self._jobs[team, text] = _Job(team, text)
            self._waiting += len(text)
            self._queue.append(job)
            self._filled.set()
        return job

    async def _keep(self, worker: _Worker | None) -> None:
        """Run one worker, and replace it when it dies."""
        pause = _PAUSE[0]
        while True:
            try:
                worker = worker or await self._start()
                pause = _PAUSE[0]
                await self._serve(worker)
            except Unread as why:
                self._report(f"{why}; another worker takes its place")
            finally:
                if worker is not None:
                    await self._end(worker)
                    worker = None
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE[1])

    async def _serve(self, worker: _Worker) -> None:
        """Send batches to a worker. Raises Unread when the worker died."""
        while True:
            batch = await self._next()
            try:
                found = await worker.ask([job.text for job in batch])
                for job, findings in zip(batch, found, strict=True):
                    self._done(job)
                    if not job.future.done():
                        job.future.set_result(findings)
            except asyncio.CancelledError:
                for job in batch:
                    self._fail(job, "the scanner for names has ended")
                raise
            except Unread as why:
                for job in batch:
                    self._fail(job, str(why))
                if not worker.alive:
                    raise

    async def _next(self) -> list[_Job]:
        """The next batch: the texts that have waited longest, at least one."""
        batch: list[_Job] = []
        size = 0
        while not batch:
            while not self._queue:
                self._filled.clear()
                await self._filled.wait()
            while self._queue and (not batch or size + len(self._queue[0].text) <= BATCH):
                job = self._queue.popleft()
                if not job.future.done():
                    job.sent = True
                    batch.append(job)
                    size += len(job.text)
        return batch

    def _done(self, job: _Job) -> None:
        if self._jobs.get((job.team, job.text)) is job:
            del self._jobs[job.team, job.text]
            self._waiting -= len(job.text)

    def _fail(self, job: _Job, why: str) -> None:
        self._done(job)
        if not job.future.done():
            job.future.set_exception(Unread(why))
            job.future.exception()  # read the exception: asyncio logs exceptions that are never read

    async def _start(self) -> _Worker:
        worker = _Worker(self.config)
        self._workers.add(worker)
        try:
            await worker.open()
        except BaseException:
            await self._end(worker)
            raise
        return worker

    async def _end(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        await worker.close()


class _Worker:
    """One process, and the gateway's end of its socket."""

    def __init__(self, config: Settings) -> None:
        ours, theirs = socket.socketpair()
        options = {"model": config.model, "entities": config.entities, "score": config.score}
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [sys.executable, "-P", "-m", "gateway.detect.names.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Without the gateway's environment, which contains keys, but with the same module path.
                env={"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **_ENVIRONMENT},
                start_new_session=True,  # Ctrl-C is for the gateway, which may still have calls to end
            )
        self._ours = ours
        self._ours.setblocking(False)
        self._options = options
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.pid = self._process.pid
        self.alive = True

    async def open(self) -> None:
        """Wait until the model is loaded. Raises Unread."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._ours)
        try:
            async with asyncio.timeout(_LOADING):
                await self._exchange(self._options)
        except TimeoutError:
            raise Unread(f"the model {self._options['model']} did not load within {_LOADING} s") from None

    async def ask(self, texts: list[str]) -> list[list[Finding]]:
        """The findings of each text. Raises Unread."""
        answer = await self._exchange(texts)
        return [[Finding(*one) for one in findings] for findings in answer["found"]]

    async def _exchange(self, message: Any) -> Any:
        assert self._reader is not None
        assert self._writer is not None
        try:
            self._writer.write(wire.pack(message))
            await self._writer.drain()
            head = await self._reader.readexactly(wire.LENGTH)
            answer = wire.unpack(await self._reader.readexactly(wire.length(head)))
        except (OSError, EOFError, ValueError):
            self.alive = False
            raise Unread("a worker of the scanner for names died") from None
        if "error" in answer:
            raise Unread(answer["error"])
        return answer

    async def close(self) -> None:
        """End the process, and wait for its end."""
        self.alive = False
        if self._writer is not None:
            self._writer.close()
        else:
            self._ours.close()
        self._process.kill()
        await asyncio.shield(asyncio.to_thread(self._process.wait))
