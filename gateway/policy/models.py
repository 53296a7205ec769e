"""Which models a caller may use: those for which the policy would allow a plain call."""

from __future__ import annotations

from dataclasses import replace

from gateway.call import Call, Resource, Span
from gateway.errors import Refusal
from gateway.policy.authorize import Authorizer


async def visible(call: Call) -> list[str]:
    """The names of the models that the caller of an identified call may ask for, in the order of the file.

    A pattern is no name that can be asked for, and is left out.
    The policy is asked for each of them as for a call without texts and tools. Engines remember such verdicts.
    """
    runtime = call.runtime
    names = [name for name in runtime.config.models if "*" not in name]
    authorizer = runtime.authorizer
    if authorizer is None:
        return names
    return [name for name in names if await _may(call, authorizer, name)]


async def may_ask_for(call: Call, name: str) -> bool:
    """Whether the caller of an identified call may ask for a model, which may be one that a pattern fits."""
    runtime = call.runtime
    try:
        runtime.forward.model(name)
    except Refusal:
        return False
    return runtime.authorizer is None or await _may(call, runtime.authorizer, name)


def find(call: Call) -> None:
    """Write `call.label` of a call to a model. Raises Refusal(model_not_found)."""
    if call.resource.kind == "llm":
        forward, name = call.runtime.forward, call.resource.name
        forward.model(name)
        call.label = forward.label(name)


def check_name(call: Call) -> None:
    """A name that a pattern fits goes out as the caller wrote it. Raises Refusal(model_not_found) for one with a value.

    A value is what a scanner finds, also in what looks like a term: an own secret, a recognizer of the operator.
    """
    if call.label == call.resource.name:
        return
    span = Span(call.body, "model", call.resource.name, "", None)
    if call.runtime.texts.survey([span], call.team)[1]:
        raise Refusal(
            "model_not_found",
            "The name of the model holds a value that may not leave. GET /v1/models lists the models that there are.",
            param="model",
        )


async def _may(call: Call, authorizer: Authorizer, name: str) -> bool:
    asked = replace(call, resource=Resource("llm", name), document=None, targets=call.runtime.forward.targets(name))
    try:
        await authorizer.authorize(asked)
    except Refusal as refusal:
        return refusal.code == "approval_required"
    return True
