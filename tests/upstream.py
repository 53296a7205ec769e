"""An upstream with configurable behavior: the name of the model selects it. Records the requests.

Correct behavior: `echo` repeats the last message, `call` calls a tool with the last message as argument; requests for
embeddings get a vector of three numbers for each input, and `script` the answer set for the input. The others are
rare faults of real providers, which a raw socket produces on demand.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import completing
import generating
import passed
import responding
import uploading

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
PARTS = {
    "prompt_tokens": 1000,
    "completion_tokens": 500,
    "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 50},
    "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 100},
}
"""What the model `parts` reports."""


@dataclass
class Seen:
    """One request that reached the upstream, and whether its client stayed to the end."""

    headers: dict[str, str]
    raw: bytes
    body: dict[str, Any]
    path: str = ""
    model: str = ""
    """The model of the path or of the body."""
    method: str = "POST"
    cut: threading.Event = field(default_factory=threading.Event)
    """Set when the connection was closed before the answer was whole."""


class Upstream:
    """The server, in a thread of its own. `release` continues the waiting answers."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.release = threading.Event()
        self.arrived = threading.Event()
        self.url = ""
        self.terms: dict[str, Any] = {}
        """What an error says beside its message."""
        self.script: dict[str, dict[str, Any] | bytes | list[bytes]] = {}
        """What the model `script` answers to a message: a body, its bytes, or the events of a stream."""
        self.refuses: Callable[[Seen], str] = lambda seen: ""
        """The reason why a strict provider refuses a request with 400; "": it does not."""
        self.answers: Callable[[Seen], tuple[int, str] | None] = lambda seen: None
        """The status and the headers (each with its CRLF) of the answer to a request; None: as its model says."""
        self.says: Callable[[Seen], dict[str, Any] | list[bytes] | None] = lambda seen: None
        """The answer to a request, whole or as events of a stream; None: as its model says."""
        self.kept: dict[str, list[str]] = {}
        """The texts of the conversations that models called `keep` store, by the id of their last response."""

    @property
    def last(self) -> Seen:
        """The newest request."""
        return self.seen[-1]


def _text(body: dict[str, Any]) -> str:
    if body["model"] == "invent":
        return "It is made.up@example.org again."
    if "input" in body or "prompt" in body:
        return str(body.get("input", body.get("prompt")))
    content = body["messages"][-1].get("content") or ""
    return content if isinstance(content, str) else " ".join(_said_in(part) for part in content)


def _said_in(part: dict[str, Any]) -> str:
    """The text of a content part, of a tool result too."""
    inner = part.get("text") or part.get("content") or ""
    return inner if isinstance(inner, str) else " ".join(map(_said_in, inner))


def _message(body: dict[str, Any]) -> dict[str, Any]:
    text = _text(body)
    if body["model"].startswith("call"):
        function = {"name": "send", "arguments": json.dumps({"to": text})}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        }
    return {"role": "assistant", "content": text}


def whole(body: dict[str, Any], **extra: Any) -> dict[str, Any]:
    """A chat completion."""
    reason = "tool_calls" if body["model"].startswith("call") else "stop"
    choices = [
        {"index": i, "message": _message(body), "finish_reason": reason, "logprobs": None}
        for i in range(body.get("n") or 1)
    ]
    return {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"], "choices": choices, **extra}


def chunk(delta: dict[str, Any] | None, reason: str | None = None, **extra: Any) -> bytes:
    """One event of a stream."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "x_unknown": {"kept": True}}
    return b"data: " + json.dumps({**head, "choices": choices, **extra}).encode() + b"\n\n"


def events(body: dict[str, Any], size: int = 3) -> list[bytes]:
    """A streamed answer in pieces of `size` characters."""
    out = [chunk({"role": "assistant", "content": ""})]
    text = _text(body)
    if body["model"].startswith("call"):
        arguments = json.dumps({"to": text})
        start = {"index": 0, "id": "c1", "type": "function", "function": {"name": "send", "arguments": ""}}
        out.append(chunk({"tool_calls": [start]}))
        out += [
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": arguments[i : i + size]}}]})
            for i in range(0, len(arguments), size)
        ]
        out.append(chunk({}, "tool_calls"))
    else:
        if body["model"] == "early-nousage":
            out.append(chunk({}, usage={"prompt_tokens": 5, "completion_tokens": 0}))
        out += [chunk({"content": text[i : i + size]}) for i in range(0, len(text), size)]
        out.append(chunk({}, "stop"))
    if (body.get("stream_options") or {}).get("include_usage") and "nousage" not in body["model"]:
        out.append(chunk(None, usage=PARTS if body["model"] == "parts" else USAGE))
    return [*out, b"data: [DONE]\n\n"]


VECTOR = b"[0.25,-1.5e-05,0.0012345678901234567]"
"""The vector of every input, as numbers; in base64, 0.25, -1.5 and 0.5."""
VECTOR_64 = b'"AACAPgAAwL8AAAA/"'
EMBEDDED = {"prompt_tokens": 9, "total_tokens": 9}


def embeddings(body: dict[str, Any], **extra: Any) -> bytes:
    """A list of embeddings."""
    said = body["input"]
    number = len(said) if isinstance(said, list) and not isinstance(said[0], int) else 1
    vector = VECTOR_64 if body.get("encoding_format") == "base64" else VECTOR
    items = [b'{"object": "embedding", "index": %d, "embedding": %b}' % (at, vector) for at in range(number)]
    tail = json.dumps({"model": body["model"], **extra}).encode()[1:]
    return b'{"object": "list", "data": [' + b", ".join(items) + b"], " + tail


SSE = "text/event-stream"
Writer = Callable[[bytes], Any]


def _head(status: int, kind: str, extra: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{extra}".encode()


def _json(status: int, value: Any, extra: str = "") -> bytes:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return _head(status, "application/json", extra) + b"content-length: %d\r\n\r\n" % len(data) + data


def _piece(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


SEAL = "EqQBCkYIARgCKkDx7Yc0" * 6
"""What stands for the signature of a thinking block."""


def _blocks(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The content of a message: the last text, also in thinking and a tool call if the model's name says so."""
    text = _text(body)
    blocks: list[dict[str, Any]] = []
    if "think" in body["model"]:
        blocks.append({"type": "thinking", "thinking": f"They said: {text}", "signature": SEAL})
    if "call" in body["model"]:
        return [*blocks, {"type": "tool_use", "id": "toolu_1", "name": "send", "input": {"to": text}}]
    return [*blocks, {"type": "text", "text": text}]


def message_event(kind: str, **data: Any) -> bytes:
    """An event of the Messages dialect."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def message_events(body: dict[str, Any], size: int = 3) -> list[bytes]:
    """A streamed message in pieces of `size` characters."""
    usage = {"input_tokens": 11, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2, "output_tokens": 1}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": []}
    out = [message_event("message_start", message={**head, "stop_reason": None, "stop_sequence": None, "usage": usage})]
    out.append(message_event("ping"))
    for index, block in enumerate(_blocks(body)):
        begun, deltas = dict(block), list[dict[str, Any]]()
        for kind, key in (("thinking", "thinking"), ("text", "text")):
            if key in block:
                begun[key] = ""
                cut = [block[key][i : i + size] for i in range(0, len(block[key]), size)]
                deltas += [{"type": f"{kind}_delta", key: piece} for piece in cut]
        if "signature" in block:
            begun["signature"] = ""
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        if "input" in block:
            begun["input"] = {}
            said = json.dumps(block["input"])
            deltas += [
                {"type": "input_json_delta", "partial_json": said[i : i + size]} for i in range(0, len(said), size)
            ]
        out.append(message_event("content_block_start", index=index, content_block=begun))
        out += [message_event("content_block_delta", index=index, delta=delta) for delta in deltas]
        out.append(message_event("content_block_stop", index=index))
    delta = {"stop_reason": "tool_use" if "call" in body["model"] else "end_turn", "stop_sequence": None}
    return [
        *out,
        message_event("message_delta", delta=delta, usage={"output_tokens": 7}),
        message_event("message_stop"),
    ]


async def claude(upstream: Upstream, seen: Seen) -> AsyncIterator[bytes | None]:
    """The bytes of an answer in the Messages dialect."""
    model = seen.model
    body = {**seen.body, "model": model}  # on Vertex, the path names the model
    if model.startswith("status-"):
        kinds = {"400": "invalid_request_error", "429": "rate_limit_error", "529": "overloaded_error"}
        error = {"type": kinds.get(model[7:], "api_error"), "message": f"no: {_text(body)}"}
        yield _json(int(model[7:]), {"type": "error", "error": error, "request_id": "req_1"}, "retry-after: 7\r\n")
    elif seen.path.endswith(("/count_tokens", "/count-tokens:rawPredict")):
        yield _json(200, {"input_tokens": 42})
    elif model == "script" and not isinstance(said := upstream.script[_text(body)], list):
        yield _json(200, said)
    elif model == "script":
        yield _head(200, SSE, "transfer-encoding: chunked\r\n\r\n")
        for part in upstream.script[_text(body)]:
            yield _piece(part)  # type: ignore[arg-type]
        yield b"0\r\n\r\n"
    elif body.get("stream"):
        yield _head(200, SSE, "transfer-encoding: chunked\r\n\r\n")
        parts = message_events(body)
        for number, part in enumerate(parts):
            if model == "mid-error" and number == len(parts) // 2:
                yield _piece(message_event("error", error={"type": "overloaded_error", "message": "Overloaded"}))
                return
            yield _piece(part)
        yield b"0\r\n\r\n"
    else:
        usage = {"input_tokens": 11, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2, "output_tokens": 7}
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": _blocks(body)}
        reason = "tool_use" if "call" in model else "end_turn"
        yield _json(200, {**head, "stop_reason": reason, "stop_sequence": None, "usage": usage})


async def responses(upstream: Upstream, seen: Seen) -> AsyncIterator[bytes | None]:
    """The bytes of an answer in the Responses dialect."""
    body, model = seen.body, seen.body["model"]
    if model.startswith("status-"):
        error = {"message": f"no: {responding.last_text(body)}", "type": "invalid_request_error", "code": "bad"}
        yield _json(int(model[7:]), {"error": error}, "retry-after: 7\r\n")
        return
    said = upstream.script[responding.last_text(body)] if model == "script" else None
    if "keep" in model:
        said = responding.kept(upstream.kept, body)
        if said is None:
            words = {"message": "Previous response not found.", "type": "invalid_request_error"}
            yield _json(404, {"error": {**words, "code": "previous_response_not_found"}})
            return
    if said is None:
        said = responding.events(body) if body.get("stream") else responding.whole(body)
    if not isinstance(said, list):
        yield _json(200, said)
        return
    yield _head(200, SSE, "transfer-encoding: chunked\r\n\r\n")
    for number, part in enumerate(said):
        if model == "mid-error" and number == len(said) // 2:
            yield _piece(
                message_event("error", code="server_error", message="Overloaded", param=None, sequence_number=number)
            )
            return
        yield _piece(part)
    yield b"0\r\n\r\n"


async def gemini(upstream: Upstream, seen: Seen) -> AsyncIterator[bytes | None]:
    """The bytes of an answer in Gemini's dialect."""
    body, model = seen.body, seen.model
    if "mbedContent" in seen.path:
        yield _json(200, generating.embedded(body))
        return
    if seen.path.endswith(":countTokens"):
        yield _json(200, {"totalTokens": 42})
        return
    if model.startswith("status-"):
        error = {"code": int(model[7:]), "message": f"no: {generating.last_text(body)}", "status": "INTERNAL"}
        yield _json(int(model[7:]), {"error": error}, "retry-after: 7\r\n")
        return
    streamed = ":streamGenerateContent" in seen.path
    said = upstream.script[generating.last_text(body)] if model == "script" else None
    if said is None:
        said = generating.events(body, model) if streamed else generating.whole(body, model)
    if not isinstance(said, list):
        yield _json(200, said)
        return
    yield _head(200, SSE, "transfer-encoding: chunked\r\n\r\n")
    for number, part in enumerate(said):
        if model == "mid-error" and number == len(said) // 2:
            error = {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}
            yield _piece(b"data: " + json.dumps({"error": error}).encode() + b"\r\n\r\n")
            return
        yield _piece(part)
    yield b"0\r\n\r\n"


async def _answer(upstream: Upstream, seen: Seen) -> AsyncIterator[bytes | None]:
    """The bytes of the answer, selected by the model's name; None: wait for `release`."""
    body = seen.body
    model, streamed = body["model"], body.get("stream")
    if model.startswith("status-"):
        error = {"message": f"no: {_text(body)}", **upstream.terms}
        yield _json(int(model[7:]), {"error": error}, "retry-after: 7\r\n")
    elif model == "reset":
        return
    elif model == "hang":
        yield None
    elif model == "garbage":
        yield _json(200, b"<html>not json</html>")
    elif model == "wrong-shape":
        yield _json(200, {"choices": "none"})
    elif model == "short":
        yield _head(200, "application/json", "content-length: 1000\r\n\r\n") + b'{"choices"'
    elif model == "script":
        said = upstream.script[_text(body)]
        if not isinstance(said, list):
            yield _json(200, said)
            return
        yield _head(200, SSE, "transfer-encoding: chunked\r\n\r\n")
        for event in said:
            yield _piece(event)
        yield b"0\r\n\r\n"
    elif seen.path.endswith("/moderations"):
        yield _json(200, completing.moderation(body))
    elif "input" in body:
        yield _json(200, embeddings(body, **({} if "nousage" in model else {"usage": EMBEDDED})))
    elif model == "not-a-stream":
        yield _json(200, whole(body, usage=USAGE))
    elif not streamed:
        extra = {} if "nousage" in model else {"usage": PARTS if model == "parts" else USAGE}
        made = completing.whole if "prompt" in body else whole
        yield _json(200, made(body, x_unknown={"kept": True}, **extra))
    else:
        yield _head(200, SSE, "transfer-encoding: chunked\r\n\r\n")
        parts = completing.events(body) if "prompt" in body else events(body)
        for number, part in enumerate(parts):
            if number == len(parts) // 2:
                if model == "mid-hang":
                    yield None
                if model in ("mid-reset", "mid-garbage", "mid-error", "mid-half"):
                    yield None
                    fault = {
                        "mid-reset": b"",
                        "mid-garbage": _piece(b"data: {oh no\n\n"),
                        "mid-error": _piece(b'data: {"error": {"message": "boom"}}\n\n'),
                        "mid-half": _piece(part[: len(part) // 2]) + b"0\r\n\r\n",
                    }[model]
                    yield fault
                    return
            yield _piece(part)
        yield b"0\r\n\r\n"


async def _serve(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Also when the test has ended and the task is cancelled: an open transport is not left to the garbage collector.
    with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:]) if k}
            raw = await reader.readexactly(int(headers.get("content-length", 0)))
            method, path, _ = head[0].split(" ")
            form = headers.get("content-type", "").startswith(("multipart/form-data", "application/octet-stream"))
            body = {"model": "form"} if form else json.loads(raw or b'{"model": ""}')
            model = body.get("model") or path.rpartition("/")[2].partition(":")[0]
            seen = Seen(headers, raw, body, path, model, method)
            upstream.seen.append(seen)
            upstream.arrived.set()
            try:
                goes_on = await _speak(upstream, seen, reader, writer)
            except ConnectionError:  # cut while it was being sent
                seen.cut.set()
                raise
            if not goes_on:
                break


async def _speak(upstream: Upstream, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Send the answer; False when the connection ends with it."""
    last, model = b"", seen.model
    if reason := upstream.refuses(seen):
        writer.write(_json(400, {"error": {"message": reason}}))
        await writer.drain()
        return True
    if (chosen := upstream.answers(seen)) is not None:
        status, extra = chosen
        value = whole(seen.body, usage=USAGE) if status == 200 else {"error": {"message": "no"}}
        writer.write(_json(status, value, extra))
        await writer.drain()
        return True
    if (answer := upstream.says(seen)) is not None:
        if isinstance(answer, list):
            writer.write(_head(200, SSE, "transfer-encoding: chunked\r\n\r\n"))
            writer.write(b"".join(map(_piece, answer)) + b"0\r\n\r\n")
        else:
            writer.write(_json(200, answer))
        await writer.drain()
        return True
    if "/interactions" in seen.path:
        said = generating.interaction(seen.method, seen.path, seen.body)
        error = {"error": {"code": 404, "message": "Interaction not found.", "status": "NOT_FOUND"}}
        if said is not None and seen.body.get("stream"):
            events = generating.interaction_events(said)
            writer.write(_head(200, SSE, "transfer-encoding: chunked\r\n\r\n"))
            writer.write(b"".join(map(_piece, events)) + b"0\r\n\r\n")
        else:
            writer.write(_json(404, error) if said is None else _json(200, said))
        await writer.drain()
        return True
    if (upload := uploading.answer(seen.method, seen.path, seen.headers, seen.raw)) is not None:
        status, extra, content = upload
        writer.write(_head(status, "application/json", extra) + b"content-length: %d\r\n\r\n" % len(content) + content)
        await writer.drain()
        return True
    if (passing := passed.answer(seen.method, seen.path, seen.raw, seen.body)) is not None:
        status, kind, content = passing
        writer.write(_head(status, kind) + b"content-length: %d\r\n\r\n" % len(content) + content)
        await writer.drain()
        return True
    if seen.path.endswith(("/responses/input_tokens", "/responses/compact")):
        writer.write(_json(200, responding.counted(seen.body, seen.path)))
        await writer.drain()
        return True
    if "/responses/" in seen.path or "/conversations" in seen.path:
        if "/conversations" in seen.path:
            said = responding.conversation(seen.method, seen.path, seen.body)
        else:
            said = responding.about(seen.method, seen.path)
        error = {"error": {"message": "Response not found.", "type": "invalid_request_error", "code": None}}
        writer.write(_json(404, error) if said is None else _json(200, said))
        await writer.drain()
        return True
    says = claude if "/messages" in seen.path else responses if seen.path.endswith("/responses") else _answer
    if "/models/" in seen.path:
        says = claude if "/publishers/anthropic/" in seen.path else gemini
    async for data in says(upstream, seen):
        if data is None:
            gone = asyncio.ensure_future(reader.read(1))
            while not upstream.release.is_set() and not gone.done():
                await asyncio.wait([gone], timeout=0.01)
            if gone.done():
                seen.cut.set()
                return False
            gone.cancel()
        else:
            last = data
            writer.write(data)
            await writer.drain()
    return model not in ("reset", "short", "hang", "mid-reset") and not (model.startswith("mid-") and last)


@contextlib.contextmanager
def running() -> Iterator[Upstream]:
    """Serve until the block ends."""
    upstream = Upstream()
    ready = threading.Event()
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = asyncio.Event()
        started.append((asyncio.get_running_loop(), stop))
        server = await asyncio.start_server(lambda r, w: _serve(upstream, r, w), "127.0.0.1", 0)
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        ready.set()
        async with server:
            await stop.wait()
        upstream.release.set()

    # `asyncio.run` waits for what it cancels, and ends generators: nothing is left to the garbage collector.
    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    ready.wait()
    loop, stop = started[0]
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
