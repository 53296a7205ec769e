"""What a server tells without a request of the client: the stream that a session gets with GET (until 2025-11-25), and
the answer to `subscriptions/listen` (from 2026-07-28 on).

The ids of events are sealed: a client that lost its stream goes on from an id that it got (`Last-Event-ID`), in the
same session. A stream ends after half an hour, and clients open another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, Protocol

from gateway.call import Call, Json, Resource
from gateway.dialects import mcp_era, mcp_names
from gateway.dialects.jsonrpc import INVALID, PARAMS, UNKNOWN_METHOD, Fault
from gateway.dialects.mcp import Mcp
from gateway.dialects.mcp_names import LISTENING
from gateway.errors import Refusal
from gateway.ids import worker_of
from gateway.policy.visible import Visible
from gateway.tools.asking import Asks
from gateway.tools.caller import caller_of
from gateway.tools.later_tasks import LaterTasks
from gateway.tools.notices import (
    ACKNOWLEDGED,
    CHANGED,
    MESSAGE,
    SUBSCRIPTION,
    TASK_CHANGED,
    TASK_STATUS,
    UPDATED,
    Beside,
    acknowledged,
    news,
)
from gateway.tools.pace import Pace
from gateway.tools.server import Server
from gateway.tools.session_records import SessionRecords
from gateway.tools.sessions import Opened, Sessions
from gateway.tools.sources import LISTS, WATCHED, NoStream, merged, of_process, source, tells, until
from gateway.tools.task_owners import Found, TaskOwners
from gateway.tools.wire import Relay, broken, reply

TOOL: Final = "listen"
"""The name under which the policy judges a stream, as a call of a tool of the server."""
TOOLS_CHANGED: Final = "toolsListChanged"
_NOTICES: Final = 1000  # of a server in a window
_QUESTIONS: Final = 16  # of a server in a window
_READS: Final = {
    "toolsListChanged": "",
    "promptsListChanged": "get_prompt",
    "resourcesListChanged": "read_resource",
    "resourceSubscriptions": "read_resource",
}
"""What a client can listen for -> the tool that it must be allowed to call."""
URIS: Final = 1000  # that a client can listen for


class Listener(Relay, Protocol):
    """The client of a stream. `at`: the id of the next event."""

    at: str

    async def keep(self) -> None:
        """The stream is open, although nothing is told."""
        ...

    async def mark(self) -> None:
        """Send `at` without a message."""
        ...

    async def again(self, stream: str, number: int) -> bool:
        """Send what follows an event of an answer that is kept, to the end; False if it is not kept any more."""
        ...

    async def end(self, response: Json | None) -> None:
        """The stream ends, with the response to its request if it has one."""
        ...


class Listening:
    """Opens streams, and passes on what they tell."""

    def __init__(
        self,
        visible: Visible,
        sessions: Sessions,
        records: SessionRecords,
        asks: Asks,
        tasks: TaskOwners,
        later: LaterTasks,
    ) -> None:
        self._visible = visible
        self._records = records
        self._sessions = sessions
        self._asks = asks
        self._tasks = tasks
        self._later = later

    def kept_by(self, call: Call, codec: Mcp, opened: Opened | None) -> str:
        """The worker that keeps the answer with which a client goes on; "" for none."""
        given = mcp_era.header(codec.headers, b"last-event-id")
        if opened is None or not given or call.subject is None:
            return ""
        at = self._sessions.place(call.subject, codec.door, opened, given)
        return worker_of(at[0]) if isinstance(at, tuple) else ""

    async def resume(self, call: Call, codec: Mcp, opened: Opened | None, listener: Listener) -> bool:
        """Go on with the answer of a call whose stream broke, to its end. Raises Refusal.

        False if the client names no event of an answer.
        """
        given = mcp_era.header(codec.headers, b"last-event-id") if codec.method == mcp_names.LISTEN else ""
        if opened is None or not given:
            return False
        assert call.subject is not None, "streams come after identify"
        at = self._sessions.place(call.subject, codec.door, opened, given)
        if at is None:
            raise no_event()
        if isinstance(at, str):
            return False
        async with asyncio.timeout(LISTENING):
            if not await listener.again(*at):
                raise no_event()
        return True

    async def listen(self, call: Call, codec: Mcp, server: Server, opened: Opened | None, listener: Listener) -> None:
        """Pass on what a server tells, until it ends the stream. Raises Refusal."""
        if not await self._hears(call, server):
            raise no_stream(codec)
        async with asyncio.timeout(LISTENING):
            if codec.method == mcp_names.SUBSCRIBE:
                await self._subscribed(call, codec, server, listener)
            else:
                await self._told(call, codec, server, opened, listener)

    async def listen_to_all(
        self, call: Call, codec: Mcp, servers: Sequence[Server], opened: Opened | None, listener: Listener
    ) -> None:
        """Pass on changed tools and logs of all servers. The path lists nothing else.

        Clients of the later era hear nothing of logs. Raises Refusal.
        """
        heard = [server for server in servers if await self._hears(call, server)]
        if not heard:
            raise no_stream(codec)
        wanted: Json = {TOOLS_CHANGED: True}
        level, holder = "", tuple[str, ...]()
        if codec.method == mcp_names.SUBSCRIBE:
            wanted = {key: True for key in await self._wanted(call, None) if key == TOOLS_CHANGED}
        else:
            holder = _check_session(codec, opened).upstream.holder
            level = await self._records.level(codec.session)
        async with asyncio.timeout(LISTENING):
            await listener.keep()
            if codec.method == mcp_names.SUBSCRIBE:
                await _agree(codec, wanted, listener)
            asked = call.resource
            async with aclosing(merged(heard, caller_of(call), wanted, level, _NOTICES, holder)) as told:
                async for server, said in told:
                    call.resource = Resource("tool", server.name)  # whoever told this may label the workflow
                    try:
                        await self._tell_of(codec, server.name, said, listener)
                    finally:
                        call.resource = asked

    async def _tell_of(self, codec: Mcp, server: str, said: Json, listener: Listener) -> None:
        """Pass on what one of all servers tells."""
        params = said["params"]
        if said["method"] == CHANGED["tools"]:
            await listener.tell(_marked(codec, said))
        elif said["method"] == MESSAGE and codec.method == mcp_names.LISTEN:
            level = await self._records.level(codec.session)
            if not level or mcp_names.LEVELS.index(params["level"]) >= mcp_names.LEVELS.index(level):
                logger = f"{server}/{params['logger']}" if "logger" in params else server
                await listener.tell({**said, "params": {**params, "logger": logger}})

    async def _bridged(self, call: Call, codec: Mcp, server: Server, wanted: Json, listener: Listener) -> None:
        """The answer to a subscription, of a server of the earlier era. Raises Refusal."""
        caller, pace = caller_of(call), Pace(server.name, _NOTICES)
        await server.seat(caller)
        wanted = tells(server.told(caller), wanted)
        try:
            async with source(server, caller, wanted) as told:
                await listener.keep()
                await _agree(codec, wanted, listener)
                async for said in told:
                    pace.count()
                    if said["method"] in (*CHANGED.values(), UPDATED):
                        await listener.tell(_marked(codec, said))
        except NoStream:
            raise Fault(UNKNOWN_METHOD, "The server has no subscriptions.", status=404) from None
        await listener.end({"resultType": "complete", mcp_names.META: {SUBSCRIPTION: codec.id}})

    async def _bridged_session(
        self, call: Call, codec: Mcp, server: Server, holder: tuple[str, ...], listener: Listener
    ) -> None:
        """The stream of a session, of a server of the later era, or of a process. Raises Refusal.

        The server is asked anew when the client has chosen other resources.
        """
        caller, pace, id = caller_of(call), Pace(server.name, _NOTICES), codec.session
        await server.seat(caller)
        lists = await self._allowed(call, server, dict.fromkeys(LISTS, True))
        if server.row.command:
            told = of_process(server, caller, holder, lists, partial(self._records.watched, id))
            await listener.keep()
            async with aclosing(told) as heard:
                async for said in heard:
                    pace.count()
                    await listener.tell(said)
            await listener.end(None)
            return
        uris: list[str] = []

        async def over() -> bool:
            return await self._records.watched(id) != uris

        while True:
            uris = await self._records.watched(id)
            wanted = tells(server.told(caller), {**lists, WATCHED: uris})
            try:
                async with source(server, caller, wanted) as told:
                    await listener.keep()
                    async with aclosing(until(told, over)) as heard:
                        async for said in heard:
                            pace.count()
                            await listener.tell(said)
            except NoStream:
                raise no_stream(codec) from None
            if not await over():
                break
        await listener.end(None)

    async def _allowed(self, call: Call, server: Server, wanted: Json) -> Json:
        """The part of `wanted` that the caller may hear."""
        return {key: it for key, it in wanted.items() if not _READS[key] or await self._may(call, server, _READS[key])}

    async def _told(self, call: Call, codec: Mcp, server: Server, opened: Opened | None, listener: Listener) -> None:
        """The stream of a session."""
        opened = _check_session(codec, opened)
        subject, caller = call.subject, caller_of(call)
        assert subject is not None, "streams come after identify"
        if opened.upstream.modern or server.row.command:
            await self._bridged_session(call, codec, server, opened.upstream.holder, listener)
            return
        given = mcp_era.header(codec.headers, b"last-event-id")
        last = self._sessions.place(subject, server.name, opened, given) if given else ""
        if not isinstance(last, str):
            raise no_event()
        stream = await server.listen(opened.upstream, caller, last=last)
        if stream is None:
            raise no_stream(codec)
        passing = self._asks.passing(call, server.name, server, opened, listener)
        pace, questions = Pace(server.name, _NOTICES), Pace(server.name, _QUESTIONS)
        await listener.keep()
        async with aclosing(stream) as told:
            async for said, id in told:
                pace.count()
                listener.at = self._sessions.placed(subject, server.name, opened, id) if id else ""
                if "method" not in said:
                    await (listener.mark() if id and not said else listener.keep())
                elif said["method"] == "ping" and "id" in said:
                    await server.tell_in(opened.upstream, reply(said), caller)
                elif "id" in said:
                    questions.count()
                    if (error := await passing.ask(said)) is not None:
                        await server.tell_in(opened.upstream, reply(said, error), caller)
                elif said["method"] != TASK_STATUS:
                    await _pass_on(said, listener)
                elif (kept := await self._tasks.told(call, server, said)) is not None:
                    await listener.tell(kept)
        await listener.end(None)

    async def _subscribed(self, call: Call, codec: Mcp, server: Server, listener: Listener) -> None:
        """The answer to a subscription."""
        wanted, tasks = await self._wanted(call, server), dict[str, Found]()
        session = await server.later(caller_of(call))
        if session is None:
            await self._bridged(call, codec, server, wanted, listener)
            return
        if (ids := call.request.body["params"]["notifications"].get(mcp_names.TASK_IDS)) is not None:
            tasks = await self._later.wanted(call, codec, server, ids)
        if not server.later_tasks or server.row.restore:  # results may have values that only the tool got
            tasks.clear()
        if tasks:
            session = session._replace(able=codec.declaring(server.row.asks))
            wanted[mcp_names.TASK_IDS] = [*tasks]
        id = call.request.body["id"]
        message = {"jsonrpc": "2.0", "id": id, "method": mcp_names.SUBSCRIBE, "params": {"notifications": wanted}}
        stream = await server.listen(session, caller_of(call), message=message)
        if stream is None:
            raise Fault(UNKNOWN_METHOD, "The server has no subscriptions.", status=404)
        meta, pace = {SUBSCRIPTION: codec.id}, Pace(server.name, _NOTICES)
        await listener.keep()
        async with aclosing(stream) as told:
            async for said, _ in told:
                pace.count()
                if "method" not in said and said.get("id") == id:
                    if type(said.get("result")) is not dict:
                        raise broken(server.name, "ended the subscription with an error")
                    break
                if "method" not in said or "id" in said:
                    await listener.keep()
                elif said["method"] != TASK_CHANGED:
                    await _pass_on(said, listener, meta, wanted, tasks)
                elif (kept := await self._later.told(call, codec, server, said, tasks)) is not None:
                    await listener.tell({**kept, "params": {**kept["params"], mcp_names.META: meta}})
        await listener.end({"resultType": "complete", mcp_names.META: meta})

    async def _wanted(self, call: Call, server: Server | None) -> Json:
        """What a client wants to hear of a server (None: of all), and may. Raises Refusal(invalid_request)."""
        said = call.request.body["params"].get("notifications")
        if type(said) is not dict:
            raise Fault(PARAMS, "`params.notifications` must be an object.", status=400)
        wanted: Json = {}
        for key, tool in _READS.items():
            value = said.get(key)
            if key == "resourceSubscriptions":
                fits = type(value) is list and len(value) <= URIS and all(type(uri) is str for uri in value)
            else:
                fits = value is True
            if fits and (not tool or (server is not None and await self._may(call, server, tool))):
                wanted[key] = value
        return wanted

    async def _hears(self, call: Call, server: Server) -> bool:
        """Whether a server can tell something without a request, and the caller may hear it."""
        return bool(server.row.mcp or server.row.command) and await self._may(call, server, TOOL)

    async def _may(self, call: Call, server: Server, tool: str) -> bool:
        return await self._visible.may(call, f"{server.name}/{tool}", writes=False)


def _check_session(codec: Mcp, opened: Opened | None) -> Opened:
    """The session of a stream. Raises Refusal(invalid_request)."""
    if opened is None:
        raise Fault(INVALID, "A stream belongs to a session: send Mcp-Session-Id.", status=400)
    if not codec.takes_events:
        raise Fault(INVALID, "The answer is an event stream: send `Accept: text/event-stream`.", status=406)
    return opened


async def _agree(codec: Mcp, wanted: Json, listener: Listener) -> None:
    """Acknowledge a subscription to what servers do not know as one."""
    await listener.tell(_marked(codec, {"method": ACKNOWLEDGED, "params": {"notifications": wanted}}))


def _marked(codec: Mcp, said: Json) -> Json:
    """A notification of a subscription, with its id; of a session unchanged."""
    if codec.method != mcp_names.SUBSCRIBE:
        return said
    return {**said, "params": {**said["params"], mcp_names.META: {SUBSCRIPTION: codec.id}}}


async def _pass_on(
    said: Json,
    listener: Listener,
    meta: Json | None = None,
    wanted: Json | None = None,
    tasks: Mapping[str, Found] = {},
) -> None:
    """Pass a notification on, if it is one that clients may get. `tasks`: that are among what is wanted."""
    kept = news(said) if wanted is None else (acknowledged(said, wanted) or news(said))
    if kept is None:
        return
    if meta is not None:
        kept["params"][mcp_names.META] = meta
    agreed = kept["params"].get("notifications", {}).pop(mcp_names.TASK_IDS, None)
    if agreed is not None:
        kept["beside"] = Beside(added={("notifications", mcp_names.TASK_IDS): [tasks[id][1] for id in agreed]})
    await listener.tell(kept)


def no_stream(codec: Mcp) -> Refusal:
    """The refusal for a client that gets no stream."""
    if codec.method == mcp_names.SUBSCRIBE:
        return Fault(UNKNOWN_METHOD, "There is nothing to listen to here.", status=404)
    words = "The server has no stream without a request, or you may not listen to it."
    return Refusal("invalid_request", words, status=405, headers=((b"allow", b"POST, DELETE"),))


def no_event() -> Refusal:
    """The refusal for a client that comes back to an event that it did not get, or too late."""
    words = "Last-Event-ID is not the id of an event of this session, or what followed is not kept any more."
    return Fault(INVALID, words, status=400)
