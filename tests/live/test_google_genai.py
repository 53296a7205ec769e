"""The official client of Gemini, unmodified: only the base URL and the key differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

import generating
import upstream as scripted
from line import Line, config, running

pytestmark = pytest.mark.live

TEXT = "Tell bob.jones@example.org that the meeting is at noon."
SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
SEND = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="send",
            parameters=types.Schema(type=types.Type.OBJECT, properties={"to": types.Schema(type=types.Type.STRING)}),
        )
    ]
)
MODELS = "echo call think think-call mid-error script status-400 status-429 status-500"


class To(BaseModel):
    """A structured answer."""

    to: str


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the shipped policies."""
    folder = tmp_path_factory.mktemp("genai")
    settings = config(folder, up.url, policy={"path": "policies"}, output={"secrets": "block"})
    base = up.url.removesuffix("/v1")
    settings["providers"]["g"] = {"format": "gemini", "base_url": base, "api_key": "AIza-upstream"}
    settings["models"] |= {
        name: {"targets": [f"g/{name}"], "price": {"input": 1, "output": 2, "cached_input": 0.1}}
        for name in MODELS.split()
    }
    with running(folder, settings) as started:
        yield started


def made(line: Line, key: str = "mg-alice") -> genai.Client:
    """A client."""
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=line.url))


@pytest.fixture
def client(line: Line) -> Iterator[genai.Client]:
    """The sync client."""
    with made(line) as client:
        yield client


def test_an_answer(client: genai.Client, up: scripted.Upstream) -> None:
    """Text, usage and finish reason; the provider saw placeholders."""
    answer = client.models.generate_content(
        model="echo",
        contents=TEXT,
        config=types.GenerateContentConfig(system_instruction="Be nice to ann@example.com.", max_output_tokens=50),
    )
    assert answer.text == TEXT
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata.prompt_token_count, answer.usage_metadata.total_token_count) == (11, 18)
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert b"bob.jones" not in up.last.raw
    assert b"ann@example" not in up.last.raw
    assert up.last.headers["x-goog-api-key"] == "AIza-upstream"


def test_a_stream(client: genai.Client) -> None:
    """The text is restored."""
    chunks = list(client.models.generate_content_stream(model="think", contents=TEXT))
    assert len(chunks) > 3
    assert "".join(chunk.text or "" for chunk in chunks) == TEXT
    last = chunks[-1].candidates
    assert last is not None
    assert last[0].finish_reason == types.FinishReason.STOP


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")  # of the client's own aiohttp session
async def test_the_async_client(line: Line) -> None:
    """Whole and streamed."""
    async with made(line).aio as client:
        answer = await client.models.generate_content(model="echo", contents=TEXT)
        assert answer.text == TEXT
        stream = await client.models.generate_content_stream(model="echo", contents=TEXT)
        assert "".join([chunk.text or "" async for chunk in stream]) == TEXT


@pytest.mark.parametrize("streamed", [False, True])
def test_tools(client: genai.Client, streamed: bool) -> None:
    """Arguments are restored; a structured answer is parsed."""
    asked: Any = {"model": "call", "contents": TEXT, "config": types.GenerateContentConfig(tools=[SEND])}
    if streamed:
        *_, answer = client.models.generate_content_stream(**asked)
    else:
        answer = client.models.generate_content(**asked)
    assert answer.function_calls is not None
    [call] = answer.function_calls
    assert (call.name, call.args) == ("send", {"to": TEXT})


def test_a_structured_answer(client: genai.Client) -> None:
    """It is parsed after its values are restored."""
    wanted = types.GenerateContentConfig(response_mime_type="application/json", response_schema=To)
    said = '{"to": "bob.jones@example.org"}'
    answer = client.models.generate_content(model="echo", contents=said, config=wanted)
    assert answer.parsed == To(to="bob.jones@example.org")


def test_automatic_calls_of_a_function(client: genai.Client, up: scripted.Upstream) -> None:
    """The client calls the function with restored values, and the result is masked again."""
    called: list[str] = []

    def send(to: str) -> str:
        """Send it."""
        called.append(to)
        return f"sent to {to}"

    limit = types.AutomaticFunctionCallingConfig(maximum_remote_calls=2)
    wanted = types.GenerateContentConfig(tools=[send], automatic_function_calling=limit)
    client.models.generate_content(model="think-call", contents=TEXT, config=wanted)
    assert called[0] == TEXT
    assert b"bob.jones" not in up.last.raw
    [_, turn, result] = up.last.body["contents"][:3]
    assert any("thoughtSignature" in part for part in turn["parts"])
    assert "functionResponse" in result["parts"][0]


def test_a_chat(client: genai.Client) -> None:
    """Several turns, whose history goes back."""
    chat = client.chats.create(model="echo")
    for said in (TEXT, "And cc ann@example.org."):
        assert chat.send_message(said).text == said
    assert len(chat.get_history()) == 4


def test_counts(client: genai.Client, up: scripted.Upstream) -> None:
    """Free of charge."""
    assert client.models.count_tokens(model="echo", contents=TEXT).total_tokens == 42
    assert b"bob.jones" not in up.last.raw


def test_errors(line: Line, client: genai.Client) -> None:
    """They have Google's form, with the gateway's code in the details."""
    for model, status in (("nothing", 404), ("status-400", 400), ("status-429", 429), ("status-500", 502)):
        with pytest.raises(errors.APIError) as caught:
            client.models.generate_content(model=model, contents="hi")
        assert caught.value.code == status
        assert caught.value.status
        assert caught.value.message
    with made(line, "mg-wrong") as stranger, pytest.raises(errors.ClientError) as caught:
        stranger.models.generate_content(model="echo", contents="hi")
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")
    with pytest.raises(errors.ServerError) as broken:
        list(client.models.generate_content_stream(model="mid-error", contents=TEXT))
    assert (broken.value.code, broken.value.status) == (502, "UNAVAILABLE")


def test_a_block_in_mid_stream(client: genai.Client, up: scripted.Upstream) -> None:
    """The stream ends with a finish reason, and the client reads it to its end."""
    answer = generating.WIRE.answer({"text": "fine so far. " * 20 + SECRET})
    up.script["leak"] = list(generating.WIRE.codec.unfold(answer, lambda text: [*text]))
    chunks = list(client.models.generate_content_stream(model="script", contents="leak"))
    assert "ghp_" not in "".join(chunk.text or "" for chunk in chunks)
    last = chunks[-1].candidates
    assert last is not None
    assert last[0].finish_reason == types.FinishReason.SAFETY
