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
_BLANKS = re.compile(rb"\s*")
_EOL = re.compile(rb"[\r\n]")
_PING = re.compile(rb'\{\s*"type"\s*:\s*"ping"\s*\}')  # the data of an event that only keeps a connection alive
_QUIET = re.compile(rb"(?::[^\r\n]*|(?:event: ?ping\r?\n)?data: ?%s)\r?\n\s*" % _PING.pattern)
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
_FIELD = 6  # bytes of the longest of them


async def peeked(chunks: AsyncIterator[bytes]) -> bytes:
    """The beginning of an answer, up to its first event or object; the rest stays in `chunks`.

    Comments and pings are skipped, because an error may follow them, but only for a limited time: they keep connections
    alive.
    """
    peek: _Peek | None = None
    async for data in chunks:
        if peek is None:
            if data.startswith(b"{") and len(data) >= _TELLING and not _ERROR.match(data):
                return data  # as most answers begin
            peek, began = _Peek(), time.monotonic()
        if peek.tells(data) or len(peek.start) > _PEEKED or time.monotonic() - began > _PATIENCE:
            break
    return bytes(peek.start) if peek is not None else b""


class _Peek:
    """The beginning of an answer, examined as it arrives: each byte once, even in small pieces."""

    __slots__ = ("_at", "_data", "_looked", "start")

    def __init__(self) -> None:
        self.start = bytearray()
        self._at = 0  # offset of the content, after a byte order mark and blanks
        self._looked = 0  # offset up to which bytes need not be examined again
        self._data = False  # a line with data has begun

    def tells(self, data: bytes) -> bool:
        """Add a piece; True once the first event or the beginning of an answer is there: no error can follow."""
        start = self.start
        start += data
        if len(start) < len(sse.MARK) and sse.MARK.startswith(start):
            return False
        if not self._at and start.startswith(sse.MARK):
            self._at = len(sse.MARK)
        blanks = _BLANKS.match(start, self._at)
        at = self._at = blanks.end() if blanks else 0
        while quiet := _QUIET.match(start, at):
            at = self._at = self._looked = quiet.end()
            self._data = False
        if at == len(start):
            return False
        if start.startswith(b"{", at):
            if len(start) - at >= _TELLING and not _ERROR.match(start, at):
                return True
            return data.rstrip().endswith(b"}") and _parsed(bytes(start[at:])) is not None
        head = bytes(start[at : at + _FIELD])
        if not (head.startswith(_SSE) or any(field.startswith(head) for field in _SSE)):
            return True
        return self._has_data()

    def _has_data(self) -> bool:
        """Whether a line with data is complete."""
        start, looked = self.start, max(self._looked, self._at)
        while not self._data:
            found = start.find(b"data:", looked)
            if found < 0:
                self._looked = max(looked, len(start) - _FIELD)
                return False
            self._data = found == self._at or start[found - 1] in b"\r\n"
            looked = found + 1
        self._looked = len(start)
        return _EOL.search(start, looked) is not None


def _first_data(text: bytes) -> bytes | None:
    """The data of the first event but pings, once its line is complete."""
    for line in text.splitlines(keepends=True):
        if line.startswith(b"data:") and line.endswith((b"\n", b"\r")):
            said = line.removeprefix(b"data:").strip()
            if not _PING.fullmatch(said):
                return said
    return None


def is_stream(start: bytes, declared: bool) -> bool:
    """Whether an answer with this beginning is a stream of events."""
    if start.startswith(b"{"):
        return False
    text = start.removeprefix(sse.MARK).lstrip()
    if text.startswith(_SSE):
        return True
    return declared and not text.startswith(b"{")


def is_lines(kind: str) -> bool:
    """Whether a media type means JSON objects, one per line."""
    return kind.partition(";")[0].strip() in _LINES


async def gathered(start: bytes, chunks: AsyncIterator[bytes]) -> bytes:
    """The first line of an answer of JSON lines, at most `_PEEKED` bytes, with the bytes that arrived with the line."""
    while b"\n" not in start.lstrip() and len(start) <= _PEEKED:
        data = await anext(chunks, b"")
        if not data:
            break
        start += data
    return start


def begins_lines(start: bytes, codec: Codec, declared: bool) -> bool:
    """Whether an answer that begins with this line is a stream of JSON lines, not one whole answer.

    `declared`: whether the media type says so. Some servers send JSON lines as `application/json`; then the first line
    must be an object of its own.
    """
    said = _parsed(start.removeprefix(sse.MARK).lstrip().partition(b"\n")[0])
    return declared if said is None else not codec.is_whole(said)


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
    return start.startswith(b"{") or start.removeprefix(sse.MARK).lstrip().startswith(b"{")


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
