"""Tools that a policy took out of a request stay out of the workflow's later requests, whatever later bundles say.

A list of tools that changes between two turns of a conversation breaks prompt caches, and signed blocks that are bound
to it. Labels, data and bundles change while a workflow lives; what it was denied once is not offered again.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.call import NO_OBLIGATIONS, Call, Obligations
from gateway.dialects.toolnames import normal
from gateway.stores import Workflows


def obligations(call: Call) -> Obligations:
    """What the policy demands of a call, with the tools that were taken out of the workflow's requests before."""
    demanded = call.authorization.decision.obligations if call.authorization.decision is not None else NO_OBLIGATIONS
    if missing := [tool for tool in _before(call) if tool not in demanded.strip_tools]:
        return replace(demanded, strip_tools=(*demanded.strip_tools, *missing))
    return demanded


async def remember(call: Call, stripped: tuple[str, ...], workflows: Workflows) -> None:
    """Put the offered tools that were taken out on record. Raises StoreUnavailable."""
    if call.subject is None or not call.request.tools:
        return
    forms = {normal(tool) for tool in stripped}
    before = _before(call)
    gone = [tool for tool in call.request.tools if tool not in before and (tool in stripped or normal(tool) in forms)]
    if gone:
        await workflows.strip(call.subject.team, call.request.correlation_id, gone)


def _before(call: Call) -> tuple[str, ...]:
    return call.admission.reservation.stripped if call.admission.reservation is not None else ()
