"""Stage `settle`: what was used is charged, what was not is given back, and how the call ended goes on record.

A call that never left costs nothing. One whose provider reported no usage is charged what can be counted of it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from gateway import budget
from gateway.budget import PASSING
from gateway.call import Call, Target, Usage
from gateway.errors import trace
from gateway.ingress.reply import Reply
from gateway.limits import quota, ratelimit
from gateway.scheduling.lanes import to_its_end
from gateway.stores import StoreUnavailable

_log = logging.getLogger("meshgate")


async def settle_and_record(call: Call, reply: Reply) -> None:
    """Charge what was used, write down how it ended. A fault here is logged: the answer has left."""
    budget.bind(None)  # settling must come to its end, whatever the call has left
    runtime = call.runtime
    reply.ending = True
    if call.keeper is not None:
        await call.keeper.abandon()
    cost = 0
    try:
        cost = await settle(call)
        if not call.throttled:  # a flood of wrong keys must not fill the record
            runtime.audit.ended(call, reply.status, cost)
    except StoreUnavailable as fault:
        _log.error("call %s could not be settled: %s", call.id, fault)
    except PASSING:
        raise
    except BaseException as fault:
        _log.error("call %s could not be settled: %s", call.id, trace(fault))
        runtime.telemetry.failures.add(("settle",))
    runtime.telemetry.ended(call, reply.status, cost, time.perf_counter_ns())


async def settle(call: Call) -> int:
    """Settle what was reserved from what was used; returns the cost in nano-USD."""
    runtime, outcome = call.runtime, call.outcome
    if not outcome.sent:
        for reservation in (call.reservation, call.rest):
            if reservation is not None:
                await runtime.store.settle(reservation, {}, "released")
        return 0
    if call.resource.kind != "llm":  # no tokens, and nothing that they would cost
        await _settle(call, Usage(), 0)
        return 0
    usage = outcome.usage or await _counted(call)
    # Told before the end, or as nothing beside a text: no less than that, and no less than what came.
    if outcome.outdated or (not usage.output and any(outcome.heard)):
        counted = await _counted(call)
        if counted.output > usage.output:
            usage = replace(usage, output=counted.output, input=max(usage.input, counted.input), counted=True)
    outcome.usage = usage
    target = Target(outcome.provider, outcome.model)
    price = call.runtime.forward.price(call.served_as or call.resource.name, target)
    cost = quota.charge(price, usage, call.tier)
    await _settle(call, usage, cost)
    return cost


async def _settle(call: Call, usage: Usage, cost: int) -> None:
    """Settle both reservations of a call that has left from what it used; cost in nano-USD."""
    runtime, outcome = call.runtime, call.outcome
    if call.reservation is not None:
        used = quota.used(call.debits, usage, cost) | ratelimit.elsewhere(call.debits, outcome.provider)
        used |= runtime.loops.ended(call.repeats, outcome.finished)
        await runtime.store.settle(call.reservation, used, "settled")
    if call.rest is not None:
        used = quota.used(call.late, usage, cost)
        used |= {debit.key: 0 for debit in call.late if not debit.refill}  # charged above, whole
        await runtime.store.settle(call.rest, used, "settled")


async def _counted(call: Call) -> Usage:
    """What a call used whose provider did not say: nothing if it never answered, else what we can count."""
    if call.outcome.status != 200:
        return Usage()
    count = call.runtime.texts.count
    said = "".join(call.outcome.heard) if call.format.answers(call.body) else ""
    texts = [said] if call.input_tokens else [said, *(span.text for span in call.spans)]
    if sum(map(len, texts)) > call.runtime.NEW_TEXT:
        output, *rest = await to_its_end(lambda: list(map(count, texts)))
    else:
        output, *rest = map(count, texts)
    sent = call.input_tokens or sum(rest) + call.format.overhead(call.body)
    return Usage(input=sent, output=output, counted=True, tier=call.outcome.tier)
