"""What processes tell without a request: that a list or a resource has changed, and the log of those of one session.

Callers share a process, and nobody knows whose a message of its log is. So the log is passed on only of a process that
one session has to itself, to the stream of this session. Changes are for all who listen, and each takes what it wants.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final
from weakref import WeakSet

import orjson

from gateway.call import Json
from gateway.tools.notices import CHANGED, MESSAGE, UPDATED

_LISTS: Final = frozenset(CHANGED.values())
_WAITING: Final = 256 * 1024  # bytes of a log that a listener has not taken; what is more is dropped
Holder = tuple[str, ...]
"""Whose process tells something: see `Session.holder`; () for the process of all."""


class ProcessNews:
    """The news of the processes of one row, for all who listen. For one event loop."""

    def __init__(self) -> None:
        self._listeners: WeakSet[_Listener] = WeakSet()  # without those of streams that nobody begins to read
        self._closed = False
        self.pass_on: Callable[[Json, Holder], None] = lambda _, __: None
        """Called with what a process of this worker tells: other workers have listeners, too."""

    def tell(self, said: Json, holder: Holder = ()) -> None:
        """A process of this worker has sent a notification."""
        self.hear(said, holder)
        self.pass_on(said, holder)

    def hear(self, said: Json, holder: Holder = ()) -> None:
        """A process of any worker has sent a notification. One that is not for listeners is ignored."""
        method, params = said.get("method"), said.get("params")
        if method in _LISTS:
            for listener in [*self._listeners]:
                listener.add(str(method), {"jsonrpc": "2.0", "method": method})
        elif method == UPDATED and type(params) is dict and type(params.get("uri")) is str:
            kept = {"jsonrpc": "2.0", "method": method, "params": {"uri": params["uri"]}}
            for listener in [*self._listeners]:
                listener.add(f"{method} {params['uri']}", kept)
        elif method == MESSAGE and holder:
            for listener in [*self._listeners]:
                if listener.holder == holder:
                    listener.log(said)

    def heard(self, holder: Holder = ()) -> AsyncGenerator[tuple[Json, str], None]:
        """The notifications from now on, until `close`. Several of one change that wait to be taken become one."""
        listener = _Listener(holder)
        self._listeners.add(listener)
        return self._told(listener)

    async def _told(self, listener: _Listener) -> AsyncGenerator[tuple[Json, str], None]:
        try:
            while not self._closed:
                await listener.stirred.wait()
                for said in listener.take():
                    yield said, ""
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End all streams of news."""
        self._closed = True
        for listener in self._listeners:
            listener.stirred.set()


class _Listener:
    """What one listener has not taken yet, in order."""

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self.stirred = asyncio.Event()
        self._waiting: dict[str | int, Json] = {}  # changes by what has changed, messages of a log by a number
        self._size = 0

    def add(self, what: str, said: Json) -> None:
        self._waiting[what] = said
        self.stirred.set()

    def log(self, said: Json) -> None:
        self._size += len(orjson.dumps(said))
        if self._size <= _WAITING:
            self._waiting[len(self._waiting)] = said
            self.stirred.set()

    def take(self) -> list[Json]:
        said, self._waiting, self._size = [*self._waiting.values()], {}, 0
        self.stirred.clear()
        return said
