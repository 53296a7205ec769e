"""Conversion of answers: events to a whole answer, and a whole answer to events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import orjson

from gateway.bodies import Json
from gateway.dialects import items, nulls, ordinal, sse, surrogates
from gateway.dialects.gemini_tables import candidates, is_thought, parts
from gateway.dialects.openai_forms import pieces

_TEXT = frozenset({"text", "thought"})


def encode(data: Json) -> bytes:
    """One event."""
    return sse.encode(orjson.dumps(data))


def number(candidate: Json) -> int:
    """The index of a candidate; one that is missing is 0 (proto3). Raises ValueError if it is no index."""
    index = candidate.get("index")
    found = 0 if index is None else ordinal(index)
    if found is None or found < 0:
        raise ValueError("a candidate has an index that is not a number")
    return found


def is_complete(answer: Json) -> bool:
    """Whether an answer has ended: every candidate, or the prompt was blocked. Raises ValueError."""
    found = candidates(answer)
    if not found:
        feedback = answer.get("promptFeedback")
        return type(feedback) is dict and bool(feedback.get("blockReason"))
    return all(candidate.get("finishReason") for candidate in found)


def drop_probabilities(answer: Json) -> bool:
    """Remove the log probabilities of candidates; True if there were any. Raises ValueError."""
    dropped = False
    for candidate in candidates(answer):
        for key in ("logprobsResult", "logprobs_result"):
            dropped |= candidate.pop(key, None) is not None
    return dropped


def assemble(raw: bytes) -> bytes:
    """The whole answer of a stream. Raises ValueError, also for a stream that broke off before its end."""
    answer: Json = {}
    found: dict[int, Json] = {}
    said: dict[int, list[Json]] = {}
    texts: list[tuple[Json, list[str]]] = []  # joined once at the end
    for event in sse.datas(raw):
        items.check_event(event, "an event")
        data, _ = surrogates.with_halves(event)
        if data is None:
            continue
        if type(data) is not dict or data.get("error"):
            raise ValueError("it holds an error")
        nulls.of_candidates(data)
        for candidate in candidates(data):
            index = number(candidate)
            held = said.setdefault(index, [])
            for part in parts(candidate):
                _add(held, part, texts)
            content = candidate.get("content") or {}
            before = found.setdefault(index, {})
            found[index] = {**before, **candidate, "content": {**(before.get("content") or {}), **content}}
        answer |= data
    for part, some in texts:
        part["text"] = "".join(some)
    for index, candidate in found.items():
        candidate["content"]["parts"] = said[index]
    if found:
        answer["candidates"] = [found[index] for index in sorted(found)]
    if not is_complete(answer):
        raise ValueError("it broke off before its end")
    return orjson.dumps(surrogates.mend(answer))


def _add(held: list[Json], part: Json, texts: list[tuple[Json, list[str]]]) -> None:
    """Add a part to those of its candidate: a piece of text to the text before it."""
    is_text = part.keys() <= _TEXT and type(part.get("text")) is str
    last = held[-1] if held else None
    joins = is_text and last is not None and last.keys() <= _TEXT and is_thought(last) == is_thought(part)
    if joins and texts and texts[-1][0] is last:
        texts[-1][1].append(part["text"])
        return
    held.append(part)
    if is_text:
        texts.append((part, [part["text"]]))


def unfold(answer: Json, cut: Callable[[str], Sequence[str]] = pieces) -> Iterator[bytes]:
    """The stream with the content of a whole answer. Raises ValueError."""
    found = candidates(answer)
    head = {key: value for key, value in answer.items() if key not in ("candidates", "usageMetadata")}
    usage = {key: answer[key] for key in ("usageMetadata",) if key in answer}
    if not found:
        if not is_complete(answer):
            raise ValueError("it holds no candidates")
        yield encode(answer)
        return
    for at, candidate in enumerate(found):
        said = [piece for part in parts(candidate) for piece in _pieces(part, cut)]
        content = candidate.get("content")
        content = content if type(content) is dict else {}
        place = {key: candidate[key] for key in ("index",) if key in candidate}
        for part in said[:-1]:
            yield encode({**head, "candidates": [{**place, "content": {**content, "parts": [part]}}]})
        last = {**candidate, "content": {**content, "parts": said[-1:]}} if said else candidate
        yield encode({**head, "candidates": [last], **(usage if at == len(found) - 1 else {})})


def _pieces(part: Json, cut: Callable[[str], Sequence[str]]) -> list[Json]:
    """A part, or the pieces of its text; what stands beside the text stays with the last piece."""
    text = part.get("text")
    if type(text) is not str or not text:
        return [part]
    split = cut(text)
    marks = {key: part[key] for key in ("thought",) if key in part}
    return [*({"text": piece, **marks} for piece in split[:-1]), {**part, "text": split[-1]}]
