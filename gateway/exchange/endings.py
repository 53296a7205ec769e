"""The ends of answers that providers make in the background, if nobody retrieves them: they are charged all the same.

The answer itself is read for its status and its usage, and dropped: it is judged when a caller asks for it.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

import orjson

from gateway.amounts import Reservation
from gateway.call import Call, Reference, Resource, Subject, Usage
from gateway.dialects import Codec, multipart
from gateway.dialects.items import Caps
from gateway.dialects.routes import ENDS, RESULTS
from gateway.errors import Refusal, release
from gateway.exchange.broken import garbage, loaded
from gateway.exchange.whole import is_empty
from gateway.ingress.dues import Due
from gateway.ingress.owners import Owners, stored_of
from gateway.scheduling.judging import NEW_TEXT, judge
from gateway.scheduling.lanes import unbroken
from gateway.settle.settle import Settle
from gateway.stores import Ledger
from gateway.upstream.forward import Forward

_log = logging.getLogger("meshgate")
_GONE: Final = 404


class Endings:
    """Built for one configuration."""

    def __init__(self, owners: Owners, forward: Forward, settle: Settle, ledger: Ledger, caps: Caps) -> None:
        self._owners = owners
        self._forward = forward
        self._settle = settle
        self._ledger = ledger
        self._caps = caps

    async def take(self, most: int) -> list[Due]:
        """Answers that are to be asked for now; no other gateway does so meanwhile. Raises StoreUnavailable."""
        return await self._owners.dues.take(most, self._forward.most_patience)

    @staticmethod
    def codec(due: Due) -> tuple[str, Codec]:
        """The path template of such answers, and the codec of their end."""
        return ENDS[due.kind]

    async def see(self, call: Call, due: Due) -> None:
        """Ask the provider for the end of an answer; charge and record it, or ask again later. `call`: a new call.

        Raises StoreUnavailable: then another gateway, or this one, asks again after a while.
        """
        _prepare(call, due)
        try:
            await self._read(call)
            if call.outcome.ended and call.codec in RESULTS:
                _, below, call.codec = RESULTS[call.codec]
                call.reference = Reference(due.id, "GET", below)
                await self._read(call)
                call.outcome.ended = True
        except Refusal as refusal:
            release(refusal)
            if refusal.status == _GONE and call.outcome.status == _GONE:
                await unbroken(self._gone(call, due))
                return
            _log.warning("the end of a %s in the background could not be retrieved: %s", due.kind, refusal.message)
            await self._owners.dues.later(due)
            return
        if call.outcome.pending or not call.outcome.ended:
            await self._owners.dues.later(due)
        else:
            await unbroken(self._charge(call, due))  # a claim without a charge charges nobody

    async def _charge(self, call: Call, due: Due) -> None:
        """Charge and record an answer, unless a caller was charged for it."""
        if await self._owners.take_over(call, due.kind, due.id):
            call.outcome.claimed = call.outcome.finished = True
            await self._owners.open_sessions(call)
            await self._settle.end(call, 200)
        else:
            await self._leave(call, due)

    async def _leave(self, call: Call, due: Due) -> None:
        """A caller has claimed the answer: look again until it was charged, in case the gateway of that caller dies."""
        if await self._owners.is_charged(call, due.kind, due.id):
            await self._owners.dues.end(due.team, due.kind, due.id)
        else:
            await self._owners.dues.later(due)

    async def _read(self, call: Call) -> None:
        """Read the answer; writes usage and texts in `call.outcome`. Raises Refusal."""
        stored = call.request.stored
        assert stored is not None, "the call was prepared"
        call.request.label = self._forward.label(call.resource.name)
        targets = self._forward.targets(call.resource.name, call.codec, stored.target, call)
        answer = await self._forward.open(call, targets)
        try:
            parts, size = [answer.start], len(answer.start)
            while not answer.ended and (data := await anext(answer.chunks, None)) is not None:
                size += len(data)
                if size > call.codec.max_answer:
                    raise garbage(call, f"more than {call.codec.max_answer} bytes")
                parts.append(data)
            raw = b"".join(parts)
            call.budget.extend(size)
            try:
                if not answer.kind.startswith("application/json"):
                    raw = orjson.dumps(multipart.content(raw))
                await judge(call, size > NEW_TEXT, self._understand, call, raw)
            except (ValueError, AttributeError, TypeError):
                raise garbage(call, f"something that is not {call.codec.noun}") from None
        finally:
            answer.close(finished=answer.ended)

    def _understand(self, call: Call, raw: bytes) -> None:
        codec, outcome = call.codec, call.outcome
        raw, _ = codec.outline(raw)
        body, _ = loaded(raw, self._caps)
        codec.check(body, 1)
        outcome.pending, outcome.ended = codec.pending(body), codec.ended(body)
        if codec in RESULTS:
            outcome.ended = RESULTS[codec][0](body)
        outcome.usage, outcome.tier = codec.usage(body), codec.served_in(body)
        outcome.made = codec.makes(body) if codec.marker and codec.marker in raw else ()
        if outcome.usage is None and is_empty(codec, body):
            outcome.usage = Usage()
        elif outcome.usage is None or not outcome.usage.output:
            outcome.heard = [slot.text for slot in codec.whole(body).slots]

    async def _gone(self, call: Call, due: Due) -> None:
        """The provider has no such answer any more, and nobody saw its usage: the estimate is charged."""
        if await self._owners.take_over(call, due.kind, due.id):
            held = stored_of(due.record).held
            for ask in held.asks if held is not None else ():
                await self._ledger.settle(Reservation(ask, ()), {}, "lapsed")
            await self._owners.charged(call)
        else:
            await self._leave(call, due)


def _prepare(call: Call, due: Due) -> None:
    """Make a new call one that asks for the answer, in the workflow and at the place of the answer."""
    stored = replace(stored_of(due.record), due=True)
    call.subject = Subject(stored.agent, due.team)
    call.resource = Resource("llm", stored.model)
    call.reference = Reference(due.id, "GET")
    call.request.stored, call.request.correlation_id = stored, stored.workflow
    call.request.body = {"model": stored.model, "input": [], "store": False}
