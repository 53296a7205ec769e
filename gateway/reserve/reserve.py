"""Reserves the rate limits and quotas of a call in one atomic step of the store, or nothing.

Config keys: `limits`, `quotas`, `loops`. Refuses with rate_limited, quota_exceeded, quota_busy, workflow_frozen,
hop_limit and loop_detected. Writes `call.reservation`, and `call.rest` for what a policy adds. Fails closed: if the
store does not answer, the call is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.call import NO_REPEATS, Call, Debit, Look, Obligations, Rejection, Resource, Step, Subject
from gateway.config import tiers
from gateway.config.grammar import Model
from gateway.limits import quota
from gateway.limits.loops import shown
from gateway.scheduling.judging import judge
from gateway.stores.admit import admit

LAPSE_MARGIN = 60  # seconds after the time limit of the upstream at which an unsettled reservation counts as lost


async def reserve(call: Call) -> None:
    """Rate limits and quotas, all or none, in one atomic step."""
    runtime, subject = call.runtime, call.subject
    assert subject is not None
    kind, name, _ = call.resource
    if kind == "llm":
        call.targets = runtime.forward.targets(name, call.format)
    if call.kept is not None:
        await look(call, subject)
        return
    model, ceiling = priced(call, name)
    estimate = call.input_tokens + ceiling
    quotas = runtime.quotas.debits(model, call.input_tokens, ceiling, call.tier)
    limits = runtime.limits.debits(
        subject,
        _model_name(call.resource),
        call.providers(),
        estimate,
        tool=name if kind == "tool" else "",
        stream=call.stream,
    )
    keeps = runtime.authorizer is not None and runtime.authorizer.keeps_history
    steps: Sequence[Step] = ()
    if keeps or runtime.loops.reads:
        large = len(call.raw) > runtime.LARGE
        told = await judge(call, True, conversation, call, subject) if large else conversation(call, subject)
        steps, call.repeats = told
    call.debits = (*limits, *quotas, *call.repeats.debits)
    chained = runtime.loops.follows or runtime.authorizer is not None
    # A policy may yet route it to another model, whose targets may take longer.
    forward = runtime.forward
    longest = forward.most_patience if runtime.authorizer else forward.patience(call.targets)
    names = (call.id, subject.team, call.correlation_id, subject.agent)
    tools = shown(steps) if keeps else ()
    lapse = longest + LAPSE_MARGIN
    ask = runtime.quotas.ask(*names, call.debits, lapse=lapse, chained=chained, history=keeps, tools=tools)
    answer = await admit(runtime.store, ask, runtime.config.quotas.wait)
    if isinstance(answer, Rejection):
        call.rejection = answer
        raise quota.refusal(answer, ask, call.input_tokens)
    if not ask.bare:  # one that takes nothing only learned that its workflow is open
        call.reservation = answer
    call.chain, call.history = answer.chain, answer.history
    runtime.loops.follow(answer.chain, answer.path)


def priced(call: Call, name: str) -> tuple[Model | None, int]:
    """The model that a call is served by, and the output tokens that its answers may take.

    None and 0 for a kind of call that has neither. Raises Refusal(invalid_request) for a service tier without a price.
    """
    if call.resource.kind != "llm":
        return None, 0
    model = call.runtime.forward.model(name)
    tiers.check(model, call.tier)
    return model, call.most(model.max_output)


def _model_name(resource: Resource) -> str:
    return resource.name if resource.kind == "llm" else ""


async def look(call: Call, subject: Subject) -> None:
    """Whether the workflow takes calls, for one that is answered already: it takes nothing and counts nowhere."""
    names = (call.id, subject.team, call.correlation_id, subject.agent)
    authorizer = call.runtime.authorizer
    history = authorizer is not None and authorizer.keeps_history
    ask = call.runtime.quotas.ask(*names, (), lapse=0, look=True, history=history)
    answer = await call.runtime.store.reserve(ask)
    if isinstance(answer, Rejection):
        call.rejection = answer
        raise quota.refusal(answer, ask)
    call.chain, call.history = answer.chain, answer.history


def conversation(call: Call, subject: Subject) -> tuple[Sequence[Step], Look]:
    """What has happened in the conversation, and what of it the request does again that was done before."""
    steps = call.format.steps(call.body)
    loops = call.runtime.loops
    if not loops.reads:
        return steps, NO_REPEATS
    workflow = (subject.team, call.correlation_id)
    return steps, loops.look(workflow, subject.agent, steps, bool(call.tools))


async def rest(call: Call, duties: Obligations) -> None:
    """What the policy's words cost: more at the model that it routes to, limits on attributes. All or none, again."""
    runtime, subject, first = call.runtime, call.subject, call.reservation
    assert subject is not None
    assert first is not None, "a call that a policy judges has been reserved: its chain must be known"
    model, ceiling = priced(call, call.served_as or call.resource.name)
    quotas: Sequence[Debit] = ()
    if duties.route:
        quotas = runtime.quotas.rest(call.debits, model, call.input_tokens, ceiling, call.tier)
    names = (subject, _model_name(call.resource), call.providers())
    estimate = call.input_tokens + ceiling
    limits = runtime.limits.debits(*names, estimate, stream=call.stream, attributes=duties.attributes)
    call.late = (*limits, *quotas)
    if call.late:
        ask = first.ask._replace(id=f"{call.id}-rest", debits=call.late, history=False, tools=())
        answer = await admit(runtime.store, ask, runtime.config.quotas.wait)
        if isinstance(answer, Rejection):
            call.rejection = answer
            raise quota.refusal(answer, ask, call.input_tokens)
        call.rest = answer
