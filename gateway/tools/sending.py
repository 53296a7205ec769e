"""How a call leaves for its server: in the session of its client, or in that of the gateway for the caller.

A server may ask the client before its answer or in its answer: see `asking`, `rounds` and `eras`.
"""

from __future__ import annotations

from functools import partial

from gateway.call import Call, Json
from gateway.dialects import mcp_names, mcp_params, mcp_questions
from gateway.dialects.jsonrpc import INVALID, Fault
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.tools.asking import Asks, Passing
from gateway.tools.caller import caller_of
from gateway.tools.catalogue import repeats
from gateway.tools.eras import Eras
from gateway.tools.later_tasks import answers
from gateway.tools.rounds import Rounds
from gateway.tools.seen import Seen
from gateway.tools.server import Server
from gateway.tools.session_records import SessionRecords
from gateway.tools.sessions import Opened, Sessions
from gateway.tools.task_calls import TaskCalls
from gateway.tools.task_owners import TaskOwners, TaskRelay
from gateway.tools.wire import NOTHING, Hold, Relay, SessionLost


class Sending:
    """The part of the desk that sends calls."""

    def __init__(
        self,
        sessions: Sessions,
        records: SessionRecords,
        owners: TaskOwners,
        tasks: TaskCalls,
        seen: Seen,
        asks: Asks,
        rounds: Rounds,
        eras: Eras,
    ) -> None:
        self._sessions = sessions
        self._records = records
        self._owners = owners
        self._tasks = tasks
        self._seen = seen
        self._asks = asks
        self._rounds = rounds
        self._eras = eras

    def opened(self, call: Call, server: str) -> Opened | None:
        """The session that a call names; None without one. Raises Refusal(invalid_request) for one it may not use."""
        codec = call.codec
        assert isinstance(codec, Mcp), "sessions are those of the protocol"
        if not codec.session:
            return None
        assert call.subject is not None, "sessions come after identify"
        opened = self._sessions.open(call.subject, server, codec.session)
        if opened is None:
            raise no_session()
        return opened

    def joined(self, call: Call, codec: Mcp) -> Opened | None:
        """The session that a call names, if the gateway has one with the server for it. Raises Refusal."""
        opened = self.opened(call, codec.door) if codec.door and not codec.modern else None
        return opened if opened is not None and opened.joined else None

    async def tried(self, call: Call, codec: Mcp, server: Server, relay: Relay | None) -> bytes:
        """The response to a call, whose client may be asked before. Raises Refusal."""
        if codec.round is not None and codec.round.held:
            return await self._eras.go_on(call, codec, relay)
        if codec.modern and (able := self._asker(call, codec, server)[0]) and not await server.later(caller_of(call)):
            return await self._eras.begin(call, codec, server, able, relay, partial(self._sent, call, codec, server))
        opened = self.opened(call, codec.door) if not codec.modern else None
        passing = self._asks.passing(call, codec.door, server, opened, relay) if relay is not None else None
        joined = self.joined(call, codec) is not None
        hears = TaskRelay(self._owners, call, server, relay, passing) if joined and relay and passing else passing
        raw = await self._sent(call, codec, server, passing, call.ticket.hold, hears)
        if passing is None or not passing.able:
            return raw
        again = partial(self._ask, call, codec, server, passing, call.ticket.hold, hears)
        return await self._eras.in_stream(call, server, passing, raw, again)

    def _asker(self, call: Call, codec: Mcp, server: Server) -> tuple[Json, tuple[str, ...]]:
        """What the client of a call can be asked, and who that is: see `Session.holder`."""
        if not codec.modern:
            opened = self.opened(call, codec.door)
            if opened is None:
                return {}, ()
            return mcp_questions.able(opened.able, server.row.asks), opened.upstream.holder
        assert call.subject is not None, "calls leave after identify"
        able = codec.able(server.row.asks) if codec.task is None and codec.as_task is None else {}
        return able, (call.subject.team, call.subject.agent, call.subject.acting, "")

    async def _sent(
        self,
        call: Call,
        codec: Mcp,
        server: Server,
        passing: Passing | None,
        hold: Hold,
        hears: Relay | None = None,
    ) -> bytes:
        """Send a call; once more after a fault if the tool may be called again without effect. Raises Refusal."""
        try:
            return await self._ask(call, codec, server, passing, hold, hears)
        except Refusal as fault:
            at_once = fault.code == "upstream_error" and fault.retry_after is None
            asked = passing is not None and passing.asked
            if not at_once or asked or not await self._repeats(call, codec, server):
                raise
        call.outcome.tries += 1
        return await self._ask(call, codec, server, passing, hold, hears)

    async def _repeats(self, call: Call, codec: Mcp, server: Server) -> bool:
        """Whether a call may be sent again."""
        if codec.method in mcp_names.READS or codec.task is not None:
            return True
        if codec.as_task is not None:
            return False
        tool = await self._seen.tool(call, server, codec.called)
        return tool is not None and repeats(server.row, tool)

    async def _ask(
        self,
        call: Call,
        codec: Mcp,
        server: Server,
        passing: Passing | None,
        hold: Hold,
        hears: Relay | None,
        more: Json = NOTHING,
    ) -> bytes:
        """Send a call. `hears`: takes what comes before the answer. `more`: further parameters. Raises Refusal."""
        called = codec.method == mcp_names.CALL
        params: Json = {"name": codec.called, "arguments": codec.given} if called else codec.given
        params = {**self._rounds.params(call, codec, params), **more}
        if codec.as_task is not None:
            params = {**params, "task": codec.as_task}
        if codec.answered_asks:
            params = answers(call, codec)
        if passing is not None and (joined := self.joined(call, codec)) is not None and joined.upstream.modern:
            codec.level = await self._records.level(codec.session)
        if passing is not None and (meta := codec.wanted(passing.token)):
            params = {**params, mcp_names.META: meta}
        message = message_of(call, codec, params)
        level = await self._level(codec) if server.row.command and passing is not None else ""
        return await self.exchange(call, codec, server, message, hears or passing, hold, level)

    async def _level(self, codec: Mcp) -> str:
        """The level from which the client of a call wants the log; "" if it wants none."""
        id = codec.session
        return await self._records.level(id) if id else codec.level

    async def exchange(
        self,
        call: Call,
        codec: Mcp,
        server: Server,
        message: Json,
        relay: Relay | None = None,
        hold: Hold | None = None,
        level: str = "",
    ) -> bytes:
        """Send a request in the session of the client, or in that of the gateway for this caller. Raises Refusal.

        `level`: see `Session.level`.
        """
        hold, caller = hold or call.ticket.hold, caller_of(call)
        headers = mcp_params.written(codec.mirrored, codec.given) if codec.mirrored else {}
        able, holder = self._asker(call, codec, server) if relay is not None else ({}, ())
        joined = self.joined(call, codec)
        if codec.modern and (later := await self._tasks.session(call, codec, server)) is not None:
            raw = await server.ask_in(later, message, hold, caller, headers, relay)
        elif joined is None:
            raw = await server.ask(message, hold, caller, headers, relay, able, holder, level)
        else:
            session = joined.upstream._replace(able=able, level=level)
            try:
                raw = await server.ask_in(session, message, hold, caller, headers, relay)
            except SessionLost:
                raise no_session() from None
        return codec.named(raw, message["id"])


def message_of(call: Call, codec: Mcp, params: Json) -> Json:
    """A request to a server. Its id is that of the body, which was redacted after the codec read it."""
    return {"jsonrpc": "2.0", "id": call.request.body["id"], "method": codec.method, "params": params}


def no_session() -> Refusal:
    words = "There is no session with this id. Open one with `initialize`."
    return Fault(INVALID, words, status=404)
