"""Ways past the filter: chunks that a client reads differently from the gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

import calls
from gateway.config.sections import Output
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.placeholders import PLACEHOLDER
from gateway.detect.personal.placeholders import WRITTEN as PATTERN
from gateway.detect.personal.scanner import PiiScanner
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.output.screen import Screen

BOB = "bob@example.net"


@pytest.fixture(scope="module")
def screen(pii: PiiScanner) -> Screen:
    """Redacts personal data."""
    return Screen(Output(), StreamScanner(pii, None, {PLACEHOLDER: PATTERN}), lambda _: False)


def event(delta: Any, reason: str | None = None, /, more: str = "", **choice: Any) -> bytes:
    """One chunk; `more` precedes it unchanged."""
    body = {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason, **choice}]}
    return b"data: {" + more.encode() + json.dumps(body).encode()[1:] + b"\n\n"


def received(screen: Screen, *events: bytes) -> str:
    """What a client receives, with everything in one read."""
    codec = OPENAI_CHAT.stream(keep_usage=False)
    made = screen.filter(calls.call())
    data = b"".join([*events, event({}, "stop"), b"data: [DONE]\n\n"])
    sent = [part for chunk in codec.feed(data) for part in made.feed(chunk, codec)]
    return b"".join([*sent, *made.close(codec)]).decode()


@pytest.mark.parametrize(
    "events",
    [
        [event({"content": [{"type": "text", "text": f"mail {BOB} now"}]})],
        [event({"content": [{"type": "text", "text": "mail bob@exam"}]}), event({"content": "ple.net now"})],
        [event({"content": [{"type": "note", "note": BOB}]})],
        [event({"tool_calls": [], "function_call": {"name": "f", "arguments": f'{{"to": "{BOB}"}}'}})],
        [event({"tool_calls": {"to": BOB}})],
        [event(f"mail {BOB}")],
        [event({}, logprobs={"content": [{"token": BOB}]})],
        [event({"content": "hi"}, logprobs={"content": [{"token": BOB}]})],
        [event({"role": BOB, "content": "hi"})],
        [event({"content": "hi"}, BOB)],
        [event({"content": "hi"}, more=f'"service_tier": "{BOB}", ')],
        [event({"content": "hi"}, more=f'"id": "{BOB}", ')],
        [event({"content": "hi"}, more=f'"system_fingerprint": {{"x": "{BOB}"}}, ')],
        [event({"content": "hi"}, more=f'"model": "{BOB}", "model": "m", ')],
        [event({"content": "hi"}, more=f'"model": "{BOB}", "model": "m", ')] * 3,
        [event({"content": "hi"}, more=f'"model": "{BOB}", ')] * 3,
        [f": mail {BOB}\n\n".encode(), event({"content": "hi"})],
        [f"id: {BOB}\n".encode() + event({"content": "hi"})],
        [event({"content": "hi", BOB: "x"})],
        [event({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": f'{{"{BOB}": 1}}'}}]})],
    ],
    ids=str,
)
def test_an_address_does_not_leave(screen: Screen, events: list[bytes]) -> None:
    """In any place, in any form of event."""
    said = received(screen, *events)
    assert BOB not in said
    assert said.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("ends", [True, False])
def test_text_keeps_its_order_when_it_comes_with_its_end(screen: Screen, ends: bool) -> None:
    """Held text leaves before, or with, the last piece."""
    last = [event({"content": "my wor"}, "stop")] if ends else [event({"content": "my wor"}), event({}, "length")]
    said = received(screen, event({"content": "Hello the"}), event({"content": "re "}), *last)
    pieces = [json.loads(line[6:]) for line in said.split("\n\n") if line.startswith("data: {")]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in pieces) == "Hello there my wor"


def test_fields_that_nobody_knows_outlive_a_text_that_is_held(screen: Screen) -> None:
    """The other fields of a chunk with held text still arrive."""
    said = received(
        screen, event({"content": "Hel"}, more='"citations": ["x"], '), event({"content": "lo"}, filtered=False)
    )
    assert '"citations":["x"]' in said.replace(" ", "")
    assert '"filtered":false' in said.replace(" ", "")


def test_a_server_that_names_no_id(screen: Screen) -> None:
    """The envelope has only the values of the first chunk."""
    bare = [event({"content": word}).replace(b'"id": "c", ', b"") for word in ("Hello ", "wor", "ld")]
    pieces = [json.loads(line[6:]) for line in received(screen, *bare).split("\n\n") if line.startswith("data: {")]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in pieces) == "Hello world"


def test_a_comment_that_says_nothing_passes(screen: Screen) -> None:
    """It keeps the connection alive."""
    assert received(screen, b": OPENROUTER PROCESSING\n\n").startswith(": OPENROUTER PROCESSING\n\n")


def test_a_broken_read_costs_as_much_as_a_whole_one() -> None:
    """One event that does not fit does not cause other events to be read again."""
    codec = OPENAI_CHAT.stream(keep_usage=True)
    data = b"".join(event({"content": f"w{number} "}) for number in range(200)) + event({"content": "\u00a0"})
    chunks = list(codec.feed(data))
    assert len(chunks) <= 4


def test_whole_answers_say_what_was_read(screen: Screen) -> None:
    """Log probabilities that are not those of the text are taken out; keys are judged, too."""
    answer = {
        "id": "c",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "meta": {"id": "DE89370400440532013000", BOB: 1}},
                "logprobs": {"content": [{"token": BOB}]},
            }
        ],
    }
    made = screen.filter(calls.call())
    assert made.whole(answer)
    assert BOB not in json.dumps(answer)
    assert "DE8937" not in json.dumps(answer)


def test_what_a_tool_call_says_is_counted() -> None:
    """Where no usage is reported, the pieces of tool calls are part of the answer."""
    codec = OPENAI_CHAT.stream(keep_usage=True)
    [chunk] = codec.feed(event({"content": "a", "tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}))
    assert chunk.said() == ["a", "{}"]
