"""`/v1/responses` over WebSocket through the whole gateway, with the official client and the library `websockets`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

import upstream as scripted
from keeping import settings
from line import Line, running
from waiting import eventually


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that serves WebSocket."""
    folder = tmp_path_factory.mktemp("sockets")
    with running(folder, settings(folder, up, server={"websockets": True})) as started:
        yield started


def opened(line: Line, agent: str = "alice", **headers: str) -> ClientConnection:
    """A connection."""
    said = {"authorization": f"Bearer mg-{agent}", **headers}
    return connect(f"{line.url.replace('http', 'ws')}/v1/responses", additional_headers=said)


def ask(socket: Connection, said: Any, **fields: Any) -> list[dict[str, Any]]:
    """The events of one call."""
    socket.send(json.dumps({"type": "response.create", "model": "keep", "input": said, **fields}))
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] not in ("response.completed", "response.incomplete", "error"):
        events.append(json.loads(socket.recv(timeout=20)))
    return events


def text(events: list[dict[str, Any]]) -> str:
    """What the deltas say, which the last event repeats."""
    said = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert events[-1]["type"] == "response.completed", events[-1]
    [message] = [item for item in events[-1]["response"]["output"] if item["type"] == "message"]
    assert message["content"][0]["text"] == said
    return said


def test_the_official_client(line: Line, up: scripted.Upstream) -> None:
    """Several calls on one connection: masked, restored, continued, each a line of its own."""
    with openai.OpenAI(api_key="mg-alice", base_url=f"{line.url}/v1") as client, client.responses.connect() as socket:
        socket.response.create(model="keep", input="I am ann@example.org")
        heard = ""
        for event in socket:
            if event.type == "response.output_text.delta":
                heard += event.delta
            if event.type == "response.completed":
                first = event.response.id
                break
        assert heard == "I am ann@example.org"
        assert b"example.org" not in up.last.raw
        assert up.last.body["stream"] is True
        socket.response.create(model="keep", input="who?", previous_response_id=first)
        for event in socket:
            if event.type == "response.completed":
                assert event.response.output_text == "I am ann@example.org + who?"
                break


def test_each_create_is_a_call(line: Line) -> None:
    """Counted and charged as one, in the workflow of the connection."""
    with opened(line, **{"x-correlation-id": "socket"}) as socket:
        assert text(ask(socket, "one")) == "one"
        assert text(ask(socket, "two")) == "two"
    eventually(lambda: line.workflow("socket").used.get("calls") == 2)
    assert line.workflow("socket").used["tokens"] == 36


def test_what_is_not_stored_is_continued_here(line: Line, up: scripted.Upstream) -> None:
    """With `store: false`: the next request has all items, and no id that the provider does not know."""
    with opened(line) as socket:
        first = ask(socket, "I am ann@example.org", store=False)
        id = first[-1]["response"]["id"]
        second = ask(socket, [{"role": "user", "content": "who?"}], store=False, previous_response_id=id)
        assert text(second) == "who?"
        said = up.last.body
        assert "previous_response_id" not in said
        assert [item.get("role") for item in said["input"]] == ["user", "assistant", "user"]
        assert "id" not in said["input"][1]
        assert "example.org" not in json.dumps(said)
    with opened(line) as other:
        lost = ask(other, "who?", store=False, previous_response_id=id)
        assert lost[-1]["error"]["code"] == "previous_response_not_found"


def test_a_warm_up_leaves_nothing(line: Line, up: scripted.Upstream) -> None:
    """It is answered here; the call that follows has its items, which are judged then."""
    with opened(line, **{"x-correlation-id": "warm"}) as socket:
        before = len(up.seen)
        warm = ask(socket, "I am ann@example.org", generate=False)
        assert [event["type"] for event in warm] == ["response.created", "response.completed"]
        assert len(up.seen) == before
        assert text(ask(socket, [], previous_response_id=warm[-1]["response"]["id"])) == "I am ann@example.org"
        assert not {"generate", "type", "previous_response_id"} & up.last.body.keys()
    eventually(lambda: line.workflow("warm").used.get("tokens") == 18)


def test_errors_are_events(line: Line, up: scripted.Upstream) -> None:
    """Of the provider, of the policy, of the request; the connection goes on."""
    before = len(up.seen)
    with opened(line) as socket:
        [error] = ask(socket, "card 4111 1111 1111 1111")
        assert (error["status"], error["error"]["code"]) == (403, "pii_blocked")
        assert len(up.seen) == before
        for said in ("no JSON", "[]", '{"type": "response.steer"}', '{"type": "response.create", "stream_id": "a"}'):
            socket.send(said)
            error = json.loads(socket.recv(timeout=20))
            assert (error["type"], error["status"], error["error"]["code"]) == ("error", 400, "invalid_request")
        [error] = ask(socket, "hi", model="nothing")
        assert error["error"]["code"] == "model_not_found"
        assert text(ask(socket, "on")) == "on"


def test_a_key_is_needed(line: Line) -> None:
    """Without one, the handshake fails with the status that HTTP has."""
    for agent in ("nobody", "somebody"):
        with pytest.raises(InvalidStatus) as caught, opened(line, agent):
            pass
        assert caught.value.response.status_code == 401


def test_another_team_is_told_nothing(line: Line) -> None:
    """Of what is stored."""
    with opened(line) as socket, opened(line, "mallory") as other:
        id = ask(socket, "one")[-1]["response"]["id"]
        assert ask(other, "who?", previous_response_id=id)[-1]["error"]["code"] == "previous_response_not_found"


def test_other_paths_are_not_served(line: Line) -> None:
    """They get 426, as all do without `server.websockets`."""
    with pytest.raises(InvalidStatus) as caught:
        connect(f"{line.url.replace('http', 'ws')}/v1/chat/completions")
    assert caught.value.response.status_code == 426


def test_without_the_setting(up: scripted.Upstream, tmp_path: Path) -> None:
    """An upgrade gets 426."""
    with running(tmp_path, settings(tmp_path, up)) as bare:
        with pytest.raises(InvalidStatus) as caught, opened(bare):
            pass
        assert caught.value.response.status_code == 426


def test_a_frame_that_is_too_large(up: scripted.Upstream, tmp_path: Path) -> None:
    """Closes the connection."""
    made = settings(tmp_path, up, server={"websockets": True, "max_body": 2000})
    with running(tmp_path, made) as small, opened(small) as socket:
        assert text(ask(socket, "hi")) == "hi"
        with pytest.raises(ConnectionClosed):
            ask(socket, "x" * 3000)


def test_a_client_that_leaves(line: Line, up: scripted.Upstream) -> None:
    """Ends its call, and the connection is free."""
    up.release.clear()
    up.arrived.clear()
    with opened(line, **{"x-correlation-id": "left"}) as socket:
        socket.send(json.dumps({"type": "response.create", "model": "keep", "input": "hi"}))
    eventually(lambda: line.workflow("left") is not None)
    with opened(line) as socket:
        assert text(ask(socket, "hi")) == "hi"


def test_a_request_in_an_object(line: Line, up: scripted.Upstream) -> None:
    """Its fields may stand in `response`; they leave once."""
    with opened(line) as socket:
        socket.send(json.dumps({"type": "response.create", "response": {"model": "keep", "input": "one of them"}}))
        events: list[dict[str, Any]] = []
        while not events or events[-1]["type"] != "response.completed":
            events.append(json.loads(socket.recv(timeout=20)))
    assert text(events) == "one of them"
    assert up.last.raw.count(b"one of them") == 1
    assert "response" not in up.last.body
