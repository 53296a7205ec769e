"""`/v1/realtime` over WebSocket: each answer is a call of its own line, on one connection to the provider.

Config key: `server.websockets`. Settings and items of the caller are kept here until an answer is asked for; then they
are the request of a call, and leave as its redaction has made them. What is said in an answer is judged as in any
stream. Audio is unscannable: it flows if `pii.unscannable` and `output.unscannable` allow it, after a call that the
policy has judged (`content.unscannable_kinds`). The provider makes no answer by itself: where it would, at the end of a
turn, the gateway asks for it. Not served: transcripts of the caller's audio, and the content of items on request.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import orjson

from gateway import ids
from gateway.call import Call, Headers, Json, Stored
from gateway.dialects.items import check_event
from gateway.dialects.openai_realtime import AUDIO, OWN, heard, judged, write
from gateway.dialects.realtime_events import COMMITTED, MOST
from gateway.dialects.responses_items import ID
from gateway.dialects.responses_tables import kind
from gateway.dialects.terms import is_term
from gateway.errors import Refusal
from gateway.ingress.request import named
from gateway.ingress.wire import Receive
from gateway.serving.realtime_settings import May, Settings, fields, others
from gateway.serving.sockets import LONGEST, Frames, of_calls
from gateway.stores import StoreUnavailable
from gateway.upstream.realtime import Link, Realtime

_ITEMS: Final = 1024  # items that wait for an answer
_NAMED: Final = 65_536  # items of the caller in a conversation
_STAYS: Final = frozenset({"rate_limited", "quota_busy", "overloaded", "upstream_error", "upstream_timeout"})
_CHECKED: Final = 60.0  # seconds after which the credential is checked again
Serve = Callable[[Frames, Stored | None], Awaitable[Call]]
"""Serves one call; `Stored`: where the conversation is, after the first answer."""


class Conversation:
    """One connection of a caller. `serve`: serves one call; `known`: checks the credential, with Refusal.

    `hears`, `speaks`: whether audio may flow in and out.
    """

    def __init__(
        self,
        scope: Any,
        receive: Receive,
        send: Any,
        serve: Serve,
        realtime: Realtime,
        model: str,
        most: int,
        after: Callable[[Call, Json], Stored],
        known: Callable[[], Awaitable[None]],
        *,
        hears: May,
        speaks: May,
    ) -> None:
        headers = of_calls(scope["headers"])
        workflow = () if named(headers) else ((b"x-correlation-id", ids.uuid7().encode()),)
        self._headers: Headers = [*headers, *workflow]
        self._client = scope.get("client")
        self._receive, self._send, self._serve, self._realtime = receive, send, serve, realtime
        self._model, self._most, self._after, self._known = model, most, after, known
        self._link: Link = realtime.link()
        self._settings = Settings(model, most, hears, speaks)
        self._items: list[Json] = []  # those that no answer has had
        self._size = 0  # bytes of these items
        self._named: set[str] = set()  # ids of all items of the caller
        self._spoke = False  # the caller has sent audio since its last turn
        self._place: Stored | None = None
        self._answer: asyncio.Task[None] | None = None
        self._turns: asyncio.Task[None] | None = None  # asks for the answer to a turn
        self._left = False  # the caller has gone
        self._checked = time.monotonic()
        self._frames: Frames | None = None
        self._response = ""  # the id of the answer that is being made
        self._events = 0

    async def run(self) -> None:
        """Serve the connection, which was accepted, to its end."""
        await self._say({"type": "session.created", "session": self._settings.session})
        listens = asyncio.ensure_future(self._listen())
        tells = asyncio.ensure_future(self._relay())
        try:
            async with asyncio.timeout(LONGEST):
                await asyncio.wait([listens, tells], return_when=asyncio.FIRST_COMPLETED)
            if not listens.done():  # the provider has ended the connection
                await self._send({"type": "websocket.close", "code": 1011, "reason": "The provider ended it."})
        except TimeoutError:
            await self._send({"type": "websocket.close", "code": 1001, "reason": "The connection is an hour old."})
        finally:
            self._left = True
            if self._frames is not None:
                self._frames.lose()
            tasks = [task for task in (listens, tells, self._turns) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks if self._answer is None else [*tasks, self._answer])
            await self._realtime.unlink(self._link)
            _raise(tasks)

    async def _listen(self) -> None:
        """Take the events of the caller."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            if message["type"] != "websocket.receive":
                continue
            asked = ""
            try:
                if not await self._may_go_on():
                    return
                event = _event(message.get("text") or "")
                asked = str(event.get("event_id") or "")
                await self._take(event)
            except Refusal as refusal:
                await self._refuse(refusal, asked)

    async def _may_go_on(self) -> bool:
        """Whether the credential has not ended: audio flows between calls. Raises Refusal if nobody can tell."""
        now = time.monotonic()
        if now - self._checked < _CHECKED:
            return True
        try:
            await self._known()
        except Refusal as refusal:
            if refusal.status not in (401, 403):
                raise
            await self._refuse(refusal)
            await self._send({"type": "websocket.close", "code": 1008, "reason": "The credential has ended."})
            return False
        except StoreUnavailable:
            raise Refusal("state_unavailable", "The gateway cannot check the credential now. Try again.") from None
        self._checked = now
        return True

    async def _take(self, event: Json) -> None:
        match kind(event):
            case "session.update":
                self._settings.change(event.get("session"))
                await self._say({"type": "session.updated", "session": self._settings.session})
                if self._link.is_open:
                    await self._link.hear(self._settings.listening())
            case "conversation.item.create":
                await self._create(event)
            case "conversation.item.delete" | "conversation.item.truncate" as name:
                await self._about(event, name)
            case "input_audio_buffer.append" | "input_audio_buffer.commit" | "input_audio_buffer.clear" as name:
                await self._hear(event, name)
            case "response.create":
                self._begin({} if event.get("response") is None else event["response"])
            case "response.cancel":
                if self._answer is None:
                    raise Refusal("invalid_request", "There is no answer to cancel.", param="type")
                await self._link.cancel()
            case _:
                raise Refusal("invalid_request", "This event is not served here.", param="type")

    async def _create(self, event: Json) -> None:
        """An item of the caller, which leaves with the next answer."""
        item = event.get("item")
        if type(item) is not dict:
            raise Refusal("invalid_request", "`item` must be an object.", param="item")
        given = item.get("id")
        if given is not None and (type(given) is not str or not ID.fullmatch(given)):
            raise Refusal("invalid_request", "Must be letters, digits and `_.:-`.", param="item.id")
        if given in self._named or (given is not None and self._link.knows(given)):
            raise Refusal("invalid_request", "The conversation has an item with this id.", param="item.id")
        if len(self._named) >= _NAMED:
            raise Refusal("request_too_large", f"A conversation has at most {_NAMED} items.", param="item")
        item = {**item, "id": given or f"item_{ids.uuid7()}"}
        size = len(orjson.dumps(item))
        if len(self._items) >= _ITEMS or self._size + size > self._most:
            words = f"More than {_ITEMS} items or {self._most} bytes wait for an answer: ask with `response.create`."
            raise Refusal("request_too_large", words, param="item")
        self._items.append(judged(item))
        self._size += size
        self._named.add(item["id"])
        before = event.get("previous_item_id")
        told = {"previous_item_id": before if is_term(str(before)) else None}
        shown = {"object": "realtime.item", "status": "completed", **item}
        await self._say({"type": "conversation.item.added", **told, "item": shown})
        await self._say({"type": "conversation.item.done", **told, "item": shown})

    async def _about(self, event: Json, name: str) -> None:
        """Delete or cut an item."""
        id = event.get("item_id")
        if type(id) is not str or not ID.fullmatch(id):
            raise Refusal("invalid_request", "Must be the id of an item.", param="item_id")
        said: Json = {"item_id": id}
        waiting = any(item.get("id") == id for item in self._items)
        if name.endswith("truncate"):
            numbers = {key: event.get(key) for key in ("content_index", "audio_end_ms")}
            if not all(type(number) is int and 0 <= number < MOST for number in numbers.values()):
                raise Refusal("invalid_request", f"Must be integers from 0 to {MOST}.", param="content_index")
            said |= numbers
        elif waiting:
            self._keep([item for item in self._items if item.get("id") != id])
        if not self._link.knows(id) and (not waiting or name.endswith("truncate")):
            raise Refusal("invalid_request", "The provider has no item with this id.", param="item_id")
        if name.endswith("delete"):
            self._named.discard(id)
            await self._link.forget(id)
        else:
            await self._link.tell({"type": name, **said})
        await self._say({"type": f"{name}d", **said})

    def _keep(self, items: list[Json]) -> None:
        """Have these items wait for an answer."""
        self._items, self._size = items, sum(len(orjson.dumps(item)) for item in items)

    async def _hear(self, event: Json, name: str) -> None:
        """Audio of the caller."""
        if not self._settings.hears():
            words = "No scanner can read audio: send text. The operator may set pii.unscannable: allow."
            raise Refusal("invalid_request", words, param="type")
        if not self._link.is_open:
            if self._answer is not None:
                await asyncio.wait([self._answer])
            await self._ask({OWN: self._own({"opens": True}), "input": [heard("first")]}, (), shown=False)
            if not self._link.is_open:
                return  # the refusal was sent
        said: Json = {"type": name}
        if name.endswith("append"):
            said["audio"], self._spoke = _audio(event.get("audio")), True
        await self._link.tell(said)

    def _begin(self, asked: Any) -> None:
        """Ask for an answer."""
        if type(asked) is not dict:
            raise Refusal("invalid_request", "`response` must be an object.", param="response")
        if self._answer is not None:
            words = "An answer is being made. Wait for `response.done`, or cancel it."
            detail = {"code": "conversation_already_has_active_response"}
            raise Refusal("invalid_request", words, detail=detail)
        apart = asked.get("conversation") == "none"
        given = asked.get("input")
        if given is not None and (type(given) is not list or not all(type(item) is dict for item in given)):
            raise Refusal("invalid_request", "`input` must be a list of items.", param="response.input")
        if given is not None and not apart:
            words = '`input` is served with `conversation: "none"` only: create items instead.'
            raise Refusal("invalid_request", words, param="response.input")
        merged = self._settings.merged(asked)
        own: Json = {"apart": True} if apart else {}
        body = fields(merged)
        items = [judged(item) for item in given or ()] if apart else self._items
        body |= {OWN: self._own(own, merged), "input": items}
        if not apart:
            self._keep([])
        self._answer = asyncio.ensure_future(self._ask(body, () if apart else items))
        self._answer.add_done_callback(self._ended)

    def _own(self, own: Json, merged: Json | None = None) -> Json:
        settings = others(merged or {})
        if own.get("apart"):
            settings["conversation"] = "none"
        hears = self._settings.listening() if self._settings.hears() else {}
        return {"link": self._link.number, "hears": hears, "settings": settings, **own}

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._answer = None
        if not task.cancelled() and task.exception() is not None:
            self._link.told.end()

    async def _ask(self, body: Json, items: Sequence[Json], *, shown: bool = True) -> None:
        """Serve one call. `items`: those of the conversation that it brings."""
        said = {"model": self._model, **body, "stream": True}
        frames = Frames(self._headers, self._client, orjson.dumps(said), self._answered if shown else self._opening)
        self._frames, self._response = frames, ""
        if self._left:
            frames.lose()
        try:
            call = await asyncio.ensure_future(self._serve(frames, self._place))  # a disconnect cancels only the call
        finally:
            self._frames = None
        if call.outcome.status == 200:
            self._place = self._after(call, frames.last or {})
        refusal = call.refusal
        if call.outcome.status == 200 or not items:
            return
        if refusal is not None and refusal.code in _STAYS:  # they wait for another attempt
            self._keep([*items, *self._items])
            return
        for item in items:
            self._named.discard(item["id"])
            await self._link.forget(item["id"])
            await self._say({"type": "conversation.item.deleted", "item_id": item["id"]})

    async def _answered(self, data: bytes) -> None:
        """An event of an answer."""
        event = orjson.loads(data)
        if kind(event) == "response.created":
            response = event.get("response")
            self._response = str(response.get("id") or "") if type(response) is dict else ""
        await self._say(write(event, self._response))
        if kind(event) in ("response.output_item.added", "response.output_item.done") and "item" in event:
            await self._say({"type": f"conversation.item.{kind(event)[21:]}", "item": event["item"]})

    async def _opening(self, data: bytes) -> None:
        """An event of an answer that only opens the connection: a refusal."""
        event = orjson.loads(data)
        if kind(event) == "error":
            await self._say(write(event))

    async def _relay(self) -> None:
        """Pass on events that belong to no answer, until the connection to the provider ends."""
        while (event := await self._link.told.get()) is not None:
            name = kind(event)
            if name == "error":
                detail = {"code": event["code"]} if event["code"] else {}
                await self._refuse(Refusal("invalid_request", "The provider refused an event.", detail=detail))
                continue
            if name not in AUDIO or self._settings.speaks():
                await self._say(event)
            if name == COMMITTED and "item_id" in event and self._spoke and len(self._items) < _ITEMS:
                self._spoke = False
                self._items.append(heard(event["item_id"]))
                if self._turns is None or self._turns.done():
                    self._turns = asyncio.ensure_future(self._turn())

    async def _turn(self) -> None:
        """A turn of the caller has ended: ask for the answer, if the caller wants it by itself."""
        if not self._settings.answers_turns:
            return
        if self._answer is not None:
            await self._link.cancel()
            await asyncio.wait([self._answer])
        try:
            self._begin({})
        except Refusal as refusal:
            await self._refuse(refusal)

    async def _refuse(self, refusal: Refusal, asked: str = "") -> None:
        error = {
            "type": "invalid_request_error",
            "code": (refusal.detail or {}).get("code", refusal.code),
            "message": refusal.message,
            "param": refusal.param,
            "event_id": asked if is_term(asked) else None,
        }
        await self._say({"type": "error", "error": error})

    async def _say(self, event: Json) -> None:
        """Send an event to the caller."""
        self._events += 1
        with contextlib.suppress(RuntimeError, OSError):  # the connection has ended
            said = {**event, "event_id": f"event_{self._events}"}
            await self._send({"type": "websocket.send", "text": orjson.dumps(said).decode()})


def _raise(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Raise the fault of an ended task, so that it is reported as any other."""
    for task in tasks:
        if not task.cancelled() and (fault := task.exception()) is not None:
            raise fault


def _event(text: str) -> Json:
    """An event of the caller. Raises Refusal(invalid_request)."""
    try:
        check_event(text.encode(), "An event")
        event = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Refusal("invalid_request", "An event must be JSON.") from None
    except ValueError as fault:
        raise Refusal("invalid_request", f"{fault}.") from None
    if type(event) is not dict:
        raise Refusal("invalid_request", "An event must be an object.")
    return event


def _audio(said: Any) -> str:
    """Audio in base64. Raises Refusal(invalid_request)."""
    try:
        base64.b64decode(said, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise Refusal("invalid_request", "Must be audio in base64.", param="audio") from None
    return str(said)
