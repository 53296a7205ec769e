"""Ids of files, containers and stores in requests, in every dialect: those of another team are unknown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import passed
import responding
import upstream as scripted
from keeping import PRICE, settings
from line import KEYS, Line, running

SHARED = ["vs_shared*", "gs://public/*", "cntr_shared", "pmpt_shared", "voice_shared"]
VERSION = {"anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a provider of each format, that lets unscannable parts pass."""
    folder = tmp_path_factory.mktemp("cited")
    made = settings(folder, up, stored={"shared": SHARED})
    made["pii"]["unscannable"] = made["output"]["unscannable"] = "allow"
    made["providers"]["g"] = {"format": "gemini", "base_url": up.url, "api_key": "gem-upstream-secret"}
    made["providers"]["claude"] = {"format": "anthropic", "base_url": up.url, "api_key": "sk-ant-upstream"}
    made["models"]["gem"] = {"targets": ["g/echo"], "price": PRICE}
    made["models"]["claude"] = {"targets": ["claude/script"], "price": PRICE}
    made["models"]["script"] = {"targets": ["up/script"], "price": PRICE}
    made["models"]["/v1/files"] = {"targets": ["up/any", "claude/any"]}
    with running(folder, made) as started:
        yield started


def ask(line: Line, path: str, body: dict[str, Any], agent: str = "alice", **headers: str) -> Any:
    """One call."""
    return line.client.post(path, json=body, headers={"authorization": f"Bearer {KEYS[agent]}", **headers})


def chat(*parts: dict[str, Any]) -> dict[str, Any]:
    """A chat request with these parts."""
    return {"model": "echo", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, *parts]}]}


def respond(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A Responses request."""
    content = [{"type": "input_text", "text": "hi"}, *parts]
    return {"model": "keep", "input": [{"role": "user", "content": content}], **fields}


def message(*blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A Messages request."""
    content = [*blocks, {"type": "text", "text": "hi"}]
    return {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": content}], **fields}


def generate(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A Gemini request."""
    return {"contents": [{"role": "user", "parts": [{"text": "hi"}, *parts]}], **fields}


GENERATE = "/v1beta/models/gem:generateContent"
INTERPRETER = {"type": "code_interpreter"}
UPLOADED = "https://generativelanguage.googleapis.com/v1beta/files/abc"
ITEM = {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "status": "completed", "outputs": []}
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "a file in a chat": ("/v1/chat/completions", chat({"type": "file", "file": {"file_id": "file-x"}}), "file_id"),
    "a part of another dialect": ("/v1/chat/completions", chat({"type": "input_file", "file_id": "file-x"}), "file_id"),
    "a field of another dialect": ("/v1/chat/completions", {**chat(), "file_ids": ["file-x"]}, "file_ids"),
    "a file": ("/v1/responses", respond({"type": "input_file", "file_id": "file-x"}), "file_id"),
    "an image": ("/v1/responses", respond({"type": "input_image", "file_id": "file-x"}), "file_id"),
    "a container": ("/v1/responses", respond(tools=[{**INTERPRETER, "container": "cntr_x"}]), "container"),
    "files in a container": (
        "/v1/responses",
        respond(tools=[{**INTERPRETER, "container": {"type": "auto", "file_ids": ["file-x"]}}]),
        "file_ids",
    ),
    "a container of a shell": (
        "/v1/responses",
        respond(tools=[{"type": "shell", "environment": {"type": "container_reference", "container_id": "cntr_x"}}]),
        "container_id",
    ),
    "an item with a container": (
        "/v1/responses",
        {"model": "keep", "input": [{**ITEM, "container_id": "cntr_x"}, {"role": "user", "content": "hi"}]},
        "container_id",
    ),
    "a store of vectors": (
        "/v1/responses",
        respond(tools=[{"type": "file_search", "vector_store_ids": ["vs_shared1", "vs_x"]}]),
        "vector_store_ids",
    ),
    "a prompt": ("/v1/responses", {"model": "keep", "prompt": {"id": "pmpt_x"}, "input": "hi"}, "prompt"),
    "a voice in a chat": (
        "/v1/chat/completions",
        {**chat(), "modalities": ["text", "audio"], "audio": {"voice": {"id": "voice_x"}, "format": "mp3"}},
        "voice",
    ),
    "a voice by its name": (
        "/v1/chat/completions",
        {**chat(), "modalities": ["text", "audio"], "audio": {"voice": "voice_x", "format": "mp3"}},
        "voice",
    ),
    "a voice": ("/v1/audio/speech", {"model": "echo", "input": "hi", "voice": {"id": "voice_x"}}, "voice"),
    "a mask": (
        "/v1/responses",
        respond(tools=[{"type": "image_generation", "input_image_mask": {"file_id": "file-x"}}]),
        "file_id",
    ),
    "a file of Anthropic": (
        "/v1/messages",
        message({"type": "document", "source": {"type": "file", "file_id": "file-x"}}),
        "file_id",
    ),
    "a file in a result": (
        "/v1/messages",
        {
            **message(),
            "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t",
                            "content": [{"type": "image", "source": {"type": "file", "file_id": "file-x"}}],
                        }
                    ],
                },
            ],
        },
        "file_id",
    ),
    "a file for a container": ("/v1/messages", message({"type": "container_upload", "file_id": "file-x"}), "file_id"),
    "a container of Anthropic": ("/v1/messages", message(container="container_x"), "container"),
    "one with skills": ("/v1/messages", message(container={"id": "container_x", "skills": []}), "container"),
    "a file of Gemini": (
        GENERATE,
        generate({"fileData": {"mimeType": "text/plain", "fileUri": UPLOADED}}),
        "fileUri",
    ),
    "its other name": (GENERATE, generate({"file_data": {"file_uri": "gs://private/a"}}), "file_uri"),
    "a store of files": (
        GENERATE,
        generate(tools=[{"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/x"]}}]),
        "fileSearchStoreNames",
    ),
    "a file in an interaction": (
        "/v1beta/interactions",
        {"model": "gem", "input": [{"type": "document", "uri": UPLOADED, "mime_type": "application/pdf"}]},
        "uri",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_nobody_owns_is_not_found(line: Line, up: scripted.Upstream, name: str) -> None:
    """404 with the name of the field, and nothing reaches the provider; also if the key is spelled with escapes."""
    path, body, param = CASES[name]
    before = len(up.seen)
    answer = ask(line, path, body)
    assert answer.status_code == 404, answer.text
    assert "There is no " in answer.json()["error"]["message"]
    assert "stored.shared" in answer.json()["error"]["message"]
    if "gem" not in path and "interactions" not in path:
        assert answer.json()["error"]["param"] == param
    raw = json.dumps(body).replace(f'"{param}"', '"' + "".join(f"\\u{ord(one):04x}" for one in param) + '"')
    assert json.loads(raw) == body
    headers = {"content-type": "application/json"}
    assert line.client.post(path, content=raw, headers=headers).status_code == 404
    assert len(up.seen) == before


SERVED: dict[str, tuple[str, dict[str, Any]]] = {
    "shared": ("/v1/responses", respond(tools=[{"type": "file_search", "vector_store_ids": ["vs_shared1"]}])),
    "a shared prompt": ("/v1/responses", {"model": "keep", "prompt": {"id": "pmpt_shared"}, "input": "hi"}),
    "a shared voice": ("/v1/audio/speech", {"model": "echo", "input": "hi", "voice": {"id": "voice_shared"}}),
    "a voice of the provider": ("/v1/audio/speech", {"model": "echo", "input": "hi", "voice": "alloy"}),
    "a parameter that is called prompt": (
        "/v1/responses",
        respond(
            tools=[{"type": "function", "name": "f", "parameters": {"properties": {"prompt": {"type": "string"}}}}]
        ),
    ),
    "shared in Gemini": (GENERATE, generate({"fileData": {"mimeType": "text/plain", "fileUri": "gs://public/a"}})),
    "an address": (GENERATE, generate({"fileData": {"fileUri": "https://www.youtube.com/watch?v=abc"}})),
    "a container of its own": ("/v1/responses", respond(tools=[{**INTERPRETER, "container": {"type": "auto"}}])),
    "arguments": (
        "/v1/responses",
        {
            "model": "keep",
            "input": [
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"file_id": "x"}'},
                {"type": "function_call_output", "call_id": "c", "output": '{"container_id": "x"}'},
                {"role": "user", "content": "hi"},
            ],
        },
    ),
    "a schema": (
        "/v1/chat/completions",
        {
            **chat(),
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {"type": "object", "properties": {"file_id": {"type": "string"}}},
                    },
                }
            ],
        },
    ),
}


@pytest.mark.parametrize("name", SERVED)
def test_what_is_shared_or_names_nothing_passes(line: Line, name: str) -> None:
    """Ids that the operator shares, addresses that everybody may read, words."""
    path, body = SERVED[name]
    answer = ask(line, path, body)
    assert answer.status_code == 200, answer.text


def test_a_request_names_so_many(line: Line, up: scripted.Upstream) -> None:
    """Each is looked up."""
    before = len(up.seen)
    tool = {**INTERPRETER, "container": {"type": "auto", "file_ids": [f"file-{at}" for at in range(513)]}}
    answer = ask(line, "/v1/responses", respond(tools=[tool]))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert len(up.seen) == before


def test_a_file_of_the_team(line: Line, up: scripted.Upstream) -> None:
    """Found in every place that names it, by every agent of the team; by no other team."""
    form: Any = {"file": ("a.txt", b"text", "text/plain")}
    id = line.client.post("/v1/files", files=form, data={"purpose": "user_data"}).json()["id"]
    for body in (
        respond({"type": "input_file", "file_id": id}),
        respond(tools=[{**INTERPRETER, "container": {"type": "auto", "file_ids": [id]}}]),
    ):
        assert ask(line, "/v1/responses", body).status_code == 200
        assert ask(line, "/v1/responses", body, "bob").status_code == 200
        assert ask(line, "/v1/responses", body, "mallory").status_code == 404
    first = ask(line, "/v1/responses", respond(model="elsewhere")).json()["id"]
    both = ask(line, "/v1/responses", respond({"type": "input_file", "file_id": id}, previous_response_id=first))
    assert both.status_code == 400, "the file is at one provider, the conversation at another"


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("stream", [True, False])
def test_a_container_of_a_response(line: Line, up: scripted.Upstream, *, stream: bool, store: bool) -> None:
    """Whoever got the answer in which code ran may use its container."""
    id, word = f"cntr_{stream}_{store}", f"run {stream} {store}"
    made = responding.whole({"model": "script", "input": word})
    made["output"] = [{**ITEM, "container_id": id}, *made["output"]]
    done = {"type": "response.completed", "sequence_number": 1, "response": made}
    created = {"type": "response.created", "sequence_number": 0, "response": {**made, "status": "in_progress"}}
    events = [f"event: {it['type']}\ndata: {json.dumps(it)}\n\n".encode() for it in (created, done)]
    up.script[word] = events if stream else made
    tools = [{**INTERPRETER, "container": {"type": "auto"}}]
    asked = {"model": "script", "input": word, "tools": tools, "store": store, "stream": stream}
    assert ask(line, "/v1/responses", asked).status_code == 200
    again = respond(tools=[{**INTERPRETER, "container": id}])
    assert ask(line, "/v1/responses", again, "bob").status_code == 200
    assert ask(line, "/v1/responses", again, "mallory").status_code == 404
    back = {"model": "keep", "input": [{**ITEM, "container_id": id}, {"role": "user", "content": "hi"}]}
    assert ask(line, "/v1/responses", back).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
def test_a_container_of_a_message(line: Line, up: scripted.Upstream, *, stream: bool) -> None:
    """And the files that code wrote there."""
    id, file, word = f"container_{stream}", f"file_{stream}", f"run {stream}"
    use = {"type": "server_tool_use", "id": "s", "name": "code_execution", "input": {"code": "1"}}
    wrote = {"type": "code_execution_output", "file_id": file}
    said = {"type": "code_execution_result", "stdout": "", "stderr": "", "return_code": 0, "content": [wrote]}
    ran = {"type": "code_execution_tool_result", "tool_use_id": "s", "content": said}
    container = {"id": id, "expires_at": "2026-01-01T00:00:00Z"}
    whole = {**passed.MESSAGE, "content": [use, ran, {"type": "text", "text": "done"}], "container": container}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**whole, "content": [], "container": None}}]
    for at, block in enumerate(whole["content"]):
        events.append({"type": "content_block_start", "index": at, "content_block": block})
        events.append({"type": "content_block_stop", "index": at})
    ends = {"stop_reason": "end_turn", "stop_sequence": None, "container": container}
    events += [{"type": "message_delta", "delta": ends, "usage": {"output_tokens": 7}}, {"type": "message_stop"}]
    lines = [b"event: %s\ndata: %s\n\n" % (it["type"].encode(), json.dumps(it).encode()) for it in events]
    up.script |= {word: lines if stream else whole, "hi": passed.MESSAGE}
    tools = [{"type": "code_execution_20250825", "name": "code_execution"}]
    asked = {"model": "claude", "max_tokens": 9, "tools": tools, "messages": [{"role": "user", "content": word}]}
    answer = ask(line, "/v1/messages", {**asked, "stream": stream}, **VERSION)
    assert answer.status_code == 200
    assert "error" not in answer.text, answer.text
    again = message(container=id)
    assert ask(line, "/v1/messages", again, "bob", **VERSION).status_code == 200
    assert ask(line, "/v1/messages", again, "mallory", **VERSION).status_code == 404
    passed.FILES[file] = b"wrote"
    for agent, status in (("alice", 200), ("mallory", 404)):
        headers = {"authorization": f"Bearer {KEYS[agent]}", **VERSION}
        assert line.client.get(f"/v1/files/{file}/content", headers=headers).status_code == status
    turn = {"role": "assistant", "content": [use, ran]}
    history = [{"role": "user", "content": word}, turn, {"role": "user", "content": "hi"}]
    assert ask(line, "/v1/messages", {**asked, "messages": history}, **VERSION).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
def test_the_audio_of_a_completion(line: Line, up: scripted.Upstream, *, stream: bool) -> None:
    """Is named in the next request of the team, and of no other."""
    id, word = f"audio_{stream}", f"speak {stream}"
    audio = {"id": id, "expires_at": 1, "transcript": "hi"}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "audio": audio}, None), ({}, "stop")]
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in deltas]
    message = {"role": "assistant", "content": None, "audio": audio}
    whole = {
        **head,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    lines = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]
    up.script[word] = lines if stream else whole
    first = {"role": "user", "content": word}
    asked = {"model": "script", "messages": [first], "stream": stream}
    answer = ask(line, "/v1/chat/completions", asked)
    assert answer.status_code == 200, answer.text
    assert id in answer.text
    history = [first, {"role": "assistant", "audio": {"id": id}}, {"role": "user", "content": "go on"}]
    again = {"model": "echo", "messages": history}
    assert ask(line, "/v1/chat/completions", again).status_code == 200
    refused = ask(line, "/v1/chat/completions", again, "mallory")
    assert (refused.status_code, refused.json()["error"]["param"]) == (404, "audio")


def test_a_model_cannot_name_what_it_made(line: Line, up: scripted.Upstream) -> None:
    """An id in a text or in the arguments of a tool gives nobody a container."""
    use = {
        "type": "tool_use",
        "id": "t",
        "name": "f",
        "input": {"container": {"id": "container_m"}, "container_id": "c"},
    }
    up.script["claim"] = {**passed.MESSAGE, "content": [use], "stop_reason": "tool_use"}
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    asked = {"model": "claude", "max_tokens": 9, "tools": tools, "messages": [{"role": "user", "content": "claim"}]}
    assert ask(line, "/v1/messages", asked, **VERSION).status_code == 200
    assert ask(line, "/v1/messages", message(container="container_m"), **VERSION).status_code == 404


@pytest.mark.parametrize(
    "fields", [{"previous_response_id": "resp_1"}, {"tools": [{**INTERPRETER, "container": "cntr_x"}]}]
)
def test_requests_of_a_batch_are_read_too(line: Line, up: scripted.Upstream, fields: dict[str, Any]) -> None:
    """They are sent later, and nobody asks then."""
    one = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/responses",
        "body": {"model": "keep", "input": "hi", **fields},
    }
    form: Any = {"file": ("b.jsonl", json.dumps(one).encode() + b"\n", "application/jsonl")}
    before = len(up.seen)
    assert line.client.post("/v1/files", files=form, data={"purpose": "batch"}).status_code in (400, 404)
    params = message(container="container_x")
    assert ask(line, "/v1/messages/batches", {"requests": [{"custom_id": "a", "params": params}]}).status_code == 404
    assert len(up.seen) == before


@pytest.mark.parametrize("path", ["/v1/vector_stores", "/v1/containers"])
def test_stores_and_containers_need_a_model(line: Line, path: str) -> None:
    """That is called like the path: the message says so."""
    answer = ask(line, path, {"name": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert path in answer.json()["error"]["message"]


BARE = ({"type": "image_generation_call", "id": "{}"}, {"type": "reasoning", "id": "{}", "summary": []})


@pytest.mark.parametrize("bare", BARE, ids=lambda it: it["type"])
def test_an_item_without_content_is_a_reference(line: Line, up: scripted.Upstream, bare: dict[str, Any]) -> None:
    """The provider would look for the image, or for what was thought: only the team that got it may name it."""
    kind, word = bare["type"], f"make {bare['type']}"
    asked = {"model": "script", "tools": [{"type": "image_generation"}]}
    item = {**bare, "id": f"it_{kind}", "status": "completed"}
    made = responding.whole({"model": "script", "input": word})
    made["output"] = [item, *made["output"]]
    up.script[word] = made
    assert ask(line, "/v1/responses", {**asked, "input": word}).status_code == 200
    again = {**asked, "input": [item, {"role": "user", "content": word}]}
    assert ask(line, "/v1/responses", again).status_code == 200
    assert ask(line, "/v1/responses", again, "bob").status_code == 200
    before = len(up.seen)
    assert ask(line, "/v1/responses", again, "mallory").status_code == 404
    unknown = {**asked, "input": [{**item, "id": "it_unknown"}, {"role": "user", "content": word}]}
    assert ask(line, "/v1/responses", unknown).status_code == 404
    assert len(up.seen) == before
    for content in ({"result": "aGk="}, {"encrypted_content": "c2VhbGVk"}):
        if (kind == "reasoning") == ("encrypted_content" in content):
            full = {**item, "id": "it_unknown", **content}
            whole = {**asked, "input": [full, {"role": "user", "content": word}]}
            assert ask(line, "/v1/responses", whole).status_code == 200


def thought(id: str, **more: Any) -> dict[str, Any]:
    """Reasoning in plain words."""
    return {"type": "reasoning", "id": id, "summary": [{"type": "summary_text", "text": "They said hi."}], **more}


def test_reasoning_of_another_team_is_not_looked_up(line: Line, up: scripted.Upstream) -> None:
    """With its words, it leaves under an id that no provider knows; the team that got it may send its id."""
    word, id = "reason", "rs_of_alice"
    asked = {"model": "script", "tools": []}
    made = responding.whole({"model": "script", "input": word})
    up.script[word] = {**made, "output": [thought(id), *made["output"]]}
    assert ask(line, "/v1/responses", {**asked, "input": word}).status_code == 200
    up.script[word] = made
    said = {"role": "user", "content": word}

    def left(agent: str, *items: dict[str, Any], **headers: str) -> list[str]:
        answer = ask(line, "/v1/responses", {**asked, "input": [*items, said]}, agent, **headers)
        assert answer.status_code == 200, answer.text
        assert [one.get("summary") for one in up.last.body["input"]] == [one.get("summary") for one in (*items, said)]
        return [one["id"] for one in up.last.body["input"] if "id" in one]

    assert left("alice", thought(id)) == [id]
    assert left("bob", thought(id)) == [id]
    (other,) = left("mallory", thought(id))
    assert other != id
    assert left("mallory", thought(id), thought("rs_2")) == [other, *left("mallory", thought("rs_2"))]
    assert left("mallory", thought(id, encrypted_content="c2VhbGVk")) == [id]  # nothing is looked up


def test_reasoning_in_a_long_conversation(line: Line, up: scripted.Upstream) -> None:
    """Whose opening is known: the same bytes leave as if it were read in full."""
    up.script["go on"] = responding.whole({"model": "script", "input": "go on"})
    pad = [{"role": "user", "content": f"{at} " + "word " * 400} for at in range(12)]
    items: list[dict[str, Any]] = [*pad, thought("rs_foreign"), {"role": "assistant", "content": "ok"}]
    seen = []
    for turn in range(6):
        items += [thought(f"rs_turn{turn}"), {"role": "assistant", "content": "ok"}]
        asked = {"model": "script", "input": [*items, {"role": "user", "content": "go on"}], "store": False}
        headers = {"x-correlation-id": "long-reasoning"}
        assert ask(line, "/v1/responses", asked, "mallory", **headers).status_code == 200
        seen.append([one["id"] for one in up.last.body["input"] if "id" in one])
    assert not any(id.startswith(("rs_foreign", "rs_turn")) for ids in seen for id in ids)
    assert seen[-1][: len(seen[0])] == seen[0]
    assert len(seen[-1]) == len(seen[0]) + 5


def test_a_container_in_a_known_opening(line: Line, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner is looked for with every call, and a name after an opening without names is seen."""
    id, word = "cntr_of_a_long_talk", "run for long"
    made = responding.whole({"model": "script", "input": word})
    up.script[word] = {**made, "output": [{**ITEM, "container_id": id}, *made["output"]]}
    tools = [{**INTERPRETER, "container": {"type": "auto"}}]
    assert ask(line, "/v1/responses", {"model": "script", "input": word, "tools": tools}).status_code == 200
    up.script["go on"] = responding.whole({"model": "script", "input": "go on"})
    pad = [{"role": "user", "content": f"{at} " + "word " * 400} for at in range(12)]
    said, ran = {"role": "user", "content": "go on"}, {**ITEM, "container_id": id}

    def status(*items: dict[str, Any], **headers: str) -> int:
        body = {"model": "script", "input": [*items, said], "store": False}
        answer: int = ask(line, "/v1/responses", body, **headers).status_code
        return answer

    names, names_none = {"x-correlation-id": "names"}, {"x-correlation-id": "names-none"}
    for turn in range(4):
        more = [{"role": "user", "content": f"turn {turn}"}] * (turn + 1)
        assert status(ran, *pad, *more, **names) == status(*pad, *more, **names_none) == 200
    assert status(*pad, ran, **names_none) == 200
    assert status(*pad, {**ran, "container_id": "cntr_x"}, **names_none) == 404

    async def unknown(team: str, name: str) -> bytes | None:
        return None

    monkeypatch.setattr(line.gateway.shared.store, "owned", unknown)
    assert status(ran, *pad, *more, said, **names) == 404
    assert status(*pad, *more, said, **names_none) == 200
