"""The data plane: the endpoints of the paths in `dialects.routes`. All other paths belong to the control plane."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import orjson

from gateway.call import Reference, Resource
from gateway.dialects import Codec, model_lists
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_realtime import OPENAI_REALTIME
from gateway.dialects.routes import (
    AGENTS,
    AZURE,
    AZURE_REFERENCES,
    CARDS,
    DELEGATIONS,
    GOOGLE_LISTS,
    HTTP_TOOLS,
    LISTED,
    LISTS,
    MODELS,
    NOTICES,
    PROTECTED,
    REALTIME,
    REFERENCES,
    REGISTRY,
    RESTS,
    ROUTES,
    TOOLS,
    UPLOADS,
    VERSIONED_LISTS,
)
from gateway.errors import Refusal
from gateway.exchange.uploads import final
from gateway.ingress import references, served
from gateway.ingress.wire import Exchange
from gateway.serving.arrivals import (
    Gateway,
    arrived,
    exchange_of,
    origin_of,
    replying,
    serve,
    spoken,
    through,
    ticket_of,
    wrong_method,
)
from gateway.serving.delegate import delegate
from gateway.serving.mesh import registry
from gateway.serving.router import Match
from gateway.serving.targets import agent, card, notification, plain_tool, protected, tool

Endpoint = Callable[[Match[Any], Any, Any, Any], Awaitable[None]]
"""(match, scope, receive, send) -> served."""
_NO_IDS: Final = frozenset({"compact", "input_tokens"})  # paths of calls, not of responses


def endpoints(gateway: Gateway) -> Iterator[tuple[str, Endpoint]]:
    """Every path template of the data plane with its endpoint."""
    for path, codec in [*ROUTES.items(), *AZURE.items()]:
        yield path, partial(_call, gateway, codec, path)
    for path in LISTED.keys() - ROUTES.keys():
        yield path, partial(_listing, gateway, path)
    for path in UPLOADS:
        yield path, partial(_upload, gateway, path)
    for path, codecs in [*REFERENCES.items(), *AZURE_REFERENCES.items()]:
        yield path, partial(_about, gateway, codecs, path)
    for path in TOOLS:
        yield path, partial(tool, gateway, path)
    for path in AGENTS:
        yield path, partial(agent, gateway, path)
    for path in RESTS:
        yield path, partial(agent, gateway, path)
    yield NOTICES, partial(notification, gateway)
    for path in CARDS:
        yield path, partial(card, gateway)
    for path in PROTECTED:
        yield path, partial(protected, gateway)
    for path in HTTP_TOOLS:
        yield path, partial(plain_tool, gateway, path)
    for path in LISTS:
        yield path, partial(_models, gateway)
    for path in REALTIME:
        yield path, partial(_realtime, gateway, path)
    yield DELEGATIONS, partial(_answered, gateway, "POST")
    yield REGISTRY[0], partial(_answered, gateway, "GET HEAD")
    yield REGISTRY[1], partial(_answered, gateway, "GET HEAD PUT DELETE")


def calls(gateway: Gateway) -> dict[str, Callable[..., Awaitable[None]]]:
    """What serves a call (`serve`), by path template, for a server that hands over exchanges, not ASGI's scopes."""
    return {path: partial(serve, gateway, codec, path) for path, codec in ROUTES.items()}


async def _call(
    gateway: Gateway, codec: Codec, path: str, match: Match[Any], scope: Any, receive: Any, send: Any
) -> None:
    """Serve one call of an ASGI server."""
    exchange = exchange_of(scope, receive, send)
    if scope["method"] == "POST":
        await serve(gateway, codec, path, exchange, match.values, scope["query_string"])
    elif scope["method"] == "GET" and path in LISTED:
        await _list(gateway, path, exchange, scope.get("query_string", b""))
    else:
        reply = gateway.runtime.replies.to(arrived(gateway, path, codec, exchange), exchange.put)
        await reply.refuse(wrong_method(path, scope["headers"]))


async def _about(
    gateway: Gateway, codecs: Mapping[str, Codec], path: str, match: Match[Any], scope: Any, receive: Any, send: Any
) -> None:
    """Serve one call about a state that a provider stores."""
    exchange, method = exchange_of(scope, receive, send), scope["method"]
    codecs = {name: spoken(path, codec, exchange.headers) for name, codec in codecs.items()}
    call = arrived(gateway, path, codecs.get(method) or next(iter(codecs.values())), exchange)
    try:
        if match.values["id"] in _NO_IDS:
            raise Refusal("invalid_request", served.nothing_at(scope["path"]), status=404)
        if method not in codecs:
            raise wrong_method(path, scope["headers"])
        below, asked = path.partition("{id}")[2], scope.get("query_string", b"")
        call.reference = references.read(codecs[method].stores, match.values, method, below, asked)
    except Refusal as refusal:
        await gateway.runtime.replies.to(call, exchange.put).refuse(refusal)
        return
    await through(gateway, call, exchange)


async def _list(gateway: Gateway, path: str, exchange: Exchange, asked: bytes) -> None:
    """Serve one call for a list of what a provider stores."""
    anthropic = model_lists.is_anthropic(exchange.headers)
    if not anthropic and path in GOOGLE_LISTS and model_lists.is_google(exchange.headers):
        path = GOOGLE_LISTS[path]
    versioned = VERSIONED_LISTS.get(path) if anthropic else None
    codec = versioned or LISTED[path]
    call = arrived(gateway, path, codec, exchange)
    try:
        call.reference = Reference("", "GET", page=references.page(codec.paging, asked))
    except Refusal as refusal:
        await gateway.runtime.replies.to(call, exchange.put).refuse(refusal)
        return
    await through(gateway, call, exchange)


async def _listing(gateway: Gateway, path: str, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve one call to a path that has a list and nothing else."""
    del match
    exchange = exchange_of(scope, receive, send)
    if scope["method"] == "GET":
        await _list(gateway, path, exchange, scope.get("query_string", b""))
        return
    reply = gateway.runtime.replies.to(arrived(gateway, path, LISTED[path], exchange), exchange.put)
    await reply.refuse(wrong_method(path, scope["headers"]))


async def _upload(gateway: Gateway, path: str, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve one call of an upload: its beginning, or one with bytes of the file."""
    exchange = exchange_of(scope, receive, send)
    call = arrived(gateway, path, UPLOADS[path], exchange)
    uploads, server = gateway.runtime.line.ingress.owners.uploads, gateway.runtime.config.server
    try:
        if scope["method"] != "POST":
            raise wrong_method(path, scope["headers"])
        if "upload" in match.values:
            uploads.resume(call, match.values["upload"])
        else:
            uploads.begin(call, server.public_url.rstrip("/") or origin_of(scope, exchange))
    except Refusal as refusal:
        final(refusal)
        await gateway.runtime.replies.to(call, exchange.put).refuse(refusal)
        return
    await through(gateway, call, exchange)


async def _realtime(gateway: Gateway, path: str, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Refuse a request that is no WebSocket."""
    del match
    exchange = exchange_of(scope, receive, send)
    reply = gateway.runtime.replies.to(arrived(gateway, path, OPENAI_REALTIME, exchange), exchange.put)
    served = gateway.runtime.config.server.websockets
    words = "" if served else " The operator may set server.websockets: true."
    refusal = Refusal("invalid_request", f"{path} is served over WebSocket only.{words}", status=426)
    refusal.headers = ((b"upgrade", b"websocket"),)
    await reply.refuse(refusal)


async def _models(gateway: Gateway, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """`GET /v1/models`: the models that the caller may use. `GET /v1/models/{model}`: one of them."""
    runtime = gateway.runtime
    form = model_lists.form(scope["headers"])
    exchange = exchange_of(scope, receive, send)
    call = arrived(gateway, match.template, form.codec, exchange)
    reply = runtime.replies.to(call, exchange.put)
    async with replying(gateway, call, reply, "the list of models"):
        asked = match.values.get("model", "")
        if scope["method"] not in ("GET", "HEAD"):
            if ":" in asked:  # `/v1/models/{model}:generateContent`
                raise Refusal("invalid_request", served.nothing_at(scope["path"]), status=404)
            raise wrong_method(match.template, scope["headers"])
        call.ticket = ticket_of(gateway, exchange)
        await runtime.line.identify(call)
        call.request.correlation_id = runtime.correlation.of(call, needed=False)
        if not asked:
            await reply.whole(200, orjson.dumps(form.all(await runtime.models.visible(call))))
        elif await runtime.models.may_ask_for(call, asked):
            await reply.whole(200, orjson.dumps(form.one(asked)))
        else:
            words = f"This model does not exist, or you may not use it. GET {MODELS} lists your models."
            raise Refusal("model_not_found", words, param="model")


async def _answered(gateway: Gateway, methods: str, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """A request of an agent that the gateway answers itself: for a token for a sub-agent, or about the registry."""
    runtime, exchange, method = gateway.runtime, exchange_of(scope, receive, send), scope["method"]
    call = arrived(gateway, match.template, OPENAI_CHAT, exchange)
    reply = runtime.replies.to(call, exchange.put)
    async with replying(gateway, call, reply, f"a request to {match.template}"):
        if method not in methods.split():
            raise wrong_method(match.template, scope["headers"])
        call.ticket = ticket_of(gateway, exchange)
        await runtime.line.identify(call)
        call.resource = Resource("agent")
        if match.template == DELEGATIONS:
            answer = await delegate(runtime, gateway.shared, call, exchange.receive)
        else:
            name, query = match.values.get("name", ""), scope.get("query_string", b"")
            answer = await registry(runtime, gateway.shared, call, method, name, query, exchange.receive)
        body = orjson.dumps(answer)
        if match.template != DELEGATIONS:  # the token of a sub-agent is a secret, and meant for the caller
            runtime.own.check(body)
        await reply.whole(200, body)
