"""Texts of a streamed response that are repeated: as they arrived, and as they left.

A text arrives in pieces, and then whole in the `done` events of the text, of its part and of its item, and in the last
event. Only the pieces are judged. A repeat of the same text leaves as the pieces did, so that both agree whatever was
edited; a repeat that says something else is judged as a separate text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

import orjson

from gateway.bodies import Json
from gateway.dialects import Chunk
from gateway.dialects.delta_frame import DeltaFrame
from gateway.dialects.openai_answer import drop
from gateway.dialects.responses_answer import echoes
from gateway.dialects.responses_tables import kind

_STRUCTURE: Final = frozenset({"type", "role", "status"})
_STEP: Final = 16  # characters: the length of padding, if an edited piece is longer than the piece with its padding


Place = tuple[str, int, tuple[int | None, ...]]
"""The place of a text: the name of its events, its item, its indexes."""


class Source(Protocol):
    """What a repeat repeats."""

    def final(self) -> Any:
        """The value as it left."""
        ...


class Same:
    """A value that left in another event."""

    __slots__ = ("_holder", "_key")

    def __init__(self, holder: Json, key: str) -> None:
        self._holder = holder
        self._key = key

    def final(self) -> Any:
        """The value as it left."""
        return self._holder[self._key]


class Said:
    """One text. `number`: from 1, in the order in which texts begin. `ended`: its whole was received."""

    __slots__ = ("_original", "call", "ended", "left", "number", "parts")

    def __init__(self, number: int) -> None:
        self.number = number
        self.parts: list[str] = []
        self.left: list[str] = []
        self.ended = False
        self.call: tuple[Json, str] | None = None  # the judged tool call with this text, and its key
        self._original = ""

    def original(self) -> str:
        """The text so far as it arrived."""
        if self.parts:
            self._original = "".join([self._original, *self.parts])
            self.parts.clear()
        return self._original

    def final(self) -> str:
        """The text as it left."""
        if self.call is not None:
            text = self.call[0][self.call[1]]
            return text if type(text) is str else ""
        if len(self.left) > 1:
            self.left = ["".join(self.left)]
        return self.left[0] if self.left else ""


class Framed(NamedTuple):
    """The text whose next pieces a frame reads; its item has the id `item_id`, which leaves as that of `source`."""

    frame: DeltaFrame
    said: Said
    name: str
    place: Place
    item_id: str
    source: Source


class Event(Chunk):
    """One event.

    - `pieces`: pieces of texts: text, holder, key, the piece as it arrived. `repeats`: holder, key, what is repeated.
    - `call`: the judged tool call that begins with this event.
    - `framed`: how the event was read without parsing; its number is `number`.
    """

    __slots__ = ("call", "framed", "number", "pieces", "repeats")

    def __init__(self, raw: bytes, data: Json | None = None) -> None:
        super().__init__(raw, data)
        self.tools: list[Json] = []
        self.strays: list[Json] = []
        self.pieces: list[tuple[Said, Json, str, str]] = []
        self.repeats: list[tuple[Any, Any, Source]] = []
        self.call: Json | None = None
        self.framed: Framed | None = None
        self.number = 0

    def changes(self, framed: Framed) -> bool:
        """Whether an event that was not parsed must be written anew; it is parsed then, and leaves otherwise."""
        ((said, holder, key, piece),) = self.pieces
        if holder[key] == piece and framed.source.final() == framed.item_id:
            said.left.append(piece)
            return False
        self.data = data = orjson.loads(self.raw.partition(b"data: ")[2])
        data[key] = holder[key]
        self.pieces = [(said, data, key, piece)]
        self.repeats = [(data, "item_id", framed.source)]
        self.edited = True
        return True

    def settle(self) -> None:
        """Write what other events determine, before the event leaves."""
        data = self.data
        assert data is not None
        if self.call is not None:
            self._name(data["item"], self.call)
        for said, holder, key, piece in self.pieces:
            if said.call is not None:
                self._argue(said, holder, key)
            said.left.append(holder[key])
            if holder[key] != piece and "obfuscation" in data:
                data["obfuscation"] = _padding(len(piece) + len(data["obfuscation"]), len(holder[key]))
        for place, name, source in self.repeats:
            value = source.final()
            if place[name] != value:
                place[name] = value
                self.edited = True

    def _name(self, item: Json, call: Json) -> None:
        """Write the fields of a judged tool call, except for its arguments, into its item."""
        arguments = {key for _, holder, key, _ in self.pieces if holder is item}
        for key, value in call.items():
            if key in item and key not in arguments and type(value) is str and item[key] and item[key] != value:
                item[key] = value
                self.edited = True

    def _argue(self, said: Said, holder: Json, key: str) -> None:
        """Write a piece of arguments: as it arrived, or all edited arguments into the first piece."""
        text = said.final()
        if text == said.original():
            return
        holder[key] = "" if said.left else text
        self.edited = True

    def conceal(self) -> None:
        """Remove log probabilities that were not judged with their text: changed texts, and alternatives."""
        data = self.data
        if data is None or (b"logprobs" not in self.raw and b"\\u00" not in self.raw):
            return
        kept = []
        for holder, text in _probable(data):
            told = holder.pop("logprobs")
            if told:
                holder["logprobs"] = told
                if not echoes(holder, text):
                    told, self.edited = [], True
                elif any(token.get("top_logprobs") for token in told):
                    told, self.edited = [{**token, "top_logprobs": []} for token in told], True
                del holder["logprobs"]
            kept.append((holder, told))
        self.edited |= drop(data)
        for holder, told in kept:
            holder["logprobs"] = told


def _padding(size: int, length: int) -> str:
    """Padding that makes an edited piece as long as the piece was with its padding."""
    return "x" * (size - length if length <= size else -length % _STEP)


def _probable(data: Json) -> Iterator[tuple[Json, str]]:
    """The places of log probabilities in an event, with their texts."""
    if kind(data).startswith("response.output_text."):
        yield from _with(data, data.get("delta", data.get("text")))
    response, part = data.get("response"), data.get("part")
    if type(part) is dict:
        yield from _with(part, part.get("text"))
    output = response.get("output") if type(response) is dict else [data.get("item")]
    for item in output if type(output) is list else ():
        content = item.get("content") if type(item) is dict else None
        for one in content if type(content) is list else ():
            if type(one) is dict:
                yield from _with(one, one.get("text"))


def _with(holder: Json, text: Any) -> Iterator[tuple[Json, str]]:
    if "logprobs" in holder:
        yield holder, text if type(text) is str else ""


def places(value: Any, texts: Mapping[str, Source]) -> Iterator[tuple[Any, Any, Source]]:
    """The places below a value that hold one of these texts."""
    waiting = [value] if texts else []
    while waiting:
        node = waiting.pop()
        for key, inner in list(node.items() if type(node) is dict else enumerate(node)):
            if type(inner) is str:
                if inner in texts and key not in _STRUCTURE:
                    yield node, key, texts[inner]
            elif type(inner) is dict or type(inner) is list:
                waiting.append(inner)
