"""What a process tells without a request: that one of its lists has changed.

Callers share a process, so nothing else that it tells is for any of them: nobody knows whose a message of its log is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from gateway.call import Json
from gateway.tools.notices import CHANGED

_KINDS = frozenset(CHANGED.values())


class ProcessNews:
    """The news of the processes of one row, for all who listen. For one event loop."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()
        self._closed = False

    def tell(self, said: Json) -> None:
        """The process has sent a notification."""
        if (method := said.get("method")) in _KINDS:
            for listener in self._listeners:
                listener.add(str(method))

    async def heard(self) -> AsyncGenerator[tuple[Json, str], None]:
        """The notifications from now on, until `close`. Several of one kind that wait to be taken become one."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while not self._closed:
                await listener.stirred.wait()
                listener.stirred.clear()
                for method in listener.take():
                    yield {"jsonrpc": "2.0", "method": method}, ""
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End all streams of news."""
        self._closed = True
        for listener in self._listeners:
            listener.stirred.set()


class _Listener:
    """What one listener has not taken yet."""

    def __init__(self) -> None:
        self.stirred = asyncio.Event()
        self._methods: dict[str, None] = {}

    def add(self, method: str) -> None:
        self._methods[method] = None
        self.stirred.set()

    def take(self) -> list[str]:
        methods, self._methods = [*self._methods], {}
        return methods
