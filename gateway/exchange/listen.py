"""Streams of what a tool server tells without a request: each message is judged as a result, and sent as an event."""

from __future__ import annotations

import asyncio

from gateway import budget
from gateway.budget import Budget, Spent
from gateway.call import Call, Json
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.notices import Notices
from gateway.ingress.reply import Reply
from gateway.policy.results import Results
from gateway.tools.desk import Desk
from gateway.tools.listening import Listener

_OPEN = b": open\n\n"


class Listeners:
    """The open streams of the process, which end when it stops: nobody waits for their end."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[object]] = set()

    def leave(self) -> None:
        """End all streams."""
        for task in list(self._open):
            task.cancel()

    async def listen(
        self, answers: Answers, results: Results, desk: Desk, call: Call, codec: Mcp, reply: Reply
    ) -> None:
        """Send a stream to its end. Raises Refusal before its first event."""
        task = asyncio.current_task()
        assert task is not None, "calls are tasks"
        self._open.add(task)
        try:
            await desk.listen(call, _Stream(answers, results, call, codec, reply))
        except (Refusal, Spent, TimeoutError):
            if not reply.begun:
                raise
            await reply.end()
        finally:
            self._open.discard(task)


class _Stream(Notices, Listener):
    """The client of a stream. Each message has the time for judging that a call has."""

    at = ""

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
