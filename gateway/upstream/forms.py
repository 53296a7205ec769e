"""Answers in another form than was asked for: events for a whole answer, a whole answer for events, errors as either.

What an answer is shows in its first bytes; the media type only decides where they do not tell.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson

from gateway.call import Json
from gateway.dialects import items, ordinal, sse, surrogates
from gateway.dialects.toolcalls import ToolCalls, merge
from gateway.output.screen import MAX_RUNS, MAX_TOOL_CALL

_PIECE = 64 * 1024  # characters of a text in one event
_PEEKED = 64 * 1024  # bytes in which the first event has to show
_PATIENCE = 5.0  # seconds for which comments are held back, from the first byte on
_TELLING = 24  # bytes that tell whether an object is an error
_ERROR = re.compile(rb'\{\s*"(?:error"|object"\s*:\s*"error")')
_LINE = re.compile(rb"[^\r\n]*[\r\n]")
_LINES = frozenset(
    {
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonlines",
        "application/jsonl",
        "application/json-lines",
    }
)
_SSE = (b"data:", b"event:", b"id:", b"retry:", b":")


async def peeked(chunks: AsyncIterator[bytes]) -> bytes:
    """The beginning of an answer, up to the first thing it says; what follows is left in `chunks`.

    Comments are waited past, since an error may follow them, but not for long: they keep connections alive.
    """
    start, began = b"", time.monotonic()
    async for data in chunks:
        start += data
        if not _silent(start) or len(start) > _PEEKED or time.monotonic() - began > _PATIENCE:
            break
    return start


def _silent(start: bytes) -> bool:
    """Whether there is neither the first event nor the beginning of an answer: what has come may yet be an error."""
    text = start.removeprefix(sse.MARK).lstrip()
    if text.startswith(b"{"):
        return (len(text) < _TELLING or _ERROR.match(text) is not None) and _parsed(text) is None
    return _first_data(text) is None and (text.startswith(_SSE) or any(field.startswith(text) for field in _SSE))


def _first_data(text: bytes) -> bytes | None:
    """The data of the first event, once its line is whole."""
    for line in _LINE.finditer(text):
        if line[0].startswith(b"data:"):
            return line[0].removeprefix(b"data:").strip()
    return None


def is_stream(start: bytes, declared: bool) -> bool:
    """Whether an answer that begins so is a stream of events."""
    text = start.removeprefix(sse.MARK).lstrip()
    if text.startswith(_SSE):
        return True
    return declared and not text.startswith(b"{")


def is_lines(kind: str) -> bool:
    """Whether a media type is that of JSON objects, one a line."""
    return kind.partition(";")[0].strip() in _LINES


async def gathered(start: bytes, chunks: AsyncIterator[bytes]) -> bytes:
    """The first line of an answer of lines, as far as `_PEEKED` bytes, with what came with it."""
    while b"\n" not in start.lstrip() and len(start) <= _PEEKED:
        data = await anext(chunks, b"")
        if not data:
            break
        start += data
    return start


def says_whole(start: bytes) -> bool:
    """Whether the first of such lines is a whole answer already."""
    said = _parsed(start.removeprefix(sse.MARK).lstrip().partition(b"\n")[0])
    return said is not None and any("message" in choice and "delta" not in choice for choice in _choices(said))


async def events_of_lines(start: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines of JSON as events: the bytes as they come, each line with a name before it and an empty line after it."""
    begun = False
    data = start.removeprefix(sse.MARK)
    while True:
        said = []
        for line in data.replace(b"\r", b"").splitlines(keepends=True):
            if begun or line.strip():
                said.append(line if begun or line.startswith(_SSE) else b"data: " + line)
                begun = not line.endswith(b"\n")
                if not begun:
                    said.append(b"\n")
        if said:
            yield b"".join(said)
        data = await anext(chunks, b"")
        if not data:
            break
    if begun:
        yield b"\n\n"


def is_object(start: bytes) -> bool:
    """Whether an answer that begins so may be a JSON object."""
    return start.removeprefix(sse.MARK).lstrip().startswith(b"{")


def first_error(start: bytes) -> Json | None:
    """The error that an answer begins with, if it is one: nothing but an error was said."""
    if b'"error"' not in start:
        return None
    text = start.removeprefix(sse.MARK).strip()
    said = _parsed(text if text.startswith(b"{") else _first_data(text + b"\n") or b"")
    if said is None or any(choice.get("finish_reason") != "error" for choice in _choices(said)):
        return None
    error = said if said.get("object") == "error" else said.get("error")
    return error if type(error) is dict else {"message": error} if error else None


def _choices(said: Json) -> list[Json]:
    choices = said.get("choices")
    return [choice for choice in choices if type(choice) is dict] if type(choices) is list else []


def _parsed(text: bytes) -> Json | None:
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return said if type(said) is dict else None


def status_of(error: Json) -> int:
    """The HTTP status that an error object stands for."""
    for key in ("status", "status_code", "code", "http_status"):
        value = error.get(key)
        if type(value) is str and value.isdecimal() and len(value) == 3:
            value = int(value)
        if type(value) is int and 400 <= value < 600:
            return value
    kinds = f"{error.get('code')} {error.get('type')}"
    if "rate_limit" in kinds:
        return 429
    return 400 if "invalid_request" in kinds else 502


def assemble(raw: bytes) -> bytes:
    """The whole answer that a stream says. Raises ValueError."""
    reader = sse.Reader()
    answer: Json = {}
    choices: dict[int, Json] = {}
    calls = ToolCalls(MAX_RUNS, MAX_TOOL_CALL)
    events = reader.feed(raw)
    last = reader.rest()
    for event in [*events, *([last] if last else [])]:
        if event.data is None:
            continue
        if event.data.strip() == b"[DONE]":
            break
        if items.is_deep(event.data):
            raise ValueError("it is nested too deep")
        chunk, _ = surrogates.loads(event.data)
        if type(chunk) is not dict or chunk.get("error"):
            raise ValueError("it holds an error")
        for choice in chunk.get("choices") or ():
            _join(choices, calls, choice)
        answer |= {key: value for key, value in chunk.items() if key != "choices" and value is not None}
    if not choices:
        raise ValueError("it holds no choices")
    for index in calls.choices:
        for call in calls.take(index):
            call.pop("index", None)
            if "function_call" in call:
                choices[index]["message"] |= call
            else:
                choices[index]["message"].setdefault("tool_calls", []).append(call)
    answer.pop("obfuscation", None)
    answer |= {"object": "chat.completion", "choices": [choices[index] for index in sorted(choices)]}
    return orjson.dumps(answer)


def _join(choices: dict[int, Json], calls: ToolCalls, piece: Json) -> None:
    """Take in a choice of one chunk."""
    index = max(0, ordinal(piece.get("index")) or 0)
    choice = choices.setdefault(index, {"index": index, "message": {"role": "assistant", "content": None}})
    delta = dict(piece.get("delta") or piece.get("message") or {})
    for call in delta.pop("tool_calls", None) or ():
        calls.add(index, call)
    if delta.get("function_call"):
        calls.add(index, {"function_call": delta.pop("function_call")})
    delta.pop("role", None)
    merge(choice["message"], delta)
    choice["finish_reason"] = piece.get("finish_reason") or choice.get("finish_reason")


def unfold(answer: Json) -> Iterator[bytes]:
    """The stream that says what a whole answer does. Raises ValueError."""
    choices = answer.get("choices")
    if type(choices) is not list or not all(type(choice) is dict for choice in choices):
        raise ValueError("it holds no choices")
    head = {key: value for key, value in answer.items() if key not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"

    def event(choice: Json, delta: Json, reason: Any = None) -> bytes:
        said = {"index": choice.get("index", 0), "delta": delta, "finish_reason": reason}
        return sse.encode(orjson.dumps({**head, "choices": [said]}))

    for choice in choices:
        message = choice.get("message")
        message = dict(message) if type(message) is dict else {}
        text = message.pop("content", None)
        calls = message.get("tool_calls")
        if type(calls) is list:
            message["tool_calls"] = [{"index": at, **call} for at, call in enumerate(calls) if type(call) is dict]
        yield event(choice, message)
        pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)] if type(text) is str else [text]
        for piece in pieces:
            if piece is not None:
                yield event(choice, {"content": piece})
        yield event(choice, {}, choice.get("finish_reason") or "stop")
    if answer.get("usage") is not None:
        yield sse.encode(orjson.dumps({**head, "choices": [], "usage": answer["usage"]}))
    yield sse.encode(b"[DONE]")
