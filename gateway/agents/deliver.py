"""Deliveries of push notifications: in order for each URL, and again after a while if the client does not take them.

Deliveries are in memory: those that are under way when the process ends are lost, as agents repeat nothing either.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from gateway.upstream.client import Client, Destination

_log = logging.getLogger("meshgate")
_DELAYS: Final = (0.5, 2.0, 8.0, 30.0)
"""Seconds before each further try."""
_MOST: Final = 1024
"""Notifications that wait, of all URLs."""
_OWN: Final = 128
"""Notifications that wait for one agent: one that takes none leaves room for others."""
_BYTES: Final = 64 * 1024 * 1024
"""Bytes of the notifications that wait."""
_BUSY: Final = frozenset({408, 429})


class Deliveries:
    """All deliveries of the process. For one event loop. `delays`: seconds before each further try."""

    def __init__(self, delays: Sequence[float] = _DELAYS) -> None:
        self._delays = tuple(delays)
        self._waiting: dict[str, deque[tuple[Client, Destination, bytes, str]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._size = self._bytes = 0
        self._of: Counter[str] = Counter()

    def add(self, client: Client, to: Destination, body: bytes, owner: str) -> bool:
        """Deliver a body after those for the same URL. `owner`: whose notification it is. False if too many wait."""
        if self._size >= _MOST or self._of[owner] >= _OWN or self._bytes + len(body) > _BYTES:
            return False
        self._count(owner, body, 1)
        key = str(to.url)
        queue = self._waiting.get(key)
        if queue is not None:
            queue.append((client, to, body, owner))
            return True
        self._waiting[key] = deque([(client, to, body, owner)])
        task = asyncio.create_task(self._run(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Give up what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, key: str) -> None:
        queue = self._waiting[key]
        try:
            while queue:
                client, to, body, owner = queue[0]
                if not await self._deliver(client, to, body):
                    _log.warning("a push notification was not taken by %s", to.url.host)
                queue.popleft()
                self._count(owner, body, -1)
        finally:
            for _, _, body, owner in queue:
                self._count(owner, body, -1)
            del self._waiting[key]

    def _count(self, owner: str, body: bytes, one: int) -> None:
        self._size += one
        self._bytes += one * len(body)
        self._of[owner] += one
        if not self._of[owner]:
            del self._of[owner]

    async def _deliver(self, client: Client, to: Destination, body: bytes) -> bool:
        """Whether the client took the body. What it refuses is not sent again."""
        for delay in (0.0, *self._delays):
            await asyncio.sleep(delay)
            try:
                async with asyncio.timeout(to.timeouts.total):
                    response = await client.post(to, body)
            except OSError:  # also TimeoutError
                continue
            status = response.status
            response.close()
            if status < 500 and status not in _BUSY:
                return status < 300
        return False
