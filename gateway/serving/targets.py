"""The endpoints of tools and of other agents: messages, cards, notices, and who may authorize."""

from __future__ import annotations

from typing import Any

import orjson

from gateway import budget
from gateway.agents.desk import unknown_agent
from gateway.call import Call, Resource
from gateway.dialects.a2a import A2a
from gateway.dialects.a2a_notice import Notice
from gateway.dialects.a2a_rest import A2aRest
from gateway.dialects.a2a_tables import CARD
from gateway.dialects.http_tool import HttpTool
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.routes import AGENTS, RESTS, TOOLS
from gateway.errors import Refusal
from gateway.identity.resource import WELL_KNOWN
from gateway.ingress.reply import Reply
from gateway.ingress.wire import Exchange
from gateway.serving import cards
from gateway.serving.arrivals import (
    Gateway,
    arrived,
    exchange_of,
    origin_of,
    replying,
    through,
    ticket_of,
    wrong_method,
)
from gateway.serving.notices import notice, unknown
from gateway.serving.origins import foreign
from gateway.serving.router import Match


async def tool(gateway: Gateway, path: str, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve one message to a tool server, or end a session with the server."""
    exchange, server, desk = (
        exchange_of(scope, receive, send),
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
        await reply.refuse(wrong_method(path, scope["headers"]))
    elif not desk.serves(server):
        await reply.refuse(Refusal("tool_not_found", "There is no MCP server of this name in `tools`."))
    elif scope["method"] != "DELETE":
        codec.listens = scope["method"] == "GET"
        await through(gateway, call, exchange)
    else:
        await _end_session(gateway, call, server, exchange, reply)


async def agent(gateway: Gateway, path: str, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve one message to another agent."""
    exchange, agent = exchange_of(scope, receive, send), match.values["agent"]
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
        await reply.refuse(wrong_method(path, scope["headers"]))
    elif not gateway.runtime.line.desks.a2a.serves(agent):
        await reply.refuse(unknown_agent())
    else:
        await through(gateway, call, exchange)


async def notification(gateway: Gateway, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve a push notification of another agent, whose URL says whom the notification is for."""
    runtime, exchange, agent = gateway.runtime, exchange_of(scope, receive, send), match.values["agent"]
    told = runtime.line.desks.a2a.told(agent, match.values["token"])
    call = arrived(gateway, match.template, Notice(agent, told.version if told is not None else "1.0"), exchange)
    reply = runtime.replies.to(call, exchange.put)
    async with replying(gateway, call, reply, "a notification"):
        if scope["method"] != "POST":
            raise wrong_method(match.template, scope["headers"])
        call.ticket = ticket_of(gateway, exchange)
        if told is None:
            raise unknown()
        await notice(runtime, call, told, exchange.receive)
        await reply.whole(202, b"{}")


def _place_of(agent: str, scope: Any, exchange: Exchange) -> str:
    """The URL at which the caller calls an agent."""
    return f"{origin_of(scope, exchange)}/a2a/{agent}"


async def card(gateway: Gateway, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve the card of another agent, to callers who may send messages to the agent."""
    runtime, exchange, agent = gateway.runtime, exchange_of(scope, receive, send), match.values["agent"]
    codec = A2a(agent, exchange.headers)
    call = arrived(gateway, match.template, codec, exchange)
    call.resource = Resource("agent", agent)
    reply = runtime.replies.to(call, exchange.put)
    async with replying(gateway, call, reply, "a card"):
        if scope["method"] not in ("GET", "HEAD"):
            raise wrong_method(match.template, scope["headers"])
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


async def protected(gateway: Gateway, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Say which authorization server gives out tokens for a tool server. Public, as clients read this without a key."""
    exchange = exchange_of(scope, receive, send)
    reply = gateway.runtime.replies.to(arrived(gateway, match.template, OPENAI_CHAT, exchange), exchange.put)
    said = gateway.runtime.resources.document(scope["path"].removeprefix(WELL_KNOWN))
    if scope["method"] not in ("GET", "HEAD"):
        await reply.refuse(wrong_method(match.template, scope["headers"]))
    elif said is None:
        words = "There is no authorization server for this path: the configuration needs jwt and server.public_url."
        await reply.refuse(Refusal("invalid_request", words, status=404))
    else:
        await reply.whole(200, orjson.dumps(said))


async def plain_tool(gateway: Gateway, path: str, match: Match[Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve one request to a plain HTTP tool."""
    exchange, name, method = exchange_of(scope, receive, send), match.values["server"], scope["method"]
    asked, query = f"/{match.values.get('path', '')}", scope.get("query_string", b"")
    called = gateway.runtime.line.desks.http.name(name, method, asked)
    call = arrived(gateway, path, HttpTool(name, called, method, asked, query, exchange.headers), exchange)
    call.resource = Resource("tool")
    await through(gateway, call, exchange)


async def _end_session(gateway: Gateway, call: Call, server: str, exchange: Exchange, reply: Reply) -> None:
    """End the session that a call names, with an answer without content."""
    line = gateway.runtime.line
    async with replying(gateway, call, reply, "the end of a session"):
        call.ticket = ticket_of(gateway, exchange)
        await line.identify(call)
        await line.desks.mcp.end(call, server)
        await reply.whole(200, b"{}")
