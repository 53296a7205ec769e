"""The form of an answer: a stream of events, a whole object, or an error as either.

The first bytes of an answer decide its form; the media type decides only if the bytes do not.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator

import orjson

from gateway.call import Json
from gateway.dialects import Codec, sse

_PEEKED = 64 * 1024  # bytes within which the first event must begin
_PATIENCE = 5.0  # seconds for which comments are held back, from the first byte on
_TELLING = 24  # bytes in which an object shows whether it is an error
_ERROR = re.compile(rb'\{\s*"(?:error"|(?:object|type)"\s*:\s*"error")')
# The status for each type of error, for errors without a status (OpenAI, Anthropic).
_STATUSES = (
    *(("rate_limit", 429), ("invalid_request", 400), ("authentication", 401), ("permission", 403), ("billing", 402)),
    *(("not_found", 404), ("request_too_large", 413), ("overloaded", 529), ("timeout", 504)),
)
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
    """The beginning of an answer, up to its first event or object; the rest stays in `chunks`.

    Comments are skipped, because an error may follow them, but only for a limited time: they keep connections alive.
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
    """Whether an answer with this beginning is a stream of events."""
    text = start.removeprefix(sse.MARK).lstrip()
    if text.startswith(_SSE):
        return True
    return declared and not text.startswith(b"{")


def is_lines(kind: str) -> bool:
    """Whether a media type stands for JSON objects, one per line."""
    return kind.partition(";")[0].strip() in _LINES


async def gathered(start: bytes, chunks: AsyncIterator[bytes]) -> bytes:
    """The first line of an answer of JSON lines, at most `_PEEKED` bytes, with the bytes that arrived with the line."""
    while b"\n" not in start.lstrip() and len(start) <= _PEEKED:
        data = await anext(chunks, b"")
        if not data:
            break
        start += data
    return start


def says_whole(start: bytes, codec: Codec) -> bool:
    """Whether the first JSON line is already a whole answer."""
    said = _parsed(start.removeprefix(sse.MARK).lstrip().partition(b"\n")[0])
    return said is not None and codec.is_whole(said)


async def events_of_lines(start: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """JSON lines as events: each line gets a field name before it and an empty line after it."""
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
    """Whether an answer with this beginning may be a JSON object."""
    return start.removeprefix(sse.MARK).lstrip().startswith(b"{")


def first_error(start: bytes, codec: Codec) -> Json | None:
    """The error object with which an answer begins; None if the answer begins with anything else."""
    if b'"error"' not in start:
        return None
    text = start.removeprefix(sse.MARK).strip()
    said = _parsed(text if text.startswith(b"{") else _first_data(text + b"\n") or b"")
    return codec.error(said) if said is not None else None


def _parsed(text: bytes) -> Json | None:
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return said if type(said) is dict else None


def status_of(error: Json) -> int:
    """The HTTP status for an error object."""
    for key in ("status", "status_code", "code", "http_status"):
        value = error.get(key)
        if type(value) is str and value.isdecimal() and len(value) == 3:
            value = int(value)
        if type(value) is int and 400 <= value < 600:
            return value
    kinds = f"{error.get('code')} {error.get('type')}"
    return next((status for kind, status in _STATUSES if kind in kinds), 502)
