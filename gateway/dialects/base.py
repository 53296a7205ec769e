"""Base classes with the common behavior of codecs, which a codec overrides where it differs.

`Plain` is for a dialect with one answer and no log probabilities, `Ordered` for streams whose events keep their order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.bodies import Json, Named, State, Step, Usage
from gateway.dialects import MAX_ANSWER, Channel, Chunk, Field, Outline, Profile, StreamCodec, openai_models, tree
from gateway.dialects.checks import must_store
from gateway.dialects.field_table import Table
from gateway.dialects.fields import Run
from gateway.dialects.parts import Joined
from gateway.dialects.tree import Shape, Single, Survey
from gateway.errors import Refusal
from gateway.texts import Slot

TRACEPARENT: Final = re.compile(rb"00-(?=[0-9]*[a-f])[0-9a-f]{32}-(?=[0-9]*[a-f])[0-9a-f]{16}-[0-9a-f]{2}")
"""The header `traceparent` (W3C Trace Context) in forms that no personal data has. `tracestate` and `baggage` are free
text, so no dialect forwards these."""


def bearer(key: str) -> dict[str, str]:
    """The header `Authorization: Bearer`; none without a key."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def is_said_once(raw: bytes, data: Json) -> bool:
    """Whether every parser reads the same from the bytes of a named event, and its name is its type."""
    head = b"event: %s\ndata: " % str(data.get("type")).encode()
    if not raw.startswith(head) or raw.find(b"\n", len(head)) != len(raw) - 2:
        return False
    return tree.says_once(raw[len(head) :], data)


class Plain:
    """Default methods for features that a dialect does not have: see `Codec`.

    Each codec defines: `name`, `noun`, `formats`, `path`, `shape`, `passes`, `fields` and `answer`; `parse`,
    `limit` for requests; `check`, `usage` and `error` for whole answers; `refuse` and `demo` for answers of the gateway
    itself, and `refuse_in_text` if answers have a text; `stream`, `assemble`, `unfold` and `is_whole` if there are
    streams.
    """

    noun: str
    path: str
    """What an answer is called, as in "a message"."""
    fields: Table
    """The fields that a request may have."""
    answer: Shape
    """The table of keys of a whole answer, as `shape` is that of a request."""
    main: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    max_answer = MAX_ANSWER
    history = ""
    stores = "state"
    forms = False
    bare = False
    through = False
    inherits = False
    cites: tuple[bytes, ...] = ()
    recalls = b""
    marker = b""
    restores = True
    client = ""

    def at(self, model: str, values: Mapping[str, str]) -> str:
        """The same path for every call."""
        return self.path

    def outline(self, raw: bytes) -> Outline:
        """The whole answer."""
        return Outline(raw)

    def fill(self, answer: Json, raw: bytes, cuts: Sequence[tuple[int, int]]) -> None:
        """Do nothing: `outline` removed nothing."""

    def unscannable(self, body: Json) -> Mapping[str, int]:
        """None, except those that the walk counts."""
        return {}

    def is_whole(self, said: Json) -> bool:
        """Always true: there are no events."""
        return True

    def single(self, answer: Json) -> Single | None:
        """None: all of an answer is read."""
        return None

    def whole(self, answer: Json, single: Single | None = None) -> Survey:
        """Every string, except for the structure that the table of the answer names."""
        survey = Survey(self.answer)
        survey.walk(answer, single=single)
        return survey

    def arguments(self, call: Json) -> Survey:
        """The texts of a tool call, as `whole` finds those of an answer."""
        return self.whole(call)

    def overhead(self, body: Json) -> int:
        """No tokens beside those of the texts."""
        return 0

    def unknown(self, body: Json) -> list[str]:
        """Fields at the top that are not in the table."""
        return self.fields.unknown(body)

    def foreign(self, body: Json) -> list[str]:
        """Fields at any depth that are not in the table."""
        return self.fields.foreign(body)

    def drop_foreign(self, body: Json) -> bool:
        """Remove those fields."""
        return self.fields.drop_foreign(body)

    def items(self, body: Json) -> Mapping[str, int]:
        """No counts."""
        return {}

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """No counts."""
        return {}

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """None: each text is separate."""
        return []

    def steps(self, body: Json, earlier: Sequence[Step] = ()) -> list[Step]:
        """No conversation."""
        return []

    def ends_turn(self, message: Json, then: Json) -> bool:
        """Always true: each message is one turn."""
        return True

    def answers(self, body: Json) -> int:
        """One."""
        return 1

    def choices(self, body: Json) -> int:
        """One."""
        return 1

    def elsewhere(self, body: Json) -> int:
        """None: no other fields limit the output."""
        return 0

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Set the model of the upstream; True if the body changed."""
        if body["model"] == model:
            return False
        openai_models.rename(body, model)
        body["model"] = model
        return True

    def fitting(self, body: Json, profile: Profile) -> dict[str, Any]:
        """Nothing: all providers of the dialect read the same fields."""
        return {}

    def refers(self, body: Json) -> Sequence[Named]:
        """None: requests refer to no state at the provider."""
        return ()

    def recalled(self, body: Json, start: int) -> Sequence[Json]:
        """None: a request has no items."""
        return ()

    def defers(self, body: Json) -> bool:
        """False: answers are complete."""
        return False

    def pending(self, answer: Json) -> bool:
        """False: answers are complete."""
        return False

    def ended(self, answer: Json) -> bool:
        """False: answers do not say."""
        return False

    def keeps(self, body: Json) -> bool:
        """False: later requests cannot refer to an answer."""
        return False

    def state(self, answer: Json) -> State | None:
        """None: the provider stores nothing."""
        return None

    def unstore(self, body: Json) -> bool:
        """Nothing to change: what an answer of the dialect needs is not stored. Raises Refusal for what is."""
        if self.keeps(body):
            raise must_store(self.noun)
        return False

    def makes(self, answer: Json) -> Sequence[tuple[str, str]]:
        """Nothing: the provider makes no container or file for an answer."""
        return ()

    def wants_usage(self, body: Json) -> bool:
        """Always true: usage is part of every answer."""
        return True

    def relents(self, body: Json, said: bytes | None) -> bool:
        """False: `request` added no field."""
        return False

    def tier(self, body: Json) -> str:
        """No service tiers."""
        return ""

    def served_in(self, answer: Json) -> str:
        """No service tiers."""
        return ""

    def tools(self, body: Json) -> tuple[str, ...]:
        """No tools."""
        return ()

    def hosted(self, body: Json) -> list[Json]:
        """No tools."""
        return []

    def strip_tools(self, body: Json, names: frozenset[str]) -> bool:
        """No tools."""
        return False

    def writes_json(self, body: Json) -> bool:
        """False: JSON cannot be requested."""
        return False

    def runs(self, answer: Json, survey: Survey) -> list[Run]:
        """None: each text is separate."""
        return []

    def calls(self, answer: Json) -> list[Json]:
        """No tools."""
        return []

    def strays(self, answer: Json) -> list[Json]:
        """No tools."""
        return []

    def tool(self, call: Json) -> str:
        """The name of a tool call."""
        name = call.get("name")
        return name if type(name) is str else ""

    def conceal(self, answer: Json) -> None:
        """There are no repetitions of a text."""

    def echoes(self, answer: Json) -> bool:
        """There are no repetitions of a text."""
        return True

    def drop_repeats(self, answer: Json) -> bool:
        """There are no repetitions of a text."""
        return False

    def drop_nulls(self, answer: Json) -> bool:
        """There are no lists of objects."""
        return False

    def asides(self, answer: Json) -> list[str]:
        """No alternative texts."""
        return []

    def usage(self, answer: Json) -> Usage | None:
        """No usage."""
        return None

    def credentials(self, key: str) -> dict[str, str]:
        """`Authorization: Bearer`."""
        return bearer(key)

    def stream(self, *, keep_usage: bool, choices: int = 1) -> StreamCodec:
        """Raises ValueError: there are no streams, and `parse` refuses requests for streams."""
        raise ValueError(f"{self.noun} does not stream")

    def assemble(self, raw: bytes) -> bytes:
        """Raises ValueError: there are no streams."""
        raise ValueError(f"{self.noun} does not stream")

    def unfold(self, answer: Json, cut: Callable[[str], Sequence[str]] = lambda text: (text,)) -> Iterator[bytes]:
        """Raises ValueError: there are no streams."""
        raise ValueError(f"{self.noun} does not stream")

    def enclosed(self, raw: bytes) -> bytes:
        """The body as it came."""
        return raw

    def asked(self, body: Json) -> Json:
        """The whole body."""
        return body

    def again(self, answer: bytes) -> bytes:
        """The same bytes."""
        return answer

    def status(self, refusal: Refusal) -> int:
        """That of the refusal."""
        return refusal.status

    def refuse_in_text(self, refusal: Refusal, request_id: str, model: str, answers: int, reason: str) -> Json | None:
        """None: an answer has no text, so a refusal is always an error."""
        return None


class Ungenerated(Plain):
    """The first base of a codec whose answers no model writes, unlike those of its dialect: counts, vectors, lists.

    What the dialect says of answers is replaced by the defaults of `Plain`.
    """

    state = Plain.state
    ended = Plain.ended
    makes = Plain.makes
    unstore = Plain.unstore
    is_whole = Plain.is_whole
    single = Plain.single
    runs = Plain.runs
    calls = Plain.calls
    strays = Plain.strays
    drop_nulls = Plain.drop_nulls
    echoes = Plain.echoes
    conceal = Plain.conceal
    asides = Plain.asides
    elsewhere = Plain.elsewhere
    refuse_in_text = Plain.refuse_in_text

    def answers(self, body: Json) -> int:
        """0: no token is generated."""
        return 0


class Untold(Plain):
    """The same for calls without tokens: of tools and agents."""

    passes: Mapping[bytes, re.Pattern[bytes]] = {}

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """False: there are no output tokens."""
        return False

    def answers(self, body: Json) -> int:
        """0: answers have no output tokens."""
        return 0

    def wants_usage(self, body: Json) -> bool:
        """False: there are no streams."""
        return False

    def usage(self, answer: Json) -> Usage | None:
        """No tokens."""
        return Usage()

    def error(self, said: Json) -> Json | None:
        """None: an error of the other side is an answer, which is judged as one."""
        return None

    def demo(self, body: Json) -> Json:
        """Raises ValueError: the `demo` provider serves models."""
        raise ValueError(f"{self.noun} is no answer of a model")


class Ordered:
    """A reader of a stream whose events keep their order and their texts: see `StreamCodec`."""

    __slots__ = ()
    ordered = True
    last: Json | None = None
    runs: tuple[tuple[str, int], ...] = ()

    def plain(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk of an answer that is not judged: the same as those of a judged one."""
        return self.encode(chunk)

    def encode(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk. Each reader defines this."""
        raise NotImplementedError

    def some(self, chunk: Chunk, first: int, last: int) -> bytes | None:
        """The same bytes."""
        assert chunk.lot is not None
        return chunk.lot.raw(first, last)

    def finish(self) -> bytes:
        """Nothing: the last event of the provider ends the answer."""
        return b""

    def distrust(self) -> None:
        """Do nothing: every event is parsed in full."""

    def collect(self, chunk: Chunk) -> None:
        """Do nothing: tool calls are complete (`Chunk.tools`)."""

    def due(self, chunk: Chunk | None = None) -> int:
        """The tool calls of the chunk."""
        return len(chunk.raw) if chunk is not None and chunk.tools else 0

    def collected(self) -> Iterator[tuple[int, list[Json]]]:
        """None: tool calls leave with their chunk."""
        yield from ()

    def text(self, channel: Channel, text: str) -> bytes:
        """Never called: texts stay in their events."""
        raise AssertionError("a text was moved")

    def field(self, field: Field) -> bytes:
        """Never called: fields stay in their events."""
        raise AssertionError("a field was moved")

    def reopen(self, chunk: Chunk) -> dict[int, Any]:
        """Never called: finish reasons are not held."""
        raise AssertionError("an end was held")

    def end(self, choice: int, reason: Any) -> bytes:
        """Never called: finish reasons stay in their events."""
        raise AssertionError("an end was held")

    def tool_calls(self, choice: int, calls: list[Json]) -> bytes:
        """Never called: tool calls stay in their events."""
        raise AssertionError("a tool call was moved")
