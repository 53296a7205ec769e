"""The line: every call passes through `serve`, from top to bottom, always in this order.

identify -> read -> rate limit and quota (one atomic reservation) -> redact -> authorize -> make durable -> forward ->
filter and restore -> settle -> record. A call that was answered before under its Idempotency-Key passes through the
same stages up to forward, reserves nothing, and gets the kept answer. This is the only place where a refusal becomes an
answer, and the only place where a call is settled: whatever happens before, both happen once.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from gateway import budget
from gateway.budget import Spent
from gateway.call import Call
from gateway.errors import Failures, Refusal, release, trace
from gateway.exchange.desks import Desks
from gateway.exchange.forward import Exchange
from gateway.exchange.siblings import Siblings
from gateway.identity.identify import Identity, credential
from gateway.ingress.idempotency import REPLAYED, Idempotency
from gateway.ingress.read import Ingress
from gateway.ingress.reply import Reply
from gateway.ingress.request import Disconnected
from gateway.ingress.wire import Receive
from gateway.policy.oblige import Authorize
from gateway.record.durable import Durable
from gateway.redaction.stage import Redact
from gateway.reserve.reserve import Reserve
from gateway.scheduling.judging import spent
from gateway.settle.settle import Settle
from gateway.stores import StoreUnavailable

_log = logging.getLogger("meshgate")


@dataclass(frozen=True, slots=True)
class Line:
    """The stages, built for one configuration. A call walks the stages of one line from start to end."""

    identity: Identity
    ingress: Ingress
    idempotency: Idempotency | None
    reserve: Reserve
    desks: Desks
    redact: Redact
    authorize: Authorize
    durable: Durable
    exchange: Exchange
    siblings: Siblings
    settle: Settle
    failures: Failures

    async def serve(self, call: Call, receive: Receive, reply: Reply) -> None:
        """Serve one call. Raises only exceptions that end the process."""
        budget.bind(call.budget)
        try:
            await self.identify(call)
            call.step("ingress")
            if call.codec.name == "mcp":
                self.desks.mcp.enter(call)
            await self.ingress.read(call, receive)
            if call.codec.name == "mcp":
                if worker := self.desks.mcp.worker(call):
                    await self.siblings.hand_over(call, worker, reply)
                    return
                if self.desks.mcp.concerns_all(call):
                    await self.siblings.tell_all(call)
            if self.idempotency is not None and call.reference is None and not call.request.control:
                await self.idempotency.recall(call)
            call.step("reserve")
            await self.reserve.reserve(call)
            if call.resource.kind != "llm":
                await self.desks.of(call).find(call)
            call.step("redact")
            await self.redact.redact(call)
            call.step("authorize")
            await self.authorize.authorize(call)
            if call.replay.kept is None:
                self.exchange.keep_fields(call)
            call.step("durable")
            if not call.request.control:  # nothing is decided, and nothing is called
                await self.durable.wait()
            if call.replay.kept is not None:
                call.replay.given = True
                await reply.again(call.replay.kept, REPLAYED)
                return
            call.step("upstream")
            await self.exchange.forward(call, reply)
        except Refusal as refusal:
            await self.exchange.refuse(call, refusal, reply)
        except StoreUnavailable as fault:
            _log.error("state store: %s", fault)
            release(fault)
            words = "The state store does not answer; try again later."
            await self.exchange.refuse(call, Refusal("state_unavailable", words), reply)
        except Spent as fault:
            release(fault)
            await self.exchange.refuse(call, spent(call), reply)
        except (Disconnected, asyncio.CancelledError) as fault:
            release(fault)
            reply.abandon()
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as fault:  # also what an extension raises that is no Exception
            _log.error("call %s failed in %s: %s", call.id, call.stage, trace(fault))
            release(fault)
            self.failures(call.stage)
            words = f"The gateway failed to serve this call; its id is {call.id}."
            await self.exchange.refuse(call, Refusal("overloaded", words), reply)
        finally:
            call.step("settle")
            reply.ending = True
            if not reply.passed:
                await self.settle.end(call, reply.status)

    async def identify(self, call: Call) -> None:
        """Who calls, and whether that team has room for one call more. Raises Refusal."""
        try:
            call.key = credential(call.headers)
            audiences = self.desks.mcp.audiences(call) if call.codec.name == "mcp" else ()
            call.subject = self.identity.lookup(call.key, audiences) or await self.identity.bearer(call.key, audiences)
        except Refusal as refusal:
            often = call.ticket.stranger() if refusal.code == "unauthenticated" else None
            call.throttled = often is not None
            raise often or refusal from None
        call.ticket.claim(call.subject.team)
