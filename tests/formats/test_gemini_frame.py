"""Events of Gemini that differ in text and counts are read without parsing, and as if each had been parsed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Outcome, Usage
from gateway.dialects import Chunk
from gateway.dialects.gemini_stream import GeminiStream
from gateway.exchange.heard import hear


def event(text: str, count: int, end: str = "\n\n", **more: Any) -> bytes:
    candidate = {"index": 0, "content": {"parts": [{"text": text}], "role": "model"}, **more}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": count, "totalTokenCount": 9 + count}
    data = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r_a"}
    return f"data: {json.dumps(data)}{end}".encode()


def single(chunks: list[Chunk]) -> list[Chunk]:
    """The events of chunks."""
    return [one for chunk in chunks for one in (chunk.lot.split() if chunk.lot is not None else [chunk])]


def texts(chunks: list[Chunk]) -> list[str]:
    return [field.holder["text"] for one in single(chunks) for field in one.fields]


def used(chunks: list[Chunk]) -> Usage:
    found = None
    for chunk in chunks:
        found = chunk.usage.joined(found) if chunk.usage is not None else found
    assert found is not None
    return found


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
def test_a_series_is_one_chunk(end: str) -> None:
    """Its usage is the largest report."""
    said = [event("Hello ", 1, end), event("you ", 3, end), event("all", 2, end)]
    chunks = list(GeminiStream().feed(b"".join(said)))
    assert [chunk.series is not None for chunk in chunks] == [False, True]
    assert texts(chunks) == ["Hello ", "you ", "all"]
    assert [chunk.raw for chunk in single(chunks)] == said
    assert used(chunks).output == 3


def test_pieces_with_escapes_are_in_the_series() -> None:
    said = [event("Hello ", 1), event('"Ann"\n', 2), event("\u4f60\U0001f600", 3), event("a\\b", 4)]
    chunks = list(GeminiStream().feed(b"".join(said)))
    assert [chunk.series is not None for chunk in chunks] == [False, True]
    assert texts(chunks) == ["Hello ", '"Ann"\n', "\u4f60\U0001f600", "a\\b"]
    assert [chunk.raw for chunk in single(chunks)] == said
    edited = single(chunks)[1]
    edited.fields[0].holder["text"], edited.edited = '"Bob"\n', True
    assert GeminiStream().encode(edited) == event('"Bob"\n', 2)


def test_an_answer_that_breaks_off_is_charged_by_the_largest_report() -> None:
    outcome = Outcome()
    for chunk in GeminiStream().feed(event("Hello ", 1) + event("you ", 700) + event("all", 20)):
        hear(outcome, chunk)
    assert outcome.usage is not None
    assert (outcome.usage.output, outcome.outdated) == (700, False)
    assert "".join(outcome.heard) == "Hello you all"


def test_an_edited_event_of_a_series_is_written_as_any_other() -> None:
    stream = GeminiStream()
    first, edited = single(list(stream.feed(event("Hello ", 1) + event("Ann", 2))))
    edited.fields[0].holder["text"] = 'a "b"'
    edited.edited = True
    assert stream.encode(first) == event("Hello ", 1)
    assert stream.encode(edited) == event('a "b"', 2)


@pytest.mark.parametrize(
    "other",
    [
        event("Ann", 2, finishReason="STOP"),
        event("Ann", 2, citationMetadata={"a": "b"}),
        event("Ann", 2).replace(b'"parts"', b'"parts": [{"text": "Bob"}], "parts"'),
        event("Ann", 2).replace(b'{"text"', b'{"thought": true, "text"'),
        event("Ann", 4_711_000_000_000_000),
        event("An\x00n", 2),
        event("An\ud83d", 2),
        event("An\x7fn", 2),
    ],
)
def test_other_events_are_parsed(other: bytes) -> None:
    chunks = list(GeminiStream().feed(event("Hello ", 1) + other))
    assert [chunk.series for chunk in chunks] == [None, None]


@given(
    st.lists(st.text(max_size=6), min_size=1, max_size=12),
    st.lists(st.integers(0, 10**7), min_size=12, max_size=12),
    st.integers(1, 400),
)
def test_the_same_as_parsed(pieces: list[str], counts: list[int], size: int) -> None:
    """Texts, bytes and usage, for any cut of the stream."""
    said = [event(piece, count) for piece, count in zip(pieces, counts, strict=False)]
    said.append(event("", counts[-1], finishReason="STOP"))
    one, other, whole = GeminiStream(), GeminiStream(), b"".join(said)
    cut = [chunk for at in range(0, len(whole), size) for chunk in one.feed(whole[at : at + size])]
    parsed = [chunk for single in said for chunk in GeminiStream().feed(single)]
    together = list(other.feed(whole))
    for chunks in (cut, together):
        assert texts(chunks) == texts(parsed)
        assert used(chunks) == used(parsed)
        assert b"".join(one.encode(chunk) for chunk in single(chunks)) == whole
    assert one.finished
