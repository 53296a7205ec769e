"""`client.responses` of the official `openai` client, unmodified: only the base URL and the key differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

import responding
import upstream as scripted
from line import Line, config, running

pytestmark = pytest.mark.live

TEXT = "Tell bob.jones@example.org that the meeting is at noon."
SEND: Any = {
    "type": "function",
    "name": "send",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"to": {"type": "string"}},
        "required": ["to"],
        "additionalProperties": False,
    },
}
MODELS = "echo keep call think think-call mid-error nousage script status-400 status-429 status-500"
PRICE = {"input": 1, "output": 2, "cached_input": 0.1, "cache_write": 1.25}


class To(BaseModel):
    """A structured answer."""

    to: str


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the shipped policies."""
    folder = tmp_path_factory.mktemp("responses")
    settings = config(folder, up.url, policy={"path": "policies"}, pii={"entities": {"CREDIT_CARD": "block"}})
    settings["models"] |= {name: {"targets": [f"up/{name}"], "price": PRICE} for name in MODELS.split()}
    settings["models"]["failover"] = {"targets": ["up/status-500", "up/echo"]}
    with running(folder, settings) as started:
        yield started


@pytest.fixture
def client(line: Line) -> Iterator[OpenAI]:
    """The sync client."""
    with OpenAI(base_url=f"{line.url}/v1", api_key="mg-alice", max_retries=0) as made:
        yield made


def test_a_response(client: OpenAI, up: scripted.Upstream) -> None:
    """Text, usage and status; the provider saw placeholders, and `store` as written."""
    answer = client.responses.create(model="echo", instructions="Be nice to ann@example.com.", input=TEXT, store=False)
    assert answer.output_text == TEXT
    assert answer.instructions == "Be nice to ann@example.com."
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.status) == (11, 7, "completed")
    assert b"bob.jones" not in up.last.raw
    assert b"ann@example" not in up.last.raw
    assert up.last.path == "/v1/responses"
    assert up.last.body["store"] is False
    client.responses.create(model="echo", input="hi")
    assert "store" not in up.last.body


def test_a_stream(client: OpenAI) -> None:
    """The text is restored in deltas and in all repeats; the events are numbered without gaps."""
    events = list(client.responses.create(model="echo", input=TEXT, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT
    [done] = [event for event in events if event.type == "response.output_text.done"]
    assert done.text == TEXT
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == TEXT
    with client.responses.stream(model="echo", input=TEXT) as stream:
        assert stream.get_final_response().output_text == TEXT


async def test_the_async_client(line: Line) -> None:
    """Whole and streamed."""
    async with AsyncOpenAI(base_url=f"{line.url}/v1", api_key="mg-alice", max_retries=0) as client:
        answer = await client.responses.create(model="echo", input=[{"role": "user", "content": TEXT}])
        assert answer.output_text == TEXT
        async with client.responses.stream(model="think", input=TEXT) as stream:
            final = await stream.get_final_response()
    assert final.output_text == TEXT


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_and_parsing(client: OpenAI, streamed: bool) -> None:
    """Arguments are restored, and stay JSON; a structured answer is parsed."""
    if streamed:
        with client.responses.stream(model="call", input=TEXT, tools=[SEND]) as stream:
            answer = stream.get_final_response()
    else:
        answer = client.responses.parse(model="call", input=TEXT, tools=[SEND])
    [call] = answer.output
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("send", {"to": TEXT})
    said = json.dumps({"to": "bob.jones@example.org"})
    if streamed:
        with client.responses.stream(model="echo", input=said, text_format=To) as stream:
            parsed = stream.get_final_response().output_parsed
    else:
        parsed = client.responses.parse(model="echo", input=said, text_format=To).output_parsed
    assert parsed == To(to="bob.jones@example.org")


def test_a_tool_loop(client: OpenAI, up: scripted.Upstream) -> None:
    """Items of an answer go back as they are: reasoning with its seal, the call, its result."""
    head = {"x-correlation-id": "loop-of-tools"}
    first = client.responses.create(model="think-call", input=TEXT, tools=[SEND], extra_headers=head)
    history: Any = [{"role": "user", "content": TEXT}, *(item.to_dict() for item in first.output)]
    result: Any = {"type": "function_call_output", "call_id": "call_a", "output": "sent to bob.jones@example.org"}
    second = client.responses.create(model="echo", input=[*history, result], tools=[SEND], extra_headers=head)
    assert second.output_text == "sent to bob.jones@example.org"
    assert b"bob.jones" not in up.last.raw
    sent = up.last.body["input"]
    assert sent[1]["encrypted_content"] == responding.SEAL
    assert sent[1]["summary"][0]["text"] == "They said: Tell <EMAIL_1> that the meeting is at noon."
    assert json.loads(sent[2]["arguments"]) == {"to": "Tell <EMAIL_1> that the meeting is at noon."}
    assert sent[3]["output"] == "sent to <EMAIL_1>"


def test_reasoning_in_a_stream(client: OpenAI) -> None:
    """A summary is restored, and the encrypted reasoning keeps its bytes."""
    with client.responses.stream(model="think", input=TEXT) as stream:
        answer = stream.get_final_response()
    item = answer.output[0]
    assert item.type == "reasoning"
    assert item.summary[0].text == f"They said: {TEXT}"
    assert item.encrypted_content == responding.SEAL


@pytest.mark.parametrize(
    "fields",
    [
        {"conversation": {"id": "conv_1"}},
        {"conversation": "conv_1"},
        {"input": [{"type": "item_reference", "id": "msg_of_nobody"}]},
    ],
)
def test_state_of_nobody_known_is_not_found(client: OpenAI, up: scripted.Upstream, fields: Any) -> None:
    """A conversation or item that the team did not make; nothing is sent."""
    before = len(up.seen)
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(**{"model": "echo", "input": "hi", **fields})
    assert caught.value.code == "invalid_request"
    assert len(up.seen) == before


def test_a_stored_response_is_continued(client: OpenAI) -> None:
    """By a call, and by a stream; the values of earlier turns are restored."""
    first = client.responses.create(model="keep", input=TEXT)
    second = client.responses.create(model="keep", input="And then?", previous_response_id=first.id)
    assert second.output_text == f"{TEXT} + And then?"
    with client.responses.stream(model="keep", input="Why?", previous_response_id=second.id) as stream:
        assert stream.get_final_response().output_text == f"{TEXT} + And then? + Why?"


def test_a_stored_response_belongs_to_its_team(client: OpenAI, line: Line) -> None:
    """Another team gets the error of an unknown id."""
    first = client.responses.create(model="keep", input=TEXT)
    with OpenAI(base_url=f"{line.url}/v1", api_key="mg-mallory", max_retries=0) as other:
        for id in (first.id, "resp_" + "0" * 48):
            with pytest.raises(openai.NotFoundError) as caught:
                other.responses.create(model="keep", input="And then?", previous_response_id=id)
            assert (caught.value.code, caught.value.type) == ("previous_response_not_found", "invalid_request_error")
            assert caught.value.param == "previous_response_id"


def test_a_stored_response_is_retrieved(client: OpenAI, line: Line) -> None:
    """And cancelled, listed and deleted, by its team only."""
    first = client.responses.create(model="keep", input=TEXT)
    assert client.responses.retrieve(first.id).output_text == TEXT
    assert client.responses.cancel(first.id).status == "cancelled"
    (item,) = client.responses.input_items.list(first.id, order="asc", limit=2)
    assert item.type == "message"
    assert getattr(item.content[0], "text", "") == TEXT
    with OpenAI(base_url=f"{line.url}/v1", api_key="mg-mallory", max_retries=0) as other:
        for ask in (other.responses.retrieve, other.responses.cancel, other.responses.delete):
            with pytest.raises(openai.NotFoundError):
                ask(first.id)
        with pytest.raises(openai.NotFoundError):
            list(other.responses.input_items.list(first.id))
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


ERRORS: dict[str, type[openai.APIStatusError]] = {
    "status-400": openai.BadRequestError,
    "status-429": openai.RateLimitError,
    "status-500": openai.InternalServerError,
    "nope": openai.NotFoundError,
}


@pytest.mark.parametrize("model", ERRORS)
def test_errors(client: OpenAI, model: str) -> None:
    """Each is the exception of its status."""
    with pytest.raises(ERRORS[model]):
        client.responses.create(model=model, input="hi")


def test_the_next_target(client: OpenAI) -> None:
    """Answers where the first fails."""
    assert client.responses.create(model="failover", input="hi").output_text == "hi"


def test_a_fault_in_mid_stream(client: OpenAI) -> None:
    """The client raises an exception, and does not take the part for the whole."""
    with pytest.raises(openai.APIError):
        list(client.responses.create(model="mid-error", input=TEXT, stream=True))


def test_a_card_is_blocked(client: OpenAI) -> None:
    """A request is refused with its code."""
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.responses.create(model="echo", input="card 4111 1111 1111 1111")
    assert caught.value.code == "pii_blocked"


def test_the_demo(client: OpenAI) -> None:
    """Speaks the dialect, whole and streamed."""
    assert TEXT in client.responses.create(model="demo", input=TEXT).output_text
    with client.responses.stream(model="demo", input=f"call it: {TEXT}", tools=[SEND]) as stream:
        [call] = stream.get_final_response().output
    assert call.type == "function_call"
    assert "bob.jones@example.org" in call.arguments
