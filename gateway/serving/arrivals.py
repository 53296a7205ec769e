"""What the endpoints of the data plane have in common: a call arrives, gets its share, and goes through the line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Container, Mapping
from typing import Any, Final, Protocol

from gateway import ids
from gateway.budget import Budget
from gateway.call import Call, Headers, Resource
from gateway.dialects import NO_VALUES, Codec, model_lists
from gateway.dialects.routes import GOOGLE, LISTED, METHODS, VERSIONED
from gateway.dialects.terms import is_term
from gateway.errors import Refusal, trace
from gateway.ingress import query
from gateway.ingress.reply import Reply
from gateway.ingress.request import Disconnected
from gateway.ingress.wire import AsgiExchange, Exchange
from gateway.serving.runtime import Runtime, Shared
from gateway.serving.shares import UNCOUNTED, Ticket, place
from gateway.stores import StoreUnavailable
from gateway.upstream.forward import not_found

_UNREAD: Final = Resource("llm")
_STEPS: Final = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")
_HOST: Final = re.compile(r"[A-Za-z0-9.\[\]:-]{1,255}")
_log = logging.getLogger("meshgate")


class Gateway(Protocol):
    """What endpoints read once per call: the current runtime, and the objects that outlive reloads."""

    runtime: Runtime
    shared: Shared


def exchange_of(scope: Any, receive: Any, send: Any) -> Exchange:
    """The server's own form of a request (`meshgate.exchange`), or the same made from ASGI's."""
    own: Exchange | None = (scope.get("extensions") or {}).get("meshgate.exchange")
    return own or AsgiExchange(scope, receive, send)


def origin_of(scope: Any, exchange: Exchange) -> str:
    """Scheme and host by which the caller calls the gateway."""
    host = next((value for name, value in exchange.headers if name == b"host"), b"").decode("latin-1")
    return f"{scope.get('scheme', 'http')}://{host if _HOST.fullmatch(host) else 'localhost'}"


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


def arrived(gateway: Gateway, path: str, codec: Codec, exchange: Exchange) -> Call:
    """A new call, of which nothing has been read yet. `path`: its template."""
    work = Budget(gateway.runtime.config.server.scan_budget)
    began, lanes = time.perf_counter_ns(), gateway.shared.lanes
    return Call(ids.uuid7(), path, _UNREAD, codec, exchange.headers, began, work, lanes, UNCOUNTED)


def ticket_of(gateway: Gateway, exchange: Exchange) -> Ticket:
    """The ticket of a call: its share of the gateway. Raises Refusal(overloaded)."""
    return gateway.shared.shares.enter(gateway.runtime.config.server, place(exchange.client), exchange.know)


@contextlib.asynccontextmanager
async def replying(gateway: Gateway, call: Call, reply: Reply, what: str) -> AsyncIterator[None]:
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


def wrong_method(template: str, headers: Headers) -> Refusal:
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


async def serve(
    gateway: Gateway,
    codec: Codec,
    path: str,
    exchange: Exchange,
    values: Mapping[str, str] = NO_VALUES,
    asked: bytes = b"",
) -> None:
    """Serve one call. `values`: the parameters of its path; `asked`: its query, which only such paths have."""
    call = arrived(gateway, path, spoken(path, codec, exchange.headers), exchange)
    if values:
        try:
            _place(call, values, asked, gateway.runtime.config.models)
        except Refusal as refusal:
            await gateway.runtime.replies.to(call, exchange.put).refuse(refusal)
            return
    await through(gateway, call, exchange)


def spoken(path: str, codec: Codec, headers: Headers) -> Codec:
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
