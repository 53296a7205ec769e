"""Images, audio, files and batches through the whole gateway, with the official clients."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

import passed
import upstream as scripted
from keeping import VAULT
from line import Line, config, running
from waiting import eventually

CARD = "4111 1111 1111 1111"


def settings(folder: Path, up: scripted.Upstream, unscannable: str = "allow") -> dict[str, Any]:
    """A configuration with models of two providers, and files."""
    pii = {"vault_key": VAULT, "entities": {"CREDIT_CARD": "block"}, "unscannable": unscannable}
    made = config(folder, up.url, pii=pii, output={"unscannable": unscannable}, quotas={"tokens": 10**6})
    made["providers"]["claude"] = {"format": "anthropic", "base_url": up.url, "api_key": "sk-ant-upstream"}
    price = {"input": 1, "output": 2, "tiers": {"batch": {"input": 1, "output": 1}}}
    made["models"]["claude"] = {"targets": ["claude/claude-x"], "price": price}
    made["models"]["/v1/files"] = {"targets": ["up/any", "claude/any"]}
    return made


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that lets unscannable parts pass."""
    folder = tmp_path_factory.mktemp("passed")
    with running(folder, settings(folder, up)) as started:
        yield started


@pytest.fixture(scope="module")
def strict(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that blocks them."""
    folder = tmp_path_factory.mktemp("strict")
    with running(folder, settings(folder, up, "block")) as started:
        yield started


def client_of(line: Line, agent: str = "alice") -> openai.OpenAI:
    """The official client of an agent."""
    return openai.OpenAI(api_key=f"mg-{agent}", base_url=f"{line.url}/v1", max_retries=0)


@pytest.fixture
def client(line: Line) -> Iterator[openai.OpenAI]:
    """Alice's client."""
    with client_of(line) as made:
        yield made


def cid(name: str) -> dict[str, str]:
    """The header of a workflow."""
    return {"x-correlation-id": name}


# Images and audio


def test_images(client: openai.OpenAI, up: scripted.Upstream, line: Line, strict: Line) -> None:
    """The prompt is masked, the revised prompt restored, usage charged; the image is unscannable."""
    made = client.images.generate(model="echo", prompt="a card for ann@example.org", extra_headers=cid("image"))
    assert made.data is not None
    assert (made.data[0].b64_json, made.data[0].revised_prompt) == (passed.PIXEL, "a ann@example.org")
    assert up.last.path == "/v1/images/generations"
    assert up.last.body["prompt"] == "a card for <EMAIL_1>"
    eventually(lambda: line.workflow("image").used.get("tokens") == 18)
    answer = strict.client.post("/v1/images/generations", json={"model": "echo", "prompt": "a cat"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "output_blocked")


def test_edits_and_variations(client: openai.OpenAI, line: Line, up: scripted.Upstream, strict: Line) -> None:
    """A form: its text is masked, its files keep their bytes, and are unscannable."""
    image = ("for ann@example.org (2).png", io.BytesIO(b"\x89PNG\r\n\x1a\n" + passed.AUDIO), "image/png")
    client.images.edit(model="echo", image=image, prompt="write ann@example.org on it")
    assert b"example.org" not in up.last.raw
    assert b"write <EMAIL_1> on it" in up.last.raw
    assert passed.AUDIO in up.last.raw
    assert b"\r\necho\r\n" in up.last.raw
    form = {"image": ("a.png", b"\x89PNG\r\n\x1a\n" + passed.AUDIO, "image/png")}
    assert line.client.post("/v1/images/variations", files=form, data={"model": "echo"}).status_code == 200
    assert up.last.path == "/v1/images/variations"
    blocked = strict.client.post("/v1/images/variations", files=form, data={"model": "echo"})
    assert blocked.json()["error"]["unscannable"] == {"image": 1}


def test_speech(client: openai.OpenAI, up: scripted.Upstream, strict: Line) -> None:
    """The text is masked, the audio passes, unless what is unscannable is blocked."""
    said = client.audio.speech.create(model="echo", voice="alloy", input="Dear ann@example.org")
    assert said.content == passed.AUDIO
    assert said.response.headers["content-type"] == "audio/mpeg"
    assert up.last.body["input"] == "Dear <EMAIL_1>"
    with client_of(strict) as blocked, pytest.raises(openai.PermissionDeniedError, match="audio"):
        blocked.audio.speech.create(model="echo", voice="alloy", input="hi")


@pytest.mark.parametrize("form", ["json", "srt"])
def test_transcripts_are_text(client: openai.OpenAI, line: Line, up: scripted.Upstream, form: Any) -> None:
    """Judged and restored, in JSON and as text."""
    audio = ("a.mp3", io.BytesIO(passed.AUDIO), "audio/mpeg")
    passed.MEDIA["said"] = "I am <EMAIL_1>, not new@example.org"
    said = client.audio.transcriptions.create(
        model="echo", file=audio, prompt="of ann@example.org", response_format=form
    )
    text = said if isinstance(said, str) else said.text
    assert "I am ann@example.org, not <EMAIL>" in text
    assert b"example.org" not in up.last.raw
    form_of = {"file": ("a.mp3", passed.AUDIO, "audio/mpeg")}
    assert line.client.post("/v1/audio/translations", files=form_of, data={"model": "echo"}).status_code == 200
    assert up.last.path == "/v1/audio/translations"


def test_a_blocked_value_goes_nowhere(client: openai.OpenAI, line: Line, up: scripted.Upstream) -> None:
    """In a prompt, the field of a form, a text file, the name of a file, a line of a batch."""
    before = len(up.seen)
    ask: list[Callable[[], object]] = [
        lambda: client.images.generate(model="echo", prompt=f"a {CARD}"),
        lambda: client.audio.transcriptions.create(model="echo", file=("a.mp3", passed.AUDIO), prompt=CARD),
        lambda: client.files.create(file=("a.txt", f"it is {CARD}".encode()), purpose="user_data"),
        lambda: client.files.create(file=(f"{CARD}.txt", b"hi"), purpose="user_data"),
        lambda: client.files.create(file=("b.jsonl", requests(f"it is {CARD}")), purpose="batch"),
    ]
    for one in ask:
        with pytest.raises(openai.PermissionDeniedError):
            one()
    assert len(up.seen) == before


def test_streams_are_refused(line: Line) -> None:
    """By name."""
    answer = line.client.post("/v1/images/generations", json={"model": "echo", "prompt": "a", "stream": True})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "stream")


FORMS: dict[str, bytes] = {
    "no boundary": b"hello",
    "no end": b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\necho\r\n',
    "twice": b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\necho\r\n' * 2 + b"--b--\r\n",
    "another header": b'--b\r\nContent-Disposition: form-data; name="a"\r\nX: y\r\n\r\nx\r\n--b--\r\n',
    "no name": b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
    "two names": b'--b\r\nContent-Disposition: form-data; name="a"; name="b"\r\n\r\nx\r\n--b--\r\n',
    "other names": b"--b\r\nContent-Disposition: form-data; name=a; filename*=UTF-8''b\r\n\r\nx\r\n--b--\r\n",
    "many parts": b'--b\r\nContent-Disposition: form-data; name="a[]"\r\n\r\nx\r\n' * 70 + b"--b--\r\n",
    "not UTF-8": b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--\r\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_is_none(line: Line, up: scripted.Upstream, name: str) -> None:
    """Is refused."""
    before = len(up.seen)
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = line.client.post("/v1/audio/transcriptions", content=FORMS[name], headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert len(up.seen) == before


def test_a_file_in_json_is_refused(line: Line) -> None:
    """It would not be one to the provider."""
    said = {"model": "echo", "file": {"filename": "a", "data": "x"}}
    assert line.client.post("/v1/audio/transcriptions", json=said).status_code == 400


# Files and batches


def requests(text: str, model: str = "renamed") -> bytes:
    """A file with two requests for a batch."""
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    line = {"custom_id": "r", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return b"".join(json.dumps({**line, "custom_id": f"r{at}"}).encode() + b"\n" for at in range(2))


def test_files(client: openai.OpenAI, line: Line, up: scripted.Upstream) -> None:
    """Masked where they are text, restored when they are read, owned by the team."""
    made = client.files.create(file=("a.txt", b"I am ann@example.org"), purpose="user_data")
    assert passed.FILES[made.id] == b"I am <EMAIL_1>"
    assert client.files.retrieve(made.id).id == made.id
    assert client.files.content(made.id).content == b"I am ann@example.org"
    before = len(up.seen)
    part: Any = {"type": "file", "file": {"file_id": made.id}}
    said: Any = [{"role": "user", "content": [part, {"type": "text", "text": "sum it up"}]}]
    with client_of(line, "mallory") as other:
        for ask in (
            lambda: other.files.retrieve(made.id),
            lambda: other.files.content(made.id),
            lambda: other.files.delete(made.id),
            lambda: other.chat.completions.create(model="echo", messages=said),
            lambda: other.batches.create(input_file_id=made.id, endpoint="/v1/responses", completion_window="24h"),
        ):
            with pytest.raises(openai.NotFoundError):
                ask()
    assert len(up.seen) == before
    assert client.chat.completions.create(model="echo", messages=said, extra_headers=cid("any")).choices
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)


def test_a_batch(client: openai.OpenAI, line: Line, up: scripted.Upstream) -> None:
    """Its requests are judged as any, its results too; charged once, as a call of its model."""
    file = client.files.create(
        file=("b.jsonl", requests("I am ann@example.org")), purpose="batch", extra_headers=cid("batch")
    )
    sent = [json.loads(one) for one in passed.FILES[file.id].splitlines()]
    assert [one["body"]["messages"][0]["content"] for one in sent] == ["I am <EMAIL_1>"] * 2
    assert {one["body"]["model"] for one in sent} == {"echo"}
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.batches.retrieve(made.id).status == "in_progress"
    assert not line.workflow("batch").used.get("tokens")
    passed.finish(made.id)
    for _ in range(2):
        done = client.batches.retrieve(made.id)
    eventually(lambda: line.workflow("batch").used.get("tokens") == 18)
    assert done.output_file_id is not None
    assert b"I am ann@example.org" in client.files.content(done.output_file_id).content
    with client_of(line, "mallory") as other:
        for ask in (
            lambda: other.batches.retrieve(made.id),
            lambda: other.batches.cancel(made.id),
            lambda: other.files.content(str(done.output_file_id)),
        ):
            with pytest.raises(openai.NotFoundError):
                ask()
    assert client.batches.cancel(made.id).status == "cancelling"


@pytest.mark.parametrize(
    ("end", "free"),
    [
        ({"status": "completed", "request_counts": {"total": 2, "completed": 2, "failed": 0}}, False),
        ({"status": "completed"}, False),
        ({"status": "completed", "usage": {"input_tokens": -1, "output_tokens": "7"}}, False),
        ({"status": "cancelled", "request_counts": {"total": 2, "completed": 1, "failed": 0}}, False),
        ({"status": "cancelled", "request_counts": {"total": 2, "completed": 0, "failed": 0}}, True),
        ({"status": "failed"}, True),
    ],
)
def test_a_batch_whose_usage_is_not_reported(
    client: openai.OpenAI, line: Line, end: dict[str, Any], free: bool
) -> None:
    """Its answers are in a file, so that nobody can count them: it costs what was reserved, if any was made."""
    workflow = f"unreported-{hashlib.sha256(str(end).encode()).hexdigest()[:8]}"
    file = client.files.create(file=("b.jsonl", requests("hello")), purpose="batch", extra_headers=cid(workflow))
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    eventually(lambda: bool(line.workflow(workflow).held.get("tokens")))
    held = line.workflow(workflow).held
    passed.finish(made.id)
    del passed.BATCHES[made.id]["usage"]
    passed.BATCHES[made.id] |= end
    for _ in range(2):
        client.batches.retrieve(made.id)
    eventually(lambda: not line.workflow(workflow).held.get("tokens"))
    used = line.workflow(workflow).used
    assert (used.get("tokens", 0), used.get("cost", 0)) == ((0, 0) if free else (held["tokens"], held["cost"]))


@pytest.mark.parametrize(
    ("endpoint", "key", "kind"), [("chat/completions", "messages", "text"), ("responses", "input", "input_text")]
)
def test_values_that_are_split_over_parts_of_a_batch(
    client: openai.OpenAI, up: scripted.Upstream, endpoint: str, key: str, kind: str
) -> None:
    """The parts of a message are one text, as in a call of its own."""
    parts = [{"type": kind, "text": "I am ann.lee@exam"}, {"type": kind, "text": "ple.org"}]
    body = {"model": "echo", key: [{"role": "user", "content": parts}]}
    line = {"custom_id": "a", "method": "POST", "url": f"/v1/{endpoint}", "body": body}
    client.files.create(file=("b.jsonl", json.dumps(line).encode() + b"\n"), purpose="batch")
    assert b"I am" in up.last.raw
    assert b"ple.org" not in up.last.raw


@pytest.mark.parametrize("data", [requests("a") + requests("b", "echo"), b"no lines", b'{"body": 1}\n'])
def test_what_is_no_batch(client: openai.OpenAI, up: scripted.Upstream, data: bytes) -> None:
    """Requests for several models, other text, lines without a body."""
    before = len(up.seen)
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.create(file=("b.jsonl", data), purpose="batch")
    assert caught.value.param == "file"
    assert len(up.seen) == before


def test_a_list_needs_its_model(line: Line, up: scripted.Upstream) -> None:
    """A path that the operator has not configured has no list; the provider is not asked."""
    before = len(up.seen)
    for path in ("/v1/batches", "/v1/messages/batches"):
        answer = line.client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert path in answer.json()["error"]["message"]
    assert len(up.seen) == before


def test_message_batches(line: Line, up: scripted.Upstream) -> None:
    """With Anthropic's client: each request is judged as a message; charged when the results are first seen."""
    params: Any = {
        "model": "claude",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "I am ann@example.org"}],
    }
    asked: Any = [{"custom_id": "a", "params": params}, {"custom_id": "b", "params": params}]
    with anthropic.Anthropic(api_key="mg-alice", base_url=line.url, max_retries=0) as client:
        made = client.messages.batches.create(requests=asked, extra_headers=cid("messages"))
        assert b"example.org" not in up.last.raw
        assert up.last.body["requests"][0]["params"]["model"] == "claude-x"
        assert client.messages.batches.retrieve(made.id).id == made.id
        assert not line.workflow("messages").used.get("tokens")
        for _ in range(2):
            answer = line.client.get(
                f"/v1/messages/batches/{made.id}/results", headers={"anthropic-version": "2023-06-01"}
            )
            assert [json.loads(one)["custom_id"] for one in answer.text.splitlines()] == ["a", "b"]
            assert "I am ann@example.org" in answer.text
        eventually(lambda: line.workflow("messages").used.get("tokens") == 36)
        with anthropic.Anthropic(api_key="mg-mallory", base_url=line.url, max_retries=0) as other:
            for ask in (other.messages.batches.retrieve, other.messages.batches.cancel, other.messages.batches.delete):
                with pytest.raises(anthropic.NotFoundError):
                    ask(made.id)
        asked.append({"custom_id": "c", "params": {**params, "model": "echo"}})
        with pytest.raises(anthropic.BadRequestError, match="one model"):
            client.messages.batches.create(requests=asked)


def test_files_of_anthropic(line: Line, up: scripted.Upstream) -> None:
    """The same path, at the other provider."""
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "files-api-2025-04-14"}
    form = {"file": ("a.txt", b"I am ann@example.org", "text/plain")}
    made = line.client.post("/v1/files", files=form, headers=headers)
    assert made.status_code == 200, made.text
    assert up.last.headers["x-api-key"] == "sk-ant-upstream"
    assert passed.FILES[made.json()["id"]] == b"I am <EMAIL_1>"
    assert line.client.get(f"/v1/files/{made.json()['id']}", headers=headers).status_code == 200
