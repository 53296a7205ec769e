"""The reader of streamed responses (OpenAI API reference: responses-streaming).

A stream is `response.created`, then items (`response.output_item.added`, parts, deltas, `done` events,
`response.output_item.done`), then `response.completed`, `.incomplete` or `.failed` with the whole response. Events keep
their order, their numbers, and their bytes except for edited texts. The texts of all messages are one text, because
clients join them. Repeats of a text leave as its pieces did (see `responses_said`). The events of a tool call wait
until its arguments are complete.

Irregular streams that are accepted: no `event:` line, or a line with another type than the data; events and items of
unknown kinds; repeats that say something else; items and parts without events of their own; `[DONE]` at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from gateway.bodies import Json, Usage
from gateway.dialects import (
    MAX_ANSWER,
    Chunk,
    Field,
    Piece,
    events,
    hosted_runs,
    nulls,
    ordinal,
    responses_answer,
    responses_frame,
    responses_halves,
    sse,
    tree,
)
from gateway.dialects.anthropic_stream import MAX_BLOCKS, MAX_INPUT
from gateway.dialects.base import Ordered, is_said_once
from gateway.dialects.fields import Reader
from gateway.dialects.frame import Frame, Series
from gateway.dialects.lots import Lot
from gateway.dialects.openai_answer import is_padding, tier
from gateway.dialects.openai_strays import fields, in_blocks
from gateway.dialects.responses_closing import Closing
from gateway.dialects.responses_forms import ENDS, encode
from gateway.dialects.responses_said import Event, Framed, Place, Said, Same, Source, places
from gateway.dialects.responses_tables import ANSWER, CALLING, calls_a_tool, kind, namespaces, tool
from gateway.dialects.surrogates import Halves, mend
from gateway.dialects.terms import LONG, is_term
from gateway.errors import Refusal

_NUMBERS: Final = frozenset(
    {"sequence_number", "output_index", "content_index", "summary_index", "annotation_index", "command_index"}
    | {"partial_image_index"}
)
_INDEXES: Final = ("content_index", "summary_index", "command_index")
_OTHER_DELTA: Final = frozenset({"delta", "obfuscation"})
_DELTA: Final = _OTHER_DELTA | {"logprobs"}
_ENVELOPE: Final = frozenset({"output", "usage"})  # fields of a response that are not compared with earlier events
_BUT: Final = frozenset({"type"})
_NAMES: Final = {name: key for key, name in CALLING.values()}  # of events with arguments -> their key
_TEXT: Final = "output_text"
# Types of parts: the key of their text, and the name of its events.
_PARTS: Final = {
    "output_text": ("text", _TEXT),
    "refusal": ("refusal", "refusal"),
    "reasoning_text": ("text", "reasoning_text"),
    "summary_text": ("text", "reasoning_summary_text"),
}
_NO_INDEX: Final = tuple[int | None, ...]([None] * len(_INDEXES))
_NONE: Final[frozenset[str]] = frozenset()
_NO_FRAME: Final = Frame(b"", b"", (0, _TEXT))


class _Item:
    """An item that has begun with an event. `said`: its arguments, `call`: the judged call, if it is a tool call.

    `raw`, `whole`: the complete item as it arrived, and the event that holds it.
    """

    __slots__ = ("call", "event", "raw", "said", "whole")

    def __init__(self, event: Event, said: Said | None) -> None:
        self.event = event
        self.said = said
        self.call: Json | None = None
        self.raw = b""
        self.whole: Json = {}

    @property
    def waits(self) -> bool:
        """Whether the arguments are not complete."""
        return self.said is not None and self.call is None

    def complete(self) -> None:
        """The arguments are complete: the call is judged with the first event of the item."""
        event, said = self.event, self.said
        assert event.data is not None
        assert said is not None
        begun = event.data["item"]
        key = CALLING[kind(begun)][0]
        self.call = {**begun, key: said.original()}
        said.call, said.ended = (self.call, key), True
        event.call = self.call
        event.tools.append(self.call)


class ResponsesStream(Ordered):
    """Reads the events of one answer."""

    __slots__ = (
        *("_by_item", "_closing", "_echo", "_fields", "_frame", "_halves", "_held", "_items", "_open"),
        *("_reader", "_said", "_size", "_waited", "_waiting", "ended", "last", "runs", "tier"),
    )

    def __init__(self) -> None:
        self._reader = sse.Reader()
        self.runs: hosted_runs.Runs = ()
        self._fields = Reader(ANSWER)
        self._halves = Halves()
        self._waited: sse.SSE | None = None  # an event with half a character at its end
        self._frame: Framed | None = None  # of the last text
        self._said: dict[Place, Said] = {}
        self._by_item: dict[int, list[Said]] = {}
        self._items: dict[int, _Item] = {}
        self._echo: dict[str, tuple[bytes, Same]] = {}  # fields of the response as they arrived, and as they left
        self._open = 0  # tool calls whose arguments are not complete
        self._held: list[Event] = []  # the events from the first of these calls on
        self._waiting = 0  # bytes of these events
        self._size = 0  # characters of all texts and items
        self._closing = Closing()
        self.ended = False
        self.last = None
        self.tier = ""

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that are complete. Raises ValueError for data that is not a stream of a response."""
        data = self._reader.take(data)
        at = 0
        while at < len(data) and not self.ended:
            frame = self._frame
            if frame is not None and not (frame.said.ended or self._open or self._halves or self._waited):
                series = self._series(frame, data, at)
                if series is not None:
                    yield series
                    at += len(series.raw)
                    continue
            event, at = self._reader.next(data, at)
            if event is None:
                return
            yield from self._read(event)

    def _series(self, frame: Framed, data: bytes, at: int) -> Event | None:
        """A chunk of the events from `at` on that have a frame; None if the first has not."""
        read = frame.frame.read(data, at)
        if read is None:
            return None
        chunk = Event(read.raw)

        def make() -> list[Event]:
            events = []
            for (raw, text), number in zip(read.events(), *read.numbers, strict=True):
                event = Event(raw)
                event.framed, event.number = frame, int(number)
                holder = {"delta": text}
                event.pieces.append((frame.said, holder, "delta", text))
                if text:
                    event.fields.append(_running(frame.said, frame.name, holder, "delta"))
                events.append(event)
            return events

        chunk.series = Series(_NO_FRAME, read.text, read.sizes, read.sizes)  # its events are not read again
        chunk.framed = frame
        frame.said.parts.append(read.text)
        self._grow(len(read.text))
        field = _running(frame.said, frame.name, {"delta": read.text}, "delta")
        field.pieces[0].lot = chunk.lot = Lot(read, make)
        chunk.fields.append(field)
        return chunk

    def rest(self) -> Iterator[Chunk]:
        """The last event if its end is missing."""
        event = None if self.ended else self._reader.rest()
        if event is not None:
            yield from self._read(event)
        waited, self._waited = self._waited, None
        if waited is not None:
            yield from self._next(waited)

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
        return chunk.data is None or is_said_once(chunk.raw, chunk.data)

    def _read(self, event: sse.SSE) -> Iterator[Event]:
        """The chunks of an event, and of the events that waited for it."""
        if self._waited is not None and event.data:  # comments overtake
            waited, self._waited = self._waited, None
            yield from self._next(responses_halves.before(waited, event))
        if responses_halves.ends_in_half(event):
            self._waited = event
        else:
            yield from self._next(event)

    def _next(self, event: sse.SSE) -> Iterator[Event]:
        chunk = self._chunk(event)
        if chunk is None:
            return
        if chunk.data is None or chunk.error:  # comments overtake
            yield chunk
            return
        self._held.append(chunk)
        if self._open:
            self._waiting += len(chunk.raw)
            if self._waiting > MAX_INPUT:
                words = f"The answer has more than {MAX_INPUT} bytes of tool calls that are not complete."
                raise Refusal("output_blocked", words, stage="output")
            return
        held, self._held, self._waiting = self._held, [], 0
        yield from held

    def _chunk(self, event: sse.SSE) -> Event | None:
        chunk = Event(event.raw)
        if events.is_done(event):
            return None
        data = events.load(chunk, event, "an event")
        if data is None:
            return chunk
        said = kind(data)
        if not (is_term(said) if said else data.get("type") in ("", None)):
            raise ValueError("an event has a type that is not a name")
        if chunk.edited or self._halves:
            self._join_halves(chunk, data, said)
        if said == "error" or (data.get("error") and "response" not in data):
            chunk.error = True
            return chunk
        if "obfuscation" in data and not is_padding(data["obfuscation"]):
            data["obfuscation"], chunk.edited = "", True
        self._take(chunk, data, said)
        return chunk

    def _take(self, chunk: Event, data: Json, said: str) -> None:
        """Read an event of this type."""
        if said in ENDS:
            self._end(chunk, data)
        elif type(data.get("response")) is dict:
            self._response(chunk, data["response"], ends=False)
            self._rest(chunk, data, frozenset({"response"}))
        elif said == "response.output_item.added":
            self._added(chunk, data)
        elif said == "response.output_item.done":
            self._done(chunk, data)
        elif type(data.get("delta")) is str and said.endswith(".delta"):
            self._delta(chunk, data, _name(said))
        elif type(data.get("part")) is dict:
            self._part(chunk, data, ended=said.endswith(".done"))
        else:
            self._other(chunk, data, _name(said))

    def _join_halves(self, chunk: Event, data: Json, said: str) -> None:
        """Join characters that were cut in two: across the pieces of a text, otherwise in place."""
        if type(data.get("delta")) is str and said.endswith(".delta"):
            data["delta"] = self._halves.piece(_place(data, _name(said)), data["delta"])
            chunk.edited = True
        if chunk.edited:
            mend(data)
            chunk.raw = encode(data)

    def _text(self, place: Place) -> Said:
        """The text of a place, which may begin now."""
        said = self._said.get(place)
        if said is None:
            if len(self._said) >= MAX_BLOCKS:
                raise ValueError(f"more than {MAX_BLOCKS} texts")
            said = self._said[place] = Said(len(self._said) + 1)
            self._by_item.setdefault(place[1], []).append(said)
        return said

    def _texts(self, index: int) -> dict[str, Source]:
        """The texts of an item so far, as they arrived."""
        return {text: said for said in self._by_item.get(index, ()) if (text := said.original())}

    def _grow(self, size: int) -> None:
        """Count characters that are kept. Raises ValueError if there are too many."""
        self._size += size
        if self._size > MAX_ANSWER:
            raise ValueError(f"more than {MAX_ANSWER} characters")

    def _say(self, chunk: Event, said: Said, holder: Json, key: str) -> None:
        """A piece of a text."""
        text = holder[key]
        said.parts.append(text)
        self._grow(len(text))
        chunk.pieces.append((said, holder, key, text))

    def _piece(self, chunk: Event, said: Said, name: str, holder: Json, key: str) -> None:
        """A piece of a running text, edited in place."""
        self._say(chunk, said, holder, key)
        if holder[key]:
            chunk.fields.append(_running(said, name, holder, key))

    def _delta(self, chunk: Event, data: Json, name: str) -> None:
        """An event with a piece of a text."""
        place = _place(data, name)
        item = self._items.get(place[1])
        if name in _NAMES:
            if item is None or not item.waits or item.said is None:
                raise ValueError("arguments of a tool call that has not begun, or has ended")
            self._say(chunk, item.said, data, "delta")
        else:
            said = self._text(place)
            if said.ended:
                raise ValueError("a piece of a text that has ended")
            self._piece(chunk, said, name, data, "delta")
        self._rest(chunk, data, _DELTA if name == _TEXT else _OTHER_DELTA, item)
        if self._frame is None or self._frame.said is not chunk.pieces[0][0]:
            self._frame = self._framed(chunk, data, name, item)

    def _framed(self, chunk: Event, data: Json, name: str, item: _Item | None) -> Framed | None:
        """The frame of an event with a piece of a text of an item that is known; None if there is none."""
        said = chunk.pieces[0][0]
        if item is None or said.ended or name in _NAMES or len(chunk.repeats) != 1 or chunk.edited or self._halves:
            return None
        if len(chunk.fields) > 1 or chunk.wholes or chunk.strays or chunk.tools:  # more to judge than the piece
            return None
        frame = responses_frame.learn(chunk.raw, data) if self.faithful(chunk) else None
        return Framed(frame, said, name, _place(data, name), data["item_id"], chunk.repeats[0][2]) if frame else None

    def _rest(self, chunk: Event, data: Json, but: frozenset[str], item: _Item | None = None) -> None:
        """The fields of an event other than `but`, its type, small numbers, and the id of its item."""
        known = but | _BUT
        known |= {key for key in _NUMBERS & data.keys() if type(data[key]) is int and 0 <= data[key] < LONG}
        begun = item.event.data if item is not None else None
        if "item_id" in data and begun is not None and begun["item"].get("id") == data["item_id"]:
            chunk.repeats.append((data, "item_id", Same(begun["item"], "id")))
            known |= {"item_id"}
        if data.keys() <= known:
            return
        chunk.strays.extend(fields(data, known))
        self._fields.read(chunk, "chunk", 0, data, known)

    def _whole(self, chunk: Event, value: Any, texts: Mapping[str, Source] | None = None) -> None:
        """A value that arrives complete. Repeats of `texts` leave as these did; pieces are judged as such."""
        repeats = list(places(value, texts or {}))
        apart = [(holder, key) for _, holder, key, _ in chunk.pieces] + [(holder, key) for holder, key, _ in repeats]
        said = [(holder, key, holder[key]) for holder, key in apart]
        for holder, key, _ in said:
            holder[key] = None
        survey = tree.Survey(ANSWER)
        survey.walk(value)
        for holder, key, text in reversed(said):
            holder[key] = text
        chunk.repeats += repeats
        if survey.slots or survey.kinds:
            chunk.wholes.append(survey)

    def _part(self, chunk: Event, data: Json, *, ended: bool) -> None:
        """A part begins or ends."""
        part = data["part"]
        key, name = _PARTS.get(kind(part), ("", ""))
        chunk.strays.extend(in_blocks([part]))
        texts: dict[str, Source] = {}
        if key and type(part.get(key)) is str:
            said = self._text(_place(data, name))
            if part[key] and not (ended and said.original()):
                self._piece(chunk, said, name, part, key)
            elif text := said.original():
                texts[text] = said
            said.ended |= ended
        self._whole(chunk, part, texts)
        self._rest(chunk, data, frozenset({"part"}), self._items.get(ordinal(data.get("output_index")) or 0))

    def _other(self, chunk: Event, data: Json, name: str) -> None:
        """The whole of a text, and any other event, all of which is judged."""
        place = _place(data, name)
        item, but = self._items.get(place[1]), set[str]()
        if name in _NAMES and item is not None and item.waits and item.said is not None:
            text = data.get(_NAMES[name])
            if type(text) is str and not item.said.original():
                item.said.parts.append(text)
            item.complete()
            self._open -= 1
        if name in _NAMES and data.get("name") is not None:
            begun = item.event.data["item"] if item is not None and item.event.data is not None else {}
            if begun.get("name") != data["name"]:
                chunk.tools.append({**begun, "type": "function_call", "name": data["name"]})
        said = self._said.get(place)
        if said is not None:
            said.ended = True
            for key, value in data.items():
                if type(value) is str and value and key not in ("type", "item_id") and value == said.original():
                    chunk.repeats.append((data, key, said))
                    but.add(key)
        for key in ("annotation", "output"):
            if type(data.get(key)) in (dict, list):
                chunk.strays.extend(fields({key: data[key]}))
                self._whole(chunk, data[key])
                but.add(key)
        if type(data.get("delta")) is dict:
            self._fields.read(chunk, "chunk", place[1], data["delta"], _NONE)
            but.add("delta")
        if not ANSWER.pictures.isdisjoint(data):
            self._whole(chunk, data)
            return
        if name == _TEXT:
            but.add("logprobs")
        self._rest(chunk, data, frozenset(but), item)

    def _added(self, chunk: Event, data: Json) -> None:
        """An item begins. A tool call whose arguments follow waits for them."""
        item, index = _item(chunk, data)
        if index in self._items or len(self._items) >= MAX_BLOCKS:
            raise ValueError("an item begins twice, or there are too many")
        self.runs = hosted_runs.more(self.runs, item)
        said = None
        if kind(item) in CALLING:
            key, name = CALLING[kind(item)]
            said = self._text((name, index, _NO_INDEX))
            if type(item.get(key)) is str and item[key]:
                self._say(chunk, said, item, key)
            self._open += 1
        self._items[index] = _Item(chunk, said)
        if said is None:
            self._judge(chunk, item, index)
        self._rest(chunk, data, frozenset({"item"}))

    def _done(self, chunk: Event, data: Json) -> None:
        """An item ends."""
        item, index = _item(chunk, data)
        known = self._items.get(index)
        if known is None:
            known = self._items[index] = _Item(chunk, None)
        if known.raw or len(self._items) > MAX_BLOCKS:
            raise ValueError("an item ends twice, or there are too many")
        if known.waits and known.said is not None:
            key = CALLING.get(kind(item), ("", ""))[0]
            if type(item.get(key)) is str and not known.said.original():
                known.said.parts.append(item[key])
            known.complete()
            self._open -= 1
        known.raw, known.whole = orjson.dumps(item), data
        self._grow(len(known.raw))
        self._judge(chunk, item, index)
        for said in self._by_item.get(index, ()):
            said.ended = True
        self._rest(chunk, data, frozenset({"item"}))

    def _judge(self, chunk: Event, item: Json, index: int) -> None:
        """An item that begins, or is complete."""
        known = self._items.get(index)
        call = known.call if known is not None else None
        texts = self._texts(index)
        if calls_a_tool(item):
            chunk.strays.extend(namespaces(item))
            key = CALLING.get(kind(item), ("", ""))[0]
            same = call is not None and (kind(call), tool(call)) == (kind(item), tool(item))
            said = item.get(key)
            if not same or (said and (type(said) is not str or said not in texts)):
                chunk.tools.append(item)
                return
        else:
            chunk.strays.extend(in_blocks([item]))
            self._parts(chunk, item, index, texts)
        self._whole(chunk, item, texts)

    def _parts(self, chunk: Event, item: Json, index: int, texts: Mapping[str, Source]) -> None:
        """The texts of parts that had no events of their own, each as a separate piece of the running text."""
        for field in ("content", "summary"):
            parts = item.get(field)
            for part in parts if type(parts) is list else ():
                key, name = _PARTS.get(kind(part) if type(part) is dict else "", ("", ""))
                if key and type(part.get(key)) is str and part[key] and part[key] not in texts:
                    self._piece(chunk, self._text((name, index, (len(self._said),))), name, part, key)

    def _response(self, chunk: Event, response: Json, *, ends: bool) -> None:
        """The fields of the response, most of which repeat those of an earlier event."""
        same = {"output"}
        for key, value in response.items():
            if key in _ENVELOPE or value is None or type(value) is bool:
                continue
            raw, known = orjson.dumps(value), self._echo.get(key)
            if known is not None and known[0] == raw:
                chunk.repeats.append((response, key, known[1]))
                same.add(key)
            else:
                self._echo[key] = raw, Same(response, key)
        survey = tree.Survey(ANSWER)
        survey.take(response, frozenset(same))
        if survey.slots or survey.kinds:
            chunk.wholes.append(survey)
        chunk.strays.extend(fields(response, responses_answer.QUIET))
        self.tier = tier(response) or self.tier
        chunk.edited |= nulls.of_items(response)
        output = response.get("output")
        if type(output) is not list:
            output = response["output"] = []
            chunk.edited = True
        for at, item in enumerate(output):
            if type(item) is not dict:
                raise ValueError("an item is not an object")
            known_item = self._items.get(at)
            if known_item is not None and known_item.raw and orjson.dumps(item) == known_item.raw:
                chunk.repeats.append((output, at, Same(known_item.whole, "item")))
            elif ends:
                self._judge(chunk, item, at)
            elif calls_a_tool(item):
                chunk.tools.append(item)
            else:
                self._whole(chunk, item)

    def _end(self, chunk: Event, data: Json) -> None:
        """The answer ends; calls that are not complete have broken off."""
        response = data.get("response")
        if type(response) is not dict:
            raise ValueError("the last event holds no response")
        for item in self._items.values():
            if item.waits:
                item.complete()
        self._open = 0
        self._response(chunk, response, ends=True)
        chunk.usage = self.usage_of(response)
        self.last = response
        self._rest(chunk, data, frozenset({"response"}))
        chunk.done = self.ended = True

    def usage_of(self, response: Json) -> Usage | None:
        """The usage that the last event reports."""
        return responses_answer.usage(response)

    def plain(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk of an answer that is not judged."""
        return self._written(chunk, judged=False)

    def encode(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk: as received if nothing was edited."""
        return self._written(chunk, judged=True)

    def _written(self, chunk: Chunk, *, judged: bool) -> bytes:
        assert isinstance(chunk, Event)
        if (lot := chunk.lot) is not None:
            raw = self.some(chunk, 0, len(lot))
            return raw if raw is not None else b"".join([self._written(it, judged=judged) for it in lot.split()])
        if chunk.framed is not None and not chunk.changes(chunk.framed):
            self._closing.say(chunk.framed.place, (chunk.number,), chunk.pieces[0][3])
            return chunk.raw
        data = chunk.data
        if data is None:
            return chunk.raw
        chunk.settle()
        if judged:
            chunk.conceal()
        self._closing.note(data)
        return encode(data) if chunk.edited else chunk.raw

    def some(self, chunk: Chunk, first: int, last: int) -> bytes | None:
        """The bytes of judged events of a lot; None if the id of their item has changed."""
        assert isinstance(chunk, Event)
        lot, framed = chunk.lot, chunk.framed
        assert lot is not None
        assert framed is not None
        if framed.source.final() != framed.item_id:
            return None
        text = lot.text(first, last)
        framed.said.left.append(text)
        self._closing.say(framed.place, list(map(int, lot.read.numbers[0][first:last])), text)
        return lot.raw(first, last)

    def refuse(self, refusal: Refusal, request_id: str, reason: str = "", *, bare: bool = False) -> bytes:
        """The end of a refused answer: incomplete for `content_filter` with the reason, or an error event."""
        return self._closing.refuse(refusal, request_id, reason, bare=bare)


def _running(said: Said, name: str, holder: Json, key: str) -> Field:
    """A piece of a running text."""
    field = Field("delta", 0, holder, key)
    field.pieces.append(Piece((0, "text" if name == _TEXT else name), field, holder, key))
    field.text = said.number
    return field


def _name(said: str) -> str:
    """The name of the text of an event: its type without `response.` and the last word."""
    return said.removeprefix("response.").rpartition(".")[0]


def _place(data: Json, name: str) -> Place:
    return name, ordinal(data.get("output_index")) or 0, tuple(ordinal(data.get(key)) for key in _INDEXES)


def _item(chunk: Event, data: Json) -> tuple[Json, int]:
    """The item of an event, and its index. Raises ValueError."""
    item, index = data.get("item"), ordinal(data.get("output_index"))
    if type(item) is not dict or index is None:
        raise ValueError("an event holds no item, or no index")
    chunk.edited |= nulls.of_item(item)
    return item, index
