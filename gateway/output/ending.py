"""When the choices of a streamed answer end: with the stream, whatever a field of theirs said before.

Some providers say in each chunk why a choice ended, or go on after they said so. What says that a choice has ended is
therefore held until the stream ends, or until more of the choice comes: then the text goes on, and the reason is kept.
Clients get it once, after the last of the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.dialects import Chunk, StreamCodec


class Ending:
    """What one answer holds back."""

    __slots__ = ("_last", "_reasons", "held")

    def __init__(self) -> None:
        self.held: dict[int, Chunk] = {}  # choice -> the chunk that says that it ended
        self._reasons: dict[int, Any] = {}  # choice -> why, taken out of a chunk that has left
        self._last: Chunk | None = None  # the usage

    def goes_on(self, chunk: Chunk, stream: StreamCodec) -> list[bytes]:
        """The events that leave before a chunk that says more of choices which had ended."""
        events = []
        for choice in _speaks_of(chunk):
            ended = self.held.get(choice)
            if ended is not None:
                events.append(self._reopen(ended, stream))
        return events

    def holds(self, chunk: Chunk, stream: StreamCodec) -> bool:
        """Whether a judged chunk stays here for now. It is left without its reasons where it says more than them."""
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
        """The chunks that are held, in order, each once."""
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
    """The choices that a chunk says something of."""
    told = {delta.channel[0] for delta in chunk.texts} | {choice for choice, _ in chunk.calls}
    told |= {field.choice for field in chunk.fields if field.level != "chunk"}
    return told.union(chunk.ends)
