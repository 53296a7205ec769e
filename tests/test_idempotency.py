"""`Idempotency-Key` on a running gateway, with its state in SQLite and in Redis."""

from __future__ import annotations

import asyncio
import base64
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import yaml
from openai import OpenAI

import upstream as scripted
from line import Line, config, policies, running
from servers import free_port, listens, process

VAULT = {"vault_key": base64.b64encode(b"k" * 32).decode()}
ROUTE = "/v1/chat/completions"


def state(kind: str, folder: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings for one kind of store."""
    url = f"sqlite:///{folder}/state.db" if kind == "sqlite" else request.getfixturevalue("redis_url")
    return {"state": url, "audit": {"path": str(folder / "audit.db")}, "pii": VAULT}


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def line(
    request: pytest.FixtureRequest, up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Line]:
    """A gateway on each kind of store."""
    folder = tmp_path_factory.mktemp("idempotency")
    where = state(request.param, folder, request)
    kept = {"max_answer": "4k", "ttl": "1h"}
    settings = config(folder, up.url, **where, quotas={"calls": 1000, "tokens": 10**9}, idempotency=kept)
    with running(folder, settings) as running_line:
        yield running_line


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A key that no other test uses."""
    return f"{request.node.name} {time.time_ns()}"


def body(text: str = "hi", model: str = "echo", **fields: Any) -> dict[str, Any]:
    """A request."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def send(line: Line, key: str | bytes, json: Any = None, *, agent: str = "alice", cid: str = "w") -> httpx.Response:
    """One call with a key."""
    headers = {"authorization": f"Bearer mg-{agent}", "x-correlation-id": cid, "idempotency-key": key}
    return line.client.post(ROUTE, json=json or body(), headers=headers)  # type: ignore[arg-type]


def told(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_call_has_the_same_answer(line: Line, up: scripted.Upstream, key: str, stream: bool) -> None:
    """Byte for byte, whole or streamed, with personal data restored; once upstream, once charged."""
    cid, request = f"same-{stream}", body("Write to ann@example.org, please.", stream=stream)
    seen = len(up.seen)
    first = send(line, key, request, cid=cid)
    used = line.workflow(cid).used
    again = [send(line, key, request, cid=cid) for _ in range(3)]
    assert "ann@example.org" in first.text or stream
    for answer in again:
        assert (answer.status_code, answer.content) == (200, first.content)
        assert answer.headers["content-type"] == first.headers["content-type"]
        assert answer.headers["idempotent-replayed"] == "true"
        assert answer.headers["x-request-id"] != first.headers["x-request-id"]
    assert "idempotent-replayed" not in first.headers
    assert len(up.seen) == seen + 1
    assert line.workflow(cid).used == used
    assert used["calls"] == 1


def test_the_same_body_in_another_spelling_is_the_same(line: Line, up: scripted.Upstream, key: str) -> None:
    """Compared as JSON: order and whitespace make no difference."""
    headers = {"idempotency-key": key}
    raw = b'{"model":"echo","messages":[{"role":"user","content":"a\\u0062"}]}'
    other = b'{ "messages": [{"content": "ab", "role": "user"}], "model": "echo" }'
    seen = len(up.seen)
    answers = [line.client.post(ROUTE, content=it, headers=headers) for it in (raw, other)]
    assert answers[0].content == answers[1].content
    assert len(up.seen) == seen + 1


def test_another_body_is_refused(line: Line, up: scripted.Upstream, key: str) -> None:
    """With 422, as long as the key is kept; nothing is charged and nothing leaves."""
    send(line, key)
    seen = len(up.seen)
    for other in (body("ho"), body(stream=True), body(temperature=1)):
        answer = send(line, key, other)
        assert told(answer) == (422, "invalid_request")
        assert answer.headers["x-should-retry"] == "false"
        assert "another body" in answer.text
    assert len(up.seen) == seen


def test_keys_belong_to_one_agent(line: Line, up: scripted.Upstream, key: str) -> None:
    """No agent, of the same team or another, gets an answer by guessing a key."""
    seen = len(up.seen)
    for agent in ("alice", "bob", "mallory"):
        assert "idempotent-replayed" not in send(line, key, body("mine"), agent=agent).headers
    assert len(up.seen) == seen + 3


@pytest.mark.parametrize("bad", ["", "x" * 256, "tab\there", b"caf\xe9"])
def test_a_key_that_is_none(line: Line, bad: str | bytes) -> None:
    """1 to 255 printable ASCII characters; the message does not repeat the value."""
    answer = send(line, bad)
    assert told(answer) == (400, "invalid_request")
    assert answer.json()["error"]["param"] == "Idempotency-Key"
    assert send(line, "x" * 255).status_code == 200


def test_two_keys_are_refused(line: Line, key: str) -> None:
    """It would be unclear which key counts."""
    headers = [("authorization", "Bearer mg-alice"), ("idempotency-key", key), ("idempotency-key", "another")]
    assert told(line.client.post(ROUTE, json=body(), headers=headers)) == (400, "invalid_request")


@pytest.mark.parametrize("model", ["reset", "status-500", "status-400", "garbage"])
def test_a_failure_is_not_kept(line: Line, up: scripted.Upstream, key: str, model: str) -> None:
    """The next try runs immediately."""
    for _ in range(3):
        seen = len(up.seen)
        answer = send(line, key, body(model=model))
        assert answer.status_code >= 400
        assert "idempotent-replayed" not in answer.headers
        assert len(up.seen) > seen


def test_a_refusal_is_not_kept(line: Line, key: str) -> None:
    """Nor does it bind the key to its body."""
    assert told(send(line, key, body(model="unknown")))[0] == 404
    assert send(line, key).status_code == 200


@pytest.mark.parametrize("model", ["mid-garbage", "mid-error", "mid-half"])
def test_a_stream_that_broke_is_not_kept(line: Line, up: scripted.Upstream, key: str, model: str) -> None:
    """It ended with an error; the next try runs."""
    up.release.set()
    try:
        for _ in range(2):
            seen = len(up.seen)
            answer = send(line, key, body("some words", model, stream=True))
            assert "error" in answer.text
            assert len(up.seen) == seen + 1
    finally:
        up.release.clear()


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_too_large_is_not_given_twice(line: Line, key: str, stream: bool) -> None:
    """It is delivered, not kept, and the key is refused from then on."""
    request = body("word " * 2000, stream=stream)
    assert send(line, key, request).status_code == 200
    answer = send(line, key, request)
    assert told(answer) == (409, "invalid_request")
    assert "idempotency.max_answer" in answer.text


def test_while_the_first_runs_others_wait(line: Line, up: scripted.Upstream, key: str) -> None:
    """409 with Retry-After; another body is a conflict; afterwards all get the answer of the first call."""
    request = body("some words", "mid-hang", stream=True)
    up.arrived.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, line, key, request)
        assert up.arrived.wait(10)
        answer = send(line, key, request)
        assert told(answer) == (409, "invalid_request")
        assert answer.headers["retry-after"] == "1"
        assert told(send(line, key, body("other words")))[0] == 422
        up.release.set()
        whole = first.result()
    up.release.clear()
    assert send(line, key, request).content == whole.content


def test_of_many_at_once_one_runs(line: Line, up: scripted.Upstream, key: str) -> None:
    """The others get its answer, or a Retry-After."""
    seen = len(up.seen)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: send(line, key, body("at once")), range(32)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert len(up.seen) == seen + 1


def test_who_leaves_in_the_middle_leaves_nothing(line: Line, up: scripted.Upstream, key: str) -> None:
    """A stream that was not read to its end is not kept: the next attempt runs."""
    request = body("some words", "mid-hang", stream=True)
    headers = {"idempotency-key": key, "authorization": "Bearer mg-alice"}
    with line.client.stream("POST", ROUTE, json=request, headers=headers) as answer:
        next(answer.iter_bytes())
    assert up.last.cut.wait(10)
    up.release.set()
    try:
        while (again := send(line, key, request)).status_code == 409:
            assert again.headers["retry-after"]
        assert again.status_code == 200
        assert "idempotent-replayed" not in again.headers
        assert "[DONE]" in again.text
    finally:
        up.release.clear()


def test_nothing_readable_is_kept(up: scripted.Upstream, tmp_path: Path) -> None:
    """At rest neither the key, nor the request, nor the answer; and a stolen file does not open under another key."""
    with running(tmp_path, config(tmp_path, up.url)) as line:
        assert send(line, "my-secret-key", body("ann@example.org said hello")).status_code == 200
        assert line.rows("SELECT count(*) FROM answers") == [(1,)]
        kept = b"".join(path.read_bytes() for path in tmp_path.glob("state.db*"))
    for secret in (b"my-secret-key", b"ann@example.org", b"said hello"):
        assert secret not in kept
    (tmp_path / "state.key").write_bytes(b"z" * 32)
    with running(tmp_path, config(tmp_path, up.url)) as line:
        assert "idempotent-replayed" not in send(line, "my-secret-key", body("ann@example.org said hello")).headers


def test_switched_off_the_header_is_nothing(up: scripted.Upstream, tmp_path: Path) -> None:
    """`idempotency: null`: every call runs."""
    with running(tmp_path, config(tmp_path, up.url, idempotency=None)) as line:
        seen = len(up.seen)
        for bad in ("k", "k", "x" * 300):
            assert send(line, bad).status_code == 200
        assert len(up.seen) == seen + 3


def test_without_a_key_to_seal_with_nothing_runs(up: scripted.Upstream, tmp_path: Path, redis_url: str) -> None:
    """Shared state and `pii: null`: without a key, idempotency keys are refused."""
    with running(tmp_path, config(tmp_path, up.url, state=redis_url, pii=None)) as line:
        answer = send(line, "k")
        assert told(answer) == (400, "invalid_request")
        assert "vault_key" in answer.text
        assert line.chat().status_code == 200


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_killed_gateway_does_not_keep_the_key(
    kind: str, up: scripted.Upstream, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A running call is lost and runs again after its lease; an ended call is replayed by the next process."""
    settings = config(tmp_path, up.url, **state(kind, tmp_path, request), idempotency={"lease": 5})
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings))
    port = free_port()
    command = [sys.executable, "-c", "import sys, gateway.cli; sys.exit(gateway.cli.main(sys.argv[1:]))"]
    command += ["serve", "--config", str(path), "--port", str(port)]
    slow = body("some words", "mid-hang", stream=True)
    up.arrived.clear()

    def post(client: httpx.Client, key: str, json: Any) -> httpx.Response:
        headers = {"authorization": "Bearer mg-alice", "idempotency-key": f"{key} of {tmp_path}"}
        return client.post(f"http://127.0.0.1:{port}{ROUTE}", json=json, headers=headers)

    with httpx.Client(timeout=30) as client:
        with process(command, lambda: listens(port), seconds=60) as gateway:
            done = post(client, "done", body("ann@example.org"))
            assert done.status_code == 200

            def leave() -> None:
                with httpx.Client() as another:
                    post(another, "lost", slow)

            lost = threading.Thread(target=lambda: _ignore(leave))
            lost.start()
            while up.last.body["model"] != "mid-hang":
                assert up.arrived.wait(10)
            gateway.send_signal(signal.SIGKILL)
            lost.join()
        with process(command, lambda: listens(port), seconds=60):
            replay = post(client, "done", body("ann@example.org"))
            assert (replay.content, replay.headers["idempotent-replayed"]) == (done.content, "true")
            up.release.set()
            while (again := post(client, "lost", slow)).status_code == 409:
                time.sleep(float(again.headers["retry-after"]) / 4)
            up.release.clear()
            assert again.status_code == 200
            assert "idempotent-replayed" not in again.headers
            assert post(client, "lost", slow).content == again.content


def _ignore(call: Any) -> None:
    """A call whose gateway is killed."""
    with suppress(httpx.HTTPError):
        call()


def run(line: Line, work: Coroutine[Any, Any, Any]) -> Any:
    """Something that only the gateway's own loop may do."""
    return asyncio.run_coroutine_threadsafe(work, line.loop).result()


def test_a_workflow_that_takes_no_calls_gives_no_answer_again(line: Line, up: scripted.Upstream, key: str) -> None:
    """Frozen, closed: refused like any call, whoever asks; resumed, the answer is there again; nothing is counted."""
    cid = f"w{time.time_ns()}"
    first = send(line, key, cid=cid)
    store, used, calls = line.gateway.shared.store, line.workflow(cid).used, len(up.seen)
    run(line, store.freeze("red", cid, "stop"))
    assert told(send(line, key, cid=cid)) == (403, "workflow_frozen")
    assert send(line, key, cid=f"{cid}-2").content == first.content
    run(line, store.resume("red", cid))
    again = send(line, key, cid=cid)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert line.workflow(cid).used == used
    assert line.workflow(f"{cid}-2") is None
    run(line, store.close_workflow("red", cid, "done"))
    assert told(send(line, key, cid=cid)) == (403, "workflow_frozen")
    assert len(up.seen) == calls


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_an_answer_is_given_again_only_as_the_policy_allows_now(
    kind: str, up: scripted.Upstream, tmp_path: Path, request: pytest.FixtureRequest, key: str
) -> None:
    """A kept answer is refused after the policy denies the call, with the policy's message."""
    policies = tmp_path / "policies"
    policies.mkdir()
    rego = policies / "gateway.rego"
    allowing = """package gateway
decision := {"allow": true, "obligations": {"route": "renamed", "limit": {"max_tokens": 50}}}
"""
    rego.write_text(allowing)
    settings = config(tmp_path, up.url, **state(kind, tmp_path, request), policy={"path": str(policies)})
    with running(tmp_path, settings) as line:
        first, seen = send(line, key), len(up.seen)
        assert first.status_code == 200, first.text
        assert send(line, key).content == first.content
        denying = """package gateway
decision := {"allow": false, "deny": {{"code": "no_more", "message": "Not any more", "class": "cost"}}}
"""
        rego.write_text(denying)
        while (answer := send(line, key)).status_code == 200:
            time.sleep(0.05)
        assert told(answer) == (403, "policy_denied")
        assert "Not any more" in answer.text
        rego.write_text(allowing)
        while (answer := send(line, key)).status_code == 403:
            time.sleep(0.05)
        assert answer.headers["idempotent-replayed"] == "true"
        assert len(up.seen) == seen


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_the_policy_sees_the_chain_of_agents_again(
    kind: str, up: scripted.Upstream, tmp_path: Path, request: pytest.FixtureRequest, key: str
) -> None:
    """That of the workflow of this call: where another agent was before, a kept answer may be refused."""
    rego = """package gateway

import rego.v1

decision := {"allow": true, "deny": deny}

deny contains {"code": "handed_over", "message": "No", "class": "safety"} if count(input.context.chain) > 1
"""
    settings = config(tmp_path, up.url, **state(kind, tmp_path, request), policy=policies(tmp_path, rego))
    settings["quotas"] = {"hops": 5}
    with running(tmp_path, settings) as line:
        assert send(line, key, agent="bob", cid="alone").status_code == 200
        assert send(line, key, agent="bob", cid="alone").headers["idempotent-replayed"] == "true"
        assert line.chat(cid="joined").status_code == 200
        assert told(send(line, key, agent="bob", cid="joined")) == (403, "policy_denied")


def test_the_official_client(line: Line, up: scripted.Upstream, key: str) -> None:
    """A replay is parsed like any answer, whole and streamed; a conflict is an `UnprocessableEntityError`."""
    with OpenAI(base_url=f"{line.url}/v1", api_key="mg-alice") as client:
        messages: Any = [{"role": "user", "content": "ann@example.org asks"}]

        def whole(suffix: str = "", **fields: Any) -> Any:
            headers = {"Idempotency-Key": key + suffix}
            return client.chat.completions.create(model="echo", messages=messages, extra_headers=headers, **fields)

        def text() -> str:
            chunks = list(whole(" streamed", stream=True))
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

        seen = len(up.seen)
        assert whole() == whole()
        assert text() == text() == "ann@example.org asks"
        assert len(up.seen) == seen + 2
        with pytest.raises(openai.UnprocessableEntityError):
            whole(temperature=0.5)


def test_a_replay_is_on_record(up: scripted.Upstream, tmp_path: Path) -> None:
    """An outcome of its own, that cost nothing."""
    with running(tmp_path, config(tmp_path, up.url)) as line:
        send(line, "k")
        send(line, "k")
        line.rows("SELECT 1")
        with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
            rows = connection.execute("SELECT status, record FROM outcomes ORDER BY id").fetchall()
        assert [status for status, _ in rows] == [200, 200]
        assert b'"cost_nano_usd":0' in rows[1][1]
