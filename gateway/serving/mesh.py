"""The paths of the registry of agents: `GET /mesh/agents`, and `GET`, `PUT`, `DELETE` of `/mesh/agents/{name}`."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from pydantic import ValidationError

from gateway.agents.offers import Registration
from gateway.agents.registry import Asked
from gateway.call import Call, Json
from gateway.control.mistakes import described
from gateway.errors import Refusal
from gateway.ingress.request import read_body
from gateway.ingress.wire import Receive
from gateway.serving.runtime import Runtime, Shared

_MOST_BODY: Final = 65_536  # bytes
_WORDS: Final = 20  # of a search
_ASKED: Final = frozenset({"function", "q", "input"})


async def registry(
    runtime: Runtime, shared: Shared, call: Call, method: str, name: str, query: bytes, receive: Receive
) -> Json:
    """Serve the request of an identified call; returns the answer. `name`: "" for all agents.

    Raises Refusal, StoreUnavailable, Disconnected.
    """
    call.request.correlation_id = runtime.correlation.of(call)
    await runtime.line.reserve.greet(call)
    if method == "PUT":
        said = await _said(runtime, call, receive)
        if said is not None and said.name not in (None, name):
            raise Refusal("invalid_request", "`name` must be the name in the path, or be left out.", param="name")
        entry, fresh = await runtime.registry.put(call, name, said)
        if fresh:
            await _record(runtime, shared, call, "registered", name)
        return entry
    if method == "DELETE":
        await runtime.registry.delete(call, name)
        await _record(runtime, shared, call, "unregistered", name)
        return {"name": name, "deleted": True}
    if name:
        return await runtime.registry.one(call, name)
    return {"agents": await runtime.registry.find(call, _asked(query))}


async def _said(runtime: Runtime, call: Call, receive: Receive) -> Registration | None:
    """The body of a registration; None without a body."""
    body = await read_body(receive, call.headers, _MOST_BODY, call.ticket.hold)
    if not body.strip():
        return None
    if runtime.own.holds(body) or (call.key and call.key in body):
        raise Refusal("invalid_request", "The body holds a secret of the gateway's own, or the key of the call.")
    try:
        said = orjson.loads(body)
        if type(said) is not dict:
            raise ValueError
    except ValueError:
        raise Refusal("invalid_request", "The body must be a JSON object: an offer, or nothing to renew one.") from None
    try:
        return Registration.model_validate(said)
    except ValidationError as error:
        raise Refusal("invalid_request", described(error.errors())) from None


def _asked(query: bytes) -> Asked:
    """What a search asks for. Raises Refusal(invalid_request)."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=10)
    except ValueError:
        raise Refusal("invalid_request", "The query must be percent-encoded UTF-8.", param="query") from None
    asked = dict(pairs)
    if len(asked) != len(pairs) or not asked.keys() <= _ASKED:
        words = f"The query has {', '.join(sorted(_ASKED))}, each at most once."
        raise Refusal("invalid_request", words, param="query")
    words_ = tuple(asked.get("q", "").casefold().split())
    if len(words_) > _WORDS:
        raise Refusal("invalid_request", f"`q` may have at most {_WORDS} words.", param="q")
    if "input" not in asked:
        return Asked(asked.get("function", ""), words_)
    try:
        given = orjson.loads(asked["input"])
        if type(given) is not dict:
            raise ValueError
    except ValueError:
        raise Refusal("invalid_request", "`input` must be a JSON object.", param="input") from None
    return Asked(asked.get("function", ""), words_, given)


async def _record(runtime: Runtime, shared: Shared, call: Call, action: str, name: str) -> None:
    """Record a change, on disk and in the log."""
    assert call.subject is not None, "the caller is identified first"
    details: dict[str, Any] = {"name": name, "id": call.id}
    runtime.audit.acted(f"agent {call.subject.acting}", action, call.team, "", details)
    await runtime.audit.durable()
    shared.telemetry.say({"level": "info", "event": action, "team": call.team, **details})
