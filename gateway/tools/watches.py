"""The resources of which the processes of a row tell that they have changed: those that anybody watches.

A resource may change in any of the processes, so that each is told of all: when it starts, and when the choice changes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Final, Protocol

import orjson

from gateway.dialects.mcp_names import UPDATES
from gateway.tools.wire import parsed

WATCH, UNWATCH = UPDATES
LINGER = 10.0
"""Seconds for which a resource is still watched after the last stream: a client comes back, or opens its stream."""
_DONE: Final = orjson.dumps({"jsonrpc": "2.0", "id": 0, "result": {}})


class Told(Protocol):
    """A process that is told what to watch."""

    def say(self, method: str, uri: str) -> None:
        """Tell the process, if it runs; nobody waits for its answer."""


class Watches:
    """The choice of all streams. For one event loop.

    `send`: a method and a URI -> the response of the process of all callers, which says whether there is this resource.
    """

    def __init__(self, send: Callable[[str, str], Awaitable[bytes]]) -> None:
        self._send = send
        self._here = Counter[str]()  # streams by URI
        self._elsewhere: dict[str, frozenset[str]] = {}  # URIs by worker
        self._taken: set[str] = set()  # that the process of all has agreed to
        self._turn = asyncio.Lock()
        self.processes: set[Told] = set()
        """The processes of single sessions, and that of all."""
        self.changed: Callable[[], None] = lambda: None
        """Called when the choice of this worker has changed."""

    def __contains__(self, uri: object) -> bool:
        return type(uri) is str and (uri in self._here or any(uri in uris for uris in self._elsewhere.values()))

    def __bool__(self) -> bool:
        return bool(self._here)

    @property
    def here(self) -> list[str]:
        """The choice of the streams of this worker."""
        return [*self._here]

    @property
    def all(self) -> set[str]:
        """The choice of the streams of all workers."""
        return {*self._here}.union(*self._elsewhere.values())

    async def ask(self, method: str, uri: str) -> bytes:
        """A stream watches a resource, or no more; returns the response of the process of all. Raises Refusal."""
        if method != WATCH:
            asyncio.get_running_loop().call_later(LINGER, self._leave, uri)
            return _DONE
        async with self._turn:
            self._here[uri] += 1
            if uri in self._taken:
                return _DONE
            try:
                raw = await self._send(WATCH, uri)
            except BaseException:
                self._leave(uri)
                raise
            if "result" in parsed(raw):
                self._taken.add(uri)
                self._tell(WATCH, (uri,))
            self.changed()
            return raw

    def _leave(self, uri: str) -> None:
        self._here[uri] -= 1
        if self._here[uri] <= 0:
            del self._here[uri]
            self._drop((uri,))
            self.changed()

    def elsewhere(self, worker: str, uris: Collection[str]) -> None:
        """The choice of the streams of another worker."""
        before = self._elsewhere.pop(worker, frozenset())
        if uris:
            self._elsewhere[worker] = frozenset(uris)
        self._tell(WATCH, [uri for uri in uris if uri not in before and uri not in self._taken])
        self._drop(before)

    def _drop(self, uris: Collection[str]) -> None:
        gone = [uri for uri in uris if uri not in self]
        self._taken.difference_update(gone)
        self._tell(UNWATCH, gone)

    def _tell(self, method: str, uris: Collection[str]) -> None:
        for process in self.processes:
            for uri in uris:
                process.say(method, uri)
