"""The official `openai` client, unmodified, against the running gateway: only the base URL and the key differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

import upstream as scripted
from line import Line, config, running

pytestmark = pytest.mark.live

TEXT = "Tell bob.jones@example.org that the meeting is at noon."
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "send",
        "description": "Send a message",
        "parameters": {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]},
    },
}

PII = {"entities": {"CREDIT_CARD": "block"}, "secrets": "allow"}  # the upstream repeats them, as if it knew one


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the shipped policies."""
    folder = tmp_path_factory.mktemp("sdk")
    policy = {"path": "policies"}
    with running(folder, config(folder, up.url, policy=policy, pii=PII)) as started:
        yield started


@pytest.fixture
def client(line: Line) -> Iterator[OpenAI]:
    """The sync client."""
    with OpenAI(base_url=f"{line.url}/v1", api_key="mg-alice", max_retries=0) as made:
        yield made


def user(text: str = TEXT) -> Any:
    """One user message."""
    return [{"role": "user", "content": text}]


def test_a_completion(client: OpenAI, up: scripted.Upstream) -> None:
    """Text, usage and finish reason; the provider saw a placeholder."""
    answer = client.chat.completions.create(model="echo", messages=user(), n=2, temperature=0.5)
    assert [choice.message.content for choice in answer.choices] == [TEXT, TEXT]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 18
    assert b"bob.jones" not in up.last.raw


def test_a_stream(client: OpenAI) -> None:
    """The SDK puts the restored text together."""
    stream = client.chat.completions.create(model="echo", messages=user(), stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(pieces) == TEXT
    assert len([piece for piece in pieces if piece]) > 5


def test_a_stream_with_usage(client: OpenAI) -> None:
    """`include_usage` gives the last chunk its usage."""
    stream = client.chat.completions.create(
        model="echo", messages=user(), stream=True, stream_options={"include_usage": True}
    )
    *_, last = stream
    assert last.usage is not None
    assert last.usage.total_tokens == 18


def test_a_tool_call_and_its_result(client: OpenAI, up: scripted.Upstream) -> None:
    """The whole tool loop: call with restored arguments, result redacted on the way back."""
    answer = client.chat.completions.create(model="call", messages=user(), tools=[TOOL])
    message = answer.choices[0].message
    assert message.tool_calls is not None
    call: Any = message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"to": TEXT}
    result = {"role": "tool", "tool_call_id": call.id, "content": "sent to bob.jones@example.org"}
    history: Any = [*user(), message.model_dump(exclude_none=True), result]
    client.chat.completions.create(model="echo", messages=history, tools=[TOOL])
    assert b"bob.jones" not in up.last.raw
    assert up.last.body["messages"][1]["tool_calls"][0]["id"] == call.id


def test_a_streamed_tool_call(client: OpenAI) -> None:
    """The SDK's own accumulator reads the arguments."""
    with client.chat.completions.stream(model="call", messages=user(), tools=[TOOL]) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls
    assert json.loads(calls[0].function.arguments) == {"to": TEXT}


def test_models(client: OpenAI) -> None:
    """The list of models."""
    assert "echo" in [model.id for model in client.models.list()]


ERRORS: list[tuple[dict[str, Any], type[openai.APIStatusError], str]] = [
    ({"model": "nope"}, openai.NotFoundError, "model_not_found"),
    ({"messages": user("card 4111 1111 1111 1111")}, openai.PermissionDeniedError, "pii_blocked"),
    ({"max_tokens": -1}, openai.BadRequestError, "invalid_request"),
    ({"model": "status-500"}, openai.InternalServerError, "upstream_error"),
    ({"model": "silent"}, openai.InternalServerError, "upstream_timeout"),
]


@pytest.mark.parametrize(("fields", "error", "code"), ERRORS)
def test_errors_are_the_sdks_own(
    client: OpenAI, fields: dict[str, Any], error: type[openai.APIStatusError], code: str
) -> None:
    """Each refusal raises the exception that its status means, with our code."""
    with pytest.raises(error) as caught:
        client.chat.completions.create(**{"model": "echo", "messages": user("hi"), **fields})
    assert caught.value.code == code


def test_a_wrong_key(line: Line) -> None:
    """401 is AuthenticationError."""
    with (
        OpenAI(base_url=f"{line.url}/v1", api_key="sk-wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_a_fault_in_the_middle_of_a_stream_is_raised(client: OpenAI, up: scripted.Upstream) -> None:
    """The error event becomes the SDK's APIError."""
    up.release.clear()
    stream = client.chat.completions.create(model="mid-error", messages=user("one two three four five"), stream=True)
    pieces = [next(stream).choices[0].delta.content]
    up.release.set()
    with pytest.raises(openai.APIError, match="in the middle"):
        pieces += [chunk.choices[0].delta.content for chunk in stream]


def test_a_secret_in_a_stream_ends_it_as_content_filter(client: OpenAI) -> None:
    """A client gets a known finish reason, and the reason as text."""
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    stream = client.chat.completions.create(model="echo", messages=user(f"token {secret} end"), stream=True)
    chunks = [chunk.choices[0] for chunk in stream if chunk.choices]
    assert chunks[-1].finish_reason == "content_filter"
    assert "secret" in (chunks[-1].delta.refusal or "")
    assert secret not in "".join(chunk.delta.content or "" for chunk in chunks)


async def test_the_async_client(line: Line) -> None:
    """Many concurrent calls, whole and streamed, each with its own values."""
    import asyncio

    async with AsyncOpenAI(base_url=f"{line.url}/v1", api_key="mg-bob") as client:

        async def whole(i: int) -> None:
            text = f"mail user{i}@example.org please"
            answer = await client.chat.completions.create(model="echo", messages=user(text))
            assert answer.choices[0].message.content == text

        async def streamed(i: int) -> None:
            text = f"mail stream{i}@example.org please"
            stream = await client.chat.completions.create(model="echo", messages=user(text), stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
            assert "".join(pieces) == text

        await asyncio.gather(*(work(i) for i in range(20) for work in (whole, streamed)))


def test_the_demo_model_calls_a_tool(client: OpenAI) -> None:
    """The demo provider supports what a new user tries first."""
    answer = client.chat.completions.create(model="demo", messages=user("please call it"), tools=[TOOL])
    calls: Any = answer.choices[0].message.tool_calls
    assert json.loads(calls[0].function.arguments) == {"to": "please call it"}
