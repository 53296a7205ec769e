"""Answers in the background, conversations, references to items, counts and compactions, with the official client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

import responding
import upstream as scripted
from keeping import settings
from line import Line, running
from waiting import eventually

SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def line(
    request: pytest.FixtureRequest, up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Line]:
    """A gateway on each kind of store, which serves conversations."""
    folder = tmp_path_factory.mktemp("kept")
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{folder}/state.db" if sqlite else request.getfixturevalue("redis_url")
    made = settings(folder, up, state=url, audit={"path": str(folder / "audit.db")})
    made["models"]["/v1/conversations"] = {"targets": ["up/any"]}
    with running(folder, made) as started:
        yield started


def client_of(line: Line, agent: str = "alice") -> openai.OpenAI:
    """The official client of an agent."""
    return openai.OpenAI(api_key=f"mg-{agent}", base_url=f"{line.url}/v1", max_retries=0)


@pytest.fixture
def client(line: Line) -> Iterator[openai.OpenAI]:
    """Alice's client."""
    with client_of(line) as made:
        yield made


def tokens(line: Line, cid: str) -> int:
    """The tokens that a workflow was charged."""
    return int(line.workflow(cid).used.get("tokens", 0))


# In the background


def test_an_answer_in_the_background_is_charged_once(client: openai.OpenAI, line: Line) -> None:
    """When its end is first seen, however often it is asked for; its values are restored."""
    cid = {"x-correlation-id": f"background-{line.url}"}
    begun = client.responses.create(model="keep", input="I am ann@example.org", background=True, extra_headers=cid)
    assert begun.status == "queued"
    assert client.responses.retrieve(begun.id).status == "queued"
    eventually(lambda: line.workflow(cid["x-correlation-id"]).used.get("calls") == 1)
    held = line.workflow(cid["x-correlation-id"]).held
    assert (held["calls"], held["tokens"] > 18, tokens(line, cid["x-correlation-id"])) == (1, True, 0)
    responding.PENDING.discard(begun.id)
    for _ in range(3):
        assert client.responses.retrieve(begun.id).output_text == "I am ann@example.org"
    eventually(lambda: line.workflow(cid["x-correlation-id"]).used.get("calls") == 5)
    assert tokens(line, cid["x-correlation-id"]) == 18
    assert not any(line.workflow(cid["x-correlation-id"]).held.values())


def test_it_is_continued_once_its_end_was_seen(client: openai.OpenAI) -> None:
    """Until then, its usage is unknown."""
    begun = client.responses.create(model="keep", input="one", background=True)
    with pytest.raises(openai.BadRequestError, match="GET /v1/responses"):
        client.responses.create(model="keep", input="two", previous_response_id=begun.id)
    responding.PENDING.discard(begun.id)
    client.responses.retrieve(begun.id)
    assert client.responses.create(model="keep", input="two", previous_response_id=begun.id).output_text == "one + two"


def test_it_belongs_to_its_team(line: Line, client: openai.OpenAI, up: scripted.Upstream) -> None:
    """To nobody else: neither its answer nor its end."""
    begun = client.responses.create(model="keep", input="one", background=True)
    before = len(up.seen)
    with client_of(line, "mallory") as other:
        for ask in (other.responses.retrieve, other.responses.cancel, other.responses.delete):
            with pytest.raises(openai.NotFoundError):
                ask(begun.id)
    assert len(up.seen) == before
    assert client.responses.cancel(begun.id).status == "cancelled"


def test_an_answer_that_is_blocked_is_charged_once(client: openai.OpenAI, line: Line) -> None:
    """It was made, and its usage was seen."""
    cid = f"blocked-{line.url}"
    begun = client.responses.create(model="keep", input="one", background=True, extra_headers={"x-correlation-id": cid})
    responding.PENDING.discard(begun.id)
    responding.ANSWERS[begun.id]["output"][0]["content"][0]["text"] = f"key {SECRET}"
    for _ in range(2):
        with pytest.raises(openai.PermissionDeniedError):
            client.responses.retrieve(begun.id)
    eventually(lambda: line.workflow(cid).used.get("calls") == 3)
    assert tokens(line, cid) == 18


# Conversations


def test_a_conversation(client: openai.OpenAI, up: scripted.Upstream) -> None:
    """Made, continued, listed, changed and deleted; masked at the provider, restored here."""
    made = client.conversations.create(items=[{"role": "user", "content": "I am ann@example.org"}])
    assert up.last.path == "/v1/conversations"
    assert b"example.org" not in up.last.raw
    said = client.responses.create(model="keep", input="and bob@example.org", conversation=made.id)
    assert said.output_text == "I am ann@example.org + and bob@example.org"
    added = client.conversations.items.create(made.id, items=[{"role": "user", "content": "or eve@example.org"}])
    assert b"example.org" not in up.last.raw
    assert "eve@example.org" in added.data[0].to_json()
    said = client.responses.create(model="keep", input="who?", conversation={"id": made.id})
    assert said.output_text == "I am ann@example.org + and bob@example.org + or eve@example.org + who?"
    listed = client.conversations.items.list(made.id).data
    assert len(listed) == 4
    assert "ann@example.org" in listed[0].to_json()
    one = client.conversations.items.retrieve(str(listed[0].id), conversation_id=made.id)
    assert "ann@example.org" in one.to_json()
    assert client.conversations.items.delete(str(listed[0].id), conversation_id=made.id).id == made.id
    assert client.conversations.update(made.id, metadata={"topic": "ann@example.org"}).id == made.id
    assert b"example.org" not in up.last.raw
    assert client.conversations.retrieve(made.id).id == made.id
    assert client.conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(made.id)


def test_a_conversation_of_another_team_is_unknown(line: Line, client: openai.OpenAI, up: scripted.Upstream) -> None:
    """In every way to name it."""
    made = client.conversations.create(items=[{"role": "user", "content": "hi"}])
    before = len(up.seen)
    with client_of(line, "mallory") as other:
        item: Any = {"role": "user", "content": "x"}
        for ask in (
            lambda: other.conversations.retrieve(made.id),
            lambda: other.conversations.update(made.id, metadata={}),
            lambda: other.conversations.delete(made.id),
            lambda: other.conversations.items.list(made.id),
            lambda: other.conversations.items.create(made.id, items=[item]),
            lambda: other.responses.create(model="keep", input="x", conversation=made.id),
        ):
            with pytest.raises(openai.NotFoundError):
                ask()
    assert len(up.seen) == before


def test_a_call_continues_one_state(client: openai.OpenAI) -> None:
    """A conversation or a response; both at the same provider."""
    made = client.conversations.create()
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        client.responses.create(model="keep", input="x", conversation=made.id, previous_response_id="resp_1")
    with pytest.raises(openai.BadRequestError, match="stored at the provider up"):
        client.responses.create(model="elsewhere", input="x", conversation=made.id)


def test_a_blocked_item_is_not_stored(client: openai.OpenAI, up: scripted.Upstream) -> None:
    """In a new conversation, and in one that is there."""
    made = client.conversations.create()
    before = len(up.seen)
    card: Any = [{"role": "user", "content": "card 4111 1111 1111 1111"}]
    with pytest.raises(openai.PermissionDeniedError):
        client.conversations.create(items=card)
    with pytest.raises(openai.PermissionDeniedError):
        client.conversations.items.create(made.id, items=card)
    assert len(up.seen) == before


def test_conversations_that_nobody_configured(up: scripted.Upstream, tmp_path: Any) -> None:
    """The refusal says what the operator can do."""
    with running(tmp_path, settings(tmp_path, up)) as bare:
        answer = bare.client.post("/v1/conversations", json={})
        assert answer.status_code == 404
        assert 'models: {"/v1/conversations": {targets: [PROVIDER/any]}}' in answer.json()["error"]["message"]


def test_paths_are_no_models_of_the_list(client: openai.OpenAI) -> None:
    """Nobody can chat with them."""
    assert not [model.id for model in client.models.list() if model.id.startswith("/")]


# Items


def test_items_are_referred_to_by_their_team(line: Line, client: openai.OpenAI, up: scripted.Upstream) -> None:
    """Of a stored answer; the call belongs to its workflow."""
    first = client.responses.with_raw_response.create(model="keep", input="I am ann@example.org")
    item = first.parse().output[0]
    said: Any = [{"type": "item_reference", "id": item.id}, {"role": "user", "content": "who?"}]
    second = client.responses.with_raw_response.create(model="keep", input=said)
    assert second.headers["x-correlation-id"] == first.headers["x-correlation-id"]
    assert up.last.body["input"][0] == said[0]
    before = len(up.seen)
    with client_of(line, "mallory") as other, pytest.raises(openai.NotFoundError):
        other.responses.create(model="keep", input=said)
    elsewhere = client.responses.create(model="keep", input="another").output[0]
    mixed: Any = [*said, {"type": "item_reference", "id": elsewhere.id}]
    with pytest.raises(openai.BadRequestError, match="several workflows"):
        client.responses.create(model="keep", input=mixed)
    assert len(up.seen) == before + 1


# Without an answer


def test_input_tokens(client: openai.OpenAI, up: scripted.Upstream, line: Line) -> None:
    """Counted by the provider, of a masked request, free of charge."""
    cid = f"count-{line.url}"
    said = client.responses.input_tokens.count(
        model="keep", input="I am ann@example.org", extra_headers={"x-correlation-id": cid}
    )
    assert said.input_tokens == 42
    assert up.last.path == "/v1/responses/input_tokens"
    assert b"example.org" not in up.last.raw
    eventually(lambda: line.workflow(cid).used.get("calls") == 1)
    assert tokens(line, cid) == 0


def test_compaction(client: openai.OpenAI, up: scripted.Upstream, line: Line) -> None:
    """Masked on the way, restored where it is text, charged."""
    cid = f"compact-{line.url}"
    said = client.responses.compact(model="keep", input="I am ann@example.org", extra_headers={"x-correlation-id": cid})
    assert up.last.path == "/v1/responses/compact"
    assert b"example.org" not in up.last.raw
    assert "ann@example.org" in said.output[1].to_json()
    assert responding.SEAL in said.output[0].to_json()
    eventually(lambda: tokens(line, cid) == 18)
