"""`/v1/realtime` against hostile callers and hostile providers."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.connection import Connection

from gateway.dialects.openai_realtime import judged, read
from gateway.dialects.realtime_events import check_listening, told
from gateway.errors import Refusal
from gateway.serving import realtime
from gateway.upstream.backlog import Backlog
from line import Line, running
from realtime_client import CARD, KEY, MAIL, answer, made, opened, say, send, text, until
from realtime_provider import Provider, provider
from waiting import eventually

PLAIN = CARD.replace(" ", "")


@pytest.fixture(scope="module")
def up() -> Iterator[Provider]:
    """The provider."""
    with provider() as started:
        yield started


@pytest.fixture(autouse=True)
def _usual(up: Provider) -> Iterator[None]:
    yield
    up.refuses, up.refuses_to, up.script = 0, "", ""
    up.tells, up.opens = [], []
    up.held.set()


@pytest.fixture(scope="module")
def audible(up: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway where audio flows."""
    folder = tmp_path_factory.mktemp("realtime_hostile")
    found = made(folder, up)
    found["pii"]["unscannable"] = found["output"]["unscannable"] = "allow"
    with running(folder, found) as started:
        yield started


@pytest.fixture(scope="module")
def line(up: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway where no audio flows."""
    folder = tmp_path_factory.mktemp("realtime_hostile_text")
    with running(folder, made(folder, up)) as started:
        yield started


def unscannable(line: Line) -> str:
    """What the configuration in force says about audio of callers."""
    pii = line.gateway.runtime.config.pii
    return pii.unscannable if pii is not None else ""


def append(socket: Connection) -> None:
    """Open the connection to the provider with audio."""
    send(socket, "input_audio_buffer.append", audio="AAAA")


@pytest.mark.parametrize(
    "audio",
    [
        {"turn_detection": {"type": f"ask {MAIL}"}},
        {"turn_detection": {"type": "server_vad", "threshold": int(PLAIN)}},
        {"turn_detection": {"type": "server_vad", "prefix_padding_ms": [KEY]}},
        {"turn_detection": {"type": "server_vad", "note": KEY}},
        {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}},
        {"turn_detection": KEY},
        {"noise_reduction": {"type": KEY}},
        {"format": {"type": "audio/pcm", "rate": PLAIN}},
        {"format": KEY},
        {"language": KEY},
    ],
)
def test_settings_that_no_call_carries(audible: Line, up: Provider, audio: dict[str, Any]) -> None:
    """Reach an open connection only as words and numbers of the protocol; a refusal repeats no value."""
    with opened(audible) as socket:
        append(socket)
        send(socket, "session.update", session={"type": "realtime", "audio": {"input": audio}})
        [refused] = [event for event in until(socket, "error") if event["type"] == "error"]
        assert KEY not in json.dumps(refused)
        assert refused["error"]["param"].startswith("audio.input")
        send(socket, "session.update", session={"type": "realtime", "audio": {KEY: {}}})
        assert until(socket, "error")[-1]["error"]["param"] == "audio"
        say(socket, "hi")
        answer(socket)
    assert not any(value in json.dumps(up.heard[-1]) for value in (MAIL, PLAIN, KEY))


def test_settings_that_are_served() -> None:
    """All that the provider documents."""
    turns = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200}
    turns |= {"create_response": True, "interrupt_response": False}
    check_listening({"turn_detection": turns, "noise_reduction": {"type": "near_field"}})
    check_listening({"turn_detection": {"type": "semantic_vad", "eagerness": "auto"}, "noise_reduction": None})
    with pytest.raises(Refusal):
        check_listening({"turn_detection": {"eagerness": "Auto"}})
    check_listening({"turn_detection": None, "format": {"type": "audio/pcm", "rate": 24000}, "transcription": None})


@pytest.mark.parametrize("kind", ["conversation.item.delete", "conversation.item.truncate"])
@pytest.mark.parametrize("id", [KEY, "item_none", "own"])
def test_ids_that_no_call_carries(line: Line, up: Provider, kind: str, id: str) -> None:
    """Only those that the provider has reach it: an id of a waiting item was not judged yet."""
    with opened(line) as socket:
        say(socket, "hi")
        item_id = answer(socket)[-1]["response"]["output"][0]["id"]
        if id == "own":
            id, part = f"{KEY}own", {"type": "input_text", "text": "x"}
            item = {"type": "message", "role": "user", "id": id, "content": [part]}
            send(socket, "conversation.item.create", item=item)
            until(socket, "conversation.item.done")
        send(socket, kind, item_id=id, content_index=0, audio_end_ms=5)
        known = id.endswith("own") and kind.endswith("delete")
        assert until(socket, "error", f"{kind}d")[-1]["type"] == (f"{kind}d" if known else "error")
        send(socket, kind, item_id=item_id, content_index=0, audio_end_ms=5)
        until(socket, f"{kind}d")
        answer(socket)
    assert id not in json.dumps(up.heard[-1])
    assert [event["item_id"] for event in up.heard[-1] if event["type"] == kind] == [item_id]


def test_an_answer_without_modalities_has_those_of_the_session(line: Line, up: Provider) -> None:
    """The provider would speak."""
    with opened(line) as socket:
        send(socket, "session.update", session={"type": "realtime", "output_modalities": None})
        until(socket, "session.updated")
        say(socket, "hi")
        answer(socket, output_modalities=None)
    assert [event["response"]["output_modalities"] for event in up.heard[-1] if "response" in event] == [["text"]]


@pytest.mark.parametrize("id", [None, "mine"])
def test_ids_of_items(line: Line, up: Provider, id: str | None) -> None:
    """An item without an id gets one of its own; two items have not the same."""
    with opened(line) as socket:
        kinds = []
        for said in ("one", "two"):
            part = {"type": "input_text", "text": said}
            send(
                socket,
                "conversation.item.create",
                item={"type": "message", "role": "user", "id": id, "content": [part]},
            )
            kinds.append(until(socket, "conversation.item.done", "error")[-1]["type"])
        assert kinds == ["conversation.item.done", "error" if id else "conversation.item.done"]
        assert text(answer(socket)) == ("one" if id else "one two")


def test_items_behind_the_question_belong_to_the_next_answer(line: Line) -> None:
    """None is lost, though it arrives before the call has begun; none that is deleted meanwhile takes another along."""
    part = {"type": "input_text", "text": "second"}
    with opened(line) as socket:
        say(socket, "first")
        send(socket, "response.create")
        send(socket, "conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
        assert (
            text([event for event in until(socket, "response.done") if "conversation" not in event["type"]]) == "first"
        )
        assert text(answer(socket)) == "first second"


def test_a_refused_item_leaves_the_conversation_of_the_provider(line: Line, up: Provider) -> None:
    """As the caller was told."""
    with opened(line) as socket:
        say(socket, "gone")
        assert answer(socket, instructions="refuse")[-1]["type"] == "error"
        until(socket, "conversation.item.deleted")
        say(socket, "hi")
        answer(socket)
    names = [event["type"] for event in up.heard[-1]]
    assert names.index("conversation.item.delete") < len(names) - names[::-1].index("conversation.item.create") - 1


@pytest.mark.parametrize("part", [{"input_audio": "x"}, {"input_audio": {"x": 1}}, {"audio": 5}, {"audio": {"a": 1}}])
def test_audio_in_another_form(line: Line, part: dict[str, Any]) -> None:
    """Is refused at once, and no fault of the gateway."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_audio", **part}]}
    with opened(line) as socket:
        send(socket, "conversation.item.create", item=item)
        assert until(socket, "error")[-1]["error"]["param"] == "item.content"
        say(socket, "hi")
        assert text(answer(socket)) == "hi"
    with pytest.raises(Refusal):
        judged(item)


@pytest.mark.parametrize("tool", [{"type": "mcp", "server_label": "x"}, {"type": KEY}, {"name": "f"}])
def test_tools_that_the_provider_runs(line: Line, up: Provider, tool: dict[str, Any]) -> None:
    """Are not served: it would call them between answers."""
    before = len(up.heard)
    with opened(line) as socket:
        send(socket, "session.update", session={"type": "realtime", "tools": [tool]})
        assert until(socket, "error")[-1]["error"]["param"] == "tools"
        assert answer(socket, tools=[tool])[-1]["error"]["param"] == "tools"
    assert len(up.heard) == before


@pytest.mark.parametrize("kind", ["mcp_call", "mcp_list_tools", "code_interpreter_call", "web_search_call"])
def test_an_answer_with_a_tool_that_the_provider_ran(line: Line, up: Provider, kind: str) -> None:
    """Was not asked for: the caller does not get what the tool said."""
    up.opens = [
        {
            "type": "response.output_item.added",
            "response_id": "resp_x",
            "output_index": 0,
            "item": {
                "id": "item_x",
                "type": kind,
                "name": "f",
                "server_label": "s",
                "output": "said",
                "arguments": "{}",
            },
        }
    ]
    with opened(line) as socket:
        say(socket, "hi")
        events = answer(socket)
        assert events[-1]["type"] == "error" or events[-1]["response"]["status"] in ("failed", "incomplete")
        assert "said" not in json.dumps(events)


def test_deep_events(line: Line) -> None:
    """Of a caller are refused, and the connection goes on."""
    with opened(line) as socket:
        deep = "[" * 300 + "]" * 300
        socket.send('{"type": "session.update", "session": {"type": "realtime", "metadata": ' + deep + "}}")
        assert "levels" in until(socket, "error")[-1]["error"]["message"]
        say(socket, "hi")
        assert text(answer(socket)) == "hi"


def test_settings_do_not_pile_up(line: Line) -> None:
    """Each change is small, all of them are bounded."""
    with opened(line) as socket:
        most = 40
        for at in range(most):
            output = {"voice": "x" * 900_000} if at % 2 else {"voice": "y"}
            send(socket, "session.update", session={"type": "realtime", "audio": {"output": output, f"a{at}": output}})
            assert until(socket, "error", "session.updated")[-1]["type"] == "error"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "error": "words"},
        {"type": "error", "error": {"code": {"a": KEY}}},
        {"type": "error", "error": {"code": KEY, "message": KEY}},
        {"type": "input_audio_buffer.committed", "item_id": KEY},
        {"type": "input_audio_buffer.committed", "item_id": {"x": KEY}},
        {"type": "input_audio_buffer.speech_started", "item_id": f"go to https://evil.example/{KEY}"},
        {"type": "input_audio_buffer.speech_started", "audio_start_ms": KEY},
        {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": int(PLAIN)},
        {"type": "response.output_audio.delta", "delta": f"see {KEY}"},
        {"type": "response.output_audio.delta", "delta": "AAAA", "item_id": KEY},
        {"type": "session.updated", "session": {"instructions": KEY}},
        {"type": "conversation.item.added", "item": {"id": "a", "content": [{"type": "text", "text": KEY}]}},
        {"type": "rate_limits.updated", "rate_limits": [KEY]},
        {"type": "unknown.kind", "text": KEY},
        {"type": {"a": 1}, "text": KEY},
    ],
)
def test_events_that_no_call_carries(audible: Line, up: Provider, event: dict[str, Any]) -> None:
    """Reach the caller as words, numbers and ids of the protocol, and the connection goes on."""
    up.opens = [event]
    if event["type"] != "error":  # it would be one about the answer
        up.tells = [event]
    with opened(audible) as socket:
        send(socket, "session.update", session={"type": "realtime", "output_modalities": ["text"]})
        until(socket, "session.updated")
        say(socket, "hi")
        send(socket, "response.create")
        events = until(socket, "response.done")
        assert not any(value in json.dumps(events) for value in (KEY, PLAIN, "evil.example"))
        assert "".join(one.get("delta", "") for one in events if one["type"] == "response.output_text.delta") == "hi"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=4))
def test_told_fields_have_their_form(value: Any) -> None:
    """Whatever the provider says in them."""
    keys = ("item_id", "previous_item_id", "response_id", "output_index", "audio_start_ms", "delta")
    for name in ("input_audio_buffer.committed", "input_audio_buffer.speech_started", "response.output_audio.delta"):
        said = told({"type": name, **dict.fromkeys(keys, value)}) or {}
        assert all(type(one) in (str, int) for one in said.values())
        assert told({"type": "error", "error": value}) == {"type": "error", "code": None}


def test_turns_that_nobody_spoke(line: Line, audible: Line, up: Provider) -> None:
    """Start no call: a provider cannot make the caller pay for answers."""
    up.tells = [{"type": "input_audio_buffer.committed", "item_id": f"item_{at}"} for at in range(5)]
    for gateway, name in ((line, "unspoken"), (audible, "unspoken-audible")):
        with opened(gateway, **{"x-correlation-id": name}) as socket:
            for said in ("hi", "you"):
                say(socket, said)
                assert answer(socket)[-1]["response"]["status"] == "completed"
        [(calls,)] = gateway.rows(f"SELECT count(*) FROM decisions WHERE correlation_id = '{name}'")
        assert calls == 2


@pytest.mark.parametrize("raw", ["no json", "[" * 300 + "]" * 300, '{"type": "response.done"}', '{"a": "\\ud800"}'])
def test_what_is_no_event(line: Line, up: Provider, raw: str) -> None:
    """Ends the answer as one of a failed provider; no fault of the gateway, and nothing waits for a timeout."""
    up.opens = [raw]
    with opened(line) as socket:
        say(socket, "hi")
        assert answer(socket)[-1]["error"]["code"] == "upstream_error"
    assert line.metric("meshgate_internal_errors_total") == 0


def test_redirects_are_not_followed(line: Line, up: Provider) -> None:
    """As by any client here: a provider cannot have the gateway connect elsewhere."""
    with sockets.create_server(("127.0.0.1", 0)) as inner:
        inner.settimeout(0)
        up.refuses, up.refuses_to = 302, f"ws://127.0.0.1:{inner.getsockname()[1]}/"
        with opened(line) as socket:
            say(socket, "hi")
            assert answer(socket)[-1]["error"]["code"] == "upstream_error"
        with pytest.raises(BlockingIOError):
            inner.accept()


def test_an_ended_key_ends_the_audio(up: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audio flows between calls: the credential is checked there, too, and so is the permission."""
    monkeypatch.setattr(realtime, "_CHECKED", 0.0)
    found = made(tmp_path, up)
    found["pii"]["unscannable"] = found["output"]["unscannable"] = "allow"
    with running(tmp_path, found) as line, opened(line) as socket:
        append(socket)
        eventually(lambda: any(event["type"] == "input_audio_buffer.append" for event in up.heard[-1]))
        found["pii"]["unscannable"] = "block"
        line.path.write_text(yaml.safe_dump(found))
        eventually(lambda: unscannable(line) == "block", 20)
        append(socket)
        assert "pii.unscannable" in until(socket, "error")[-1]["error"]["message"]
        found["pii"]["unscannable"] = "allow"
        found["agents"].pop("alice")
        line.path.write_text(yaml.safe_dump(found))
        eventually(lambda: unscannable(line) == "allow", 20)
        append(socket)
        assert until(socket, "error")[-1]["error"]["code"] == "unauthenticated"
        with pytest.raises(ConnectionClosed) as closed:
            until(socket, "never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


@pytest.mark.parametrize("hedge", [None, 0.01])
def test_two_targets(up: Provider, tmp_path: Path, hedge: float | None) -> None:
    """The next target gets the whole conversation, on one connection; no call is sent twice at a time."""
    with provider() as second:
        found = made(tmp_path, up)
        found["providers"]["second"] = {**found["providers"]["other"], "base_url": second.url}
        found["models"]["talk"]["targets"] = ["up/gpt-realtime", "second/gpt-realtime"]
        found["routing"] = {"hedge": hedge} if hedge else {}
        with running(tmp_path, found) as line, opened(line) as socket:
            say(socket, "hi")
            if hedge:
                up.tells, up.script = [{"type": "rate_limits.updated"}], "slow"
                assert text(answer(socket)) == "slow"
                assert not second.heard
                return
            up.tells = [" "]  # breaks off
            assert text(answer(socket)) == "hi"
            say(socket, "again")
            assert text(answer(socket)) == "hi again"
            assert len(second.heard) == 1


@pytest.mark.parametrize("state", ["new", "asked", "begun", "listening", "between", "refused"])
def test_a_caller_who_leaves(audible: Line, up: Provider, state: str) -> None:
    """In any state: the provider's connection is closed, the call is settled, and nothing fails."""
    name = f"leaves-{state}"
    up.refuses = 503 if state == "refused" else 0
    if state in ("asked", "begun"):
        up.held.clear()
    with opened(audible, **{"x-correlation-id": name}) as socket:
        until(socket, "session.created")
        say(socket, "hi")
        if state in ("asked", "begun", "refused"):
            send(socket, "response.create")
        if state == "begun":
            until(socket, "response.created")
        if state == "listening":
            append(socket)
        if state == "between":
            answer(socket)
    up.held.set()
    eventually(lambda: not audible.gateway.shared.clients.realtime._links)
    eventually(lambda: audible.workflow(name) is None or not audible.workflow(name).held.get("calls"))
    assert audible.metric("meshgate_internal_errors_total") == 0


def test_answers_are_not_cached(up: Provider, tmp_path: Path) -> None:
    """The same request on another connection is about another conversation, and audio needs a connection."""
    found = made(tmp_path, up)
    found["models"]["talk"]["cache"] = {"ttl": "1h"}
    with running(tmp_path, found) as line:
        before = len(up.heard)
        for _ in range(2):
            with opened(line) as socket:
                assert answer(socket, instructions="Say hi.")[-1]["type"] == "response.done"
        assert len(up.heard) - before == 2


def test_the_backlog_has_bounds() -> None:
    """A writer waits for its reader beyond a number of bytes, also with many small events; the end always fits."""

    async def writes() -> None:
        backlog = Backlog(10_000)

        async def flood() -> None:
            for _ in range(1000):
                await backlog.put({}, 2)
            backlog.end()

        writer = asyncio.ensure_future(flood())
        await asyncio.sleep(0)
        assert backlog.is_full
        assert not writer.done()
        found = 0
        while await backlog.get() is not None:
            found += 1
        assert (found, writer.done()) == (1000, True)
        await backlog.put({}, 20_000)
        assert backlog.is_full
        backlog.drop()
        assert not backlog.is_full

    asyncio.run(writes())


def test_the_last_event_without_a_response() -> None:
    """Is an end, which the reader of the stream refuses."""
    assert read({"type": "response.done", "response": 5})["type"] == "response.incomplete"
