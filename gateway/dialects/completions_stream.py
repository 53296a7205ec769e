"""The reader of streamed text completions: the stream of chat completions, with the text in the choice itself.

A choice is `{text, index, logprobs, finish_reason}`, in events as in whole answers. There are no tool calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway.bodies import Json
from gateway.dialects import Chunk, Delta
from gateway.dialects.openai_answer import is_number, is_short
from gateway.dialects.openai_stream import OpenAIChatStream
from gateway.errors import Refusal

CHOICE: Final = frozenset({"index", "text", "finish_reason", "logprobs"})
_SAID: Final = frozenset({"text", "logprobs"})
_UNSAID: Final = frozenset({"logprobs"})
_REASON: Final = frozenset({"finish_reason"})
_TABLES: Final = frozenset({"tokens", "token_logprobs", "top_logprobs", "text_offset"})


class OpenAICompletionsStream(OpenAIChatStream):
    """Reads the events of one answer."""

    kind = "text_completion"
    texts = ("text",)
    __slots__ = ()

    def choice(self, chunk: Chunk, choice: Any) -> None:
        """Read one choice of a chunk. Raises ValueError for more choices than were asked for."""
        index = self._open(chunk, choice)
        if choice.get("logprobs") is not None:
            if echoes(choice):
                said = alternatives(choice["logprobs"])
                chunk.asides = [*chunk.asides, *(((index, name), text) for name, text in said)]
            else:
                choice["logprobs"] = None
                chunk.edited = True
        text = choice.get("text")
        if choice.get("finish_reason") or type(text) is not str or not choice.keys() <= CHOICE:
            self._fields.read(chunk, "choice", index, choice, _SAID if type(text) is str else _UNSAID, _REASON)
        if type(text) is str and text:
            chunk.texts.append(Delta((index, "text"), choice, "text"))
        self._close(chunk, choice, index)

    def silent(self, index: int) -> tuple[Json, Json]:
        """A choice without content, which holds its text itself."""
        choice: Json = {"index": index, "text": "", "logprobs": None, "finish_reason": None}
        return choice, choice

    def is_plain(self, choice: Json) -> bool:
        """Whether a choice with one text contains nothing else."""
        return choice.keys() <= CHOICE and not choice.get("finish_reason") and choice.get("logprobs") is None

    def speaks(self, choice: Json) -> bool:
        """Whether a choice of a chunk still has content: a reason, a text, an unknown field."""
        if choice.get("finish_reason") or choice.get("logprobs") is not None or not choice.keys() <= CHOICE:
            return True
        return choice.get("text") not in ("", None)

    def refused(self, index: int, refusal: Refusal, reason: str) -> Json:
        """The last choice of a refused answer."""
        return refused(index, refusal, reason)


def refused(index: int, refusal: Refusal, reason: str) -> Json:
    """A choice of a refused answer."""
    choice = {"index": index, "text": reason, "logprobs": None, "finish_reason": "content_filter"}
    return {**choice, "refusal": refusal.message}


def echoes(choice: Json) -> bool:
    """Whether the tokens of log probabilities are equal to the text, and everything beside them plausible."""
    told = choice["logprobs"]
    if type(told) is not dict or not told.keys() <= _TABLES:
        return False
    tables = {name: told.get(name) or [] for name in _TABLES}
    if not all(type(table) is list for table in tables.values()):
        return False
    tokens: list[Any] = tables["tokens"]
    if not all(type(token) is str for token in tokens) or "".join(tokens) != (choice.get("text") or ""):
        return False
    if not all(type(at) is int for at in tables["text_offset"]) or not all(map(is_number, tables["token_logprobs"])):
        return False
    return all(rank is None or (type(rank) is dict and _is_rank(rank)) for rank in tables["top_logprobs"])


def _is_rank(others: Json) -> bool:
    """Whether an object holds short tokens with their probabilities."""
    return all(map(is_short, others)) and all(map(is_number, others.values()))


def alternatives(told: Json) -> Iterator[tuple[str, str]]:
    """The joined alternative tokens at each rank of checked log probabilities: (rank, text)."""
    ranks: dict[int, list[str]] = {}
    for others in told.get("top_logprobs") or ():
        for rank, token in enumerate(others or ()):
            ranks.setdefault(rank, []).append(token)
    for rank, pieces in ranks.items():
        yield f"logprobs.{rank}", "".join(pieces)
