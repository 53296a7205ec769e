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
    server: Server, caller: Caller, wanted: Json, level: str = ""
) -> AsyncIterator[AsyncGenerator[Json, None]]:
    """The notifications of a server, which end when the server ends them. Raises NoStream, Refusal, SessionLost.

    `wanted`: changed lists and resources, in the form of the later era. `level`: the lowest level of log entries that
    an earlier server sends, "" for the server's own choice.
    """
    session, message = Session(OFFERED), None
    own = False
    if not server.row.command:
        later = await server.later(caller)
        own = later is None
        session = await server.open(caller) if later is None else later
    if session.modern:
        params: Json = {"notifications": {key: value for key, value in wanted.items() if value}}
        message = {"jsonrpc": "2.0", "id": uuid7(), "method": mcp_names.SUBSCRIBE, "params": params}
    try:
        if own:
            await _choose(server, session, caller, wanted, level)
        stream = await server.listen(session, caller, message=message)
        if stream is None:
            raise NoStream
        async with aclosing(_heard(server, session, caller, stream, wanted)) as told:
            yield told
    finally:
        if own:
            with contextlib.suppress(Refusal):
                await server.end(session, caller)


async def _choose(server: Server, session: Session, caller: Caller, wanted: Json, level: str) -> None:
    """Choose resources and the level of the log in a session of the earlier era."""
    for uri in wanted.get(WATCHED, ()):
        await _ask(server, session, caller, "resources/subscribe", {"uri": uri})
    if level:
        await _ask(server, session, caller, mcp_names.SET_LEVEL, {"level": level})


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
    servers: Sequence[Server], caller: Caller, wanted: Json, level: str, most: int
) -> AsyncGenerator[tuple[Server, Json], None]:
    """The messages of several servers. A stream that a server ends, or that fails, is opened again after a while.

    `most`: notifications of one server, after which only the other servers are heard.
    """
    queue: asyncio.Queue[tuple[Server, Json]] = asyncio.Queue(_WAITING)
    tasks = [asyncio.create_task(_follow(one, caller, wanted, level, most, queue)) for one in servers]
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
) -> None:
    wait = _FIRST_WAIT
    while most:
        with contextlib.suppress(NoStream, Refusal, SessionLost):
            async with source(server, caller, wanted, level) as told:
                async for said in told:
                    wait, most = _FIRST_WAIT, most - 1
                    await queue.put((server, said))
                    if not most:
                        return
        await asyncio.sleep(wait)
        wait = min(_LONGEST_WAIT, 2 * wait)
