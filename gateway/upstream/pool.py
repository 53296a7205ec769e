"""The pool of connections of aiohttp, which knows when a call may be sent again without being made twice."""

from __future__ import annotations

import time
from contextvars import ContextVar
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from gateway.upstream.client import AT_ONCE


class Attempt:
    """One attempt to send a call. `fresh`: on a connection that was not used before."""

    __slots__ = ("began", "fresh", "protocol", "reused")

    def __init__(self, *, fresh: bool) -> None:
        self.began = time.monotonic()
        self.fresh = fresh
        self.reused = False
        self.protocol: Handler | None = None

    @property
    def unanswered(self) -> bool:
        """Whether the call was sent on an idle connection that broke at once without returning a byte.

        Such a connection was already closed. If a connection breaks later, the call may have been executed and billed.
        """
        at_once = time.monotonic() - self.began < AT_ONCE
        return at_once and self.reused and self.protocol is not None and not self.protocol.heard


ATTEMPT: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


class Handler(ResponseHandler):
    """The protocol of one connection. `heard`: bytes of an answer arrived since the connection left the pool."""

    heard = False
    used = False

    def data_received(self, data: bytes) -> None:
        """Bytes from the upstream."""
        self.heard = True
        super().data_received(data)


class Pool(aiohttp.TCPConnector):
    """Returns no connection that failed while idle, for example by a timer of the previous call."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(Handler, loop=self._loop)  # type: ignore[assignment]

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> Connection:
        """A usable connection."""
        attempt = ATTEMPT.get()
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if not isinstance(protocol, Handler):
                return connection
            if protocol.used and (protocol.exception() is not None or (attempt is not None and attempt.fresh)):
                connection.close()
                continue
            if attempt is not None:
                attempt.reused, attempt.protocol = protocol.used, protocol
            protocol.used, protocol.heard = True, False
            return connection
