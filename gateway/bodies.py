"""What a codec reads of requests and answers: usage, the steps of a conversation, what a provider stores.

The words that codecs and calls share: `call` has them, too, for everything that is not a codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Json = dict[str, Any]
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class Usage:
    """The usage of one upstream call, as reported by the provider (`counted`: not reported, counted by the gateway).

    `input` and `output` are totals in tokens; the others are parts with prices of their own: `cached` (read from the
    provider's cache), `cache_write` and `audio_input` of the input, `reasoning` and `audio` of the output.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    audio: int = 0
    counted: bool = False
    audio_input: int = 0
    tier: str = ""  # the service tier that the provider reports
    cache_write: int = 0
    runs: tuple[tuple[str, int], ...] = ()  # tools that the provider ran, by name, with the number of their runs

    def joined(self, other: Usage | None) -> Usage:
        """This report merged with an earlier report of the same answer: a count never decreases."""
        if other is None:
            return self
        runs = self.runs
        if other.runs:
            counts = dict(other.runs)
            runs = tuple(sorted({**counts, **{name: max(n, counts.get(name, 0)) for name, n in runs}}.items()))
        return Usage(
            input=max(self.input, other.input),
            output=max(self.output, other.output),
            cached=max(self.cached, other.cached),
            reasoning=max(self.reasoning, other.reasoning),
            audio=max(self.audio, other.audio),
            counted=self.counted,
            audio_input=max(self.audio_input, other.audio_input),
            tier=self.tier or other.tier,
            cache_write=max(self.cache_write, other.cache_write),
            runs=runs,
        )


class ToolUse(NamedTuple):
    """One call of a tool. `arguments`: JSON, or a string that contains JSON. `id`: "" if the call has no id."""

    id: str
    tool: str
    arguments: Any


class Step(NamedTuple):
    """One step of a conversation.

    prompt: the user wrote `text`. turn: the model answered, and called the tools in `uses`. result: `text` is the
    result of the one tool call in `uses`.
    """

    kind: Literal["prompt", "turn", "result"]
    text: str = ""
    uses: tuple[ToolUse, ...] = ()


class State(NamedTuple):
    """What a provider stores of an answer: its id, the tool calls in it, and the ids of its items."""

    id: str
    uses: Sequence[ToolUse]
    items: Sequence[str] = ()


class Cursor(NamedTuple):
    """Where a page of a list begins: a field of the query and its value; both are "" for the first page."""

    name: str = ""
    value: str = ""


class Page(NamedTuple):
    """The page of a list of stored states that a call asks for.

    `most`: entries of the page. `rest`: the checked fields of the query that choose entries. `until`: the entry before
    which the list ends, "" for none.
    """

    most: int
    cursor: Cursor = Cursor()
    rest: tuple[tuple[str, str], ...] = ()
    until: str = ""


class Named(NamedTuple):
    """A state at a provider that a request names: its kind (response, conversation, item, file), id, and parameter."""

    kind: str
    id: str
    param: str
