"""Ask the store for room, and wait for it where only calls in flight are in the way. Config key: `quotas.wait`.

Who waits tries again whenever a call of the workflow has ended, beside whoever comes new: a small call need not wait
behind a large one for which there is no room yet, nor for one that itself waits for the small one to be served. So that
a large one does not wait for ever while small ones get in, a call that has waited half its time goes first
(`Ask.first`): from then on nobody else of its workflow gets in before it, on any replica, until it got in, gave up or
left.
"""

from __future__ import annotations

import asyncio

from gateway.call import Ask, Rejection, Reservation
from gateway.stores import Store

# Seconds between two tries of a call that waits and hears nothing: shorter than a store keeps its turn (2 seconds).
_TRY_AGAIN = 1.0


async def admit(store: Store, ask: Ask, wait: float) -> Reservation | Rejection:
    """Reserve; a call that is `busy` tries for up to `wait` seconds. One that leaves meanwhile leaves nothing."""
    answer = await store.reserve(ask)
    if not wait or not _busy(answer):
        return answer
    now = asyncio.get_running_loop().time
    began = now()
    while _busy(answer) and (waited := now() - began) < wait:
        until = wait if ask.first else wait / 2
        await store.settled(ask.team, ask.correlation_id, min(max(until - waited, 0), _TRY_AGAIN))
        if not ask.first and now() - began >= wait / 2:
            ask = ask._replace(first=True)
        answer = await store.reserve(ask)
    return answer


def _busy(answer: Reservation | Rejection) -> bool:
    return isinstance(answer, Rejection) and answer.reason == "busy"
