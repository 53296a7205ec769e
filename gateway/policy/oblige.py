"""What a decision demands of a call: tools are taken out, ceilings lowered, the call routed, more is redacted.

A demand that cannot be met ends the call (policy_unavailable).
"""

from __future__ import annotations

import asyncio

from gateway.call import NO_OBLIGATIONS, Call, Obligations
from gateway.errors import Refusal
from gateway.policy import flow, stripped
from gateway.reserve import reserve


async def authorize(call: Call) -> None:
    """The policy's verdict, and what it obliges us to."""
    if call.runtime.authorizer is None:
        return
    try:
        await flow.judge(call)
    finally:
        if call.decision is not None:  # a denial is on record as well
            decided(call)
    if call.kept is None and call.decision is not None and (duties := stripped.obligations(call)) != NO_OBLIGATIONS:
        judged = call.decision
        await oblige(call, duties)
        try:
            await flow.confirm(call)
        finally:
            if call.decision is not judged:
                call.runtime.audit.decided(call)


def decided(call: Call) -> None:
    """The decision goes on record, and to a candidate bundle if there is one."""
    call.runtime.audit.decided(call)
    if call.runtime.candidate is not None:
        call.runtime.candidate.offer(call)


async def oblige(call: Call, duties: Obligations) -> None:
    """Change the call as the policy demands; a demand that cannot be met ends it."""
    runtime = call.runtime
    if duties.strip_tools:
        call.edited |= call.format.strip_tools(call.body, frozenset(duties.strip_tools))
        await stripped.remember(call, duties.strip_tools)
    if duties.sql is not None:
        await asyncio.to_thread(runtime.sql_gate.load)
    if duties.limit:
        call.edited |= call.format.limit(call.body, duties.limit)
    if duties.route:
        call.targets = runtime.forward.targets(duties.route, call.format)
        call.served_as = duties.route
        call.edited = True
    if runtime.redactor is not None and (duties.redact or duties.no_restore or duties.route):
        await runtime.redactor.enforce(call, duties)
    elif duties.redact:
        raise Refusal(
            "policy_unavailable",
            "The policy demands that personal data be taken out, and this gateway does not look for any (pii: null). "
            "Ask the operator to switch it on.",
        )
    if duties.route or duties.attributes:
        await reserve.rest(call, duties)
