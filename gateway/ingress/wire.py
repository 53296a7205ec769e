"""One request as the line sees it: its headers, its body, the way of the answer, and whether the client is still there.

The gateway's own server hands over its requests in this form (`serving.cycle`); `AsgiExchange` is the same on any other
ASGI server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from gateway.call import Headers

Head = tuple[int, Sequence[tuple[bytes, bytes]]]
"""Status and headers of an answer, names in lower case."""
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
"""`send` and `receive` of ASGI."""


class Put(Protocol):
    """Sends a piece of an answer. `more`: another piece follows. Waits while the caller reads slowly."""

    def __call__(self, data: bytes, *, more: bool, head: Head | None = None) -> Awaitable[None]:
        """Send `data`, after `head` if it is the first piece."""
        ...


class Exchange(Protocol):
    """One request and the way of its answer."""

    @property
    def headers(self) -> Headers:
        """The headers of the request, names in lower case."""
        ...

    @property
    def client(self) -> tuple[str, int] | None:
        """Address and port of the client, if known."""
        ...

    @property
    def put(self) -> Put:
        """Sends the answer."""
        ...

    @property
    def receive(self) -> Receive:
        """The body, as ASGI has it."""
        ...

    def know(self) -> None:
        """The key of the request was found valid."""

    def watch(self, gone: Callable[[], object]) -> None:
        """Call `gone` once if the client disconnects before the answer is complete."""

    def unwatch(self) -> None:
        """End the watch."""


class AsgiExchange:
    """A request on any ASGI server. `scope`: of type `http`."""

    __slots__ = ("_read", "_receive", "_send", "_watch", "client", "headers")

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.headers: Headers = scope["headers"]
        self.client: tuple[str, int] | None = scope.get("client")
        self._receive = receive
        self._send = send
        self._read = asyncio.Event()  # the body was read: until then, only its reader may receive
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> dict[str, Any]:
        """The next piece of the body, or the disconnect."""
        message = await self._receive()
        if not message.get("more_body"):
            self._read.set()
        return message

    async def put(self, data: bytes, *, more: bool, head: Head | None = None) -> None:
        """Send a piece of the answer."""
        if head is not None:
            await self._send({"type": "http.response.start", "status": head[0], "headers": list(head[1])})
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    def know(self) -> None:
        """No effect: these connections are another server's."""

    def watch(self, gone: Callable[[], object]) -> None:
        """A task waits for the disconnect, once the body was read."""

        async def wait() -> None:
            await self._read.wait()
            while (await self._receive())["type"] != "http.disconnect":
                pass
            gone()

        self._watch = asyncio.ensure_future(wait())

    def unwatch(self) -> None:
        """End the task."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
