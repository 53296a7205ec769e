"""The control plane, on Starlette: `/livez`, `/readyz` and `/metrics` without a key, `/admin/api` with an admin key.

Separate from the data plane: an agent's key is not accepted here, and an admin key cannot make calls. Each part is a
list of routes (`health`, `workflows`, `keys`); actions that need an admin key are behind `access.guard`. Config key:
`admin`.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.control import connect
from gateway.control.admin import access, health, keys, tools, workflows
from gateway.control.admin.health import gauges
from gateway.control.admin.parts import Gateway
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from gateway.ids import uuid7
from gateway.ingress import served

__all__ = ["application", "gauges"]


def application(gateway: Gateway) -> ASGIApp:
    """The ASGI application of all routes that are not calls."""
    api = [
        Route(f"{access.PREFIX}{path}", access.guard(gateway, action, f"{access.PREFIX}{path}"), methods=[method])
        for method, path, action in (*workflows.ROUTES, *keys.ROUTES, *tools.ROUTES)
    ]

    routes = [*health.routes(gateway), *connect.routes(gateway), *api]

    async def nothing(request: Request, fault: Exception) -> Response:
        path = request.scope["path"]
        methods = _methods(routes, path) if getattr(fault, "status_code", 404) == 405 else ""
        ours = request.url.path.startswith(access.PREFIX)
        if methods and request.method == "OPTIONS" and not (ours and gateway.runtime.admin is None):
            return Response(status_code=204, headers={"allow": methods})
        if ours:
            return access.nothing(gateway, methods)
        id = uuid7()
        told = "" if gateway.runtime.own.holds(unquote_to_bytes(path)) else request.url.path
        refusal = Refusal("invalid_request", served.nothing_at(told), status=404)
        if methods:
            refusal = Refusal("invalid_request", f"This path takes {methods}.", status=405)
        headers = {"x-request-id": id, "x-meshgate-code": refusal.code, **({"allow": methods} if methods else {})}
        return JSONResponse(OPENAI_CHAT.refuse(refusal, id), status_code=refusal.status, headers=headers)

    application = Starlette(routes=routes, exception_handlers={404: nothing, 405: nothing})
    application.router.redirect_slashes = False  # a path with a final slash is another path

    async def undecoded(scope: Scope, receive: Receive, send: Send) -> None:
        # Routes match the raw path: a correlation id may contain an encoded slash and is still one segment.
        raw = scope.get("raw_path")
        await application({**scope, "path": raw.decode("latin-1")} if raw else scope, receive, send)

    return undecoded


def _methods(routes: Sequence[Route], path: str) -> str:
    """The methods of a path, as the value of `Allow` (RFC 9110, section 10.2.1)."""
    found = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
    return ", ".join(sorted(found | {"OPTIONS"}))
