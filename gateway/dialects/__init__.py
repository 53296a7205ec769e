"""Wire formats: sans-IO codecs between bytes and the words of the line.

A codec knows one dialect and nothing else: no sockets, no policy, no state. It tells the line what a request asks for
(`parse`), what to send to an upstream (`request`, `credentials`), what an answer contains (`whole`, `stream`), how much
was used (`usage`), and how to write an error for clients of the dialect (`refuse`).

A new dialect is one new module here and one row in `routes.ROUTES`; docs/architecture.md lists the tests and pages
that belong to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

import orjson

from gateway.bodies import Json, Named, State, Usage
from gateway.dialects.surrogates import mend
from gateway.errors import Refusal
from gateway.texts import Slot

if TYPE_CHECKING:
    from gateway.bodies import Step
    from gateway.dialects.frame import Series
    from gateway.dialects.lots import Lot
    from gateway.dialects.parts import Joined
    from gateway.dialects.tree import Shape, Single, Survey

Channel = tuple[int, str]
"""One running text of an answer: (number of the choice or block, field); a nested field is a path."""
MAX_ANSWER = 64 * 1024 * 1024
"""Maximum bytes of a whole answer of text."""
NO_VALUES: Mapping[str, str] = {}
"""Of a path without parameters."""
NO_ARGUMENTS: Mapping[str, object] = {}
Level = Literal["delta", "choice", "chunk"]
"""The part of a chunk that holds a field."""


class Intent(NamedTuple):
    """What a request asks for, independent of the dialect."""

    model: str
    stream: bool
    tools: tuple[str, ...]
    ceiling: int | None  # output tokens allowed, times the number of answers; None: the caller gave no ceiling
    arguments: Mapping[str, object] = NO_ARGUMENTS  # of a call of a tool: a part of the body
    control: bool = False  # a message of the protocol itself, see `Request.control`


class Outline(NamedTuple):
    """A whole answer without the values that hold no text (vectors), which then need not be parsed or walked.

    `raw` is the rest of the bytes, which is judged; `cuts` are the ranges [start, end) of the answer that were removed,
    in order.
    """

    raw: bytes
    cuts: Sequence[tuple[int, int]] = ()


class Profile(NamedTuple):
    """What a provider's requests differ in from those of its format; empty values change nothing.

    `ceiling`: the field that limits output tokens. `role`: the role of instructions, system or developer.
    `unsupported`: parameters to remove, as names or paths (`messages[].name`). `asks_usage`: whether the usage of a
    stream is asked for.
    """

    ceiling: str = ""
    role: str = ""
    unsupported: tuple[str, ...] = ()
    asks_usage: bool = True


GONE: Final = object()
"""The value of a field that is removed."""


class Delta(NamedTuple):
    """A piece of text in a chunk: `holder[key]` is the piece, `channel` its running text."""

    channel: Channel
    holder: Any
    key: str | int

    @property
    def is_element(self) -> bool:
        """Whether the piece is an element of a list, which may be a separate text."""
        return self.key != self.channel[1]


class Piece:
    """A piece of a running text in a field: `holder[key]` is the piece, `channel` its running text."""

    __slots__ = ("channel", "field", "holder", "key", "left", "lot", "parts")

    def __init__(self, channel: Channel, field: Field, holder: Any, key: Any) -> None:
        self.channel = channel
        self.field = field
        self.holder = holder
        self.key = key
        self.left = len(holder[key])  # characters that are not judged yet
        self.parts: list[str] = []  # the judged parts that leave
        self.lot: Lot | None = None  # the events of a lot, whose text this is


class Field:
    """A field of a chunk that the dialect does not name, with texts that continue in other chunks.

    The field is at `holder[key]`; `level` says whether the holder is a delta, a choice or the chunk itself. While a
    part is not judged, the field is removed from its chunk, and leaves later as a separate chunk. A `loose` field is in
    no chunk. A `signed` field is judged and never edited. If several fields form one text, `text` is the number of that
    text, from 1; 0 if each piece is a separate text.
    """

    __slots__ = ("changed", "choice", "holder", "key", "level", "loose", "pieces", "signed", "text", "waiting")

    def __init__(self, level: Level, choice: int, holder: Json, key: str) -> None:
        self.level: Level = level
        self.choice = choice
        self.holder = holder
        self.key = key
        self.pieces: list[Piece] = []
        self.waiting = 0  # pieces that are not completely judged
        self.changed = False
        self.loose = False
        self.signed = False
        self.text = 0

    def detach(self) -> None:
        """Remove the field from its chunk."""
        if self.loose:
            return
        holder, self.holder = self.holder, {self.key: self.holder.pop(self.key)}
        for piece in self.pieces:
            if piece.holder is holder:
                piece.holder = self.holder


class Chunk:
    """One event of a streamed answer.

    `raw` is the event as received, which is sent unchanged unless the chunk is `edited`.

    - `texts`: pieces of running texts; `fields`: pieces in fields that the dialect does not name, edited in place.
    - `calls`: pieces of tool calls, which are removed and judged when complete. `tools`: complete tool calls. `strays`:
      tool calls in other shapes, which stay in the chunk.
    - `wholes`: complete texts. `asides`: alternative texts of the model (log probabilities).
    - `ends`: choices with a finish reason in this chunk, valid unless the choice continues. `closes`: the chunk refers
      to no other choice. `trails`: the chunk refers to no choice and belongs after the last choice.
    - `series` replaces `data` if the chunk is events that were read without parsing; `events` are its events, each
      with one field, if they must keep their order; or the events are a `lot`, whose text is one field.
    """

    __slots__ = (
        *("asides", "calls", "closes", "data", "done", "edited", "ends", "error", "events", "fields", "raw"),
        *("lot", "series", "strays", "texts", "tools", "trails", "usage", "wholes"),
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
        self.series: Series | None = None
        self.events: Sequence[Chunk] = ()
        self.lot: Lot | None = None

    def said(self) -> list[str]:
        """Every text in the chunk, for counting tokens if no usage is reported."""
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
    """The reader of one streamed answer, and the writer of events that the line adds."""

    ordered: bool
    """Events must keep their order, and no text may move from one event to the next."""

    @property
    def finished(self) -> bool:
        """Every choice has a finish reason."""
        ...

    ended: bool
    """The event that ends the answer was received."""
    tier: str
    """The service tier in the answer so far; "" if there is none."""
    last: Json | None
    """The whole answer in the event that ended the answer, or what is stored of it; None if there is none."""
    runs: tuple[tuple[str, int], ...]
    """The tools that the provider has run so far, as far as events before the last one tell: see `Usage.runs`."""

    def faithful(self, chunk: Chunk) -> bool:
        """Whether every parser reads the same values from the bytes of a chunk (no duplicate keys)."""
        ...

    def some(self, chunk: Chunk, first: int, last: int) -> bytes | None:
        """The bytes of judged events of a lot, from `first` on, before `last`; None if each must be written anew."""
        ...

    def distrust(self) -> None:
        """A repeated value was changed, or is not judged yet: parse every event in full from now on."""
        ...

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Decode received bytes; incomplete events are kept. Raises ValueError for data of another dialect."""
        ...

    def close(self) -> None:
        """The upstream ended. Raises ValueError if the answer is incomplete."""
        ...

    def plain(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk of an answer that is not judged."""
        ...

    def encode(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk; empty if nothing is left that a client needs."""
        ...

    def rest(self) -> Iterator[Chunk]:
        """The upstream ended; returns the last event if only its end is missing."""
        ...

    def text(self, channel: Channel, text: str) -> bytes:
        """An event with `text` on `channel`."""
        ...

    def field(self, field: Field) -> bytes:
        """An event with a field that was removed from its chunk."""
        ...

    def reopen(self, chunk: Chunk) -> dict[int, Any]:
        """Remove the finish reasons from a chunk: choice -> reason, as in the dialect."""
        ...

    def end(self, choice: int, reason: Any) -> bytes:
        """An event with the finish reason of a choice."""
        ...

    def collect(self, chunk: Chunk) -> None:
        """Add the pieces of tool calls in a chunk. Raises Refusal(output_blocked) if there are too many."""
        ...

    def collected(self) -> Iterator[tuple[int, list[Json]]]:
        """The assembled tool calls by choice; each is returned once."""
        ...

    def due(self, chunk: Chunk | None = None) -> int:
        """The number of characters of tool calls that are judged with this chunk; None: at the end of the answer."""
        ...

    def tool_calls(self, choice: int, calls: list[Json]) -> bytes:
        """An event with complete tool calls."""
        ...

    def finish(self) -> bytes:
        """The events that end the answer, if the upstream did not send them."""
        ...

    def refuse(self, refusal: Refusal, request_id: str, reason: str = "", *, bare: bool = False) -> bytes:
        """The events that end the answer with a refusal; with the text `reason` for clients that show only texts.

        `bare`: no value of the upstream is repeated.
        """
        ...


class Codec(Protocol):
    """One dialect."""

    name: str
    noun: str
    """The name of an answer in messages: "a chat completion"."""
    stores: str
    """The kind of state that a provider stores for calls of the dialect: "response"."""
    formats: frozenset[str]
    """The formats of providers (`providers.*.format`) that have this dialect."""
    path: str
    """The path that is appended to the base URL of a provider, if it is the same for all calls (see `at`)."""
    shape: Shape
    history: str
    """The list at the top level to which callers append, and which they send again with every turn; "": none."""
    passes: Mapping[bytes, re.Pattern[bytes]]
    """The headers of the caller that are forwarded to providers, each with its required form."""
    main: frozenset[str]
    """Channels and keys of the main text of an answer: the text that is JSON if JSON was requested."""
    words: frozenset[str]
    """Words of the dialect that answers have under structural keys."""
    max_answer: int
    """Maximum bytes of a whole answer."""
    restores: bool
    """Whether masked values of the request are restored in the answer."""
    forms: bool
    """Whether a request may be a form (`multipart`)."""
    bare: bool
    """Whether a request is the bytes of a file."""
    client: str
    """The client that sends calls of the dialect: see `upstream.clients`. "": the client of the provider."""
    through: bool
    """Whether an answer may be of any media type: text, or bytes that no scanner reads."""
    inherits: bool
    """Whether a call is one of the model of the state that it names."""
    cites: tuple[bytes, ...]
    """Bytes of which a request holds one if it names what a provider stores, other than in an unscannable part."""
    recalls: bytes
    """What a request holds if `recalled` may find anything in it; b"" if that never does."""
    marker: bytes
    """What an answer holds if `makes` may find anything in it; b"" if that never does."""

    def at(self, model: str, values: Mapping[str, str]) -> str:
        """The path for a model of a provider, with its query. `values`: the parameters of the caller's path."""
        ...

    def parse(self, body: Json, values: Mapping[str, str] = ...) -> Intent:
        """Check the parts of the body that the line relies on. Raises Refusal(invalid_request).

        `values`: the parameters of the path, such as its `model`.
        """
        ...

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Edit the body for the upstream model; True if anything changed."""
        ...

    def fitting(self, body: Json, profile: Profile) -> dict[str, Any]:
        """The top-level fields that a provider has under other names or in other forms: field -> value, or `GONE`."""
        ...

    def refers(self, body: Json) -> Sequence[Named]:
        """The states at the provider that a request names, the one that it continues first. Raises Refusal."""
        ...

    def recalled(self, body: Json, start: int) -> Sequence[Json]:
        """Items of a request from `start` on that the provider may look up by their id, though they say what they are.

        Only of a request that holds the bytes `recalls`.
        """
        ...

    def defers(self, body: Json) -> bool:
        """Whether the answer may be made in the background, to be retrieved later."""
        ...

    def pending(self, answer: Json) -> bool:
        """Whether a checked whole answer is still being made."""
        ...

    def ended(self, answer: Json) -> bool:
        """Whether an answer that was made in the background says that it has ended, in whatever way."""
        ...

    def keeps(self, body: Json) -> bool:
        """Whether the provider stores the answer to a request, for later requests to refer to."""
        ...

    def unstore(self, body: Json) -> bool:
        """Have the provider store nothing of a request and its answer; True if the body changed.

        Raises Refusal(policy_denied) for a request that is about storing, or needs it.
        """
        ...

    def makes(self, answer: Json) -> Sequence[tuple[str, str]]:
        """Kind and id of what the provider made for a checked whole answer beside it, such as a container."""
        ...

    def state(self, answer: Json) -> State | None:
        """What the provider stores of a checked whole answer; None if the answer has no id."""
        ...

    def credentials(self, key: str) -> Mapping[str, str]:
        """The headers with the key and the version of the dialect; `key` may be empty."""
        ...

    def relents(self, body: Json, said: bytes | None) -> bool:
        """Remove a field that `request` added and the upstream refuses; True if the field was there.

        `said` is the error answer of the upstream (None: the upstream is known to refuse the field).
        """
        ...

    def overhead(self, body: Json) -> int:
        """The number of tokens of a request in addition to those of its texts."""
        ...

    def items(self, body: Json) -> Mapping[str, int]:
        """The counts of a checked request that `items.Caps` limits, by name."""
        ...

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """The same counts of a checked whole answer."""
        ...

    def unscannable(self, body: Json) -> Mapping[str, int]:
        """Unscannable parts of a checked request by kind, in addition to those that the walk counts."""
        ...

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """Texts of a request that are one text to the model."""
        ...

    def steps(self, body: Json, earlier: Sequence[Step] = ()) -> list[Step]:
        """The steps of the conversation, for loop detection. `earlier`: the steps before the messages of the body."""
        ...

    def ends_turn(self, message: Json, then: Json) -> bool:
        """Whether a message of `history` and all after it are read alike with and without `message` before them."""
        ...

    def answers(self, body: Json) -> int:
        """The number of answers that the request asks for; 0 if answers have no output tokens."""
        ...

    def elsewhere(self, body: Json) -> int:
        """The maximum output tokens of one answer by fields that the dialect does not have; 0 without such fields."""
        ...

    def wants_usage(self, body: Json) -> bool:
        """Whether the caller requested the usage of a stream."""
        ...

    def tools(self, body: Json) -> tuple[str, ...]:
        """Every name of a tool in a request, in any field."""
        ...

    def hosted(self, body: Json) -> list[Json]:
        """The tools among them that the provider runs, as objects: see `dialects.hosted`."""
        ...

    def tier(self, body: Json) -> str:
        """The requested service tier, "" for none. Raises Refusal(invalid_request)."""
        ...

    def unknown(self, body: Json) -> list[str]:
        """Unknown top-level fields of a request, sorted by name."""
        ...

    def foreign(self, body: Json) -> list[str]:
        """Unknown fields at any depth, as paths such as `messages[].cache_control`."""
        ...

    def drop_foreign(self, body: Json) -> bool:
        """Remove these fields from a request; True if there were any."""
        ...

    def strip_tools(self, body: Json, names: frozenset[str]) -> bool:
        """Remove tools from those offered to the model; True if any was offered."""
        ...

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Lower `max_tokens` to a policy's limit. Raises Refusal(policy_unavailable) for an unknown limit."""
        ...

    def choices(self, body: Json) -> int:
        """The maximum number of choices of the answer."""
        ...

    def outline(self, raw: bytes) -> Outline:
        """The part of a whole answer that is judged; all bytes if all of it may be text."""
        ...

    def fill(self, answer: Json, raw: bytes, cuts: Sequence[tuple[int, int]]) -> None:
        """Put the ranges of `raw` that `outline` removed back into the edited answer."""
        ...

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a whole answer of the dialect with at most `choices` choices."""
        ...

    def is_whole(self, said: Json) -> bool:
        """Whether an object is a whole answer, not an event of a stream."""
        ...

    def single(self, answer: Json) -> Single | None:
        """The text of a whole answer that is nothing but one text, in fields of the dialect. None for any other answer.

        Such an answer has no tool call, in any shape, and no log probabilities.
        """
        ...

    def whole(self, answer: Json, single: Single | None = None) -> Survey:
        """Every text position of a whole answer; `single`: that of the answer, if there is one."""
        ...

    def runs(self, answer: Json, survey: Survey) -> list[tuple[Field, list[Slot]]]:
        """The running texts of a whole answer, which are removed from its survey."""
        ...

    def calls(self, answer: Json) -> list[Json]:
        """The tool calls of a whole answer."""
        ...

    def arguments(self, call: Json) -> Survey:
        """Every text position of one tool call."""
        ...

    def tool(self, call: Json) -> str:
        """The name of the tool of a tool call; "" if there is none."""
        ...

    def writes_json(self, body: Json) -> bool:
        """Whether the request asks for JSON."""
        ...

    def conceal(self, answer: Json) -> None:
        """Remove repetitions of the text (log probabilities) after the text was changed."""
        ...

    def echoes(self, answer: Json) -> bool:
        """Whether the repetitions (log probabilities) are equal to the text."""
        ...

    def drop_repeats(self, answer: Json) -> bool:
        """Remove repetitions that `echoes` does not check; True if there were any."""
        ...

    def drop_nulls(self, answer: Json) -> bool:
        """Remove null from lists of objects, where clients expect an object; True if there were any."""
        ...

    def strays(self, answer: Json) -> list[Json]:
        """Tool calls in places or shapes that the dialect does not have, as `calls` returns them."""
        ...

    def asides(self, answer: Json) -> list[str]:
        """Alternative texts of the model (log probabilities), of an answer for which `echoes` is true."""
        ...

    def usage(self, answer: Json) -> Usage | None:
        """The usage that the provider reported; None if there is no report."""
        ...

    def served_in(self, answer: Json) -> str:
        """The service tier in an answer; "" if there is none."""
        ...

    def stream(self, *, keep_usage: bool, choices: int = ...) -> StreamCodec:
        """A reader for one streamed answer with at most `choices` choices.

        `keep_usage`: the caller requested the usage chunk.
        """
        ...

    def error(self, said: Json) -> Json | None:
        """The error object of an answer or an event; None if it is not an error."""
        ...

    def assemble(self, raw: bytes) -> bytes:
        """The whole answer with the content of a stream. Raises ValueError."""
        ...

    def unfold(self, answer: Json, cut: Callable[[str], Sequence[str]] = ...) -> Iterator[bytes]:
        """The stream with the content of a whole answer; `cut` divides texts. Raises ValueError."""
        ...

    def demo(self, body: Json) -> Json:
        """The answer of the `demo` provider, which repeats the request."""
        ...

    def enclosed(self, raw: bytes) -> bytes:
        """A request body as a JSON object, where bodies are something else. Raises Refusal(invalid_request)."""
        ...

    def asked(self, body: Json) -> Json:
        """What two requests have in common that are the same call, for idempotency keys."""
        ...

    def again(self, answer: bytes) -> bytes:
        """A kept answer as the answer to this request."""
        ...

    def status(self, refusal: Refusal) -> int:
        """The HTTP status of an error answer."""
        ...

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """The body of an error answer."""
        ...

    def refuse_in_text(self, refusal: Refusal, request_id: str, model: str, answers: int, reason: str) -> Json | None:
        """A whole answer with the text `reason` in place of an error; None if answers have no text."""
        ...


def count(value: Any) -> int | None:
    """A count reported by an upstream; None unless it is a whole number of at least 0 (a float below 2^53)."""
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def ordinal(value: Any) -> int | None:
    """An index reported by an upstream, as clients read it: 1, 1.0 and "1" are equal. None for any other value."""
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if type(value) is str and len(value) < 10 and value.isdecimal():
        return int(value)
    return value if type(value) is int else None


def integer(value: Any) -> int:
    """A count reported by an upstream; 0 for any other value."""
    return count(value) or 0
