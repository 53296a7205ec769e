"""State in a Redis Cluster. Config key: `state: redis+cluster://` or `rediss+cluster://`.

The keys of a team are in one slot: a call that touches only these is one script call, as on one server. Buckets
that teams share (of a model, a provider, a tool) have slots of their own. A call that pays these takes two steps:

1. the team's slot reserves everything of the team; if it refuses, other slots are not asked;
2. all buckets elsewhere are taken concurrently. If a bucket refuses, everything that was taken is given back as if the
   call had never asked, and the refusal names that bucket.

Every step is atomic and refuses amounts that do not fit, so no call is admitted over any limit. Taking and giving back
are idempotent for each call; if "give back" arrives before "take", nothing is taken.
If a gateway dies between the steps, its reservation lapses like any other; buckets stay spent and are refilled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson

from gateway.amounts import Ask, Balance, Debit, Rejection, Reservation
from gateway.stores import End, StoreUnavailable, actual, charges, slowest
from gateway.stores.redis import DOUBT, RedisStore
from gateway.stores.redis_keys import bucket_key
from gateway.stores.redis_replies import outcome

_KEPT = 3600  # seconds after its time limit that a taken call is remembered: its end must find the record
_NEVER = 2**40  # seconds

Placed = Sequence[tuple[int, Debit]]  # debits, each with its place among those of the call


class ClusterStore(RedisStore):
    """A `Store` on a Redis Cluster, with a second step for calls that pay buckets that teams share."""

    async def reserve(self, ask: Ask) -> Reservation | Rejection:
        home, elsewhere = _split(ask)
        if not elsewhere:
            return await super().reserve(ask)
        at_home = _only(ask, home)
        if at_home.bare:  # reserve nevertheless: the end of this reservation gives back the buckets elsewhere
            at_home = at_home._replace(seconds=_NEVER)
        first = await super().reserve(at_home)
        if isinstance(first, Rejection):
            first = first if first.index < 0 else replace(first, index=home[first.index][0])
            return await self._with_waits(ask, first, elsewhere)
        try:
            taken = await asyncio.gather(*(self._take(ask, debits) for debits in elsewhere))
        except (StoreUnavailable, asyncio.CancelledError):
            self._repeat_later(ask, {}, "released", DOUBT)
            raise
        got = [(debits, it) for debits, it in zip(elsewhere, taken, strict=True) if isinstance(it, Reservation)]
        refused = [it for it in taken if isinstance(it, Rejection)]
        if refused:
            await self._undo(ask, [debits for debits, _ in got])
            return slowest(refused)
        return _whole(ask, [(home, first), *got])

    async def _end(
        self, ask: Ask, used: Mapping[str, int], state: End, *, again: bool = False, operation: str = "settle"
    ) -> bool:
        """The team's slot decides whether the reservation had ended; the buckets elsewhere follow."""
        home, elsewhere = _split(ask)
        ended = await super()._end(_only(ask, home), used, state, again=again, operation=operation)
        # With `again`, the first attempt may have ended the reservation; giving back is idempotent in each bucket.
        if ended or again:
            await asyncio.gather(*(self._give(ask, debits, used, state) for debits in elsewhere))
        return ended

    async def _with_waits(self, ask: Ask, refused: Rejection, elsewhere: Sequence[Placed]) -> Rejection:
        """The refusal with the longest wait: Retry-After must be long enough for the buckets elsewhere, too."""
        if refused.reason != "rate" or refused.retry_after is None:
            return refused
        others = await asyncio.gather(*(self._take(ask, debits, "peek") for debits in elsewhere))
        return slowest([refused, *(it for it in others if isinstance(it, Rejection))])

    async def _take(self, ask: Ask, debits: Placed, operation: str = "take") -> Reservation | Rejection:
        _, first = debits[0]
        amounts = [debit.amount for _, debit in debits]
        whole = orjson.dumps((ask.id, (ask.lapse + _KEPT) * 1000, first.limit, first.refill, amounts))
        got = outcome(_only(ask, debits), await self._call(operation, _keys(ask, first), whole))
        return got if isinstance(got, Reservation) else replace(got, index=debits[got.index][0])

    async def _give(self, ask: Ask, debits: Placed, used: Mapping[str, int], state: End) -> None:
        ((debit, amount),) = charges([debit for _, debit in debits])
        charged = actual(debit, amount, used, state)
        whole = (ask.id, (ask.lapse + _KEPT) * 1000, debit.limit, debit.refill, amount, charged)
        await self._call("give", _keys(ask, debit), orjson.dumps(whole))

    async def _undo(self, ask: Ask, taken: Sequence[Placed]) -> None:
        """Give back everything that was taken, request buckets included: the call was refused as a whole."""
        home, _ = _split(ask)
        nothing = {debit.key: 0 for debit in ask.debits}
        try:
            await asyncio.gather(
                super()._end(_only(ask, home), nothing, "settled", operation="undo"),
                *(self._give(ask, debits, nothing, "settled") for debits in taken),
            )
        except (StoreUnavailable, asyncio.CancelledError) as error:
            self._repeat_later(ask, nothing, "settled")
            if isinstance(error, asyncio.CancelledError):
                raise


def _split(ask: Ask) -> tuple[Placed, list[Placed]]:
    """The debits of the team's slot, and those of each bucket elsewhere, with their index among all debits."""
    home: list[tuple[int, Debit]] = []
    elsewhere: dict[str, list[tuple[int, Debit]]] = {}
    for place in enumerate(ask.debits):
        _, debit = place
        if not debit.refill or debit.key.startswith(("agent:", "team:")):
            home.append(place)
        else:
            elsewhere.setdefault(debit.key, []).append(place)
    return home, list(elsewhere.values())


def _only(ask: Ask, debits: Placed) -> Ask:
    return ask._replace(debits=tuple([debit for _, debit in debits]))


def _keys(ask: Ask, debit: Debit) -> list[str]:
    bucket = bucket_key(ask.team, debit.key)
    return [bucket, f"{bucket}:taken"]


def _whole(ask: Ask, parts: Sequence[tuple[Placed, Reservation]]) -> Reservation:
    """One reservation from the balances of both steps, in the order of the debits."""
    places: dict[int, Balance] = {}
    for debits, got in parts:
        places |= {place: balance for (place, _), balance in zip(debits, got.balances, strict=True)}
    _, home = parts[0]
    balances = tuple([places[place] for place in range(len(ask.debits))])
    return Reservation(ask, balances, home.chain, home.path, home.history, home.stripped)
