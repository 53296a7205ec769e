"""Who waits for room in a workflow, and the word that there may be some. One process; no IO, no clock of its own.

Everybody who waits is woken, in the order they came, and asks the store again: the room may suit a later one only.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

Name = tuple[str, str]  # team, correlation id


class Waiting:
    """The waiting calls of each workflow."""

    def __init__(self) -> None:
        self._calls: dict[Name, list[asyncio.Future[None]]] = {}

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
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(call, seconds)
        finally:
            left = self._calls.get(name, [])
            if call in left:
                left.remove(call)
                if not left:
                    del self._calls[name]
