"""Stage `settle`: charges the usage, gives the rest of the reservation back, and records how the call ended.

A call that never left costs nothing. Without a report of the provider, the tokens that the gateway counts are charged.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Protocol

from gateway import budget
from gateway.amounts import Reservation
from gateway.budget import PASSING
from gateway.call import Call, Held, Target, Usage
from gateway.errors import Failures
from gateway.limits import quota, ratelimit
from gateway.limits.charges import Charges
from gateway.limits.loops import Loops
from gateway.record.ended import Recorder, ended, report
from gateway.redaction.texts import Texts
from gateway.scheduling.judging import NEW_TEXT
from gateway.scheduling.lanes import to_its_end
from gateway.stores import Ledger
from gateway.upstream.forward import Forward


class Claims(Protocol):
    """The answers in the background that calls have claimed."""

    async def charged(self, call: Call) -> None:
        """The answer that a call has claimed was charged."""
        ...


class Settle:
    """The stage, built for one configuration. `claims`: None if no answer is made in the background."""

    def __init__(
        self,
        ledger: Ledger,
        loops: Loops,
        texts: Texts,
        forward: Forward,
        tools: Charges,
        recorder: Recorder,
        failures: Failures,
        claims: Claims | None = None,
    ) -> None:
        self._ledger = ledger
        self._claims = claims
        self._tools = tools
        self._loops = loops
        self._texts = texts
        self._forward = forward
        self._recorder = recorder
        self._failures = failures

    async def end(self, call: Call, status: int) -> None:
        """Charge the usage, and record how the call ended, with the HTTP status of its answer.

        A fault is logged, because the answer has left. Settling is not limited by the budget of the call.
        """
        budget.bind(None)
        if call.replay.keeper is not None:
            await call.replay.keeper.abandon()
        cost, settled = 0, False
        try:
            cost, settled = await self.settle(call), True
        except PASSING:
            raise
        except BaseException as fault:
            report(fault, f"call {call.id} could not be settled", "settle", self._failures)
        self._recorder.tell(ended(call, status, cost, time.perf_counter_ns()))
        if settled and call.outcome.claimed and self._claims is not None:
            await self._claims.charged(call)

    async def settle(self, call: Call) -> int:
        """Settle the reservations with the usage; returns the cost in nano-USD. Raises StoreUnavailable."""
        outcome = call.outcome
        if outcome.hit:
            name, target = call.authorization.served_as or call.resource.name, Target(outcome.provider, outcome.model)
            usage = outcome.usage or await self._counted(call)
            outcome.saved = quota.charge(self._forward.price(name, target), usage, call.request.tier)
            outcome.usage = None
        if not outcome.sent:
            for reservation in (call.admission.reservation, call.admission.rest):
                if reservation is not None:
                    await self._ledger.settle(reservation, {}, "released")
            return 0
        if call.resource.kind != "llm":  # a price for the call, and no tokens but those of a model of the client
            cost, sampled = self._tools.price(call), self._tools.sampled(call)
            if sampled is not None:
                outcome.usage = sampled
            await self._charge(call, sampled or Usage(), cost)
            return cost
        if outcome.reported is not None:  # the answer was translated: the dialect of the caller may have fewer counts
            outcome.outdated |= outcome.usage is None
            outcome.usage = outcome.reported
        held = call.request.stored.held if outcome.claimed and call.request.stored is not None else None
        if held is not None and outcome.usage is None and call.codec.defers({}):  # its answers are in a file
            return await self._charge_reserved(call, held)
        usage = outcome.usage or await self._counted(call)
        # Usage that was reported before the end, or as zero for an answer with text: at least the counted tokens.
        if outcome.outdated or (not usage.output and any(outcome.heard)):
            counted = await self._counted(call)
            if counted.output > usage.output:
                usage = replace(usage, output=counted.output, input=max(usage.input, counted.input), counted=True)
        if outcome.runs and (usage.counted or not outcome.finished):
            named = [name for name, _ in usage.runs]  # the end of an answer may have told the variant of a tool
            runs = [one for one in outcome.runs if not any(name.startswith(f"{one[0]}_") for name in named)]
            usage = usage.joined(Usage(runs=tuple(runs)))
        outcome.usage = usage
        target = Target(outcome.provider, outcome.model)
        name = call.authorization.served_as or call.resource.name
        if held is not None:
            name, call.request.tier = held.served_as or name, held.tier
        price, outcome.priced = self._forward.price(name, target), self._forward.is_priced(name, target)
        cost = quota.charge(price, usage, call.request.tier)
        if outcome.pending and call.reference is None:
            return cost  # its reservations are held until its end is seen
        if held is not None and held.asks:
            await self._charge_held(held, usage, cost, outcome.provider)
            await self._charge(call, Usage(), 0)
        else:
            await self._charge(call, usage, cost)
        return cost

    async def _charge_held(self, held: Held, usage: Usage, cost: int, provider: str) -> None:
        """Settle the reservations of the call that began an answer in the background. `cost`: nano-USD."""
        for number, ask in enumerate(held.asks):
            used = quota.used(ask.debits, usage, cost) | ratelimit.elsewhere(ask.debits, provider)
            if number:  # what obligations added: the whole amount is charged by the first
                used |= {debit.key: 0 for debit in ask.debits if not debit.refill}
            await self._ledger.settle(Reservation(ask, ()), used, "settled")

    async def _charge_reserved(self, call: Call, held: Held) -> int:
        """Charge what a batch has reserved, because nobody knows its usage. Returns the cost in nano-USD."""
        call.outcome.usage = Usage(counted=True)
        for ask in held.asks:
            await self._ledger.settle(Reservation(ask, ()), {}, "lapsed")
        await self._charge(call, Usage(), 0)
        return sum(it.amount for ask in held.asks for it in ask.debits if it.key == "cost")

    async def _charge(self, call: Call, usage: Usage, cost: int) -> None:
        """Settle both reservations of a call that has left. `cost`: nano-USD."""
        if call.admission.reservation is not None:
            used = quota.used(call.admission.debits, usage, cost) | ratelimit.elsewhere(
                call.admission.debits, call.outcome.provider
            )
            used |= self._loops.ended(call.admission.repeats, call.outcome.finished)
            await self._ledger.settle(call.admission.reservation, used, "settled")
        if call.admission.rest is not None:
            used = quota.used(call.admission.late, usage, cost)
            used |= {
                debit.key: 0 for debit in call.admission.late if not debit.refill
            }  # the whole amount is charged above
            await self._ledger.settle(call.admission.rest, used, "settled")

    async def _counted(self, call: Call) -> Usage:
        """The usage of a call without a report: the counted tokens, or nothing if the provider has refused the call.

        A caller who left before the answer began pays for the input, which the provider has. A provider that was silent
        or could not be reached costs nothing.
        """
        if call.outcome.status != 200 and not _left(call):
            return Usage()
        said = "".join(call.outcome.heard) if call.codec.answers(call.request.body) else ""
        slots = call.request.slots
        held = call.request.stored.held if call.request.stored is not None else None

        def count() -> tuple[int, int]:
            if call.outcome.claimed:
                sent = (held.input if held is not None else 0) if said else 0
                return sent, self._texts.count(said)
            sent = call.request.input.counted()
            if not sent:
                sent = self._texts.tokens(slots, call.team) + call.codec.overhead(call.request.body)
            return sent, self._texts.count(said)

        long = len(said) + sum([len(slot.text) for slot in slots]) > NEW_TEXT
        sent, output = await to_its_end(count) if long or not self._texts.ready() else count()
        if not call.request.stream and call.request.ceiling and not call.outcome.claimed:
            output = min(output, call.request.ceiling)  # of a whole answer that broke off, its JSON was counted
        return Usage(input=sent, output=output, counted=True, tier=call.outcome.tier)


def _left(call: Call) -> bool:
    """Whether the caller left while a provider had the call and had not begun to answer; not for what costs nothing."""
    outcome = call.outcome
    return not outcome.status and outcome.written and call.reference is None and call.codec.usage({}) is None
