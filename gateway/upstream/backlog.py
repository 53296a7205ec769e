"""Events of one connection that wait for their reader, within a number of bytes: beyond, the connection waits."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from gateway.call import Json

_OWN: Final = 512  # bytes that an event takes beside its text


class Backlog:
    """One writer and one reader. `most`: bytes; one event more than that may wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: deque[tuple[Json | None, int]] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def is_full(self) -> bool:
        """Whether the writer waits for the reader."""
        return not self._room.is_set()

    async def put(self, event: Json, size: int) -> None:
        """Add an event of this size in bytes, once there is room."""
        await self._room.wait()
        self._add(event, size + _OWN)

    def end(self) -> None:
        """Add the end, for which there is always room."""
        self._add(None, 0)

    def _add(self, event: Json | None, size: int) -> None:
        self._held.append((event, size))
        self._size += size
        self._filled.set()
        if self._size >= self._most:
            self._room.clear()

    async def get(self) -> Json | None:
        """The next event; None for the end."""
        while not self._held:
            self._filled.clear()
            await self._filled.wait()
        event, size = self._held.popleft()
        self._size -= size
        if self._size < self._most:
            self._room.set()
        return event

    def drop(self) -> None:
        """Forget what waits."""
        self._held.clear()
        self._size = 0
        self._room.set()
