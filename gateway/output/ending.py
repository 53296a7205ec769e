"""The choices of a streamed answer end when the stream ends, whatever their fields report earlier.

Some providers report a finish reason in each chunk, or continue a choice after its finish reason. A finish reason is
therefore held until the stream ends or more of the choice arrives; then the text continues and the reason is kept.
Clients get the reason once, after the last text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.dialects import Chunk, StreamCodec


class Ending:
    """The finish reasons and usage that one answer holds back."""

    __slots__ = ("_last", "_reasons", "held")

    def __init__(self) -> None:
        self.held: dict[int, Chunk] = {}  # choice -> the chunk with its finish reason
        self._reasons: dict[int, Any] = {}  # choice -> the finish reason, removed from a chunk that has left
        self._last: Chunk | None = None  # the usage

    def goes_on(self, chunk: Chunk, stream: StreamCodec) -> list[bytes]:
        """The events that leave before a chunk that continues choices with a finish reason."""
        events = []
        for choice in _speaks_of(chunk):
            ended = self.held.get(choice)
            if ended is not None:
                events.append(self._reopen(ended, stream))
        return events

    def holds(self, chunk: Chunk, stream: StreamCodec) -> bool:
        """Whether a judged chunk is held for now. If the chunk has other content, only its reasons are held."""
        if chunk.closes:
            for choice in chunk.ends:
                self.held[choice] = chunk
                self._reasons.pop(choice, None)
            return True
        if chunk.ends:
            self._reasons |= stream.reopen(chunk)
        elif chunk.usage is not None and self.held and chunk.trails:
            self._last = chunk
            return True
        return False

    def chunks(self) -> list[Chunk]:
        """The held chunks in order, each once."""
        return list({id(chunk): chunk for chunk in self.held.values()}.values())

    def close(self, stream: StreamCodec) -> list[bytes]:
        """The stream has ended: the last events of its choices, and the usage."""
        events = [stream.encode(chunk) for chunk in self.chunks()]
        events += [stream.end(choice, reason) for choice, reason in self._reasons.items()]
        if self._last is not None:
            events.append(stream.encode(self._last))
        self.held, self._reasons, self._last = {}, {}, None
        return events

    def _reopen(self, chunk: Chunk, stream: StreamCodec) -> bytes:
        for choice in chunk.ends:
            self.held.pop(choice, None)
        self._reasons |= stream.reopen(chunk)
        return stream.encode(chunk)


def _speaks_of(chunk: Chunk) -> Iterable[int]:
    """The choices that a chunk refers to."""
    choices = {delta.channel[0] for delta in chunk.texts} | {choice for choice, _ in chunk.calls}
    choices |= {field.choice for field in chunk.fields if field.level != "chunk"}
    return choices.union(chunk.ends)
