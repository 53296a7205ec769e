"""The data plane: the endpoints of the paths in `dialects.routes`. All other paths belong to the control plane."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator, Mapping
from functools import partial
from typing import Any, Final, Protocol

import orjson

from gateway import budget, ids
from gateway.agents.desk import unknown_agent
from gateway.budget import Budget
from gateway.call import Call, Headers, Reference, Resource
from gateway.dialects import NO_VALUES, Codec, model_lists
from gateway.dialects.a2a import A2a
from gateway.dialects.a2a_notice import Notice
from gateway.dialects.a2a_rest import A2aRest
from gateway.dialects.a2a_tables import CARD
from gateway.dialects.http_tool import HttpTool
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_realtime import OPENAI_REALTIME
from gateway.dialects.routes import (
    AGENTS,
    AZURE,
    AZURE_REFERENCES,
    CARDS,
    DELEGATIONS,
    GOOGLE,
    GOOGLE_LISTS,
    HTTP_TOOLS,
    LISTED,
    LISTS,
    METHODS,
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
    VERSIONED,
    VERSIONED_LISTS,
)
from gateway.dialects.terms import is_term
from gateway.errors import Refusal, trace
from gateway.exchange.uploads import final
from gateway.identity.resource import WELL_KNOWN
from gateway.ingress import query, references, served
from gateway.ingress.reply import Reply
from gateway.ingress.request import Disconnected
from gateway.ingress.wire import AsgiExchange, Exchange
from gateway.serving import cards
from gateway.serving.delegate import delegate
from gateway.serving.mesh import registry
from gateway.serving.notices import notice, unknown
from gateway.serving.origins import foreign
from gateway.serving.router import Match
from gateway.serving.runtime import Runtime, Shared
from gateway.serving.shares import UNCOUNTED, Ticket, place
from gateway.stores import StoreUnavailable
from gateway.upstream.forward import not_found

Endpoint = Callable[[Match[Any], Any, Any, Any], Awaitable[None]]
"""(match, scope, receive, send) -> served."""
_UNREAD: Final = Resource("llm")
_NO_IDS: Final = frozenset({"compact", "input_tokens"})  # paths of calls, not of responses
_STEPS: Final = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")
_HOST: Final = re.compile(r"[A-Za-z0-9.\[\]:-]{1,255}")
_log = logging.getLogger("meshgate")


class Gateway(Protocol):
    """What endpoints read once per call: the current runtime, and the objects that outlive reloads."""

    runtime: Runtime
    shared: Shared


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
        yield path, partial(_tool, gateway, path)
    for path in AGENTS:
        yield path, partial(_agent, gateway, path)
    for path in RESTS:
        yield path, partial(_agent, gateway, path)
    yield NOTICES, partial(_notice, gateway)
    for path in CARDS:
        yield path, partial(_card, gateway)
    for path in PROTECTED:
        yield path, partial(_protected, gateway)
    for path in HTTP_TOOLS:
        yield path, partial(_plain_tool, gateway, path)
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
    exchange = _exchange(scope, receive, send)
    if scope["method"] == "POST":
        await serve(gateway, codec, path, exchange, match.values, scope["query_string"])
    elif scope["method"] == "GET" and path in LISTED:
        await _list(gateway, path, exchange, scope.get("query_string", b""))
    else:
        reply = gateway.runtime.replies.to(arrived(gateway, path, codec, exchange), exchange.put)
        await reply.refuse(_wrong_method(path, scope["headers"]))


def _exchange(scope: Any, receive: Any, send: Any) -> Exchange:
    """The server's own form of a request (`meshgate.exchange`), or the same made from ASGI's."""
    own: Exchange | None = (scope.get("extensions") or {}).get("meshgate.exchange")
    return own or AsgiExchange(scope, receive, send)


async def serve(
    gateway: Gateway,
    codec: Codec,
    path: str,
    exchange: Exchange,
    values: Mapping[str, str] = NO_VALUES,
    asked: bytes = b"",
) -> None:
    """Serve one call. `values`: the parameters of its path; `asked`: its query, which only such paths have."""
    call = arrived(gateway, path, _spoken(path, codec, exchange.headers), exchange)
    if values:
        try:
            _place(call, values, asked, gateway.runtime.config.models)
        except Refusal as refusal:
            await gateway.runtime.replies.to(call, exchange.put).refuse(refusal)
            return
    await through(gateway, call, exchange)


async def _about(
    gateway: Gateway, codecs: Mapping[str, Codec], path: str, match: Match[Any], scope: Any, receive: Any, send: Any
) -> None:
    """Serve one call about a state that a provider stores."""
    exchange, method = _exchange(scope, receive, send), scope["method"]
    codecs = {name: _spoken(path, codec, exchange.headers) for name, codec in codecs.items()}
    call = arrived(gateway, path, codecs.get(method) or next(iter(codecs.values())), exchange)
    try:
        if match.values["id"] in _NO_IDS:
            raise Refusal("invalid_request", served.nothing_at(scope["path"]), status=404)
        if method not in codecs:
            raise _wrong_method(path, scope["headers"])
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
    exchange = _exchange(scope, receive, send)
    if scope["method"] == "GET":
        await _list(gateway, path, exchange, scope.get("query_string", b""))
        return
    reply = gateway.runtime.replies.to(arrived(gateway, path, LISTED[path], exchange), exchange.put)
    await reply.refuse(_wrong_method(path, scope["headers"]))


async def _upload(gateway: Gateway, path: str, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve one call of an upload: its beginning, or one with bytes of the file."""
    exchange = _exchange(scope, receive, send)
    call = arrived(gateway, path, UPLOADS[path], exchange)
    uploads, server = gateway.runtime.line.ingress.owners.uploads, gateway.runtime.config.server
    try:
        if scope["method"] != "POST":
            raise _wrong_method(path, scope["headers"])
        if "upload" in match.values:
            uploads.resume(call, match.values["upload"])
        else:
            uploads.begin(call, server.public_url.rstrip("/") or _origin(scope, exchange))
    except Refusal as refusal:
        final(refusal)
        await gateway.runtime.replies.to(call, exchange.put).refuse(refusal)
        return
    await through(gateway, call, exchange)


async def _tool(gateway: Gateway, path: str, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve one message to a tool server, or end a session with the server."""
    exchange, server, desk = (
        _exchange(scope, receive, send),
        match.values.get("server", ""),
        gateway.runtime.line.desks.mcp,
    )
    codec = TOOLS[path](server, exchange.headers)
    desk.prepare(codec)
    call = arrived(gateway, path, codec, exchange)
    call.resource = Resource("tool")
    reply = gateway.runtime.replies.to(call, exchange.put)
    if refusal := foreign(exchange.headers, gateway.runtime.config.server):
        await reply.refuse(refusal)
    elif scope["method"] != "POST" and (scope["method"] not in ("DELETE", "GET") or not codec.in_session):
        await reply.refuse(_wrong_method(path, scope["headers"]))
    elif not desk.serves(server):
        await reply.refuse(Refusal("tool_not_found", "There is no MCP server of this name in `tools`."))
    elif scope["method"] != "DELETE":
        codec.listens = scope["method"] == "GET"
        await through(gateway, call, exchange)
    else:
        await _end_session(gateway, call, server, exchange, reply)


async def _agent(gateway: Gateway, path: str, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve one message to another agent."""
    exchange, agent = _exchange(scope, receive, send), match.values["agent"]
    url, method = _place_of(agent, scope, exchange), scope["method"]
    if path in RESTS:
        called, query = RESTS[path].get(method, ""), scope.get("query_string", b"")
        codec: A2a = A2aRest(agent, exchange.headers, url, called, match.values, query)
    else:
        codec = AGENTS[path](agent, exchange.headers, url)
    call = arrived(gateway, path, codec, exchange)
    call.resource = Resource("agent")
    reply = gateway.runtime.replies.to(call, exchange.put)
    if method not in RESTS.get(path, ("POST",)):
        await reply.refuse(_wrong_method(path, scope["headers"]))
    elif not gateway.runtime.line.desks.a2a.serves(agent):
        await reply.refuse(unknown_agent())
    else:
        await through(gateway, call, exchange)


async def _notice(gateway: Gateway, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve a push notification of another agent, whose URL says whom the notification is for."""
    runtime, exchange, agent = gateway.runtime, _exchange(scope, receive, send), match.values["agent"]
    told = runtime.line.desks.a2a.told(agent, match.values["token"])
    call = arrived(gateway, match.template, Notice(agent, told.version if told is not None else "1.0"), exchange)
    reply = runtime.replies.to(call, exchange.put)
    async with _replying(gateway, call, reply, "a notification"):
        if scope["method"] != "POST":
            raise _wrong_method(match.template, scope["headers"])
        call.ticket = ticket_of(gateway, exchange)
        if told is None:
            raise unknown()
        await notice(runtime, call, told, exchange.receive)
        await reply.whole(202, b"{}")


def _place_of(agent: str, scope: Any, exchange: Exchange) -> str:
    """The URL at which the caller calls an agent."""
    return f"{_origin(scope, exchange)}/a2a/{agent}"


def _origin(scope: Any, exchange: Exchange) -> str:
    """Scheme and host by which the caller calls the gateway."""
    host = next((value for name, value in exchange.headers if name == b"host"), b"").decode("latin-1")
    return f"{scope.get('scheme', 'http')}://{host if _HOST.fullmatch(host) else 'localhost'}"


async def _card(gateway: Gateway, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve the card of another agent, to callers who may send messages to the agent."""
    runtime, exchange, agent = gateway.runtime, _exchange(scope, receive, send), match.values["agent"]
    codec = A2a(agent, exchange.headers)
    call = arrived(gateway, match.template, codec, exchange)
    call.resource = Resource("agent", agent)
    reply = runtime.replies.to(call, exchange.put)
    async with _replying(gateway, call, reply, "a card"):
        if scope["method"] not in ("GET", "HEAD"):
            raise _wrong_method(match.template, scope["headers"])
        call.ticket = ticket_of(gateway, exchange)
        await runtime.line.identify(call)
        call.request.correlation_id = runtime.correlation.of(call, needed=False)
        await runtime.line.reserve.greet(call)
        desk = runtime.line.desks.a2a
        if not await desk.shows(call):
            raise unknown_agent()
        card, seconds = await desk.card(agent, _place_of(agent, scope, exchange), codec.readers)
        codec.does = CARD
        budget.bind(call.budget)
        card = await runtime.line.exchange.card(call, card)
        tag = cards.tag(card)
        headers = cards.headers(tag, seconds)
        if cards.is_known(tag, exchange.headers):
            await reply.whole(304, b"", headers, kind="")
            return
        said = orjson.dumps(desk.signed(card))
        runtime.own.check(said)
        await reply.whole(200, said, headers)


async def _protected(gateway: Gateway, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Say which authorization server gives out tokens for a tool server. Public, as clients read this without a key."""
    exchange = _exchange(scope, receive, send)
    reply = gateway.runtime.replies.to(arrived(gateway, match.template, OPENAI_CHAT, exchange), exchange.put)
    said = gateway.runtime.resources.document(scope["path"].removeprefix(WELL_KNOWN))
    if scope["method"] not in ("GET", "HEAD"):
        await reply.refuse(_wrong_method(match.template, scope["headers"]))
    elif said is None:
        words = "There is no authorization server for this path: the configuration needs jwt and server.public_url."
        await reply.refuse(Refusal("invalid_request", words, status=404))
    else:
        await reply.whole(200, orjson.dumps(said))


async def _plain_tool(gateway: Gateway, path: str, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve one request to a plain HTTP tool."""
    exchange, name, method = _exchange(scope, receive, send), match.values["server"], scope["method"]
    asked, query = f"/{match.values.get('path', '')}", scope.get("query_string", b"")
    called = gateway.runtime.line.desks.http.name(name, method, asked)
    call = arrived(gateway, path, HttpTool(name, called, method, asked, query, exchange.headers), exchange)
    call.resource = Resource("tool")
    await through(gateway, call, exchange)


async def _end_session(gateway: Gateway, call: Call, server: str, exchange: Exchange, reply: Reply) -> None:
    """End the session that a call names, with an answer without content."""
    line = gateway.runtime.line
    async with _replying(gateway, call, reply, "the end of a session"):
        call.ticket = ticket_of(gateway, exchange)
        await line.identify(call)
        await line.desks.mcp.end(call, server)
        await reply.whole(200, b"{}")


async def through(gateway: Gateway, call: Call, exchange: Exchange) -> None:
    """Serve a call by the line."""
    runtime = gateway.runtime
    reply = runtime.replies.to(call, exchange.put)
    try:
        call.ticket = ticket_of(gateway, exchange)
    except Refusal as refusal:
        await reply.refuse(refusal)
        return
    task = asyncio.current_task()
    assert task is not None

    def gone() -> None:
        if not reply.ending and (reply.kept is None or not reply.kept.detach()):
            task.cancel()

    exchange.watch(gone)
    try:
        await runtime.line.serve(call, exchange.receive, reply)
    finally:
        if reply.kept is not None:
            reply.kept.finish()
        call.ticket.close()
        exchange.unwatch()


def _spoken(path: str, codec: Codec, headers: Headers) -> Codec:
    """The codec of a path: that of Anthropic's or Gemini's API for its clients, where several APIs have the path."""
    versioned = VERSIONED.get(path)
    if versioned is None:
        return codec
    if model_lists.is_anthropic(headers):
        return versioned
    return GOOGLE[path] if path in GOOGLE and model_lists.is_google(headers) else codec


def _place(call: Call, values: Mapping[str, str], asked: bytes, models: Container[str]) -> None:
    """Write what path and query say. `models`: the names in the configuration. Raises Refusal."""
    model = values.get("deployment") or values["model"]
    # Any other name may be a secret, personal data, or a way to another path of the provider.
    if model not in models and (not is_term(model) or _STEPS.search(model)):
        raise not_found(model)
    if "deployment" in values:  # Azure: the version of its API in the query is that of a client, not of the provider
        call.values = values
        return
    call.values = {**values, "version": call.route.split("/")[1]}
    query.take(call, asked)


def arrived(gateway: Gateway, path: str, codec: Codec, exchange: Exchange) -> Call:
    """A new call, of which nothing has been read yet. `path`: its template."""
    work = Budget(gateway.runtime.config.server.scan_budget)
    began, lanes = time.perf_counter_ns(), gateway.shared.lanes
    return Call(ids.uuid7(), path, _UNREAD, codec, exchange.headers, began, work, lanes, UNCOUNTED)


def ticket_of(gateway: Gateway, exchange: Exchange) -> Ticket:
    """The ticket of a call: its share of the gateway. Raises Refusal(overloaded)."""
    return gateway.shared.shares.enter(gateway.runtime.config.server, place(exchange.client), exchange.know)


async def _realtime(gateway: Gateway, path: str, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Refuse a request that is no WebSocket."""
    del match
    exchange = _exchange(scope, receive, send)
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
    exchange = _exchange(scope, receive, send)
    call = arrived(gateway, match.template, form.codec, exchange)
    reply = runtime.replies.to(call, exchange.put)
    async with _replying(gateway, call, reply, "the list of models"):
        asked = match.values.get("model", "")
        if scope["method"] not in ("GET", "HEAD"):
            if ":" in asked:  # `/v1/models/{model}:generateContent`
                raise Refusal("invalid_request", served.nothing_at(scope["path"]), status=404)
            raise _wrong_method(match.template, scope["headers"])
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
    runtime, exchange, method = gateway.runtime, _exchange(scope, receive, send), scope["method"]
    call = arrived(gateway, match.template, OPENAI_CHAT, exchange)
    reply = runtime.replies.to(call, exchange.put)
    async with _replying(gateway, call, reply, f"a request to {match.template}"):
        if method not in methods.split():
            raise _wrong_method(match.template, scope["headers"])
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


@contextlib.asynccontextmanager
async def _replying(gateway: Gateway, call: Call, reply: Reply, what: str) -> AsyncIterator[None]:
    """Answer what goes wrong with a request that is no call of the line; close its ticket. `what`: for the log."""
    try:
        yield
    except Refusal as refusal:
        if call.subject is None and refusal.code in ("unauthenticated", "rate_limited"):
            gateway.shared.telemetry.stranger()
        await reply.refuse(refusal)
    except StoreUnavailable as fault:
        _log.error("state store: %s", fault)
        await reply.refuse(Refusal("state_unavailable", "The state store does not answer; try again later."))
    except Disconnected:
        reply.abandon()
    except Exception as fault:
        _log.error("%s failed: %s", what, trace(fault))
        await reply.refuse(Refusal("overloaded", "The gateway failed to serve this request. Try again later."))
    finally:
        call.ticket.close()


def _wrong_method(template: str, headers: Headers) -> Refusal:
    methods = METHODS[template]
    if any(name == b"sec-websocket-key" for name, _ in headers):  # agents that try a WebSocket first go on with HTTP
        words = f"{template} is not served over WebSocket. Send the request over HTTP with {methods.partition(',')[0]}."
        return Refusal("invalid_request", words, status=426, headers=((b"upgrade", b"HTTP/1.1"),))
    words = (
        f"{template} takes {methods.removesuffix(', OPTIONS') if template in LISTED else methods.partition(',')[0]}."
    )
    return Refusal("invalid_request", words, status=405, headers=((b"allow", methods.encode()),))


async def empty(send: Any, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    """Send an answer without a body."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
