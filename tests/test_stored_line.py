"""Responses that the provider stores, through the whole gateway: who may continue them, and where they go."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import calls
import responding
import upstream as scripted
from formats.wires import Responses, datas
from gateway.call import State, Subject
from gateway.config.sections import Stored
from gateway.dialects.openai_responses import OPENAI_RESPONSES
from gateway.ingress.owners import Owners
from gateway.redaction.vault import Seal
from gateway.stores import StoreUnavailable
from keeping import settings
from line import KEYS, Line, policies, running
from waiting import eventually

WIRE = Responses()
SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
POLICY = """package gateway

import rego.v1

decision := {"allow": true, "deny": deny, "obligations": {}}

deny contains {"code": "called", "message": "send was called", "class": "safety"} if {
    "send" in input.context.history.tools
}
"""
UNKNOWN = "resp_" + "0123456789abcdef" * 3


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def line(
    request: pytest.FixtureRequest, up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Line]:
    """A gateway on each kind of store."""
    folder = tmp_path_factory.mktemp("stored")
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{folder}/state.db" if sqlite else request.getfixturevalue("redis_url")
    with running(folder, settings(folder, up, state=url, audit={"path": str(folder / "audit.db")})) as started:
        yield started


def ask(line: Line, said: Any, after: str | None = None, *, agent: str = "alice", cid: str = "", **fields: Any) -> Any:
    """One call."""
    headers = {"authorization": f"Bearer {KEYS[agent]}", **({"x-correlation-id": cid} if cid else {})}
    body = {"model": "keep", "input": said, **({"previous_response_id": after} if after else {}), **fields}
    return line.client.post("/v1/responses", json=body, headers=headers)


def id_of(answer: Any) -> str:
    """The id of a response, whole or streamed."""
    assert answer.status_code == 200, answer.text
    streamed = answer.headers["content-type"].startswith("text/event-stream")
    found: str = datas(answer.content)[-1]["response"]["id"] if streamed else answer.json()["id"]
    return found


def text_of(answer: Any) -> str:
    """The text of an answer, whole or streamed."""
    streamed = answer.headers["content-type"].startswith("text/event-stream")
    return str((WIRE.listen(answer.content) if streamed else WIRE.hear(answer.json())).text)


def forget(folder: Path, *tables: str) -> None:
    """Empty tables of the state, as if their rows had expired."""
    with contextlib.closing(sqlite3.connect(folder / "state.db")) as state:
        for table in tables:
            state.execute(f"DELETE FROM {table}")
        state.commit()


either = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@either
def test_a_conversation_is_continued(line: Line, up: scripted.Upstream, stream: bool) -> None:
    """In its workflow, at its provider, with the values of all its turns restored."""
    first = ask(line, "I am ann@example.org", stream=stream)
    second = ask(line, "and bob@example.org", id_of(first), stream=stream)
    assert text_of(second) == "I am ann@example.org + and bob@example.org"
    assert b"@example.org" not in up.last.raw
    assert up.last.body["previous_response_id"] == id_of(first)
    third = ask(line, "who?", id_of(second), stream=stream)
    assert text_of(third) == "I am ann@example.org + and bob@example.org + who?"
    assert up.kept[id_of(third)] == ["I am <EMAIL_1>", "and <EMAIL_2>", "who?"]
    ids = {answer.headers["x-correlation-id"] for answer in (first, second, third)}
    assert len(ids) == 1


@either
def test_another_team_is_told_what_it_would_be_of_an_unknown_id(
    line: Line, up: scripted.Upstream, stream: bool
) -> None:
    """The same answer, and no call reaches the provider."""
    first = id_of(ask(line, "I am ann@example.org", stream=stream))
    before = len(up.seen)
    foreign, unknown = (ask(line, "who?", id, agent="mallory", stream=stream) for id in (first, UNKNOWN))
    assert len(up.seen) == before
    errors = [answer.json()["error"] for answer in (foreign, unknown)]
    for answer, error in zip((foreign, unknown), errors, strict=True):
        assert answer.status_code == 404
        assert error.pop("request_id")
    assert errors[0] == errors[1]
    assert (errors[0]["code"], errors[0]["type"]) == ("previous_response_not_found", "invalid_request_error")
    assert errors[0]["param"] == "previous_response_id"
    names = [{name for name in answer.headers if name != "date"} for answer in (foreign, unknown)]
    assert names[0] == names[1]
    # The failed guess gives the guesser nothing.
    assert ask(line, "who?", first, agent="mallory").status_code == 404
    assert ask(line, "who?", first).status_code == 200


def test_another_agent_of_the_team_goes_on(line: Line) -> None:
    """The workflow belongs to the team, and records who called after whom."""
    first = ask(line, "I am ann@example.org", cid="handed-over")
    second = ask(line, "who?", id_of(first), agent="bob")
    assert text_of(second) == "I am ann@example.org + who?"
    assert second.headers["x-correlation-id"] == "handed-over"
    assert set(line.workflow("handed-over").agents) == {"alice", "bob"}


def test_another_workflow_is_refused(line: Line, up: scripted.Upstream) -> None:
    """The id of its own workflow may be sent; that of a trace is not chosen for the workflow, and yields."""
    first = id_of(ask(line, "I am ann@example.org", cid="own"))
    assert ask(line, "who?", first, cid="own").status_code == 200
    before = len(up.seen)
    refused = ask(line, "who?", first, cid="another")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "X-Correlation-Id")
    assert len(up.seen) == before
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    headers = {"authorization": "Bearer mg-alice", **trace}
    body = {"model": "keep", "input": "who?", "previous_response_id": first}
    traced = line.client.post("/v1/responses", json=body, headers=headers)
    assert (traced.status_code, traced.headers["x-correlation-id"]) == (200, "own")


def test_the_state_stays_where_it_is(line: Line, up: scripted.Upstream) -> None:
    """The same provider and, if it may be, the same model; no failover."""
    first = id_of(ask(line, "one", model="elsewhere"))
    assert up.last.headers["authorization"] == "Bearer sk-other"
    assert ask(line, "two", first, model="either").status_code == 200
    assert up.last.headers["authorization"] == "Bearer sk-other"
    refused = ask(line, "two", first)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model")
    first = id_of(ask(line, "one"))
    assert ask(line, "two", first, model="mini").status_code == 200
    assert up.last.body["model"] == "keep-mini"


@either
def test_what_the_provider_does_not_store_has_no_owner(line: Line, stream: bool) -> None:
    """With `store: false`."""
    unstored = ask(line, "one", store=False, stream=stream)
    assert ask(line, "two", id_of(unstored)).status_code == 404


@either
def test_a_blocked_answer_has_no_owner(line: Line, up: scripted.Upstream, stream: bool) -> None:
    """Its id is unknown to its own team: it was never part of the conversation."""
    said = WIRE.message(f"key {SECRET}")
    blocked = WIRE.response(said, id="resp_blocked", model="script")
    events = [WIRE.event("response.created", response={**blocked, "output": []}), *WIRE.text_events(["key ", SECRET])]
    up.script["leak"] = [*events, WIRE.event("response.completed", response=blocked)] if stream else blocked
    answer = ask(line, "leak", model="script", stream=stream)
    assert SECRET not in answer.text
    assert ask(line, "again", "resp_blocked", model="script").status_code == 404


def test_tool_calls_are_known_to_the_next_call(up: scripted.Upstream, tmp_path: Path) -> None:
    """Their results count as results of these tools, although the calls are at the provider."""
    tool = {"type": "function", "name": "send", "parameters": {}}
    with running(tmp_path, settings(tmp_path, up, policy=policies(tmp_path, POLICY))) as line:
        for stream in (False, True):
            first = ask(line, "one", model="keep-call", tools=[tool], stream=stream)
            whole = datas(first.content)[-1]["response"] if stream else first.json()
            call = next(item for item in whole["output"] if item["type"] == "function_call")
            result = {"type": "function_call_output", "call_id": call["call_id"], "output": "sent"}
            second = ask(line, [result], id_of(first), tools=[tool])
            assert (second.status_code, second.json()["error"]["rule"]) == (403, "called")


def test_tokens_of_the_stored_conversation_are_reserved(line: Line) -> None:
    """A quota that could not hold the stored conversation refuses the call before it is made."""
    first = ask(line, "one", cid="charged")
    second = ask(line, "two", id_of(first))
    assert second.status_code == 200
    eventually(lambda: line.workflow("charged").used.get("tokens") == 36)


def test_an_id_of_a_wrong_form_is_refused(line: Line) -> None:
    """As invalid."""
    for id in (7, "", "a b", "x" * 300, "../files"):
        refused = line.client.post("/v1/responses", json={"model": "keep", "input": "x", "previous_response_id": id})
        assert refused.status_code == 400, refused.text


def test_the_provider_may_have_forgotten(line: Line, up: scripted.Upstream) -> None:
    """Its refusal is passed on."""
    first = id_of(ask(line, "one"))
    del up.kept[first]
    refused = ask(line, "two", first)
    assert refused.json()["error"]["upstream_code"] == "previous_response_not_found"


def test_other_stored_state_has_owners_too(line: Line) -> None:
    """Conversations and items that nobody of the team has made are unknown."""
    reference = [{"type": "item_reference", "id": "msg_unknown"}]
    for said, fields in (("x", {"conversation": "conv_1"}), (reference, {})):
        refused = ask(line, said, **fields)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "invalid_request")


def about(line: Line, method: str, path: str, agent: str = "alice", **more: Any) -> Any:
    """One call about a stored response."""
    headers = {"authorization": f"Bearer {KEYS[agent]}", **more}
    return line.client.request(method, f"/v1/responses/{path}", headers=headers)


ABOUT = [("GET", ""), ("POST", "/cancel"), ("GET", "/input_items"), ("GET", "/input_items?limit=1&order=asc")]


@pytest.mark.parametrize(("method", "below"), ABOUT)
def test_what_is_stored_is_judged_again(line: Line, up: scripted.Upstream, method: str, below: str) -> None:
    """The values of its conversation are restored. It counts as a call, and costs nothing."""
    cid = f"about:{len(up.seen)}"
    first = ask(line, "I am ann@example.org", cid=cid)
    eventually(lambda: line.workflow(cid).used.get("tokens") == 18)
    cost = line.workflow(cid).used["cost"]
    answer = about(line, method, f"{id_of(first)}{below}")
    assert answer.status_code == 200, answer.text
    assert "ann@example.org" in answer.text
    assert "<EMAIL" not in answer.text
    assert (up.last.method, up.last.path) == (method, f"/v1/responses/{id_of(first)}{below}")
    assert up.last.headers["authorization"] == "Bearer sk-upstream-secret"
    assert answer.headers["x-correlation-id"] == cid
    eventually(lambda: line.workflow(cid).used == {"calls": 2, "tokens": 18, "cost": cost})


@pytest.mark.parametrize(("method", "below"), [*ABOUT, ("DELETE", "")])
def test_nobody_else_hears_of_it(line: Line, up: scripted.Upstream, method: str, below: str) -> None:
    """Another team gets the answer for an unknown id, and the provider no call."""
    first = id_of(ask(line, "I am ann@example.org"))
    before = len(up.seen)
    answers = [about(line, method, f"{id}{below}", "mallory") for id in (first, UNKNOWN)]
    errors = [answer.json()["error"] for answer in answers]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert all(error.pop("request_id") for error in errors)
    assert errors[0] == errors[1]
    assert len(up.seen) == before
    assert about(line, method, first + below, "bob").status_code == 200


def test_a_deleted_response_is_gone(line: Line, up: scripted.Upstream) -> None:
    """Its owner, too."""
    first = id_of(ask(line, "one"))
    assert about(line, "DELETE", first).json() == {"id": first, "object": "response", "deleted": True}
    before = len(up.seen)
    assert about(line, "GET", first).status_code == 404
    assert ask(line, "two", first).status_code == 404
    assert len(up.seen) == before


def test_a_provider_that_forgot_answers_404(line: Line) -> None:
    """With its own words."""
    first = id_of(ask(line, "one"))
    del responding.ANSWERS[first]
    answer = about(line, "GET", first)
    assert answer.status_code == 404
    assert "Response not found" in answer.text


def test_an_answer_about_a_response_may_be_blocked(line: Line) -> None:
    """As the first one would be."""
    first = id_of(ask(line, "one"))
    responding.ANSWERS[first]["output"][0]["content"][0]["text"] = f"key {SECRET}"
    answer = about(line, "GET", first)
    assert (answer.status_code, SECRET in answer.text) == (403, False)


def test_other_ways_to_ask_are_refused(line: Line, up: scripted.Upstream) -> None:
    """Streams, unknown parameters, other methods, another workflow, ids that are no ids."""
    first = id_of(ask(line, "one", cid="mine"))
    before = len(up.seen)
    for path in (f"{first}?stream=true", f"{first}?x=1", f"{first}?include=a%20b", f"{first}/cancel?x=1"):
        assert about(line, "POST" if "cancel" in path else "GET", path).status_code == 400
    assert about(line, "GET", first, **{"x-correlation-id": "another"}).status_code == 400
    wrong = about(line, "POST", first)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, DELETE, OPTIONS")
    assert about(line, "POST", "input_tokens/cancel").status_code == 404
    for id in ("a%20b", "..%2ffiles", "a%2fb", "%3fx"):
        assert about(line, "GET", id).status_code == 404
    assert len(up.seen) == before


def test_what_a_policy_denies_is_not_retrieved(up: scripted.Upstream, tmp_path: Path) -> None:
    """The policy judges a call of the model, with the tools that were offered."""
    (tmp_path / "policies").mkdir()
    rule = '"send" in input.action.tools; input.context.calls > 1'
    (tmp_path / "policies" / "gateway.rego").write_text(POLICY.replace('"send" in input.context.history.tools', rule))
    made = settings(tmp_path, up, policy={"path": str(tmp_path / "policies")})
    made["quotas"] = {"calls": 100}
    with running(tmp_path, made) as line:
        first = id_of(ask(line, "one", tools=[{"type": "function", "name": "send", "parameters": {}}]))
        before = len(up.seen)
        answer = about(line, "GET", first)
        assert (answer.status_code, answer.json()["error"]["rule"]) == (403, "called")
        assert len(up.seen) == before


def test_nothing_is_stored_in_plain_text(up: scripted.Upstream, tmp_path: Path) -> None:
    """Neither the id nor a value."""
    with running(tmp_path, settings(tmp_path, up)) as line:
        first = id_of(ask(line, "I am ann@example.org", cid="carl@example.org"))
        assert ask(line, "who?", first).status_code == 200
        assert line.rows("SELECT COUNT(*) FROM owned") == [(4,)], "two responses, and an item of each"
        data = b"".join(path.read_bytes() for path in tmp_path.glob("state.db*"))
    assert first.encode() not in data
    assert b"ann@example" not in data
    assert b"carl@example" not in data


def test_it_can_be_switched_off(up: scripted.Upstream, tmp_path: Path) -> None:
    """Then no owner is recorded, and no stored response may be named."""
    with running(tmp_path, settings(tmp_path, up, stored=None)) as line:
        first = id_of(ask(line, "one"))
        assert ask(line, "two", first).json()["error"]["param"] == "previous_response_id"
        assert line.rows("SELECT COUNT(*) FROM owned") == [(0,)]


def test_values_that_are_no_longer_kept_refuse_the_call(up: scripted.Upstream, tmp_path: Path) -> None:
    """A placeholder of the stored conversation never gets the value of another person."""
    with running(tmp_path, settings(tmp_path, up)) as line:
        first = id_of(ask(line, "I am ann@example.org", cid="w"))
        plain = id_of(ask(line, "hello", cid="w"))
    forget(tmp_path, "sealed", "vaults", "workflows")
    with running(tmp_path, settings(tmp_path, up)) as line:
        assert ask(line, "I am eve@example.org", cid="w").status_code == 200
        before = len(up.seen)
        refused = ask(line, "who?", first)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "previous_response_id")
        assert "quotas.ttl" in refused.text
        assert len(up.seen) == before
        assert ask(line, "who?", plain).status_code == 200


LABELS = """package gateway

import rego.v1

decision := {"allow": true, "deny": deny, "obligations": obligations}

default obligations := {}

obligations := {"labels": ["tainted"]} if "read" in input.action.tools

deny contains {"code": "tainted", "message": "No", "class": "safety"} if {
    "tainted" in input.context.history.labels
    "send" in input.action.tools
}

deny contains {"code": "called", "message": "No", "class": "safety"} if {
    "send" in input.context.history.tools
    "wipe" in input.action.tools
}
"""


def test_labels_outlive_the_record_of_the_workflow(up: scripted.Upstream, tmp_path: Path) -> None:
    """With the stored conversation: the texts that caused them are not judged again."""
    made = settings(tmp_path, up, policy=policies(tmp_path, LABELS))
    read, send, wipe = [dict[str, Any](type="function", name=name, parameters={}) for name in ("read", "send", "wipe")]
    with running(tmp_path, made) as line:
        first = id_of(ask(line, "one", tools=[read], cid="w"))
        clean = ask(line, "one", model="keep-call", tools=[send], cid="clean")
        ids = [item["call_id"] for item in clean.json()["output"] if item["type"] == "function_call"]
        result = [{"type": "function_call_output", "call_id": ids[0], "output": "sent"}]
        called = id_of(ask(line, result, id_of(clean)))
    forget(tmp_path, "workflows")
    with running(tmp_path, made) as line:
        assert ask(line, "again", cid="w", tools=[send]).status_code == 200
        refused = ask(line, "again", first, tools=[send])
        assert (refused.status_code, refused.json()["error"]["rule"]) == (403, "tainted")
        assert "tainted" in line.workflow("w").history.labels
        refused = ask(line, "again", called, tools=[wipe])
        assert (refused.status_code, refused.json()["error"]["rule"]) == (403, "called")
        assert ask(line, "again", called).status_code == 200


def test_loops_are_seen_across_stored_turns(up: scripted.Upstream, tmp_path: Path) -> None:
    """The same call of a tool, again and again, although each request has only its result."""
    made = settings(tmp_path, up)
    made["quotas"] = {"repeats": 2}
    send: dict[str, Any] = {"type": "function", "name": "send", "parameters": {}}
    for number in range(4):
        call = {**WIRE.call(json.dumps({"to": "x"})), "call_id": f"call_{number}"}
        up.script[f"turn {number}"] = WIRE.response(call, id=f"resp_turn{number}", model="script")
    with running(tmp_path, made) as line:
        told = [ask(line, "turn 0", model="script", tools=[send]).status_code]
        for number in range(1, 4):
            result = {"type": "function_call_output", "call_id": f"call_{number - 1}", "output": f"turn {number}"}
            answer = ask(line, [result], f"resp_turn{number - 1}", model="script", tools=[send])
            told.append(answer.status_code)
    assert told == [200, 200, 200, 403]
    assert answer.json()["error"]["code"] == "loop_detected"


async def test_a_store_that_fails_delivers_no_state() -> None:
    """An id that cannot be looked up refuses the call; an owner that cannot be recorded leaves the answer alone."""

    class Broken:
        async def own(self, team: str, id: str, record: bytes, ttl: int) -> None:
            raise StoreUnavailable("gone")

        async def owned(self, team: str, id: str) -> bytes | None:
            raise StoreUnavailable("gone")

    owners = Owners(Stored(), cast("Any", Broken()), Seal(b"k" * 32))
    body = {"model": "m", "input": "x", "previous_response_id": "resp_1"}
    call = calls.call(OPENAI_RESPONSES, subject=Subject("a", "t"), body=body)
    with pytest.raises(StoreUnavailable):
        await owners.find(call)
    await owners.keep(call, State("resp_2", []))


def test_an_id_that_the_caller_chose_has_no_owner(line: Line, up: scripted.Upstream) -> None:
    """Some servers let the request name the id of the answer, which may be another team's."""
    up.script["chosen"] = WIRE.response(WIRE.message("x"), id="resp_chosen", model="script")
    assert ask(line, "chosen", model="script", request_id="resp_chosen", agent="mallory").status_code == 200
    assert ask(line, "again", "resp_chosen", model="script", agent="mallory").status_code == 404
    assert json.loads(up.last.raw)["request_id"] == "resp_chosen"
