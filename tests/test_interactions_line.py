"""Gemini's Interactions through the whole gateway, with the official client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai

import generating
import upstream as scripted
from formats.wires import Interactions
from keeping import settings
from line import KEYS, Line, running
from waiting import eventually


@pytest.fixture(autouse=True)
def _as_ever(up: scripted.Upstream) -> Iterator[None]:
    yield
    up.says = lambda seen: None


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a provider of Gemini's format."""
    folder = tmp_path_factory.mktemp("interactions")
    made = settings(folder, up)
    made["providers"]["gem"] = {"format": "gemini", "base_url": up.url, "api_key": "gem-upstream-secret"}
    made["models"]["gem"] = {"targets": ["gem/gem-x"], "price": {"input": 1, "output": 2}}
    with running(folder, made) as started:
        yield started


def ask(line: Line, said: Any, *, caller: str = "alice", cid: str = "", **fields: Any) -> Any:
    """One call."""
    headers = {"authorization": "", "x-goog-api-key": KEYS[caller], **({"x-correlation-id": cid} if cid else {})}
    body = {"model": "gem", "input": said, **fields}
    return line.client.post("/v1beta/interactions", json=body, headers=headers)


def about(line: Line, method: str, path: str, agent: str = "alice") -> Any:
    """One call about an interaction."""
    headers = {"authorization": "", "x-goog-api-key": KEYS[agent]}
    return line.client.request(method, f"/v1beta/interactions/{path}", headers=headers)


def test_the_official_client(line: Line, up: scripted.Upstream) -> None:
    """Masked, restored, continued, retrieved, deleted."""
    client = genai.Client(api_key="mg-alice", http_options={"base_url": line.url})
    first: Any = client.interactions.create(model="gem", input="I am ann@example.org")
    assert first.output_text == "I am ann@example.org"
    assert b"example.org" not in up.last.raw
    assert up.last.headers["x-goog-api-key"] == "gem-upstream-secret"
    assert up.last.path == "/v1beta/interactions"
    assert first.id is not None
    second: Any = client.interactions.create(model="gem", input="who?", previous_interaction_id=first.id)
    assert second.output_text == "I am ann@example.org + who?"
    again: Any = client.interactions.get(id=first.id)
    assert again.output_text == "I am ann@example.org"
    client.interactions.delete(id=first.id)
    assert about(line, "GET", first.id).status_code == 404


@pytest.mark.parametrize("input", [[{"type": "text", "text": "I am ann@example.org"}], "I am ann@example.org"])
def test_forms_of_the_input(line: Line, up: scripted.Upstream, input: Any) -> None:
    """All are masked; usage counts thoughts as output."""
    cid = f"form-{type(input).__name__}"
    answer = ask(line, input, cid=cid)
    assert answer.json()["steps"][0]["content"][0]["text"] == "I am ann@example.org"
    assert b"example.org" not in up.last.raw
    eventually(lambda: line.workflow(cid).used.get("tokens") == 18)


def test_a_stream(line: Line, up: scripted.Upstream) -> None:
    """Of the official client: restored in pieces, and continued later."""
    client = genai.Client(api_key="mg-alice", http_options={"base_url": line.url})
    said, id = "", ""
    stream: Any = client.interactions.create(model="gem", input="I am ann@example.org", stream=True)
    for event in stream:
        if event.event_type == "step.delta" and event.delta.type == "text":
            said += event.delta.text
        if event.event_type == "interaction.completed":
            id = event.interaction.id
    assert said == "I am ann@example.org"
    assert b"example.org" not in up.last.raw
    after = ask(line, "who?", previous_interaction_id=id).json()
    assert after["steps"][0]["content"][0]["text"] == "I am ann@example.org + who?"


def test_an_interaction_belongs_to_its_team(line: Line, up: scripted.Upstream) -> None:
    """To any other, it does not exist."""
    id = ask(line, "one").json()["id"]
    before = len(up.seen)
    for method, path in (("GET", id), ("DELETE", id), ("POST", f"{id}/cancel")):
        assert about(line, method, path, "mallory").status_code == 404
    assert ask(line, "two", caller="mallory", previous_interaction_id=id).status_code == 404
    assert len(up.seen) == before
    assert ask(line, "two", previous_interaction_id=id).status_code == 200


def test_functions(line: Line, up: scripted.Upstream) -> None:
    """A stored interaction calls a function, whole and streamed; the next one brings the result."""
    client = genai.Client(api_key="mg-alice", http_options={"base_url": line.url})
    offered: Any = [{"type": "function", "name": "send", "description": "", "parameters": {"type": "object"}}]
    wire = Interactions()
    arguments = json.dumps({"to": "<EMAIL_1>"})
    called = {**wire.whole("", tool=arguments), "id": "v1_call", "status": "requires_action"}
    called["steps"] = called["steps"][1:]
    generating.INTERACTIONS["v1_call"] = called
    up.says = lambda seen: called
    first: Any = client.interactions.create(model="gem", input="write to ann@example.org", tools=offered)
    [call] = [step for step in first.steps if step.type == "function_call"]
    assert (call.name, call.arguments) == ("send", {"to": "ann@example.org"})
    assert b"example.org" not in up.last.raw
    result: Any = {"type": "function_result", "call_id": call.id, "name": "send", "result": "sent to ann@example.org"}
    up.says = lambda seen: wire.whole("done, <EMAIL_1>", id="v1_done")
    second: Any = client.interactions.create(
        model="gem", input=[result], previous_interaction_id=first.id, tools=offered
    )
    assert second.output_text == "done, ann@example.org"
    assert b"example.org" not in up.last.raw
    assert up.last.body["input"][0]["call_id"] == call.id
    pieces = [arguments[at : at + 4] for at in range(0, len(arguments), 4)]
    up.says = lambda seen: wire.events([], tool=pieces)
    stream: Any = client.interactions.create(model="gem", input="write to ann@example.org", tools=offered, stream=True)
    said = "".join(
        event.delta.arguments or ""
        for event in stream
        if event.event_type == "step.delta" and event.delta.type == "arguments_delta"
    )
    assert json.loads(said) == {"to": "ann@example.org"}


def test_a_function_that_was_not_offered(line: Line, up: scripted.Upstream) -> None:
    """Its call does not reach the caller."""
    up.says = lambda seen: Interactions().whole("", tool='{"to": "x"}')
    answer = ask(line, "hi")
    assert (answer.status_code, answer.json()["error"]["status"]) == (403, "PERMISSION_DENIED")


def test_in_the_background(line: Line) -> None:
    """Charged once, when its end is first seen."""
    begun = ask(line, "I am ann@example.org", cid="background", background=True).json()
    assert begun["status"] == "in_progress"
    assert ask(line, "two", previous_interaction_id=begun["id"]).status_code == 400
    generating.RUNNING.discard(begun["id"])
    for _ in range(2):
        done = about(line, "GET", begun["id"]).json()
        assert done["steps"][0]["content"][0]["text"] == "I am ann@example.org"
    eventually(lambda: line.workflow("background").used.get("calls", 0) >= 3)
    assert line.workflow("background").used["tokens"] == 18


WRONG: dict[str, dict[str, Any]] = {
    "background": {"background": True, "stream": True},
    "webhook_config": {"webhook_config": {"uris": ["https://x.example"]}},
    "agent": {"agent": "deep-research"},
    "cached_content": {"cached_content": "cachedContents/1"},
    "environment": {"environment": "remote"},
    "store": {"background": True, "store": False},
    "input": {"input": [{"text": "no type"}]},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(line: Line, up: scripted.Upstream, name: str) -> None:
    """By name, with what to do."""
    before = len(up.seen)
    answer = ask(line, "hi", **WRONG[name]) if name != "input" else ask(line, WRONG[name]["input"])
    assert answer.status_code == 400
    assert f"`{name}`" in answer.json()["error"]["message"]
    assert len(up.seen) == before


def test_unscannable_parts(line: Line) -> None:
    """An image is no text."""
    image = [{"type": "image", "data": "iVBORw0KGgo=", "mime_type": "image/png"}]
    answer = ask(line, image)
    assert answer.status_code == 403
    assert answer.json()["error"]["unscannable"] == {"image": 1}
