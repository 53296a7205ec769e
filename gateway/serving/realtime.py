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
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson

from gateway import ids
from gateway.call import Call, Headers, Json, Stored
from gateway.dialects.openai_realtime import AUDIO, OWN, heard, judged, write
from gateway.dialects.responses_items import ID
from gateway.dialects.responses_tables import kind
from gateway.dialects.terms import is_term
from gateway.errors import Refusal
from gateway.ingress.request import named
from gateway.ingress.wire import Receive
from gateway.serving.sockets import LONGEST, Frames
from gateway.upstream.realtime import Link, Realtime

_QUEUED: Final = 64  # frames of the caller that wait
_ITEMS: Final = 1024  # items that wait for an answer
_SETTINGS: Final = frozenset({"instructions", "tools", "tool_choice", "max_output_tokens", "metadata", "prompt"})
_OTHER: Final = frozenset({"output_modalities", "audio", "reasoning", "parallel_tool_calls"})
_ANSWER: Final = frozenset({"conversation", "input"})
_LISTENS: Final = ("format", "noise_reduction", "turn_detection")
_STAYS: Final = frozenset({"rate_limited", "quota_busy", "overloaded", "upstream_error", "upstream_timeout"})
_TOLD: Final = {  # events of the provider that reach the caller, with their fields
    "input_audio_buffer.committed": ("item_id", "previous_item_id"),
    "input_audio_buffer.cleared": (),
    "input_audio_buffer.speech_started": ("item_id", "audio_start_ms"),
    "input_audio_buffer.speech_stopped": ("item_id", "audio_end_ms"),
    "input_audio_buffer.timeout_triggered": ("item_id", "audio_start_ms", "audio_end_ms"),
    "response.output_audio.delta": ("item_id", "response_id", "output_index", "content_index", "delta"),
    "response.output_audio.done": ("item_id", "response_id", "output_index", "content_index"),
}
Serve = Callable[[Frames, Stored | None], Awaitable[Call]]
"""Serves one call; `Stored`: where the conversation is, after the first answer."""


class Conversation:
    """One connection of a caller. `serve`: serves one call; `hears`, `speaks`: whether audio may flow in and out."""

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
        *,
        hears: bool,
        speaks: bool,
    ) -> None:
        dropped = (b"sec-websocket", b"upgrade", b"connection", b"content-", b"transfer-encoding")
        kept = [(name, value) for name, value in scope["headers"] if not name.startswith(dropped)]
        workflow = () if named(kept) else ((b"x-correlation-id", ids.uuid7().encode()),)
        self._headers: Headers = [*kept, *workflow, (b"content-type", b"application/json")]
        self._client = scope.get("client")
        self._receive, self._send, self._serve, self._realtime = receive, send, serve, realtime
        self._model, self._most, self._after = model, most, after
        self._may_hear, self._may_speak = hears, speaks
        self._link: Link = realtime.link(self._told)
        self._session: Json = {"type": "realtime", "object": "realtime.session", "id": f"sess_{ids.uuid7()}"}
        self._session |= {"model": model, "output_modalities": ["audio" if speaks else "text"]}
        self._items: list[Json] = []  # those that no answer has had
        self._size = 0  # bytes of these items
        self._place: Stored | None = None
        self._out: asyncio.Queue[Json | None] = asyncio.Queue(_QUEUED)
        self._answer: asyncio.Task[None] | None = None
        self._frames: Frames | None = None
        self._response = ""  # the id of the answer that is being made
        self._events = 0

    async def run(self) -> None:
        """Serve the connection, which was accepted, to its end."""
        await self._say({"type": "session.created", "session": self._session})
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
            for task in (listens, tells):
                task.cancel()
            if self._frames is not None:
                self._frames.lose()
            if self._answer is not None:
                await asyncio.wait([self._answer])
            await self._realtime.unlink(self._link)

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
                event = _event(message.get("text") or "")
                asked = str(event.get("event_id") or "")
                await self._take(event)
            except Refusal as refusal:
                await self._refuse(refusal, asked)

    async def _take(self, event: Json) -> None:
        match kind(event):
            case "session.update":
                self._set(event.get("session"))
                await self._say({"type": "session.updated", "session": self._session})
                if self._link.is_open:
                    await self._link.hear(self._listening())
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

    def _set(self, session: Any) -> None:
        """Change the settings. Raises Refusal(invalid_request)."""
        if type(session) is not dict:
            raise Refusal("invalid_request", "`session` must be an object.", param="session")
        if session.get("type", "realtime") != "realtime":
            raise Refusal("invalid_request", "`session.type` must be `realtime`.", param="session.type")
        unknown = session.keys() - _SETTINGS - _OTHER - {"type", "model", "include", "tracing", "truncation"}
        if unknown:
            words = f"Of `session`, these are served: {', '.join(sorted(_SETTINGS | _OTHER))}."
            raise Refusal("invalid_request", words, param="session")
        self._check(session)
        if len(orjson.dumps(session)) > self._most:
            raise Refusal("request_too_large", f"`session` is larger than {self._most} bytes.", param="session")
        changed = {key: value for key, value in session.items() if key in _SETTINGS | _OTHER}
        if type(changed.get("audio")) is dict:
            audio = self._session.get("audio") or {}
            changed["audio"] = {**audio, **changed["audio"]}
        self._session = {**self._session, **changed}

    def _check(self, settings: Json) -> None:
        """Raise Refusal for audio that may not flow, or that is not served."""
        wanted = settings.get("output_modalities")
        if wanted is not None and wanted not in (["text"], ["audio"]):
            raise Refusal("invalid_request", 'Must be ["text"] or ["audio"].', param="output_modalities")
        if wanted == ["audio"] and not self._may_speak:
            words = 'No scanner can read audio: ask for ["text"]. The operator may set output.unscannable: allow.'
            raise Refusal("invalid_request", words, param="output_modalities")
        audio = settings.get("audio")
        for side in ("input", "output"):
            if audio is not None and (type(audio) is not dict or type(audio.get(side, {})) is not dict):
                raise Refusal("invalid_request", "Must be an object.", param=f"audio.{side}")
        if audio is not None and audio.get("input", {}).get("transcription") is not None:
            words = "Transcripts of input audio are not served here: leave `transcription` out."
            raise Refusal("invalid_request", words, param="audio.input.transcription")

    def _listening(self) -> Json:
        """How the provider listens."""
        told = (self._session.get("audio") or {}).get("input") or {}
        return {"turn_detection": {"type": "server_vad"}, **{key: told[key] for key in _LISTENS if key in told}}

    async def _create(self, event: Json) -> None:
        """An item of the caller, which leaves with the next answer."""
        item = event.get("item")
        if type(item) is not dict:
            raise Refusal("invalid_request", "`item` must be an object.", param="item")
        given = item.get("id")
        if given is not None and (type(given) is not str or not ID.fullmatch(given)):
            raise Refusal("invalid_request", "Must be letters, digits and `_.:-`.", param="item.id")
        item = {"id": f"item_{ids.uuid7()}", **item}
        self._size += len(orjson.dumps(item))
        if len(self._items) >= _ITEMS or self._size > self._most:
            words = f"More than {_ITEMS} items or {self._most} bytes wait for an answer: ask with `response.create`."
            self._size -= len(orjson.dumps(item))
            raise Refusal("request_too_large", words, param="item")
        self._items.append(judged(item))
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
        if name.endswith("truncate"):
            numbers = {key: event.get(key) for key in ("content_index", "audio_end_ms")}
            if not all(type(number) is int and number >= 0 for number in numbers.values()):
                raise Refusal("invalid_request", "Must be integers from 0.", param="content_index")
            said |= numbers
        waiting = [item for item in self._items if item.get("id") == id]
        if waiting and name.endswith("delete"):
            self._items = [item for item in self._items if item.get("id") != id]
        else:
            await self._link.send({"type": name, **said})
        await self._say({"type": f"{name}d", **said})

    async def _hear(self, event: Json, name: str) -> None:
        """Audio of the caller."""
        if not self._may_hear:
            words = "No scanner can read audio: send text. The operator may set pii.unscannable: allow."
            raise Refusal("invalid_request", words, param="type")
        if not self._link.is_open:
            if self._answer is not None:
                await asyncio.wait([self._answer])
            await self._ask({OWN: self._own({"opens": True}), "input": [heard("first")]}, shown=False)
            if not self._link.is_open:
                return  # the refusal was sent
        said: Json = {"type": name}
        if name.endswith("append"):
            said["audio"] = _audio(event.get("audio"))
        await self._link.send(said)

    def _begin(self, asked: Any) -> None:
        """Ask for an answer."""
        if type(asked) is not dict:
            raise Refusal("invalid_request", "`response` must be an object.", param="response")
        if self._answer is not None:
            words = "An answer is being made. Wait for `response.done`, or cancel it."
            detail = {"code": "conversation_already_has_active_response"}
            raise Refusal("invalid_request", words, detail=detail)
        unknown = asked.keys() - _SETTINGS - _OTHER - _ANSWER
        if unknown:
            served = ", ".join(sorted(_SETTINGS | _OTHER | _ANSWER))
            words = f"Of `response`, these are served: {served}."
            raise Refusal("invalid_request", words, param="response")
        self._check(asked)
        apart = asked.get("conversation") == "none"
        given = asked.get("input")
        if given is not None and (type(given) is not list or not all(type(item) is dict for item in given)):
            raise Refusal("invalid_request", "`input` must be a list of items.", param="response.input")
        if given is not None and not apart:
            words = '`input` is served with `conversation: "none"` only: create items instead.'
            raise Refusal("invalid_request", words, param="response.input")
        merged = {**self._session, **{key: value for key, value in asked.items() if key not in _ANSWER}}
        own: Json = {"apart": True} if apart else {}
        body = {key: merged[key] for key in _SETTINGS if merged.get(key) not in (None, "inf")}
        items = [judged(item) for item in given or ()] if apart else list(self._items)
        body |= {OWN: self._own(own, merged), "input": items}
        self._answer = asyncio.ensure_future(self._ask(body))
        self._answer.add_done_callback(self._ended)

    def _own(self, own: Json, merged: Json | None = None) -> Json:
        settings = {key: value for key, value in (merged or {}).items() if key in _OTHER and value is not None}
        if type(settings.get("audio")) is dict:
            settings["audio"] = {"output": settings["audio"].get("output", {})}
        if own.get("apart"):
            settings["conversation"] = "none"
        hears = self._listening() if self._may_hear else {}
        return {"link": self._link.number, "hears": hears, "settings": settings, **own}

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._answer = None
        if not task.cancelled() and task.exception() is not None:
            self._told({})

    async def _ask(self, body: Json, *, shown: bool = True) -> None:
        """Serve one call."""
        asked = len(self._items)
        said = {"model": self._model, **body, "stream": True}
        frames = Frames(self._headers, self._client, orjson.dumps(said), self._answered if shown else self._opening)
        self._frames, self._response = frames, ""
        try:
            call = await asyncio.ensure_future(self._serve(frames, self._place))  # a disconnect cancels only the call
        finally:
            self._frames = None
        if call.outcome.status == 200:
            self._place = self._after(call, frames.last or {})
        if not shown or body[OWN].get("apart"):
            return
        refusal = call.refusal
        if refusal is not None and refusal.code in _STAYS and call.outcome.status != 200:
            return  # the items wait for another attempt
        gone, self._items = self._items[:asked], self._items[asked:]
        self._size = sum(len(orjson.dumps(item)) for item in self._items)
        if call.outcome.status != 200:
            for item in gone:
                await self._say({"type": "conversation.item.deleted", "item_id": item.get("id")})

    async def _answered(self, data: bytes) -> None:
        """An event of an answer."""
        event = orjson.loads(data)
        if kind(event) == "response.created":
            self._response = str(event["response"].get("id") or "")
        await self._say(write(event, self._response, ""))
        if kind(event) in ("response.output_item.added", "response.output_item.done") and "item" in event:
            await self._say({"type": f"conversation.item.{kind(event)[21:]}", "item": event["item"]})

    async def _opening(self, data: bytes) -> None:
        """An event of an answer that only opens the connection: a refusal."""
        event = orjson.loads(data)
        if kind(event) == "error":
            await self._say(write(event, "", ""))

    def _told(self, event: Json) -> None:
        """An event of the provider that belongs to no answer; {} for the end of the connection."""
        with contextlib.suppress(asyncio.QueueFull):
            self._out.put_nowait(event or None)

    async def _relay(self) -> None:
        """Pass on events that belong to no answer, until the connection to the provider ends."""
        while (event := await self._out.get()) is not None:
            name = kind(event)
            if name == "error":
                code = (event.get("error") or {}).get("code")
                detail = {"code": code} if is_term(str(code)) else {}
                await self._refuse(Refusal("invalid_request", "The provider refused an event.", detail=detail))
            elif name in _TOLD and (name not in AUDIO or self._may_speak):
                await self._say({"type": name, **{key: event[key] for key in _TOLD[name] if key in event}})
            if name == "input_audio_buffer.committed" and ID.fullmatch(str(event.get("item_id"))):
                await self._turn(str(event["item_id"]))

    async def _turn(self, id: str) -> None:
        """A turn of the caller has ended: ask for the answer, if the caller wants it by itself."""
        self._items.append(heard(id))
        turns = self._listening()["turn_detection"]
        if type(turns) is not dict or turns.get("create_response") is False:
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


def _event(text: str) -> Json:
    try:
        event = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Refusal("invalid_request", "An event must be JSON.") from None
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
