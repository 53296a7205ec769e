"""Tools that a policy took out of a request stay out of the workflow's later requests, even under other bundles.

A list of tools that changes between two turns of a conversation breaks prompt caches and signed blocks, which depend on
the list. Labels, data and bundles change during a workflow, but a tool that was taken out is not offered again.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.call import NO_OBLIGATIONS, Call, Obligations
from gateway.dialects.toolnames import normal
from gateway.stores import Workflows


def obligations(call: Call) -> Obligations:
    """The obligations of a call, with the tools that were taken out of the workflow's earlier requests."""
    demanded = call.authorization.decision.obligations if call.authorization.decision is not None else NO_OBLIGATIONS
    before = _before(call)
    if before and (missing := [tool for tool in before if tool not in demanded.strip_tools]):
        return replace(demanded, strip_tools=(*demanded.strip_tools, *missing))
    return demanded


async def remember(call: Call, stripped: tuple[str, ...], workflows: Workflows) -> None:
    """Record which of the offered tools were taken out. Raises StoreUnavailable."""
    if call.subject is None or not call.request.tools:
        return
    forms = {normal(tool) for tool in stripped}
    before = _before(call)
    gone = [tool for tool in call.request.tools if tool not in before and (tool in stripped or normal(tool) in forms)]
    if gone:
        await workflows.strip(call.subject.team, call.request.correlation_id, gone)


def _before(call: Call) -> tuple[str, ...]:
    return call.admission.reservation.stripped if call.admission.reservation is not None else ()
