"""Where the judging of texts is done: on the event loop as long as it is short, else in a thread (see `lanes`).

Config key: `server.scan_budget`. A call whose request takes more CPU time than that is refused with request_too_large;
what of an answer takes more is refused with output_blocked. Nothing leaves that was not judged to its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from gateway.budget import TooLong
from gateway.call import Call
from gateway.dialects import Chunk
from gateway.errors import Refusal

Result = TypeVar("Result")
_DENSE: Final = 512  # characters of a piece of a stream from which it counts whether it is dense
_GUESS: Final = 10_000  # nanoseconds a character, until a stream has shown what its text takes
_BREATH: Final = 10_000_000  # nanoseconds after which a stream lets other calls go on


def takes_long(call: Call) -> bool:
    """Whether a request has so much new text, or such, that to look at it would hold up other calls.

    A hop to a thread costs a large call a fifth of its time. Prose takes 30 us a kB; what is dense with digits
    or addresses, each of which is judged, takes twenty times as long.
    """
    runtime, raw = call.runtime, call.raw
    if len(raw) <= runtime.NEW_TEXT:
        return False
    fresh = runtime.texts.fresh(call.spans, call.team)
    if fresh <= runtime.NEW_TEXT:
        return False
    return fresh > runtime.LARGE or _is_dense(raw)


def _is_dense(raw: bytes) -> bool:
    """Whether much of it is digits and addresses."""
    telling = len(raw) - len(raw.translate(None, b"0123456789")) + 8 * raw.count(b"@")
    return 8 * telling > len(raw)


async def judge(call: Call, apart: bool, work: Callable[..., Result], *args: Any) -> Result:
    """Do work that may be begun again: on the loop, and once it turns out to be long, or if `apart`, in a thread."""
    if not apart:
        budget = call.budget
        budget.begin(call.runtime.SLICE)
        try:
            return work(*args)
        except TooLong:
            pass
        finally:
            budget.end()
    return await call.runtime.lanes.run(call, work, *args)


class Pace:
    """Where each piece of one stream is judged, by how long the pieces before took: they cannot be judged twice."""

    __slots__ = ("_began", "_call", "_rate")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._rate = float(_GUESS)  # nanoseconds a character
        self._began = time.perf_counter_ns()  # since when the loop has not been let go

    def takes_long(self, chunk: Chunk, size: int) -> bool:
        """Whether to judge a chunk that says `size` characters belongs in a thread."""
        runtime = self._call.runtime
        judged = size if chunk.frame is not None else len(chunk.raw)  # of a run of events nothing but its text
        if judged > runtime.NEW_TEXT or size * self._rate > runtime.SLICE:
            return True
        return size > _DENSE and _is_dense("".join(chunk.said()).encode(errors="replace"))

    def here(self, size: int, work: Callable[..., Result], *args: Any) -> Result:
        """Judge a piece on the event loop."""
        budget = self._call.budget
        began = time.perf_counter_ns() if size >= _DENSE else 0
        budget.begin()
        try:
            return work(*args)
        finally:
            budget.end()
            if began:
                self._learn(size, began)

    async def apart(self, size: int, work: Callable[..., Result], *args: Any) -> Result:
        """Judge a piece in a thread."""
        began = time.perf_counter_ns()
        result = await self._call.runtime.lanes.run(self._call, work, *args)
        self._began = time.perf_counter_ns()
        if size >= _DENSE:
            self._learn(size, began)
        return result

    def _learn(self, size: int, began: int) -> None:
        took = (time.perf_counter_ns() - began) / size
        self._rate = took if took > self._rate else (3 * self._rate + took) / 4

    @property
    def out_of_breath(self) -> bool:
        """Whether this stream has held the loop for long."""
        return time.perf_counter_ns() - self._began > _BREATH

    async def breathe(self) -> None:
        """Let other calls go on."""
        await asyncio.sleep(0)
        self._began = time.perf_counter_ns()


def spent(call: Call) -> Refusal:
    """What a request is refused with whose judging takes more than it may cost."""
    return Refusal(
        "request_too_large",
        f"Judging this request takes more than {call.budget.seconds:g} seconds of CPU time, and one a megabyte "
        "(server.scan_budget), so nothing was sent. Send less, or in several calls.",
    )


def answer_spent(call: Call) -> Refusal:
    """The same of an answer."""
    return Refusal(
        "output_blocked",
        f"Judging the answer took more than {call.budget.seconds:g} seconds of CPU time, and one a megabyte "
        "(server.scan_budget), and it was stopped. Ask for a shorter one.",
        stage="output",
    )
