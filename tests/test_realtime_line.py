"""`/v1/realtime` through the whole gateway, with the official client and with the library `websockets`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from websockets.exceptions import InvalidStatus

from line import Line, running
from realtime_client import CARD, KEY, MAIL, answer, made, opened, say, send, text, until
from realtime_provider import Provider, provider
from waiting import eventually


@pytest.fixture(scope="module")
def up() -> Iterator[Provider]:
    """The provider."""
    with provider() as started:
        yield started


@pytest.fixture(scope="module")
def line(up: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway where no audio flows."""
    folder = tmp_path_factory.mktemp("realtime")
    with running(folder, made(folder, up)) as started:
        yield started


@pytest.fixture(scope="module")
def audible(up: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway where audio flows."""
    folder = tmp_path_factory.mktemp("realtime_audio")
    found = made(folder, up)
    found["pii"]["unscannable"] = found["output"]["unscannable"] = "allow"
    with running(folder, found) as started:
        yield started


def test_the_official_client(line: Line, up: Provider) -> None:
    """Masked, restored, continued; every answer is a call of its own."""
    with (
        openai.OpenAI(api_key="mg-alice", base_url=f"{line.url}/v1") as client,
        client.realtime.connect(model="talk", extra_headers={"x-correlation-id": "official"}) as connection,
    ):
        settings_: Any = {"type": "realtime", "instructions": "Be brief.", "output_modalities": ["text"]}
        connection.session.update(session=settings_)
        heard = []
        for round_ in (f"I am {MAIL}", "and again"):
            part: Any = {"type": "input_text", "text": round_}
            connection.conversation.item.create(item={"type": "message", "role": "user", "content": [part]})
            connection.response.create()
            said = ""
            for event in connection:
                if event.type == "response.output_text.delta":
                    said += event.delta
                elif event.type == "response.done":
                    assert event.response.usage is not None
                    heard.append(said)
                    break
        assert heard == [f"I am {MAIL}", f"I am {MAIL} and again"]
    assert MAIL not in up.said()
    assert "<EMAIL_1>" in up.said()
    assert up.paths[-1] == "/v1/realtime?model=gpt-realtime"
    assert up.headers[-1]["authorization"] == "Bearer sk-upstream-secret"
    asked = [event["response"] for event in up.heard[-1] if event["type"] == "response.create"]
    assert [one["instructions"] for one in asked] == ["Be brief."] * 2
    eventually(lambda: line.workflow("official").used.get("tokens") == 60)
    [(calls,)] = line.rows("SELECT count(*) FROM decisions WHERE correlation_id = 'official'")
    assert calls == 2


def test_events_have_the_form_of_the_provider(line: Line) -> None:
    """Ids of events and answers, items of the conversation, no field of another dialect."""
    with opened(line) as socket:
        first = until(socket, "session.created")[0]
        assert first["session"]["model"] == "talk"
        say(socket, "hi")
        events = answer(socket)
        id = events[0]["response"]["id"]
        assert all(event["response_id"] == id for event in events if event["type"].startswith("response.output"))
        assert len({event["event_id"] for event in events}) == len(events)
        assert not any("sequence_number" in event for event in events)
        names = [event["type"] for event in events]
        assert names.index("conversation.item.added") < names.index("conversation.item.done")
        assert events[-1]["response"]["usage"]["input_token_details"]["cached_tokens"] == 4


@pytest.mark.parametrize("cuts", [1, 3, 100])
def test_what_an_answer_may_not_say(line: Line, up: Provider, cuts: int) -> None:
    """A key in the answer ends it, however it is cut; nothing of it leaves, and the connection goes on."""
    up.cuts, up.script = cuts, f"the key is {KEY} for you"
    try:
        with opened(line) as socket:
            say(socket, "hi")
            events = answer(socket)
            assert (events[-1]["type"], events[-1]["response"]["status"]) == ("response.done", "incomplete")
            assert events[-1]["response"]["status_details"]["reason"] == "content_filter"
            assert KEY[:12] not in json.dumps(events)
            up.script = ""
            say(socket, "again")
            assert text(answer(socket)) == "hi again"
    finally:
        up.cuts, up.script = 1, ""


def test_arguments_are_restored(line: Line, up: Provider) -> None:
    """Of a tool call, and the result of the tool is masked."""
    with opened(line) as socket:
        say(socket, f"look for {MAIL}")
        events = answer(socket, tools=[{"type": "function", "name": "find"}])
        [done] = [event for event in events if event["type"] == "response.function_call_arguments.done"]
        assert json.loads(done["arguments"]) == {"q": f"look for {MAIL}"}
        item = {"type": "function_call_output", "call_id": "call_1", "output": f"found {MAIL}"}
        send(socket, "conversation.item.create", item=item)
        until(socket, "conversation.item.done")
        assert f"found {MAIL}" in text(answer(socket))
    assert MAIL not in json.dumps(up.heard[-1])


def test_a_refused_answer_drops_its_items(line: Line, up: Provider) -> None:
    """A blocked value never leaves, is not repeated, and the connection goes on."""
    with opened(line) as socket:
        until(socket, "session.created")
        say(socket, f"pay with {CARD}")
        send(socket, "response.create")
        [refused] = until(socket, "error")
        assert refused["error"]["code"] == "pii_blocked"
        assert CARD not in json.dumps(refused)
        until(socket, "conversation.item.deleted")
        say(socket, "hello")
        assert text(answer(socket)) == "hello"
    assert CARD not in up.said()


def test_policies_judge_each_answer(up: Provider, tmp_path: Path) -> None:
    """By tools of the session, before the provider hears anything."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "p.rego").write_text(
        'package gateway\n\ndecision := {"allow": count(deny) == 0, "deny": deny}\n\n'
        'deny contains {"code": "no_tools", "message": "No", "class": "safety"} if "pay" in input.action.tools\n'
    )
    found = made(tmp_path, up, policy={"path": str(tmp_path / "p")})
    with running(tmp_path, found) as line, opened(line) as socket:
        before = len(up.heard)
        send(socket, "session.update", session={"type": "realtime", "tools": [{"type": "function", "name": "pay"}]})
        until(socket, "session.updated")
        say(socket, "hi")
        send(socket, "response.create")
        assert until(socket, "error")[-1]["error"]["code"] == "policy_denied"
        assert len(up.heard) == before
        assert text(answer(socket, tools=[])) == ""


def test_policies_strip_tools(up: Provider, tmp_path: Path) -> None:
    """The provider does not hear of them, in whatever event they came."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "p.rego").write_text(
        'package gateway\n\ndecision := {"allow": true, "deny": [], "obligations": {"strip_tools": ["pay"]}}\n'
    )
    found = made(tmp_path, up, policy={"path": str(tmp_path / "p")})
    tools = [{"type": "function", "name": "pay"}, {"type": "function", "name": "find"}]
    with running(tmp_path, found) as line, opened(line) as socket:
        send(socket, "session.update", session={"type": "realtime", "tools": tools})
        until(socket, "session.updated")
        for fields in ({}, {"tools": tools}):
            say(socket, "hi")
            events = answer(socket, **fields)
            assert events[-1]["type"] == "response.done"
            assert "find" in json.dumps(events)
            asked = [event for event in up.heard[-1] if event["type"] == "response.create"][-1]
            assert [tool["name"] for tool in asked["response"]["tools"]] == ["find"]
        assert '"pay"' not in up.said()


def test_quotas_end_it(up: Provider, tmp_path: Path) -> None:
    """A workflow without calls left gets no further answer."""
    found = made(tmp_path, up)
    found["quotas"] = {"calls": 1}
    with running(tmp_path, found) as line, opened(line) as socket:
        say(socket, "one")
        assert text(answer(socket)) == "one"
        say(socket, "two")
        assert answer(socket)[-1]["error"]["code"] == "quota_exceeded"


def test_no_audio_without_permission(line: Line, up: Provider) -> None:
    """Neither in nor out, and the provider is not even called."""
    before = len(up.heard)
    with opened(line) as socket:
        send(socket, "input_audio_buffer.append", audio="AAAA")
        assert "pii.unscannable" in until(socket, "error")[-1]["error"]["message"]
        send(socket, "session.update", session={"type": "realtime", "output_modalities": ["audio"]})
        assert "output.unscannable" in until(socket, "error")[-1]["error"]["message"]
        part = {"type": "input_audio", "audio": "AAAA"}
        send(socket, "conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
        until(socket, "conversation.item.done")
        assert answer(socket)[-1]["error"]["code"] == "pii_blocked"
    assert len(up.heard) == before


def test_audio_with_permission(audible: Line, up: Provider) -> None:
    """Audio flows, its transcript is judged, and the gateway asks for the answer at the end of a turn."""
    with opened(audible, **{"x-correlation-id": "audio"}) as socket:
        until(socket, "session.created")
        say(socket, f"call {MAIL}")
        send(socket, "input_audio_buffer.append", audio="AAAA")
        send(socket, "input_audio_buffer.commit")
        events = until(socket, "response.done", "error")
        assert text(events, "output_audio_transcript") == f"call {MAIL}"
        assert "input_audio_buffer.committed" in [event["type"] for event in events]
        assert [event["delta"] for event in events if event["type"] == "response.output_audio.delta"] == ["AAAA"]
    heard = up.heard[-1]
    assert MAIL not in json.dumps(heard)
    [update, *_] = [event["session"] for event in heard if event["type"] == "session.update"]
    assert update["audio"]["input"]["turn_detection"]["create_response"] is False
    rows = audible.rows("SELECT count(*) FROM decisions WHERE correlation_id = 'audio'")
    assert rows == [(2,)]  # one opened the connection


def test_transcripts_are_not_served(audible: Line) -> None:
    """What nobody judges is not asked for."""
    with opened(audible) as socket:
        audio = {"input": {"transcription": {"model": "whisper-1"}}}
        send(socket, "session.update", session={"type": "realtime", "audio": audio})
        assert until(socket, "error")[-1]["error"]["param"] == "audio.input.transcription"


@pytest.mark.parametrize(
    "frame",
    [
        "no json",
        "[]",
        '{"type": "session.fly"}',
        '{"type": "session.update"}',
        '{"type": "session.update", "session": {"type": "realtime", "x": 1}}',
        '{"type": "conversation.item.create"}',
        '{"type": "conversation.item.create", "item": {"id": "a b", "type": "message"}}',
        '{"type": "conversation.item.delete", "item_id": 3}',
        '{"type": "conversation.item.truncate", "item_id": "a", "content_index": -1}',
        '{"type": "conversation.item.retrieve", "item_id": "a"}',
        '{"type": "response.create", "response": []}',
        '{"type": "response.create", "response": {"input": []}}',
        '{"type": "response.create", "response": {"tools": 5}}',
        '{"type": "response.cancel"}',
    ],
)
def test_bad_events(line: Line, frame: str) -> None:
    """Each gets an error, and the connection goes on."""
    with opened(line) as socket:
        socket.send(frame)
        assert until(socket, "error")[-1]["error"]["type"] == "invalid_request_error"
        say(socket, "hi")
        assert text(answer(socket)) == "hi"


def test_what_a_provider_refuses(line: Line, up: Provider) -> None:
    """Its words are not the gateway's; another answer may follow."""
    with opened(line) as socket:
        assert answer(socket, instructions="refuse")[-1]["type"] == "error"
        say(socket, "hi")
        assert text(answer(socket)) == "hi"


def test_a_provider_that_refuses_the_connection(line: Line, up: Provider) -> None:
    """As any failed call, and the next call tries again."""
    with opened(line) as socket:
        say(socket, "hi")
        up.refuses = 503
        try:
            assert answer(socket)[-1]["error"]["code"] == "upstream_error"
        finally:
            up.refuses = 0
        eventually(lambda: answer(socket)[-1]["type"] == "response.done")


def test_two_answers_at_once(line: Line, up: Provider) -> None:
    """The second is refused while the first is made; a cancel is passed on."""
    up.held.clear()
    with opened(line) as socket:
        say(socket, "hi")
        send(socket, "response.create")
        until(socket, "response.created")
        send(socket, "response.create")
        assert until(socket, "error")[-1]["error"]["code"] == "conversation_already_has_active_response"
        send(socket, "response.cancel")
        up.held.set()
        assert until(socket, "response.done")[-1]["type"] == "response.done"
    eventually(lambda: any(event["type"] == "response.cancel" for event in up.heard[-1]))


def test_who_may_connect(line: Line) -> None:
    """A valid key and a model, or the handshake fails with the reason."""
    for agent, model, status in (("nobody", "talk", 401), ("alice", "none-such", 404), ("alice", "", 404)):
        with pytest.raises(InvalidStatus) as caught:
            opened(line, agent, model)
        assert caught.value.response.status_code == status
        assert b'"error"' in caught.value.response.body


def test_without_websockets(up: Provider, tmp_path: Path) -> None:
    """An upgrade is answered at once."""
    found = made(tmp_path, up)
    found["server"] = {"websockets": False}
    with running(tmp_path, found) as line:
        with pytest.raises(InvalidStatus) as caught:
            opened(line)
        assert caught.value.response.status_code == 426
        assert "server.websockets" in httpx.get(f"{line.url}/v1/realtime").json()["error"]["message"]
