"""Calls that wait for quota of a workflow, and their notification. For one event loop; no clock of its own.

All waiting calls are woken, in order of arrival, and ask the store again: the free amount may fit a later call only.
Events in this process notify immediately; for a shared state, `look` polls for events in other processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

Name = tuple[str, str]  # team, correlation id
# Seconds between two polls of a workflow with waiting calls. A poll reads one field, once for all waiting calls, and
# stops when no call waits. A subscription would save a twentieth of a second, but needs a connection of its own that
# has to follow reconnects and the shards of a Cluster.
POLL = 0.05


class Waiting:
    """The waiting calls of each workflow. `look` returns a value that changes when a call of the workflow ends."""

    def __init__(self, look: Callable[[Name], Awaitable[object]] | None = None) -> None:
        self._look = look
        self._calls: dict[Name, list[asyncio.Future[None]]] = {}
        self._watches: dict[Name, asyncio.Task[None]] = {}

    def tell(self, name: Name) -> None:
        """A call of the workflow has ended, or the workflow has changed: wake the waiting calls."""
        if self._calls:
            for call in self._calls.pop(name, ()):
                if not call.done():
                    call.set_result(None)

    async def wait(self, name: Name, seconds: float) -> None:
        """Return at the next notification, or after `seconds`. Safe to cancel."""
        call: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._calls.setdefault(name, []).append(call)
        if self._look is not None and name not in self._watches:
            self._watches[name] = asyncio.create_task(self._watch(name, self._look))
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(call, seconds)
        finally:
            left = self._calls.get(name, [])
            if call in left:
                left.remove(call)
                if not left:
                    del self._calls[name]

    async def close(self) -> None:
        """Stop polling."""
        watches = list(self._watches.values())
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    async def _watch(self, name: Name, look: Callable[[Name], Awaitable[object]]) -> None:
        """Poll until no call waits."""
        before: object = None
        try:
            while True:
                await asyncio.sleep(POLL)
                if name not in self._calls:
                    return
                # The first poll also notifies: a call may have ended between the refusal and the wait.
                now = await look(name)
                if now != before:
                    before = now
                    self.tell(name)
        except Exception:
            self.tell(name)  # the store fails: the waiting calls ask it again and get the error
        finally:
            del self._watches[name]
