"""The cache of answers: what is the same, what is kept, and what a hit costs."""

from __future__ import annotations

import json
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import calls
import upstream as scripted
from gateway.call import Subject
from gateway.config.models import Cache as Settings
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_files import FILES
from gateway.exchange.cache import Cache
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.verdict import read
from gateway.redaction.vault import Seal
from line import Line, config, running
from waiting import eventually


@pytest.fixture
def line(up: scripted.Upstream, tmp_path: Path) -> Iterator[Line]:
    up.seen.clear()
    found = config(tmp_path, up.url, quotas={"tokens": 100_000, "cost_usd": 1}, pii={"default": "mask"}, output={})
    for name in ("echo", "call", "mid-half", "status-500"):
        found["models"][name]["cache"] = {"ttl": "1h"}
    found["models"]["any-*"] = {"targets": ["up/*"], "cache": {}}
    with running(tmp_path, found) as started:
        yield started


def text(answer: Any) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_call_is_answered_without_the_provider(line: Line, up: scripted.Upstream, stream: bool) -> None:
    """Byte for byte, uncharged; the metric and the record have what that saved."""
    first = line.chat("hello", cid="w", stream=stream)
    second = line.chat("hello", cid="w", stream=stream)
    assert first.content == second.content
    assert "x-meshgate-cache" not in first.headers
    assert second.headers["x-meshgate-cache"] == "hit"
    assert len(up.seen) == 1
    eventually(lambda: line.metric("meshgate_cache_hits_total", model="echo", team="red") == 1)
    assert line.metric("meshgate_cache_saved_usd_total", model="echo") == pytest.approx((11 + 2 * 7) / 1e6)
    work = line.workflow("w")
    assert (work.used["tokens"], work.used["cost"], work.held.get("tokens", 0)) == (18, 25_000, 0)  # of the first alone
    records = [json.loads(record) for (record,) in line.rows("select record from outcomes")]
    records.sort(key=lambda record: "cache" in record)
    assert [record.get("cache") for record in records] == [None, "hit"]
    assert records[1]["cost_nano_usd"] == 0
    assert records[1]["saved_nano_usd"] == records[0]["cost_nano_usd"] > 0


def test_what_is_another_call(line: Line, up: scripted.Upstream) -> None:
    """Another team, another text, another parameter, another model, a stream; the order of keys is none."""
    line.chat("hello", temperature=0)
    assert len(up.seen) == 1
    for other in (
        {"agent": "mallory", "temperature": 0},
        {"text": "hello!", "temperature": 0},
        {"temperature": 1},
        {"model": "any-echo", "temperature": 0},
        {"stream": True, "temperature": 0},
    ):
        number = len(up.seen)
        assert line.chat(**{"text": "hello", **other}).status_code == 200  # type: ignore[arg-type]
        assert len(up.seen) == number + 1, other
    number = len(up.seen)
    body = b'{"temperature": 0, "messages": [{"content": "hello", "role": "user"}], "model": "echo"}'
    assert line.client.post("/v1/chat/completions", content=body).headers["x-meshgate-cache"] == "hit"
    assert line.chat("hello", agent="bob", temperature=0).headers["x-meshgate-cache"] == "hit"  # of the same team
    assert line.chat("hello", "any-echo", temperature=0).headers["x-meshgate-cache"] == "hit"
    assert len(up.seen) == number


def test_other_roles_and_forwarded_headers_are_another_call(up: scripted.Upstream, tmp_path: Path) -> None:
    """Of the same team: a policy may decide by roles, and a provider answers by headers."""
    up.seen.clear()
    found = config(tmp_path, up.url)
    found["models"]["echo"]["cache"] = {"ttl": "1h"}
    found["agents"]["bob"]["roles"] = ["developer", "reader"]
    body = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
    callers = [
        {"authorization": f"Bearer mg-{agent}", **more}
        for agent in ("alice", "bob")
        for more in (
            {},
            {"openai-beta": "assistants=v2"},
            {"openai-beta": "assistants=v1"},
            {"x-other": "not forwarded"},
        )
    ]
    with running(tmp_path, found) as line:
        for headers in callers * 2:
            answer = line.client.post("/v1/chat/completions", json=body, headers=headers)
            assert answer.status_code == 200
    assert len(up.seen) == 6


def test_a_kept_answer_has_the_values_of_its_caller(line: Line, up: scripted.Upstream, tmp_path: Path) -> None:
    """Placeholders are kept: two callers with different addresses share the answer, each with its own address."""
    assert text(line.chat("write to ann@example.org", cid="one")) == "write to ann@example.org"
    second = line.chat("write to bob@example.net", cid="other")
    assert second.headers["x-meshgate-cache"] == "hit"
    assert text(second) == "write to bob@example.net"
    assert len(up.seen) == 1
    line.rows("select 1")
    for path in tmp_path.glob("state.db*"):
        data = path.read_bytes()
        assert b"ann@example.org" not in data
        assert b"bob@example.net" not in data


@pytest.mark.parametrize(
    "wish", ["no-store", "no-cache", "max-age=60, No-Cache", "max-age=0", 'Max-Age="0"', "max-age=x"]
)
def test_a_caller_may_refuse_the_cache(line: Line, up: scripted.Upstream, wish: str) -> None:
    """Neither given nor kept."""
    line.client.headers["cache-control"] = wish
    for _ in range(2):
        assert "x-meshgate-cache" not in line.chat("hello").headers
    del line.client.headers["cache-control"]
    assert "x-meshgate-cache" not in line.chat("hello").headers
    assert len(up.seen) == 3


def test_the_age_of_an_answer_that_a_caller_takes(
    line: Line, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`max-age`: an older answer is not taken; it stays for others."""
    said = {"model": "echo", "messages": [{"role": "user", "content": "how old?"}]}

    def hits(wish: str) -> bool:
        headers = {"cache-control": wish} if wish else {}
        answer = line.client.post("/v1/chat/completions", json=said, headers=headers)
        assert answer.status_code == 200
        return bool(answer.headers.get("x-meshgate-cache") == "hit")

    now = time.time()
    assert not hits("max-age=50")
    assert hits("max-age=50")
    monkeypatch.setattr("gateway.exchange.cache.time", types.SimpleNamespace(time=lambda: now + 100))
    assert not hits("max-age=50")
    assert hits("max-age=500")
    assert hits("")
    monkeypatch.setattr("gateway.exchange.cache.time", types.SimpleNamespace(time=lambda: now + 3700))
    assert not hits("")  # older than the model allows by now
    assert len(up.seen) == 3


def test_what_is_never_kept(line: Line, up: scripted.Upstream) -> None:
    """Answers to calls that offer tools, broken answers, errors."""
    for model in ("call", "mid-half", "status-500"):
        up.seen.clear()
        for _ in range(2):
            assert "x-meshgate-cache" not in line.chat("hello", model, stream=True).headers
        assert len(up.seen) >= 2, model


def test_a_hit_is_judged_by_the_rules_of_today(line: Line, up: scripted.Upstream) -> None:
    """An answer that was let through before is blocked if the rules have changed since."""
    import yaml

    said = scripted.whole({"model": "script", "messages": [{"content": "see AKIAIOSFODNN7EXAMPLX"}]})
    up.script["leak"] = said
    settings = yaml.safe_load(line.path.read_text())
    settings["models"]["script"]["cache"] = {}
    settings["output"] = {"secrets": "allow"}
    line.path.write_text(yaml.safe_dump(settings))
    eventually(lambda: line.chat("leak", "script").headers.get("x-meshgate-cache") == "hit", 60)
    settings["output"] = {"secrets": "block"}
    line.path.write_text(yaml.safe_dump(settings))
    eventually(lambda: line.chat("leak", "script").status_code == 403, 60)
    number = len(up.seen)
    assert line.chat("leak", "script").json()["error"]["code"] in ("secret_blocked", "output_blocked")
    assert len(up.seen) == number


def test_a_refused_caller_gets_nothing_of_the_cache(line: Line, up: scripted.Upstream) -> None:
    """A hit is a call like any other: a frozen workflow stays frozen."""
    import asyncio

    assert line.chat("hello", cid="f").status_code == 200
    freezing = line.gateway.shared.store.freeze("red", "f", "test")
    asyncio.run_coroutine_threadsafe(freezing, line.loop).result()
    assert line.chat("hello", cid="f").json()["error"]["code"] == "workflow_frozen"
    assert len(up.seen) == 1


@pytest.mark.parametrize("form", [False, True])
async def test_files_and_batches_are_never_cached(form: bool) -> None:
    """A form with another file would look like the same call."""
    asked: list[str] = []

    class Store:
        async def begin(self, *given: object) -> str:
            asked.append("begin")
            return "running"

    cache = Cache(lambda name: Settings(), Store(), Seal(bytes(32)))  # type: ignore[arg-type]
    call = calls.call(OPENAI_CHAT if form else FILES, subject=Subject("a", "t"), form=form, raw=b"{}")
    assert await cache.find(call) == (None, None)
    assert not asked
    await cache.find(calls.call(OPENAI_CHAT, subject=Subject("a", "t"), raw=b"{}"))
    assert asked


def test_an_answer_of_a_target_that_is_gone_is_none(line: Line, up: scripted.Upstream) -> None:
    """The model has moved to another provider: what the first one said is not given again."""
    import yaml

    assert line.chat("hello").status_code == 200
    assert line.chat("hello").headers["x-meshgate-cache"] == "hit"
    settings = yaml.safe_load(line.path.read_text())
    settings["models"]["echo"]["targets"] = ["slow/echo"]
    line.path.write_text(yaml.safe_dump(settings))
    eventually(lambda: "x-meshgate-cache" not in line.chat("hello").headers, 60)
    assert line.chat("hello").headers["x-meshgate-cache"] == "hit"


def test_a_hit_names_what_was_dropped(line: Line, up: scripted.Upstream) -> None:
    """Across formats, the fields that the provider of the kept answer did not get."""
    import yaml

    settings = yaml.safe_load(line.path.read_text())
    settings["providers"]["other"] = {"format": "anthropic", "base_url": up.url.removesuffix("/v1")}
    settings["models"]["across"] = {"targets": ["other/echo"], "cache": {}}
    line.path.write_text(yaml.safe_dump(settings))
    eventually(lambda: line.chat("hello", "across", seed=1).headers.get("x-meshgate-cache") == "hit", 60)
    assert line.chat("hello", "across", seed=1).headers["x-meshgate-dropped"] == "seed"


POLICY = """package gateway

decision := {"allow": true, "obligations": obligations}

obligations := {"cache": 60} if input.action.model == "echo"

obligations := {"cache": 0} if input.action.model == "call"

obligations := {} if not input.action.model in {"echo", "call"}
"""


def test_a_policy_decides(up: scripted.Upstream, tmp_path: Path) -> None:
    """Where the model has no cache, and where it has one."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "p.rego").write_text(POLICY)
    found = config(tmp_path, up.url, pii={"default": "mask"}, policy={"path": str(tmp_path / "p")})
    for name in ("call", "invent"):
        found["models"][name]["cache"] = {"ttl": "1h"}
    with running(tmp_path, found) as line:
        hits = {}
        for model in ("echo", "call", "invent", "nousage"):
            line.chat("hello", model)
            hits[model] = line.chat("hello", model).headers.get("x-meshgate-cache")
        assert hits == {"echo": "hit", "call": None, "invent": "hit", "nousage": None}


@pytest.mark.parametrize("seconds", [-1, "60", True, 1e9, [60]])
def test_a_wrong_time_denies(seconds: Any) -> None:
    """A malformed obligation is no obligation without effect."""
    with pytest.raises(PolicyUnavailable, match=r"obligations\.cache"):
        read({"allow": True, "obligations": {"cache": seconds}}, "v")
    several = [{"code": "a", "cache": 60}, {"code": "b", "cache": 0}, {"code": "c"}]
    assert read({"allow": True, "obligations": several}, "v").obligations.cache == 0
