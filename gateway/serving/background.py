"""Asks providers for the ends of answers in the background that nobody retrieves."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final, Protocol

from gateway import budget, ids
from gateway.budget import Budget
from gateway.call import Call, Resource
from gateway.errors import release, trace
from gateway.ingress.dues import Due
from gateway.serving.runtime import Runtime, Shared
from gateway.serving.shares import UNCOUNTED
from gateway.stores import StoreUnavailable

_PAUSE: Final = 1.0  # seconds between two looks at the store
_MOST: Final = 8  # answers that are asked for at a time
_log = logging.getLogger("meshgate")


class Gateway(Protocol):
    """What is read anew for each look: the current runtime, and the objects that outlive reloads."""

    runtime: Runtime
    shared: Shared


async def retrieve(gateway: Gateway) -> None:
    """Look for such answers for ever. A fault is logged and counted; the answer is asked for again after a while."""
    running = set[asyncio.Task[None]]()
    try:
        while True:
            await asyncio.sleep(_PAUSE)
            if len(running) >= _MOST:
                continue
            try:
                dues = await gateway.runtime.endings.take(_MOST - len(running))
            except StoreUnavailable:  # which the housekeeping logs
                continue
            for due in dues:
                task = asyncio.create_task(_see(gateway, due))
                running.add(task)
                task.add_done_callback(running.discard)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _see(gateway: Gateway, due: Due) -> None:
    runtime, shared = gateway.runtime, gateway.shared
    path, codec = runtime.endings.codec(due)
    work, began = Budget(runtime.config.server.scan_budget), time.perf_counter_ns()
    call = Call(ids.uuid7(), path, Resource("llm"), codec, (), began, work, shared.lanes, UNCOUNTED)
    budget.bind(work)
    try:
        await runtime.endings.see(call, due)
    except StoreUnavailable as fault:
        _log.warning("the end of a %s in the background is asked for again later: %s", due.kind, fault)
        release(fault)
    except Exception as fault:
        _log.error("the end of a %s in the background could not be seen: %s", due.kind, trace(fault))
        release(fault)
        shared.telemetry.failed("background")
