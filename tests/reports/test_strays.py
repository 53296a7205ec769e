"""Tool calls in any shape and place of an answer: the called tool must have been offered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import upstream as scripted
from line import Line, config, running

CALL = {"id": "a", "type": "function", "function": {"name": "NAME", "arguments": "{}"}}
FUNCTION = {"name": "NAME", "arguments": "{}"}
SAID: dict[str, Any] = {
    "an object": {"tool_calls": CALL},
    "camel case": {"toolCalls": [CALL]},
    "one call": {"tool_call": CALL},
    "a part": {"content": [{"type": "tool_use", "id": "a", "name": "NAME", "input": {}}]},
    "a part of a server": {"content": [{"type": "server_tool_use", "id": "a", "name": "NAME", "input": {}}]},
}
NAMELESS: dict[str, Any] = {
    "a string": {"tool_calls": json.dumps([CALL])},
    "a list of functions": {"function_call": [FUNCTION]},
    "a function as a string": {"function_call": json.dumps(FUNCTION)},
    "no name": {"toolCalls": [{"arguments": "{}"}]},
}
LEVELS: dict[str, Any] = {
    "message": lambda said: {"message": {"role": "assistant", **said}},
    "delta": lambda said: {"delta": said},
    "messages": lambda said: {"messages": [{"role": "assistant", **said}], "message": {}},
    "a list as message": lambda said: {"message": [{"role": "assistant", **said}]},
}
PLACES: dict[str, Any] = {
    "beside the choices": {"choices": [], "tool_calls": [CALL]},
    "at a choice": {"choices": [{"index": 0, "message": {}, "delta": {}, "tool_calls": [CALL]}]},
}


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """As shipped: `output.tools` is `offered`."""
    folder = tmp_path_factory.mktemp("strays")
    with running(folder, config(folder, up.url, output={"secrets": "block", "sql": ["select"]})) as started:
        yield started


def code(line: Line, up: scripted.Upstream, answer: Any, *, stream: bool) -> str:
    """What becomes of an answer to a call that offers the tool `send`: an error's code, or ok."""
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", **answer}
    data = b"data: " + json.dumps(answer).encode() + b"\n\n"
    up.script["say"] = [data, b"data: [DONE]\n\n"] if stream else answer
    offer = [{"type": "function", "function": {"name": "send"}}]
    response = line.chat("say", "script", stream=stream, tools=offer)
    return "ok" if response.status_code == 200 else str(response.json()["error"]["code"])


def named(value: Any, name: str) -> Any:
    """The value with the tool's name in it."""
    return json.loads(json.dumps(value).replace("NAME", name))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("how", [*SAID, *NAMELESS])
def test_any_shape(line: Line, up: scripted.Upstream, how: str, level: str, stream: bool) -> None:
    """An offered tool may be called in any shape that names it, any other tool in none."""
    said = {**SAID, **NAMELESS}[how]
    choice = {"index": 0, "finish_reason": "stop", **LEVELS[level](named(said, "wipe"))}
    assert code(line, up, {"choices": [choice]}, stream=stream) == "tool_not_offered"
    choice = {"index": 0, "finish_reason": "stop", **LEVELS[level](named(said, "send"))}
    right = "ok" if how in SAID else "tool_not_offered"
    assert code(line, up, {"choices": [choice]}, stream=stream) == right


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_any_place(line: Line, up: scripted.Upstream, place: str, stream: bool) -> None:
    """Also where no tool call is expected."""
    assert code(line, up, named(PLACES[place], "wipe"), stream=stream) == "tool_not_offered"
    assert code(line, up, named(PLACES[place], "send"), stream=stream) == "ok"


@pytest.mark.parametrize("kind", ["source", "inline"])
def test_a_picture_among_streamed_parts(line: Line, up: scripted.Upstream, kind: str) -> None:
    """Parts that are no text are seen in a stream as in a whole answer."""
    part: dict[str, Any] = {"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}}
    if kind == "inline":
        part = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    choice = {"index": 0, "delta": {"content": [{"type": "text", "text": "see"}, part]}}
    assert code(line, up, {"choices": [choice]}, stream=True) == "output_blocked"
