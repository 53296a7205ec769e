"""`/admin/api/tools/{server}`: the tools of a server, and which of them are accepted. See docs/admin-api.md.

Config keys: `admin`, `tools.*.pins`. Error codes: `invalid_request` (400, 404). Every change is recorded before it is
made; nothing is recorded where there is nothing to accept.
"""

from __future__ import annotations

from pydantic import Field

from gateway.call import Json
from gateway.config.sections import Section
from gateway.control.admin.access import Action, Context
from gateway.errors import ConfigError, Refusal
from gateway.tools import pins
from gateway.tools.catalogue import digest


class _Nothing(Section):
    """An empty query."""


class Accepted(Section):
    """What is accepted."""

    tools: tuple[str, ...] = Field(default=(), max_length=2000)
    """Names of tools; none: all of the server."""


def _server(context: Context) -> str:
    """The server of a path. Raises Refusal(invalid_request), 404, for one that is not in the configuration."""
    server = context.name("server")
    if server not in context.config.tools:
        raise Refusal("invalid_request", "There is no tool server of this name in `tools`.", status=404)
    return server


async def show(context: Context) -> tuple[int, Json]:
    """GET /tools/{server}: each tool with its state, digest and definition, and what differs from the accepted one."""
    context.query(_Nothing)
    server = _server(context)
    record = pins.decoded(await context.store.pins(server))
    rows = [
        {
            "tool": name,
            "state": pin.state,
            "digest": digest(told),
            "since": pin.at,
            "definition": told,
            "differences": pins.differences(pin.accepted or {}, pin.seen or {}) if pin.state != "accepted" else [],
        }
        for name, pin in record.items()
        if (told := pin.seen or pin.accepted) is not None
    ]
    return 200, {"server": server, "tools": rows}


async def accept(context: Context) -> tuple[int, Json]:
    """POST /tools/{server}/accept: the last definitions are served from now on."""
    wanted, server = await context.body(Accepted), _server(context)
    changed: list[str] = []
    try:
        if pins.pending(pins.decoded(await context.store.pins(server)), server, wanted.tools):
            await context.record(f"tools of {server} accepted", "", "", wanted)
            changed = await pins.accept(context.store, server, wanted.tools)
    except ConfigError as fault:
        raise Refusal("invalid_request", str(fault), status=404) from None
    return 200, {"server": server, "accepted": changed}


ROUTES: tuple[tuple[str, str, Action], ...] = (
    ("GET", "/tools/{server}", show),
    ("POST", "/tools/{server}/accept", accept),
)
