"""Decides where texts are scanned: on the event loop if the scan is short, otherwise in a thread (see `lanes`).

Config key: `server.scan_budget`. A request that needs more CPU time is refused with request_too_large, an answer with
output_blocked. Nothing is sent before its scan is complete.
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
OFF_LOOP: Final = 128 * 1024
"""Size of a request in bytes from which it is parsed in a thread."""
NEW_TEXT: Final = 8 * 1024
"""Amount of new text (characters of a request, bytes of an answer) from which a thread scans it.

Hostile text takes up to 30 us a character, a hundred times as long as prose.
"""
LARGE: Final = 128 * 1024
"""The same for text that is not dense with digits and addresses."""
_MANY: Final = 4096  # texts, each of which is looked up, though it may be known
LEARNED: Final = 512
"""Characters of a piece of a stream from which its time counts, and its density is checked."""
_GUESS: Final = 10_000  # assumed nanoseconds per character at the start of a stream
_BREATH: Final = 10_000_000  # nanoseconds after which a stream yields to other calls


def takes_long(call: Call, fresh: Callable[[], int]) -> bool:
    """Whether a request has so much new text, or so dense a text, that scanning would delay other calls.

    Moving to a thread costs a large call a fifth of its time. Prose takes 30 us a kB; text that is dense with digits or
    addresses, each of which is checked, takes twenty times as long. `fresh` counts the characters of its new texts.
    """
    if len(call.request.raw) <= NEW_TEXT:
        return False
    if len(call.request.slots) > _MANY:
        return True
    new = fresh()
    if new <= NEW_TEXT:
        return False
    return new > LARGE or _is_dense(call.request.raw)


def _is_dense(raw: bytes) -> bool:
    """Whether a large part of the bytes is digits and addresses."""
    telling = len(raw) - len(raw.translate(None, b"0123456789")) + 8 * raw.count(b"@")
    return 8 * telling > len(raw)


async def judge(call: Call, apart: bool, work: Callable[..., Result], *args: Any) -> Result:
    """Run work that may be restarted: on the loop, or in a thread if it takes long there, or if `apart`."""
    if not apart:
        budget = call.budget
        budget.begin(call.lanes.slice)
        try:
            return work(*args)
        except TooLong:
            pass
        finally:
            budget.end()
    return await call.lanes.run(call, work, *args)


class Pace:
    """Decides where each piece of a stream is scanned, by the time of earlier pieces: none can be scanned twice."""

    __slots__ = ("_began", "_call", "_rate")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._rate = float(_GUESS)  # nanoseconds a character
        self._began = time.perf_counter_ns()  # when the stream last yielded the loop

    def takes_long(self, chunk: Chunk, size: int) -> bool:
        """Whether a chunk with `size` characters of text should be scanned in a thread."""
        judged = size if chunk.series is not None else len(chunk.raw)  # of a series of events, only its text
        if judged > NEW_TEXT or size * self._rate > self._call.lanes.slice:
            return True
        return size > LEARNED and _is_dense("".join(chunk.said()).encode(errors="replace"))

    def here(self, work: Callable[..., Result], *args: Any) -> Result:
        """Scan pieces on the event loop; `work` reports pieces of some length with `scanned`."""
        budget = self._call.budget
        budget.begin()
        try:
            return work(*args)
        finally:
            budget.end()

    async def apart(self, size: int, work: Callable[..., Result], *args: Any) -> Result:
        """Scan a piece in a thread."""
        began = time.perf_counter_ns()
        result = await self._call.lanes.run(self._call, work, *args)
        self._began = time.perf_counter_ns()
        if size >= LEARNED:
            self.scanned(size, began)
        return result

    def scanned(self, size: int, began: int) -> None:
        """A piece of at least `LEARNED` characters was scanned, from `began` on (`perf_counter_ns`) until now."""
        took = (time.perf_counter_ns() - began) / size
        self._rate = took if took > self._rate else (3 * self._rate + took) / 4

    @property
    def out_of_breath(self) -> bool:
        """Whether this stream should yield the loop."""
        return time.perf_counter_ns() - self._began > _BREATH

    async def breathe(self) -> None:
        """Yield the loop to other calls."""
        await asyncio.sleep(0)
        self._began = time.perf_counter_ns()


def spent(call: Call) -> Refusal:
    """The refusal of a request that exceeds its scan budget."""
    return Refusal(
        "request_too_large",
        f"Scanning this request takes more than {call.budget.seconds:g} seconds of CPU time, plus one a megabyte "
        "(server.scan_budget), so nothing was sent. Send less, or split the request.",
    )


def answer_spent(call: Call) -> Refusal:
    """The refusal of an answer that exceeds its scan budget."""
    return Refusal(
        "output_blocked",
        f"Scanning the answer took more than {call.budget.seconds:g} seconds of CPU time, plus one for each megabyte "
        "(server.scan_budget), so the answer was stopped. Ask for a shorter answer.",
        stage="output",
    )
