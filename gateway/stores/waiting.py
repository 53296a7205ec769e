"""Who waits for room in a workflow, and the word that there may be some. One event loop; no clock of its own.

Everybody who waits is woken, in the order they came, and asks the store again: the room may suit a later one only.
What happens in this process is told at once; for a state that other processes share, `look` finds out what they did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

Name = tuple[str, str]  # team, correlation id
# Seconds between two looks at a workflow that calls wait for. Looking costs one read of one field, once a workflow
# however many wait, and none while nobody does; being told by the server would need a connection of its own that
# subscribes, breaks and moves with the shards of a Cluster, for the twentieth of a second that it gains.
POLL = 0.05


class Waiting:
    """The waiting calls of each workflow. `look`: something that changes when a call of the workflow has ended."""

    def __init__(self, look: Callable[[Name], Awaitable[object]] | None = None) -> None:
        self._look = look
        self._calls: dict[Name, list[asyncio.Future[None]]] = {}
        self._watches: dict[Name, asyncio.Task[None]] = {}

    def tell(self, name: Name) -> None:
        """A call of the workflow has ended, or the workflow has changed: those who wait look again."""
        if self._calls:
            for call in self._calls.pop(name, ()):
                if not call.done():
                    call.set_result(None)

    async def wait(self, name: Name, seconds: float) -> None:
        """Return at the next word, or when the time is up. One who is cancelled leaves nothing behind."""
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
        """Look no more."""
        watches = list(self._watches.values())
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    async def _watch(self, name: Name, look: Callable[[Name], Awaitable[object]]) -> None:
        """Look until nobody waits any more."""
        before: object = None
        try:
            while True:
                await asyncio.sleep(POLL)
                if name not in self._calls:
                    return
                # The first look tells, too: a call may have ended between the refusal and the wait.
                now = await look(name)
                if now != before:
                    before = now
                    self.tell(name)
        except Exception:
            self.tell(name)  # the store fails: those who wait will ask it, and hear why
        finally:
            del self._watches[name]
