"""Streams of providers: ends of choices, pieces of tool calls, texts in unknown fields."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calls
from gateway.call import Redaction
from gateway.config.sections import Output
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.placeholders import PLACEHOLDER, WRITTEN
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.output.screen import Screen

RESTORE = {"<EMAIL_1>": "ann@example.org"}
TEXT = "Write to <EMAIL_1>, not bob@example.net; card 4539 1488 0343 6467 ok."
RIGHT = "Write to ann@example.org, not <EMAIL>; card <CREDIT_CARD> ok."
REASONS: list[Any] = ["", "stop", None, 0, 7, False, "length"]


@pytest.fixture(scope="module")
def screen(pii: PiiScanner) -> Screen:
    """Redacts personal data and secrets."""
    scanner = StreamScanner(pii, SecretScanner(), {PLACEHOLDER: WRITTEN})
    return Screen(Output.model_validate({"secrets": "redact"}), scanner, lambda _: False)


def event(delta: Any, reason: Any = None, /, choice: dict[str, Any] | None = None, **chunk: Any) -> bytes:
    """One chunk."""
    said = {"index": 0, "delta": delta, "finish_reason": reason, **(choice or {})}
    return b"data: " + json.dumps({"id": "c", "choices": [said], **chunk}).encode() + b"\n\n"


def received(screen: Screen, events: list[bytes]) -> list[Any]:
    """The JSON of what a client receives."""
    codec = OPENAI_CHAT.stream(keep_usage=False)
    call = calls.call()
    call.redaction = Redaction(restore=RESTORE, known=frozenset(RESTORE.values()))
    made = screen.filter(call)
    sent = [part for raw in events for chunk in codec.feed(raw) for part in made.feed(chunk, codec)]
    sent += [part for chunk in codec.rest() for part in made.feed(chunk, codec)]
    sent += made.close(codec)
    return [json.loads(one[6:]) for one in b"".join(sent).decode().split("\n\n") if one.startswith("data: {")]


def pieces(places: list[int]) -> list[str]:
    """The text, cut."""
    marks = sorted({0, len(TEXT), *(place % len(TEXT) for place in places)})
    return [TEXT[low:high] for low, high in itertools.pairwise(marks)]


def content(events: list[Any]) -> str:
    """The text that a client puts together."""
    return "".join(choice["delta"].get("content") or "" for one in events for choice in one["choices"])


CUTS = st.lists(st.integers(0, 200), max_size=40)


@settings(max_examples=60)
@given(places=CUTS, reasons=st.lists(st.sampled_from(REASONS), min_size=1, max_size=5))
def test_a_reason_ends_no_text(screen: Screen, places: list[int], reasons: list[Any]) -> None:
    """For any `finish_reason` on any chunk, the text is judged as one, and the reason is sent once, at the end."""
    said = [event({"content": piece}, reasons[at % len(reasons)]) for at, piece in enumerate(pieces(places))]
    events = received(screen, [*said, event({}, "stop"), b"data: [DONE]\n\n"])
    assert content(events) == RIGHT
    told = [choice["finish_reason"] for one in events for choice in one["choices"] if choice.get("finish_reason")]
    assert told == ["stop"]
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


@settings(max_examples=60)
@given(
    places=CUTS,
    index=st.sampled_from([{}, {"index": "0"}, {"index": 0.0}, {"index": None}, {"index": 0}]),
    again=st.sampled_from([{}, {"id": "a"}, {"id": "b"}]),
)
def test_pieces_of_a_tool_call_are_one(
    screen: Screen, places: list[int], index: dict[str, Any], again: dict[str, Any]
) -> None:
    """Without an index, with odd indexes, with another id: the arguments are judged as a whole."""
    arguments = json.dumps({"to": TEXT})
    marks = sorted({0, len(arguments), *(place % len(arguments) for place in places)})
    head = event({"tool_calls": [{**index, "id": "a", "function": {"name": "send", "arguments": ""}}]})
    parts = [
        event({"tool_calls": [{**index, **again, "function": {"arguments": arguments[low:high]}}]})
        for low, high in itertools.pairwise(marks)
    ]
    events = received(screen, [head, *parts, event({}, "tool_calls"), b"data: [DONE]\n\n"])
    calls = [call for one in events for choice in one["choices"] for call in choice["delta"].get("tool_calls") or ()]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"to": RIGHT}]
    assert [call["index"] for call in calls] == [0]


def test_two_calls_under_one_index_stay_two(screen: Screen) -> None:
    """Two ids and two complete arguments: two calls, with different indexes."""
    calls = [
        {"index": 0, "id": one, "function": {"name": "send", "arguments": json.dumps({"n": one})}} for one in ("a", "b")
    ]
    events = received(screen, [event({"tool_calls": [call]}) for call in calls])
    [said] = [choice["delta"]["tool_calls"] for one in events for choice in one["choices"]]
    assert [(call["index"], call["id"]) for call in said] == [(0, "a"), (1, "b")]


PLACES: dict[str, Any] = {
    "details": lambda piece: {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": piece}]},
    "details without index": lambda piece: {"reasoning_details": [{"type": "reasoning.text", "text": piece}]},
    "annotations": lambda piece: {"annotations": [{"type": "url_citation", "url_citation": {"title": piece}}]},
    "vendor": lambda piece: {"x_vendor": piece},
    "nested": lambda piece: {"x": {"y": [[{"z": piece}]]}},
    "list of strings": lambda piece: {"x": [piece]},
    "parts": lambda piece: {"content": [{"type": "note", "note": piece}]},
}


def strings(value: Any) -> list[str]:
    """Every string below a value, but those of types."""
    if isinstance(value, dict):
        return [text for key, inner in value.items() if key not in ("type", "role") for text in strings(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in strings(inner)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=30)
@given(places=CUTS)
def test_a_text_in_any_field_is_one_run(screen: Screen, place: str, places: list[int]) -> None:
    """Found and restored across chunks, in any place, and all of it arrives."""
    said = [event({"content": "w ", **PLACES[place](piece)}) for piece in pieces(places)]
    if place == "parts":
        said = [event(PLACES[place](piece)) for piece in pieces(places)]
    events = received(screen, [*said, event({}, "stop"), b"data: [DONE]\n\n"])
    deltas = [choice["delta"] for one in events for choice in one["choices"]]
    if place != "parts":
        deltas = [{key: value for key, value in delta.items() if key != "content"} for delta in deltas]
    assert "".join(strings(deltas)) == RIGHT


@pytest.mark.parametrize("level", ["choice", "chunk"])
@settings(max_examples=30)
@given(places=CUTS)
def test_a_text_beside_the_deltas_is_one_run(screen: Screen, level: str, places: list[int]) -> None:
    """The card and the address do not leave in pieces either."""
    said = [
        event({"content": ""}, None, {"x_note": piece}) if level == "choice" else event({"content": ""}, x_note=piece)
        for piece in pieces(places)
    ]
    events = received(screen, [*said, event({}, "stop"), b"data: [DONE]\n\n"])
    holders = [one if level == "chunk" else one["choices"][0] for one in events]
    joined = "".join(holder.get("x_note", "") for holder in holders)
    assert "4539" not in joined
    assert "bob@" not in joined
