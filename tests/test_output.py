"""The filter of answers: the same verdict for any cut of a stream."""

from __future__ import annotations

import gc
import itertools
import json
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calls
from gateway.call import Call, Redaction
from gateway.config.sections import Output
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.placeholders import PLACEHOLDER
from gateway.detect.personal.placeholders import WRITTEN as PATTERN
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from gateway.output.screen import Screen

SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
RESTORE = {"<EMAIL_1>": "ann@example.org", "<PHONE_2>": 'say "hi" \\ 0'}
TEXTS = {
    "plain": ("The quick brown fox – größer, schneller.", "The quick brown fox – größer, schneller."),
    "restored": ("Write to <EMAIL_1> or <PHONE_2>!", 'Write to ann@example.org or say "hi" \\ 0!'),
    "unknown placeholder": ("Write to <EMAIL_9>.", "Write to <EMAIL_9>."),
    "new personal data": ("It is bob@example.net, I think.", "It is <EMAIL>, I think."),
    "known personal data": ("It is ann@example.org, I think.", "It is ann@example.org, I think."),
}


@pytest.fixture(scope="module")
def screens(pii: PiiScanner) -> dict[str, Screen]:
    """A screen for each thing to do with secrets."""
    scanner = StreamScanner(pii, SecretScanner(), {PLACEHOLDER: PATTERN})
    return {do: Screen(Output.model_validate({"secrets": do}), scanner, lambda _: False) for do in ("block", "redact")}


def call() -> Call:
    """A call whose request contained one address."""
    made = calls.call()
    made.redaction = Redaction(restore=RESTORE, known=frozenset(RESTORE.values()))
    return made


def event(delta: dict[str, Any], reason: str | None = None, **choice: Any) -> bytes:
    """One chunk."""
    body = {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason, **choice}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def run(screen: Screen, events: list[bytes]) -> list[Any]:
    """The JSON of what a client receives."""
    codec = OPENAI_CHAT.stream(keep_usage=False)
    made = screen.filter(call())
    sent = [part for raw in events for chunk in codec.feed(raw) for part in made.feed(chunk, codec)]
    sent += made.close(codec)
    return [json.loads(part[6:]) for raw in sent for part in raw.decode().split("\n\n") if part.startswith("data: {")]


def content(received: list[Any]) -> str:
    """The text that a client puts together."""
    return "".join(choice["delta"].get("content") or "" for one in received for choice in one["choices"])


def cuts(text: str, places: list[int]) -> list[str]:
    """The text in pieces."""
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in itertools.pairwise(marks)]


@pytest.mark.parametrize("name", TEXTS)
@settings(max_examples=40, deadline=None)
@given(places=st.lists(st.integers(0, 200), max_size=60))
def test_any_cut_gives_the_same_text(screens: dict[str, Screen], name: str, places: list[int]) -> None:
    """Restored, redacted or left alone: the same whole and in any pieces."""
    text, expected = TEXTS[name]
    screen = screens["block"]
    assert screen.filter(call()).text(text) == expected
    received = run(screen, [*(event({"content": piece}) for piece in cuts(text, places)), event({}, "stop")])
    assert content(received) == expected
    assert received[-1]["choices"][0]["finish_reason"] == "stop"


@settings(max_examples=60, deadline=None)
@given(places=st.lists(st.integers(0, 200), max_size=60))
def test_a_secret_never_leaves_however_it_is_cut(screens: dict[str, Screen], places: list[int]) -> None:
    """Blocked: no character of it has left. Redacted: replaced by its type."""
    text = f"Use the token {SECRET} for that."
    pieces = [*(event({"content": piece}) for piece in cuts(text, places)), event({}, "stop")]
    codec, made, sent = OPENAI_CHAT.stream(keep_usage=False), screens["block"].filter(call()), b""
    with pytest.raises(Refusal) as caught:  # noqa: PT012  (where in the stream it is raised depends on the cut)
        for raw in pieces:
            for chunk in codec.feed(raw):
                sent += b"".join(made.feed(chunk, codec))
    assert caught.value.code == "secret_blocked"
    assert b"ghp" not in sent
    assert SECRET not in caught.value.message
    redacted = content(run(screens["redact"], pieces))
    assert redacted.startswith("Use the token <SECRET_")
    assert redacted.endswith("> for that.")


def test_a_secret_in_a_repeated_value_is_removed_from_every_chunk(screens: dict[str, Screen]) -> None:
    """Values that every chunk repeats are judged once, unless one of them was changed."""
    body = {"id": SECRET, "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}
    raw = b"data: " + json.dumps(body).encode() + b"\n\n"
    for events in ([raw * 5], [raw] * 5):
        received = run(screens["redact"], [*events, raw.replace(b"null", b'"stop"')])
        assert content(received) == "word " * 6
        assert {one["id"] for one in received if one["choices"][0]["delta"]} == {"<SECRET_GITHUB_TOKEN>"}
        assert SECRET not in json.dumps(received)


def test_events_that_are_read_before_the_first_is_judged_are_parsed_in_full() -> None:
    codec = OPENAI_CHAT.stream(keep_usage=False)
    codec.distrust()
    chunks = list(codec.feed(event({"content": "word "}) * 3))
    assert [chunk.series for chunk in chunks] == [None] * 3
    assert all(chunk.wholes for chunk in chunks)


@settings(max_examples=40, deadline=None)
@given(places=st.lists(st.integers(0, 200), max_size=30))
def test_tool_calls_leave_whole_and_valid(screens: dict[str, Screen], places: list[int]) -> None:
    """Arguments are judged whole; a restored value is escaped as JSON wants it."""
    arguments = json.dumps({"to": "<EMAIL_1>", "body": ["call <PHONE_2>", {"cc": "bob@example.net"}]})
    start = {"index": 0, "id": "c1", "type": "function", "function": {"name": "send", "arguments": ""}}
    pieces = [
        event({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in cuts(arguments, places)
    ]
    received = run(screens["block"], [event({"tool_calls": [start]}), *pieces, event({}, "tool_calls")])
    [tool] = [tool for one in received for choice in one["choices"] for tool in choice["delta"].get("tool_calls", [])]
    assert (tool["id"], tool["function"]["name"]) == ("c1", "send")
    assert json.loads(tool["function"]["arguments"]) == {
        "to": "ann@example.org",
        "body": ['call say "hi" \\ 0', {"cc": "<EMAIL>"}],
    }


def test_log_probabilities_do_not_tell_what_is_held(screens: dict[str, Screen]) -> None:
    """They repeat the text token by token: they leave only with text that left unchanged in the same chunk."""
    logprobs = {"content": [{"token": "ghp_a1", "logprob": -1}]}
    received = run(
        screens["redact"],
        [event({"content": "a "}, logprobs=logprobs), event({"content": "ghp_a1"}, logprobs=logprobs)],
    )
    assert [choice["logprobs"] for one in received for choice in one["choices"] if "logprobs" in choice][1:] in (
        [],
        [None],
    )


def test_unknown_fields_of_a_stream_are_judged(screens: dict[str, Screen]) -> None:
    """An unknown field does not bypass the filter."""
    received = run(screens["redact"], [event({"content": "a", "notes": [f"x {SECRET}"]}), event({}, "stop")])
    assert SECRET not in json.dumps(received)


def test_a_stream_without_an_end_gives_what_it_held(screens: dict[str, Screen]) -> None:
    """No finish reason, no [DONE]: the held tail still leaves."""
    assert content(run(screens["block"], [event({"content": "the end of it"})])) == "the end of it"


def test_prose_flows(screens: dict[str, Screen]) -> None:
    """Plain words leave immediately, except for the last, incomplete word."""
    codec, made = OPENAI_CHAT.stream(keep_usage=False), screens["block"].filter(call())
    sent = b"".join(b"".join(made.feed(chunk, codec)) for chunk in codec.feed(event({"content": "one two three four"})))
    assert b"one two three" in sent


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_is_freed_without_the_garbage_collector(screens: dict[str, Screen], *, streamed: bool) -> None:
    """Nothing that judges an answer is in a cycle: a cycle in each call cost a twentieth of its time."""
    gc.disable()
    try:
        codec, filter_ = OPENAI_CHAT.stream(keep_usage=False), screens["redact"].filter(call())
        text = TEXTS["restored"][0]
        if streamed:
            for chunk in codec.feed(event({"content": text}) + event({}, "stop")):
                filter_.feed(chunk, codec)
            filter_.close(codec)
            chunk = None  # type: ignore[assignment]
        else:
            filter_.whole({"id": "a", "model": "b", "choices": [{"index": 0, "message": {"content": text}}]})
        freed = weakref.ref(filter_)
        del filter_
        assert freed() is None
    finally:
        gc.enable()
