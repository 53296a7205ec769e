"""Characters that an agent cut in two, with one half in each of two events about an artifact (`append`).

A first half at the end of an event's last text waits for the next event about the artifact, whose first text it begins.
A half that stays alone is U+FFFD, in an event of its own if its text has left. So a client that joins the texts gets
what the agent wrote. Other halves are left to the reader of the stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from gateway.bodies import Json
from gateway.dialects import items, numbers, sse, surrogates
from gateway.dialects.surrogates import Halves

_MAY_BE_HALF: Final = (b"\\u", b"\xed")
_MOST: Final = 64  # artifacts of a stream with a half that waits


class ArtifactHalves:
    """What waits in one stream."""

    __slots__ = ("_halves", "_last")

    def __init__(self) -> None:
        self._halves = Halves()
        self._last: dict[str, Json] = {}  # artifact -> an event with the replacement of its half

    def take(self, event: sse.SSE) -> Iterator[sse.SSE]:
        """The same event, with the characters that it completes; before it, what it does not complete."""
        data = event.data
        if not data or not (self._last or any(mark in data for mark in _MAY_BE_HALF)):
            yield event
            return
        try:
            items.check_event(data, "an event")
            said, _ = surrogates.with_halves(data)
        except ValueError:
            said = None
        update = _update(said)
        if update is None:
            yield from self.rest()
            yield event
            return
        id, texts = update["artifact"].get("artifactId"), _texts(update)
        if id in self._last and not (update.get("append") is True and texts):
            yield from self.rest()
        if not texts or type(id) is not str:
            yield event
            return
        yield self._joined(event, said, update, id, texts)

    def rest(self) -> Iterator[sse.SSE]:
        """Nothing completes what waits: events with its replacement."""
        self._halves.rest()
        for said in self._last.values():
            yield _event(said)
        self._last.clear()

    def _joined(self, event: sse.SSE, said: Json, update: Json, id: str, texts: list[Json]) -> sse.SSE:
        before, data = [part["text"] for part in texts], event.data or b""
        self._last.pop(id, None)
        for part in texts:
            part["text"] = self._halves.piece(id, part["text"])
        if update.get("lastChunk") is True or len(self._last) >= _MOST:
            texts[-1]["text"] += self._halves.end(id)
        elif id in self._halves:
            self._last[id] = _alone(said, texts[-1], data)
        if before == [part["text"] for part in texts]:
            return event
        raw = numbers.dumps(surrogates.mend(said), data)
        return sse.SSE(sse.encode(raw), b"", raw)


def _update(said: Any) -> Json | None:
    """What an event says of an artifact with parts; None for others."""
    result = said.get("result", said) if type(said) is dict else None
    update = result.get("artifactUpdate", result) if type(result) is dict else None
    artifact = update.get("artifact") if type(update) is dict else None
    return update if type(artifact) is dict and type(artifact.get("parts")) is list else None


def _texts(update: Json) -> list[Json]:
    """The parts with a text; none if a part before the first, or after the last, has something else."""
    parts = update["artifact"]["parts"]
    texts = [part for part in parts if type(part) is dict and type(part.get("text")) is str and part["text"]]
    return texts if texts and texts[0] is parts[0] and texts[-1] is parts[-1] else []


def _alone(said: Json, part: Json, data: bytes) -> Json:
    """An event like another (`said`, read from `data`), with the replacement of a half for its text."""
    copy: Json = orjson.loads(numbers.dumps(surrogates.mend(said), data))
    update = _update(copy)
    assert update is not None, "it is a copy of such an event"
    update["artifact"]["parts"] = [{**part, "text": "\ufffd"}]
    update["append"] = True
    return copy


def _event(said: Json) -> sse.SSE:
    raw = orjson.dumps(said)
    return sse.SSE(sse.encode(raw), b"", raw)
