"""Where calls of tools are answered: finds the tool, and sends the call to its server.

Config key: `tools`. Refuses with tool_not_found, invalid_request, sql_blocked, upstream_error and upstream_timeout.
Messages of the protocol itself (initialize, lists, pings) are answered here, from what the servers say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import orjson

from gateway.call import Call, Json
from gateway.config.tools import Tool
from gateway.dialects import mcp, mcp_params
from gateway.dialects.jsonrpc import INVALID, OURS, PARAMS, UNKNOWN_METHOD, Fault, is_id
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.identity.resource import NOT_ENOUGH, Resources
from gateway.ids import uuid7
from gateway.ingress.request import SESSION
from gateway.output.sqlgate import SqlGate
from gateway.policy.visible import Visible
from gateway.tools.caller import caller_of
from gateway.tools.catalogue import Listed, needs_task, repeats, writes
from gateway.tools.discovery import DEFINITIONS, found
from gateway.tools.notices import passed
from gateway.tools.pins import Pins
from gateway.tools.said import about, completed, joined, keeps
from gateway.tools.schema import check
from gateway.tools.server import Server
from gateway.tools.servers import Servers
from gateway.tools.sessions import Opened, Sessions
from gateway.tools.user_tokens import Unconnected
from gateway.tools.wire import UNOPENED, Relay, Session, SessionLost, broken
from gateway.upstream.answer import Answer

_KEPT: Final = 4096  # lists of callers
_SESSION: Final = b"mcp-session-id"
_AS_TASK: Final = (
    "This tool can only be called as a task (execution.taskSupport: required), and the gateway serves no tasks. The "
    "operator of the tool may make tasks optional."
)


class Desk:
    """The stage, built for one configuration."""

    def __init__(
        self,
        rows: Mapping[str, Tool],
        servers: Servers,
        sessions: Sessions,
        visible: Visible,
        pins: Pins,
        sql: SqlGate | None,
        states: dict[str, int],
        resources: Resources,
    ) -> None:
        self._resources = resources
        self._states = states
        self._pins = pins
        self._kept: dict[tuple[str, int], tuple[tuple[object, ...], list[Listed]]] = {}
        self._rows = {name: row for name, row in rows.items() if row.mcp or row.command or row.openapi}
        self._servers = servers
        self._sessions = sessions
        self._visible = visible
        self._sql = sql

    def serves(self, server: str) -> bool:
        """Whether there is a server of this name; "" stands for all."""
        return server in self._rows if server else bool(self._rows)

    def prepare(self, codec: Mcp) -> None:
        """Tell the codec of a new call which servers there are."""
        searched = [name for name, row in self._rows.items() if row.discovery == "search"]
        if not codec.door:
            codec.servers, codec.searched = tuple(self._rows), searched
        elif codec.door in searched:
            codec.searched = (codec.door,)

    def audiences(self, call: Call) -> Sequence[str]:
        """The audiences of tokens that are accepted at the path of a call, beside `jwt.audience`."""
        return self._resources.audiences(_codec(call).door)

    def enter(self, call: Call) -> None:
        """Find the session of a call: its calls are one workflow. Raises Refusal(invalid_request) for a foreign one.

        Raises Refusal(policy_denied) if the token of the caller has not the scopes of the server.
        """
        self._check_scopes(call, _codec(call).door)
        opened = self.opened(call, _codec(call).door)
        if opened is not None:
            call.values = {SESSION: opened.workflow}

    def _check_scopes(self, call: Call, server: str) -> None:
        """Raise Refusal(policy_denied) with the status 403 that clients of OAuth take as the request for scopes."""
        if self._resources.lacks(server, call.subject):
            words = f"The token has not all scopes that the tool server {server} needs: tools.{server}.scopes."
            data = {"error": NOT_ENOUGH, "server": server}
            raise Fault(OURS, words, code="policy_denied", status=403, data=data)

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
        self._check_scopes(call, server.name)
        if codec.method in mcp.READS:
            call.request.label, call.request.writes = call.resource.name, False
            if not await self._visible.admits(call):
                raise Fault(
                    PARAMS, "There is nothing of this name. Lists have what you may read.", code="tool_not_found"
                )
            return
        tool = next((one for one in await self._tools(call, server) if one.name == codec.called), None)
        if tool is None:
            raise mcp.unknown_tool()
        call.request.label, call.request.writes = call.resource.name, writes(server.row, tool)
        if not await self._visible.admits(call):
            raise mcp.unknown_tool()
        if needs_task(tool):
            raise Fault(UNKNOWN_METHOD, _AS_TASK, code="tool_not_found")
        codec.mirrored = mcp_params.paths(tool.tool["inputSchema"])
        if codec.modern and codec.mirrored and not codec.found and not call.request.recalled:
            mcp_params.check(codec.mirrored, call.resource.arguments, call.headers)
        check(call.resource.arguments, tool.tool["inputSchema"])
        promised = tool.tool.get("outputSchema")
        codec.promised = promised if type(promised) is dict else {}
        if self._sql is not None:
            self._sql.request(call, call.request.slots)

    async def open(self, call: Call, relay: Relay | None = None) -> Answer:
        """Answer a message of the protocol, or send a call to its server; writes `call.outcome`. Raises Refusal.

        `relay`: passes notifications of the server on to the caller.
        """
        codec, outcome = _codec(call), call.outcome
        if call.request.control:
            result = await self._control(call, codec)
            return _answer({"jsonrpc": "2.0", "id": codec.id, "result": result})
        server = self._server(codec.server)
        outcome.provider, outcome.model, outcome.tries = server.name, codec.called, 1
        outcome.sent = True
        try:
            raw = await self._tried(call, codec, server, relay)
            if codec.promised and not keeps(codec.promised, raw):
                raise broken(server.name, "answered with structured content that does not fit the tool's output schema")
        except Refusal as fault:
            self._failed(server, fault)
            raise
        self._states[server.name], outcome.status = 1, 200
        return _answer(completed(raw) if codec.modern else raw)

    async def end(self, call: Call, server: str) -> None:
        """End the session that a call names. Raises Refusal(invalid_request)."""
        opened = self.opened(call, server)
        if opened is None:
            raise _no_session()
        if server and opened.upstream != UNOPENED:
            await self._server(server).end(opened.upstream, caller_of(call))

    async def _tried(self, call: Call, codec: Mcp, server: Server, relay: Relay | None) -> bytes:
        """Send a call; once more after a fault if the tool may be called again without effect. Raises Refusal."""
        try:
            return await self._ask(call, codec, server, relay)
        except Refusal as fault:
            at_once = fault.code == "upstream_error" and fault.retry_after is None
            if not at_once or not await self._repeats(call, codec, server):
                raise
        call.outcome.tries += 1
        return await self._ask(call, codec, server, relay)

    async def _repeats(self, call: Call, codec: Mcp, server: Server) -> bool:
        """Whether a call may be sent again."""
        if codec.method in mcp.READS:
            return True
        tool = next((one for one in await self._tools(call, server) if one.name == codec.called), None)
        return tool is not None and repeats(server.row, tool)

    async def _ask(self, call: Call, codec: Mcp, server: Server, relay: Relay | None) -> bytes:
        called = codec.method == mcp.CALL
        params: Json = {"name": codec.called, "arguments": codec.given} if called else codec.given
        if relay is None:
            return await self._exchange(call, codec, server, _message(call, codec, params))
        pass_on, token = relay, uuid7()
        if meta := codec.wanted(token):
            params = {**params, mcp.META: meta}

        async def told(said: Json) -> None:
            if (kept := passed(said, token)) is not None:
                await pass_on(kept)

        return await self._exchange(call, codec, server, _message(call, codec, params), told)

    async def _exchange(
        self, call: Call, codec: Mcp, server: Server, message: Json, relay: Relay | None = None
    ) -> bytes:
        """Send a request in the session of the client, or in that of the gateway for this caller. Raises Refusal."""
        hold = call.ticket.hold
        headers = mcp_params.written(codec.mirrored, codec.given) if codec.mirrored else {}
        opened = self.opened(call, codec.door) if codec.door and not codec.modern else None
        if opened is None or opened.upstream == UNOPENED:
            raw = await server.ask(message, hold, caller_of(call), headers, relay)
        else:
            try:
                raw = await server.ask_in(opened.upstream, message, hold, caller_of(call), headers, relay)
            except SessionLost:
                raise _no_session() from None
        return codec.named(raw, message["id"])

    async def _control(self, call: Call, codec: Mcp) -> Json:
        """The result of a message of the protocol; nothing for a notification."""
        if codec.told:
            await self._tell(call, codec)
            return {}
        done: Json = {"resultType": "complete"} if codec.modern else {}
        match codec.method:
            case "initialize":
                return await self._initialize(call, codec)
            case "server/discover":
                told = about({}, logs=False)
                if codec.door:
                    _, told = await self._meet(call, self._server(codec.door), anew=False)
                told[mcp.META] = {mcp.SERVER: told.pop("serverInfo")}
                return {**told, "supportedVersions": list(mcp.VERSIONS), **self._fresh(codec)}
            case mcp.SET_LEVEL:
                return await self._set_level(call, codec)
            case mcp.LIST:
                return {"tools": await self._list(call, codec), **self._fresh(codec)}
            case _ if codec.method in mcp.LISTS:
                return await self._readable(call, codec, done)
            case mcp.CALL if codec.query is not None:
                return {**found(await self._all(call, codec), codec.query), **done}
        return done

    def _logs(self, server: str) -> bool:
        """Whether the log of a server can reach clients: that of a process has no sessions."""
        return bool(server) and not self._rows[server].command

    async def _set_level(self, call: Call, codec: Mcp) -> Json:
        """Tell a server which messages of its log the client of a session wants. Raises Refusal."""
        if codec.params.get("level") not in mcp.LEVELS:
            raise Fault(PARAMS, f"`params.level` must be one of {', '.join(mcp.LEVELS)}.")
        if not self._logs(codec.door) or self.opened(call, codec.door) is None:
            raise Fault(UNKNOWN_METHOD, "The method is served in a session at the path of one server over HTTP.")
        message = _message(call, codec, {"level": codec.params["level"]})
        said = orjson.loads(await self._exchange(call, codec, self._server(codec.door), message))
        if type(said) is not dict or type(said.get("result")) is not dict:
            raise broken(codec.door, "did not take the level of its log")
        return {}

    async def _tell(self, call: Call, codec: Mcp) -> None:
        """Pass on that a client of a session cancels a request. Other notifications concern the gateway alone."""
        id = codec.params.get("requestId")
        opened = self.opened(call, codec.door) if codec.door else None
        if codec.method == "notifications/cancelled" and opened and opened.upstream != UNOPENED and is_id(id):
            message = {"jsonrpc": "2.0", "method": codec.method, "params": {"requestId": id}}
            await self._server(codec.door).tell_in(opened.upstream, message, caller_of(call))

    async def _meet(self, call: Call, server: Server, *, anew: bool) -> tuple[Session, Json]:
        """A session with a server (a new one, or the gateway's for the caller), and what a client hears of the server.

        A caller without an account there hears what others were told, without the instructions.
        """
        caller = caller_of(call)
        try:
            session = await (server.open(caller) if anew else server.seat(caller))
        except Unconnected:
            return UNOPENED, about({**server.about, "instructions": None}, logs=False)
        return session, about(server.about, logs=self._logs(server.name))

    async def _initialize(self, call: Call, codec: Mcp) -> Json:
        """Open a session for this client, with the server if the path names one."""
        assert call.subject is not None, "sessions come after identify"
        wanted = codec.params.get("protocolVersion")
        version = wanted if wanted in mcp.HANDSHAKE else mcp.HANDSHAKE[-1]
        upstream, told = Session(version), about({}, logs=False)
        if codec.door:
            upstream, told = await self._meet(call, self._server(codec.door), anew=True)
        id = self._sessions.new(call.subject, codec.door, upstream, version)
        call.outcome.headers = ((_SESSION, id.encode()),)
        return {"protocolVersion": version, **told}

    async def _readable(self, call: Call, codec: Mcp, done: Json) -> Json:
        """The list of resources or prompts of a server, as the server has it; an empty one if none may be read."""
        name = mcp.READS[mcp.LISTS[codec.method]]
        kind = codec.method.split("/")[-2] if codec.method != "resources/templates/list" else "resourceTemplates"
        if not codec.door or not await self._visible.may(call, f"{codec.door}/{name}", writes=False):
            return {kind: [], **done, **self._fresh(codec)}
        cursor = codec.params.get("cursor")
        params = {"cursor": cursor} if type(cursor) is str else {}
        message = _message(call, codec, params)
        try:
            said = orjson.loads(await self._exchange(call, codec, self._server(codec.door), message))
        except Unconnected:
            return {kind: [], **done, **self._fresh(codec)}
        result = said.get("result") if type(said) is dict else None
        if type(result) is not dict or type(result.get(kind)) is not list:
            raise broken(codec.door, "answered with something that is not a list")
        return {**result, **done, **self._fresh(codec)}

    async def _list(self, call: Call, codec: Mcp) -> list[Json]:
        """The tools in a list: those that are searched for are replaced by the search."""
        names = [name for name in ([codec.door] if codec.door else self._rows) if name not in codec.searched]
        return [*await self._of(call, codec, names), *(DEFINITIONS if codec.searched else ())]

    async def _all(self, call: Call, codec: Mcp) -> list[Json]:
        """The tools that a search finds."""
        return await self._of(call, codec, [codec.door] if codec.door else list(self._rows))

    async def _of(self, call: Call, codec: Mcp, names: Sequence[str]) -> list[Json]:
        """The visible tools of these servers. In a list of several, a server that does not answer is left out."""
        servers = [self._server(name) for name in names if not self._resources.lacks(name, call.subject)]
        several = await asyncio.gather(*(self._listed(call, one) for one in servers), return_exceptions=not codec.door)
        tools: list[Json] = []
        for server, listed in zip(servers, several, strict=True):
            if isinstance(listed, Refusal):
                self._failed(server, listed)
            elif isinstance(listed, BaseException):
                raise listed
            else:
                tools += [one.tool for one in listed] if codec.door else joined(server.name, listed)
        return tools

    def _failed(self, server: Server, fault: Refusal) -> None:
        """Note that a server failed, unless the fault is that of a caller without an account there."""
        if fault.domain == "upstream":
            self._states[server.name] = 0

    def _fresh(self, codec: Mcp) -> Json:
        """How long a list may be used, and that nobody else may."""
        if not codec.modern:
            return {}
        seconds = min(row.refresh for name, row in self._rows.items() if codec.door in ("", name))
        return {"resultType": "complete", "ttlMs": int(seconds * 1000), "cacheScope": "private"}

    async def _listed(self, call: Call, server: Server) -> list[Listed]:
        """The tools of a server that the caller may see, in the order of the server; kept for a minute.

        A caller without an account there sees those that are accepted: the call of one tells where to connect.
        """
        try:
            tools = await self._tools(call, server)
        except Unconnected:
            tools = await self._pins.known(server.name, server.row.pins)
        subject = call.subject
        now = (subject, tools, self._visible.version, int(time.time()) // 60)
        known = self._kept.get((server.name, id(subject)))
        if known is not None and known[0][0] is subject and known[0][1] is tools and known[0][2:] == now[2:]:
            return known[1]
        may, name = self._visible.may, server.name
        usable = [one for one in tools if not needs_task(one)]
        seen = [one for one in usable if await may(call, f"{name}/{one.name}", writes=writes(server.row, one))]
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[server.name, id(subject)] = now, seen
        return seen

    async def _tools(self, call: Call, server: Server) -> list[Listed]:
        """The tools of a server that are accepted. Raises Unconnected, Refusal, StoreUnavailable."""
        return await self._pins.served(server.name, await server.tools(caller_of(call)), server.row.pins)

    def _server(self, name: str) -> Server:
        return self._servers.of(name, self._rows[name])


def _codec(call: Call) -> Mcp:
    codec = call.codec
    assert isinstance(codec, Mcp), "calls of tools have the codec of their protocol"
    return codec


def _message(call: Call, codec: Mcp, params: Json) -> Json:
    """A request to a server. Its id is that of the body, which was redacted after the codec read it."""
    return {"jsonrpc": "2.0", "id": call.request.body["id"], "method": codec.method, "params": params}


def _answer(said: bytes | Json) -> Answer:
    """An answer that is complete; of an object, the result."""

    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    return Answer(False, said if isinstance(said, bytes) else orjson.dumps(said), nothing(), None)


def _no_session() -> Refusal:
    words = "There is no session with this id. Open one with `initialize`."
    return Fault(INVALID, words, status=404)
