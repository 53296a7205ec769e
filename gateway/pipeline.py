"""The line: every call passes through `serve`, from top to bottom, always in this order.

identify -> read -> rate limit and quota (one atomic reservation) -> redact -> authorize -> make durable -> forward ->
filter and restore -> settle -> record. A call that was answered before under its Idempotency-Key passes through the
same stages up to forward, reserves nothing, and gets the kept answer. This is the only place where a refusal becomes an
answer, and the only place where a call is settled: whatever happens before, both happen once.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from gateway import budget
from gateway.budget import Spent
from gateway.call import Call
from gateway.dialects.parts import merged
from gateway.errors import Refusal, trace
from gateway.exchange import forward, refuse
from gateway.ingress import read, request
from gateway.ingress.idempotency import REPLAYED
from gateway.ingress.reply import Reply
from gateway.policy import oblige
from gateway.reserve import reserve
from gateway.scheduling.judging import spent
from gateway.scheduling.lanes import apart
from gateway.settle import settle
from gateway.stores import StoreUnavailable
from gateway.upstream import fields

_log = logging.getLogger("meshgate")


async def serve(call: Call, receive: request.Receive, reply: Reply) -> None:
    """Serve one call. Raises nothing but what ends the process."""
    budget.bind(call.budget)
    try:
        await identify(call)
        call.step("ingress")
        await read.read(call, receive)
        await recall(call)
        call.step("reserve")
        await reserve.reserve(call)
        call.step("redact")
        await redact(call)
        call.step("authorize")
        await oblige.authorize(call)
        if call.kept is None:
            fields.keep(call, call.runtime.forward.fields)
        call.step("durable")
        await commit(call)
        if await replayed(call, reply):
            return
        call.step("upstream")
        await forward.forward(call, reply)
    except Refusal as refusal:
        await refuse.refuse(call, refusal, reply)
    except StoreUnavailable as fault:
        _log.error("state store: %s", fault)
        await refuse.refuse(
            call, Refusal("state_unavailable", "The state store does not answer; try again later."), reply
        )
    except Spent:
        await refuse.refuse(call, spent(call), reply)
    except (request.Disconnected, asyncio.CancelledError):
        reply.abandon()
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as fault:  # also what an extension raises that is no Exception
        _log.error("call %s failed in %s: %s", call.id, call.stage, trace(fault))
        call.runtime.telemetry.failures.add((call.stage,))
        await refuse.refuse(
            call, Refusal("overloaded", f"The gateway failed to serve this call; its id is {call.id}."), reply
        )
    finally:
        call.step("settle")
        await settle.settle_and_record(call, reply)


async def identify(call: Call) -> None:
    """Who calls, and whether that team has room for one call more."""
    try:
        call.subject = await call.runtime.identity.identify(call.headers)
    except Refusal as refusal:
        often = call.ticket.stranger() if refusal.code == "unauthenticated" else None
        call.throttled = often is not None
        raise often or refusal from None
    call.ticket.claim(call.subject.team)


async def recall(call: Call) -> None:
    """The answer that the call was given before, if it comes again with its Idempotency-Key."""
    if call.runtime.idempotency is not None:
        await call.runtime.idempotency.recall(call)


async def redact(call: Call) -> None:
    """Personal data leaves the body."""
    if call.runtime.names is not None:
        call.found = await call.runtime.names.add(call.spans, call.found, call.team, partial(apart, call))
    if call.joined:
        size = sum(len(findings) for found in (call.found, call.joined) for _, findings in found)
        call.found = await apart(call, size, partial(merged, call.found, call.joined, call.spans))
    if call.runtime.redactor is not None:
        await call.runtime.redactor.redact(call)


async def commit(call: Call) -> None:
    """The reservation and the decision are on disk before the call leaves."""
    runtime = call.runtime
    if call.decision is None:
        oblige.decided(call)
    await runtime.audit.durable()
    if runtime.store_is_apart:
        await runtime.store.durable()


async def replayed(call: Call, reply: Reply) -> bool:
    """Whether the call has got the answer again that it was given before."""
    if call.kept is None:
        return False
    call.replayed = True
    await reply.again(call.kept.body, call.kept.streamed, REPLAYED)
    return True
