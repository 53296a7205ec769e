"""Threads for work that would block the event loop, shared fairly: teams take turns, regardless of their load.

There are few threads, because each running thread makes the loop wait for the interpreter lock. If a call is cancelled,
its budget ends the work early, and waiting work does not start.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Final, TypeVar

from gateway.budget import Budget
from gateway.call import Call

WORKERS: Final = max(2, min(4, os.cpu_count() or 2))
SLICE: Final = 20_000_000
"""Nanoseconds that scanning one text may take on the event loop."""
Result = TypeVar("Result")


class Lanes:
    """The threads of one process, for one event loop."""

    def __init__(self, workers: int = WORKERS, slice: int = SLICE) -> None:
        self.slice = slice  # nanoseconds that one piece of work may take on the event loop
        self._free = workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="judge")
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by team, the next turn first

    async def run(self, call: Call, work: Callable[..., Result], *args: Any) -> Result:
        """Run work in a thread, within the call's budget. If the call is cancelled, the work ends early."""
        await self._enter(call.team)
        budget = call.budget
        running = asyncio.get_running_loop().run_in_executor(
            self._threads, copy_context().run, _within, budget, work, args
        )
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            budget.abandoned = True
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # retrieve the exception, which nothing else awaits
            raise
        finally:
            self._leave()
            del running  # with its fault and the frame of this fault, a cycle

    async def _enter(self, team: str) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(team, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn came: pass it on
                self._leave()
            raise

    def _leave(self) -> None:
        """Pass the lane to the next team."""
        while self._waiting:
            team = next(iter(self._waiting))
            queue = self._waiting.pop(team)
            turn = queue.popleft()
            if queue:
                self._waiting[team] = queue  # to the end of the queue
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _within(budget: Budget, work: Callable[..., Result], args: tuple[Any, ...]) -> Result:
    budget.begin()
    try:
        return work(*args)
    finally:
        budget.end()


SMALL: Final = 512
"""Maximum number of small steps (a few microseconds each) that run on the event loop."""


async def pause() -> None:
    """Yield to everything else that waits for the event loop."""
    await asyncio.sleep(0)


async def apart(call: Call, size: int, work: Callable[[], Result]) -> Result:
    """Run work of `size` small steps, in a thread if there are more than `SMALL`."""
    return await call.lanes.run(call, work) if size > SMALL else work()


async def unbroken(work: Coroutine[None, None, None]) -> None:
    """Wait for work that must not stop halfway, also if the task is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # which nobody else retrieves
        raise


async def to_its_end(work: Callable[[], Result]) -> Result:
    """Run work in a thread to its end, even if the task is cancelled meanwhile: its result must be settled."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        return running.result()
    finally:
        del running  # see `Lanes.run`
