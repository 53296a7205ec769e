"""The reader of streamed messages (Anthropic API reference: streaming messages).

A message is `message_start`, blocks one after the other (`content_block_start`, deltas, `content_block_stop`), then
`message_delta` with the stop reason and the total usage, and `message_stop`. Events keep their order, and their bytes
except for edited texts. The texts of all text blocks are one text, because clients join them. A tool call
leaves when it is complete: the events of its block together.

Irregular streams that are accepted: no `event:` line, or a line with another type than the data; deltas of unknown
kinds; blocks that begin with a text; no `message_stop`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import orjson

from gateway.bodies import Json
from gateway.dialects import Channel, Chunk, Field, Piece, events, hosted_runs, nulls, ordinal, sse, tree
from gateway.dialects.anthropic_answer import refused, tells_input, tier, usage
from gateway.dialects.anthropic_forms import encode, use_events
from gateway.dialects.anthropic_tables import ANSWER, SIGNED, USES, calls_a_tool
from gateway.dialects.anthropic_tables import kind as kind_of
from gateway.dialects.base import Ordered, is_said_once
from gateway.dialects.cited import RAN
from gateway.dialects.fields import Reader
from gateway.dialects.frame import Frame, Series
from gateway.dialects.lots import Lot
from gateway.dialects.openai_strays import fields, in_blocks
from gateway.dialects.surrogates import Halves, mend
from gateway.dialects.terms import is_term
from gateway.errors import Refusal

_MAIN: Final = "text"
_SEAL: Final = 32  # minimum characters of a seal
MAX_BLOCKS: Final = 4096
MAX_INPUT: Final = (
    4 * 1024 * 1024
)  # maximum characters of the tool calls of an answer, which are held until they are complete
_NONE: Final[frozenset[str]] = frozenset()
_KIND: Final = frozenset({"type"})
_TEXT: Final = frozenset({"type", "text"})
_CONTENT: Final = frozenset({"content"})
_COUNTED: Final = frozenset({"content", "usage"})
_CITED: Final = frozenset({"type", "citation"})
_START: Final = frozenset({"content_block", "type", "index"})
_DELTA: Final = frozenset({"delta", "type", "index"})
_MESSAGE: Final = frozenset({"id", "type", "role", "model", "stop_reason", "usage"})
# The field with the content of each kind of delta; all other fields are judged as text.
_DELTAS: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "compaction_delta": "content",
}
_RUNNING: Final = {"text": "text_delta", "thinking": "thinking_delta", "partial_json": "input_json_delta"}
_FRAMED: Final = frozenset({"text_delta", "thinking_delta"})  # of which a block has many
_STOPS, _GOES_ON = b'"content_block_stop"', b'"content_block_delta"'
_SAID: Final = {kind: frozenset({"type", key}) for kind, key in _DELTAS.items()}
_ARGUING: Final = frozenset({"type", "partial_json"})
_STOP: Final = frozenset({"type", "index"})
_ENDS: Final = frozenset({"stop_reason"})


class _Use:
    """An incomplete tool call: its first event, its bytes, its arguments."""

    __slots__ = ("data", "parts", "plain", "raw", "size")

    def __init__(self, data: Json, raw: bytes, plain: bool) -> None:
        self.data = data
        self.plain = plain  # its events contain only judged values
        self.raw = [raw]
        self.parts: list[str] = []
        self.size = 0


class AnthropicStream(Ordered):
    """Reads the events of one answer."""

    __slots__ = (
        "_begun",
        "_blocks",
        "_container",
        "_fields",
        "_frame",
        "_halves",
        "_index",
        "_left",
        "_open",
        "_ran",
        "_reader",
        "_reported",
        "_started",
        "_stopped",
        "_unsealed",
        "_use",
        "_within",
        "ended",
        "last",
        "runs",
        "tier",
    )

    def __init__(self) -> None:
        self._reader = sse.Reader()
        self.runs: hosted_runs.Runs = ()
        self._fields = Reader(ANSWER)
        self._frame: Frame | None = None  # of the texts of the open block
        self._halves = Halves()  # of the open block, by the key of its text
        self._started = False  # `message_start` was received
        self._blocks = 0
        self._index = -1  # index of the last block that began
        self._within = False  # whether that block is open
        self._left = -1  # the index of the last block that has left
        self._unsealed = (-1, "")  # the block and the key of a seal that turned out to be text
        self._use: _Use | None = None  # the tool call that the open block makes
        self._begun = False  # `message_start` has left
        self._open: int | None = None  # the block that has begun for the caller, and not ended
        self._container: object = None  # in which the provider runs code
        self._ran: list[Json] = []  # blocks with what code wrote
        self.last: Json | None = None
        self._reported = False  # a usage report contained the input tokens
        self._stopped = False  # the stop reason was received
        self.ended = False
        self.tier = ""

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that are complete. Raises ValueError for data that is not a stream of a message."""
        data = self._reader.take(data)
        at = 0
        while at < len(data) and not self.ended:
            read = self._frame.read(data, at) if self._frame is not None and not self._halves else None
            if read is not None:
                series, end = read
                if self._use is None:
                    yield self._series(series, data[at:end])
                else:
                    self._argue(self._use, series.text, data[at:end])
                at = end
                continue
            event, at = self._reader.next(data, at)
            if event is None:
                return
            if self._halves and event.data is not None and _STOPS in event.data and _GOES_ON not in event.data:
                yield from self._alone()
            chunk = self._chunk(event)
            if chunk is not None:
                yield chunk

    def _series(self, series: Series, raw: bytes) -> Chunk:
        """A chunk of events that each hold a piece of the open block."""
        chunk, key, read = Chunk(raw), series.frame.channel[1], series.read(raw)

        def make() -> list[Chunk]:
            events = []
            for own, piece in read.events():
                event = Chunk(own)
                event.series = series
                if key != _MAIN:
                    self._signed(event, {key: piece}, key)
                elif piece:
                    event.fields.append(_running(block, {key: piece}, key))
                events.append(event)
            return events

        chunk.series, block = series, self._blocks
        if key == _MAIN and read.text:
            field = _running(block, {key: read.text}, key)
            field.pieces[0].lot = chunk.lot = Lot(read, make)
            chunk.fields.append(field)
        else:
            chunk.events = make()
        return chunk

    def rest(self) -> Iterator[Chunk]:
        """The last event if its end is missing. An incomplete event is dropped if the answer is complete."""
        event = None if self.ended else self._reader.rest()
        if event is None:
            yield from self._alone()
            return
        try:
            chunk = self._chunk(event)
        except ValueError:
            if not self.finished:
                raise
            return
        if chunk is not None:
            yield chunk

    @property
    def finished(self) -> bool:
        """The stop reason was received."""
        return self._stopped

    def close(self) -> None:
        """Raise ValueError if the upstream ended before the answer was complete."""
        if not self.ended and not self._stopped:
            raise ValueError("the stream broke off before its end")

    def faithful(self, chunk: Chunk) -> bool:
        """Whether every parser reads the same from the bytes of an event, and the event name is its type."""
        return chunk.data is None or bool(chunk.tools) or is_said_once(chunk.raw, chunk.data)

    def _chunk(self, event: sse.SSE) -> Chunk | None:
        chunk = Chunk(event.raw)
        if events.is_done(event):
            return None
        data = events.load(chunk, event, "an event")
        if data is None:
            return chunk
        if chunk.edited or self._halves:
            self._join_halves(chunk, data)
        kind = _named(data, "an event")
        if kind == "error" or (data.get("error") and "message" not in data):
            chunk.error = True
            return chunk
        read = _READERS.get(kind)
        if read is None:
            self._other(chunk, data)
            return chunk
        return read(self, chunk, data)

    def _join_halves(self, chunk: Chunk, data: Json) -> None:
        """Join characters that were cut in two: across pieces of a block, otherwise in place."""
        delta = data.get("delta")
        if data.get("type") == "content_block_delta" and type(delta) is dict:
            for key in _RUNNING:
                text = delta.get(key)
                if type(text) is str and (piece := self._halves.piece(key, text)) != text:
                    delta[key] = piece
                    chunk.edited = True
        if chunk.edited:
            mend(data)
            chunk.raw = encode(data)

    def _alone(self) -> Iterator[Chunk]:
        """The replacement for half characters whose other half never arrived."""
        for key, text in self._halves.rest().items():
            data = {"type": "content_block_delta", "index": self._index, "delta": {"type": _RUNNING[key], key: text}}
            chunk = self._chunk(sse.SSE(encode(data), b"content_block_delta", orjson.dumps(data)))
            if chunk is not None:
                chunk.edited = True
                yield chunk

    def _other(self, chunk: Chunk, data: Json) -> None:
        """An event of an unknown kind: all of it is judged."""
        chunk.strays = list(fields(data))
        self._fields.read(chunk, "chunk", 0, data, _KIND)

    def _start(self, chunk: Chunk, data: Json) -> Chunk:
        message = data.get("message")
        if type(message) is not dict:
            raise ValueError("message_start holds no message")
        if self._started:
            raise ValueError("a second message begins")
        chunk.edited |= nulls.of_blocks(message)
        content = message.get("content")
        if type(content) is list and any(type(block) is dict and calls_a_tool(block) for block in content):
            raise ValueError("message_start holds a tool call")
        self._started = True
        self._container = message.get("container")
        blocks = content if type(content) is list else []
        chunk.strays = [*in_blocks(blocks), *fields(message, _COUNTED)]
        self._used(chunk, message.get("usage"))
        self.tier = tier(message.get("usage")) or self.tier
        for block in blocks:  # blocks that begin with the message
            if type(block) is dict and block.get("type") == "text" and type(block.get("text")) is str:
                self._piece(chunk, block, "text")
                self._fields.read(chunk, "delta", 0, block, _TEXT)
            elif type(block) is dict:
                self._whole(chunk, block)
        self._fields.read(chunk, "chunk", 0, message, _CONTENT if type(content) is list else _NONE, _MESSAGE)
        self._fields.read(chunk, "chunk", 0, data, frozenset({"message", "type"}))
        return chunk

    def _block_start(self, chunk: Chunk, data: Json) -> Chunk | None:
        block = data.get("content_block")
        if type(block) is not dict:
            raise ValueError("content_block_start holds no block")
        chunk.edited |= nulls.of_block(block)
        self._blocks += 1
        if self._blocks > MAX_BLOCKS:
            raise ValueError(f"more than {MAX_BLOCKS} blocks")
        kind, index = _named(block, "a block"), ordinal(data.get("index"))
        self.runs = hosted_runs.more(self.runs, block)
        if kind.endswith(RAN):
            self._ran.append(block)
        if kind not in USES and block.keys() != _TEXT:
            chunk.strays = list(in_blocks([block]))
        if index is None or index <= self._index or self._within:
            raise ValueError("a block begins out of its turn")
        self._index, self._within, self._frame = index, True, None
        if kind in USES or (type(block.get("input")) is dict and "name" in block):
            plain = data.keys() <= _START and self.faithful(chunk)
            self._use = _Use({key: data[key] for key in _START if key in data}, chunk.raw, plain)
            return None
        if kind == "text" and type(block.get("text")) is str:
            self._piece(chunk, block, "text")
            self._fields.read(chunk, "delta", 0, block, _TEXT)
        elif kind in SIGNED:
            texts = {key for key, value in block.items() if key != "type" and type(value) is str}
            for key in texts:
                self._signed(chunk, block, key)
            self._fields.read(chunk, "delta", 0, block, _KIND | texts)
        else:
            self._whole(chunk, block)
        self._fields.read(chunk, "chunk", 0, data, _START)
        return chunk

    def _delta(self, chunk: Chunk, data: Json) -> Chunk | None:
        delta = data.get("delta")
        if type(delta) is not dict:
            raise ValueError("content_block_delta holds no delta")
        kind, index = _named(delta, "a delta"), ordinal(data.get("index"))
        if index != self._index or not self._within:
            raise ValueError("a delta of a block that is not open")
        use = self._use
        if use is not None:
            piece = delta.get("partial_json")
            if delta.get("type") != "input_json_delta" or type(piece) is not str:
                raise ValueError("a delta of a tool call holds no arguments")
            use.plain &= data.keys() <= _DELTA and delta.keys() <= _ARGUING and self.faithful(chunk)
            if self._frame is None and use.plain and self._may_frame(chunk, data, delta, _ARGUING):
                self._frame = Frame.learn(chunk.raw, piece, (0, "partial_json"), says_more=True)
            self._argue(use, piece, chunk.raw)
            return None
        known, key = _KIND, _DELTAS.get(kind)
        if key is not None and type(delta.get(key)) is str:
            known = _SAID[kind]
            if self._frame is None and kind in _FRAMED and self._may_frame(chunk, data, delta, known):
                self._frame = Frame.learn(chunk.raw, delta[key], (0, key), says_more=True)
            if kind == "text_delta":
                self._piece(chunk, delta, key)
            else:
                self._signed(chunk, delta, key)
        elif kind == "citations_delta" and type(delta.get("citation")) is dict:
            self._fields.read(chunk, "delta", 0, {"citations": [delta["citation"]]}, _KIND)
            known = _CITED
        if not delta.keys() <= known:
            chunk.strays = list(fields(delta))
            self._fields.read(chunk, "delta", 0, delta, known)
        if not data.keys() <= _DELTA:
            self._fields.read(chunk, "chunk", 0, data, _DELTA)
        return chunk

    def _may_frame(self, chunk: Chunk, data: Json, delta: Json, keys: frozenset[str]) -> bool:
        """Whether an event with a piece of text contains only values of the dialect beside the piece: `keys`."""
        plain = data.keys() == _DELTA and delta.keys() == keys and not chunk.edited and not self._halves
        return plain and self.faithful(chunk)

    def _argue(self, use: _Use, piece: str, raw: bytes) -> None:
        """Add a piece of the arguments of a tool call, and the bytes of its events."""
        use.parts.append(piece)
        use.raw.append(raw)
        use.size += len(raw)
        if use.size > MAX_INPUT:
            raise Refusal(
                "output_blocked",
                f"The answer has more than {MAX_INPUT} characters in a tool call.",
                stage="output",
            )

    def _stop(self, chunk: Chunk, data: Json) -> Chunk:
        index = ordinal(data.get("index"))
        if index != self._index or not self._within:
            raise ValueError("a block ends that is not open")
        self._within, self._frame = False, None
        use, self._use = self._use, None
        if use is None:
            self._fields.read(chunk, "chunk", 0, data, _KIND)
            return chunk
        chunk.edited = not (use.plain and data.keys() <= _STOP and self.faithful(chunk))
        chunk.raw = b"".join([*use.raw, chunk.raw])
        chunk.data = use.data
        block = use.data["content_block"]
        said = "".join(use.parts)
        if said.strip() or not block.get("input"):
            chunk.edited |= bool(block.get("input"))  # later events repeat the input of the first event
            block["input"] = said
        chunk.tools = [block]
        return chunk

    def _message_delta(self, chunk: Chunk, data: Json) -> Chunk:
        delta = data.get("delta")
        if self._use is not None:
            raise ValueError("the message ends within a tool call")
        if type(delta) is dict:
            self._stopped |= delta.get("stop_reason") is not None
            if delta.get("container") or self._container or self._ran:
                self.last = {"container": delta.get("container") or self._container, "content": self._ran}
            chunk.strays = list(fields(delta))
            self._fields.read(chunk, "chunk", 0, delta, frozenset(), _ENDS)
        self._used(chunk, data.get("usage"))
        self.tier = tier(data.get("usage")) or self.tier
        self._fields.read(chunk, "chunk", 0, data, frozenset({"delta", "type"}))
        return chunk

    def _message_stop(self, chunk: Chunk, data: Json) -> Chunk:
        chunk.done = self.ended = True
        self._fields.read(chunk, "chunk", 0, data, _KIND)
        return chunk

    def _used(self, chunk: Chunk, reported: object) -> None:
        """Add a usage report. Later reports may omit the input tokens; usage is unknown until they are reported."""
        self._reported |= tells_input(reported)
        if self._reported:
            chunk.usage = usage(reported)

    def _whole(self, chunk: Chunk, block: Json) -> None:
        """A block that arrives complete."""
        survey = tree.Survey(ANSWER)
        survey.walk(block)
        if survey.slots or survey.kinds:
            chunk.wholes.append(survey)

    def _piece(self, chunk: Chunk, holder: Json, key: str) -> None:
        """A piece of a running text, edited in place."""
        if holder[key]:
            chunk.fields.append(_running(self._blocks, holder, key))

    def _signed(self, chunk: Chunk, holder: Json, key: str) -> None:
        """A piece of a signed text; encrypted data is not text."""
        text = holder[key]
        if not text or (tree.is_seal(key, text) and (self._blocks, key) != self._unsealed):
            return
        if len(text) >= _SEAL:
            self._unsealed = self._blocks, key
        field = _field((0, f"signed:{key}"), holder, key)
        field.signed = True
        chunk.fields.append(field)

    def encode(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk: as received if nothing was edited."""
        data = chunk.data
        if data is None:
            if chunk.edited and chunk.series is not None:
                return chunk.series.frame.encode(chunk.fields[0].holder[chunk.series.frame.channel[1]])
            return chunk.raw
        self._note(data, bool(chunk.tools))
        if not chunk.edited:
            return chunk.raw
        return use_events(data) if chunk.tools else encode(data)

    def _note(self, data: Json, whole: bool) -> None:
        """Record what was sent to the caller, which determines how the answer can be ended."""
        kind = data.get("type")
        if kind == "message_start":
            self._begun = True
        elif kind == "content_block_start":
            self._left = ordinal(data.get("index")) or 0
            self._open = None if whole else self._left
        elif kind == "content_block_stop":
            self._open = None

    def finish(self) -> bytes:
        """`message_stop`, unless it was received."""
        return b"" if self.ended else encode({"type": "message_stop"})

    def refuse(self, refusal: Refusal, request_id: str, reason: str = "", *, bare: bool = False) -> bytes:
        """The end of a refused answer: stop_reason `refusal` with the reason, or an error event for a fault."""
        if refusal.domain != "policy" or not self._begun:
            return encode(refused(refusal, request_id))
        events: list[Json] = []
        if self._open is not None:
            events.append({"type": "content_block_stop", "index": self._open})
        if reason and not bare:
            at = self._left + 1
            events += [
                {"type": "content_block_start", "index": at, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": at, "delta": {"type": "text_delta", "text": reason}},
                {"type": "content_block_stop", "index": at},
            ]
        details = {"type": "refusal", "category": None, "explanation": refusal.message}
        delta = {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
        events += [{"type": "message_delta", "delta": delta, "usage": {"output_tokens": 0}}, {"type": "message_stop"}]
        return b"".join(map(encode, events))


def _named(holder: Json, what: str) -> str:
    """The type of an event, a block or a delta. Raises ValueError unless it is a name: clients do not show it."""
    kind = kind_of(holder)
    if not (is_term(kind) if kind else holder.get("type") in ("", None)):
        raise ValueError(f"{what} has a type that is not a name")
    return kind


def _field(channel: Channel, holder: Json, key: str) -> Field:
    field = Field("delta", channel[0], holder, key)
    field.pieces.append(Piece(channel, field, holder, key))
    return field


def _running(block: int, holder: Json, key: str) -> Field:
    """A piece of the text of all text blocks."""
    field = _field((0, _MAIN), holder, key)
    field.text = block
    return field


def _ping(stream: AnthropicStream, chunk: Chunk, data: Json) -> Chunk:
    stream._fields.read(chunk, "chunk", 0, data, _KIND)
    return chunk


_READERS: Final = {
    "message_start": AnthropicStream._start,
    "content_block_start": AnthropicStream._block_start,
    "content_block_delta": AnthropicStream._delta,
    "content_block_stop": AnthropicStream._stop,
    "message_delta": AnthropicStream._message_delta,
    "message_stop": AnthropicStream._message_stop,
    "ping": _ping,
}
