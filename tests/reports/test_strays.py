"""Tool calls in any shape and place of an answer: the called tool must have been offered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import calls
import upstream as scripted
from formats.wires import Messages
from gateway.call import Redaction
from gateway.config.sections import Output
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.errors import Refusal
from gateway.output.screen import AnswerFilter, Screen
from line import Line, config, running

CALL = {"id": "a", "type": "function", "function": {"name": "NAME", "arguments": "{}"}}
FUNCTION = {"name": "NAME", "arguments": "{}"}
SAID: dict[str, Any] = {
    "an object": {"tool_calls": CALL},
    "camel case": {"toolCalls": [CALL]},
    "one call": {"tool_call": CALL},
    "a part": {"content": [{"type": "tool_use", "id": "a", "name": "NAME", "input": {}}]},
    "a part of another type": {"content": [{"type": "custom_tool_call", "name": "NAME", "input": "x"}]},
    "a part that is a function": {"content": [{"type": "function", "function": FUNCTION}]},
    "a part with a call in it": {"content": [{"functionCall": {"name": "NAME", "args": {}}}]},
    "a part in a part": {"content": [{"type": "x", "content": [{"toolUse": {"name": "NAME", "input": {}}}]}]},
    "content that is a part": {"content": {"type": "tool_use", "name": "NAME", "input": {}}},
    "blanks about the key": {"tool_calls ": [CALL]},
    "below a field of the server's own": {"provider_specific_fields": {"tool_calls": [CALL]}},
    "parts": {"parts": [{"functionCall": {"name": "NAME", "args": {}}}]},
    "blocks": {"content_blocks": [{"type": "tool_use", "name": "NAME", "input": {}}]},
    "details": {"reasoning_details": [{"type": "tool_call", "name": "NAME", "arguments": "{}"}]},
    "deep": {"x": {"y": [[{"z": {"tool_calls": [CALL]}}]]}},
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
    "output": {"choices": [], "output": [{"type": "function_call", "name": "NAME", "arguments": "{}"}]},
    "output of a choice": {
        "choices": [{"index": 0, "delta": {}, "message": {}, "output": [{"type": "tool_use", **FUNCTION}]}]
    },
    "a message beside the choices": {"choices": [], "message": {"role": "assistant", "tool_calls": [CALL]}},
    "candidates": {
        "choices": [],
        "candidates": [{"content": {"parts": [{"functionCall": {"name": "NAME", "args": {}}}]}}],
    },
}


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """As shipped: `output.tools` is `offered`."""
    folder = tmp_path_factory.mktemp("strays")
    with running(folder, config(folder, up.url, output={"secrets": "block", "sql": ["select"]})) as started:
        yield started


def code(line: Line, up: scripted.Upstream, answer: Any, *, stream: bool) -> str:
    """The result of a call that offers the tool `send`: an error code, or ok."""
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


@pytest.mark.parametrize("stream", [False, True])
def test_what_counts_or_reports_is_no_call(line: Line, up: scripted.Upstream, stream: bool) -> None:
    """Numbers of calls, reasoning, sources, calls that the provider made itself."""
    said = {
        "executed_tools": [{"index": 0, "type": "python", "name": "run", "arguments": "{}", "output": "1"}],
        "reasoning_details": [{"type": "reasoning.text", "text": "hm", "format": "x", "index": 0}],
        "x": {"tool_calls": 2, "function_call": None, "model_info": {"name": "llama", "parameters": {"size": "8b"}}},
    }
    choice = {"index": 0, "finish_reason": "stop", "delta" if stream else "message": {"content": "a", **said}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "tool_calls": 2}
    assert code(line, up, {"choices": [choice], "usage": usage, "y": {"tool_calls": 1}}, stream=stream) == "ok"


def test_a_call_that_is_no_object(line: Line, up: scripted.Upstream) -> None:
    """Among the calls of a message."""
    message = {"role": "assistant", "tool_calls": [json.dumps(named(CALL, "send"))]}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    assert code(line, up, {"choices": [choice]}, stream=False) == "tool_not_offered"


@pytest.mark.parametrize(
    "more", [{"name": "wipe"}, {"mcp": {"name": "wipe"}}, {"retrieval": {"name": "wipe", "arguments": "{}"}}]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_with_two_names(line: Line, up: scripted.Upstream, more: dict[str, Any], stream: bool) -> None:
    """Two names, one of which was offered: a client may read the other."""
    message = {"role": "assistant", "tool_calls": [{"index": 0, **named(CALL, "send"), **more}]}
    choice = {"index": 0, "finish_reason": "stop", "delta" if stream else "message": message}
    assert stopped(line, up, {"choices": [choice]}, stream=stream)


def stopped(line: Line, up: scripted.Upstream, answer: Any, *, stream: bool) -> bool:
    """Whether an answer is stopped, or leaves without the name of a tool that was not offered."""
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", **answer}
    up.script["say"] = [b"data: " + json.dumps(answer).encode() + b"\n\n", b"data: [DONE]\n\n"] if stream else answer
    response = line.chat("say", "script", stream=stream, tools=[{"type": "function", "function": {"name": "send"}}])
    return "wipe" not in response.text and ("tool_not_offered" in response.text or stream)


BLOCKS: dict[str, Any] = {
    "another case": {"type": "Tool_Use", "name": "NAME", "input": "{}"},
    "no arguments": {"type": "TOOL-USE", "name": "NAME"},
    "a list": {"type": "x", "name": "NAME", "input": [1]},
    "no type of a call": {"type": "text", "text": "a", "name": "NAME", "arguments": "{}"},
    "responses": {"type": "function_call", "name": "NAME", "arguments": "{}"},
    "custom": {"type": "custom_tool_call", "name": "NAME", "input": "x"},
    "chat": {"type": "function", "function": FUNCTION},
    "converse": {"type": "x", "toolUse": {"name": "NAME", "input": {}}},
    "gemini": {"type": "x", "functionCall": {"name": "NAME", "args": {}}},
    "calls beside a text": {"type": "text", "text": "a", "tool_calls": [CALL]},
    "in a result": {"type": "tool_result", "content": [{"type": "tool_use", "name": "NAME", "input": {}}]},
    "of an MCP server": {"type": "mcp_call", "name": "NAME", "server_label": "a", "arguments": "{}"},
}
SPREAD: dict[str, Any] = {
    "calls": {"tool_calls": [CALL]},
    "choices": {"choices": [{"message": {"tool_calls": [CALL]}}]},
    "messages": {"messages": [{"content": [{"type": "tool_use", "name": "NAME", "input": {}}]}]},
}
HARMLESS: list[Any] = [
    {"type": "text", "text": "a", "citations": [{"type": "char_location", "cited_text": "b", "document_title": "c"}]},
    {"type": "web_search_tool_result", "tool_use_id": "a", "content": [{"type": "web_search_result", "title": "b"}]},
    {"type": "code_execution_tool_result", "tool_use_id": "a", "content": {"type": "x", "stdout": "b", "content": []}},
    {"type": "mcp_tool_result", "tool_use_id": "a", "is_error": False, "content": [{"type": "text", "text": "b"}]},
    {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "tool_reference", "tool_name": "send"}]},
    {"type": "thinking", "thinking": "a", "signature": "EqQBCkYIAxgCKkAx"},
    {"type": "container_upload", "file_id": "file_a"},
]


def filter_of(scanner: StreamScanner) -> AnswerFilter:
    """The filter of the answer to a call that offers the tool `send`."""
    call = calls.call(ANTHROPIC_MESSAGES, redaction=Redaction())
    call.request.body = Messages().request(("user", "hi"), tools=[{"name": "send", "input_schema": {}}])
    return Screen(Output.model_validate({}), scanner, lambda _: False).filter(call)


def judged(scanner: StreamScanner, block: Any, *, stream: bool) -> None:
    """Judge a message with this block, to a call that offers the tool `send`. Raises Refusal."""
    wire, made = Messages(), filter_of(scanner)
    if not stream:
        made.whole({**wire.whole("a"), "content": [block]})
        return
    feed(made, wire.message(wire.block(0, block, [])))


def feed(made: AnswerFilter, events: list[bytes]) -> None:
    """Judge a stream. Raises Refusal."""
    codec = ANTHROPIC_MESSAGES.stream()
    for event in events:
        for chunk in codec.feed(event):
            made.feed(chunk, codec)


def beside(scanner: StreamScanner, more: Any) -> None:
    """Judge a whole message with further fields. Raises Refusal."""
    filter_of(scanner).whole({**Messages().whole("a"), **more})


def started(scanner: StreamScanner, more: Any) -> None:
    """Judge a stream whose first event has these fields of the message. Raises Refusal."""
    message = {"id": "a", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}, **more}
    feed(filter_of(scanner), [event("message_start", message=message)])


def ended(scanner: StreamScanner, more: Any) -> None:
    """Judge a stream whose last delta has these fields. Raises Refusal."""
    message = {"id": "a", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}
    delta = event("message_delta", delta={"stop_reason": "end_turn", **more}, usage={"output_tokens": 1})
    feed(filter_of(scanner), [event("message_start", message=message), delta])


def event(kind: str, **more: Any) -> bytes:
    """One event of a message."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", BLOCKS)
def test_blocks_in_any_shape(scanner: StreamScanner, how: str, stream: bool) -> None:
    """Of a message: the tool that was offered may be called, another not."""
    judged(scanner, named(BLOCKS[how], "send"), stream=stream)
    with pytest.raises(Refusal, match="did not offer"):
        judged(scanner, named(BLOCKS[how], "wipe"), stream=stream)


@pytest.mark.parametrize("how", BLOCKS)
def test_blocks_that_begin_with_the_message(scanner: StreamScanner, how: str) -> None:
    """Clients keep them as the first blocks of the message."""
    with pytest.raises(Refusal, match="did not offer"):
        started(scanner, {"content": [named(BLOCKS[how], "wipe")]})
    started(scanner, {"content": [named(BLOCKS[how], "send")]})


@pytest.mark.parametrize("how", SPREAD)
@pytest.mark.parametrize("place", ["whole", "start", "end"])
def test_calls_in_fields_of_a_message(scanner: StreamScanner, how: str, place: str) -> None:
    """Beside its blocks, whole or at either end of a stream."""
    judge = {"whole": beside, "start": started, "end": ended}[place]
    judge(scanner, named(SPREAD[how], "send"))
    with pytest.raises(Refusal, match="did not offer"):
        judge(scanner, named(SPREAD[how], "wipe"))


def test_a_block_with_two_names(scanner: StreamScanner) -> None:
    """Two names, one of which was offered: a client may read the other."""
    block = {"type": "tool_use", "id": "a", "name": "send", "input": {}, "function": {"name": "wipe"}}
    with pytest.raises(Refusal, match="did not offer"):
        judged(scanner, block, stream=False)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("block", HARMLESS, ids=lambda block: block["type"])
def test_blocks_that_call_nothing(scanner: StreamScanner, block: Any, stream: bool) -> None:
    """Texts, results and files."""
    judged(scanner, block, stream=stream)


@pytest.fixture(scope="module")
def scanner(pii: PiiScanner) -> StreamScanner:
    """A scanner with the rules for answers."""
    return StreamScanner(pii, SecretScanner(), {})


@pytest.mark.parametrize("kind", ["source", "inline"])
def test_a_picture_among_streamed_parts(line: Line, up: scripted.Upstream, kind: str) -> None:
    """Parts that are not text are recognized in a stream as in a whole answer."""
    part: dict[str, Any] = {"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}}
    if kind == "inline":
        part = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    choice = {"index": 0, "delta": {"content": [{"type": "text", "text": "see"}, part]}}
    assert code(line, up, {"choices": [choice]}, stream=True) == "output_blocked"
