"""What becomes of the frames of a fault that was handled."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from gateway.errors import Refusal, release


async def test_a_fault_that_two_calls_got_ends_neither() -> None:
    """A refusal that is remembered is raised again while the first call that got the refusal still handles it."""
    shared = Refusal("overloaded", "The server does not answer.")
    first_waits, released = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def first() -> None:
        try:
            raise shared
        except Refusal:
            first_waits.set()
            await released.wait()
        ended.append("first")

    async def second() -> None:
        await first_waits.wait()
        try:
            raise shared
        except Refusal as fault:
            release(fault)
            released.set()
        ended.append("second")

    await asyncio.wait_for(asyncio.gather(first(), second()), 10)
    assert sorted(ended) == ["first", "second"]


class _Held:
    """Something that a frame holds."""


@pytest.mark.parametrize("cancelled", [False, True])
async def test_frames_of_coroutines_that_ended_are_freed(cancelled: bool) -> None:
    """Without the collector, whether the fault came from below or was thrown in."""
    held: list[weakref.ref[_Held]] = []
    waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def below(waited: asyncio.Future[None]) -> None:
        kept = _Held()
        held.append(weakref.ref(kept))
        try:
            await waited
        except (ValueError, asyncio.CancelledError) as fault:
            faults = [fault]  # a cycle: the frame holds the fault, which holds the frame
            raise faults[0] from None

    async def above(waited: asyncio.Future[None]) -> None:
        try:
            await below(waited)
        except (ValueError, asyncio.CancelledError) as fault:
            release(fault)

    gc.disable()
    try:
        task = asyncio.create_task(above(waited))
        await asyncio.sleep(0)
        if cancelled:
            task.cancel()
        else:
            waited.set_exception(ValueError())
        await task
        del task, waited
        await asyncio.sleep(0)
        assert [one() for one in held] == [None]
    finally:
        gc.enable()
