"""Text completions and moderations through the whole gateway, with the official client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import completing
import upstream as scripted
from gateway.dialects.openai_moderations import OPENAI_MODERATIONS
from line import Line, config, running

CARD = "4111 1111 1111 1111"


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that blocks card numbers, redacts secrets, and lets token ids through."""
    folder = tmp_path_factory.mktemp("completions")
    settings = config(
        folder,
        up.url,
        pii={"entities": {"CREDIT_CARD": "block"}, "unscannable": "allow"},
        quotas={"tokens": 100_000},
    )
    settings["models"]["omni-moderation-latest"] = {"targets": ["up/echo"]}
    settings["models"]["small"] = {"targets": ["up/echo"], "max_output": 100, "price": {"input": 1, "output": 2}}
    with running(folder, settings) as started:
        yield started


@pytest.fixture(scope="module")
def client(line: Line) -> Iterator[openai.OpenAI]:
    """The official client, unchanged."""
    with openai.OpenAI(api_key="mg-alice", base_url=f"{line.url}/v1", max_retries=0) as made:
        yield made


def outcome(line: Line, cid: str) -> dict[str, Any]:
    """How the newest call of a workflow ended, on record."""
    query = "SELECT o.record FROM outcomes o JOIN decisions d ON d.id = o.id WHERE d.correlation_id = '%s'"
    record: dict[str, Any] = json.loads(line.rows(query % cid)[-1][0])
    return record


def test_a_completion(client: openai.OpenAI, up: scripted.Upstream, line: Line) -> None:
    """Masked on its way to the provider, restored on the way back, charged."""
    said = client.completions.create(
        model="echo",
        prompt="Write to ann@example.org",
        suffix=" at once",
        max_tokens=20,
        extra_headers={"x-correlation-id": "one"},
    )
    assert said.choices[0].text == " then Write to ann@example.org at once"
    assert said.choices[0].finish_reason == "stop"
    assert up.last.path == "/v1/completions"
    assert up.last.body == {
        "model": "echo",
        "prompt": "Write to <EMAIL_1>",
        "suffix": " at once",
        "max_tokens": 20,
    }
    assert outcome(line, "one")["usage"] == {"input": 11, "output": 7, "cached": 0, "counted": False}
    assert line.metric("meshgate_requests_total", route="/v1/completions", status="200") >= 1


def test_an_answer_leaves_as_it_came(line: Line, up: scripted.Upstream) -> None:
    """Byte for byte where nothing is edited."""
    said = {"model": "echo", "prompt": "plain", "logprobs": 2, "x_extra": 1}
    answer = line.client.post("/v1/completions", json=said)
    made = completing.whole(said, x_unknown={"kept": True}, usage=scripted.USAGE)
    assert answer.content == json.dumps(made).encode()
    assert up.last.body == said


@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("echo", [True, False])
def test_a_stream(client: openai.OpenAI, up: scripted.Upstream, usage: bool, echo: bool) -> None:
    """Every choice of every prompt has its own text; usage comes only if it was asked for."""
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
    texts: dict[int, str] = {}
    ends, used = [], []
    for chunk in client.completions.create(
        model="echo", prompt=["to ann@example.org", "to bob@example.org"], n=2, echo=echo, stream=True, **more
    ):
        used += [chunk.usage] if chunk.usage else []
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
            ends += [choice.index] if choice.finish_reason == "stop" else []
    expected = [f"{to if echo else ''} then {to}" for to in ("to ann@example.org", "to bob@example.org")]
    assert [texts[at] for at in range(4)] == [text for text in expected for _ in range(2)]
    assert sorted(ends) == [0, 1, 2, 3]
    assert len(used) == usage
    assert "example.org" not in json.dumps(up.last.body)


def test_log_probabilities_leave_only_with_the_text_they_repeat(client: openai.OpenAI) -> None:
    """A restored text has none, in whole answers and streams."""
    plain = client.completions.create(model="echo", prompt="plain", logprobs=1).choices[0]
    assert plain.logprobs is not None
    assert plain.logprobs.tokens is not None
    assert "".join(plain.logprobs.tokens) == plain.text
    edited = client.completions.create(model="echo", prompt="to ann@example.org", logprobs=1).choices[0]
    assert edited.logprobs is None
    said = [
        choice
        for chunk in client.completions.create(model="echo", prompt="to ann@example.org", logprobs=1, stream=True)
        for choice in chunk.choices
    ]
    assert "".join(choice.text for choice in said) == " then to ann@example.org"
    assert "EMAIL" not in "".join(str(choice.logprobs) for choice in said)


@pytest.mark.parametrize("prompt", [f"card {CARD}", ["plain", f"card {CARD}"]])
@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_value_goes_nowhere(
    client: openai.OpenAI, up: scripted.Upstream, prompt: str | list[str], stream: bool
) -> None:
    """In any prompt."""
    before = len(up.seen)
    with pytest.raises(openai.PermissionDeniedError, match="CREDIT_CARD"):
        client.completions.create(model="echo", prompt=prompt, stream=stream)
    assert len(up.seen) == before


def test_new_personal_data_of_the_model_is_replaced(client: openai.OpenAI, up: scripted.Upstream) -> None:
    """Whole and streamed, over the pieces of a text."""
    up.script["new"] = {"choices": [{"index": 0, "text": "ask new@example.org", "finish_reason": "stop"}]}
    assert client.completions.create(model="script", prompt="new").choices[0].text == "ask <EMAIL>"
    head = b'data: {"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": '
    up.script["new"] = [
        *(head + b'"%b", "finish_reason": null}]}\n\n' % piece for piece in (b"ask new@ex", b"ample.", b"org")),
        head + b'"", "finish_reason": "stop"}]}\n\n',
        b"data: [DONE]\n\n",
    ]
    said = client.completions.create(model="script", prompt="new", stream=True)
    assert "".join(choice.text for chunk in said for choice in chunk.choices) == "ask <EMAIL>"


def test_token_ids(line: Line, client: openai.OpenAI, up: scripted.Upstream, tmp_path: Path) -> None:
    """They count as tokens, and are unscannable."""
    assert client.completions.create(model="echo", prompt=[[1, 2], [3]]).choices[1].text == " then [3]"
    with running(tmp_path, config(tmp_path, up.url)) as strict:
        answer = strict.client.post("/v1/completions", json={"model": "echo", "prompt": [1, 2]})
        assert answer.json()["error"]["unscannable"] == {"tokens": 1}


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "mixed": ("prompt", {"prompt": ["a", 1]}),
    "an object": ("prompt", {"prompt": {"text": "a"}}),
    "empty": ("prompt", {"prompt": []}),
    "too many answers": ("prompt", {"prompt": ["a"] * 100, "n": 30}),
    "too many in a stream": ("prompt", {"prompt": ["a"] * 100, "n": 2, "stream": True}),
    "n": ("n", {"n": 0}),
    "best_of": ("best_of", {"best_of": 1000}),
    "another model": ("fallbacks", {"extra_body": {"fallbacks": ["other"]}}),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_refused_by_name(client: openai.OpenAI, name: str) -> None:
    """With the parameter."""
    param, fields = WRONG[name]
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**{"model": "echo", "prompt": "a", **fields})
    assert caught.value.param == param


def test_every_generated_answer_is_reserved(line: Line) -> None:
    """Prompts times `best_of`, times the output limit."""
    said = {"model": "small", "prompt": ["a", "b"], "best_of": 10, "n": 1}
    assert line.client.post("/v1/completions", json={**said, "max_tokens": 4000}).status_code == 200
    answer = line.client.post("/v1/completions", json={**said, "max_tokens": 9000})
    assert answer.json()["error"]["code"] == "quota_exceeded"


@pytest.mark.parametrize(
    ("model", "status"), [("status-400", 400), ("status-429", 429), ("garbage", 502), ("wrong-shape", 502)]
)
def test_faults_of_providers(line: Line, model: str, status: int) -> None:
    """Each has the code that it has for chat."""
    assert line.client.post("/v1/completions", json={"model": model, "prompt": "a"}).status_code == status


def test_a_stream_that_breaks_off(client: openai.OpenAI, up: scripted.Upstream) -> None:
    """Ends with an error event."""
    up.release.set()
    with pytest.raises(openai.APIError):
        list(client.completions.create(model="mid-error", prompt="hello", stream=True))
    up.release.clear()


def test_the_demo_answers(line: Line) -> None:
    """Whole, and as a stream."""
    said = {"model": "demo", "prompt": ["hi", "ho"]}
    assert [it["text"] for it in line.client.post("/v1/completions", json=said).json()["choices"]] == [
        "You said: hi",
        "You said: ho",
    ]
    assert "hi" in line.client.post("/v1/completions", json={**said, "stream": True}).text


# Moderations


def test_a_moderation(client: openai.OpenAI, up: scripted.Upstream, line: Line) -> None:
    """One result for each input; masked on its way; without output tokens."""
    said = client.moderations.create(
        model="echo", input=["hate ann@example.org", "fine"], extra_headers={"x-correlation-id": "mod"}
    )
    assert [result.flagged for result in said.results] == [True, False]
    assert up.last.path == "/v1/moderations"
    assert up.last.body["input"] == ["hate <EMAIL_1>", "fine"]
    assert outcome(line, "mod")["usage"] == {"input": 0, "output": 0, "cached": 0, "counted": False}


def test_a_moderation_without_a_model(client: openai.OpenAI, up: scripted.Upstream) -> None:
    """Is one of the default model of OpenAI, which must be configured."""
    assert not client.moderations.create(input="fine").results[0].flagged
    assert up.last.body == {"input": "fine", "model": "echo"}


def test_parts_of_one_input(line: Line, up: scripted.Upstream, tmp_path: Path) -> None:
    """Texts are masked, images are unscannable."""
    parts = [
        {"type": "text", "text": "to ann@example.org"},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
    ]
    said = {"model": "echo", "input": parts}
    assert line.client.post("/v1/moderations", json=said).status_code == 200
    assert up.last.body["input"][0]["text"] == "to <EMAIL_1>"
    with running(tmp_path, config(tmp_path, up.url)) as strict:
        answer = strict.client.post("/v1/moderations", json=said)
        assert answer.json()["error"]["unscannable"] == {"image": 1}


@pytest.mark.parametrize("said", [None, [], [1], {"text": "a"}, ["a", {"type": "text"}]])
def test_what_is_no_input(line: Line, said: Any) -> None:
    """The error names the parameter."""
    answer = line.client.post("/v1/moderations", json={"model": "echo", "input": said})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input")


@pytest.mark.parametrize("answer", [{"results": "none"}, {"results": [1]}, {"results": [{}]}, {"results": [{}, {}]}])
def test_what_is_no_moderation(answer: dict[str, Any]) -> None:
    """Is refused as an answer."""
    with pytest.raises(ValueError, match="holds"):
        OPENAI_MODERATIONS.check(answer, 1)
