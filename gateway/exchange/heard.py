"""What an answer has said so far: its texts and its usage, to charge also an answer that breaks off."""

from __future__ import annotations

from gateway.call import Call, Outcome
from gateway.dialects import Chunk
from gateway.errors import Refusal

LONG = 256 * 1024  # bytes that may hold an event whose reading would stop the event loop
MAX_COUNTED = 1024 * 1024  # maximum bytes of an unreadable answer whose tokens are counted


def hear(outcome: Outcome, chunk: Chunk) -> int:
    """Record the texts and the usage of a chunk; returns the number of characters."""
    if chunk.series is not None:
        text = chunk.series.text
        outcome.heard.append(text)
        if chunk.usage is None:
            outcome.outdated = outcome.usage is not None
        else:
            outcome.usage, outcome.outdated = chunk.usage.joined(outcome.usage), False
        return len(text)
    said = chunk.said()
    outcome.heard += said
    if chunk.usage is not None:
        outcome.usage, outcome.outdated = chunk.usage.joined(outcome.usage), False
    elif said:
        outcome.outdated = outcome.usage is not None
    return sum(map(len, said))


def unread(before: int, data: bytes) -> int:
    """Bytes since the last event of a stream ended, of `before` bytes whose last are `data`."""
    end = data.rfind(b"\n\n")
    return len(data) - end if end >= 0 else before


class Listener:
    """Reads a stream as it arrives where a whole answer was asked for, so that it can be charged if it breaks off."""

    def __init__(self, call: Call) -> None:
        self._codec = call.codec.stream(keep_usage=True, choices=call.codec.choices(call.request.body))
        self._outcome = Outcome()
        self._unread = 0  # bytes since the last event ended
        self._left: list[bytes] | None = None  # the bytes from where the stream cannot be read on
        self._size = 0

    @property
    def ended(self) -> bool:
        """Whether the last event of the stream was received. Bytes after that event are no part of the answer."""
        return self._codec.ended

    def feed(self, data: bytes) -> None:
        """Read the next bytes."""
        self._unread += len(data)
        if self._left is None and self._unread <= LONG:
            try:
                for chunk in self._codec.feed(data):
                    hear(self._outcome, chunk)
            except (ValueError, Refusal):
                self._left = []
        elif self._left is None:
            self._left = []
        if self._left is not None and self._size < MAX_COUNTED:
            self._left.append(data)
            self._size += len(data)
        self._unread = unread(self._unread, data)

    def tell(self, outcome: Outcome) -> None:
        """The answer broke off: write its texts and its usage."""
        outcome.usage, outcome.outdated = self._outcome.usage, self._outcome.outdated
        outcome.heard, outcome.runs = self._outcome.heard, self._codec.runs
        if self._left:
            outcome.heard.append(b"".join(self._left)[:MAX_COUNTED].decode(errors="replace"))
            outcome.outdated = outcome.usage is not None
