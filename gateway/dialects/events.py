"""How the readers of streams open an event, before they read what its dialect says."""

from __future__ import annotations

from gateway.bodies import Json
from gateway.dialects import Chunk, items, sse, surrogates


def is_done(event: sse.SSE) -> bool:
    """Whether an event is `[DONE]`, with which many servers end streams of any dialect."""
    return event.data is not None and event.data.strip() == b"[DONE]"


def load(chunk: Chunk, event: sse.SSE, noun: str) -> Json | None:
    """Write the object of an event into its chunk; strings keep halves of characters.

    None for an event that says nothing (empty, null): its bytes become a comment. `noun`: what the event is called, as
    in "a chunk". Raises ValueError for other data, Refusal for too much of it.
    """
    if event.data is not None and event.data.strip():
        items.check_event(event.data, noun)
        data, chunk.edited = surrogates.with_halves(event.data)
        if data is not None:
            if type(data) is not dict:
                raise ValueError(f"{noun} is not an object")
            chunk.data = data
            return chunk.data
    chunk.raw = sse.silent(event)
    return None
