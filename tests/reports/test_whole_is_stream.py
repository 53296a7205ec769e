"""An answer is judged alike whole and streamed, with any cut into events and bytes."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calls
from budgets import examples
from gateway.call import Redaction
from gateway.config.sections import Output
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.placeholders import LIKE, PLACEHOLDER, SPELLINGS, WRITTEN
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from gateway.output.screen import AnswerFilter, Screen

RESTORE = {"<EMAIL_1>": "ann@example.org", "<PHONE_2>": "+49 151 23456789"}
CARD, KEY = "4539 1488 0343 6467", "ghp_1234567890abcdefghijABCDEFGHIJ123456"
VALUES = [CARD, "bob@example.net", "<EMAIL_1>", "<PHONE_2>", "email_1]", "DE89 3704 0044 0532 0130 00"]
WORDS = ["the", "order", "went", "out", "\U0001f600", "caf\u00e9", "line\nbreak", '"quoted"', "back\\slash", "<b>", "7"]
SECRETS = ["4539148803436467", "45391488", "bob@example", "0532013000", "ghp_1234567890"]

Path = tuple[str | int, ...]


@pytest.fixture(scope="module")
def scanner(pii: PiiScanner) -> StreamScanner:
    """Finds everything that answers are searched for."""
    return StreamScanner(pii, SecretScanner(), {PLACEHOLDER: WRITTEN}, weak={LIKE: SPELLINGS})


def judge_of(scanner: StreamScanner, secrets: str = "redact") -> AnswerFilter:
    """The filter of one answer."""
    call = calls.call()
    call.redaction = Redaction(restore=RESTORE, known=frozenset(RESTORE.values()))
    call.request.body = {"model": "m", "messages": [], "tools": [{"type": "function", "function": {"name": "send"}}]}
    return Screen(Output.model_validate({"secrets": secrets}), scanner, lambda _: False).filter(call)


TEXT = st.lists(st.sampled_from([*WORDS, *WORDS, *VALUES]), min_size=1, max_size=9).map(" ".join)
PLANTED = st.sampled_from([CARD, KEY, "bob@example.net", CARD.replace(" ", "")])


@st.composite
def cut(draw: st.DrawFn, text: str) -> list[str]:
    """A text in pieces."""
    marks = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=6))})
    return [text[low:high] for low, high in itertools.pairwise(marks)] or [text]


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """The texts of one choice: content as a text or in parts, unknown fields, a tool call."""
    said: dict[str, Any] = {}
    if draw(st.booleans()):
        said["content"] = draw(TEXT)
    else:
        said["content"] = [{"type": "text", "text": piece} for piece in draw(TEXT.flatmap(cut))]
    for field in draw(st.lists(st.sampled_from(["reasoning_content", "refusal", "x_note"]), max_size=2, unique=True)):
        said[field] = draw(TEXT)
    if draw(st.booleans()):
        said["x_list"] = [{"a": [piece]} for piece in draw(TEXT.flatmap(cut))]
    if draw(st.booleans()):
        arguments = json.dumps({"to": draw(TEXT), "n": [1, 2.5]})
        call = {"id": "call_a", "type": "function", "function": {"name": "send", "arguments": arguments}}
        said["tool_calls"] = [call]
    return said


def event(choice: int, delta: Any, reason: Any = None) -> bytes:
    """One event, with characters beyond the first plane as surrogate pairs."""
    said = {"id": "c", "choices": [{"index": choice, "delta": delta, "finish_reason": reason}]}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


@st.composite
def streamed(draw: st.DrawFn, choices: list[dict[str, Any]]) -> list[bytes]:
    """The events of an answer in an order and a cut that a server might choose."""
    runs: list[list[bytes]] = []
    for at, message in enumerate(choices):
        for key, value in message.items():
            if key == "tool_calls":
                [call] = value
                head = {**call, "index": 0, "function": {"name": "send", "arguments": ""}}
                pieces = draw(cut(call["function"]["arguments"]))
                deltas: list[Any] = [{"tool_calls": [head]}]
                deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
            elif isinstance(value, str):
                deltas = [{key: piece} for piece in draw(cut(value))]
            elif key == "content":
                pieces = [piece for part in value for piece in draw(cut(part["text"]))]
                deltas = [{key: [{"type": "text", "text": piece}]} for piece in pieces]
            else:
                deltas = [{key: [element]} for element in value]
            runs.append([event(at, delta) for delta in deltas])
    order = draw(st.permutations([at for at, run in enumerate(runs) for _ in run]))
    steps = [iter(run) for run in runs]
    events = [next(steps[at]) for at in order]
    return [*events, *(event(at, {}, "stop") for at in range(len(choices))), b"data: [DONE]\n\n"]


def whole(made: AnswerFilter, choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a whole answer as received by a client."""
    said = [{"index": at, "message": message, "finish_reason": "stop"} for at, message in enumerate(choices)]
    answer = json.loads(json.dumps({"id": "c", "choices": said}))
    made.whole(answer)
    return [choice["message"] for choice in answer["choices"]]


def put_together(made: AnswerFilter, pieces: list[bytes], count: int) -> list[dict[str, Any]]:
    """The messages that a client puts together of a stream."""
    codec = OPENAI_CHAT.stream(keep_usage=False)
    sent = [part for data in pieces for chunk in codec.feed(data) for part in made.feed(chunk, codec)]
    sent += [part for chunk in codec.rest() for part in made.feed(chunk, codec)]
    sent += made.close(codec)
    said: list[dict[str, Any]] = [{} for _ in range(count)]
    for raw in b"".join(sent).decode().split("\n\n"):
        for choice in json.loads(raw[6:])["choices"] if raw.startswith("data: {") else ():
            for key, value in choice["delta"].items():
                said[choice["index"]].setdefault(key, []).append(value)
    return said


def text(value: Any) -> str:
    """The texts of a value, joined."""
    if isinstance(value, dict):
        return "".join(text(inner) for key, inner in value.items() if key not in ("type", "index", "id", "role"))
    if isinstance(value, list):
        return "".join(map(text, value))
    return value if isinstance(value, str) else ""


def told(messages_: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The texts of each field of each message. Adjacent findings may be one or several, depending on the cut."""
    return [
        {key: re.sub(r"(<[A-Z_]+>)(?: ?\1)+", r"\1", said) for key, value in one.items() if (said := text(value))}
        for one in messages_
    ]


def pieces_of(data: bytes, places: list[int]) -> list[bytes]:
    """Bytes in pieces."""
    marks = sorted({0, len(data), *(place % len(data) for place in places)})
    return [data[low:high] for low, high in itertools.pairwise(marks)]


@pytest.mark.slow
@settings(max_examples=examples(50, nightly=1500))
@given(st.data(), st.lists(messages(), min_size=1, max_size=2), st.lists(st.integers(0, 9999), max_size=9))
def test_the_same_text_leaves(
    scanner: StreamScanner, data: st.DataObject, choices: list[dict[str, Any]], places: list[int]
) -> None:
    """Findings, redactions and restored values are the same in content, parts, tool calls and unknown fields."""
    events = data.draw(streamed(choices))
    first, second = judge_of(scanner), judge_of(scanner)
    right = told(whole(first, choices))
    assert told(put_together(second, pieces_of(b"".join(events), places), len(choices))) == right
    assert set(second.screening.counts) == set(first.screening.counts)
    assert not any(secret in json.dumps(right) for secret in SECRETS)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.data(), st.lists(messages(), min_size=1, max_size=2))
def test_the_same_verdict_falls(scanner: StreamScanner, data: st.DataObject, choices: list[dict[str, Any]]) -> None:
    """What blocks a whole answer blocks it as a stream."""
    at = data.draw(st.integers(0, len(choices) - 1))
    choices[at]["x_list"] = [{"a": [piece]} for piece in data.draw(cut(f"it is {KEY} now"))]
    with pytest.raises(Refusal) as caught:
        whole(judge_of(scanner, "block"), choices)
    events = data.draw(streamed(choices))
    with pytest.raises(Refusal) as again:
        put_together(judge_of(scanner, "block"), events, len(choices))
    assert caught.value.code == again.value.code == "secret_blocked"


@settings(max_examples=60)
@given(st.integers(1, 30), st.sampled_from(["content", "x_note", "arguments"]))
def test_a_character_cut_in_two_arrives(scanner: StreamScanner, place: int, field: str) -> None:
    """Each half in an event of its own: no text has halves, and no character is lost."""
    said = "so \U0001f600 and \U0001f680 go"
    halves = [chr(int.from_bytes(said.encode("utf-16-be")[at : at + 2])) for at in range(0, 2 * len(said) + 4, 2)]
    cuts = ["".join(halves[:place]), "".join(halves[place : place + 1]), "".join(halves[place + 1 :])]
    if field == "arguments":
        deltas: list[Any] = [{"tool_calls": [{"index": 0, "id": "a", "function": {"name": "send", "arguments": ""}}]}]
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": one}}]} for one in cuts]
    else:
        deltas = [{field: one} for one in cuts]
    sent = put_together(judge_of(scanner), [event(0, delta) for delta in deltas] + [event(0, {}, "stop")], 1)
    assert text(sent).removeprefix("send") == said


def test_half_a_character_is_none(scanner: StreamScanner) -> None:
    """At the end of the text, or before another, it is U+FFFD."""
    events = [event(0, {"content": "a\ud83d"}), event(0, {"content": "b\ud83d"}), event(0, {}, "stop")]
    assert text(put_together(judge_of(scanner), events, 1)) == "a\ufffdb\ufffd"
