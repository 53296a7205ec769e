"""Several keys of one provider: the least busy is used, one that is refused steps aside, state sticks to its key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import upstream as scripted
from gateway.call import Target
from gateway.serving.own_values import values
from line import Line, config, running
from waiting import eventually

KEYS = ["sk-first-key-of-the-pool", "sk-second-key-of-the-pool", "sk-third-key-of-the-pool"]


@pytest.fixture(autouse=True)
def _as_ever(up: scripted.Upstream) -> Iterator[None]:
    up.seen.clear()
    yield
    up.answers = lambda seen: None


@pytest.fixture
def pooled(up: scripted.Upstream, tmp_path: Path) -> Iterator[Line]:
    found: dict[str, Any] = config(tmp_path, up.url)
    found["providers"]["pool"] = {"format": "openai", "base_url": up.url, "api_keys": KEYS}
    for name in ("echo", "hang", "keep"):
        found["models"][f"pool-{name}"] = {"targets": [f"pool/{name}"]}
    found["stored"] = {}
    with running(tmp_path, found) as line:
        yield line


def key_of(seen: scripted.Seen) -> str:
    return seen.headers["authorization"].removeprefix("Bearer ")


def test_calls_go_out_with_the_least_busy_key(up: scripted.Upstream, pooled: Line) -> None:
    """Three calls at once are one for each key; one after another, any key may do."""
    with ThreadPoolExecutor(3) as threads:
        up.release.clear()
        calls = [threads.submit(pooled.chat, "hi", "pool-hang") for _ in range(3)]
        eventually(lambda: len(up.seen) == 3)
        assert Counter(map(key_of, up.seen)) == dict.fromkeys(KEYS, 1)
        up.release.set()
        for call in calls:
            call.result()
    health = pooled.gateway.shared.healths.of(Target("pool", "hang"))
    eventually(lambda: not any(account.busy for account in health.accounts.values()))
    up.release.clear()


@pytest.mark.parametrize("fault", [(429, "retry-after: 60\r\n"), (401, "")])
def test_a_key_steps_aside(up: scripted.Upstream, pooled: Line, fault: tuple[int, str]) -> None:
    """No caller notices, and the key is not used again before its time; the others serve."""
    up.answers = lambda seen: fault if key_of(seen) == KEYS[0] else None
    assert [pooled.chat("hi", "pool-echo").status_code for _ in range(12)] == [200] * 12
    used = Counter(map(key_of, up.seen))
    assert used[KEYS[0]] <= 1
    assert used[KEYS[1]] > 1
    assert used[KEYS[2]] > 1


def test_all_keys_at_their_limit(up: scripted.Upstream, pooled: Line) -> None:
    """Each is tried once; then callers hear when the first has room."""
    up.answers = lambda seen: (429, f"retry-after: {60 + KEYS.index(key_of(seen))}\r\n")
    for _ in range(3):
        answer = pooled.chat("hi", "pool-echo")
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
        assert 55 <= int(answer.headers["retry-after"]) <= 63
    assert Counter(map(key_of, up.seen)) == dict.fromkeys(KEYS, 1)


def test_signed_state_sticks_to_its_key(up: scripted.Upstream, pooled: Line) -> None:
    """No other account can read it; if its key is at its limit, the call is not sent with another."""
    assert pooled.chat("hi", "pool-echo", cid="w").status_code == 200
    first = key_of(up.last)
    signed = {"role": "assistant", "content": "x", "reasoning_details": [{"type": "x", "signature": "s" * 40}]}
    messages = [{"role": "user", "content": "hi"}, signed, {"role": "user", "content": "more"}]
    for _ in range(8):
        assert pooled.chat(model="pool-echo", cid="w", messages=messages).status_code == 200
        assert key_of(up.last) == first
    up.answers = lambda seen: (429, "retry-after: 60\r\n")
    number = len(up.seen)
    for _ in range(3):
        assert pooled.chat(model="pool-echo", cid="w", messages=messages).status_code == 429
    assert [key_of(seen) for seen in up.seen[number:]] == [first]


def test_stored_state_sticks_to_its_key(up: scripted.Upstream, pooled: Line) -> None:
    """A response is continued with the key that made it."""
    for text in ("one", "two", "three"):
        body: dict[str, Any] = {"model": "pool-keep", "input": text}
        answer = pooled.client.post("/v1/responses", json=body)
        assert answer.status_code == 200, answer.text
        first = key_of(up.last)
        for _ in range(4):
            more = {**body, "previous_response_id": answer.json()["id"]}
            assert pooled.client.post("/v1/responses", json=more).status_code == 200
            assert key_of(up.last) == first


def test_every_key_is_a_secret(pooled: Line) -> None:
    """Found in texts, hidden in what is printed, and not in names."""
    settings = pooled.gateway.runtime.config
    assert set(KEYS) <= set(values(settings))
    assert not any(key in repr(settings) for key in KEYS)
    assert not any(key[3:] in name for key in KEYS for name in settings.providers["pool"].keys)
