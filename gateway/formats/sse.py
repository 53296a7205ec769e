"""Server-sent events, read incrementally (WHATWG HTML, section 9.2.6).

Rules that matter here: events end at an empty line; lines end in LF, CR LF or CR; a line that starts with a colon is a
comment; several `data` lines are joined by LF. The bytes of each event are kept, so that it can be sent on as it came.
Doubt: a lone CR at the end of what has come may be the first half of CR LF, so it waits for one more byte.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r(?!\n)|\r\n\n|\n\r\n|\r\n\r(?=[^\n])")
MAX_EVENT = 4 * 1024 * 1024  # bytes; an event beyond this is not an answer but an attack or a fault


class SSE(NamedTuple):
    """One event: its bytes with the empty line that ends it, its type ("" if unnamed) and its data (None: no data)."""

    raw: bytes
    event: bytes
    data: bytes | None


class Reader:
    """Feed bytes, get whole events; what is left of an unfinished one stays in `pending`."""

    __slots__ = ("pending",)

    def __init__(self) -> None:
        self.pending = b""

    def feed(self, data: bytes) -> list[SSE]:
        """Events that are complete now. Raises ValueError when one grows past MAX_EVENT bytes."""
        data = self.pending + data if self.pending else data
        if b"\r" in data:
            return self._feed_any(data)
        *whole, self.pending = data.split(b"\n\n")
        self._bound()
        return [_simple(part) for part in whole if part]

    def _feed_any(self, data: bytes) -> list[SSE]:
        events, start = [], 0
        hold = len(data) - 1 if data.endswith(b"\r") else len(data)
        for match in _END.finditer(data, 0, hold):
            if match.start() > start:
                events.append(_event(data[start : match.end()]))
            start = match.end()
        self.pending = data[start:]
        self._bound()
        return events

    def _bound(self) -> None:
        if len(self.pending) > MAX_EVENT:
            raise ValueError(f"an event of more than {MAX_EVENT} bytes")


def _simple(part: bytes) -> SSE:
    """The common event: one `data: ` line and nothing else."""
    if part.startswith(b"data: ") and b"\n" not in part:
        return SSE(part + b"\n\n", b"", part[6:])
    return _event(part + b"\n\n")


def _event(raw: bytes) -> SSE:
    name, lines = b"", []
    for line in raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    return SSE(raw, name, b"\n".join(lines) if lines else None)


def encode(data: bytes, event: bytes = b"") -> bytes:
    """One event with one data line."""
    return (b"event: " + event + b"\n" if event else b"") + b"data: " + data + b"\n\n"
