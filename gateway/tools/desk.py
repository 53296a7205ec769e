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
from gateway.dialects import mcp, mcp_names, mcp_params
from gateway.dialects.jsonrpc import OURS, PARAMS, UNKNOWN_METHOD, Fault
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.identity.resource import NOT_ENOUGH, Resources
from gateway.ids import WORKER, worker_of
from gateway.ingress.request import SESSION
from gateway.output.sqlgate import SqlGate
from gateway.policy.visible import Visible
from gateway.redaction.values import Values
from gateway.stores import Owners
from gateway.tools.answered import Answered
from gateway.tools.asking import Asks
from gateway.tools.caller import caller_of
from gateway.tools.catalogue import writes
from gateway.tools.eras import Eras
from gateway.tools.later_tasks import LaterTasks, acknowledged
from gateway.tools.listening import URIS, Listener, Listening, no_stream
from gateway.tools.notices import CANCELLED
from gateway.tools.operations import deletes
from gateway.tools.pins import Pins
from gateway.tools.plain_words import PlainWords
from gateway.tools.rounds import Rounds
from gateway.tools.said import for_earlier_era, for_later_era, keeps
from gateway.tools.schema import check
from gateway.tools.seen import Seen
from gateway.tools.sending import Sending, message_of, no_session
from gateway.tools.server import Server
from gateway.tools.servers import Servers
from gateway.tools.session_records import SessionRecords
from gateway.tools.sessions import Sessions
from gateway.tools.task_calls import TaskCalls
from gateway.tools.task_owners import TaskOwners
from gateway.tools.watches import UNWATCH, WATCH
from gateway.tools.wire import Relay, SessionLost, broken, parsed
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
        self._seen = Seen(visible, pins, resources, states)
        self._records = SessionRecords(owners, sessions)
        self._owners = TaskOwners(owners, sessions, visible, self._seen, values)
        self._asks = Asks(visible, sessions, servers.held, count)
        self._rounds = Rounds(visible, sessions, count)
        self._eras = Eras(servers.held, self._asks, self._rounds)
        later = LaterTasks(self._owners, sessions, self._rounds)
        self._tasks = TaskCalls(self._owners, later, visible)
        self._listening = Listening(visible, sessions, self._records, self._asks, self._owners, later)
        self._sending = Sending(
            sessions, self._records, self._owners, self._tasks, self._seen, self._asks, self._rounds, self._eras
        )
        self._resources = resources
        self._states = states
        self._rows = {name: row for name, row in rows.items() if row.mcp or row.command or row.openapi}
        self._servers = servers
        self._answered = Answered(
            self._rows, servers, sessions, self._records, self._sending, self._tasks, self._seen, visible, words
        )
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
        if (id := _codec(call).session) and await self._records.ended(id):
            raise no_session()

    def worker(self, call: Call) -> str:
        """The other worker that has what a message goes on with; "" for none."""
        codec, worker = _codec(call), ""
        if codec.round is not None and codec.round.held:
            worker = worker_of(codec.round.state)
        elif codec.question is not None:
            asked = codec.question
            opened = self._sending.opened(call, codec.door)
            process = codec.server in self._rows and bool(self._rows[codec.server].command)
            if opened is not None and (process or self._asks.waits_here(asked, opened)):
                worker = worker_of(asked.id)
        elif codec.method == mcp_names.LISTEN:
            worker = self._listening.kept_by(call, codec, self._sending.opened(call, codec.door))
        return worker if worker != WORKER else ""

    def concerns_all(self, call: Call) -> bool:
        """Whether a message may be about a call of any worker: each has processes of its own."""
        codec = _codec(call)
        return codec.method == CANCELLED and codec.door in self._rows and bool(self._rows[codec.door].command)

    async def find(self, call: Call) -> None:
        """Check that the called tool exists and takes the arguments; writes `call.request.label`. Raises Refusal."""
        codec = _codec(call)
        await self._check_open(call)
        if codec.task is not None:
            call.request.label, call.request.writes = call.resource.name, False
            await self._tasks.find(call, codec, self._server(codec.server), codec.task)
            if codec.answered_asks:
                self._check_sql(call, every=True)
            return
        if call.request.control:
            call.request.label = codec.server
            return
        server = self._server(codec.server)
        self._check_scopes(call, server.name)
        if codec.question is not None:
            call.request.label, call.request.writes = call.resource.name, False
            if not await self._visible.admits(call):
                raise Fault(PARAMS, "You may not answer this question of the server.", code="tool_not_found")
            self._check_sql(call, every=True)
            return
        if codec.method in mcp_names.READS:
            if codec.method in mcp_names.UPDATES and self._sending.joined(call, codec) is None:
                raise Fault(UNKNOWN_METHOD, "The method is served in a session at the path of one server.")
            call.request.label, call.request.writes = call.resource.name, False
            if not await self._visible.admits(call):
                raise Fault(
                    PARAMS, "There is nothing of this name. Lists have what you may read.", code="tool_not_found"
                )
            self._check_sql(call, every=True)
            return
        tool = await self._seen.tool(call, server, codec.called)
        if tool is None:
            raise mcp.unknown_tool()
        call.request.label, call.request.writes = call.resource.name, writes(server.row, tool)
        call.request.deletes = bool(server.row.openapi) and deletes(tool.tool)
        if not await self._visible.admits(call):
            raise mcp.unknown_tool()
        await self._tasks.choose(codec, tool, partial(self._answered.way, call, codec, server))
        codec.mirrored = mcp_params.paths(tool.tool["inputSchema"])
        if codec.mirrored and not codec.found and not call.request.recalled:
            mcp_params.check(codec.mirrored, call.resource.arguments, call.headers, needed=codec.modern)
        check(call.resource.arguments, tool.tool["inputSchema"])
        promised = tool.tool.get("outputSchema")
        codec.promised = promised if type(promised) is dict else {}
        self._check_sql(call, every=codec.round is not None)

    def _check_sql(self, call: Call, *, every: bool) -> None:
        """Check the SQL in what leaves. `every`: beside arguments, there are answers to questions, or nothing else.

        Raises Refusal(sql_blocked).
        """
        if self._sql is not None:
            self._sql.request(call, call.request.slots, every=every)

    async def open(self, call: Call, relay: Relay | None = None) -> Answer:
        """Answer a message of the protocol, or send a call to its server; writes `call.outcome`. Raises Refusal.

        `relay`: passes notifications of the server on to the caller.
        """
        codec, outcome = _codec(call), call.outcome
        if call.request.control:
            result = await self._answered.result(call, codec)
            return _answer({"jsonrpc": "2.0", "id": codec.id, "result": result})
        server = self._server(codec.server)
        if codec.method in mcp_names.UPDATES and (kept := self._sending.joined(call, codec)):
            if server.row.command:
                return await self._watch_process(call, codec, server)
            if kept.upstream.modern:
                return await self._watch(call, codec)
        await self._tasks.leaves(call, codec, server)
        outcome.provider, outcome.model, outcome.tries = server.name, codec.called, 1
        outcome.sent = True
        try:
            if codec.question is not None and (opened := self._sending.opened(call, codec.door)):
                await self._asks.answer(call, codec.question, server, opened)
                return _answer({})
            raw = await self._sending.tried(call, codec, server, relay)
            if codec.method == mcp_names.TASK_UPDATE:
                return _answer({"jsonrpc": "2.0", "id": codec.id, "result": acknowledged(raw)})
            raw = await self._tasks.answered(call, codec, server, await self._rounds.asked(call, codec, server, raw))
            if codec.promised and not keeps(codec.promised, raw):
                raise broken(server.name, "answered with structured content that does not fit the tool's output schema")
        except Refusal as fault:
            self._seen.failed(server, fault)
            raise
        self._states[server.name], outcome.status = 1, 200
        return _answer((for_later_era if codec.modern else for_earlier_era)(raw, codec.method))

    async def _watch(self, call: Call, codec: Mcp) -> Answer:
        """Note which resources a client watches, at a server that is told with each stream. Raises Refusal."""
        on = codec.method == mcp_names.UPDATES[0]
        if not await self._records.watch(codec.session, codec.given["uri"], on=on, most=URIS):
            raise Fault(PARAMS, f"The session watches {URIS} resources already.")
        call.outcome.status = 200
        return _answer({"jsonrpc": "2.0", "id": codec.id, "result": {}})

    async def _watch_process(self, call: Call, codec: Mcp, server: Server) -> Answer:
        """Note which resources of a process a client watches, if the process has them. Raises Refusal.

        The process is told as long as the client has a stream.
        """
        if codec.method != WATCH:
            return await self._watch(call, codec)
        message = message_of(call, codec, codec.given)
        raw = await self._sending.exchange(call, codec, server, message)
        try:
            return await self._watch(call, codec) if "result" in parsed(raw) else _answer(raw)
        finally:  # in a while: until then, the stream of the client has noticed
            with contextlib.suppress(Refusal):
                await self._sending.exchange(call, codec, server, {**message, "method": UNWATCH})

    async def end(self, call: Call, server: str) -> None:
        """End the session that a call names. Raises Refusal(invalid_request)."""
        opened = self._sending.opened(call, server)
        if opened is None:
            raise no_session()
        await self._check_open(call)
        await self._records.end(_codec(call).session)
        if server and opened.joined:
            await self._server(server).end(opened.upstream, caller_of(call))

    async def listen(self, call: Call, listener: Listener) -> None:
        """Pass on what a server tells without a request, until the stream ends. Raises Refusal."""
        codec = _codec(call)
        if await self._listening.resume(call, codec, self._sending.opened(call, codec.door), listener):
            return
        opened = self._sending.opened(call, codec.door)
        if not codec.door:
            names = [name for name in self._rows if not self._resources.lacks(name, call.subject)]
            await self._listening.listen_to_all(call, codec, list(map(self._server, names)), opened, listener)
            return
        try:
            if opened is not None and not opened.joined:
                raise no_stream(codec)
            await self._listening.listen(call, codec, self._server(codec.door), opened, listener)
        except SessionLost:
            raise no_session() from None

    def resumes(self, call: Call) -> Resumed | None:
        """How the client of a call comes back to a stream that broke; None if it cannot: before 2025-11-25."""
        codec = _codec(call)
        opened = self._sending.opened(call, codec.door) if not codec.modern else None
        if opened is None or opened.version != mcp_names.HANDSHAKE[-1]:
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

    def _server(self, name: str) -> Server:
        return self._servers.of(name, self._rows[name])


def _codec(call: Call) -> Mcp:
    codec = call.codec
    assert isinstance(codec, Mcp), "calls of tools have the codec of their protocol"
    return codec


def _answer(said: bytes | Json) -> Answer:
    """An answer that is complete; of an object, the result."""
    return Answer.complete(said if isinstance(said, bytes) else orjson.dumps(said))
