"""Reserves, and waits if only calls in flight hold the rest of a quota. Config key: `quotas.wait`.

A waiting call tries again whenever a call of the workflow has ended, and competes with new calls: a small call need not
wait behind a large call that does not fit yet, nor behind a call that waits for the small call. So that a large call
does not wait forever while small calls are admitted, a call that has waited half its time goes first (`Ask.first`):
from then on no other call of the workflow is admitted, on any replica, until this call is admitted, times out or is
cancelled.
"""

from __future__ import annotations

import asyncio

from gateway.amounts import Ask, Rejection, Reservation
from gateway.stores import Ledger

# Seconds between two tries of a waiting call that is not notified: shorter than a store keeps its turn (2 seconds).
_TRY_AGAIN = 1.0


async def admit(ledger: Ledger, ask: Ask, wait: float) -> Reservation | Rejection:
    """Reserve; a call that is refused as `busy` tries again for up to `wait` seconds.

    A cancelled call leaves no reservation. Raises `StoreUnavailable`.
    """
    answer = await ledger.reserve(ask)
    if not wait or not _busy(answer):
        return answer
    now = asyncio.get_running_loop().time
    began = now()
    while _busy(answer) and (waited := now() - began) < wait:
        until = wait if ask.first else wait / 2
        await ledger.settled(ask.team, ask.correlation_id, min(max(until - waited, 0), _TRY_AGAIN))
        if not ask.first and now() - began >= wait / 2:
            ask = ask._replace(first=True)
        answer = await ledger.reserve(ask)
    return answer


def _busy(answer: Reservation | Rejection) -> bool:
    return isinstance(answer, Rejection) and answer.reason == "busy"
