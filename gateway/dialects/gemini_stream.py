"""The reader of streamed answers of Gemini (Gemini API reference: models.streamGenerateContent, with `alt=sse`).

Each event is a whole answer with the next parts of its candidates. The texts of a candidate are one text over all
events; so are its thoughts, which are never edited. Tool calls arrive complete, and usage is cumulative. No event ends
the stream: it is complete if every candidate has a finish reason, or the prompt was blocked. Events keep their order,
and their bytes except for edited texts.

Refused: tool calls whose arguments arrive in pieces (`partialArgs`), which the request cannot ask for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway.bodies import Json
from gateway.budget import once
from gateway.dialects import Chunk, Field, Piece, events, gemini_frame, literals, nulls, sse, surrogates, tree
from gateway.dialects.base import Ordered
from gateway.dialects.delta_frame import DeltaFrame
from gateway.dialects.fields import Reader
from gateway.dialects.frame import Frame, Series
from gateway.dialects.gemini_answer import ended, error, refused, tier, usage
from gateway.dialects.gemini_forms import drop_probabilities, encode, number
from gateway.dialects.gemini_strays import strays
from gateway.dialects.gemini_tables import (
    ANSWER,
    CALLS,
    SIGNATURE,
    WORDS,
    both,
    calls_a_tool,
    candidates,
    is_thought,
    parts,
)
from gateway.dialects.lots import Lot
from gateway.dialects.surrogates import Halves
from gateway.dialects.terms import LONG, is_term
from gateway.errors import Refusal

MAX_CANDIDATES: Final = 128
_NO_FRAME: Final = Frame(b"", b"", (0, ""))
_LONE: Final = frozenset({"text"})
_PARTS: Final = frozenset({"parts"})
_TOP: Final = frozenset({"candidates"})
_APART: Final = frozenset({"content", "index"})
_ROLE: Final = frozenset({"role"})
_REASON: Final = frozenset({"finishReason"})
_NAMES: Final = frozenset({"modelVersion", "responseId"})
_COUNTED: Final = _TOP | {"usageMetadata"}
_DETAIL: Final = frozenset({"modality", "tokenCount"})
_REPORT: Final = frozenset(
    {"promptTokenCount", "candidatesTokenCount", "totalTokenCount", "thoughtsTokenCount", "cachedContentTokenCount"}
    | {"toolUsePromptTokenCount", "promptTokensDetails", "candidatesTokensDetails", "cacheTokensDetails"}
)
_PIECES: Final = both("partialArgs willContinue")
# Fields that arrive complete, and may come again with more in a later event.
_WHOLE: Final = both(
    "role finishReason finishMessage safetyRatings citationMetadata groundingMetadata urlContextMetadata tokenCount "
    "avgLogprobs modelVersion responseId createTime usageMetadata promptFeedback modelStatus groundingAttributions"
)


class GeminiStream(Ordered):
    """Reads the events of one answer. `choices`: the number of candidates that the request asks for."""

    __slots__ = (
        "_blocked",
        "_choices",
        "_done",
        "_ends",
        "_fields",
        "_frame",
        "_halves",
        "_reader",
        "_seen",
        "ended",
        "tier",
    )

    def __init__(self, choices: int = 1) -> None:
        self._choices = min(choices, MAX_CANDIDATES)
        self._reader = sse.Reader()
        self._fields = Reader(ANSWER)
        self._frame: tuple[DeltaFrame, Json, int] | None = None  # of an event, with its data and candidate
        self._halves = Halves()  # of the texts, by candidate and kind
        self._seen: set[int] = set()  # candidates that have begun
        self._ends: set[int] = set()  # those with a finish reason
        self._done: set[int] = set()  # those whose finish reason has left
        self._blocked = False  # the prompt was blocked
        self.ended = False
        self.tier = ""

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that are complete. Raises ValueError for data that is not a stream of an answer."""
        data = self._reader.take(data)
        at = 0
        while at < len(data):
            series = self._series(*self._frame, data, at) if self._frame is not None and not self._halves else None
            if series is not None:
                yield series
                at += len(series.raw)
                continue
            event, at = self._reader.next(data, at)
            if event is None:
                return
            chunk = self._chunk(event)
            if chunk is not None:
                yield chunk

    def _series(self, frame: DeltaFrame, first: Json, index: int, data: bytes, at: int) -> Chunk | None:
        """A chunk of the events from `at` on that have a frame; None if the first has not."""
        read = frame.read(data, at) if index not in self._ends else None
        if read is None:
            return None
        chunk = Chunk(read.raw)
        chunk.series = Series(_NO_FRAME, read.text, read.sizes, read.sizes)  # its events are not read again
        chunk.usage = usage(gemini_frame.counted(first, frame.numbers, read.numbers))

        def make() -> list[Chunk]:
            events = []
            for raw, text in read.events():
                event = Chunk(raw)
                event.series = chunk.series
                if text:
                    event.fields.append(_running(index, {"text": text}, signed=False))
                events.append(event)
            return events

        field = _running(index, {"text": read.text}, signed=False)
        field.pieces[0].lot = chunk.lot = Lot(read, make)
        chunk.fields.append(field)
        return chunk

    def rest(self) -> Iterator[Chunk]:
        """The last event if its end is missing. An incomplete event is dropped if the answer is complete."""
        event = self._reader.rest()
        if event is not None:
            try:
                chunk = self._chunk(event)
            except ValueError:
                if not self.finished:
                    raise
                chunk = None
            if chunk is not None:
                chunk.edited |= chunk.data is not None and not chunk.raw.endswith((b"\n\n", b"\r\n\r\n"))
                yield chunk
        for (index, kind), text in self._halves.rest().items():
            part = {"text": text, **({"thought": True} if kind != "text" else {})}
            data = {"candidates": [{"index": index, "content": {"role": "model", "parts": [part]}}]}
            raw = encode(data)
            chunk = self._chunk(sse.SSE(raw, b"", raw[6:-2]))
            if chunk is not None:
                yield chunk

    @property
    def finished(self) -> bool:
        """Every candidate has a finish reason, or the prompt was blocked."""
        return self._blocked or (bool(self._seen) and self._seen == self._ends)

    def close(self) -> None:
        """Raise ValueError if the upstream ended before the answer was complete."""
        if not self.finished:
            raise ValueError("the stream broke off before its end")

    def faithful(self, chunk: Chunk) -> bool:
        """Whether every parser reads the same from the bytes of an event."""
        if chunk.data is None:
            return True
        said = _line(chunk.raw)
        return said is not None and tree.says_once(said, chunk.data)

    def _chunk(self, event: sse.SSE) -> Chunk | None:
        chunk = Chunk(event.raw)
        if events.is_done(event):
            return None
        data = events.load(chunk, event, "an event")
        if data is None:
            return chunk
        if error(data) is not None:
            chunk.error = True
            return chunk
        chunk.edited |= nulls.of_candidates(data) | drop_probabilities(data)
        if chunk.edited or self._halves:
            self._join_halves(chunk, data)
        self._read(chunk, data)
        if b"\\" not in chunk.raw and not self._halves and self._may_frame(chunk, data):
            frame = gemini_frame.learn(chunk.raw, data)
            if frame is not None:
                self._frame = frame, data, number(candidates(data)[0])
        return chunk

    def _may_frame(self, chunk: Chunk, data: Json) -> bool:
        """Whether an event has nothing to judge but one text, and no report but counts."""
        more = chunk.edited or chunk.strays or chunk.tools or chunk.wholes or self._blocked
        return not more and len(chunk.fields) == 1 and chunk.fields[0].text == 1 and self.faithful(chunk)

    def _join_halves(self, chunk: Chunk, data: Json) -> None:
        """Join characters that were cut in two: across events in texts, otherwise in place."""
        for candidate in candidates(data):
            for part in parts(candidate):
                text = part.get("text")
                if type(text) is str:
                    kind = "signed:thought" if is_thought(part) else "text"
                    if (piece := self._halves.piece((number(candidate), kind), text)) != text:
                        part["text"] = piece
                        chunk.edited = True
        if chunk.edited:
            surrogates.mend(data)
            chunk.raw = encode(data)

    def _read(self, chunk: Chunk, data: Json) -> None:
        """An event: the next parts of candidates, and what is known of the answer."""
        chunk.strays = strays(data)
        tools: list[Json] = []
        found = candidates(data)
        indexes = [number(candidate) for candidate in found]
        if indexes and (max(indexes) >= self._choices or len({*indexes}) < len(indexes)):
            raise ValueError("more candidates than were asked for")
        self._seen.update(indexes)
        for index, candidate in zip(indexes, found, strict=True):
            for part in parts(candidate):
                if calls_a_tool(part):
                    tools.append(_whole_call(part))
                else:
                    self._part(chunk, index, part)
            content = candidate.get("content")
            if type(content) is dict:
                self._fields.read(chunk, "choice", index, content, _PARTS | _terms(content, _ROLE), _WHOLE)
            self._fields.read(chunk, "choice", index, candidate, _APART | _terms(candidate, _REASON), _WHOLE)
            if candidate.get("finishReason"):
                self._ends.add(index)
        chunk.tools = tools
        chunk.usage = usage(data)
        self.tier = tier(data) or self.tier
        feedback = data.get("promptFeedback")
        self._blocked |= type(feedback) is dict and bool(feedback.get("blockReason"))
        known = _COUNTED if _is_counts(data.get("usageMetadata")) else _TOP
        self._fields.read(chunk, "chunk", 0, data, known | _terms(data, _NAMES), _WHOLE)

    def _part(self, chunk: Chunk, index: int, part: Json) -> None:
        """A part that calls no tool: its text runs over events; all else is complete."""
        text = part.get("text")
        if type(text) is str:
            if text:
                chunk.fields.append(_running(index, part, signed=is_thought(part)))
            if part.keys() == _LONE:
                return
        thought = is_thought(part)
        held = {key for key, value in part.items() if key in SIGNATURE or (thought and type(value) in (dict, list))}
        self._fields.read(chunk, "delta", index, part, frozenset({*held, *(_LONE if type(text) is str else ())}))
        if held:
            survey = tree.Survey(ANSWER)
            copy = {key: part[key] for key in part if key in held}
            survey.walk([{**copy, "text": "", "thought": True}] if thought else copy)
            survey.slots = [slot._replace(holder=part) if slot.holder is copy else slot for slot in survey.slots]
            if survey.slots or survey.kinds:
                chunk.wholes.append(survey)

    def encode(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk: as received if nothing was edited; else with the edited strings only, if possible."""
        data = chunk.data
        if data is None and chunk.edited and chunk.series is not None:  # an event of a series
            data, _ = surrogates.loads(_line(chunk.raw) or b"")
            part = gemini_frame.only(data)
            assert part is not None, "a series has events with one part"
            part["text"] = chunk.fields[0].holder["text"]
        if data is None:
            return chunk.raw
        self._done |= {number(candidate) for candidate in candidates(data) if candidate.get("finishReason")}
        if not chunk.edited:
            return chunk.raw
        said = _line(chunk.raw)
        if said is not None:
            return sse.encode(literals.rewritten(said.decode(), data).encode())
        return encode(data)

    def refuse(self, refusal: Refusal, request_id: str, reason: str = "", *, bare: bool = False) -> bytes:
        """The end of a refused answer: candidates with a finish reason, or an error for a fault."""
        if refusal.domain != "policy":
            return encode(refused(refusal, request_id))
        left = sorted(self._seen - self._done) or [0]
        return encode({"candidates": [ended(refusal, index, "" if bare else reason) for index in left]})


def _running(index: int, holder: Json, *, signed: bool) -> Field:
    """A piece of a text that runs over events."""
    field = Field("delta", index, holder, "text")
    field.pieces.append(Piece((index, "signed:thought" if signed else "text"), field, holder, "text"))
    field.signed, field.text = signed, 1
    return field


def _line(raw: bytes) -> bytes | None:
    """The data of an event that is one line; None for any other event."""
    said = raw.rstrip(b"\r\n")
    if not said.startswith(b"data: ") or b"\n" in said or b"\r" in said:
        return None
    return said[6:]


def _terms(holder: Json, names: frozenset[str]) -> frozenset[str]:
    """Structural fields whose values are terms, which need not be judged: see `terms`."""
    return frozenset([name for name in names if type(said := holder.get(name)) is str and _is_term(said)])


@once
def _is_term(said: str) -> bool:
    return is_term(said)


def _is_counts(told: Any) -> bool:
    """Whether a usage report has only counts of tokens, which are no values."""
    if type(told) is not dict or not told.keys() <= _REPORT:
        return False
    counts = list(told.values())
    for value in told.values():
        if type(value) is list:
            if not all(type(one) is dict and one.keys() <= _DETAIL and one.get("modality") in WORDS for one in value):
                return False
            counts += [one.get("tokenCount", 0) for one in value]
    return all(type(value) is list or (type(value) is int and value < LONG) for value in counts)


def _whole_call(part: Json) -> Json:
    """A part that calls a tool. Raises ValueError if it is no object, Refusal if its arguments come in pieces."""
    for key in CALLS & part.keys():
        call: Any = part[key]
        if type(call) is not dict:
            raise ValueError("a call of a tool is no object")
        if not _PIECES.isdisjoint(call):
            raise Refusal(
                "output_blocked", "The answer has a tool call whose arguments come in pieces.", stage="output"
            )
    return part
