"""The official `anthropic` client, unmodified, against the running gateway: only the base URL and the key differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import Anthropic, AsyncAnthropic

import upstream as scripted
from line import Line, config, running

pytestmark = pytest.mark.live

TEXT = "Tell bob.jones@example.org that the meeting is at noon."
TOOL: Any = {
    "name": "send",
    "description": "Send a message",
    "input_schema": {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]},
}
MODELS = "echo call think think-call mid-error status-400 status-401 status-429 status-529"
PRICE = {"input": 1, "output": 2, "cached_input": 0.1, "cache_write": 1.25}


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the shipped policies, whose provider speaks Messages."""
    folder = tmp_path_factory.mktemp("anthropic")
    settings = config(folder, up.url, policy={"path": "policies"}, pii={"entities": {"CREDIT_CARD": "block"}})
    settings["providers"]["claude"] = {"format": "anthropic", "base_url": up.url, "api_key": "sk-ant-upstream"}
    settings["models"] |= {name: {"targets": [f"claude/{name}"], "price": PRICE} for name in MODELS.split()}
    settings["models"]["chat-only"] = {"targets": ["up/echo"]}
    settings["models"]["failover"] = {"targets": ["claude/status-529", "up/echo", "claude/echo"]}
    with running(folder, settings) as started:
        yield started


@pytest.fixture
def client(line: Line) -> Iterator[Anthropic]:
    """The sync client."""
    with Anthropic(base_url=line.url, api_key="mg-alice", max_retries=0) as made:
        yield made


def user(text: str = TEXT) -> Any:
    """One user message."""
    return [{"role": "user", "content": text}]


def text_of(message: Any) -> str:
    """The text of a message."""
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message(client: Anthropic, up: scripted.Upstream) -> None:
    """Text, usage and reason; the provider saw a placeholder, its own key, the version and the betas."""
    message = client.messages.create(
        model="echo",
        max_tokens=100,
        system=[{"type": "text", "text": "Be nice to ann@example.com.", "cache_control": {"type": "ephemeral"}}],
        messages=user(),
        extra_headers={"anthropic-beta": "interleaved-thinking-2025-05-14,context-1m-2025-08-07"},
    )
    assert text_of(message) == TEXT
    assert (message.usage.input_tokens, message.usage.output_tokens, message.stop_reason) == (11, 7, "end_turn")
    assert b"bob.jones" not in up.last.raw
    assert b"ann@example" not in up.last.raw
    assert up.last.path == "/v1/messages"
    assert up.last.headers["x-api-key"] == "sk-ant-upstream"
    assert up.last.headers["anthropic-version"] == client.default_headers["anthropic-version"]
    assert up.last.headers["anthropic-beta"] == "interleaved-thinking-2025-05-14,context-1m-2025-08-07"
    assert "authorization" not in up.last.headers
    assert "mg-alice" not in str(up.last.headers)


@pytest.mark.parametrize("value", ["ann@example.org", "sk-ant-api03-abcdefghijklmnopqrst", "x" * 900])
def test_a_header_is_no_way_out(client: Anthropic, up: scripted.Upstream, value: str) -> None:
    """A value without the form of a beta's name is not sent."""
    client.messages.create(model="echo", max_tokens=9, messages=user("hi"), extra_headers={"anthropic-beta": value})
    assert "anthropic-beta" not in up.last.headers


def test_a_stream(client: Anthropic) -> None:
    """The SDK joins the restored text, and gets the usage of `message_delta`."""
    with client.messages.stream(model="echo", max_tokens=100, messages=user()) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces) == TEXT
    assert len([piece for piece in pieces if piece]) > 5
    assert (final.usage.output_tokens, final.stop_reason) == (7, "end_turn")


async def test_async(line: Line) -> None:
    """The async client, whole and streamed."""
    async with AsyncAnthropic(base_url=line.url, api_key="mg-alice", max_retries=0) as client:
        message = await client.messages.create(model="echo", max_tokens=100, messages=user())
        assert text_of(message) == TEXT
        async with client.messages.stream(model="echo", max_tokens=100, messages=user()) as stream:
            assert "".join([piece async for piece in stream.text_stream]) == TEXT


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_loop_with_thinking(client: Anthropic, up: scripted.Upstream, stream: bool) -> None:
    """Thinking is sent and returned byte for byte; arguments are restored; results are redacted when sent back."""

    def ask(messages: Any) -> Any:
        given: Any = {"model": "think-call", "max_tokens": 100, "messages": messages, "tools": [TOOL]}
        if not stream:
            return client.messages.create(**given)
        with client.messages.stream(**given) as answer:
            return answer.get_final_message()

    first = ask(user())
    thinking, use = first.content
    assert thinking.signature == scripted.SEAL
    assert "bob.jones" not in thinking.thinking
    assert "<EMAIL_" in thinking.thinking
    assert use.input == {"to": TEXT}
    result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "carl@example.net"}]}
    turns = [*user(), {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    ask(turns)
    sent = up.last.body["messages"]
    block = sent[1]["content"][0]
    assert block["thinking"] == thinking.thinking
    assert block["signature"] == thinking.signature
    assert b"bob.jones" not in up.last.raw
    assert b"carl@" not in up.last.raw


def test_a_signed_block_with_a_value(client: Anthropic) -> None:
    """Signed thinking cannot be edited and must not leave: refused, with advice."""
    block = {"type": "thinking", "thinking": "It is ann@example.org.", "signature": scripted.SEAL}
    turns: Any = [*user("hi"), {"role": "assistant", "content": [block]}, *user("go on")]
    with pytest.raises(anthropic.PermissionDeniedError) as caught:
        client.messages.create(model="echo", max_tokens=9, messages=turns)
    assert caught.value.response.headers["x-meshgate-code"] == "pii_blocked"
    assert "signed" in str(caught.value)
    assert "ann@" not in str(caught.value)


def test_counting_tokens(client: Anthropic, line: Line, up: scripted.Upstream) -> None:
    """The provider counts the tokens of the redacted request; nothing is charged."""
    before = line.metric("meshgate_cost_usd_total")
    counted = client.messages.count_tokens(model="echo", messages=user(), tools=[TOOL])
    assert counted.input_tokens == 42
    assert up.last.path == "/v1/messages/count_tokens"
    assert b"bob.jones" not in up.last.raw
    assert line.metric("meshgate_cost_usd_total") == before


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("status-400", anthropic.BadRequestError, "invalid_request"),
        ("status-401", anthropic.InternalServerError, "upstream_error"),
        ("status-429", anthropic.RateLimitError, "rate_limited"),
        ("status-529", anthropic.InternalServerError, "upstream_error"),
        ("nope", anthropic.NotFoundError, "model_not_found"),
    ],
)
def test_errors_have_the_dialects_form(client: Anthropic, model: str, error: type[Exception], code: str) -> None:
    """The SDK raises its own class, and our code is in the header."""
    with pytest.raises(error) as caught:
        client.messages.create(model=model, max_tokens=9, messages=user("hi"))
    answer = caught.value
    assert isinstance(answer, anthropic.APIStatusError)
    assert answer.response.headers["x-meshgate-code"] == code
    assert isinstance(answer.body, dict)
    assert answer.body["type"] == "error"
    assert answer.body["error"]["message"]


def test_a_wrong_key(line: Line) -> None:
    """An authentication error, as the API has it."""
    with (
        Anthropic(base_url=line.url, api_key="wrong", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError),
    ):
        client.messages.create(model="echo", max_tokens=9, messages=user("hi"))


def test_an_error_in_mid_stream(client: Anthropic) -> None:
    """The SDK raises the error in the event."""
    with (
        pytest.raises(anthropic.APIStatusError),
        client.messages.stream(model="mid-error", max_tokens=100, messages=user()) as stream,
    ):
        list(stream.text_stream)


def test_failover_crosses_formats(client: Anthropic, up: scripted.Upstream) -> None:
    """A target that speaks another dialect is tried in its place."""
    message = client.messages.create(model="failover", max_tokens=9, messages=user("hi"))
    assert text_of(message) == "hi"
    assert [seen.path for seen in up.seen[-2:]] == ["/v1/messages", "/v1/chat/completions"]


def test_counts_are_not_translated(client: Anthropic) -> None:
    """Messages are served by a model of another format, a count of tokens is not."""
    assert text_of(client.messages.create(model="chat-only", max_tokens=9, messages=user("hi"))) == "hi"
    with pytest.raises(anthropic.BadRequestError):
        client.messages.count_tokens(model="chat-only", messages=user("hi"))


def test_blocked_before_it_leaves(client: Anthropic, up: scripted.Upstream) -> None:
    """A card is not sent."""
    seen = len(up.seen)
    with pytest.raises(anthropic.PermissionDeniedError):
        client.messages.create(model="echo", max_tokens=9, messages=user("My card is 4539 1488 0343 6467."))
    assert len(up.seen) == seen


def test_what_a_message_costs(line: Line, client: Anthropic) -> None:
    """Reads of the cache and writes to it have prices of their own, and count as input."""
    before = line.metric("meshgate_cost_usd_total")
    client.messages.create(model="echo", max_tokens=100, messages=user("hi"))
    exact = (11 * 1 + 4 * 0.1 + 2 * 1.25 + 7 * 2) / 1_000_000
    assert line.metric("meshgate_cost_usd_total") - before == pytest.approx(exact, abs=2e-9)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", None),
        ("max_tokens", -1),
        ("max_tokens", "9"),
        ("messages", []),
        ("messages", [{"role": "user"}]),
        ("messages", [{"role": "user", "content": ["text"]}]),
        ("system", 7),
        ("stream", "yes"),
        ("service_tier", 7),
        ("tools", {}),
        ("tools", [{"description": "no name"}]),
    ],
)
def test_wrong_fields_are_named(line: Line, field: str, value: object) -> None:
    """The error names the parameter."""
    body = {"model": "echo", "max_tokens": 9, "messages": user("hi"), field: value}
    body = {key: it for key, it in body.items() if it is not None}
    answer = httpx.post(f"{line.url}/v1/messages", json=body, headers={"x-api-key": "mg-alice"})
    assert answer.status_code == 400
    error = json.loads(answer.content)["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", field)


def test_models_are_listed_in_its_form(client: Anthropic) -> None:
    """All models are on one page; an unknown model is an error in the form of the API."""
    names = [model.id for model in client.models.list(limit=100)]
    assert "echo" in names
    assert client.models.retrieve("echo").display_name == "echo"
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("nowhere")
    assert caught.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
