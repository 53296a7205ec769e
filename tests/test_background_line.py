"""Answers in the background that nobody retrieves: the gateway asks for their ends, and charges them once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import responding
import upstream as scripted
from background import NEVER, SOON, amounts, finish, made, outcomes, post
from gateway.call import Call
from gateway.serving.cycle import Cycle
from line import KEYS, Line, running
from waiting import eventually

Begin = Callable[[Line, str], str]


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that asks soon."""
    folder = tmp_path_factory.mktemp("background")
    with running(folder, made(folder, up, **SOON)) as started:
        yield started


def response(line: Line, cid: str) -> str:
    """The id of a response that was begun in the background."""
    answer = post(line, "/v1/responses", cid, {"model": "keep", "input": "I am ann@example.org", "background": True})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def interaction(line: Line, cid: str) -> str:
    """The same of an interaction."""
    answer = post(line, "/v1beta/interactions", cid, {"model": "act", "input": "hello", "background": True})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def batch(line: Line, cid: str) -> str:
    """The same of a message batch."""
    params = {"model": "claude", "max_tokens": 99, "messages": [{"role": "user", "content": "hello"}]}
    body = {"requests": [{"custom_id": one, "params": params} for one in "ab"]}
    answer = post(line, "/v1/messages/batches", cid, body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def looks(up: scripted.Upstream, id: str) -> int:
    """How often the provider was asked for an answer."""
    return sum(f"/{id}" in one.path for one in up.seen)


@pytest.mark.parametrize(
    ("begin", "tokens"), [(response, 18), (interaction, 18), (batch, 36)], ids=["response", "interaction", "batch"]
)
def test_an_answer_that_nobody_retrieves_is_charged(
    line: Line, up: scripted.Upstream, begin: Begin, tokens: int
) -> None:
    """Its reservation is held until the provider says that it has ended; then its usage is charged and recorded."""
    cid = f"alone-{begin.__name__}"
    id = begin(line, cid)
    eventually(lambda: looks(up, id) >= 2)
    used, held = amounts(line, cid)
    assert used == 0
    assert held > tokens
    finish(id)
    eventually(lambda: amounts(line, cid) == (tokens, 0))
    assert line.workflow(cid).used["calls"] == 1
    assert [one["agent"] for one in outcomes(line, cid)] == ["alice"]


def test_whoever_sees_the_end_first_is_charged(line: Line, up: scripted.Upstream) -> None:
    """The caller who comes later gets the answer, judged and restored, can continue it, and is not charged again."""
    id = response(line, "later")
    finish(id)
    eventually(lambda: amounts(line, "later") == (18, 0))
    before = looks(up, id)
    answer = line.client.get(f"/v1/responses/{id}")
    assert "ann@example.org" in answer.text
    after = {"model": "keep", "input": "who?", "previous_response_id": id}
    assert post(line, "/v1/responses", "later", after).status_code == 200
    eventually(lambda: amounts(line, "later") == (36, 0))
    assert looks(up, id) == before + 1


@pytest.mark.parametrize(
    ("begin", "path"), [(response, "/v1/responses/{}"), (batch, "/v1/messages/batches/{}/results")]
)
def test_a_gateway_that_dies_before_it_charges(
    line: Line, monkeypatch: pytest.MonkeyPatch, begin: Begin, path: str
) -> None:
    """A caller has seen the end, and its gateway is gone: another look charges the usage and records it, once."""
    cid = f"dies-{begin.__name__}"
    id = begin(line, cid)
    settle, died = line.gateway.runtime.line.settle, list[str]()
    end = settle.end

    async def dies(call: Call, status: int) -> None:
        if call.reference is not None and call.reference.id == id and not died:
            died.append(call.id)
        else:
            await end(call, status)

    store = line.gateway.shared.store
    monkeypatch.setattr(store, "take_dues", nothing)  # so that the caller is the first
    monkeypatch.setattr(settle, "end", dies)
    finish(id)
    assert line.client.get(path.format(id), headers={"anthropic-version": "2023-06-01"}).status_code == 200
    eventually(lambda: bool(died))
    assert amounts(line, cid)[0] == 0
    monkeypatch.setattr("gateway.ingress.owners._DEAD", 0.0)
    monkeypatch.delattr(store, "take_dues")
    eventually(lambda: amounts(line, cid)[0] == (18 if begin is response else 36))
    eventually(lambda: len(outcomes(line, cid)) == 1)


async def nothing(most: int, seconds: float) -> dict[str, bytes]:
    """No answer whose time has come."""
    return {}


def test_an_answer_that_a_caller_has_claimed_is_left_to_it(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller may still read: it is charged once the caller has its answer, and nobody else is."""
    id = response(line, "slowly")
    settle, calls = line.gateway.runtime.line.settle, list[tuple[Call, int]]()
    end = settle.end

    async def waits(call: Call, status: int) -> None:
        if call.reference is not None and call.reference.id == id and not calls:
            calls.append((call, status))
        else:
            await end(call, status)

    monkeypatch.setattr(settle, "end", waits)
    finish(id)
    assert line.client.get(f"/v1/responses/{id}").status_code == 200
    eventually(lambda: bool(calls))
    call, status = calls[0]
    if not call.outcome.claimed:  # the gateway was first
        eventually(lambda: amounts(line, "slowly") == (18, 0))
    asyncio.run_coroutine_threadsafe(end(call, status), line.loop).result()
    eventually(lambda: amounts(line, "slowly") == (18, 0))
    eventually(lambda: len(outcomes(line, "slowly")) == 1)
    store = line.gateway.shared.store
    eventually(lambda: not dict(asyncio.run_coroutine_threadsafe(store.take_dues(9, 0), line.loop).result()))
    assert len(outcomes(line, "slowly")) == 1


def test_a_caller_who_leaves_before_it_has_an_id_pays(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider makes the answer all the same: it belongs to the team, and its end is charged."""
    asked, gone, goes_on = threading.Event(), threading.Event(), threading.Event()

    class Slow(set[str]):
        def add(self, id: str) -> None:
            super().add(id)
            begun.append(id)
            asked.set()
            goes_on.wait(20)

    def lose(cycle: Cycle) -> None:
        lost(cycle)
        gone.set()

    begun, lost = list[str](), Cycle.lose
    monkeypatch.setattr(Cycle, "lose", lose)
    monkeypatch.setattr(responding, "PENDING", Slow(responding.PENDING))
    body = json.dumps({"model": "keep", "input": "hello", "background": True}).encode()
    headers = {"host": "a", "authorization": f"Bearer {KEYS['alice']}", "x-correlation-id": "leaves"}
    headers |= {"content-type": "application/json", "content-length": str(len(body))}
    lines = ["POST /v1/responses HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    address = urlsplit(line.url)
    with socket.create_connection((address.hostname, address.port)) as caller:
        caller.sendall("\r\n".join(lines).encode() + body)
        assert asked.wait(20)
    assert gone.wait(20)
    goes_on.set()
    eventually(lambda: amounts(line, "leaves")[1] > 18)
    finish(begun[0])
    eventually(lambda: amounts(line, "leaves") == (18, 0))
    assert line.client.get(f"/v1/responses/{begun[0]}").status_code == 200


def test_an_answer_that_the_caller_retrieves_is_not_asked_for_again(up: scripted.Upstream, tmp_path: Path) -> None:
    """Its end was charged."""
    with running(tmp_path, made(tmp_path, up, **SOON)) as line:
        id = response(line, "mine")
        finish(id)
        assert line.client.get(f"/v1/responses/{id}").status_code == 200
        eventually(lambda: amounts(line, "mine") == (18, 0))
        store = line.gateway.shared.store
        taken = asyncio.run_coroutine_threadsafe(store.take_dues(9, 0), line.loop).result()
        assert dict(taken) == {}
        assert len(outcomes(line, "mine")) == 1


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired", "incomplete"])
def test_an_answer_without_words_costs_nothing(line: Line, status: str) -> None:
    """Whatever its end is called; its reservation is returned."""
    cid = f"ended-{status}"
    id = response(line, cid)
    responding.ANSWERS[id] |= {"status": status, "output": [], "usage": None}
    finish(id)
    eventually(lambda: not amounts(line, cid)[1])
    assert amounts(line, cid) == (0, 0)


def test_words_without_a_report_are_counted(line: Line) -> None:
    """A cancelled answer may have a part of the text."""
    id = response(line, "partly")
    responding.ANSWERS[id] |= {"status": "cancelled", "usage": None}
    finish(id)
    eventually(lambda: not amounts(line, "partly")[1])
    assert amounts(line, "partly")[0] > 5


def test_an_answer_that_is_gone_costs_what_was_reserved(line: Line) -> None:
    """Nobody knows its usage."""
    id = response(line, "gone")
    held = amounts(line, "gone")[1]
    del responding.ANSWERS[id]
    eventually(lambda: amounts(line, "gone") == (held, 0))


def test_it_is_not_deleted_before_its_end_was_seen(line: Line) -> None:
    """The provider would forget what it used."""
    id = response(line, "deleted")
    refused = line.client.delete(f"/v1/responses/{id}")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "response_id")
    finish(id)
    assert line.client.get(f"/v1/responses/{id}").status_code == 200
    assert line.client.delete(f"/v1/responses/{id}").status_code == 200


def test_a_frozen_workflow_pays(line: Line) -> None:
    """The answer was made."""
    id = response(line, "frozen")
    freeze = line.gateway.shared.store.freeze("red", "frozen", "stop")
    asyncio.run_coroutine_threadsafe(freeze, line.loop).result()
    finish(id)
    eventually(lambda: amounts(line, "frozen") == (18, 0))


def test_a_provider_that_is_down_is_asked_again(line: Line, up: scripted.Upstream) -> None:
    """Later, as long as the reservation is held."""
    id = response(line, "down")
    kept, responding.ANSWERS[id] = responding.ANSWERS[id], {"error": {"message": "busy", "code": 500}}
    finish(id)
    eventually(lambda: looks(up, id) >= 2)
    assert amounts(line, "down")[0] == 0
    responding.ANSWERS[id] = kept
    eventually(lambda: amounts(line, "down") == (18, 0))


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_it_survives_a_restart(
    request: pytest.FixtureRequest, up: scripted.Upstream, tmp_path: Path, kind: str
) -> None:
    """A later process charges the usage, not the estimate; the reservation is held meanwhile."""
    state = "" if kind == "sqlite" else request.getfixturevalue("redis_url")
    with running(tmp_path, made(tmp_path, up, state, **NEVER)) as line:
        id = response(line, f"restart-{kind}")
        held = amounts(line, f"restart-{kind}")
    finish(id)
    with running(tmp_path, made(tmp_path, up, state, **NEVER)) as line:
        assert amounts(line, f"restart-{kind}") == held
        retrieved = line.client.get(f"/v1/responses/{id}")
        assert retrieved.status_code == 200
        eventually(lambda: amounts(line, f"restart-{kind}") == (18, 0))
    with running(tmp_path, made(tmp_path, up, state, **SOON)) as line:
        id = response(line, f"again-{kind}")
    finish(id)
    with running(tmp_path, made(tmp_path, up, state, **SOON)) as line:
        eventually(lambda: amounts(line, f"again-{kind}") == (18, 0))


def test_of_two_gateways_one_asks(redis_url: str, up: scripted.Upstream, tmp_path: Path) -> None:
    """And one charges."""
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(running(one, made(one, up, redis_url, **SOON))) for one in folders]
        id = response(lines[0], "two")
        finish(id)
        eventually(lambda: amounts(lines[0], "two") == (18, 0))
        assert sum(len(outcomes(line, "two")) for line in lines) == 1
        assert looks(up, id) == 1
