"""Loops and idempotency keys with two gateways on one Redis."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import upstream as scripted
from line import Line, config, running
from servers import redis_server

pytestmark = pytest.mark.live

VAULT = {"vault_key": base64.b64encode(b"k" * 32).decode()}
LIMITS: dict[str, Any] = {"quotas": {"repeats": 3, "hops": 1}, "loops": {"cycles": 2}}


@pytest.fixture(scope="module")
def lines(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Line, Line]]:
    """Two replicas."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    with redis_server() as url:
        settings = [
            config(folder, up.url, state=url, pii=VAULT, audit={"path": str(folder / "audit.db")}, **LIMITS)
            for folder in (one, two)
        ]
        with running(one, settings[0]) as first, running(two, settings[1]) as second:
            yield first, second


def code(answer: httpx.Response) -> str:
    """Why it was refused; nothing if it was not."""
    return "" if answer.status_code == 200 else str(answer.json()["error"]["code"])


def weather(id: str) -> list[dict[str, Any]]:
    """A request that brings the result of one tool call."""
    call = {"id": id, "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    return [asked, {"role": "tool", "tool_call_id": id, "content": "rain"}]


def test_replicas_count_together(lines: tuple[Line, Line]) -> None:
    """For any distribution of the calls of a workflow, also concurrent: three repeats in total, never more."""
    with ThreadPoolExecutor(12) as pool:
        answers = pool.map(lambda i: lines[i % 2].chat(cid="w", messages=weather(f"c{i}")), range(12))
        codes = sorted(map(code, answers))
    assert codes == [""] * 3 + ["loop_detected"] * 9


def test_replicas_know_the_same_chain(lines: tuple[Line, Line]) -> None:
    """The agent that called on one replica is the parent of the agent that calls next on the other."""
    first, second = lines
    order = [(first, "alice"), (second, "bob"), (first, "alice"), (second, "bob"), (first, "alice"), (second, "bob")]
    assert [code(line.chat(cid="ring", agent=agent)) for line, agent in order] == [""] * 6
    answer = second.chat(cid="ring", agent="alice")
    assert code(answer) == "loop_detected"
    assert "alice -> bob -> alice have handed over to each other 3 times" in answer.json()["error"]["message"]


def test_replicas_share_the_answers(lines: tuple[Line, Line], up: scripted.Upstream) -> None:
    """Of many concurrent calls on both replicas, one runs; afterwards each caller has the answer."""
    seen = len(up.seen)

    def send(number: int) -> httpx.Response:
        body = {"model": "echo", "messages": [{"role": "user", "content": "ann@example.org"}]}
        return lines[number % 2].client.post("/v1/chat/completions", json=body, headers={"idempotency-key": "k"})

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(32)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len(up.seen) == seen + 1
    assert send(0).content == send(1).content
    assert send(1).headers["idempotent-replayed"] == "true"


def test_digests_in_shared_state_need_a_key(up: scripted.Upstream, tmp_path: Path, redis_url: str) -> None:
    """`pii: null` on Redis has no key: repeats cannot be stored, which is an error at the start."""
    settings = config(tmp_path, up.url, state=redis_url, pii=None, quotas={"repeats": 3})
    with pytest.raises(RuntimeError), running(tmp_path, settings):
        pass
