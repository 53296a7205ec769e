"""Hands a message over to the worker of this gateway that has what the message goes on with.

A call that waits for its client, and the events of an answer that are kept, are in one process: see `tools.held` and
`exchange.kept`. Workers listen on sockets in a folder of their supervisor that no other user can enter, and serve what
comes there as any request: the caller is identified anew. Without a supervisor there is one worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import aiohttp

from gateway.call import Call
from gateway.dialects.mcp import Mcp
from gateway.dialects.mcp_names import LISTEN
from gateway.errors import Refusal
from gateway.ids import WORKER
from gateway.ingress.reply import Reply
from gateway.record.workers import FOLDER
from gateway.tools.listening import no_event
from gateway.tools.wire import unasked

PEER: Final = b"x-meshgate-peer"
"""Header between workers: the address of the caller."""
_OURS: Final = frozenset({b"origin", b"expect", b"content-encoding", PEER})  # answered, or read, by this worker
_HOP: Final = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"te", b"upgrade"})
_NOT_PASSED: Final = _HOP | {b"date", b"vary"}  # which this worker adds
_CONNECT: Final = 5.0  # seconds
_Answering = AbstractAsyncContextManager[aiohttp.ClientResponse]
_STREAM: Final = "text/event-stream"


def door(worker: str = WORKER) -> Path | None:
    """The socket of a worker; None without a supervisor."""
    folder = os.environ.get(FOLDER)
    return Path(folder) / f"{worker}.sock" if folder else None


class Siblings:
    """The other workers. For one event loop."""

    def __init__(self) -> None:
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def hand_over(self, call: Call, worker: str, reply: Reply) -> None:
        """Have another worker serve a message, and pass its answer on. Raises Refusal if the worker does not answer.

        The worker that got the message records the call, also if the client does not wait for the answer.
        """
        opens = _codec(call).method == LISTEN
        session = await self._session(worker)
        if session is None:
            raise _gone(opens=opens)
        try:
            async with self._request(session, call, reply) as answer:
                await self._pass_on(call, answer, reply)
        except (aiohttp.ClientError, OSError):
            if not reply.begun:
                reply.passed = False
                raise _gone(opens=opens) from None
            if opens:  # the end of a stream, from which the client goes on
                await reply.end()
                return
            raise Refusal("upstream_error", "The worker that had the call has ended. Call again.") from None

    async def tell_all(self, call: Call) -> None:
        """Have all other workers take a notification too, unless another worker has sent it. Faults are ignored."""
        here = door()
        if here is None or any(name == PEER for name, _ in call.headers):
            return
        others = [path.stem for path in here.parent.glob("*.sock") if path != here]
        await asyncio.gather(*(self._tell(call, worker) for worker in others))

    async def _tell(self, call: Call, worker: str) -> None:
        session = await self._session(worker)
        with contextlib.suppress(aiohttp.ClientError, OSError):
            if session is not None:
                async with asyncio.timeout(_CONNECT), self._request(session, call) as answer:
                    await answer.read()

    def _request(self, session: aiohttp.ClientSession, call: Call, reply: Reply | None = None) -> _Answering:
        """Send a message as the client sent it. Writes `reply.passed`."""
        codec = _codec(call)
        opens = codec.method == LISTEN
        return session.request(
            "GET" if opens else "POST",
            f"http://worker/mcp/{codec.door}".rstrip("/"),
            data=None if opens else codec.original,
            headers=_sent(call),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
            trace_request_ctx=reply,
        )

    async def _session(self, worker: str) -> aiohttp.ClientSession | None:
        path = door(worker)
        if path is None or not path.exists():
            if (ended := self._sessions.pop(worker, None)) is not None:
                await ended.close()
            return None
        if worker not in self._sessions:
            connector = aiohttp.UnixConnector(path=str(path), limit=0)
            jar = aiohttp.DummyCookieJar()
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_sent_on)
            self._sessions[worker] = aiohttp.ClientSession(
                connector=connector, cookie_jar=jar, auto_decompress=False, trace_configs=[trace]
            )
        return self._sessions[worker]

    async def _pass_on(self, call: Call, answer: aiohttp.ClientResponse, reply: Reply) -> None:
        """Pass an answer on: a stream as it arrives, any other once it is complete."""
        headers = [(name.lower(), value) for name, value in answer.raw_headers if name.lower() not in _NOT_PASSED]
        if answer.content_type == _STREAM:
            await reply.pass_on((answer.status, headers), answer.content.iter_any())
            return
        body = await answer.read()
        call.ticket.hold(len(body))
        headers.append((b"content-length", b"%d" % len(body)))
        await reply.pass_on((answer.status, headers), _whole(body))

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()


async def _sent_on(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    """The other worker has got a request."""
    if (reply := context.trace_request_ctx) is not None:
        reply.passed = True


def _codec(call: Call) -> Mcp:
    codec = call.codec
    assert isinstance(codec, Mcp), "only messages of this protocol go on with something of a worker"
    return codec


def _sent(call: Call) -> list[tuple[str, str]]:
    """The headers of a request, for another worker."""
    kept = [(name, value) for name, value in call.headers if name not in _OURS and name not in _HOP]
    sent = [*kept, (PEER, call.ticket.address.encode())]
    return [(name.decode("ascii"), value.decode("utf-8", "replace")) for name, value in sent]


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _gone(*, opens: bool) -> Refusal:
    """The refusal for what went on in a worker that is not there any more, or in another gateway."""
    return no_event() if opens else unasked()
