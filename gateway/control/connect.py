"""The pages on which a user connects an own account at a tool server: `/connect` and its callback. No key is needed.

The link has a ticket that the gateway sealed for one caller at one server. The page says who will act for the user.
Only the form of that page, in the same browser, starts the code flow, and only that browser ends the flow.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from secrets import token_urlsafe
from typing import Final, Literal, Protocol, TypedDict
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.config.grammar import Config
from gateway.errors import Refusal, trace
from gateway.stores import StoreUnavailable
from gateway.tools.connections import CALLBACK, CONNECT, TICKET_LIFE, Connections, Party
from gateway.tools.servers import Servers
from gateway.tools.user_tokens import UserTokens

_log = logging.getLogger("meshgate")
_LONGEST: Final = 16 * 1024  # bytes of a form
_HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
}
_OLD: Final = "This link is not valid, or older than ten minutes. Have the agent call the tool again for a new link."
_OTHER: Final = "This page was not opened from the page before in this browser. Open the link again."


class Runtime(Protocol):
    """The configuration in force."""

    @property
    def config(self) -> Config: ...


class Shared(Protocol):
    """What outlives a reload."""

    @property
    def servers(self) -> Servers | None: ...


class Gateway(Protocol):
    """The parts of the gateway that the pages use."""

    @property
    def runtime(self) -> Runtime: ...
    @property
    def shared(self) -> Shared: ...


class _Stop(Exception):
    """The flow ends here, with these words for the user."""

    def __init__(self, words: str, status: int = 400) -> None:
        super().__init__(words)
        self.words = words
        self.status = status


def routes(gateway: Gateway) -> list[Route]:
    """The routes."""

    async def ask(request: Request) -> Response:
        connections = _connections(gateway)
        ticket = request.query_params.get("ticket", "")
        party = _party(connections, ticket)
        _credential(gateway, party)
        browser = token_urlsafe(24)
        page = _page(_question(gateway, party, ticket, connections.proof(ticket, browser)))
        page.set_cookie(_cookie(connections), browser, max_age=int(TICKET_LIFE), **_flags(connections))
        return page

    async def start(request: Request) -> Response:
        connections = _connections(gateway)
        form = await _form(request)
        ticket, browser = form.get("ticket", ""), request.cookies.get(_cookie(connections), "")
        party = _party(connections, ticket)
        if not browser or not hmac.compare_digest(connections.proof(ticket, browser), form.get("proof", "")):
            raise _Stop(_OTHER, 403)
        url, query = await _credential(gateway, party).authorization_url(party, browser)
        return RedirectResponse(f"{url}{'&' if '?' in url else '?'}{urlencode(query)}", 303, dict(_HEADERS))

    async def end(request: Request) -> Response:
        connections = _connections(gateway)
        said, browser = request.query_params, request.cookies.get(_cookie(connections), "")
        pending = connections.resume(said.get("state", ""), browser)
        if pending is None or pending.party.server != request.path_params["server"]:
            raise _Stop(_OTHER, 403)
        credential = _credential(gateway, pending.party)
        await _check_issuer(credential, said.get("iss"))
        if "code" not in said:
            raise _Stop("The account was not connected: the other side did not agree. You may close this page.")
        await credential.connect(pending.party, said["code"], pending.verifier)
        page = _page(f"<h1>Connected</h1><p>{_who(pending.party)} You may close this page.</p>")
        page.delete_cookie(_cookie(connections), **_flags(connections))
        return page

    return [
        Route(CONNECT, _guarded(ask), methods=["GET"]),
        Route(CONNECT, _guarded(start), methods=["POST"]),
        Route(f"{CALLBACK}/{{server}}", _guarded(end), methods=["GET"]),
    ]


def _guarded(serve: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """A page, or the page of an error, which holds no token and nothing that the other side wrote."""

    async def guarded(request: Request) -> Response:
        try:
            return await serve(request)
        except _Stop as stop:
            return _page(f"<h1>Not connected</h1><p>{escape(stop.words)}</p>", stop.status)
        except Refusal as refusal:
            return _page(f"<h1>Not connected</h1><p>{escape(refusal.message)}</p>", 502)
        except StoreUnavailable as fault:
            _log.error("state store: %s", fault)
            return _page("<h1>Not connected</h1><p>The state store does not answer. Try again later.</p>", 503)
        except Exception as fault:
            _log.error("a page failed: %s", trace(fault))
            return _page("<h1>Not connected</h1><p>The gateway failed. Try again later.</p>", 500)

    return guarded


def _connections(gateway: Gateway) -> Connections:
    servers = gateway.shared.servers
    found = servers.credentials.connections if servers is not None else None
    if found is None:
        raise _Stop("There are no accounts to connect: the configuration has no server.public_url.", 404)
    return found


def _credential(gateway: Gateway, party: Party) -> UserTokens:
    servers, row = gateway.shared.servers, gateway.runtime.config.tools.get(party.server)
    made = servers.credentials.of(party.server, row) if servers is not None and row is not None else None
    if not isinstance(made, UserTokens):
        raise _Stop("This tool server is not called with accounts of users any more.", 404)
    return made


def _party(connections: Connections, ticket: str) -> Party:
    party = connections.ticket(ticket)
    if party is None:
        raise _Stop(_OLD)
    return party


async def _check_issuer(credential: UserTokens, said: str | None) -> None:
    """That the answer comes from the authorization server that was asked (RFC 9207)."""
    issuer = credential.server.issuer
    if not issuer:
        return
    needed = (await credential.server.metadata()).get("authorization_response_iss_parameter_supported") is True
    if said != issuer and (said is not None or needed):
        raise _Stop("The answer comes from another authorization server than the one that was asked.", 403)


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST:
            raise _Stop(_OTHER, 413)
    return dict(parse_qsl(body.decode("latin-1")))


def _cookie(connections: Connections) -> str:
    """The name of the cookie: with TLS, one that no other host may set."""
    return "__Host-meshgate-connect" if connections.is_secure else "meshgate-connect"


class _Flags(TypedDict):
    """What is said of the cookie: with `Lax`, browsers send the cookie when they come back from another host."""

    path: str
    secure: bool
    httponly: bool
    samesite: Literal["lax"]


def _flags(connections: Connections) -> _Flags:
    return {"path": "/", "secure": connections.is_secure, "httponly": True, "samesite": "lax"}


def _who(party: Party) -> str:
    return (
        f"The agent <b>{escape(party.agent)}</b> of the team <b>{escape(party.team)}</b> acts for you at "
        f"<b>{escape(party.server)}</b>."
    )


def _question(gateway: Gateway, party: Party, ticket: str, proof: str) -> str:
    row = gateway.runtime.config.tools[party.server]
    scopes = ", ".join(row.auth.scopes) if row.auth is not None else ""
    return (
        f"<h1>Connect your account?</h1><p>{_who(party)} It gets access to: "
        f"<b>{escape(scopes or 'its default')}</b>, at {escape(row.url)}.</p>"
        "<p>Continue only if you use this agent yourself. Otherwise whoever sent you this link gets access to your "
        f'account.</p><form method="post" action="{CONNECT}">'
        f'<input type="hidden" name="ticket" value="{escape(ticket)}">'
        f'<input type="hidden" name="proof" value="{escape(proof)}"><button>Continue</button></form>'
    )


def _page(body: str, status: int = 200) -> HTMLResponse:
    html = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Meshgate</title><body>{body}</body></html>'
    return HTMLResponse(html, status, dict(_HEADERS))
