"""The paths of Azure's API, with the official client for Azure and the plain one."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

import upstream as scripted
from line import Line, config, running

VERSION = "2025-04-01-preview"


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with vault key and models under names of deployments."""
    folder = tmp_path_factory.mktemp("azure")
    settings = config(folder, up.url)
    settings["models"]["my-gpt"] = {"targets": ["up/echo"], "price": {"input": 1, "output": 2}}
    settings["models"]["keep"] = {"targets": ["up/keep"]}
    with running(folder, settings) as started:
        yield started


@pytest.fixture(scope="module")
def azure(line: Line) -> Iterator[openai.AzureOpenAI]:
    """Azure's client, unchanged: the key in `api-key`."""
    with openai.AzureOpenAI(azure_endpoint=line.url, api_key="mg-alice", api_version=VERSION, max_retries=0) as made:
        yield made


def test_chat(azure: openai.AzureOpenAI, up: scripted.Upstream, line: Line) -> None:
    """The deployment is the model; masked, restored, counted by its path."""
    said = azure.chat.completions.create(model="my-gpt", messages=[{"role": "user", "content": "to ann@example.org"}])
    assert said.choices[0].message.content == "to ann@example.org"
    assert up.last.path == "/v1/chat/completions"
    assert up.last.body["model"] == "echo"
    assert "example.org" not in str(up.last.body)
    assert "api-key" not in up.last.headers
    route = "/openai/deployments/{deployment}/chat/completions"
    assert line.metric("meshgate_requests_total", route=route, model="my-gpt", status="200") == 1


def test_a_stream(azure: openai.AzureOpenAI) -> None:
    """Of server-sent events."""
    said = azure.chat.completions.create(
        model="my-gpt", messages=[{"role": "user", "content": "to ann@example.org"}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in said if chunk.choices) == "to ann@example.org"


def test_other_calls(azure: openai.AzureOpenAI, up: scripted.Upstream) -> None:
    """Completions, embeddings, Responses, the list of models."""
    assert azure.completions.create(model="my-gpt", prompt="hi").choices[0].text == " then hi"
    assert len(azure.embeddings.create(model="my-gpt", input="hi").data) == 1
    assert azure.responses.create(model="my-gpt", input="hi").output_text == "hi"
    assert up.last.path == "/v1/responses"
    assert "my-gpt" in [model.id for model in azure.models.list()]
    assert azure.models.retrieve("my-gpt").id == "my-gpt"


@pytest.mark.parametrize("inner", ["gpt-4o", "mail ann@example.org", 7, None])
def test_the_deployment_of_a_client_wins(line: Line, up: scripted.Upstream, inner: object) -> None:
    """Whatever the body says, which may say nothing."""
    said = {"messages": [{"role": "user", "content": "hi"}], **({"model": inner} if inner else {})}
    path = f"/openai/deployments/echo/chat/completions?api-version={VERSION}"
    for _ in range(3):  # also when the beginning of the conversation is known
        answer = line.client.post(path, json=said)
        assert answer.status_code == 200
        assert up.last.body["model"] == "echo"
        assert answer.json()["choices"][0]["message"]["content"] == "hi"


def test_two_deployments_with_the_same_body(line: Line, up: scripted.Upstream) -> None:
    """Each call has the model of its path, however long the conversation that both begin with."""
    said = {"messages": [{"role": "user", "content": "many words " * 400}, {"role": "user", "content": "hi"}]}
    for model in ("my-gpt", "echo", "my-gpt", "renamed"):
        before = line.metric("meshgate_requests_total", model=model)
        headers = {"x-correlation-id": "two"}
        answer = line.client.post(f"/openai/deployments/{model}/chat/completions", json=said, headers=headers)
        assert answer.status_code == 200
        assert line.metric("meshgate_requests_total", model=model) == before + 1


def test_a_client_of_one_deployment(line: Line, up: scripted.Upstream) -> None:
    """`azure_deployment` is part of the base URL."""
    with openai.AzureOpenAI(
        azure_endpoint=line.url, azure_deployment="my-gpt", api_key="mg-alice", api_version=VERSION
    ) as client:
        said = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
        assert said.choices[0].message.content == "hi"
        assert len(client.embeddings.create(model="gpt-4o", input="hi").data) == 1
    assert up.last.body["model"] == "echo"


def test_the_newer_paths(line: Line) -> None:
    """The plain client with `/openai/v1`, where a deployment is the model."""
    with openai.OpenAI(base_url=f"{line.url}/openai/v1/", api_key="mg-alice", max_retries=0) as client:
        said = client.chat.completions.create(model="my-gpt", messages=[{"role": "user", "content": "hi"}])
        assert said.choices[0].message.content == "hi"
        assert client.responses.create(model="my-gpt", input="hi").output_text == "hi"
        assert client.completions.create(model="my-gpt", prompt="hi").choices[0].text == " then hi"
        with pytest.raises(openai.NotFoundError, match="no response"):
            client.responses.retrieve("resp_1")


@pytest.mark.parametrize("model", ["ann@example.org", "no-such-model", ".."])
def test_an_unknown_deployment(line: Line, model: str) -> None:
    """Is an unknown model; a name that may be personal data is not repeated."""
    path = f"/openai/deployments/{model.replace('..', '%2e%2e')}/chat/completions"
    answer = line.client.post(path, json={"messages": [{"role": "user", "content": "hi"}]})
    assert answer.status_code == 404
    assert "ann@" not in answer.text


def test_methods(line: Line) -> None:
    """405 lists them; a WebSocket is refused as anywhere."""
    wrong = line.client.get("/openai/deployments/my-gpt/chat/completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST, OPTIONS")
    assert line.client.delete("/openai/models").status_code == 405
