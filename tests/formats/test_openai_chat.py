"""The chat completions codec: requests, whole answers, streams."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.call import Usage
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal

USER = [{"role": "user", "content": "hi"}]


def body(**fields: Any) -> dict[str, Any]:
    """A request with these fields."""
    return {"model": "m", "messages": USER, **fields}


def test_what_a_request_asks_for() -> None:
    """Model, stream, tools and ceiling are read; n multiplies the ceiling."""
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "custom", "custom": {"name": "g"}}]
    assert OPENAI_CHAT.parse(body(stream=True, tools=tools, max_tokens=10, n=3))[:4] == ("m", True, ("f", "g"), 30)
    assert OPENAI_CHAT.parse(body(max_completion_tokens=5, max_tokens=10)).ceiling == 10
    assert OPENAI_CHAT.parse(body())[:4] == ("m", False, (), None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", None),
        ("model", ""),
        ("model", "m" * 300),
        ("messages", []),
        ("messages", "hi"),
        ("messages", [1]),
        ("messages", [{"content": "x"}]),
        ("messages", [{"role": "user", "content": 7}]),
        ("stream", "yes"),
        ("stream_options", []),
        ("n", 0),
        ("n", True),
        ("n", 10**9),
        ("max_tokens", -1),
        ("max_tokens", 1.5),
        ("max_tokens", 10**30),
        ("max_completion_tokens", "5"),
        ("tools", {}),
        ("tools", [1]),
    ],
)
def test_wrong_types_and_absurd_numbers_are_refused_by_name(field: str, value: object) -> None:
    """The error names the parameter."""
    with pytest.raises(Refusal) as caught:
        OPENAI_CHAT.parse(body(**{field: value}))
    assert (caught.value.code, caught.value.param) == ("invalid_request", field)


def test_the_request_to_the_upstream() -> None:
    """The upstream's model name and the wish for usage; other options stay."""
    request = body(stream=True, stream_options={"x": 1})
    assert OPENAI_CHAT.request(request, "up", True)
    assert request["model"] == "up"
    assert request["stream_options"] == {"x": 1, "include_usage": True}
    assert not OPENAI_CHAT.request(body(model="up"), "up", False)


def test_usage_is_read_and_never_trusted() -> None:
    """Details are read; a report with impossible totals is ignored, and tokens are counted."""
    told = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert OPENAI_CHAT.usage({"usage": told}) == Usage(10, 5, 4, 2)
    assert OPENAI_CHAT.usage({"usage": {"prompt_tokens": 20.0, "completion_tokens": 3}}) == Usage(20, 3)
    for wrong in (-1, "7", None, True, 7.5, 1e30):
        assert OPENAI_CHAT.usage({"usage": {"prompt_tokens": 10, "completion_tokens": wrong}}) is None
        assert OPENAI_CHAT.usage({"usage": {"prompt_tokens": wrong, "completion_tokens": 10}}) is None
    vague = {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": "x"}}
    assert OPENAI_CHAT.usage({"usage": vague}) == Usage(1, 1)
    assert OPENAI_CHAT.usage({"usage": None}) is None
    assert OPENAI_CHAT.usage({}) is None


def event(delta: object = None, reason: str | None = None, **extra: Any) -> bytes:
    """One chunk of a stream."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + orjson.dumps({**head, "choices": choices, **extra}) + b"\n\n"


def test_a_chunk_that_nobody_edits_leaves_as_it_came() -> None:
    """Unknown fields and odd spacing survive."""
    raw = b'data: {"x_unknown":  [1], "choices": [{"index":0,"delta":{"content":"a"}, "y": 2}]}\n\n'
    stream = OPENAI_CHAT.stream(keep_usage=False)
    [chunk] = stream.feed(raw)
    assert stream.encode(chunk) == raw
    assert [delta.channel for delta in chunk.texts] == [(0, "content")]


def test_usage_is_taken_out_unless_the_caller_asked() -> None:
    """A caller sees the usage chunk only if it wanted it."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    for keep in (True, False):
        stream = OPENAI_CHAT.stream(keep_usage=keep)
        [chunk] = stream.feed(event(usage=usage))
        assert chunk.usage == Usage(1, 2)
        assert bool(stream.encode(chunk)) is keep


def test_the_end_of_a_stream() -> None:
    """A stream with a finish reason or [DONE] is complete; any other broke off."""
    for tail, whole in ((event({}, "stop"), True), (b"data: [DONE]\n\n", True), (b"", False)):
        stream = OPENAI_CHAT.stream(keep_usage=False)
        list(stream.feed(event({"content": "a"}) + tail))
        if whole:
            stream.close()
        else:
            with pytest.raises(ValueError, match="broke off"):
                stream.close()


@pytest.mark.parametrize(
    "data", [b"data: 7\n\n", b"data: {\n\n", b'data: {"choices": 7}\n\n', b'data: {"choices": [1]}\n\n']
)
def test_garbage_in_a_stream_is_an_error(data: bytes) -> None:
    """What is not a chunk raises ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  (several readers raise it)
        list(OPENAI_CHAT.stream(keep_usage=False).feed(data))


def test_refusals_in_a_stream() -> None:
    """A policy's block ends as content_filter with the reason; a fault is an error event that clients raise."""
    stream = OPENAI_CHAT.stream(keep_usage=False)
    list(stream.feed(event({"content": "a"})))
    block = stream.refuse(Refusal("secret_blocked", "why"), "id")
    assert b'"id":"c"' in block
    assert b'"id":"c"' not in stream.refuse(Refusal("secret_blocked", "why"), "id", bare=True)
    assert b'"finish_reason":"content_filter"' in block
    assert b'"refusal":"why"' in block
    assert block.endswith(b"data: [DONE]\n\n")
    fault = stream.refuse(Refusal("upstream_error", "why"), "id")
    assert orjson.loads(fault[6:])["error"]["code"] == "upstream_error"


def test_a_policy_takes_tools_out_and_lowers_the_ceiling() -> None:
    """Stripped tools take their choice with them; a ceiling is lowered, never raised; unknown limits are refused."""
    request = body(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice="auto", max_tokens=50)
    assert not OPENAI_CHAT.strip_tools(request, frozenset({"other"}))
    assert OPENAI_CHAT.strip_tools(request, frozenset({"f"}))
    assert "tools" not in request
    assert "tool_choice" not in request
    assert OPENAI_CHAT.limit(request, {"max_tokens": 10})
    assert request["max_tokens"] == 10
    assert not OPENAI_CHAT.limit(request, {"max_tokens": 100})
    assert OPENAI_CHAT.limit(fresh := body(), {"max_tokens": 10})
    assert fresh["max_completion_tokens"] == 10
    with pytest.raises(Refusal, match="max_cost"):
        OPENAI_CHAT.limit(body(), {"max_cost": 1})


def test_texts_in_fields_that_nobody_knows_are_judged_too() -> None:
    """Unknown fields of a stream do not bypass the filter; numbers and flags in them pass unchanged."""
    stream = OPENAI_CHAT.stream(keep_usage=False)
    [chunk] = stream.feed(event({"content": "a", "notes": [{"text": "b"}]}, extra="c", flag={"on": True}))
    judged = [slot.text for survey in chunk.wholes for slot in survey.slots]
    running = {piece.channel: piece.holder[piece.key] for field in chunk.fields for piece in field.pieces}
    assert set(judged) == {"c", "chat.completion.chunk", "m"}  # the id, the kind, the model
    assert running == {(0, "notes[].text"): "b", (0, "chunk:extra"): "c"}
    assert "extra" not in stream.envelope


def test_a_call_that_gives_two_names_has_none() -> None:
    """A tool call is judged by its name; a call with two names counts as a call without a name."""
    one, other = {"name": "safe", "arguments": "{}"}, {"name": "mail", "input": ""}
    assert OPENAI_CHAT.tool({"function": one}) == "safe"
    assert OPENAI_CHAT.tool({"function": one, "custom": {"name": "safe"}}) == "safe"
    assert OPENAI_CHAT.tool({"function": one, "custom": other}) == ""
