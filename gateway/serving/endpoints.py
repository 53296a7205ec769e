"""The data plane: the endpoints of the paths in `dialects.routes`. All other paths belong to the control plane."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Protocol

import orjson

from gateway import ids
from gateway.budget import Budget
from gateway.call import Call, Resource
from gateway.dialects import Codec, model_lists
from gateway.dialects.routes import METHODS, MODEL, MODELS, ROUTES
from gateway.errors import Refusal
from gateway.ingress import request, served
from gateway.serving.router import Match
from gateway.serving.runtime import Runtime, Shared
from gateway.serving.shares import UNCOUNTED, Ticket, place

Endpoint = Callable[[Match[Any], Any, Any, Any], Awaitable[None]]
"""(match, scope, receive, send) -> served."""
_log = logging.getLogger("meshgate")


class Gateway(Protocol):
    """What endpoints read once per call: the current runtime, and the objects that outlive reloads."""

    runtime: Runtime
    shared: Shared


def endpoints(gateway: Gateway) -> Iterator[tuple[str, Endpoint]]:
    """Every path template of the data plane with its endpoint."""
    for path, codec in ROUTES.items():
        yield path, partial(_call, gateway, codec)
    yield MODELS, partial(_models, gateway)
    yield MODEL, partial(_models, gateway)


async def _call(gateway: Gateway, codec: Codec, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve one call."""
    runtime = gateway.runtime
    call = _arrived(gateway, match, codec, scope)
    reply = runtime.replies.to(call, send)
    try:
        call.ticket = _ticket(gateway, match, scope)
    except Refusal as refusal:
        await reply.refuse(refusal)
        return
    task = asyncio.current_task()
    assert task is not None

    def gone() -> None:
        if not reply.ending:
            task.cancel()

    unwatch = request.on_disconnect(scope, receive, gone)
    try:
        await runtime.line.serve(call, receive, reply)
    finally:
        call.ticket.close()
        unwatch()


def _arrived(gateway: Gateway, match: Match[Any], codec: Codec, scope: Any) -> Call:
    """A new call, of which nothing has been read yet."""
    work = Budget(gateway.runtime.config.server.scan_budget)
    began, lanes = time.perf_counter_ns(), gateway.shared.lanes
    resource = Resource("llm")
    return Call(ids.uuid7(), match.template, resource, codec, scope["headers"], began, work, lanes, UNCOUNTED)


def _ticket(gateway: Gateway, match: Match[Any], scope: Any) -> Ticket:
    """The ticket of a call: its share of the gateway. Raises Refusal(overloaded, invalid_request)."""
    if scope["method"] != "POST" and match.template in ROUTES:
        raise _wrong_method(match.template)
    known = (scope.get("extensions") or {}).get("meshgate.known")
    return gateway.shared.shares.enter(gateway.runtime.config.server, place(scope.get("client")), known)


async def _models(gateway: Gateway, match: Match[Any], scope: Any, _: Any, send: Any) -> None:
    """`GET /v1/models`: the models that the caller may use. `GET /v1/models/{model}`: one of them."""
    runtime = gateway.runtime
    form = model_lists.form(scope["headers"])
    call = _arrived(gateway, match, form.codec, scope)
    reply = runtime.replies.to(call, send)
    try:
        asked = match.values.get("model", "")
        if scope["method"] not in ("GET", "HEAD"):
            if ":" in asked:  # `/v1/models/{model}:generateContent`
                raise Refusal("invalid_request", served.nothing_at(scope["path"]), status=404)
            raise _wrong_method(match.template)
        call.ticket = _ticket(gateway, match, scope)
        await runtime.line.identify(call)
        call.request.correlation_id = runtime.correlation.of(call, needed=False)
        if not asked:
            await reply.whole(200, orjson.dumps(form.all(await runtime.models.visible(call))))
        elif await runtime.models.may_ask_for(call, asked):
            await reply.whole(200, orjson.dumps(form.one(asked)))
        else:
            words = f"This model does not exist, or you may not use it. GET {MODELS} lists your models."
            raise Refusal("model_not_found", words, param="model")
    except Refusal as refusal:
        if call.subject is None and refusal.code in ("unauthenticated", "rate_limited"):
            gateway.shared.telemetry.stranger()
        await reply.refuse(refusal)
    except Exception:
        _log.exception("the list of models failed")
        await reply.refuse(Refusal("overloaded", "The list of models is not available. Try again later."))
    finally:
        call.ticket.close()


def _wrong_method(template: str) -> Refusal:
    methods = METHODS[template]
    words = f"{template} takes {methods.partition(',')[0]}."
    return Refusal("invalid_request", words, status=405, headers=((b"allow", methods.encode()),))


async def empty(send: Any, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    """Send an answer without a body."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
