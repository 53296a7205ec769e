"""A thread for one piece of work after another: handing one over costs a tenth of what an executor takes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

Work = Callable[[], object]


class Hand:
    """The thread; started with the first piece of work."""

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[tuple[asyncio.AbstractEventLoop, Work, Work] | None] = SimpleQueue()
        # As a daemon, a thread that waits for a disk does not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def do(self, loop: asyncio.AbstractEventLoop, work: Work, done: Work) -> None:
        """Do the work in the thread, then call `done` on the event loop. The work reports its faults itself."""
        if not self._thread.ident:
            self._thread.start()
        self._queue.put((loop, work, done))

    def close(self) -> None:
        """Wait for the work in progress and end the thread."""
        if self._thread.ident:
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            loop, work, done = piece
            with suppress(Exception):
                work()
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(done)
