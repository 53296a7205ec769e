"""The reader of streamed interactions (Gemini API reference: interactions, streaming).

A stream is `interaction.created`, steps one after the other (`step.start`, `step.delta`, `step.stop`), status updates,
and `interaction.completed` with the usage. Events keep their order, and their bytes except for edited texts. A tool
call leaves when it is complete: the events of its step together. What a model thought is judged and never edited. The
last event loses its `steps`, which repeat what was said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson

from gateway.bodies import Json
from gateway.dialects import Chunk, Field, Piece, events, gemini_answer, hosted_runs, ordinal, sse, tree
from gateway.dialects.base import Ordered
from gateway.dialects.checks import text
from gateway.dialects.fields import Reader
from gateway.dialects.interactions_tables import ANSWER, calls_a_tool, usage
from gateway.dialects.openai_strays import fields
from gateway.dialects.surrogates import Halves, mend
from gateway.dialects.terms import is_term
from gateway.errors import Refusal

MAX_STEPS: Final = 4096
MAX_INPUT: Final = 4 * 1024 * 1024  # bytes of a tool call, which is held until it is complete
_TYPE: Final = frozenset({"event_type"})
_START: Final = frozenset({"event_type", "index", "step"})
_DELTA: Final = frozenset({"event_type", "index", "delta"})
_STOP: Final = frozenset({"event_type", "index"})
_ABOUT: Final = frozenset({"event_type", "interaction"})
_KIND: Final = frozenset({"type"})
_TEXT: Final = frozenset({"type", "text"})
_SUMMARY: Final = "thought_summary"
_RUNNING: Final = {"text": "text", "arguments_delta": "arguments", _SUMMARY: "text"}
"""Types of deltas with a piece of a running text, and its key; that of a summary is in its `content`."""
_WHOLE: Final = frozenset({"id", "status", "model", "usage", "created", "updated", "object", "service_tier"})


def encode(data: Json) -> bytes:
    """An event."""
    return b"event: %b\ndata: %b\n\n" % (text(data.get("event_type")).encode(), orjson.dumps(data))


class _Use:
    """An incomplete tool call: its first event, its bytes, its arguments."""

    __slots__ = ("data", "parts", "plain", "raw", "size")

    def __init__(self, data: Json, raw: bytes, plain: bool) -> None:
        self.data, self.raw, self.plain = data, [raw], plain
        self.parts: list[str] = []
        self.size = 0


class InteractionsStream(Ordered):
    """Reads the events of one answer."""

    __slots__ = (
        *("_begun", "_calls", "_fields", "_halves", "_id", "_index", "_left", "_open", "_reader", "_steps", "_use"),
        *("_within", "ended", "last", "runs", "tier"),
    )

    def __init__(self) -> None:
        self._reader = sse.Reader()
        self.runs: hosted_runs.Runs = ()
        self._fields = Reader(ANSWER)
        self._halves = Halves()  # of the open step, by the type of its deltas
        self._steps = 0
        self._index = -1
        self._within = False
        self._use: _Use | None = None
        self._calls: list[Json] = []
        self._begun = False  # the first event has left
        self._open: int | None = None  # the step that has begun for the caller, and not ended
        self._left = -1
        self._id = ""
        self.ended = False
        self.tier = ""
        self.last: Json | None = None

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that are complete. Raises ValueError for data that is not a stream of an interaction."""
        data, at = self._reader.take(data), 0
        while at < len(data) and not self.ended:
            event, at = self._reader.next(data, at)
            if event is None:
                return
            yield from self._read(event)

    def rest(self) -> Iterator[Chunk]:
        """The last event if its end is missing."""
        event = None if self.ended else self._reader.rest()
        if event is not None:
            yield from self._read(event)

    @property
    def finished(self) -> bool:
        """The last event was received."""
        return self.ended

    def close(self) -> None:
        """Raise ValueError if the upstream ended before the answer was complete."""
        if not self.ended:
            raise ValueError("the stream broke off before its end")

    def faithful(self, chunk: Chunk) -> bool:
        """Whether every parser reads the same from the bytes of an event, and the event name is its type."""
        if chunk.data is None or chunk.tools:
            return True
        raw, head = chunk.raw, b"event: %b\n" % text(chunk.data.get("event_type")).encode()
        raw = raw.removeprefix(head)
        one_line = raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2
        return one_line and tree.says_once(raw.removeprefix(b"data: "), chunk.data)

    def _read(self, event: sse.SSE) -> Iterator[Chunk]:
        """The chunk of an event, and before the end of a step the halves of characters that stayed alone."""
        chunk = Chunk(event.raw)
        if events.is_done(event):
            return
        data = events.load(chunk, event, "an event")
        if data is None:
            yield chunk
            return
        said = [data]
        if self._halves and data.get("event_type") == "step.stop":
            said = [*_deltas(self._index, self._halves.rest()), data]
        elif chunk.edited or self._halves:
            self._join_halves(chunk, data)
        for one in said:
            made = self._chunk(chunk if one is data else Chunk(encode(one), data=one), one)
            if made is not None:
                yield made

    def _join_halves(self, chunk: Chunk, data: Json) -> None:
        """Join characters that were cut in two: across the pieces of a step, otherwise in place."""
        delta = data.get("delta")
        if data.get("event_type") == "step.delta" and type(delta) is dict:
            kind = text(delta.get("type"))
            holder: Any = delta.get("content") if kind == _SUMMARY else delta
            key = _RUNNING.get(kind, "")
            said = holder.get(key) if type(holder) is dict else None
            if type(said) is str and (piece := self._halves.piece(kind, said)) != said:
                holder[key], chunk.edited = piece, True
        if chunk.edited:
            mend(data)
            chunk.raw = encode(data)

    def _chunk(self, chunk: Chunk, data: Json) -> Chunk | None:
        kind = _named(data, "event_type", "an event")
        if kind == "error" or (data.get("error") and "interaction" not in data):
            chunk.error = True
            return chunk
        read = _READERS.get(kind)
        if read is not None:
            return read(self, chunk, data)
        chunk.strays = list(fields(data))
        self._fields.read(chunk, "chunk", 0, data, _TYPE)
        return chunk

    def _about(self, chunk: Chunk, data: Json) -> Chunk:
        """The first or the last event."""
        said = data.get("interaction")
        if type(said) is not dict:
            raise ValueError("an event holds no interaction")
        self._id = self._id or text(said.get("id"))
        self.tier = text(said.get("service_tier"))[:64] or self.tier
        if said.pop("steps", None):
            chunk.edited = True
        if data["event_type"] == "interaction.completed":
            if self._within:
                raise ValueError("the interaction ends within a step")
            chunk.done = self.ended = True
            self.last = {**said, "steps": self._calls}
            chunk.usage = usage(self.last)
        chunk.strays = list(fields(said, _WHOLE))
        self._fields.read(chunk, "chunk", 0, said, frozenset(), _WHOLE)
        self._fields.read(chunk, "chunk", 0, data, _ABOUT)
        return chunk

    def _start(self, chunk: Chunk, data: Json) -> Chunk | None:
        step, index = data.get("step"), ordinal(data.get("index"))
        if type(step) is not dict:
            raise ValueError("step.start holds no step")
        self._steps += 1
        if index is None or index <= self._index or self._within or self._steps > MAX_STEPS:
            raise ValueError("a step begins out of its turn")
        self._index, self._within = index, True
        kind = _named(step, "type", "a step")
        self.runs = hosted_runs.more(self.runs, step)
        if calls_a_tool(step):
            plain = data.keys() <= _START and self.faithful(chunk)
            self._use = _Use({key: data[key] for key in _START if key in data}, chunk.raw, plain)
            return None
        held: Any = step.get("content")
        if kind == "model_output" and (held is None or _are_texts(held)):
            for part in held or ():
                self._piece(chunk, part, "text")
                self._fields.read(chunk, "delta", 0, part, _TEXT)
            self._fields.read(chunk, "delta", 0, step, _KIND | {"content"})
        else:
            survey = tree.Survey(ANSWER)
            survey.walk({"steps": [step]})
            if survey.slots or survey.kinds:
                chunk.wholes.append(survey)
        chunk.strays = list(fields(step))
        self._fields.read(chunk, "chunk", 0, data, _START)
        return chunk

    def _delta(self, chunk: Chunk, data: Json) -> Chunk | None:
        delta, index = data.get("delta"), ordinal(data.get("index"))
        if type(delta) is not dict:
            raise ValueError("step.delta holds no delta")
        if index != self._index or not self._within:
            raise ValueError("a delta of a step that is not open")
        kind, use = _named(delta, "type", "a delta"), self._use
        if use is not None:
            piece = delta.get("arguments")
            if kind != "arguments_delta" or type(piece) is not str:
                raise ValueError("a delta of a tool call holds no arguments")
            use.plain &= data.keys() <= _DELTA and delta.keys() <= {"type", "arguments"} and self.faithful(chunk)
            use.parts.append(piece)
            use.raw.append(chunk.raw)
            use.size += len(chunk.raw)
            if use.size > MAX_INPUT:
                raise Refusal("output_blocked", f"A tool call has more than {MAX_INPUT} bytes.", stage="output")
            return None
        known, content = _KIND, delta.get("content")
        if kind == "text" and type(delta.get("text")) is str:
            self._piece(chunk, delta, "text")
            known = _TEXT
        elif kind == _SUMMARY and type(content) is dict and type(content.get("text")) is str:
            self._signed(chunk, content, "text")
            self._fields.read(chunk, "delta", 0, content, _TEXT)
            known = frozenset({"type", "content"})
        elif kind == "thought_signature" and type(delta.get("signature")) is str:
            self._signed(chunk, delta, "signature")
            known = frozenset({"type", "signature"})
        chunk.strays = [delta] if calls_a_tool(delta) else list(fields(delta, known))
        self._fields.read(chunk, "delta", 0, delta, known)
        self._fields.read(chunk, "chunk", 0, data, _DELTA)
        return chunk

    def _stop(self, chunk: Chunk, data: Json) -> Chunk:
        if ordinal(data.get("index")) != self._index or not self._within:
            raise ValueError("a step ends that is not open")
        self._within = False
        use, self._use = self._use, None
        if use is None:
            self._fields.read(chunk, "chunk", 0, data, _TYPE)
            return chunk
        chunk.edited = not (use.plain and data.keys() <= _STOP and self.faithful(chunk))
        chunk.raw, chunk.data = b"".join([*use.raw, chunk.raw]), use.data
        step, said = use.data["step"], "".join(use.parts)
        if said.strip() or not step.get("arguments"):
            chunk.edited |= bool(step.get("arguments"))
            step["arguments"] = said
        chunk.tools = [step]
        self._calls.append(step)
        return chunk

    def _piece(self, chunk: Chunk, holder: Json, key: str) -> None:
        """A piece of the text of a step, edited in place."""
        if holder[key]:
            field = Field("delta", 0, holder, key)
            field.pieces.append(Piece((0, "text"), field, holder, key))
            field.text = self._steps
            chunk.fields.append(field)

    def _signed(self, chunk: Chunk, holder: Json, key: str) -> None:
        """A piece of what the model thought; encrypted data is not text."""
        if holder[key] and not (key == "signature" and tree.is_sealed(holder[key])):
            field = Field("delta", 0, holder, key)
            field.pieces.append(Piece((0, f"signed:{key}"), field, holder, key))
            field.signed = True
            chunk.fields.append(field)

    def encode(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk: as received if nothing was edited."""
        data = chunk.data
        if data is None:
            return chunk.raw
        kind = data.get("event_type")
        self._begun |= kind == "interaction.created"
        if kind == "step.start":
            self._left = ordinal(data.get("index")) or 0
            self._open = None if chunk.tools else self._left
        elif kind == "step.stop":
            self._open = None
        if not chunk.edited:
            return chunk.raw
        return b"".join(map(encode, called(data))) if chunk.tools else encode(data)

    def refuse(self, refusal: Refusal, request_id: str, reason: str = "", *, bare: bool = False) -> bytes:
        """The end of a refused answer: status `failed` with the reason, or an error event for a fault."""
        error = gemini_answer.refused(refusal, request_id)["error"]
        if refusal.domain != "policy" or not self._begun:
            return encode({"event_type": "error", "error": error})
        said: list[Json] = []
        if self._open is not None:
            said.append({"event_type": "step.stop", "index": self._open})
        if reason and not bare:
            said += spoken(self._left + 1, {"type": "model_output"}, [{"type": "text", "text": reason}])
        why = {"code": error["code"], "message": error["message"]}
        ended = {"id": "" if bare else self._id, "status": "failed", "errors": [why]}
        return b"".join(map(encode, [*said, {"event_type": "interaction.completed", "interaction": ended}]))


def _deltas(index: int, rest: dict[str, str]) -> list[Json]:
    """The events of pieces of a step, by the type of their deltas."""
    said: list[Json] = []
    for kind, piece in rest.items():
        held: Json = {_RUNNING[kind]: piece}
        delta = {"type": kind, **({"content": {"type": "text", **held}} if kind == _SUMMARY else held)}
        said.append({"event_type": "step.delta", "index": index, "delta": delta})
    return said


def spoken(index: int, step: Json, deltas: Sequence[Json]) -> list[Json]:
    """The events of one step."""
    start = {"event_type": "step.start", "index": index, "step": step}
    said = [{"event_type": "step.delta", "index": index, "delta": delta} for delta in deltas]
    return [start, *said, {"event_type": "step.stop", "index": index}]


def called(data: Json) -> list[Json]:
    """The events of a complete tool call, given its first event with all arguments."""
    step = data["step"]
    arguments = step.get("arguments")
    if type(arguments) is not str:
        return [data, {"event_type": "step.stop", "index": data["index"]}]
    first = {**data, "step": {**step, "arguments": {}}}
    return [first, *spoken(data["index"], step, [{"type": "arguments_delta", "arguments": arguments}])[1:]]


def _are_texts(held: Any) -> bool:
    return type(held) is list and all(
        type(one) is dict and one.get("type") == "text" and type(one.get("text")) is str for one in held
    )


def _named(holder: Json, key: str, what: str) -> str:
    """A type. Raises ValueError unless it is a name: clients do not show it."""
    kind = text(holder.get(key))
    if not (is_term(kind) if kind else holder.get(key) in ("", None)):
        raise ValueError(f"{what} has a type that is not a name")
    return kind


_Read = Callable[[InteractionsStream, Chunk, Json], Chunk | None]
_READERS: Final[dict[str, _Read]] = {
    "interaction.created": InteractionsStream._about,
    "interaction.completed": InteractionsStream._about,
    "step.start": InteractionsStream._start,
    "step.delta": InteractionsStream._delta,
    "step.stop": InteractionsStream._stop,
}
