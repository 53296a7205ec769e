"""Where calls of tools are answered: finds the tool, and sends the call to its server.

Config key: `tools`. Refuses with tool_not_found, invalid_request, sql_blocked, upstream_error and upstream_timeout.
Messages of the protocol itself (initialize, lists, pings) are answered here, from what the servers say.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import orjson

from gateway.call import Call, Json
from gateway.config.tools import Tool
from gateway.dialects import items, mcp, mcp_params, mcp_questions
from gateway.dialects.jsonrpc import OURS, PARAMS, UNKNOWN_METHOD, Fault, is_id
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.identity.resource import NOT_ENOUGH, Resources
from gateway.ingress.request import SESSION
from gateway.output.sqlgate import SqlGate
from gateway.policy.visible import Visible
from gateway.redaction.values import Values
from gateway.stores import Owners
from gateway.tools import tasks
from gateway.tools.asking import Asks
from gateway.tools.caller import caller_of
from gateway.tools.catalogue import needs_task, writes
from gateway.tools.discovery import DEFINITIONS, found
from gateway.tools.eras import Eras
from gateway.tools.later_tasks import LaterTasks, acknowledged
from gateway.tools.listening import Listener, Listening, no_stream
from gateway.tools.pins import Pins
from gateway.tools.plain_words import PlainWords
from gateway.tools.rounds import Rounds
from gateway.tools.said import about, for_later_era, joined, keeps
from gateway.tools.schema import check
from gateway.tools.seen import Seen
from gateway.tools.sending import SESSION_ID, Sending, message_of, no_session
from gateway.tools.server import Server
from gateway.tools.servers import Servers
from gateway.tools.session_records import SessionRecords
from gateway.tools.sessions import Sessions
from gateway.tools.task_calls import TaskCalls, Way
from gateway.tools.task_owners import TaskOwners
from gateway.tools.user_tokens import Unconnected
from gateway.tools.wire import UNOPENED, Relay, Session, SessionLost, broken
from gateway.upstream.answer import Answer


class Resumed(NamedTuple):
    """The session of a client, and the id that an event of a stream has in it, by stream and number."""

    session: str
    id: Callable[[str, int], str]


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
        count: Callable[[str], int],
        owners: Owners,
        values: Values | None,
        words: PlainWords,
    ) -> None:
        self._words = words
        self._seen = Seen(visible, pins, resources, states)
        self._records = SessionRecords(owners, sessions)
        self._owners = TaskOwners(owners, sessions, visible, self._seen, values)
        self._asks = Asks(visible, sessions, servers.held, count)
        self._rounds = Rounds(visible, sessions, count)
        self._eras = Eras(servers.held, self._asks, self._rounds)
        later = LaterTasks(self._owners, sessions, self._rounds)
        self._tasks = TaskCalls(self._owners, later, visible)
        self._listening = Listening(visible, sessions, self._asks, self._owners, later)
        self._sending = Sending(
            sessions, self._records, self._owners, self._tasks, self._seen, self._asks, self._rounds, self._eras
        )
        self._resources = resources
        self._states = states
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
        opened = self._sending.opened(call, _codec(call).door)
        assert call.subject is not None, "sessions come after identify"
        _codec(call).round_of = partial(self._sessions.round_of, call.subject)
        _codec(call).task_of = partial(self._owners.enter, call.request, call.subject)
        _codec(call).ask_of = partial(self._sessions.ask_of, call.subject)
        if opened is not None:
            call.values = {SESSION: opened.workflow}
            _codec(call).asked_as = partial(self._sessions.asked, call.subject, _codec(call).door, opened)

    def _check_scopes(self, call: Call, server: str) -> None:
        """Raise Refusal(policy_denied) with the status 403 that clients of OAuth take as the request for scopes."""
        if self._resources.lacks(server, call.subject):
            words = f"The token has not all scopes that the tool server {server} needs: tools.{server}.scopes."
            data = {"error": NOT_ENOUGH, "server": server}
            raise Fault(OURS, words, code="policy_denied", status=403, data=data)

    async def _check_open(self, call: Call) -> None:
        """Raise Refusal(invalid_request) if the client has ended the session that a call names."""
        if (id := mcp.header(call.headers, SESSION_ID)) and await self._records.ended(id):
            raise no_session()

    async def find(self, call: Call) -> None:
        """Check that the called tool exists and takes the arguments; writes `call.request.label`. Raises Refusal."""
        codec = _codec(call)
        await self._check_open(call)
        if codec.task is not None:
            call.request.label, call.request.writes = call.resource.name, False
            await self._tasks.find(call, codec, self._server(codec.server), codec.task)
            return
        if call.request.control:
            call.request.label = codec.server
            return
        server = self._server(codec.server)
        self._check_scopes(call, server.name)
        if codec.question is not None:
            call.request.label = call.resource.name
            if not await self._visible.admits(call):
                raise Fault(PARAMS, "You may not answer this question of the server.", code="tool_not_found")
            return
        if codec.method in mcp.READS:
            if codec.method in mcp.UPDATES and (
                not self._logs(codec.door) or self._sending.joined(call, codec) is None
            ):
                raise Fault(UNKNOWN_METHOD, "The method is served in a session at the path of one server over HTTP.")
            call.request.label, call.request.writes = call.resource.name, False
            if not await self._visible.admits(call):
                raise Fault(
                    PARAMS, "There is nothing of this name. Lists have what you may read.", code="tool_not_found"
                )
            return
        tool = await self._seen.tool(call, server, codec.called)
        if tool is None:
            raise mcp.unknown_tool()
        call.request.label, call.request.writes = call.resource.name, writes(server.row, tool)
        if not await self._visible.admits(call):
            raise mcp.unknown_tool()
        await self._tasks.choose(codec, tool, partial(self._way, call, codec, server))
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
        await self._tasks.leaves(call, codec, server)
        outcome.provider, outcome.model, outcome.tries = server.name, codec.called, 1
        outcome.sent = True
        try:
            if codec.question is not None and (opened := self._sending.opened(call, codec.door)):
                await self._asks.answer(call, codec.question, server, opened)
                return _answer({})
            raw = await self._sending.tried(call, codec, server, relay)
            if codec.method == mcp.TASK_UPDATE:
                return _answer({"jsonrpc": "2.0", "id": codec.id, "result": acknowledged(raw)})
            raw = await self._tasks.answered(call, codec, server, await self._rounds.asked(call, codec, server, raw))
            if codec.promised and not keeps(codec.promised, raw):
                raise broken(server.name, "answered with structured content that does not fit the tool's output schema")
        except Refusal as fault:
            self._seen.failed(server, fault)
            raise
        self._states[server.name], outcome.status = 1, 200
        return _answer(for_later_era(raw, codec.method) if codec.modern else raw)

    async def end(self, call: Call, server: str) -> None:
        """End the session that a call names. Raises Refusal(invalid_request)."""
        opened = self._sending.opened(call, server)
        if opened is None:
            raise no_session()
        await self._check_open(call)
        await self._records.end(mcp.header(call.headers, SESSION_ID))
        if server and opened.joined:
            await self._server(server).end(opened.upstream, caller_of(call))

    async def listen(self, call: Call, listener: Listener) -> None:
        """Pass on what a server tells without a request, until the stream ends. Raises Refusal."""
        codec = _codec(call)
        if await self._listening.resume(call, codec, self._sending.opened(call, codec.door), listener):
            return
        if not codec.door:
            raise Fault(UNKNOWN_METHOD, "Streams are served at the path of one server.", status=404)
        try:
            opened = self._sending.opened(call, codec.door)
            if opened is not None and not opened.joined:
                raise no_stream(codec)
            await self._listening.listen(call, codec, self._server(codec.door), opened, listener)
        except SessionLost:
            raise no_session() from None

    def resumes(self, call: Call) -> Resumed | None:
        """How the client of a call comes back to a stream that broke; None if it cannot: before 2025-11-25."""
        codec = _codec(call)
        opened = self._sending.opened(call, codec.door) if not codec.modern else None
        if opened is None or opened.version != mcp.HANDSHAKE[-1]:
            return None
        assert call.subject is not None, "sessions come after identify"
        session = f"{call.subject.team}\0{call.subject.agent}\0{opened.workflow}"
        return Resumed(session, partial(self._sessions.kept, call.subject, codec.door, opened))

    async def turn_down(self, call: Call) -> None:
        """Tell a server that an answer of the client was refused, so that the server does not wait in vain."""
        codec = _codec(call)
        self._eras.drop(codec)
        if codec.question is not None and not call.outcome.sent and (opened := self._sending.opened(call, codec.door)):
            with contextlib.suppress(Refusal):
                await self._asks.turn_down(call, codec.question, self._server(codec.server), opened)

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
                told = about({}, logs=False, streams=False)
                if codec.door:
                    _, told = await self._meet(call, self._server(codec.door))
                told[mcp.META] = {mcp.SERVER: told.pop("serverInfo")}
                return {**told, "supportedVersions": list(mcp.VERSIONS), **self._fresh(codec)}
            case mcp.SET_LEVEL:
                return await self._set_level(call, codec)
            case _ if codec.task is not None or codec.method == mcp.TASK_LIST:
                return await self._of_tasks(call, codec)
            case mcp.LIST:
                return {"tools": await self._list(call, codec), **self._fresh(codec)}
            case _ if codec.method in mcp.LISTS:
                return await self._readable(call, codec, done)
            case mcp.CALL if codec.query is not None:
                return {**found(await self._all(call, codec), codec.query), **done}
        return done

    async def _of_tasks(self, call: Call, codec: Mcp) -> Json:
        """The answer about a task, or the list of tasks. Raises Refusal."""
        server = self._server(codec.door) if codec.door else None
        if codec.method == mcp.TASK_LIST and (server is None or not await self._lists_tasks(call, codec, server)):
            raise Fault(UNKNOWN_METHOD, "The server lists no tasks, or there is no session with it at this path.")
        assert server is not None, "tasks are served at the path of one server"

        async def send(method: str, params: Json) -> bytes:
            return await self._sending.exchange(
                call, codec, server, {**message_of(call, codec, params), "method": method}
            )

        if codec.task is None:
            return await self._tasks.listed(call, codec, server, send)
        return await self._tasks.state(call, codec, server, codec.task, send)

    async def _lists_tasks(self, call: Call, codec: Mcp, server: Server) -> bool:
        """Whether the client of a session can list its tasks."""
        return await self._way(call, codec, server) == "session" and "list" in tasks.offered(server.about)

    async def _way(self, call: Call, codec: Mcp, server: Server) -> Way:
        """How the client can call tools of a server as tasks. Raises Refusal."""
        return await self._tasks.way(call, codec, server, joined=self._sending.joined(call, codec) is not None)

    def _logs(self, server: str) -> bool:
        """Whether the log of a server can reach clients: that of a process has no sessions."""
        return bool(server) and not self._rows[server].command

    async def _set_level(self, call: Call, codec: Mcp) -> Json:
        """Tell a server which messages of its log the client of a session wants. Raises Refusal.

        Servers of the later era are told with each call.
        """
        if codec.params.get("level") not in mcp.LEVELS:
            raise Fault(PARAMS, f"`params.level` must be one of {', '.join(mcp.LEVELS)}.")
        opened = self._sending.opened(call, codec.door) if self._logs(codec.door) else None
        if opened is None:
            raise Fault(UNKNOWN_METHOD, "The method is served in a session at the path of one server over HTTP.")
        if opened.upstream.modern:
            await self._records.set_level(mcp.header(call.headers, SESSION_ID), codec.params["level"])
            return {}
        message = message_of(call, codec, {"level": codec.params["level"]})
        if _result(await self._sending.exchange(call, codec, self._server(codec.door), message)) is None:
            raise broken(codec.door, "did not take the level of its log")
        return {}

    async def _tell(self, call: Call, codec: Mcp) -> None:
        """Pass on that a client of a session cancels a request. Other notifications concern the gateway alone."""
        id = codec.params.get("requestId")
        opened = self._sending.opened(call, codec.door) if codec.door else None
        if codec.method == "notifications/cancelled" and opened and opened.joined and is_id(id):
            message = {"jsonrpc": "2.0", "method": codec.method, "params": {"requestId": id}}
            await self._server(codec.door).tell_in(opened.upstream, message, caller_of(call))

    async def _meet(self, call: Call, server: Server, able: Json | None = None) -> tuple[Session, Json]:
        """A session with a server (a new one, or the gateway's for the caller), and what a client hears of the server.

        `able`: what the client of a new session can be asked. A caller without an account there hears what others were
        told, without the instructions.
        """
        caller, logs = caller_of(call), self._logs(server.name)
        try:
            session = await (server.open(caller, able) if able is not None else server.seat(caller))
            streams = logs and (able is not None or await server.later(caller) is not None)
        except Unconnected:
            return UNOPENED, about({**server.about, "instructions": None}, logs=False, streams=False)
        told = about(await self._words.told(server.told(caller)), logs=logs, streams=streams)
        offered = tasks.offered(server.about)
        if able is not None and offered:
            told["capabilities"]["tasks"] = offered
        if able is None and (offered or server.later_tasks):
            told["capabilities"][mcp.EXTENSIONS] = {mcp.TASK_EXTENSION: {}}
        return session, told

    async def _initialize(self, call: Call, codec: Mcp) -> Json:
        """Open a session for this client, with the server if the path names one."""
        assert call.subject is not None, "sessions come after identify"
        wanted = codec.params.get("protocolVersion")
        version = wanted if wanted in mcp.HANDSHAKE else mcp.HANDSHAKE[-1]
        upstream, told, able = Session(version), about({}, logs=False, streams=False), Json()
        if not codec.door:
            kinds = {kind for row in self._rows.values() for kind in row.asks}
            able = mcp_questions.able(codec.params.get("capabilities"), kinds)
        else:
            server = self._server(codec.door)
            able = mcp_questions.able(codec.params.get("capabilities"), server.row.asks)
            upstream, told = await self._meet(call, server, able)
        id = self._sessions.new(call.subject, codec.door, upstream, version, able)
        call.outcome.headers = ((SESSION_ID, id.encode()),)
        return {"protocolVersion": version, **told}

    async def _readable(self, call: Call, codec: Mcp, done: Json) -> Json:
        """The list of resources or prompts of a server, as the server has it; an empty one if none may be read."""
        name = mcp.READS[mcp.LISTS[codec.method]]
        kind = codec.method.split("/")[-2] if codec.method != "resources/templates/list" else "resourceTemplates"
        if not codec.door and codec.modern:  # which must not serve what discovery does not have
            raise Fault(UNKNOWN_METHOD, "The path of all servers has tools alone.", status=404)
        if not codec.door or not await self._visible.may(call, f"{codec.door}/{name}", writes=False):
            return {kind: [], **done, **self._fresh(codec)}
        cursor = codec.params.get("cursor")
        params = {"cursor": cursor} if type(cursor) is str else {}
        message = message_of(call, codec, params)
        try:
            result = _result(await self._sending.exchange(call, codec, self._server(codec.door), message))
        except Unconnected:
            return {kind: [], **done, **self._fresh(codec)}
        if result is None or type(result.get(kind)) is not list:
            raise broken(codec.door, "answered with something that is not a list")
        return {**result, kind: await self._words.among(result[kind]), **done, **self._fresh(codec)}

    async def _list(self, call: Call, codec: Mcp) -> list[Json]:
        """The tools in a list: those that are searched for are replaced by the search."""
        names = [name for name in ([codec.door] if codec.door else self._rows) if name not in codec.searched]
        return [*await self._of(call, codec, names), *(DEFINITIONS if codec.searched else ())]

    async def _all(self, call: Call, codec: Mcp) -> list[Json]:
        """The tools that a search finds."""
        return await self._of(call, codec, [codec.door] if codec.door else list(self._rows))

    async def _of(self, call: Call, codec: Mcp, names: Sequence[str]) -> list[Json]:
        """The visible tools of these servers. In the list of all, a server that does not answer is left out."""
        tools: list[Json] = []
        for server, listed in await self._seen.several(
            call, [self._server(name) for name in names], all=not codec.door
        ):
            hides = any(map(needs_task, listed)) and not await self._way(call, codec, server)
            usable = [one for one in listed if not (hides and needs_task(one))]
            tools += [one.tool for one in usable] if codec.door else joined(server.name, usable)
        return tools

    def _fresh(self, codec: Mcp) -> Json:
        """How long a list may be used, and that nobody else may."""
        if not codec.modern:
            return {}
        seconds = min(row.refresh for name, row in self._rows.items() if codec.door in ("", name))
        return {"resultType": "complete", "ttlMs": int(seconds * 1000), "cacheScope": "private"}

    def _server(self, name: str) -> Server:
        return self._servers.of(name, self._rows[name])


def _codec(call: Call) -> Mcp:
    codec = call.codec
    assert isinstance(codec, Mcp), "calls of tools have the codec of their protocol"
    return codec


def _result(raw: bytes) -> Json | None:
    """The result of a response; None for anything else, also for what is nested too deep to be written again."""
    try:
        said = orjson.loads(raw)
        if items.is_deep(raw):
            return None
    except orjson.JSONDecodeError:
        return None
    result = said.get("result") if type(said) is dict else None
    return result if type(result) is dict else None


def _answer(said: bytes | Json) -> Answer:
    """An answer that is complete; of an object, the result."""
    return Answer.complete(said if isinstance(said, bytes) else orjson.dumps(said))
