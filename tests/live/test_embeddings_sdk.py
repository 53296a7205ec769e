"""The official `openai` client, unmodified, requests embeddings from the running gateway."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

import upstream as scripted
from line import Line, config, running

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the shipped policies."""
    folder = tmp_path_factory.mktemp("sdk")
    pii = {"entities": {"CREDIT_CARD": "block"}}
    with running(folder, config(folder, up.url, policy={"path": "policies"}, pii=pii)) as started:
        yield started


@pytest.fixture
def client(line: Line) -> Iterator[OpenAI]:
    """The sync client."""
    with OpenAI(base_url=f"{line.url}/v1", api_key="mg-alice", max_retries=0) as made:
        yield made


def test_base64_is_the_default(client: OpenAI, up: scripted.Upstream) -> None:
    """The client asks for base64 and gives floats; the provider saw a placeholder."""
    answer = client.embeddings.create(model="echo", input=["hi", "mail bob.jones@example.org"])
    assert [item.embedding for item in answer.data] == [[0.25, -1.5, 0.5]] * 2
    assert answer.usage.total_tokens == 9
    assert up.last.body["encoding_format"] == "base64"
    assert b"bob.jones" not in up.last.raw


def test_floats(client: OpenAI) -> None:
    """Numbers are unchanged."""
    answer = client.embeddings.create(model="echo", input="hi", encoding_format="float", dimensions=3)
    assert answer.data[0].embedding == [0.25, -1.5e-05, 0.0012345678901234567]


def test_errors_are_the_sdks_own(client: OpenAI) -> None:
    """Each refusal raises the exception that its status means, with our code."""
    with pytest.raises(openai.PermissionDeniedError) as blocked:
        client.embeddings.create(model="echo", input="card 4111 1111 1111 1111")
    assert blocked.value.code == "pii_blocked"
    with pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(model="nope", input="hi")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.PermissionDeniedError) as tokens:
        client.embeddings.create(model="echo", input=[1, 2, 3])
    assert tokens.value.code == "pii_blocked"
    with pytest.raises(openai.InternalServerError) as failed:
        client.embeddings.create(model="status-500", input="hi")
    assert failed.value.code == "upstream_error"


def test_the_demo_model(client: OpenAI) -> None:
    """The same vector in both encodings."""
    packed = client.embeddings.create(model="demo", input="hi").data[0].embedding
    plain = client.embeddings.create(model="demo", input="hi", encoding_format="float").data[0].embedding
    assert packed == pytest.approx(plain)


async def test_the_async_client(line: Line) -> None:
    """The same."""
    async with AsyncOpenAI(base_url=f"{line.url}/v1", api_key="mg-bob") as client:
        answer = await client.embeddings.create(model="echo", input="hi")
    assert answer.data[0].embedding == [0.25, -1.5, 0.5]
