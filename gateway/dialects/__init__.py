"""Wire formats: sans-IO codecs between bytes and what the line works on.

A codec knows one dialect and nothing else: no sockets, no policy, no state. The line asks it five things: what a
request means (`parse`), what to send to an upstream (`request`, `credentials`), what an answer holds (`whole`,
`stream`), how much it used (`usage`), and how to say no in words that the dialect's clients understand (`refuse`).

A new codec derives from `base.Plain`, the reader of its stream from `base.Ordered`: these list what is left to write.
docs/architecture.md has all steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import orjson

from gateway.call import Json, Span, Usage
from gateway.dialects.surrogates import mend
from gateway.errors import Refusal

if TYPE_CHECKING:
    from gateway.call import Step
    from gateway.dialects.frame import Frame
    from gateway.dialects.parts import Joined
    from gateway.dialects.tree import Shape, Survey

Channel = tuple[int, str]
"""One run of text inside an answer: (choice or block number, field), the field as a path where it lies deeper."""
MAX_ANSWER = 64 * 1024 * 1024
"""Bytes of a whole answer of text."""
Level = Literal["delta", "choice", "chunk"]
"""What of a chunk holds a field."""


class Intent(NamedTuple):
    """What a request asks for, in the words of the line."""

    model: str
    stream: bool
    tools: tuple[str, ...]
    ceiling: int | None  # output tokens allowed, times the number of answers; None: the caller gave no ceiling


class Outline(NamedTuple):
    """A whole answer without the values that hold no text (vectors), so that nobody parses or walks them.

    `raw` is what is left of the bytes, which is judged; `cuts` are the stretches [start, end) of the answer that were
    taken out, in order.
    """

    raw: bytes
    cuts: Sequence[tuple[int, int]] = ()


class Delta(NamedTuple):
    """A piece of text in a chunk: `holder[key]` is the piece, `channel` the run it belongs to."""

    channel: Channel
    holder: Any
    key: str | int

    @property
    def is_element(self) -> bool:
        """Whether the piece is an element of a list, which may be a text by itself."""
        return self.key != self.channel[1]


class Piece:
    """A piece of a running text in a field: `holder[key]` is the piece, `channel` the run it belongs to."""

    __slots__ = ("channel", "field", "holder", "key", "left", "parts")

    def __init__(self, channel: Channel, field: Field, holder: Any, key: Any) -> None:
        self.channel = channel
        self.field = field
        self.holder = holder
        self.key = key
        self.left = len(holder[key])  # characters of it that are not judged yet
        self.parts: list[str] = []  # what leaves of those that are


class Field:
    """A field of a chunk with texts that go on in other chunks, though the dialect does not name it.

    It stands at `holder[key]`; `level` says whether that is a delta, a choice or the chunk itself. While something of
    it is still to be judged it is taken out, and leaves later as a chunk of its own. One that is `loose` is in none.
    One that the provider has `signed` is judged, and never edited. `text` is the number of the text that its pieces
    are part of, from 1 on, where several fields make one; 0 where each piece is one.
    """

    __slots__ = ("changed", "choice", "holder", "key", "level", "loose", "pieces", "signed", "text", "waiting")

    def __init__(self, level: Level, choice: int, holder: Json, key: str) -> None:
        self.level: Level = level
        self.choice = choice
        self.holder = holder
        self.key = key
        self.pieces: list[Piece] = []
        self.waiting = 0  # pieces that are not whole yet
        self.changed = False
        self.loose = False
        self.signed = False
        self.text = 0

    def detach(self) -> None:
        """Take it out of its chunk."""
        if self.loose:
            return
        holder, self.holder = self.holder, {self.key: self.holder.pop(self.key)}
        for piece in self.pieces:
            if piece.holder is holder:
                piece.holder = self.holder


class Chunk:
    """One event of a streamed answer.

    `raw` is the event as it came; it is sent as it is unless something in it changed (`edited`). `texts` are judged as
    they flow, and so are those of `fields`, which stay in their places. Pieces of tool calls (`calls`) are taken out
    and judged whole, `strays` are calls in other shapes, which stay; `tools` are tool calls that are whole as they
    come, and `wholes` are such texts. `asides` are texts that the model could have said in place of its own. `ends` are
    the choices that have ended by the word of this chunk, which holds until more of them comes; `closes`: it speaks of
    no other choice; `trails`: it speaks of none, and belongs after the last of them. `frame` stands in the place of
    `data` where the chunk is a run of events that were read without parsing, with texts of `sizes`.
    """

    __slots__ = (
        *("calls", "closes", "data", "done", "edited", "ends", "error", "fields", "frame"),
        *("asides", "raw", "sizes", "strays", "texts", "tools", "trails", "usage", "wholes"),
    )

    def __init__(self, raw: bytes, data: Json | None = None) -> None:
        self.raw = raw
        self.data = data
        self.texts: list[Delta] = []
        self.calls: list[tuple[int, Json]] = []
        self.strays: Sequence[Json] = ()
        self.tools: Sequence[Json] = ()
        self.fields: list[Field] = []
        self.wholes: list[Survey] = []
        self.asides: Sequence[tuple[Channel, str]] = ()
        self.ends: tuple[int, ...] = ()
        self.closes = False
        self.trails = False
        self.usage: Usage | None = None
        self.done = False
        self.error = False
        self.edited = False
        self.frame: Frame | None = None
        self.sizes: Sequence[int] = ()

    def said(self) -> list[str]:
        """Every text in the chunk, to count where no usage is reported."""
        said = [delta.holder[delta.key] for delta in self.texts]
        for _, call in self.calls:
            for inner in call.values():
                if type(inner) is dict:
                    said += [mend(value) for value in inner.values() if type(value) is str]
        said += [orjson.dumps(call).decode() for call in self.tools]
        for field in self.fields:
            said += [piece.holder[piece.key] for piece in field.pieces]
        return said


class StreamCodec(Protocol):
    """The reader of one streamed answer, and the writer of what the line adds to it."""

    ordered: bool
    """Events belong to those before them: none may overtake another, and no text moves from one into the next."""

    @property
    def finished(self) -> bool:
        """Every choice has said that it ended."""
        ...

    ended: bool
    """The event that ends the answer has come."""
    tier: str
    """The service tier that it was served in, as far as it says; "" if it does not."""

    def faithful(self, chunk: Chunk) -> bool:
        """Whether a chunk's bytes say what was read of them, and nothing else."""
        ...

    def distrust(self) -> None:
        """Something that events repeat was changed: learn from none of them."""
        ...

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Decode what came; pieces of events are kept. Raises ValueError on what is not this dialect."""
        ...

    def close(self) -> None:
        """The upstream ended. Raises ValueError if it ended in the middle."""
        ...

    def plain(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk where nobody judges the answer."""
        ...

    def encode(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk; empty when nothing is left in it that a client would miss."""
        ...

    def rest(self) -> Iterator[Chunk]:
        """The upstream ended: what an event holds that it did not end."""
        ...

    def text(self, channel: Channel, text: str) -> bytes:
        """An event that carries `text` on `channel`."""
        ...

    def field(self, field: Field) -> bytes:
        """An event that carries a field that was taken out of its chunk."""
        ...

    def reopen(self, chunk: Chunk) -> dict[int, Any]:
        """Take out of a chunk that choices have ended: choice -> how, in the words of the dialect."""
        ...

    def end(self, choice: int, reason: Any) -> bytes:
        """An event that says that a choice has ended."""
        ...

    def collect(self, chunk: Chunk) -> None:
        """Take in the pieces of tool calls of a chunk. Raises Refusal(output_blocked) when there are too many."""
        ...

    def collected(self) -> Iterator[tuple[int, list[Json]]]:
        """The tool calls that the pieces make, by choice; each is given once."""
        ...

    def due(self, chunk: Chunk | None = None) -> int:
        """Characters of tool calls that are judged with this chunk; None: when the answer ends."""
        ...

    def tool_calls(self, choice: int, calls: list[Json]) -> bytes:
        """An event that carries whole tool calls."""
        ...

    def finish(self) -> bytes:
        """What ends the answer, where the upstream did not end it."""
        ...

    def refuse(self, refusal: Refusal, request_id: str, explained: str = "", *, bare: bool = False) -> bytes:
        """The events that end the answer with a refusal; with the text `explained`, for clients that show texts only.

        `bare`: nothing is repeated of what the upstream said.
        """
        ...


class Codec(Protocol):
    """One dialect."""

    name: str
    noun: str
    """What an answer is called in messages: "a chat completion"."""
    formats: frozenset[str]
    """The formats of providers (`providers.*.format`) that speak it."""
    path: str
    """What is appended to a provider's base URL."""
    shape: Shape
    passes: Mapping[bytes, re.Pattern[bytes]]
    """The caller's headers that providers may see, each with the only form in which they may."""
    main: frozenset[str]
    """Channels, and keys, of an answer's main text: the one that is JSON where JSON was asked for."""
    words: frozenset[str]
    """Words of the dialect that answers say under structural keys."""
    max_answer: int
    """Bytes of a whole answer, at most."""
    restores: bool
    """Whether values of the request are put back into the answer."""

    def parse(self, body: Json) -> Intent:
        """Check the parts of the body that the line relies on. Raises Refusal(invalid_request)."""
        ...

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Edit the body for the upstream model; True if anything changed."""
        ...

    def credentials(self, key: str) -> Mapping[str, str]:
        """The headers that tell an upstream who calls, and in which version of the dialect; `key` may be empty."""
        ...

    def relents(self, body: Json, said: bytes | None) -> bool:
        """Take what an upstream does not know out of what `request` put in; True if that was there.

        `said` is what it answered (None: it is known not to know it).
        """
        ...

    def overhead(self, body: Json) -> int:
        """Tokens of a request beside those of its texts."""
        ...

    def items(self, body: Json) -> Mapping[str, int]:
        """How many a request that was checked holds of what `items.Caps` bounds."""
        ...

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """The same of a whole answer that was checked."""
        ...

    def unscannable(self, body: Json) -> Mapping[str, int]:
        """Parts of a request that was checked that no scanner can read, by kind, beside those that the walk counts."""
        ...

    def joined(self, body: Json, spans: Sequence[Span]) -> list[Joined]:
        """Texts of a request that are one text together, as to the model."""
        ...

    def steps(self, body: Json) -> list[Step]:
        """What has happened in the conversation, as loops are judged by."""
        ...

    def answers(self, body: Json) -> int:
        """How many answers the request asks for; 0 where no answer has output tokens."""
        ...

    def elsewhere(self, body: Json) -> int:
        """Output tokens of one answer that fields speak of which the dialect does not have; 0 without any."""
        ...

    def wants_usage(self, body: Json) -> bool:
        """Whether the caller asked for the usage of a stream itself."""
        ...

    def tools(self, body: Json) -> tuple[str, ...]:
        """Every name of a tool in a request, in whatever field."""
        ...

    def tier(self, body: Json) -> str:
        """The service tier that a request asks for, "" for none. Raises Refusal(invalid_request)."""
        ...

    def unknown(self, body: Json) -> list[str]:
        """Fields at the top of a request that the dialect does not have, by name, sorted."""
        ...

    def foreign(self, body: Json) -> list[str]:
        """Fields at any depth that the dialect does not have, as paths such as `messages[].cache_control`."""
        ...

    def drop_foreign(self, body: Json) -> bool:
        """Take those fields out of a request; True if there were any."""
        ...

    def strip_tools(self, body: Json, names: frozenset[str]) -> bool:
        """Take tools out of what the model is offered; True if any was there."""
        ...

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Lower `max_tokens` to a policy's limit. Raises Refusal(policy_unavailable) for a limit it does not know."""
        ...

    def choices(self, body: Json) -> int:
        """How many choices the answer may have."""
        ...

    def outline(self, raw: bytes) -> Outline:
        """A whole answer as it is judged; its bytes as they came where all of it may be text."""
        ...

    def fill(self, answer: Json, raw: bytes, cuts: Sequence[tuple[int, int]]) -> None:
        """Put the stretches of `raw` that `outline` took out back into an answer that was edited since."""
        ...

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a whole answer of the dialect with at most so many choices."""
        ...

    def is_whole(self, said: Json) -> bool:
        """Whether an object is a whole answer, and no event of a stream."""
        ...

    def whole(self, answer: Json) -> Survey:
        """Every text position of a whole answer."""
        ...

    def runs(self, answer: Json, survey: Survey) -> list[tuple[Field, list[Span]]]:
        """The texts of a whole answer that are one text together: taken out of its survey."""
        ...

    def calls(self, answer: Json) -> list[Json]:
        """The tool calls of a whole answer."""
        ...

    def arguments(self, call: Json) -> Survey:
        """Every text position of one tool call."""
        ...

    def tool(self, call: Json) -> str:
        """The name of the tool that a call is for; "" if it says none."""
        ...

    def writes_json(self, body: Json) -> bool:
        """Whether the request asks for a text that is JSON."""
        ...

    def conceal(self, answer: Json) -> None:
        """Take out what repeats the answer's text in another form, after that text was changed."""
        ...

    def echoes(self, answer: Json) -> bool:
        """Whether what repeats the answer's text does repeat it."""
        ...

    def drop_repeats(self, answer: Json) -> bool:
        """Take out what repeats texts where `echoes` does not look; True if there was any."""
        ...

    def strays(self, answer: Json) -> list[Json]:
        """Tool calls where the dialect has none, or in a shape of their own, as `calls` gives them."""
        ...

    def asides(self, answer: Json) -> list[str]:
        """Texts that the model did not say, but could have; of an answer that echoes."""
        ...

    def usage(self, answer: Json) -> Usage | None:
        """What the provider says was used; None if it does not say."""
        ...

    def served_in(self, answer: Json) -> str:
        """The service tier that an answer was served in; "" if it does not say."""
        ...

    def stream(self, *, keep_usage: bool, choices: int = ...) -> StreamCodec:
        """A reader for one streamed answer of at most so many choices.

        `keep_usage`: the caller asked for the usage chunk itself.
        """
        ...

    def error(self, said: Json) -> Json | None:
        """The error object that an answer, or an event, is; None for one that says anything else."""
        ...

    def assemble(self, raw: bytes) -> bytes:
        """The whole answer that a stream says. Raises ValueError."""
        ...

    def unfold(self, answer: Json, cut: Callable[[str], Sequence[str]] = ...) -> Iterator[bytes]:
        """The stream that says what a whole answer does, texts in pieces as `cut` makes them. Raises ValueError."""
        ...

    def demo(self, body: Json) -> Json:
        """The answer of the `demo` provider: it repeats what it received."""
        ...

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """The body of an error answer."""
        ...

    def explain(self, refusal: Refusal, request_id: str, model: str, answers: int, explained: str) -> Json | None:
        """A whole answer, in place of an error, whose text is `explained`; None where answers hold no text."""
        ...


def count(value: Any) -> int | None:
    """A count that an upstream reported; None for what is none: no whole number of 0 or more, or one beyond belief."""
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def ordinal(value: Any) -> int | None:
    """The place in a list that an upstream reported, as clients read it: 1, 1.0 and "1" are one. None: it is none."""
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if type(value) is str and len(value) < 10 and value.isdecimal():
        return int(value)
    return value if type(value) is int else None


def integer(value: Any) -> int:
    """The count that an upstream reported, 0 for what is none."""
    return count(value) or 0
