"""Messages of the protocol that call nothing: the gateway answers them, from what the servers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from gateway.call import Call, Json
from gateway.config.tools import Tool
from gateway.dialects import items, mcp_names, mcp_questions
from gateway.dialects.jsonrpc import PARAMS, UNKNOWN_METHOD, Fault, is_id
from gateway.dialects.mcp import Mcp
from gateway.dialects.mcp_era import SESSION_ID
from gateway.policy.visible import Visible
from gateway.tools import tasks
from gateway.tools.caller import caller_of
from gateway.tools.discovery import DEFINITIONS, found
from gateway.tools.notices import CANCELLED
from gateway.tools.plain_words import PlainWords
from gateway.tools.said import about, joined
from gateway.tools.seen import Seen
from gateway.tools.sending import Sending, message_of
from gateway.tools.server import Server
from gateway.tools.servers import Servers
from gateway.tools.session_records import SessionRecords
from gateway.tools.sessions import Sessions
from gateway.tools.task_calls import TaskCalls, Way
from gateway.tools.user_tokens import Unconnected
from gateway.tools.wire import UNOPENED, Session, broken

_ALL: Final[Json] = {"capabilities": {"tools": {"listChanged": True}, "logging": {}}}
"""What all servers together tell without a request."""


class Answered:
    """The part of the desk that answers messages of the protocol."""

    def __init__(
        self,
        rows: Mapping[str, Tool],
        servers: Servers,
        sessions: Sessions,
        records: SessionRecords,
        sending: Sending,
        tasks: TaskCalls,
        seen: Seen,
        visible: Visible,
        words: PlainWords,
    ) -> None:
        self._rows = rows
        self._servers = servers
        self._sessions = sessions
        self._records = records
        self._sending = sending
        self._tasks = tasks
        self._seen = seen
        self._visible = visible
        self._words = words

    async def result(self, call: Call, codec: Mcp) -> Json:
        """The result of a message of the protocol; nothing for a notification."""
        if codec.told:
            await self._tell(call, codec)
            return {}
        done: Json = {"resultType": "complete"} if codec.modern else {}
        match codec.method:
            case "initialize":
                return await self._initialize(call, codec)
            case "server/discover":
                told = about(_ALL, logs=False, streams=True)
                if codec.door:
                    _, told = await self._meet(call, self._server(codec.door))
                told[mcp_names.META] = {mcp_names.SERVER: told.pop("serverInfo")}
                return {**told, "supportedVersions": list(mcp_names.VERSIONS), **self._fresh(codec)}
            case mcp_names.SET_LEVEL:
                return await self._set_level(call, codec)
            case _ if codec.task is not None or codec.method == mcp_names.TASK_LIST:
                return await self._of_tasks(call, codec)
            case mcp_names.LIST:
                return {"tools": await self._list(call, codec), **self._fresh(codec)}
            case _ if codec.method in mcp_names.LISTS:
                return await self._readable(call, codec, done)
            case mcp_names.CALL if codec.query is not None:
                return {**found(await self._all(call, codec), codec.query), **done}
        return done

    async def _of_tasks(self, call: Call, codec: Mcp) -> Json:
        """The answer about a task, or the list of tasks. Raises Refusal."""
        server = self._server(codec.door) if codec.door else None
        if codec.method == mcp_names.TASK_LIST and (server is None or not await self._lists_tasks(call, codec, server)):
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
        return await self.way(call, codec, server) == "session" and "list" in tasks.offered(server.about)

    async def way(self, call: Call, codec: Mcp, server: Server) -> Way:
        """How the client can call tools of a server as tasks. Raises Refusal."""
        return await self._tasks.way(call, codec, server, joined=self._sending.joined(call, codec) is not None)

    async def _set_level(self, call: Call, codec: Mcp) -> Json:
        """Tell a server which messages of its log the client of a session wants. Raises Refusal.

        Servers of the later era, and processes, are told with each call.
        """
        if codec.params.get("level") not in mcp_names.LEVELS:
            raise Fault(PARAMS, f"`params.level` must be one of {', '.join(mcp_names.LEVELS)}.")
        opened = self._sending.opened(call, codec.door)
        if opened is None:
            raise Fault(UNKNOWN_METHOD, "The method is served in a session.")
        process = bool(codec.door and self._rows[codec.door].command)
        if process and not await self._logs(call, codec):
            raise Fault(UNKNOWN_METHOD, "The server has no log.")
        if opened.upstream.modern or process or not codec.door:
            await self._records.set_level(codec.session, codec.params["level"])
            return {}
        message = message_of(call, codec, {"level": codec.params["level"]})
        if _result(await self._sending.exchange(call, codec, self._server(codec.door), message)) is None:
            raise broken(codec.door, "did not take the level of its log")
        return {}

    async def _logs(self, call: Call, codec: Mcp) -> bool:
        """Whether a process says that it has a log. Raises Refusal."""
        server = self._server(codec.door)
        await server.seat(caller_of(call))
        return "logging" in about(server.about, logs=True, streams=True)["capabilities"]

    async def _tell(self, call: Call, codec: Mcp) -> None:
        """Pass on that a client of a session cancels a request. Other notifications concern the gateway alone."""
        id = codec.params.get("requestId")
        opened = self._sending.opened(call, codec.door) if codec.door else None
        if codec.method == CANCELLED and opened and opened.joined and is_id(id):
            message = {"jsonrpc": "2.0", "method": codec.method, "params": {"requestId": id}}
            await self._server(codec.door).tell_in(opened.upstream, message, caller_of(call))

    async def _meet(self, call: Call, server: Server, able: Json | None = None) -> tuple[Session, Json]:
        """A session with a server (a new one, or the gateway's for the caller), and what a client hears of the server.

        `able`: what the client of a new session can be asked. A caller without an account there hears what others were
        told, without the instructions.
        """
        caller = caller_of(call)
        try:
            session = await (server.open(caller, able) if able is not None else server.seat(caller))
            if able is None:
                await server.later(caller)  # which tells of its tasks
        except Unconnected:
            return UNOPENED, about({**server.about, "instructions": None}, logs=False, streams=False)
        told = about(await self._words.told(server.told(caller)), logs=True, streams=True, watches=True)
        offered = tasks.offered(server.about)
        if able is not None and offered:
            told["capabilities"]["tasks"] = offered
        if able is None and (offered or server.later_tasks):
            told["capabilities"][mcp_names.EXTENSIONS] = {mcp_names.TASK_EXTENSION: {}}
        return session, told

    async def _initialize(self, call: Call, codec: Mcp) -> Json:
        """Open a session for this client, with the server if the path names one."""
        assert call.subject is not None, "sessions come after identify"
        wanted = codec.params.get("protocolVersion")
        version = wanted if wanted in mcp_names.HANDSHAKE else mcp_names.HANDSHAKE[-1]
        upstream, told, able = Session(version), about(_ALL, logs=True, streams=True), Json()
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
        name = mcp_names.READS[mcp_names.LISTS[codec.method]]
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
        if "cacheScope" in result:
            result["cacheScope"] = "private"
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
        for server, sight in await self._seen.several(call, [self._server(name) for name in names], all=not codec.door):
            usable = sight if sight.plain is None or await self.way(call, codec, server) else sight.plain
            tools += usable.told if codec.door else joined(server.name, usable.listed)
        return tools

    def _fresh(self, codec: Mcp) -> Json:
        """How long a list may be used, and that nobody else may."""
        if not codec.modern:
            return {}
        seconds = min(row.refresh for name, row in self._rows.items() if codec.door in ("", name))
        return {"resultType": "complete", "ttlMs": int(seconds * 1000), "cacheScope": "private"}

    def _server(self, name: str) -> Server:
        return self._servers.of(name, self._rows[name])


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
