"""Fields of a request other than `model` that name models or servers: fallbacks, deployments, engines, presets.

Policy, price and quota are those of one model. A server that reads another model from the request (OpenRouter's
`models`, LiteLLM's `fallbacks`, `model` in settings or in a tool) would use a model that was neither judged nor priced.
A field counts by the words of its name, at any depth. Fields that name the model of the call follow it: if the model
is served under another name, they get that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from gateway.bodies import Json
from gateway.budget import once
from gateway.errors import Refusal

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SINGULAR: Final = {"models": "model", "fallbacks": "fallback", "deployments": "deployment", "engines": "engine"}
_NAMING: Final = frozenset({"model", "fallback", "deployment"})
# Words beside these: a name of other words (`model_kwargs`, `car_model`) is a field with content of its own.
_BESIDE: Final = frozenset(
    {"id", "ids", "name", "names", "list", "group", "groups", "alias", "aliases", "dict", "map", "override"}
    | {"overrides", "default", "backup", "alternate", "alternative", "secondary", "primary", "target", "base", "draft"}
    | {"speculative", "candidate", "preferred", "allowed", "upstream", "real", "use", "judge", "llm", "provider"}
    | {"azure", "context", "window", "content", "policy"}
)
_ALONE: Final = frozenset({"preset"})  # a name for a model, a prompt and settings that the provider keeps
_SERVERS: Final = frozenset({"apibase", "baseurl", "customllmprovider"})
# Top-level fields with content of the caller, and those of the dialects that name no model.
_CONTENT: Final = frozenset(
    {"messages", "system", "functions", "metadata", "response_format", "output_format", "logit_bias", "tool_choice"}
    | {"function_call", "prediction", "documents", "moderation", "input", "stop", "stop_sequences", "model"}
)
_ORDINARY: Final = _CONTENT | frozenset(
    {"stream", "stream_options", "temperature", "top_p", "top_k", "user", "seed", "n", "max_tokens", "tools"}
    | {"max_completion_tokens", "parallel_tool_calls", "presence_penalty", "frequency_penalty", "store"}
    | {"reasoning_effort", "verbosity", "service_tier", "logprobs", "top_logprobs", "modalities", "thinking"}
)
_OWN: Final = frozenset({"function", "custom"})  # types of tools that the caller runs, whose parameters are theirs
_SCHEMAS: Final = frozenset({"input_schema", "input_examples", "headers", "messages"})
_DEFINED: Final = frozenset({*_SCHEMAS, *_OWN, "parameters", "type", "name", "description", "strict"})
_GROUP: Final = frozenset({"type", "name", "description", "tools"})  # of a namespace: its tools are tools again
_SKIPPED: Final = frozenset({"embedding_dependency"})  # Azure's data sources: the model that embedded the data
_Place = tuple[Any, Any, str]  # holder, key or index, the field


def check(body: Json) -> None:
    """Raise Refusal(invalid_request) if a field names a model other than `model`, or a server."""
    model = body.get("model")
    for holder, key, field in _places(body):
        if _plain(field) in _SERVERS:
            raise _refusal(field, "names a server, and only the operator chooses servers")
        if holder[key] != model:
            raise _refusal(field, "names another model than `model`, and a call is judged and priced as one model")


def rename(body: Json, model: str) -> None:
    """Replace the model of the call by `model`, the name under which it is served, in every field that names it."""
    if body["model"] != model:
        for holder, key, _ in list(_places(body)):
            holder[key] = model


def _refusal(field: str, problem: str) -> Refusal:
    return Refusal(
        "invalid_request",
        f"`{field[:64]}` {problem}. "
        "Leave the field out; where calls go when a provider fails is the operator's (models.*.targets).",
        param=field[:64],
    )


def _plain(key: str) -> str:
    return key[:32].lower().replace("_", "").replace("-", "")


@once
def _names_one(key: str, where: str) -> bool:
    """Whether a field has the name of one that names models; `where`: at the "top", in a "tool", or "below" a field.

    An engine, a deployment or a preset below the top may be that of a search, a service or a voice.
    """
    words = [_SINGULAR.get(word, word) for word in map(str.lower, _WORDS.findall(key[:64]))]
    naming = {"model", "fallback"} & {*words}
    if where == "top":
        if _plain(key) in _ALONE or (len(words) == 1 and _plain(key).removesuffix("s") in ("modelid", "modelname")):
            return True
        naming |= {"deployment"} & {*words}
        if {*words} <= {"engine", "id"} and "engine" in words:
            return True
    return bool(naming) and ({*words} <= _NAMING | _BESIDE or (where != "below" and words[-1] in ("model", "fallback")))


def _places(body: Json) -> Iterator[_Place]:
    """Every place that names a model or a server, except `model` itself."""
    holder: Any = body
    while type(holder) is dict:  # wrappers in wrappers
        skipped = _ORDINARY if holder is body else _CONTENT - {"model"} | {"tools"}
        for field in holder.keys() - skipped - {"extra_body"}:
            yield from _field(holder, field, "plugins" if field == "plugins" else "")
        for tool in _tools(holder):
            kind = tool.get("type")
            defined = kind is None or (type(kind) is str and kind in _OWN)
            for key in tool.keys() - (_DEFINED if defined else _GROUP if kind == "namespace" else _SCHEMAS):
                yield from _field(tool, key, "tools")
        holder = holder.get("extra_body")


def _tools(holder: Json) -> Iterator[Json]:
    """Every offered tool, also those in namespaces, which clients send for a group of their tools."""
    waiting = [holder]
    while waiting:
        tools = waiting.pop().get("tools")
        for tool in tools if type(tools) is list else ():
            if type(tool) is dict:
                yield tool
                if tool.get("type") == "namespace":
                    waiting.append(tool)


def _field(holder: Json, key: str, within: str) -> Iterator[_Place]:
    """The places in one field, and in the fields below it; `within`: the field of tools that contains it, if any."""
    waiting: list[tuple[Json, str, str]] = [(holder, key, "tool" if within == "tools" else "top")]
    while waiting:
        node, name, where = waiting.pop()
        value = node[name]
        if name in _SKIPPED:
            continue
        skipped = _SCHEMAS
        if _names_one(name, where):
            yield from _named(node, name, within or name)
            skipped = _SCHEMAS | {"model"}
        elif not within and type(value) is str and value and _plain(name) in _SERVERS:
            yield node, name, name
        below = "tool" if within else "below"
        waiting += [(inner, one, below) for inner in _objects(value) for one in inner.keys() - skipped]


def _objects(value: Any) -> Iterator[Json]:
    """An object, or the objects in a list of any depth."""
    if type(value) is dict:
        yield value
    elif type(value) is list:
        for inner in value:
            if type(inner) is dict or type(inner) is list:
                yield from _objects(inner)


def _named(holder: Any, key: Any, field: str) -> Iterator[_Place]:
    """Every name in a field that names models: of an object its `model`, or else all strings."""
    value = holder[key]
    if type(value) is list:
        for at in range(len(value)):
            yield from _named(value, at, field)
    elif type(value) is dict:
        for inner in ["model"] if type(value.get("model")) is str else list(value):
            yield from _named(value, inner, field)
    elif type(value) is str and value:
        yield holder, key, field
