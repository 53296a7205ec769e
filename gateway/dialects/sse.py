"""Server-sent events, read incrementally (WHATWG HTML, section 9.2.6).

Rules that matter here: events end at an empty line; lines end in LF, CR LF or CR; a line that starts with a colon is a
comment; several `data` lines are joined by LF. The bytes of each event are kept, so that it can be sent on as it came.
Doubt: a lone CR at the end of what has come may be the first half of CR LF, so it waits for one more byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r(?!\n)|\r\n\n|\n\r\n|\r\n\r(?=[^\n])")
_LOOK = 3  # bytes before a piece that its end may begin in
MARK = b"\xef\xbb\xbf"  # a byte order mark
MAX_EVENT = 4 * 1024 * 1024  # bytes; an event beyond this is not an answer but an attack or a fault
MAX_LINES = 10_000  # of one event; those of answers have two


class SSE(NamedTuple):
    """One event: its bytes with the empty line that ends it, its type ("" if unnamed) and its data (None: no data)."""

    raw: bytes
    event: bytes
    data: bytes | None


class Reader:
    """Feed bytes, get whole events; what is left of an unfinished one is kept.

    `feed` does both; `take` and `next` are for those who may know how to read an event without its help.
    """

    __slots__ = ("_begun", "_held", "_returns", "_size", "_tail")

    def __init__(self) -> None:
        self._held: list[bytes] = []  # put together once the end has come: not with each piece
        self._size = 0
        self._tail = b""  # the last bytes of it, which the end may begin in
        self._begun = False  # more has come than a byte order mark
        self._returns = False  # CR ends lines here, too

    @property
    def pending(self) -> bytes:
        """What is left of an unfinished event."""
        return b"".join(self._held)

    def feed(self, data: bytes) -> list[SSE]:
        """Events that are complete now. Raises ValueError when one grows past MAX_EVENT bytes."""
        data, at, events = self.take(data), 0, []
        while at < len(data):
            event, at = self.next(data, at)
            if event is not None:
                events.append(event)
        return events

    def take(self, data: bytes) -> bytes:
        """What is there to be read now: go through it with `next` until its end."""
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
        """Leave out a byte order mark, which may come in pieces."""
        data, self._held = b"".join(self._held) + data, []
        if len(data) < len(MARK) and MARK.startswith(data):
            self._held, self._size = [data], len(data)
            return b""
        self._begun = True
        return data.removeprefix(MARK)

    def rest(self) -> SSE | None:
        """What is there of an event that nothing ended, as if it had been; None for nothing."""
        data, self._held = b"".join(self._held).rstrip(b"\r\n"), []
        return _event(data + b"\n\n") if data.strip() else None

    def next(self, data: bytes, at: int) -> tuple[SSE | None, int]:
        """The event at `at` and where it ends; None once the rest holds no whole one, which is kept for later."""
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
        """Where the lines of the event end, and where the empty line after them does; -1 if it has not come."""
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
