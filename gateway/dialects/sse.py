"""Server-sent events, read incrementally (WHATWG HTML, section 9.2.6).

Rules that matter here: events end at an empty line; lines end in LF, CR LF or CR; a line that starts with a colon is a
comment; several `data` lines are joined by LF. The bytes of each event are kept, so that it can be sent unchanged.
A lone CR at the end of the received data may be the first half of CR LF, so the reader waits for one more byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r(?!\n)|\r\n\n|\n\r\n|\r\n\r(?=[^\n])")
_ID = re.compile(rb"(?:^|[\r\n])id: ?([!-~]{1,1024})(?=[\r\n])")
_LOOK = 3  # bytes before a piece in which the end of an event may begin
MARK = b"\xef\xbb\xbf"  # a byte order mark
MAX_EVENT = 4 * 1024 * 1024  # bytes; a larger event is an attack or a fault
MAX_LINES = 10_000  # of one event; those of answers have two


class SSE(NamedTuple):
    """One event: its bytes with the empty line that ends it, its type ("" if unnamed) and its data (None: no data)."""

    raw: bytes
    event: bytes
    data: bytes | None


class Reader:
    """Turns bytes into complete events; an incomplete event is kept.

    `feed` does both steps; `take` and `next` are for callers that may read some events without the reader.
    """

    __slots__ = ("_begun", "_held", "_returns", "_size", "_tail")

    def __init__(self) -> None:
        self._held: list[bytes] = []  # joined when the end has arrived, not with each piece
        self._size = 0
        self._tail = b""  # its last bytes, in which the end may begin
        self._begun = False  # more than a byte order mark was received
        self._returns = False  # whether CR ends lines in this stream

    @property
    def pending(self) -> bytes:
        """The received part of an incomplete event."""
        return b"".join(self._held)

    def feed(self, data: bytes) -> list[SSE]:
        """The events that are complete. Raises ValueError for an event of more than MAX_EVENT bytes."""
        data, at, events = self.take(data), 0, []
        while at < len(data):
            event, at = self.next(data, at)
            if event is not None:
                events.append(event)
        return events

    def take(self, data: bytes) -> bytes:
        """The data that can be read now; call `next` on it until the end."""
        if not self._begun:
            data = self._begin(data)
        elif self._held:
            self._held.append(data)
            self._size += len(data)
            near = self._tail + data
            if self._size <= MAX_EVENT and _END.search(near, 0, len(near) - near.endswith(b"\r")) is None:
                self._tail = near[-_LOOK:]
                return b""
            data, self._held = b"".join(self._held), []
        self._returns = b"\r" in data
        return data

    def _begin(self, data: bytes) -> bytes:
        """Drop a byte order mark, which may arrive in pieces."""
        data, self._held = b"".join(self._held) + data, []
        if len(data) < len(MARK) and MARK.startswith(data):
            self._held, self._size = [data], len(data)
            return b""
        self._begun = True
        return data.removeprefix(MARK)

    def rest(self) -> SSE | None:
        """The incomplete last event as if it were complete; None if there is none."""
        data, self._held = b"".join(self._held).rstrip(b"\r\n"), []
        return _event(data + b"\n\n") if data.strip() else None

    def next(self, data: bytes, at: int) -> tuple[SSE | None, int]:
        """The event at `at` and its end; None if the rest has no complete event; the rest is then kept."""
        while at < len(data):
            end, after = self._end(data, at)
            if end < 0:
                break
            if end > at:
                raw = data[at:after]
                return _event(raw) if self._returns else _simple(raw), after
            at = after
        if at < len(data):
            self._held, self._size, self._tail = [data[at:]], len(data) - at, data[max(at, len(data) - _LOOK) :]
            if self._size > MAX_EVENT:
                raise ValueError(f"an event of more than {MAX_EVENT} bytes")
        return None, len(data)

    def _end(self, data: bytes, at: int) -> tuple[int, int]:
        """The end of the lines of the event, and of the empty line after them; -1 if that has not arrived."""
        if not self._returns:
            end = data.find(b"\n\n", at)
            return end, end + 2
        match = _END.search(data, at, len(data) - data.endswith(b"\r"))
        return match.span() if match else (-1, -1)


def _simple(raw: bytes) -> SSE:
    """The common event: one `data: ` line and nothing else."""
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2:
        return SSE(raw, b"", raw[6:-2])
    return _event(raw)


def _event(raw: bytes) -> SSE:
    name, lines = b"", []
    if len(raw) > 2 * MAX_LINES and raw.count(b"\n") + raw.count(b"\r") > 2 * MAX_LINES:
        raise ValueError(f"an event of more than {MAX_LINES} lines")
    for line in raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    return SSE(raw, name, b"\n".join(lines) if lines else None)


def silent(event: SSE) -> bytes:
    """The bytes of an event without data, as comments: clients take any other line for an event that holds JSON."""
    comments = [line for line in event.raw.splitlines() if line.startswith(b":")]
    return b"\n".join([*(comments or [b":"]), b"", b""])


def datas(raw: bytes) -> Iterator[bytes]:
    """The data of each event of a stream that has come to its end, without those that say nothing."""
    reader = Reader()
    data, at = reader.take(raw), 0
    while at < len(data):
        event, at = reader.next(data, at)
        if event is not None and event.data and (said := event.data.strip()):
            yield said
    last = reader.rest()
    if last is not None and last.data and (said := last.data.strip()):
        yield said


def encode(data: bytes, event: bytes = b"") -> bytes:
    """One event with one data line."""
    return (b"event: " + event + b"\n" if event else b"") + b"data: " + data + b"\n\n"


def identity(raw: bytes) -> str:
    """The id of an event (`id:`), by its bytes; "" without one, or for one that is no plain text of moderate length."""
    ids = _ID.findall(raw)
    return ids[-1].decode() if ids else ""
