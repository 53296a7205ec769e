"""The control plane: `/livez`, `/readyz`, `/metrics` for whoever asks, `/admin/api` for admin keys. Starlette.

Apart from the data plane: an agent's key opens nothing here, and an admin key makes no calls. Each part is a list of
routes (`health`, `workflows`); what needs an admin key is a function behind `access.guard`. Config key: `admin`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import served
from gateway.admin import access, health, keys, workflows
from gateway.admin.health import gauges
from gateway.errors import Refusal
from gateway.formats.openai_chat import OPENAI_CHAT
from gateway.ids import uuid7

if TYPE_CHECKING:
    from gateway.app import Gateway

__all__ = ["application", "gauges"]


def application(gateway: Gateway) -> ASGIApp:
    """The routes that are not calls."""
    api = [
        Route(f"{access.PREFIX}{path}", access.guard(gateway, action, f"{access.PREFIX}{path}"), methods=[method])
        for method, path, action in (*workflows.ROUTES, *keys.ROUTES)
    ]

    async def nothing(request: Request, fault: Exception) -> Response:
        status = getattr(fault, "status_code", 404)
        if request.url.path.startswith(access.PREFIX):
            return access.nothing(gateway, request, status)
        id, headers = uuid7(), dict(getattr(fault, "headers", None) or {})
        refusal = Refusal("invalid_request", served.nothing_at(request.url.path), status=404)
        if status == 405:
            refusal = Refusal("invalid_request", f"This takes another method than {request.method}.", status=405)
        headers["x-request-id"] = id
        return JSONResponse(OPENAI_CHAT.refuse(refusal, id), status_code=refusal.status, headers=headers)

    routes = [*health.routes(gateway), *api]
    application = Starlette(routes=routes, exception_handlers={404: nothing, 405: nothing})
    application.router.redirect_slashes = False  # a path is what it says

    async def undecoded(scope: Scope, receive: Receive, send: Send) -> None:
        # Routes match the path as it was sent: a correlation id may hold an (encoded) slash and stays one segment.
        raw = scope.get("raw_path")
        await application({**scope, "path": raw.decode("latin-1")} if raw else scope, receive, send)

    return undecoded
