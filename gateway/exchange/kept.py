"""Event streams that answer calls of MCP, kept for a while: a client whose connection broke goes on where it was.

Until 2025-11-25 (basic/transports, resumability), a client sends `Last-Event-ID` with GET. The call goes on meanwhile,
for a time. What is kept is bounded, for each session and for the process; what does not fit is not kept, and its call
ends with the connection, as any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from gateway.ids import uuid7_here

_STREAMS: Final = 8  # of a session
_BYTES: Final = 1024 * 1024  # of a session
_ALL: Final = 64 * 1024 * 1024  # bytes of the process
_AFTER: Final = 60.0  # seconds for which a stream is kept after its end
_ALONE: Final = 30.0  # seconds in which a client must come back, or its call ends


class KeptStream:
    """The events of one answer. `task`: of its call. `key`: of its caller."""

    def __init__(self, streams: KeptStreams, session: str, task: asyncio.Task[object], key: bytes) -> None:
        self.id = uuid7_here()
        self.session = session
        self.key = key
        self.size = 0
        self.ended = False
        self._streams = streams
        self._task = task
        self._events: list[bytes] = []
        self._news = asyncio.Event()
        self._reader = 0
        self._alone: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: bytes) -> None:
        """Keep an event."""
        self._events.append(event)
        self.size += len(event)
        self._streams.grow(self, len(event))
        self._news.set()

    def finish(self) -> None:
        """There are no more events."""
        if not self.ended:
            self.ended = True
            self._join()
            self._news.set()
            asyncio.get_running_loop().call_later(_AFTER, self._streams.drop, self)

    def detach(self) -> bool:
        """The client has gone. Whether the call goes on without it."""
        if self._streams.has(self) and self._alone is None:
            self._alone = asyncio.get_running_loop().call_later(_ALONE, self._streams.drop, self)
        return self._alone is not None

    def _join(self) -> None:
        """The client is there."""
        if self._alone is not None:
            self._alone.cancel()
            self._alone = None

    def end(self) -> None:
        """The stream is kept no longer: end the call if its client has gone, and whoever reads the stream."""
        self._news.set()
        if self._alone is not None and not self.ended:
            self._task.cancel()
        self._join()

    async def after(self, number: int) -> AsyncGenerator[bytes, None]:
        """The events after one, until the stream ends, or until another reader comes."""
        self._reader += 1
        reader = self._reader
        gone = self._alone is not None
        self._join()
        self._news.set()
        try:
            while True:
                while number < len(self._events) and reader == self._reader:
                    yield self._events[number]
                    number += 1
                if self.ended or reader != self._reader or not self._streams.has(self):
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            if gone and reader == self._reader and not self.ended:
                self.detach()


class KeptStreams:
    """The streams of the process. For one event loop."""

    def __init__(self) -> None:
        self._streams: dict[str, KeptStream] = {}
        self._of: dict[str, list[KeptStream]] = {}
        self._size = 0

    def open(self, session: str, key: bytes) -> KeptStream | None:
        """Keep the answer of the current call, the first that has ended in place of another; None without room."""
        known = self._of.get(session, [])
        if len(known) >= _STREAMS:
            ended = next((one for one in known if one.ended), None)
            if ended is None:
                return None
            self.drop(ended)
        task = asyncio.current_task()
        assert task is not None, "calls are tasks"
        made = KeptStream(self, session, task, key)
        self._streams[made.id] = made
        self._of.setdefault(session, []).append(made)
        return made

    def find(self, id: str, number: int) -> KeptStream | None:
        """The stream with this id, if it has the event of this number."""
        found = self._streams.get(id)
        return found if found is not None and number <= len(found) else None

    def has(self, stream: KeptStream) -> bool:
        """Whether a stream is kept."""
        return stream.id in self._streams

    def grow(self, stream: KeptStream, size: int) -> None:
        """A stream has grown: drop others of its session that have ended, or the stream itself if that is too long."""
        if not self.has(stream):
            return
        self._size += size
        for one in [one for one in self._of[stream.session] if one.ended]:
            if self._fits(stream.session):
                return
            self.drop(one)
        if not self._fits(stream.session):
            self.drop(stream)

    def _fits(self, session: str) -> bool:
        return sum(one.size for one in self._of.get(session, ())) <= _BYTES and self._size <= _ALL

    def drop(self, stream: KeptStream) -> None:
        """Keep a stream no longer."""
        if self._streams.pop(stream.id, None) is None:
            return
        self._size -= stream.size
        self._of[stream.session].remove(stream)
        if not self._of[stream.session]:
            del self._of[stream.session]
        stream.end()

    def sweep(self, lives: Callable[[bytes], bool]) -> None:
        """Drop the streams of callers whose key is no longer valid."""
        for stream in list(self._streams.values()):
            if not lives(stream.key):
                self.drop(stream)

    def leave(self) -> None:
        """Drop all streams: the gateway stops."""
        for stream in list(self._streams.values()):
            self.drop(stream)
