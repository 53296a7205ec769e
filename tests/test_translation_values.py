"""What a target of another format receives: no value that the redaction of the caller's format removes.

Values are put into every place of a conversation that has one of everything, whole or split over two places.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import upstream as scripted
from line import Line, config, running

MAIL = "ann.lee@example.org"
CARD = "4111111111111111"
SCHEMA = {"type": "object", "title": "t", "properties": {"to": {"type": "string", "description": "x", "enum": ["a"]}}}
PIXEL = "iVBORw0KGgo="
PICTURE = f"data:image/png;base64,{PIXEL}"


def texts(*said: str, kind: str = "text") -> list[Any]:
    return [{"type": kind, "text": one} for one in said]


def call(id: str) -> Any:
    return {"id": id, "type": "function", "function": {"name": "send", "arguments": '{"to":"x"}'}}


CHAT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": texts("s1", "s2")},
        {"role": "developer", "content": "s3"},
        {"role": "user", "content": [*texts("u1", "u2"), {"type": "image_url", "image_url": {"url": PICTURE}}]},
        {"role": "user", "content": "u3"},
        {"role": "assistant", "content": texts("a1", "a2"), "refusal": "r", "tool_calls": [call("c1"), call("c2")]},
        {"role": "tool", "tool_call_id": "c1", "content": texts("t1", "t2")},
        {"role": "tool", "tool_call_id": "c2", "content": "t3"},
        {"role": "assistant", "content": "a3", "reasoning_content": "k"},
        {"role": "assistant", "content": "a4"},
        {"role": "user", "content": "u4"},
    ],
    "tools": [{"type": "function", "function": {"name": "send", "description": "d", "parameters": SCHEMA}}],
    "stop": ["q"],
    "user": "u",
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": SCHEMA}},
}
MESSAGES: dict[str, Any] = {
    "max_tokens": 9,
    "system": texts("s1", "s2"),
    "messages": [
        {"role": "user", "content": texts("u1", "u2")},
        {"role": "user", "content": "u3"},
        {
            "role": "assistant",
            "content": [
                *texts("a1"),
                {"type": "thinking", "thinking": "k", "signature": "s"},
                {"type": "tool_use", "id": "c1", "name": "send", "input": {"to": "x", "n": 4, "k": {"z": ["w"]}}},
                *texts("a2"),
            ],
        },
        {"role": "assistant", "content": [*texts("a3"), {"type": "tool_use", "id": "c2", "name": "send", "input": {}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": texts("t1", "t2")},
                {
                    "type": "tool_result",
                    "tool_use_id": "c2",
                    "content": [
                        *texts("t3"),
                        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
                        *texts("t4"),
                    ],
                },
                *texts("u4"),
            ],
        },
        {"role": "system", "content": "s3"},
        {"role": "assistant", "content": "a4"},
        {"role": "assistant", "content": "a5"},
        {"role": "user", "content": "u5"},
    ],
    "tools": [{"name": "send", "description": "d", "input_schema": SCHEMA}],
    "stop_sequences": ["q"],
    "metadata": {"user_id": "u"},
}
GEMINI: dict[str, Any] = {
    "systemInstruction": {"parts": [{"text": "s1"}, {"text": "s2"}]},
    "contents": [
        {
            "role": "user",
            "parts": [{"text": "u1"}, {"inlineData": {"mimeType": "image/png", "data": PIXEL, "displayName": "n"}}],
        },
        {"role": "user", "parts": [{"text": "u2"}, {"text": "u3"}]},
        {
            "role": "model",
            "parts": [
                {"text": "a1"},
                {"text": "k", "thought": True},
                {"text": "a2"},
                {"functionCall": {"id": "c1", "name": "send", "args": {"to": "z", "k": ["w"]}}},
                {"text": "a3"},
            ],
        },
        {"role": "model", "parts": [{"text": "a4"}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "c1", "name": "send", "response": {"a": {"b": ["c"]}, "d": "e"}}}],
        },
        {"role": "model", "parts": [{"text": "a5"}]},
        {"role": "model", "parts": [{"text": "a6"}]},
        {"role": "user", "parts": [{"text": "u4"}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "send", "description": "d", "parametersJsonSchema": SCHEMA}]}],
    "generationConfig": {"stopSequences": ["q"]},
}


def item(role: str, *said: str) -> Any:
    return {"role": role, "content": texts(*said, kind="output_text" if role == "assistant" else "input_text")}


RESPONSES: dict[str, Any] = {
    "instructions": "i",
    "input": [
        item("developer", "s1", "s2"),
        item("user", "u1", "u2"),
        item("user", "u3"),
        item("assistant", "a1", "a2"),
        {"type": "function_call", "call_id": "c1", "name": "send", "arguments": '{"to":"x"}'},
        item("assistant", "a3"),
        {"type": "reasoning", "summary": texts("k1", "k2", kind="summary_text")},
        item("assistant", "a4"),
        {"type": "function_call_output", "call_id": "c1", "output": texts("o1", "o2", kind="input_text")},
        item("assistant", "a5"),
        {"role": "assistant", "content": "a6"},
        item("user", "u4"),
    ],
    "tools": [{"type": "function", "name": "send", "description": "d", "parameters": SCHEMA}],
    "user": "u",
}
CALLERS = {"chat": CHAT, "messages": MESSAGES, "gemini": GEMINI, "responses": RESPONSES}
OWN = {"chat": "openai", "responses": "openai", "messages": "anthropic", "gemini": "gemini"}
FORMATS = ("openai", "anthropic", "gemini")
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
PAIRS = [
    (caller, format) for caller in CALLERS for format in ("openai", "anthropic", "gemini") if format != OWN[caller]
]
Place = tuple[Any, ...]


def places(value: Any, path: Place = ()) -> Iterator[Place]:
    """The paths of all strings."""
    if isinstance(value, str):
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def put(body: Any, path: Place, text: str) -> None:
    """Write a string."""
    for key in path[:-1]:
        body = body[key]
    body[path[-1]] = text


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a model of every format."""
    folder: Path = tmp_path_factory.mktemp("values")
    made = config(folder, up.url, pii={"unscannable": "allow"}, routing={"breaker": None})
    for format in FORMATS:
        url = up.url if format == "openai" else up.url.removesuffix("/v1")
        made["providers"][format] = {"format": format, "base_url": url, "api_key": "sk-up"}
        made["models"][f"to-{format}"] = {"targets": [f"{format}/echo"]}
    with running(folder, made) as started:
        yield started


def sent(line: Line, up: scripted.Upstream, caller: str, format: str, body: Any) -> bytes:
    """What the target receives; nothing for a refused call."""
    number, model = len(up.seen), f"to-{format}"
    path = PATHS.get(caller, f"/v1beta/models/{model}:generateContent")
    answer = line.client.post(path, json=body if caller == "gemini" else {"model": model, **body})
    assert answer.status_code in (200, 400, 403), answer.text
    return up.last.raw if len(up.seen) > number else b""


@pytest.mark.parametrize(("caller", "format"), PAIRS)
def test_a_value_in_any_place(line: Line, up: scripted.Upstream, caller: str, format: str) -> None:
    """One of everything is translated; a value in any string never arrives."""
    assert b"u1" in sent(line, up, caller, format, CALLERS[caller])
    for path in places(CALLERS[caller]):
        for value in (MAIL, CARD):
            body = copy.deepcopy(CALLERS[caller])
            put(body, path, value)
            assert value.encode() not in sent(line, up, caller, format, body), path


@pytest.mark.parametrize(("caller", "format"), PAIRS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_value_that_is_split_over_two_places(
    line: Line, up: scripted.Upstream, caller: str, format: str, data: st.DataObject
) -> None:
    """The translation joins nothing that was judged apart."""
    every = list(places(CALLERS[caller]))
    first = data.draw(st.integers(0, len(every) - 2))
    second = data.draw(st.integers(first + 1, min(first + 8, len(every) - 1)))
    cut = data.draw(st.integers(1, len(MAIL) - 1))
    body = copy.deepcopy(CALLERS[caller])
    put(body, every[first], f"to {MAIL[:cut]}")
    put(body, every[second], f"{MAIL[cut:]} now")
    assert MAIL.encode() not in sent(line, up, caller, format, body), json.dumps(body)
