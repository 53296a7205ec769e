"""Deliveries of push notifications: in order for each client's URL, and again after a while if it does not take them.

What waits is in the state, so that it outlives the process, and any gateway delivers it: at least once. After the last
try everything that waits for the URL is given up, which the log and a metric tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, NamedTuple

from gateway.errors import trace
from gateway.stores import Leased, Queues, Room, StoreUnavailable

_log = logging.getLogger("meshgate")
DELAYS: Final = (0.5, 2.0, 8.0, 30.0, 120.0, 600.0)
"""Seconds before each further try."""
ROOM: Final = Room(records=1024, own=128, bytes=64 * 1024 * 1024)
"""What may wait, of all gateways: an agent whose client takes none leaves room for others."""
LEASE: Final = 30.0
"""Seconds after which another gateway tries, if the one that tried has gone; longer than a try."""
_TOGETHER: Final = 64
_POLL: Final = 0.5  # seconds until the state is asked again
_IDLE: Final = 30.0  # the same if no agent sends notifications

Outcome = Literal["delivered", "refused", "failed"]


class Sent(NamedTuple):
    """How a try ended, and the host of the client for the log. What was refused is not sent again."""

    outcome: Outcome
    host: str = ""


Send = Callable[[bytes], Awaitable[Sent]]


class Deliveries:
    """The deliveries of this process. `count` gets an outcome (also `given_up`) and a number of notifications.

    `delays`: seconds before each further try. For one event loop.
    """

    def __init__(self, queues: Queues, count: Callable[[str, int], None], delays: Sequence[float] = DELAYS) -> None:
        self._queues = queues
        self._count = count
        self._delays = tuple(delays)
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    async def add(self, queue: str, owner: str, record: bytes) -> bool:
        """Deliver a record after those of the same queue. False if too many wait. Raises StoreUnavailable."""
        if not await self._queues.push(queue, owner, record, ROOM):
            return False
        self._news.set()
        return True

    async def run(self, send: Send, wanted: Callable[[], bool]) -> None:
        """Deliver what waits, until the task is canceled. `wanted`: whether any agent sends notifications."""
        complaint = ""
        try:
            while True:
                self._news.clear()
                try:
                    for one in await self._queues.lease(LEASE, _TOGETHER - len(self._tasks)):
                        task = asyncio.create_task(self._try(send, one))
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
                    complaint = ""
                except StoreUnavailable as fault:
                    if str(fault) != complaint:  # once, not with each look
                        complaint = str(fault)
                        _log.error("push notifications wait: %s", fault)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL if wanted() else _IDLE):
                        await self._news.wait()
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _try(self, send: Send, one: Leased) -> None:
        try:
            sent = await send(one.record)
        except asyncio.CancelledError:
            with contextlib.suppress(StoreUnavailable):
                await self._queues.postpone(one.queue, one.number, 0)  # for another gateway, or the next process
            raise
        except Exception as fault:  # tried again and given up like others, or its queue would wait for ever
            _log.error("a push notification could not be sent: %s", trace(fault))
            sent = Sent("failed")
        try:
            await self._end(one, sent)
        except StoreUnavailable as fault:
            _log.error("a push notification may be delivered twice: %s", fault)
        self._news.set()

    async def _end(self, one: Leased, sent: Sent) -> None:
        """Take a record out, or let it be tried again."""
        if sent.outcome == "failed" and one.tries <= len(self._delays):
            delay = self._delays[one.tries - 1]
            await self._queues.postpone(one.queue, one.number, delay)
            asyncio.get_running_loop().call_later(delay, self._news.set)
            return
        over = sent.outcome == "failed"
        gone = await self._queues.shift(one.queue, one.number, all=over)
        outcome = "given_up" if over else sent.outcome
        if gone and outcome != "delivered":
            words = "%d push notifications were %s: after %d tries, %s"
            _log.warning(words, gone, outcome.replace("_", " "), one.tries, sent.host or "a client that is not known")
        if gone:
            self._count(outcome, gone)
