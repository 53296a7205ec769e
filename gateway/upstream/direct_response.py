"""One exchange of `direct`: deadlines, and the answer as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol

from multidict import CIMultiDict, MultiMapping

from gateway.upstream.client import Destination

_HIGH: Final = 128 * 1024  # unread bytes above which reading from the socket pauses


class Wire(Protocol):
    """The connection of an exchange."""

    transport: asyncio.Transport

    def leave(self) -> None:
        """End the connection: the exchange was given up."""

    def look_at(self, when: float) -> None:
        """Have `DirectResponse.check` called at this time of the loop, or earlier."""


class DirectResponse:
    """One exchange, and its answer as it arrives."""

    __slots__ = (
        *("_connection", "_deadline", "_fault", "_heard", "_last", "_loop", "_parts", "_size", "_waiter"),
        *("_names", "_over", "_raw", "_times", "paused", "status"),
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Wire, to: Destination, begun: float) -> None:
        self._loop = loop
        self._connection: Wire | None = connection
        self._deadline = begun + to.timeouts.total
        self._times = to.timeouts
        self._heard = False  # bytes of the body have arrived
        self._last = loop.time()
        self._waiter: asyncio.Future[None] | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._fault: Exception | None = None
        self._over = False
        self.paused = False
        self.status = 0
        self._raw: Sequence[tuple[bytes, bytes]] = ()  # the headers as they arrived: few of them are read
        self._names: Mapping[bytes, bytes] = {}  # the same by name in lower case, the last of several

    # for the line

    @property
    def headers(self) -> MultiMapping[str]:
        """All headers, by case-insensitive name."""
        return CIMultiDict([(name.decode("latin-1"), _text(value)) for name, value in self._raw])

    def values(self, name: bytes) -> Sequence[str]:
        """The values of one header, by its name in lower case; empty without the header."""
        names = self._names
        if name not in names:
            return ()
        if len(names) == len(self._raw):
            return (_text(names[name]),)
        return [_text(value) for given, value in self._raw if given.lower() == name]

    @property
    def length(self) -> int:
        """The Content-Length of the body in bytes; 0 without one."""
        said = self.values(b"content-length")
        return int(said[0]) if said and said[0].isdecimal() else 0

    @property
    def ended(self) -> bool:
        """Whether the body was read to its end."""
        return self._over and not self._parts and self._fault is None

    async def begun(self) -> None:
        """Wait for the head."""
        while not self.status:
            if self._fault is not None:
                raise self._fault
            await self._wait()

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._parts:
            if self._fault is not None:
                raise self._fault
            if self._over:
                raise StopAsyncIteration
            await self._wait()
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self._size = 0
        if self.paused:
            self.paused = False
            if self._connection is not None:
                self._last = self._loop.time()
                self._connection.transport.resume_reading()
        return data

    async def read(self, most: int) -> bytes:
        """The first bytes of the body: at most `most`, at least one unless the body is empty."""
        return (await anext(self, b""))[:most]

    def release(self) -> None:
        """The body was read to its end."""
        if not self._over:
            self.close()

    def close(self) -> None:
        """Give up the exchange, unless the body was read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None and not self._over:
            self._over = True
            connection.leave()

    # for the connection

    def begin(self, status: int, headers: Sequence[tuple[bytes, bytes]], names: Mapping[bytes, bytes]) -> None:
        """The head has arrived. `names`: the headers by name in lower case, the last of several."""
        self.status, self._raw, self._names = status, headers, names

    def take(self, parts: Sequence[bytes]) -> None:
        """Parts of the body have arrived."""
        if not self._heard:
            self._heard, times = True, self._times
            if times.first is not None and times.idle < times.first and self._connection is not None:
                self._connection.look_at(self.due)
        self._parts += parts
        self._size += sum(map(len, parts))

    def stirred(self) -> None:
        """Bytes have arrived."""
        self._last = self._loop.time()

    def came(self) -> None:
        """Wake the reader. Reading from the socket pauses while too many bytes are unread."""
        if self._size > _HIGH and not self.paused and self._connection is not None:
            self.paused = True
            self._connection.transport.pause_reading()
        if self._parts or self.status:
            self._wake()

    def end(self) -> None:
        """The body is complete."""
        self._over, self._connection = True, None
        self.paused = False
        self._wake()

    def fail(self, fault: Exception) -> None:
        """The exchange has failed; what has arrived can still be read."""
        if self._over or self._fault is not None:
            return
        self._fault, self._connection = fault, None
        self._wake()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def check(self, now: float) -> None:
        """Fail the exchange if a deadline has passed. While reading is paused, the provider is not silent."""
        connection = self._connection
        if connection is None:
            return
        if self.paused:
            self._last = now
        if now < self.due:
            connection.look_at(self.due)
            return
        times = self._times
        self.fail(times.ended() if now >= self._deadline else times.stirred() if self._heard else times.begun())
        connection.leave()

    @property
    def due(self) -> float:
        """When the next deadline passes, in the loop's clock, if nothing arrives before."""
        times = self._times
        return min(self._deadline, self._last + (times.idle if self._heard else times.first_byte))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
