"""The reader of streamed chat completions.

A stream is a series of `data:` events with JSON chunks, ended by `data: [DONE]`; the last chunk of a choice has the
finish reason; usage is in a chunk without choices. Accepted irregularities: no `[DONE]`, or no empty line after the
last event; a byte order mark; an event that is null; chunks without `choices` or with null; null among choices, parts
or tool calls; a `finish_reason` that is empty or early; usage in the finishing chunk; an index that is a string or
missing; half a surrogate pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import NoneType
from typing import Any

import orjson

from gateway.bodies import Json
from gateway.dialects import Channel, Chunk, Delta, Field, events, nulls, ordinal, sse, tree
from gateway.dialects.fields import Reader, is_structure
from gateway.dialects.frame import Frame
from gateway.dialects.openai_answer import alternatives, drop_nested, echoes, is_padding, tier, usage
from gateway.dialects.openai_strays import strays
from gateway.dialects.openai_tables import CHOICE, CHUNK, CHUNKS, ENVELOPE, MAX_CHOICES, TEXTS
from gateway.dialects.surrogates import Halves, mend
from gateway.dialects.toolcalls import ToolCalls
from gateway.errors import Refusal

_CHOICES = frozenset({"choices"})  # fields of a chunk and of its choices that are not read like other fields
_DELTA = frozenset({"delta", "logprobs"})
_LOGPROBS = frozenset({"logprobs"})
_SAME = tuple(sorted(ENVELOPE - {"created"}))  # fields with the same value in every chunk
_WHOLE = ENVELOPE | {"usage", "obfuscation"}
_PARTS = frozenset({"choices", "usage"})  # fields of a chunk that differ from chunk to chunk
_SPOKEN = _CHOICES | ENVELOPE
_FLAT = frozenset({str, int, NoneType})
_PART = frozenset({"type", "index", "text"})
_NAMES = ("type", "index")
_TEXT = frozenset({"text"})
_DONE = b"data: [DONE]\n\n"
_NONE: frozenset[str] = frozenset()
_REASON = frozenset({"finish_reason"})
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class OpenAIChatStream:
    """Reads the events of one answer. `envelope` has the values that every chunk repeats (id, model, created)."""

    runs: tuple[tuple[str, int], ...] = ()  # only the last event tells
    ordered = False
    kind = "chat.completion.chunk"
    texts: Sequence[str] = TEXTS
    __slots__ = (
        "_calls",
        "_choices",
        "_fields",
        "_frame",
        "_halves",
        "_head",
        "_heard",
        "_parted",
        "_reader",
        "_reasoned",
        "_same",
        "_trusts",
        "ended",
        "keep_usage",
        "last",
        "open",
        "tier",
    )

    def __init__(self, keep_usage: bool, choices: int = MAX_CHOICES) -> None:
        self._choices = choices
        self._calls = ToolCalls()
        self._reader = sse.Reader()
        self._fields = Reader(CHUNKS)
        self._frame: Frame | None = None
        self._halves = Halves()
        self._parted: dict[Channel, type] = {}  # texts that arrive in parts, and the type of the parts
        self.keep_usage = keep_usage
        self._head: Json | None = None  # the first chunk, from which the envelope is taken
        self._same: Json | None = None  # its envelope as received, which later chunks need not be judged for again
        self._trusts = True  # no repeated value was changed
        self.open: dict[int, bool] = {}  # choice -> still open for the caller
        self._reasoned: set[int] = set()  # choices with a finish reason
        self._heard: list[str] = []  # the ids of audio in the answer
        self.last: Json | None = None
        self.ended = False  # [DONE] was received
        self.tier = ""  # the service tier in the chunks

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that are complete. Raises ValueError for other data, after the chunks before it."""
        data = self._reader.take(data)
        at = 0
        while at < len(data) and not self.ended:
            run = self._frame and not self._halves and self._frame.take(data, at)
            if run:
                chunk, at = run
            else:
                event, at = self._reader.next(data, at)
                if event is None:
                    return
                chunk = self._chunk(event)
                if chunk.done and self._halves:
                    yield from self._left()
            yield chunk

    def rest(self) -> Iterator[Chunk]:
        """The last event if its end is missing. An incomplete event is dropped if the answer is complete."""
        event = None if self.ended else self._reader.rest()
        if event is not None:
            try:
                yield self._chunk(event)
            except ValueError:
                if not self.finished:
                    raise
        if self._halves:
            yield from self._left()

    def _left(self) -> Iterator[Chunk]:
        """The replacement for half characters whose other half never arrived."""
        for channel, text in self._halves.rest().items():
            if channel[1] not in self.texts:
                continue
            choice, holder = self.silent(channel[0])
            holder[channel[1]] = text
            chunk = Chunk(b"", {**self.envelope, "choices": [choice]})
            chunk.texts.append(Delta(channel, holder, channel[1]))
            chunk.edited = True
            yield chunk

    def _join_halves(self, chunk: Chunk) -> None:
        """Join characters that were cut in two: across pieces in running texts, otherwise in place."""
        for delta in chunk.texts:
            text = delta.holder[delta.key]
            piece = self._halves.piece(delta.channel, text)
            if piece != text:
                delta.holder[delta.key] = piece
                chunk.edited = True
        for field in chunk.fields:
            self._join_field(field)
        if not chunk.edited:
            return
        for survey in chunk.wholes:
            survey.slots = [slot._replace(text=mend(slot.text)) for slot in survey.slots]
            mend([nested.root for nested in survey.nested])
        mend(chunk.data)

    def _join_field(self, field: Field) -> None:
        pieces, field.pieces = field.pieces, []
        for one in pieces:
            text = one.holder[one.key]
            piece = self._halves.piece(one.channel, text)
            if piece != text:
                one.holder[one.key] = piece
                field.changed = True
            one.left = len(piece)
            if piece:
                field.pieces.append(one)
        mend(field.holder)

    @property
    def finished(self) -> bool:
        """Every choice has a finish reason."""
        return bool(self.open) and len(self._reasoned) == len(self.open)

    @property
    def envelope(self) -> Json:
        """The values that every chunk repeats, as judged."""
        if self._head is None:
            return {"id": "", "object": self.kind, "created": 0, "model": ""}
        return {key: value for key, value in self._head.items() if key in ENVELOPE}

    def some(self, chunk: Chunk, first: int, last: int) -> bytes | None:
        """Never called: a series is one text."""
        raise AssertionError("a lot in a stream whose texts move")

    def distrust(self) -> None:
        """Parse every event in full from now on, because a repeated value was changed, or is not judged yet."""
        self._frame = self._same = None
        self._trusts = False

    def faithful(self, chunk: Chunk) -> bool:
        """Whether every parser reads the same values from the bytes of a parsed chunk.

        With a duplicate key or a line that is not data, a client might read a value that was not judged.
        """
        raw = chunk.raw
        if b"\r" in raw:
            raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        one_line = raw.startswith(b"data:") and raw.find(b"\n") == len(raw) - 2
        return one_line and chunk.data is not None and tree.says_once(raw.removeprefix(b"data:"), chunk.data)

    def close(self) -> None:
        """Raise ValueError if the upstream ended before the answer was complete."""
        if not self.ended and not self.finished:
            raise ValueError("the stream broke off before its end")

    def _chunk(self, event: sse.SSE) -> Chunk:
        chunk = Chunk(event.raw)
        if events.is_done(event):
            chunk.done = self.ended = True
            chunk.raw = _DONE  # the rest of the event has no content
            return chunk
        data = events.load(chunk, event, "a chunk")
        if data is None:
            return chunk
        mended = chunk.edited
        if data.get("error"):
            chunk.error = True
            return chunk
        self._read(chunk, data)
        if mended or self._halves:
            self._join_halves(chunk)
        return chunk

    def _read(self, chunk: Chunk, data: Json) -> None:
        choices = data.get("choices")
        if choices is None:
            choices = data["choices"] = []
            chunk.edited = True
        if type(choices) is not list:
            raise ValueError("the choices of a chunk are no list")
        raw = chunk.raw
        one_line = raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw  # otherwise, `data:` may stand before the null
        if not one_line or nulls.may_hold(raw):
            chunk.edited |= nulls.of_choices(data)
            choices = data["choices"]
        named = chunk.raw.count(b"logprobs")
        own = sum([type(choice) is dict and "logprobs" in choice for choice in choices]) if named else 0
        if named > own or b"\\u00" in chunk.raw:  # possibly in other places than a choice
            chunk.edited |= drop_nested(data)
        if all(type(choice) is dict for choice in choices):
            chunk.strays = strays(data, "delta")
        for choice in choices:
            self.choice(chunk, choice)
        chunk.closes = bool(choices) and len(chunk.ends) == len(choices)
        chunk.trails = not choices
        same = {key: value for key, value in data.items() if key not in _PARTS}
        if self._same is not None and same == self._same:
            if data.get("usage"):
                self._fields.read(chunk, "chunk", 0, data, _SPOKEN, _WHOLE)
        else:
            self._envelope(chunk, data, same)
        if (
            self._trusts
            and len(choices) == 1
            and len(chunk.texts) == 1
            and data.get("usage") is None
            and self.is_plain(choices[0])
            and self._may_frame(chunk)
        ):
            channel, holder, key = chunk.texts[0]
            more = not data.keys() <= CHUNK
            self._frame = Frame.learn(chunk.raw, holder[key], channel, says_more=more)
        if data.get("usage") is not None:
            chunk.usage = usage(data)
            if self.tier and chunk.usage is not None and not chunk.usage.tier:
                chunk.usage = replace(chunk.usage, tier=self.tier)
            if not self.keep_usage:
                del data["usage"]
                chunk.edited = True

    def _envelope(self, chunk: Chunk, data: Json, same: Json) -> None:
        """Read the values beside the choices, except usage in `same`."""
        if self._head is not None:
            self._repeat(chunk, data, self._head)
        elif data["choices"]:
            self._head = data
            if self._trusts and same.keys() <= ENVELOPE and _FLAT.issuperset(map(type, same.values())):
                self._same = same
        padding = data.get("obfuscation")
        if padding is not None and not (is_padding(padding)):
            data["obfuscation"] = ""
            chunk.edited = True
        self.tier = tier(data) or self.tier
        self._fields.read(chunk, "chunk", 0, data, _CHOICES, _WHOLE)

    def _may_frame(self, chunk: Chunk) -> bool:
        """Whether a chunk with one text may be the frame of the next chunks."""
        return not chunk.fields and not chunk.edited and self.faithful(chunk)

    def _repeat(self, chunk: Chunk, data: Json, head: Json) -> None:
        """Set values of the envelope to those of the first chunk, if another value is not a name."""
        for key in _SAME:
            value = data.get(key)
            if type(value) is str and value != head.get(key) and not is_structure(value):
                data[key] = head.get(key)
                chunk.edited = True

    def choice(self, chunk: Chunk, choice: Any) -> None:
        """Read one choice of a chunk. Raises ValueError for more choices than were asked for."""
        index, delta = self._open(chunk, choice), choice.get("delta")
        probabilities = choice.get("logprobs")
        if probabilities is not None:
            if echoes(choice):
                chunk.asides = [*chunk.asides, *(((index, name), text) for name, text in alternatives(probabilities))]
            else:
                choice["logprobs"] = None
                chunk.edited = True
        if (
            type(delta) is not dict
            or index >= MAX_CHOICES
            or choice.get("finish_reason")
            or not choice.keys() <= CHOICE
        ):
            self._fields.read(chunk, "choice", index, choice, _DELTA if type(delta) is dict else _LOGPROBS, _REASON)
        if type(delta) is dict:
            running = self._texts(chunk, index, delta)
            audio = delta.get("audio")
            if type(audio) is dict and type(id := audio.get("id")) is str and id not in self._heard:
                self._heard.append(id)
            calls = delta.get("tool_calls")
            if type(calls) is list:
                chunk.calls.extend((index, call) for call in calls if type(call) is dict)
                del delta["tool_calls"]
                chunk.edited = True
            if type(delta.get("function_call")) is dict:
                chunk.calls.append((index, {"function_call": delta.pop("function_call")}))
                chunk.edited = True
            self._fields.read(chunk, "delta", index, delta, running)
        self._close(chunk, choice, index)

    def _open(self, chunk: Chunk, choice: Any) -> int:
        """The index of a choice, which is written as a number. Raises ValueError."""
        if type(choice) is not dict:
            raise ValueError("a choice is not an object")
        index = max(0, ordinal(choice.get("index")) or 0)
        if type(choice.get("index")) is not int or choice["index"] < 0:
            choice["index"] = index
            chunk.edited = True
        self.open.setdefault(index, True)
        if len(self.open) > self._choices:
            raise ValueError(f"more than {self._choices} choices")
        return index

    def _close(self, chunk: Chunk, choice: Json, index: int) -> None:
        """Note the finish reason of a choice."""
        if choice.get("finish_reason"):
            chunk.ends += (index,)
            self._reasoned.add(index)
            if self._heard:
                self.last = {"choices": [{"message": {"audio": {"id": id}}} for id in self._heard]}

    def _texts(self, chunk: Chunk, index: int, delta: Json) -> frozenset[str]:
        """Add the pieces of running texts; returns their fields."""
        running = []
        for field in TEXTS:
            value = delta.get(field)
            if type(value) is str:
                running.append(field)
                if value:
                    chunk.texts.append(Delta((index, field), delta, field))
            elif type(value) is list and all(type(part) is dict or type(part) is str for part in value):
                self._parts(chunk, index, field, value)
                running.append(field)
        return frozenset(running)

    def _parts(self, chunk: Chunk, index: int, field: str, parts: list[Any]) -> None:
        """Add content parts, which some servers stream: their texts, and their other fields separately."""
        loose = []
        if parts:
            self._parted[index, field] = type(parts[-1])
        for at, part in enumerate(parts):
            if type(part) is str:
                if part:
                    chunk.texts.append(Delta((index, field), parts, at))
                continue
            if part.get("text") and type(part["text"]) is str:
                chunk.texts.append(Delta((index, field), part, "text"))
            more = [key for key, value in part.items() if key not in _PART and type(value) in (str, dict, list)]
            more += [key for key in _PART if type(part.get(key)) in (dict, list)]
            more += [key for key in _NAMES if type(part.get(key)) is str and not is_structure(part[key])]
            if more:
                loose.append(
                    {
                        **{key: part[key] for key in _PART - {"text", *more} if key in part},
                        **{key: part.pop(key) for key in more},
                    }
                )
                chunk.edited = True
            self._fields.read(chunk, "delta", index, part, _TEXT, part)
        if loose:
            self._fields.read(chunk, "delta", index, {field: loose}, _NONE, loose=True)

    def plain(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk of an answer that is not judged."""
        return chunk.raw if chunk.calls or chunk.fields else self.encode(chunk)

    def encode(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk: as received if nothing was edited, empty if no content is left."""
        for index in chunk.ends:
            self.open[index] = False
        if not chunk.edited:
            return chunk.raw
        if chunk.series is not None:
            return chunk.series.encode(chunk.raw, chunk.texts[0].holder[chunk.texts[0].key])
        data = chunk.data
        if data is None:
            return b""
        says_more = data.get("usage") is not None or not data.keys() <= CHUNK
        if not says_more and not any(self.speaks(choice) for choice in data["choices"]):
            return b""
        if not data["choices"] and data.get("usage") is None:
            data["choices"] = [self.silent(0)[0]]  # clients that did not request usage read the first choice
        return sse.encode(orjson.dumps(data))

    def text(self, channel: Channel, text: str) -> bytes:
        """A chunk with `text`, in a part if the text arrived in parts."""
        part = self._parted.get(channel)
        said: Any = text if part is None else [{"type": "text", "text": text} if part is dict else text]
        return self._event(channel[0], {channel[1]: said})

    def collect(self, chunk: Chunk) -> None:
        """Add the pieces of tool calls in a chunk."""
        for choice, piece in chunk.calls:
            self._calls.add(choice, piece)

    def due(self, chunk: Chunk | None = None) -> int:
        """The characters of the tool calls, which are judged at the end of the answer."""
        return self._calls.size if chunk is None or chunk.done else 0

    def collected(self) -> Iterator[tuple[int, list[Json]]]:
        """The assembled tool calls, by choice."""
        for choice in self._calls.choices:
            yield choice, self._calls.take(choice)

    def finish(self) -> bytes:
        """`[DONE]`, unless it was received."""
        return b"" if self.ended else _DONE

    def refuse(self, refusal: Refusal, request_id: str, reason: str = "", *, bare: bool = False) -> bytes:
        """The end of a refused answer: `content_filter` with the reason in each choice, or an error event."""
        if refusal.domain != "policy":
            return sse.encode(orjson.dumps(refused(refusal, request_id)))
        still = [index for index, is_open in self.open.items() if is_open] or [0]
        ends = [self.refused(index, refusal, reason) for index in still]
        return sse.encode(orjson.dumps({**({} if bare else self.envelope), "choices": ends})) + _DONE

    def tool_calls(self, choice: int, calls: list[Json]) -> bytes:
        """A chunk with complete tool calls, or the older single `function_call`."""
        delta: Json = {}
        for call in calls:
            if "function_call" in call:
                delta["function_call"] = call["function_call"]
            else:
                delta.setdefault("tool_calls", []).append(call)
        return self._event(choice, delta)

    def field(self, field: Field) -> bytes:
        """A chunk with a field that was removed from its chunk."""
        if field.level == "delta":
            return self._event(field.choice, field.holder)
        choice, _ = self.silent(field.choice)
        if field.level == "choice":
            return sse.encode(orjson.dumps({**self.envelope, "choices": [{**choice, **field.holder}]}))
        return sse.encode(orjson.dumps({**self.envelope, "choices": [choice], **field.holder}))

    def reopen(self, chunk: Chunk) -> dict[int, Any]:
        """Remove the finish reasons from a chunk."""
        reasons = {}
        for choice in chunk.data["choices"] if chunk.data is not None else ():
            if choice.get("finish_reason"):
                reasons[choice["index"]] = choice["finish_reason"]
                choice["finish_reason"] = None
        chunk.ends, chunk.closes, chunk.edited = (), False, True
        return reasons

    def end(self, choice: int, reason: Any) -> bytes:
        """A chunk with the finish reason of a choice."""
        self.open[choice] = False
        return self._event(choice, {}, reason)

    def _event(self, index: int, said: Json, reason: Any = None) -> bytes:
        choice, holder = self.silent(index)
        holder |= said
        choice["finish_reason"] = reason
        return sse.encode(orjson.dumps({**self.envelope, "choices": [choice]}))

    def silent(self, index: int) -> tuple[Json, Json]:
        """A choice without content, and the object in it that holds its texts."""
        delta: Json = {}
        return {"index": index, "delta": delta, "finish_reason": None}, delta

    def is_plain(self, choice: Json) -> bool:
        """Whether a choice with one text contains nothing else."""
        return (
            len(choice["delta"]) == 1
            and choice.keys() <= CHOICE
            and not choice.get("finish_reason")
            and choice.get("logprobs") is None
        )

    def speaks(self, choice: Json) -> bool:
        """Whether a choice of a chunk still has content: a reason, a role, a text, an unknown field."""
        if choice.get("finish_reason") or choice.get("logprobs") is not None or not choice.keys() <= CHOICE:
            return True
        delta = choice.get("delta")
        return type(delta) is not dict or any(value not in ("", None) for value in delta.values())

    def refused(self, index: int, refusal: Refusal, reason: str) -> Json:
        """The last choice of a refused answer."""
        delta = {**({"content": reason} if reason else {}), "refusal": refusal.message}
        return {"index": index, "delta": delta, "finish_reason": "content_filter"}


def refused(refusal: Refusal, request_id: str) -> Json:
    """The body of an error: `{"error": {message, type, param, code}}`, and the detail of the refusal."""
    kind = _TYPES.get(refusal.status) or ("invalid_request_error" if refusal.status < 500 else "server_error")
    error = {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}
    return {"error": {**error, "request_id": request_id, **refusal.detail}}
