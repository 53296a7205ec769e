"""Texts in places of Gemini's dialect that are seldom used are judged as all others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import upstream as scripted
from formats.wires import Gemini
from line import Line, gemini_config, running

WIRE = Gemini()
SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
FIRST, SECOND = SECRET[:17], SECRET[17:]
MAIL = "ann.smith@example.org"
either = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that checks answers, and lets media pass."""
    folder = tmp_path_factory.mktemp("places")
    fields: dict[str, Any] = {"pii": {"unscannable": "allow"}, "output": {"secrets": "block", "unscannable": "allow"}}
    with running(folder, gemini_config(folder, up.url, **fields)) as started:
        yield started


def ask(line: Line, body: dict[str, Any], model: str, *, stream: bool) -> Any:
    """One call."""
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return line.client.post(f"/v1beta/models/{model}:{verb}", json=body)


ASKED: dict[str, Any] = {
    "a part": lambda held: {"contents": [{"role": "user", "parts": [{"text": "x", **held}, {"text": "hi"}]}]},
    "a result": lambda held: {
        "contents": [
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": held}}]},
            {"role": "user", "parts": [{"text": "hi"}]},
        ]
    },
    "a tool": lambda held: {
        "contents": [{"parts": [{"text": "hi"}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": held}]}],
    },
    "the body": lambda held: {"contents": [{"parts": [{"text": "hi"}]}], **held},
}


@either
@pytest.mark.parametrize("key", ["logprobsResult", "logprobs_result"])
@pytest.mark.parametrize("where", ASKED)
def test_probabilities_in_a_request_are_texts(
    line: Line, up: scripted.Upstream, where: str, key: str, stream: bool
) -> None:
    """A key of answers has no meaning in a request."""
    assert ask(line, ASKED[where]({key: {"token": MAIL}}), "echo", stream=stream).status_code == 200
    assert MAIL.encode() not in up.last.raw


SAID: dict[str, list[bytes]] = {
    "probabilities in another field": [WIRE.event({"text": "x"}, other={"logprobsResult": {"token": SECRET}})],
    "a result of code": [
        WIRE.event({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": it}}) for it in (FIRST, SECOND)
    ],
    "a part of another kind": [WIRE.event({"other": {"texts": [it]}}) for it in (FIRST, SECOND)],
    "two parts of another kind": [WIRE.event(*({"other": {"texts": [it]}} for it in (FIRST, SECOND)))],
    "beside a text": [WIRE.event({"text": "x", "partMetadata": {"k": it}}) for it in (FIRST, SECOND)],
    "data": [WIRE.event({"inlineData": {"mimeType": "text/plain", "data": SECRET}})],
    "data in pieces": [WIRE.event({"inlineData": {"mimeType": "text/plain", "data": it}}) for it in (FIRST, SECOND)],
}


@either
@pytest.mark.parametrize("how", SAID)
def test_a_secret_of_an_answer_goes_nowhere(line: Line, up: scripted.Upstream, how: str, stream: bool) -> None:
    """Also in pieces, which are one text in a whole answer and in a stream."""
    events = [*SAID[how], WIRE.event({"text": ""}, reason="STOP")]
    up.script["say"] = events if stream else json.loads(WIRE.codec.assemble(b"".join(events)))
    answer = ask(line, {"contents": [{"parts": [{"text": "say"}]}]}, "script", stream=stream)
    assert SECRET not in answer.text
    assert SECOND not in answer.text
