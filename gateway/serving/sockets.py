"""`/v1/responses` over WebSocket: each `response.create` is a call of its own line, over HTTP to the provider.

Config key: `server.websockets`. A frame of the client is a request of the Responses dialect, and each event of its
stream is a frame. A connection serves one call at a time. What a client continues without the provider storing it
(`previous_response_id` with `store: false`, and warm-ups) is kept here, for the time of the connection: the next
request has all items of the conversation, and is judged as any other. A warm-up (`generate: false`) leaves nothing and
costs nothing; its texts are judged with the call that follows. The credential is checked when the connection is made,
and again with every call.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import orjson

from gateway import ids
from gateway.call import Headers, Json
from gateway.dialects import sse
from gateway.dialects.openai_responses import OPENAI_RESPONSES
from gateway.dialects.responses_items import items
from gateway.dialects.responses_tables import kind
from gateway.errors import Refusal
from gateway.ingress.wire import Head, Receive

LONGEST: Final = 3600.0  # seconds of a connection, as at OpenAI
_QUEUED: Final = 8  # frames that wait for their turn
_OF_HANDSHAKE: Final = (
    *(b"sec-websocket", b"upgrade", b"connection", b"content-", b"transfer-encoding"),
    b"idempotency",  # a key for one call
)
_LAST: Final = frozenset({"response.completed", "response.incomplete"})
_OWN: Final = ("type", "generate", "stream_id", "stream", "stream_options")
Serve = Callable[["Frames"], Awaitable[None]]
"""Serves one call."""


class Frames:
    """One call on a connection, as an `ingress.wire.Exchange`: its body is a frame, its answer are frames."""

    def __init__(
        self, headers: Headers, client: tuple[str, int] | None, body: bytes, send: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self.headers, self.client = headers, client
        self._body: bytes | None = body
        self._send = send
        self._reader = sse.Reader()
        self._status = 0
        self._streams = False
        self._gone: Callable[[], object] | None = None
        self._lost = False
        self.last: Json | None = None  # the response in the event that ended the answer

    @property
    def receive(self) -> Receive:
        """The body, as ASGI has it."""
        return self._receive

    async def _receive(self) -> dict[str, Any]:
        body, self._body = self._body, None
        if body is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": body, "more_body": False}

    async def put(self, data: bytes, *, more: bool, head: Head | None = None) -> None:  # noqa: ARG002  (of the protocol)
        """Send the events in a piece of an answer, or an error as an event."""
        if head is not None:
            self._status = head[0]
            self._streams = any(name == b"content-type" and b"event-stream" in value for name, value in head[1])
        if not self._streams:
            await self._send(_error(self._status, orjson.loads(data)))
            return
        for event in self._reader.feed(data):
            if event.data is None or event.data == b"[DONE]":
                continue
            if event.event.decode("latin-1") in _LAST or b'"response.completed"' in event.data[:64]:
                self.last = orjson.loads(event.data).get("response")
            await self._send(event.data)

    def know(self) -> None:
        """No effect: the connection is known since its handshake."""

    def watch(self, gone: Callable[[], object]) -> None:
        """Call `gone` once if the client disconnects before the answer is complete."""
        self._gone = gone
        if self._lost:
            gone()

    def unwatch(self) -> None:
        """End the watch."""
        self._gone = None

    def lose(self) -> None:
        """The client has gone."""
        self._lost = True
        if self._gone is not None:
            self._gone()


def of_calls(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers of the calls on a connection: those of its handshake that are not about the handshake alone."""
    kept = [(name, value) for name, value in headers if not name.startswith(_OF_HANDSHAKE)]
    return [*kept, (b"content-type", b"application/json")]


class Session:
    """One connection. `serve`: serves one call; `most`: bytes of a conversation that is kept here."""

    def __init__(self, scope: Any, receive: Receive, send: Any, serve: Serve, most: int) -> None:
        self._headers = of_calls(scope["headers"])
        self._client = scope.get("client")
        self._receive, self._send, self._serve, self._most = receive, send, serve, most
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._left = False  # the client has gone
        self._running: Frames | None = None
        self._known: tuple[str, Sequence[Json]] | None = None  # id and items of a conversation that is kept here

    async def run(self) -> None:
        """Serve the connection, which was accepted, to its end."""
        pump = asyncio.ensure_future(self._pump())
        try:
            async with asyncio.timeout(LONGEST):
                while (text := await self._queue.get()) is not None:
                    await self._take(text)
        except TimeoutError:
            words = "The connection is an hour old. Open another one."
            await self._refuse(Refusal("invalid_request", words, detail={"code": "websocket_connection_limit_reached"}))
            await self._send({"type": "websocket.close", "code": 1001})
        finally:
            pump.cancel()

    async def _pump(self) -> None:
        """Receive frames, so that a disconnect is seen while a call runs."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                break
            if message["type"] == "websocket.receive":
                if self._queue.qsize() < _QUEUED:  # never waits: a disconnect must be seen while a call runs
                    self._queue.put_nowait(message.get("text") or "")
                else:
                    words = f"{_QUEUED} requests wait already: a connection serves one call at a time."
                    await self._refuse(Refusal("invalid_request", words))
        if self._running is not None:
            self._running.lose()
        self._left = True
        self._queue.put_nowait(None)

    async def _take(self, text: str) -> None:
        """Serve one frame of the client."""
        try:
            body = _asked(text)
            warm = body.get("generate") is False
            self._continue(body)
        except Refusal as refusal:
            await self._refuse(refusal)
            return
        asked = [dict(item) for item in items(body)]
        body = {key: value for key, value in body.items() if key not in _OWN}
        if warm:
            await self._warm(body, asked)
            return
        frames = Frames(self._headers, self._client, orjson.dumps({**body, "stream": True}), self._text)
        self._running = frames
        if self._left:
            frames.lose()
        try:
            await asyncio.ensure_future(self._serve(frames))  # a disconnect cancels only the call
        finally:
            self._running = None
        last = frames.last
        if last is not None and body.get("store") is False:
            self._keep(str(last.get("id") or ""), [*asked, *_again(last.get("output") or ())])

    def _continue(self, body: Json) -> None:
        """Put the items of a conversation that is kept here before those of the request. Raises Refusal."""
        if self._known is None or body.get("previous_response_id") != self._known[0]:
            return
        del body["previous_response_id"]
        body["input"] = [*self._known[1], *items(body)]

    def _keep(self, id: str, said: Sequence[Json]) -> None:
        fits = id and len(orjson.dumps(said)) <= self._most
        self._known = (id, said) if fits else None

    async def _warm(self, body: Json, asked: Sequence[Json]) -> None:
        """Answer a warm-up: nothing is generated, and nothing leaves."""
        id = f"resp_warm_{ids.uuid7().replace('-', '')}"
        self._keep(id, asked)
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        head: Json = {"id": id, "object": "response", "created_at": int(time.time()), "output": [], "error": None}
        head |= {"model": body.get("model"), "incomplete_details": None}
        begun, ended = {**head, "status": "in_progress", "usage": None}, {**head, "status": "completed", "usage": usage}
        for number, (name, said) in enumerate((("created", begun), ("completed", ended))):
            event = {"type": f"response.{name}", "sequence_number": number, "response": said}
            await self._text(orjson.dumps(event))

    async def _refuse(self, refusal: Refusal) -> None:
        await self._text(_error(refusal.status, OPENAI_RESPONSES.refuse(refusal, ids.uuid7())))

    async def _text(self, data: bytes) -> None:
        with contextlib.suppress(RuntimeError, OSError):  # the connection has ended
            await self._send({"type": "websocket.send", "text": data.decode()})


def _asked(text: str) -> Json:
    """The request in a frame. Raises Refusal(invalid_request)."""
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Refusal("invalid_request", "A frame must be JSON.") from None
    if type(said) is not dict or said.get("type") != "response.create":
        raise Refusal("invalid_request", "A frame must be a `response.create`; no other is served here.", param="type")
    if said.get("stream_id") is not None:
        words = "`stream_id` must be left out: a connection serves one call at a time. Open another connection."
        raise Refusal("invalid_request", words, param="stream_id")
    if type(said.get("response")) is dict:
        inside = said.pop("response")
        said |= inside
    inner = said.get("input")
    if type(inner) is list and not all(type(item) is dict for item in inner):
        raise Refusal("invalid_request", "`input` must be a list of objects.", param="input")
    if type(inner) not in (list, str, type(None)):
        raise Refusal("invalid_request", "`input` must be a string or a list of items.", param="input")
    return said


def _again(output: Sequence[Json]) -> list[Json]:
    """The items of an answer as the next request has them: without ids, which are those of nothing stored."""
    kept = []
    for item in output:
        if kind(item) == "reasoning" and not item.get("encrypted_content"):
            continue
        own = kind(item) == "message" or "call_id" in item
        kept.append({key: value for key, value in item.items() if not (own and key in ("id", "status"))})
    return kept


def _error(status: int, body: Json) -> bytes:
    """An error as an event."""
    return orjson.dumps({"type": "error", "status": status, **body})
