"""Streams of what a tool server tells without a request: each message is judged as a result, and sent as an event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from gateway import budget
from gateway.budget import Budget, Spent
from gateway.call import Call, Json
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.kept import KeptStreams
from gateway.exchange.notices import Notices
from gateway.ingress.reply import Reply
from gateway.policy.results import Results
from gateway.tools.desk import Desk
from gateway.tools.listening import Listener

_OPEN = b": open\n\n"


class Listeners:
    """The open streams of the process, which end when it stops, and with the key of the caller.

    `streams`: those of answers, which are kept.
    """

    def __init__(self) -> None:
        self.streams = KeptStreams()
        self._open: dict[asyncio.Task[object], bytes] = {}  # with the keys

    def leave(self) -> None:
        """End all streams: nobody waits for their end."""
        self.streams.leave()
        for task in list(self._open):
            task.cancel()

    def sweep(self, lives: Callable[[bytes], bool]) -> None:
        """End the streams of callers whose key is no longer valid."""
        self.streams.sweep(lives)
        for task, key in list(self._open.items()):
            if not lives(key):
                del self._open[task]
                task.cancel()

    async def listen(
        self, answers: Answers, results: Results, desk: Desk, call: Call, codec: Mcp, reply: Reply
    ) -> None:
        """Send a stream to its end. Raises Refusal before its first event."""
        task = asyncio.current_task()
        assert task is not None, "calls are tasks"
        self._open[task] = call.key or b""
        try:
            await desk.listen(call, _Stream(answers, results, call, codec, reply, self.streams))
        except (Refusal, Spent, TimeoutError):
            if not reply.begun:
                raise
            await reply.end()
        except asyncio.CancelledError:
            if task in self._open or not reply.begun:
                raise
            task.uncancel()  # the sweep's: this is the end of the stream, not of the call
            await reply.end()
        finally:
            self._open.pop(task, None)


class _Stream(Notices, Listener):
    """The client of a stream. Each message has the time for judging that a call has."""

    def __init__(
        self, answers: Answers, results: Results, call: Call, codec: Mcp, reply: Reply, streams: KeptStreams
    ) -> None:
        super().__init__(answers, results, call, codec, reply)
        self.at = ""
        self._streams = streams

    async def again(self, stream: str, number: int) -> bool:
        kept = self._streams.find(stream, number)
        if kept is None:
            return False
        await self.keep()
        async with aclosing(kept.after(number)) as events:
            async for event in events:
                await self._reply.stream(event)
        await self._reply.end()
        return True

    async def keep(self) -> None:
        await self._reply.stream(_OPEN)

    async def mark(self) -> None:
        await self._reply.stream(self._codec.event(b"", self.at))

    async def end(self, response: Json | None) -> None:
        if response is not None:
            await self._send({"id": self._codec.id, "result": response})
        await self._reply.end()

    async def tell(self, said: Json) -> None:
        self._renew()
        await super().tell(said)

    async def ask(self, question: Json) -> Json | None:
        self._renew()
        return await super().ask(question)

    def _renew(self) -> None:
        self._call.budget = Budget(self._call.budget.seconds)
        budget.bind(self._call.budget)
