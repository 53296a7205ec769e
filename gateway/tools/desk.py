"""Where calls of tools are answered: finds the tool, and sends the call to its server.

Config key: `tools`. Refuses with tool_not_found, invalid_request, sql_blocked, upstream_error and upstream_timeout.
Messages of the protocol itself (initialize, lists, pings) are answered here, from what the servers say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final

import orjson

from gateway.call import Call, Json, Subject
from gateway.config.tools import Tool
from gateway.dialects import mcp
from gateway.dialects.jsonrpc import INVALID, Fault
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.ingress.request import SESSION
from gateway.output.sqlgate import SqlGate
from gateway.policy.visible import Visible
from gateway.tools.catalogue import Listed
from gateway.tools.schema import check
from gateway.tools.server import Server
from gateway.tools.servers import Servers
from gateway.tools.sessions import Opened, Sessions
from gateway.tools.wire import SessionLost
from gateway.upstream.forward import Answer

_SESSION: Final = b"mcp-session-id"


class Desk:
    """The stage, built for one configuration."""

    def __init__(
        self, rows: Mapping[str, Tool], servers: Servers, sessions: Sessions, visible: Visible, sql: SqlGate | None
    ) -> None:
        self._rows = {name: row for name, row in rows.items() if row.mcp or row.command}
        self._servers = servers
        self._sessions = sessions
        self._visible = visible
        self._sql = sql

    def serves(self, server: str) -> bool:
        """Whether there is a server of this name."""
        return server in self._rows

    def enter(self, call: Call) -> None:
        """Find the session of a call: its calls are one workflow. Raises Refusal(invalid_request) for a foreign one."""
        opened = self.opened(call, _codec(call).server)
        if opened is not None:
            call.values = {SESSION: opened.workflow}

    def opened(self, call: Call, server: str) -> Opened | None:
        """The session that a call names; None without one. Raises Refusal(invalid_request) for one it may not use."""
        id = mcp.header(call.headers, _SESSION)
        if not id:
            return None
        assert call.subject is not None, "sessions come after identify"
        opened = self._sessions.open(call.subject, server, id)
        if opened is None:
            raise _no_session()
        return opened

    async def find(self, call: Call) -> None:
        """Check that the called tool exists and takes the arguments; writes `call.request.label`. Raises Refusal."""
        codec = _codec(call)
        if call.request.control:
            call.request.label = codec.server
            return
        server = self._server(codec.server)
        tool = next((one for one in await self._tools(server) if one.name == codec.called), None)
        if tool is None:
            raise mcp.unknown_tool()
        call.request.label = call.resource.name
        check(call.resource.arguments, tool.tool["inputSchema"])
        if self._sql is not None:
            self._sql.request(call, call.request.slots)

    async def open(self, call: Call) -> Answer:
        """Answer a message of the protocol, or send a call to its server; writes `call.outcome`. Raises Refusal."""
        codec, outcome = _codec(call), call.outcome
        server = self._server(codec.server)
        if call.request.control:
            result = await self._control(call, codec, server)
            return _answer({"jsonrpc": "2.0", "id": codec.id, "result": result})
        outcome.provider, outcome.model, outcome.tries = server.name, codec.called, 1
        outcome.sent = True
        try:
            raw = await self._ask(call, codec, server)
        except Refusal:
            server.up = False
            raise
        server.up, outcome.status = True, 200
        return _answer(_completed(raw) if codec.modern else raw)

    async def end(self, call: Call, server: str) -> None:
        """End the session that a call names. Raises Refusal(invalid_request)."""
        opened = self.opened(call, server)
        if opened is None:
            raise _no_session()
        await self._server(server).wire.end(opened.upstream)

    async def _ask(self, call: Call, codec: Mcp, server: Server) -> bytes:
        params: Json = {"name": codec.called, "arguments": call.request.body["params"]["arguments"]}
        message: Json = {"jsonrpc": "2.0", "id": codec.id, "method": mcp.CALL, "params": params}
        hold = call.ticket.hold
        opened = self.opened(call, codec.server) if not codec.modern else None
        if opened is None:
            return await server.ask(message, hold, _seat(call.subject))
        try:
            return await server.wire.ask(opened.upstream, message, hold)
        except SessionLost:
            raise _no_session() from None

    async def _control(self, call: Call, codec: Mcp, server: Server) -> Json:
        if codec.told:
            return {}
        match codec.method:
            case "initialize":
                return await self._initialize(call, codec, server)
            case "server/discover":
                await server.seat()
                return {**_about(server.about), "supportedVersions": list(mcp.VERSIONS), **_fresh(codec, server)}
            case mcp.LIST:
                tools = [one.tool for one in await self._listed(call, server)]
                return {"tools": tools, **_fresh(codec, server)}
        return {}

    async def _initialize(self, call: Call, codec: Mcp, server: Server) -> Json:
        """Open a session with the server for this client."""
        assert call.subject is not None, "sessions come after identify"
        wanted = codec.params.get("protocolVersion")
        version = wanted if wanted in mcp.HANDSHAKE else mcp.HANDSHAKE[-1]
        upstream, about = await server.wire.open()
        server.about = about
        id = self._sessions.new(call.subject, server.name, upstream, version)
        call.outcome.headers = ((_SESSION, id.encode()),)
        return {"protocolVersion": version, **_about(about)}

    async def _listed(self, call: Call, server: Server) -> list[Listed]:
        """The tools of a server that the caller may see, in the order of the server."""
        return [one for one in await self._tools(server) if await self._visible.may(call, f"{server.name}/{one.name}")]

    async def _tools(self, server: Server) -> list[Listed]:
        """The tools of a server that are accepted."""
        return await server.tools()

    def _server(self, name: str) -> Server:
        return self._servers.of(name, self._rows[name])


def _codec(call: Call) -> Mcp:
    codec = call.codec
    assert isinstance(codec, Mcp), "calls of tools have the codec of their protocol"
    return codec


def _seat(subject: Subject | None) -> tuple[str, str]:
    assert subject is not None, "calls leave after identify"
    return subject.team, subject.agent


def _about(about: Json) -> Json:
    """What a client hears of a server: that it has tools, and who it is."""
    kept = {name: about[name] for name in ("serverInfo", "instructions") if name in about}
    said: Json = {"capabilities": {"tools": {}}, "serverInfo": {"name": "meshgate", "version": "1"}}
    return said | kept


def _fresh(codec: Mcp, server: Server) -> Json:
    """How long a list may be used, and that nobody else may."""
    if not codec.modern:
        return {}
    return {"resultType": "complete", "ttlMs": int(server.row.refresh * 1000), "cacheScope": "private"}


def _completed(raw: bytes) -> bytes:
    """A response with the type of result that the later era requires, which servers of the earlier era do not have."""
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw
    if type(said) is dict and type(said.get("result")) is dict:
        said["result"].setdefault("resultType", "complete")
        return orjson.dumps(said)
    return raw


def _answer(said: bytes | Json) -> Answer:
    """An answer that is complete; of an object, the result."""

    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    return Answer(False, said if isinstance(said, bytes) else orjson.dumps(said), nothing(), None)


def _no_session() -> Refusal:
    words = "There is no session with this id. Open one with `initialize`."
    return Fault(INVALID, words, status=404)
