"""Fields of a chat request other than `model` that name models: fallbacks, deployments, engines.

Policy, price and quota are those of one model. A server that reads another model from the request (OpenRouter's
`models`, LiteLLM's `fallbacks`, the name of a deployment) would use a model that was neither judged nor priced.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway.call import Json
from gateway.errors import Refusal

_FIELDS: Final = frozenset(
    {"models", "fallbacks", "fallback", "fallbackmodels", "fallbackmodel", "modelfallbacks", "contextwindowfallbacks"}
    | {"contentpolicyfallbacks", "engine", "engineid", "deployment", "deploymentid", "azuredeployment", "modelid"}
    | {"modelname", "modelgroup", "modellist", "alternatemodels", "candidatemodels"}
)


def check(body: Json) -> None:
    """Raise Refusal(invalid_request) if a field names a model other than `model`."""
    model = body.get("model")
    holder: Any = body
    while type(holder) is dict:  # wrappers in wrappers
        for key, value in holder.items():
            names_one = _plain(key) in _FIELDS or (holder is not body and key == "model")
            if value and names_one and any(name != model for name in _names(value)):
                raise _refusal(key)
        tools = holder.get("tools")
        for tool in tools if type(tools) is list else ():  # a tool that asks another model (an advisor)
            if type(tool) is dict and tool.get("model", model) != model:
                raise _refusal("tools")
        holder = holder.get("extra_body")


def _refusal(key: str) -> Refusal:
    return Refusal(
        "invalid_request",
        f"`{key[:64]}` names another model than `model`, and a call is judged and priced as one model. "
        "Leave the field out; where calls go when a provider fails is the operator's (models.*.targets).",
        param=key[:64],
    )


def _plain(key: str) -> str:
    return key[:32].lower().replace("_", "").replace("-", "")


def _names(value: Any) -> Iterator[object]:
    """Every model that a value names; a value that is not a name counts as an unknown model."""
    if type(value) is list:
        for one in value:
            yield from _names(one)
    elif type(value) is dict:
        inner = value.get("model")
        yield from _names(inner) if inner is not None else (value,)
    else:
        yield value
