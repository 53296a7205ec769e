"""`/admin/api/tools`: the tool servers, their tools, and which of them are accepted. See docs/admin-api.md.

Servers can be registered beside those of the configuration file: `tools.registered`. Config keys: `admin`, `tools`.
Error codes: `invalid_request` (400, 404, 409). Every change is recorded before it is made, without credentials;
nothing is recorded where nothing changes.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import orjson
from pydantic import Field, ValidationError

from gateway.call import Json
from gateway.config.grammar import Config
from gateway.config.sections import Section
from gateway.config.tools import NAME, Tool
from gateway.control.admin import health
from gateway.control.admin.access import Action, Context
from gateway.control.mistakes import described
from gateway.errors import ConfigError, Refusal
from gateway.redaction.vault import Seal, seal_of
from gateway.tools import pins
from gateway.tools.catalogue import digest
from gateway.tools.registered import Rows, change, registered
from gateway.tools.registered import row as registration


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


class Registration(Section):
    """What is recorded of a server: never its credentials, which may be in any part of its URL but the origin."""

    server: str
    origin: str = ""


async def listed(context: Context) -> tuple[int, Json]:
    """GET /tools: each server, where its row is, and whether it answered last."""
    context.query(_Nothing)
    rows = await registered(context.store, seal_of(context.config))
    healths = context.gateway.shared.healths
    open_ = healths.troubled()
    return 200, {
        "servers": [
            {
                "server": name,
                "kind": "mcp" if row.mcp else "command" if row.command else "openapi" if row.openapi else "http",
                "origin": _origin(row),
                "row": "registered" if rows.get(name) == row else "file",  # which counts if both have the name
                "pins": row.pins,
                "state": health.of_server(name, healths.states, open_),
            }
            for name, row in context.config.tools.items()
        ]
    }


async def register(context: Context) -> tuple[int, Json]:
    """PUT /tools/{server}: a row of `tools`, in force within seconds at all gateways with this state store."""
    said, name = await context.json(), context.name("server")
    context.refuse_key(orjson.dumps(said))
    context.refuse_secrets(orjson.dumps({key: value for key, value in said.items() if key not in ("auth", "headers")}))
    if not NAME.fullmatch(name):
        raise Refusal("invalid_request", "The name of a server has up to 63 letters, digits, `-` and single `_`.")
    seal = _seal(context)
    rows = await registered(context.store, seal)
    if name in context.config.tools and name not in rows:
        raise _of_file()
    try:
        row = registration(said)
        _without(context.config, rows).having({**rows, name: row})
        if rows.get(name) == row:
            return 200, {"server": name, "changed": False}
        await context.record("tool server registered", "", "", Registration(server=name, origin=_origin(row)))
        await change(context.store, seal, name, row)
    except ValidationError as error:
        raise Refusal("invalid_request", described(error.errors())) from None
    except ConfigError as fault:
        raise Refusal("invalid_request", f"The row does not fit: {fault}.") from None
    return (200 if name in rows else 201), {"server": name, "changed": True}


async def drop(context: Context) -> tuple[int, Json]:
    """DELETE /tools/{server}: a registered server is not called any more."""
    context.query(_Nothing)
    name, seal = context.name("server"), _seal(context)
    if name not in await registered(context.store, seal):
        if name in context.config.tools:
            raise _of_file()
        raise Refusal("invalid_request", "No tool server of this name is registered.", status=404)
    await context.record("tool server dropped", "", "", Registration(server=name))
    try:
        await change(context.store, seal, name, None)
    except ConfigError as fault:
        raise Refusal("invalid_request", f"{fault}.") from None
    return 200, {"server": name, "changed": True}


def _seal(context: Context) -> Seal:
    """The key for rows at rest. Raises Refusal without one."""
    seal = seal_of(context.config)
    if seal is None:
        raise Refusal("invalid_request", "Rows are kept encrypted, which needs pii.vault_key.")
    return seal


def _of_file() -> Refusal:
    words = "The configuration file has the row of this server; change the file instead."
    return Refusal("invalid_request", words, status=409)


def _without(config: Config, rows: Rows) -> Config:
    """The configuration of the file."""
    return config.model_copy(update={"tools": {name: row for name, row in config.tools.items() if name not in rows}})


def _origin(row: Tool) -> str:
    """Scheme, host and port of a server."""
    url = urlsplit(row.url)
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}" if row.url else ""


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
    ("GET", "/tools", listed),
    ("PUT", "/tools/{server}", register),
    ("DELETE", "/tools/{server}", drop),
    ("GET", "/tools/{server}", show),
    ("POST", "/tools/{server}/accept", accept),
)
