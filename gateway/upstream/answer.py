"""An answer that has begun to arrive, and its body."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.call import Call
from gateway.errors import Refusal
from gateway.upstream import demo
from gateway.upstream.across import Translated
from gateway.upstream.client import Response
from gateway.upstream.failures import FAULTS, MAX_ERROR, Failed, broken, encoding
from gateway.upstream.health import Account, Health
from gateway.upstream.inflate import Packed, unpacked

_LINGER = 0.5  # seconds to wait for the end of a body once the answer is complete


@dataclass(slots=True)  # not frozen: that would make the creation three times as long
class Answer:
    """An answer that has begun: its first bytes, and the rest as it arrives. `close` releases the connection.

    `streamed`: the answer is server-sent events. `kind`: its media type, of a call that is passed through.
    """

    streamed: bool
    start: bytes
    chunks: AsyncIterator[bytes]
    response: Response | None
    kind: str = "application/json"
    account: Account | None = None  # where the call is in flight until `close`

    @classmethod
    def complete(cls, body: bytes, *, streamed: bool = False) -> Answer:
        """An answer of which nothing is left to be read."""
        return cls(streamed, body, _nothing(), None)

    @property
    def length(self) -> int:
        """The size in bytes that the upstream announced; 0 if it announced none."""
        return self.response.length if self.response is not None else 0

    @property
    def ended(self) -> bool:
        """Whether nothing is left in `chunks`, as far as is known without waiting."""
        chunks = self.chunks
        return isinstance(chunks, _KNOWING) and chunks.ended

    async def drain(self) -> None:
        """The caller has the answer: wait a moment for the end of the body, so that the connection can be reused.

        Some providers leave the body open after the last event of a stream.
        """
        if self.ended:
            return
        with contextlib.suppress(TimeoutError, Refusal):
            async with asyncio.timeout(_LINGER):
                size = 0
                async for data in self.chunks:
                    size += len(data)
                    if size > MAX_ERROR:
                        return

    def close(self, finished: bool) -> None:
        """Return the connection to the pool, or close it if the answer was not read completely: the upstream stops."""
        if self.account is not None:
            self.account.busy -= 1
            self.account.health.busy -= 1
            self.account = None
        if self.response is not None:
            if finished:
                self.response.release()
            else:
                self.response.close()


def demonstrated(call: Call) -> Answer:
    """The answer of the provider `demo`."""
    call.outcome.status = 200

    async def chunks() -> AsyncIterator[bytes]:
        if not call.request.stream:
            yield demo.whole(call.codec, call.request.body)
            return
        for event in demo.streamed(call.codec, call.request.body):
            yield event

    return Answer(call.request.stream, b"", chunks(), None)


class Body:
    """The body as it arrives. Raises Refusal if the provider stalls or the connection breaks.

    Not a generator, which the event loop would have to keep track of.
    """

    __slots__ = ("_chunks", "_health", "_plain")

    def __init__(self, response: Response, health: Health) -> None:
        packed, chunks = encoding(response), response.chunks()
        self._chunks = unpacked(chunks, packed) if packed else chunks
        self._plain = None if packed else response
        self._health = health

    @property
    def ended(self) -> bool:
        """Whether the body was read to its end; False for a compressed body, whose end is checked by reading on."""
        return self._plain is not None and self._plain.ended

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._chunks.__anext__()
        except Packed as fault:
            words = f"The provider {self._health.provider} answered with {fault}. Try again later."
            self._health.circuit.failed(time.monotonic())
            raise Failed("cut", words) from None
        except FAULTS as fault:
            late, cut = "fell silent in the middle of its answer", "broke off its answer"
            self._health.circuit.failed(time.monotonic())
            raise broken(self._health.provider, fault, late, cut) from None


_KNOWING = (Body, Translated)
"""Bodies that tell whether they were read to their end."""


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
