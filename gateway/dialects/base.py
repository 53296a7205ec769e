"""What most dialects have in common: a codec overrides what it has beyond that.

`Plain` is a dialect with one answer whose text nothing repeats. `Ordered` reads a stream whose events keep their order.
docs/architecture.md has the steps to a new dialect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.call import Json, Span, Step, Usage
from gateway.dialects import MAX_ANSWER, Channel, Chunk, Field, Outline
from gateway.dialects.field_table import Table
from gateway.dialects.fields import Run
from gateway.dialects.parts import Joined
from gateway.dialects.tree import Shape, Survey


class Plain:
    """The answers of a codec to questions that its dialect has no words for: see `Codec`.

    Left to each codec: `name`, `noun`, `formats`, `path`, `shape`, `passes`, `fields` and `answer`; `parse`,
    `credentials` and `limit` for requests; `check`, `usage` and `error` for whole answers; `refuse`, `explain` and
    `demo` for answers of the gateway itself; `stream`, `assemble` and `unfold`, and `is_whole` where there are streams.
    """

    fields: Table
    """The fields that a request may have."""
    answer: Shape
    """The table of keys of a whole answer, as `shape` is that of a request."""
    main: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    max_answer = MAX_ANSWER
    restores = True

    def outline(self, raw: bytes) -> Outline:
        """All of it."""
        return Outline(raw)

    def fill(self, answer: Json, raw: bytes, cuts: Sequence[tuple[int, int]]) -> None:
        """Nothing was taken out."""

    def unscannable(self, body: Json) -> Mapping[str, int]:
        """None but those that the walk counts."""
        return {}

    def is_whole(self, said: Json) -> bool:
        """There are no events. To be overridden by a dialect that streams."""
        return True

    def whole(self, answer: Json) -> Survey:
        """Every string, but for the structure that the table of the answer names."""
        survey = Survey(self.answer)
        survey.walk(answer)
        return survey

    def arguments(self, call: Json) -> Survey:
        """The same of a tool call."""
        return self.whole(call)

    def overhead(self, body: Json) -> int:
        """None."""
        return 0

    def unknown(self, body: Json) -> list[str]:
        """Fields at the top that are not in the table."""
        return self.fields.unknown(body)

    def foreign(self, body: Json) -> list[str]:
        """Fields at any depth that are not in the table."""
        return self.fields.foreign(body)

    def drop_foreign(self, body: Json) -> bool:
        """Take those fields out."""
        return self.fields.drop_foreign(body)

    def items(self, body: Json) -> Mapping[str, int]:
        """Nothing that is bounded."""
        return {}

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """Nothing that is bounded."""
        return {}

    def joined(self, body: Json, spans: Sequence[Span]) -> list[Joined]:
        """Each text is one by itself."""
        return []

    def steps(self, body: Json) -> list[Step]:
        """No conversation."""
        return []

    def answers(self, body: Json) -> int:
        """One."""
        return 1

    def choices(self, body: Json) -> int:
        """One."""
        return 1

    def elsewhere(self, body: Json) -> int:
        """No ceiling but its own."""
        return 0

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Name the upstream's model; True if the body changed."""
        changed = bool(body["model"] != model)
        body["model"] = model
        return changed

    def wants_usage(self, body: Json) -> bool:
        """Usage is part of every answer."""
        return True

    def relents(self, body: Json, said: bytes | None) -> bool:
        """Nothing was put in."""
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

    def strip_tools(self, body: Json, names: frozenset[str]) -> bool:
        """No tools."""
        return False

    def writes_json(self, body: Json) -> bool:
        """No text that is JSON."""
        return False

    def runs(self, answer: Json, survey: Survey) -> list[Run]:
        """Each text is one by itself."""
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
        """Nothing repeats a text."""

    def echoes(self, answer: Json) -> bool:
        """Nothing repeats a text."""
        return True

    def drop_repeats(self, answer: Json) -> bool:
        """Nothing repeats a text."""
        return False

    def asides(self, answer: Json) -> list[str]:
        """Nothing tells what else the model could have said."""
        return []

    def usage(self, answer: Json) -> Usage | None:
        """No report."""
        return None


class Ordered:
    """A reader of a stream in which no text moves, and no event overtakes another: see `StreamCodec`.

    Of a `Chunk`, the reader fills `fields` with running texts (a `Field` with a `Piece` for each; `field.text` is 1
    or more if pieces of several events are one text of the answer), `tools` with whole tool calls, `strays` with those
    in other shapes, `wholes` with texts that are whole, and `usage`, `done`, `error`. What an event holds beyond the
    dialect becomes `fields` too, by `fields.Reader`: a text that is in none of these leaves unjudged. Not used here:
    `texts`, `calls`, `asides`, `ends`, `closes`, `trails`, `frame` and `sizes`, which are for events that may move.

    Left to each reader: `feed`, `rest`, `close`, `finished`, `ended`, `tier`, `faithful`, `plain`, `encode`, `finish`
    and `refuse`.
    """

    __slots__ = ()
    ordered = True

    def distrust(self) -> None:
        """Every event is read in full."""

    def collect(self, chunk: Chunk) -> None:
        """Tool calls come whole (`Chunk.tools`)."""

    def due(self, chunk: Chunk | None = None) -> int:
        """Those that come with the chunk."""
        return len(chunk.raw) if chunk is not None and chunk.tools else 0

    def collected(self) -> Iterator[tuple[int, list[Json]]]:
        """None are left."""
        yield from ()

    def text(self, channel: Channel, text: str) -> bytes:
        """Not asked: texts stay in their events."""
        raise AssertionError("a text was moved")

    def field(self, field: Field) -> bytes:
        """Not asked: fields stay in their events."""
        raise AssertionError("a field was moved")

    def reopen(self, chunk: Chunk) -> dict[int, Any]:
        """Not asked: nothing that says the end is held."""
        raise AssertionError("an end was held")

    def end(self, choice: int, reason: Any) -> bytes:
        """Not asked: no reason is taken out of its event."""
        raise AssertionError("an end was held")

    def tool_calls(self, choice: int, calls: list[Json]) -> bytes:
        """Not asked: tool calls stay in their events."""
        raise AssertionError("a tool call was moved")
