"""Realtime connections to providers (WebSocket, RFC 6455), as a client: a request is one answer on its connection.

Needs the extra `websockets`. A connection is opened by its first request, and belongs to one connection of a caller:
its conversation is kept by the provider. What a request brings is sent as items, then an answer is asked for; the
events of the answer are the body of the response, as server-sent events in the form of `dialects.openai_realtime`.
Events that belong to no answer wait for the session of the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

import orjson
from multidict import CIMultiDict, MultiMapping

from gateway import ids
from gateway.call import Json
from gateway.dialects.items import check_event
from gateway.dialects.openai_realtime import AUDIO, OWN, is_heard, read, sent
from gateway.dialects.realtime_events import COMMITTED, is_id, told
from gateway.dialects.responses_forms import ENDS, encode
from gateway.dialects.responses_tables import kind
from gateway.upstream.backlog import Backlog
from gateway.upstream.client import Broken, Destination, Malformed, Timeouts, Written

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection  # an extra

_LARGEST: Final = 4 * 1024 * 1024  # bytes of one event
_FRAMES: Final = 4  # frames that wait to be parsed
_WAITING: Final = 4 * 1024 * 1024  # bytes of events that wait to be judged, and as many that wait to be told
_KNOWN: Final = 65_536  # items of a conversation
_SETTLES: Final = 5.0  # seconds in which a cancelled answer ends, or a connection closes
_NOT_ASKED: Final = frozenset({"model", "stream", "input", OWN, "store"})
_EVENT: Final = "text/event-stream"
_CANCEL: Final = "cancel"  # the id of events that end an answer


class Realtime:
    """The client: `links` are the connections by their number."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        self._last = 0

    def link(self) -> Link:
        """A new connection, which is not open yet."""
        self._last += 1
        made = self._links[self._last] = Link(self._last)
        return made

    async def unlink(self, link: Link) -> None:
        """Close a connection."""
        self._links.pop(link.number, None)
        await link.close()

    async def post(self, to: Destination, body: bytes, told: Written | None = None) -> Answered:
        """Ask for an answer. Raises TimeoutError, or another OSError."""
        del told  # a caller who leaves ends its connection, and with it the answer
        said = orjson.loads(body)
        link = self._links.get(said[OWN]["link"])
        if link is None:
            raise Broken("the caller has left")
        return await link.ask(to, said)

    async def close(self) -> None:
        """Close all connections."""
        for link in list(self._links.values()):
            await self.unlink(link)


class Link:
    """One connection to a provider. `told`: the events that belong to no answer, until the connection ends."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.told = Backlog(_WAITING)
        self._socket: ClientConnection | None = None
        self._pump: asyncio.Task[None] | None = None
        self._to: tuple[str, str] | None = None  # URL and model
        self._answered = False  # the provider has begun to answer: another has not this conversation
        self._sent: set[str] = set()  # ids of items that the provider got
        self._known: set[str] = set()  # ids of items that the provider made
        self._events: Backlog | None = None  # of the answer that is being read
        self._idle = asyncio.Event()  # no answer is being made
        self._idle.set()
        self._hears: Json = {}
        self._asked = ""  # the id of the event that asked for the answer
        self._begun = False  # the provider has begun with the answer
        self._stops: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return self._socket is not None

    def knows(self, id: str) -> bool:
        """Whether the provider has an item of this id."""
        return id in self._sent or id in self._known

    async def ask(self, to: Destination, said: Json) -> Answered:
        """Send what is new, and ask for an answer. Raises TimeoutError, or another OSError."""
        from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException  # an extra

        own, times = said[OWN], to.timeouts
        try:
            await self._reach(to, said["model"])
            try:
                async with asyncio.timeout(_SETTLES):
                    await self._idle.wait()
            except TimeoutError:
                raise times.begun() from None
            await self.hear(own.get("hears") or {})
            if own.get("opens"):
                self._answered = True
                return Answered(self, times, _opened(said["model"]))
            first = await self._begin(said, own, times)
        except InvalidStatus as fault:
            return Answered.refused(self, times, fault.response.status_code, bytes(fault.response.body or b""))
        except WebSocketException as fault:
            raise (Broken if isinstance(fault, ConnectionClosed) else Malformed)(type(fault).__name__) from None
        if kind(first) == "error":
            self.finish()
            return Answered.refused(self, times, 400, orjson.dumps({"error": first.get("error")}))
        self._answered = True
        return Answered(self, times, [first])

    async def _reach(self, to: Destination, model: str) -> None:
        """Open the connection, unless it is open."""
        place = str(to.url), model
        if self._to not in (None, place):
            if self._answered:
                raise Broken("the connection is one to another model")
            self._leave()
        if self._socket is None:
            if self._pump is not None:
                raise Broken("the connection has ended")
            try:
                await self._open(to, model)
            except TimeoutError:
                raise to.timeouts.connected() from None

    def _leave(self) -> None:
        """Leave a provider that has not answered: the next one gets all items."""
        socket, self._socket = self._socket, None
        if self._pump is not None:
            self._pump.cancel()
        if socket is not None:
            socket.transport.abort()
        self._reset()

    def _reset(self) -> None:
        self._pump, self._to, self._hears, self._sent, self._known = None, None, {}, set(), set()
        self._idle.set()

    async def _open(self, to: Destination, model: str) -> None:
        from websockets.asyncio.client import connect

        class Connect(connect):
            """Follows no redirect, as any client here."""

            def process_redirect(self, exc: Exception) -> Exception | str:
                return exc

        headers = {name: value for name, value in to.headers.items() if name.lower() not in _HTTP}
        url = to.url.with_scheme("wss" if to.url.scheme == "https" else "ws").update_query(model=model)
        self._socket = await Connect(
            str(url),
            additional_headers=headers,
            user_agent_header="meshgate",
            open_timeout=to.timeouts.connect,
            close_timeout=_SETTLES,
            max_size=_LARGEST,
            max_queue=_FRAMES,
            proxy=None,
        )
        self._to = str(to.url), model
        self._pump = asyncio.create_task(self._receive(self._socket))

    async def _begin(self, said: Json, own: Json, times: Timeouts) -> Json:
        """Ask for an answer; its first event."""
        asked = {key: value for key, value in said.items() if key not in _NOT_ASKED} | own.get("settings", {})
        if own.get("apart"):
            asked["input"] = [sent(item) for item in said["input"]]
        else:
            await self._bring(said["input"])
        self._begun, self._asked = False, f"answer_{ids.uuid7()}"
        self._events = events = Backlog(_WAITING)
        try:
            if not self.is_open:
                raise Broken("the connection has ended")
            self._idle.clear()
            await self.send({"type": "response.create", "event_id": self._asked, "response": asked})
            try:
                async with asyncio.timeout(times.first_byte):
                    first = await events.get()
            except TimeoutError:
                raise times.begun() from None
            if first is None:
                raise Broken("the connection has ended")
            return first
        except BaseException:  # also if the caller has left: an answer that nobody reads must not be made
            self.finish()
            self.stop()
            raise

    async def hear(self, settings: Json) -> None:
        """Set how the provider listens; it makes no answer by itself, so that every answer is a call."""
        if settings == self._hears and self._hears:
            return
        turns = settings.get("turn_detection")
        turns = {**turns, "create_response": False} if type(turns) is dict else None
        heard = {**settings, "turn_detection": turns, "transcription": None}
        await self.tell({"type": "session.update", "session": {"type": "realtime", "audio": {"input": heard}}})
        self._hears = settings

    async def send(self, event: Json) -> None:
        """Send an event. Raises ConnectionClosed; does nothing unless the connection is open."""
        if self._socket is not None:
            await self._socket.send(orjson.dumps(event).decode())

    async def tell(self, event: Json) -> None:
        """The same; does nothing either if the connection ends."""
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            await self.send(event)

    async def forget(self, id: str) -> None:
        """Delete an item, if the provider has it."""
        if self.knows(id):
            self._sent.discard(id)
            self._known.discard(id)
            await self.tell({"type": "conversation.item.delete", "item_id": id})

    async def _bring(self, items: Sequence[Json]) -> None:
        for item in items:
            parts = item.get("content")
            if any(is_heard(part) for part in (parts if type(parts) is list else ()) if type(part) is dict):
                continue
            if item.get("id") not in self._sent:
                self._sent.add(str(item.get("id")))
                await self.send({"type": "conversation.item.create", "item": sent(item)})

    async def _receive(self, socket: ClientConnection) -> None:
        """Take events until the connection ends. What is no event ends it, too."""
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                data = await socket.recv(decode=False)
                check_event(data, "an event")
                event = orjson.loads(data)
                if type(event) is dict:
                    await self._take(event, len(data))
        except (ConnectionClosed, ValueError):
            socket.transport.abort()
        finally:
            if self._socket is socket:
                self._socket = None
                if self._events is not None:
                    self._events.end()
                self._idle.set()
                if self._answered:
                    self.told.end()
                else:
                    self._reset()

    async def _take(self, event: Json, size: int) -> None:
        name, item = kind(event), event.get("item")
        id = item.get("id") if type(item) is dict else event.get("item_id") if name == COMMITTED else None
        if is_id(id) and len(self._known) < _KNOWN:
            self._known.add(str(id))
        if name not in AUDIO and (name.startswith("response.") or (name == "error" and self._is_of_answer(event))):
            self._begun |= name == "response.created"
            if self._events is not None:
                await self._events.put(read(event), size)
            if name in ("response.done", "error"):
                self._idle.set()
        elif (name not in AUDIO or self._events is not None) and (said := told(event)) is not None:
            await self.told.put(said, size)

    def _is_of_answer(self, error: Json) -> bool:
        """Whether an error refuses the answer that was asked for; others are about events such as audio."""
        told = error.get("error")
        about = told.get("event_id") if type(told) is dict else None
        if self._idle.is_set() or (about is None and self._begun):
            return False
        return about in (None, self._asked)

    async def next(self, seconds: float) -> Json | None:
        """The next event of the answer; None if the connection has ended. Raises TimeoutError."""
        while (events := self._events) is not None:
            try:
                async with asyncio.timeout(seconds):
                    return await events.get()
            except TimeoutError:
                if not self.told.is_full:  # else the silence is that of a caller who does not read
                    raise
        return None

    def finish(self) -> None:
        """The answer is read, or given up: its further events go nowhere."""
        events, self._events = self._events, None
        if events is not None:
            events.drop()

    def stop(self) -> None:
        """End the answer that is being made, without waiting."""
        task = asyncio.ensure_future(self.cancel())
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)

    async def cancel(self) -> None:
        """End the answer that is being made."""
        if not self._idle.is_set():
            await self.tell({"type": "response.cancel", "event_id": _CANCEL})

    async def close(self) -> None:
        """Close the connection."""
        socket, self._socket = self._socket, None
        if self._pump is not None:
            self._pump.cancel()
        if socket is not None:
            await socket.close()


_HTTP: Final = frozenset({"content-type", "accept-encoding", "user-agent"})


def _opened(model: str) -> list[Json]:
    """The events of an answer that only opens the connection."""
    response = {"id": f"resp_{ids.uuid7()}", "object": "realtime.response", "model": model, "output": []}
    ended = {**response, "status": "completed", "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}}
    return [
        {"type": "response.created", "response": {**response, "status": "in_progress", "usage": None}},
        {"type": "response.completed", "response": ended},
    ]


class Answered:
    """The response to a request: the events of an answer, the first of which have arrived."""

    def __init__(self, link: Link, times: Timeouts, first: Sequence[Json]) -> None:
        self._link = link
        self._times = times
        self._first = first
        self._body = b""
        self.status = 200
        self.headers: MultiMapping[str] = CIMultiDict({"content-type": _EVENT})
        self.ended = False
        self.length = 0

    @classmethod
    def refused(cls, link: Link, times: Timeouts, status: int, body: bytes) -> Answered:
        """The response of a provider that refuses."""
        made = cls(link, times, ())
        made.status, made._body = status, body
        made.headers = CIMultiDict({"content-type": "application/json"})
        return made

    def values(self, name: bytes) -> Sequence[str]:
        """The values of one header."""
        return self.headers.getall(name.decode(), [])

    async def chunks(self) -> AsyncIterator[bytes]:
        """The events as server-sent events."""
        for event in self._first:
            yield encode(event)
            self.ended = kind(event) in ENDS
        while not self.ended:
            try:
                further = await self._link.next(self._times.idle)
            except TimeoutError:
                raise self._times.stirred() from None
            if further is None:
                raise Broken("the connection has ended")
            self.ended = kind(further) in ENDS
            yield encode(further)

    async def read(self, most: int) -> bytes:
        """The body of a refusal."""
        body, self._body = self._body[:most], b""
        return body

    def release(self) -> None:
        """The answer was read to its end."""
        self._link.finish()

    def close(self) -> None:
        """Give up the answer: the provider stops."""
        self._link.finish()
        self._link.stop()
