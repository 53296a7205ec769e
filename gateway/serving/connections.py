"""WebSockets of the data plane: connections of the Responses dialect, and realtime connections."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import orjson

from gateway.call import Call, Json, Stored
from gateway.dialects import responses_items
from gateway.dialects.openai_realtime import OPENAI_REALTIME
from gateway.dialects.openai_responses import OPENAI_RESPONSES
from gateway.dialects.routes import MODELS, REALTIME, RESPONSES
from gateway.dialects.terms import is_term
from gateway.errors import Refusal
from gateway.ingress.wire import AsgiExchange, Exchange
from gateway.serving.arrivals import Gateway, arrived, serve, through, ticket_of
from gateway.serving.realtime import Conversation
from gateway.serving.sockets import Session


async def socket(gateway: Gateway, scope: Any, receive: Any, send: Any) -> None:
    """Serve a WebSocket of the Responses dialect, or a realtime connection, if its credential is valid."""
    exchange, talks = AsgiExchange(scope, receive, send), scope["path"] in REALTIME
    codec, path = (OPENAI_REALTIME, REALTIME[0]) if talks else (OPENAI_RESPONSES, RESPONSES)
    call, model = arrived(gateway, path, codec, exchange), ""
    try:
        call.ticket = ticket_of(gateway, exchange)
        await gateway.runtime.line.identify(call)
        if talks:
            model = await _model(gateway, call, scope.get("query_string", b""))
    except Refusal as refusal:
        if call.subject is None:
            gateway.shared.telemetry.stranger()
        body = orjson.dumps(codec.refuse(refusal, call.id))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})
        return
    finally:
        call.ticket.close()
    offered = [one for one in scope.get("subprotocols") or () if one == "realtime"]
    accept = {"type": "websocket.accept", "headers": [(b"x-request-id", call.id.encode())]}
    await send({**accept, "subprotocol": offered[0]} if offered else accept)
    config = gateway.runtime.config
    if not talks:
        call_of = partial(serve, gateway, OPENAI_RESPONSES, RESPONSES)
        await Session(scope, receive, send, call_of, config.server.max_body).run()
        return
    answer, after, realtime = partial(_answer, gateway), partial(_after, gateway), gateway.shared.clients.realtime
    most, known = config.server.max_body, partial(_identify, gateway, exchange)
    hears, speaks = partial(_hears, gateway), partial(_speaks, gateway)
    await Conversation(
        scope, receive, send, answer, realtime, model, most, after, known, hears=hears, speaks=speaks
    ).run()


def _hears(gateway: Gateway) -> bool:
    pii = gateway.runtime.config.pii
    return pii is None or pii.unscannable == "allow"


def _speaks(gateway: Gateway) -> bool:
    output = gateway.runtime.config.output
    return output is None or output.unscannable == "allow"


async def _identify(gateway: Gateway, exchange: Exchange) -> None:
    """Check the credential of a connection again. Raises Refusal."""
    call = arrived(gateway, REALTIME[0], OPENAI_REALTIME, exchange)
    try:
        call.ticket = ticket_of(gateway, exchange)
        await gateway.runtime.line.identify(call)
    finally:
        call.ticket.close()


async def _model(gateway: Gateway, call: Call, query: bytes) -> str:
    """The model that a realtime connection names. Raises Refusal."""
    model = dict(parse_qsl(query.decode("latin-1"))).get("model", "")
    if not is_term(model) or not await gateway.runtime.models.may_ask_for(call, model):
        words = f"Name a model that you may use: `{REALTIME[0]}?model=...`. GET {MODELS} lists your models."
        raise Refusal("model_not_found", words, param="model")
    return model


async def _answer(gateway: Gateway, exchange: Exchange, place: Stored | None) -> Call:
    """Serve one answer on a realtime connection. `place`: where its conversation is."""
    call = arrived(gateway, REALTIME[0], OPENAI_REALTIME, exchange)
    call.request.stored = place
    await through(gateway, call, exchange)
    return call


def _after(gateway: Gateway, call: Call, response: Json) -> Stored:
    """The conversation after a call. `response`: its answer."""
    said = responses_items.state(response) if type(response.get("output")) is list else None
    return gateway.runtime.line.ingress.owners.after(call, said)
