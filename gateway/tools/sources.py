"""What servers tell a caller without a request, in the words of the client's era, of one server or of several.

A server up to 2025-11-25 tells in the stream of a session, which is opened for this, and a server from 2026-07-28 on in
the answer to `subscriptions/listen`. What a server of the other era tells is the same to its client.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

from gateway.call import Json
from gateway.dialects import mcp_names
from gateway.errors import Refusal
from gateway.ids import uuid7
from gateway.tools.credentials import Caller
from gateway.tools.notices import CHANGED, UPDATED, news
from gateway.tools.server import Server
from gateway.tools.watches import UNWATCH, WATCH
from gateway.tools.wire import OFFERED, Session, SessionLost, reply, unheld

WATCHED: Final = "resourceSubscriptions"
LISTS: Final = {f"{kind}ListChanged": (kind, method) for kind, method in CHANGED.items()}
"""What a client of the later era can want -> the capability of a server that tells this, and its notification."""
_LOOK: Final = 1.0  # seconds
_FIRST_WAIT: Final = 1.0  # seconds until a server that told nothing is asked again
_LONGEST_WAIT: Final = 60.0
_WAITING: Final = 64  # messages of all servers that the client has not taken


def tells(about: Json, wanted: Json) -> Json:
    """The part of `wanted` that a server of the earlier era sends, by the capabilities that it declares."""
    able = about.get("capabilities")
    able = able if type(able) is dict else {}

    def has(kind: str, what: str) -> bool:
        return type(able.get(kind)) is dict and able[kind].get(what) is True

    told: Json = {key: True for key, (kind, _) in LISTS.items() if wanted.get(key) and has(kind, "listChanged")}
    if wanted.get(WATCHED) and has("resources", "subscribe"):
        told[WATCHED] = wanted[WATCHED]
    return told


class NoStream(Exception):
    """The server tells nothing without a request."""


@asynccontextmanager
async def source(
    server: Server, caller: Caller, wanted: Json, level: str = "", holder: tuple[str, ...] = ()
) -> AsyncIterator[AsyncGenerator[Json, None]]:
    """The notifications of a server, which end when the server ends them. Raises NoStream, Refusal, SessionLost.

    `wanted`: changed lists and resources, in the form of the later era. `level`: the lowest level of log entries that
    an earlier server sends, "" for the server's own choice. `holder`: see `Session`; whose log a process tells.
    """
    session, message, chosen = Session(OFFERED, holder=holder), None, list[str]()
    own = False
    if not server.row.command:
        later = await server.later(caller)
        own = later is None
        session = await server.open(caller) if later is None else later
    if session.modern:
        params: Json = {"notifications": {key: value for key, value in wanted.items() if value}}
        message = {"jsonrpc": "2.0", "id": uuid7(), "method": mcp_names.SUBSCRIBE, "params": params}
    try:
        if own and level:
            await _ask(server, session, caller, mcp_names.SET_LEVEL, {"level": level})
        for uri in () if session.modern else wanted.get(WATCHED, ()):
            await _ask(server, session, caller, WATCH, {"uri": uri})
            chosen.append(uri)
        stream = await server.listen(session, caller, message=message)
        if stream is None:
            raise NoStream
        async with aclosing(_heard(server, session, caller, stream, wanted)) as told:
            yield told
    finally:
        if own:
            with contextlib.suppress(Refusal):
                await server.end(session, caller)
        else:  # others use the process
            for uri in chosen:
                with contextlib.suppress(Refusal):
                    await _ask(server, session, caller, UNWATCH, {"uri": uri})


async def _heard(
    server: Server, session: Session, caller: Caller, stream: AsyncGenerator[tuple[Json, str], None], wanted: Json
) -> AsyncGenerator[Json, None]:
    async with aclosing(stream) as told:
        async for said, _ in told:
            if "method" not in said:
                if session.modern and "id" in said:  # the response to the subscription
                    return
            elif "id" in said:
                if not session.modern:
                    await server.tell_in(session, reply(said), caller)
            elif (kept := news(said)) is not None and _is_wanted(kept, wanted):
                yield kept


async def of_process(
    server: Server, caller: Caller, holder: tuple[str, ...], lists: Json, chosen: Callable[[], Awaitable[list[str]]]
) -> AsyncGenerator[Json, None]:
    """What the processes of a row tell the session of a client. Raises Refusal.

    `lists`: the wanted changes of lists. `chosen`: the resources that the client watches now, asked each second and
    before each message. The stream has no gap when the choice changes.
    """
    session, watched = Session(OFFERED, holder=holder), list[str]()

    async def choose() -> bool:
        uris = tells(server.told(caller), {WATCHED: await chosen()}).get(WATCHED, [])
        for uri in [uri for uri in uris if uri not in watched]:
            watched.append(uri)
            await _ask(server, session, caller, WATCH, {"uri": uri})
        for uri in [uri for uri in watched if uri not in uris]:
            watched.remove(uri)
            await _ask(server, session, caller, UNWATCH, {"uri": uri})
        return False

    stream = await server.listen(session, caller)
    assert stream is not None, "processes have news"
    try:
        await choose()
        async with aclosing(until(_said(stream), choose)) as told:
            async for said in told:
                if said["method"] == UPDATED:
                    await choose()
                if (kept := news(said)) is not None and _is_wanted(kept, {**lists, WATCHED: watched}):
                    yield kept
    finally:
        for uri in watched:
            with contextlib.suppress(Refusal):
                await _ask(server, session, caller, UNWATCH, {"uri": uri})


async def _said(stream: AsyncGenerator[tuple[Json, str], None]) -> AsyncGenerator[Json, None]:
    async with aclosing(stream) as told:
        async for said, _ in told:
            yield said


def _is_wanted(said: Json, wanted: Json) -> bool:
    for key, (_, method) in LISTS.items():
        if said["method"] == method:
            return wanted.get(key) is True
    return said["method"] != UPDATED or said["params"]["uri"] in wanted.get(WATCHED, ())


async def _ask(server: Server, session: Session, caller: Caller, method: str, params: Json) -> None:
    """Ask for something that the server may refuse."""
    message = {"jsonrpc": "2.0", "id": uuid7(), "method": method, "params": params}
    await server.ask_in(session, message, unheld, caller)


async def until(told: AsyncGenerator[Json, None], over: Callable[[], Awaitable[bool]]) -> AsyncGenerator[Json, None]:
    """The messages, until `over` returns true; `over` is called each second and after each message."""
    ahead = asyncio.ensure_future(anext(told, None))
    try:
        while True:
            await asyncio.wait({ahead}, timeout=_LOOK)
            if ahead.done():
                if (said := ahead.result()) is None:
                    return
                yield said
                ahead = asyncio.ensure_future(anext(told, None))
            if await over():
                return
    finally:
        ahead.cancel()
        await asyncio.gather(ahead, return_exceptions=True)


async def merged(
    servers: Sequence[Server], caller: Caller, wanted: Json, level: str, most: int, holder: tuple[str, ...] = ()
) -> AsyncGenerator[tuple[Server, Json], None]:
    """The messages of several servers. A stream that a server ends, or that fails, is opened again after a while.

    `most`: notifications of one server, after which only the other servers are heard. `holder`: see `source`.
    """
    queue: asyncio.Queue[tuple[Server, Json]] = asyncio.Queue(_WAITING)
    tasks = [asyncio.create_task(_follow(one, caller, wanted, level, most, queue, holder)) for one in servers]
    try:
        while True:
            yield await queue.get()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(
    server: Server,
    caller: Caller,
    wanted: Json,
    level: str,
    most: int,
    queue: asyncio.Queue[tuple[Server, Json]],
    holder: tuple[str, ...],
) -> None:
    wait = _FIRST_WAIT
    while most:
        with contextlib.suppress(NoStream, Refusal, SessionLost):
            async with source(server, caller, wanted, level, holder) as told:
                async for said in told:
                    wait, most = _FIRST_WAIT, most - 1
                    await queue.put((server, said))
                    if not most:
                        return
        await asyncio.sleep(wait)
        wait = min(_LONGEST_WAIT, 2 * wait)
