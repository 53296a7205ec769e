"""Server-sent events as one JSON array: the form of a stream that Gemini's clients get without `alt=sse`.

The elements are the data of the events, byte for byte.
"""

from __future__ import annotations

from gateway.dialects import sse

HEAD = ((b"content-type", b"application/json; charset=utf-8"), (b"cache-control", b"no-cache"))


class Array:
    """Writes the array of one stream."""

    __slots__ = ("_begun", "_reader")

    def __init__(self) -> None:
        self._reader = sse.Reader()
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """The bytes for some events. A comment becomes a blank, which keeps the connection alive."""
        data = self._reader.take(data)
        out, at = list[bytes](), 0
        while at < len(data):
            event, at = self._reader.next(data, at)
            if event is None:
                break
            if event.data is None or not event.data.strip():
                out.append(b"\n" if self._begun else b"")
                continue
            out += (b",\r\n" if self._begun else b"["), event.data
            self._begun = True
        return b"".join(out)

    def end(self, data: bytes = b"") -> bytes:
        """The same for the last events, with the end of the array."""
        last = self.feed(data)
        if (event := self._reader.rest()) is not None:
            last += self.feed(sse.encode(event.data or b""))
        return last + (b"]" if self._begun else b"[]")
