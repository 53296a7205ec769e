"""Irregular connections, media types and events of providers, on a real port: see `upstream`."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import upstream as scripted
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.upstream import client, forms, pool
from line import Line, config, running
from raw_provider import Raw, chunk
from waiting import eventually

WHOLE = {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}}]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


STREAM = chunk("hel") + chunk("lo") + chunk(None, "stop")


@pytest.fixture(scope="module")
def line(provider: Raw, up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    tmp_path = tmp_path_factory.mktemp("wire")
    # One broken provider for all tests: none may hear of what another found.
    settings = config(tmp_path, up.url, routing={"breaker": None, "provider_limits": "ignore"})
    settings["providers"]["raw"] = {"format": "openai", "base_url": provider.url}
    settings["models"]["raw"] = {"targets": ["raw/m"]}
    settings["models"]["raw-or-up"] = {"targets": ["raw/m", "up/echo"]}
    with running(tmp_path, settings) as started:
        yield started


LARGE = {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 200_000}}]}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("answer", [WHOLE, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("close", ["on the second call", "by a reset on the second call", "after each answer"])
def test_a_dead_connection_is_tried_afresh(line: Line, raw: Raw, close: str, answer: object, stream: bool) -> None:
    """No call fails because a provider closes or resets idle connections, whatever they carried before."""
    raw.answer, raw.close = ("content-type: application/json\r\n", json.dumps(answer).encode()), close
    assert [line.chat("hi", "raw", stream=stream).status_code for _ in range(6)] == [200] * 6


async def test_what_breaks_late_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that breaks after a while may have been worked for: a second try would be billed twice."""
    attempt = pool.Attempt(fresh=False)
    attempt.reused, attempt.protocol = True, pool.Handler(asyncio.get_running_loop())
    assert attempt.unanswered
    attempt.began -= client.AT_ONCE
    assert not attempt.unanswered


def test_nothing_is_sent_twice_once_bytes_came(line: Line, raw: Raw) -> None:
    """Half a head is the beginning of an answer."""
    raw.answer = ("content-type: application/json\r\n", json.dumps(WHOLE).encode())
    assert line.chat("hi", "raw").status_code == 200
    raw.close = "in the head"
    assert line.chat("hi", "raw").status_code == 502
    assert raw.calls == 2


def test_a_reset_in_the_answer_is_told_and_charged(line: Line, raw: Raw) -> None:
    """The call is sent neither again nor to the next target: the received part of the answer was paid for."""
    said = {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 20_000}}]}
    raw.answer = ("content-type: application/json\r\n", json.dumps(said).encode())
    raw.close = "by a reset in the answer"
    answer = line.chat("hi", "raw-or-up", cid="reset-in-the-answer")
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_error"
    assert "broke off its answer" in answer.json()["error"]["message"]
    assert raw.calls == 1
    query = "select record from outcomes where correlation_id = 'reset-in-the-answer'"
    eventually(lambda: line.rows(query))  # the tokens are counted after the answer has left
    ((record,),) = line.rows(query)
    outcome = json.loads(record)
    assert outcome["usage"]["counted"]
    assert outcome["usage"]["input"] > 0


@pytest.mark.parametrize("kind", ["Text/Event-Stream", "text/plain", "application/json"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_stream_is_one_by_what_it_says(line: Line, raw: Raw, kind: str, stream: bool) -> None:
    """With any media type and a byte order mark, and assembled for callers that asked for a whole answer."""
    raw.answer = (f"content-type: {kind}\r\n", b"\xef\xbb\xbf" + STREAM + b"data: [DONE]")
    answer = line.chat("hi", "raw", stream=stream)
    assert answer.status_code == 200
    if not stream:
        assert answer.json()["choices"][0]["message"]["content"] == "hello"
        return
    said = [json.loads(one[6:]) for one in answer.text.split("\n\n") if one.startswith("data: {")]
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in said) == "hello"
    assert answer.text.endswith("data: [DONE]\n\n")


LINES = STREAM.replace(b"data: ", b"").replace(b"\n\n", b"\n")


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/jsonlines; charset=utf-8"])
@pytest.mark.parametrize("said", [LINES, LINES.replace(b"\n", b"\r\n\r\n"), LINES.rstrip(), LINES + b"[DONE]\n"])
@pytest.mark.parametrize("stream", [True, False])
def test_lines_of_json_are_a_stream(line: Line, raw: Raw, kind: str, said: bytes, stream: bool) -> None:
    """One object per line, with or without empty lines, with or without a final line end."""
    raw.answer = (f"content-type: {kind}\r\n", said)
    answer = line.chat("hi", "raw", stream=stream)
    assert answer.status_code == 200
    if stream:
        events = [json.loads(one[6:]) for one in answer.text.split("\n\n") if one.startswith("data: {")]
        assert "".join(one["choices"][0]["delta"].get("content") or "" for one in events) == "hello"
        assert answer.text.endswith("data: [DONE]\n\n")
    else:
        assert answer.json()["choices"][0]["message"]["content"] == "hello"


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "text/event-stream"])
@pytest.mark.parametrize("said", [LINES, LINES + b"null\n[DONE]\n", b"\n" + LINES.replace(b"\n", b"\r\n")])
def test_lines_of_json_under_another_type(line: Line, raw: Raw, kind: str, said: bytes) -> None:
    """The first line is an object and no whole answer, so the lines are the events of the requested stream."""
    raw.answer = (f"content-type: {kind}\r\n", said)
    answer = line.chat("hi", "raw", stream=True)
    events = [json.loads(one[6:]) for one in answer.text.split("\n\n") if one.startswith("data: {")]
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in events) == "hello"
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("indent", [None, 1])
def test_a_whole_answer_for_a_stream_is_no_line(line: Line, raw: Raw, indent: int | None) -> None:
    """On one line or on many."""
    raw.answer = ("content-type: application/json\r\n", json.dumps(WHOLE, indent=indent).encode() + b"\n")
    assert "hello" in line.chat("hi", "raw", stream=True).text


CALL = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": '{"a":[null,1]}'}}
NULLS: dict[str, Any] = {
    "choices": lambda choice: [None, choice, None],
    "tool calls": lambda choice: [{**choice, "message": {**choice["message"], "tool_calls": [None]}}],
    "tool calls among others": lambda choice: [
        {**choice, "message": {**choice["message"], "tool_calls": [None, CALL]}, "finish_reason": "tool_calls"}
    ],
    "parts": lambda choice: [
        {**choice, "message": {"role": "assistant", "content": [None, {"type": "text", "text": "hello"}]}}
    ],
    "annotations": lambda choice: [{**choice, "message": {**choice["message"], "annotations": [None]}}],
}


@pytest.mark.parametrize("name", NULLS)
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("asked", [True, False])
def test_null_in_a_list_says_nothing(line: Line, raw: Raw, name: str, streamed: bool, asked: bool) -> None:
    """Clients fail on null where an object should be: it is removed, the same in streams and whole answers."""
    said = {**WHOLE, "choices": NULLS[name](WHOLE["choices"][0])}
    data = json.dumps(said).encode()
    if streamed:
        data = b"data: null\n\ndata: %s\n\ndata: null\n\ndata: [DONE]\n\n" % data.replace(b'"message"', b'"delta"')
    raw.answer = (f"content-type: {'text/event-stream' if streamed else 'application/json'}\r\n", data)
    tools = [{"type": "function", "function": {"name": "send"}}]
    answer = line.chat("hi", "raw", stream=asked, tools=tools)
    assert answer.status_code == 200
    events = [one[6:] for one in answer.text.split("\n\n") if one.startswith("data: {")] if asked else [answer.text]
    assert "hello" in "".join(events)
    assert "[null" not in answer.text.replace(r"[null,1]", "")
    assert ("[null,1]" in answer.text) == (name == "tool calls among others")
    assert "data: null" not in answer.text


def test_one_line_may_be_the_whole_answer(line: Line, raw: Raw) -> None:
    """It is read as a whole answer, whatever was requested."""
    raw.answer = ("content-type: application/x-ndjson\r\n", json.dumps(WHOLE).encode() + b"\n")
    assert line.chat("hi", "raw").json()["choices"][0]["message"]["content"] == "hello"
    assert "hello" in line.chat("hi", "raw", stream=True).text


@given(st.lists(st.integers(0, len(LINES)), max_size=6))
def test_lines_may_be_cut_anywhere(places: list[int]) -> None:
    """The events are the same."""
    marks = sorted({0, len(LINES), *places})

    async def read() -> bytes:
        async def chunks() -> AsyncIterator[bytes]:
            for low, high in itertools.pairwise(marks):
                yield LINES[low:high]

        rest = chunks()
        return b"".join([data async for data in forms.events_of_lines(await anext(rest), rest)])

    assert asyncio.run(read()) == STREAM


ODD = {
    "no choices": b'data: {"id": "x"}\n\n' + STREAM,
    "null choices": b'data: {"id": "x", "choices": null}\n\n' + STREAM,
    "padding in the usage": STREAM
    + b'data: {"id": "x", "choices": [], "obfuscation": "abc", "usage": %s}\n\n' % json.dumps(USAGE).encode(),
    "more in the usage": STREAM
    + b'data: {"id": "x", "choices": [], "x_note": "abc", "usage": %s}\n\n' % json.dumps(USAGE).encode(),
    "unterminated": STREAM + b'data: {"id": "x", "choices": [], "usage": %s}' % json.dumps(USAGE).encode(),
    "half a pair": chunk("hello ")
    + b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n'
    + STREAM,
}


@pytest.mark.parametrize("name", ODD)
def test_odd_events_are_read(line: Line, raw: Raw, name: str) -> None:
    """The answer arrives, and every chunk has a choice for callers that did not ask for usage."""
    raw.answer = ("content-type: text/event-stream\r\n", ODD[name])
    answer = line.chat("hi", "raw", cid=f"odd-{name.replace(' ', '-')}", stream=True)
    said = [json.loads(one[6:]) for one in answer.text.split("\n\n") if one.startswith("data: {")]
    assert all(one["choices"] for one in said)
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in said).endswith("hello")


ERRORS = {
    "event": b'data: {"error": {"message": "busy", "code": 503}}\n\n',
    "named event": b'event: error\r\ndata: {"error": {"message": "busy"}}\r\n\r\n',
    "after comments": b': waiting\n\n: waiting\n\nid: 1\nretry: 5\ndata: {"error": {"message": "busy"}}\n\n',
    "words alone": b'data: {"error": "busy"}\n\n',
    "with a failed choice": b'data: {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}], '
    b'"error": {"message": "busy"}}\n\n',
    "object of that kind": b'data: {"object": "error", "message": "busy", "code": 503}\n\n',
    "whole": b'{"error": {"message": "busy"}}',
    "page": b"<html>busy</html>",
    "nothing": b"",
}


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_as_first_event_fails_over(line: Line, raw: Raw, name: str, pieces: int) -> None:
    """An error in the body acts like its status, for streams and whole answers, with any cut."""
    kind = "text/event-stream" if ERRORS[name].startswith((b"data", b"event", b":")) else "application/json"
    raw.answer, raw.pieces = (f"content-type: {kind}\r\n", ERRORS[name]), pieces
    for stream in (True, False):
        answer = line.chat("hi", "raw-or-up", stream=stream)
        assert answer.status_code == 200
        assert "error" not in answer.text


async def in_two(text: bytes, at: int) -> AsyncIterator[bytes]:
    """A text in two pieces."""
    yield text[:at]
    yield text[at:]


@pytest.mark.parametrize("name", [name for name in ERRORS if name not in ("page", "nothing")])
async def test_an_error_is_seen_wherever_it_is_cut(name: str) -> None:
    """The received bytes are held until they show whether the answer is an error."""
    for at in range(len(ERRORS[name])):
        start = await forms.peeked(in_two(ERRORS[name], at))
        assert forms.first_error(start, OPENAI_CHAT) is not None, start


@pytest.mark.parametrize("answer", [STREAM, json.dumps(WHOLE).encode()], ids=["stream", "whole"])
async def test_an_answer_is_none_wherever_it_is_cut(answer: bytes) -> None:
    """Only the beginning is held, and nothing is lost."""
    for at in range(len(answer)):
        chunks = in_two(answer, at)
        start = await forms.peeked(chunks)
        assert forms.first_error(start, OPENAI_CHAT) is None
        assert start + b"".join([piece async for piece in chunks]) == answer


async def test_comments_are_not_held_back_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """They show proxies that the connection is alive."""
    monkeypatch.setattr(forms, "_PATIENCE", -1)

    async def comments() -> AsyncIterator[bytes]:
        while True:
            yield b": waiting\n\n"

    assert await forms.peeked(comments()) == b": waiting\n\n"


HINTS = {
    "retry-after": "7",
    "retry-after-ms": "1500",
    "x-should-retry": "true",
    "x-ratelimit-reset-requests": "2s",
    "x-ratelimit-remaining-tokens": "149984",
    "anthropic-ratelimit-requests-reset": "2026-11-26T00:00:00Z",
    "ratelimit": '"default";r=0;t=30',
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("body", [b'data: {"error": {"code": 429}}\n\n', b'{"error": {"type": "rate_limit_error"}}'])
def test_an_upstreams_429_keeps_its_hints(line: Line, raw: Raw, body: bytes, stream: bool) -> None:
    """Status and hints reach the caller, in addition to those of the gateway's limits."""
    raw.answer = ("".join(f"{name}: {value}\r\n" for name, value in HINTS.items()), body)
    answer = line.chat("hi", "raw", stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
    assert answer.headers["retry-after"] == "2"  # of two, the exact one
    for name, value in HINTS.items():
        if name != "retry-after":
            assert answer.headers[name if "retry" in name else f"x-upstream-{name.removeprefix('x-')}"] == value


@pytest.mark.parametrize("seconds", [1, 5000, 86400])
def test_a_long_wait_is_kept(line: Line, raw: Raw, seconds: int) -> None:
    """Also where a provider is closed for a day."""
    raw.answer = (f"retry-after: {seconds}\r\n", b'{"error": {"type": "rate_limit_error"}}')
    assert line.chat("hi", "raw").headers["retry-after"] == str(seconds)


def test_the_end_of_a_stream_says_nothing_else(line: Line, raw: Raw) -> None:
    """Data next to `[DONE]` was not judged and does not leave."""
    raw.answer = ("content-type: text/event-stream\r\n", STREAM + b": bob@example.net\nid: 4\ndata:  [DONE] \n\n")
    answer = line.chat("hi", "raw", stream=True)
    assert answer.text.endswith("\n\ndata: [DONE]\n\n")
    assert "bob" not in answer.text


def test_any_status_of_success_is_one(line: Line, raw: Raw) -> None:
    """201 and 202 are answers, too."""
    raw.status = "201 Created"
    raw.answer = ("content-type: application/json\r\n", json.dumps({**WHOLE, "usage": USAGE}).encode())
    assert line.chat("hi", "raw", cid="created").status_code == 200
    ((record,),) = line.rows("SELECT record FROM outcomes WHERE correlation_id = 'created'")
    assert json.loads(record)["usage"]["output"] == USAGE["completion_tokens"]


def test_refused_stream_options_are_left_out(line: Line, raw: Raw) -> None:
    """Sent again without them, and never again with them."""
    raw.answer, raw.close = ("content-type: text/event-stream\r\n", STREAM), "no options"
    assert [line.chat("hi", "raw", stream=True).status_code for _ in range(2)] == [200, 200]
    assert raw.calls == 3


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": [], "x": ' + b"[" * 400 + b"]" * 400 + b', "y": "bob@example.net"}',
        b'{"exp": 1' + b"0" * 400 + b', "choices": []}',
    ],
)
def test_answers_that_cannot_be_read_are_errors(line: Line, raw: Raw, body: bytes) -> None:
    """An error for the caller; the call is settled."""
    raw.answer = ("content-type: application/json\r\n", body)
    answer = line.chat("hi", "raw", cid="deep")
    assert answer.json()["error"]["code"] in ("upstream_error", "output_blocked")
