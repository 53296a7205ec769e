"""A request to a process whose response is awaited, and what the process says before the response."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process

from gateway.call import Json
from gateway.errors import Refusal
from gateway.tools.wire import NOTICES


class Asked:
    """One such request. `of`: who sent it, and under which id."""

    def __init__(self, process: Process, of: tuple[tuple[str, ...], object]) -> None:
        self.process = process
        self.of = of
        self.size = 0
        self._told = 0
        self.response: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._before: asyncio.Queue[Json | None] = asyncio.Queue()  # None: there is an answer

    def answer(self, line: bytes) -> None:
        """The response."""
        if not self.response.done():
            self.response.set_result(line)
            self._before.put_nowait(None)

    def fail(self, fault: Refusal) -> None:
        """There will be none."""
        if not self.response.done():
            self.response.set_exception(fault)
            self.response.exception()  # a caller that has gone does not ask for the fault, which is no error then
            self._before.put_nowait(None)

    def tell(self, said: Json) -> None:
        """A notification or a question; only the first notifications are passed on."""
        self._told += "id" not in said
        if self._told <= NOTICES and not self.response.done():
            self._before.put_nowait(said)

    async def next(self) -> Json | None:
        """What the process said before the response, in order; None once there is a response."""
        return await self._before.get()
