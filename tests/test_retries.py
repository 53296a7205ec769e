"""Retries: how many, when, and never beyond the budget."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import upstream as scripted
from gateway.errors import trace
from gateway.upstream.attempts import Attempts
from gateway.upstream.failures import Failed
from gateway.upstream.retries import SPAN, RetryBudget, Rules, pause
from line import config, running
from waiting import eventually

DRAW = random.Random(1)


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 20)), max_size=200),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_retries_never_exceed_the_budget(steps: list[tuple[bool, float]], ratio: float, least: int) -> None:
    """For any course of calls and retries: in each span, at most the share of its calls and the minimum."""
    budget, rules = RetryBudget(), Rules(ratio=ratio, least=least)
    now, made = 0.0, list[tuple[float, bool]]()
    for retries, after in steps:
        now += after
        if not retries:
            budget.calls += 1
            made.append((now, False))
        elif budget.take(now, rules):
            made.append((now, True))
    # Any span touches at most two of those in which the budget counts.
    for start, _ in made:
        within = [retried for at, retried in made if start <= at < start + SPAN]
        around = sum(not retried for at, retried in made if start - SPAN <= at < start + SPAN)
        assert sum(within) <= 2 * least + ratio * around + 1e-6


@pytest.mark.parametrize(
    ("kind", "fields", "least", "most"),
    [
        ("down", {}, 0.05, 0.1),
        ("down", {"retry_after": 3.0}, 3.0, 3.3),
        ("busy", {}, 0.05, 0.1),
        ("slow", {"again": True}, 0.05, 0.1),
    ],
)
def test_the_provider_says_when(kind: Any, fields: dict[str, Any], least: float, most: float) -> None:
    """Retry-After is never undercut, and times differ between callers."""
    times = {pause(Failed(kind, "x", **fields), 0, DRAW) for _ in range(100)}
    assert all(time is not None and least <= time <= most for time in times)
    assert len(times) > 50


@pytest.mark.parametrize(
    "failed", [Failed("slow", "x"), Failed("cut", "x"), Failed("denied", "x"), Failed("down", "x", again=False)]
)
def test_some_failures_are_final(failed: Failed) -> None:
    """A silent provider may still be at work; a refused key stays refused; `x-should-retry: false` is heeded."""
    assert pause(failed, 0, DRAW) is None


@pytest.mark.parametrize("number", [0, 3, 10, 10_000])
def test_the_time_grows_up_to_a_bound(number: int) -> None:
    """Exponentially, at most two seconds."""
    time = pause(Failed("down", "x"), number, DRAW)
    assert time is not None
    assert 0.05 <= time <= 2


@pytest.fixture(autouse=True)
def _as_ever(up: scripted.Upstream) -> Iterator[None]:
    yield
    up.answers = lambda seen: None


def calls_of(up: scripted.Upstream, model: str) -> int:
    return sum(seen.model == model for seen in up.seen)


def test_a_call_is_sent_again_where_no_other_target_answers(up: scripted.Upstream, tmp_path: Path) -> None:
    """Whole or streamed; the caller hears of the failure only if the retry fails, too."""
    routing = {"retries": 2, "breaker": None, "retry_minimum": 100}
    with running(tmp_path, config(tmp_path, up.url, routing=routing)) as line:
        for stream in (False, True):
            up.answers = lambda seen: (503, "")
            before = calls_of(up, "echo")
            assert line.chat("hi", stream=stream).status_code == 502
            assert calls_of(up, "echo") - before == 3
        failures = [(503, ""), (500, "")]
        up.answers = lambda seen: failures.pop() if failures else None
        assert line.chat("hi").json()["choices"][0]["message"]["content"] == "hi"
        failures = [(400, ""), (500, "x-should-retry: false\r\n")]
        assert line.chat("hi").status_code == 502
        failures = [(418, "x-should-retry: true\r\n")]
        assert line.chat("hi").status_code == 200
        for model in ("status-400", "status-401", "mid-error", "garbage"):
            before = calls_of(up, model)
            line.chat("hi", model, stream=True)
            assert calls_of(up, model) - before == 1, model


def test_the_budget_is_one_for_all_callers_of_a_provider(up: scripted.Upstream, tmp_path: Path) -> None:
    """10 calls that fail, half a retry for each: 5 retries, whichever models and callers they are of."""
    routing = {"retries": 5, "breaker": None, "retry_minimum": 0, "retry_ratio": 0.5}
    models = ("echo", "renamed")
    up.answers = lambda seen: (500, "")
    found = config(tmp_path, up.url, routing=routing)
    with running(tmp_path, found) as line:
        before = calls_of(up, "echo")
        for number in range(10):
            line.chat("hi", models[number % 2], agent=("alice", "mallory")[number % 2])
        assert 13 <= calls_of(up, "echo") - before <= 15


def test_a_caller_does_not_wait_longer_than_allowed(up: scripted.Upstream, tmp_path: Path) -> None:
    """The provider names 7 seconds, and 5 are allowed: the caller hears the time at once."""
    with running(tmp_path, config(tmp_path, up.url)) as line:
        before = calls_of(up, "status-429")
        answer = line.chat("hi", "status-429")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert calls_of(up, "status-429") - before == 1


def hedging(folder: Path, up: scripted.Upstream, *targets: str, **routing: Any) -> dict[str, Any]:
    """A configuration where the next target is called after 50 ms of silence."""
    found = config(folder, up.url, routing={"hedge": "50ms", **routing}, quotas={"tokens": 10**6})
    price = {"input": 1, "output": 2}
    found["models"]["two"] = {"targets": list(targets), "price": price}
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_a_silent_target_is_hedged(up: scripted.Upstream, tmp_path: Path, stream: bool) -> None:
    """The next target serves the call, with its edits, and the first attempt is ended; one charge."""
    with running(tmp_path, hedging(tmp_path, up, "up/hang", "up/echo")) as line:
        answer = line.chat("I am ann@example.org", "two", stream=stream, cid="hedged")
        assert answer.status_code == 200
        assert b"ann@example.org" not in up.last.raw
        sent = [seen for seen in up.seen if seen.model in ("hang", "echo")][-2:]
        assert [seen.model for seen in sent] == ["hang", "echo"]
        eventually(lambda: line.workflow("hedged").used.get("tokens", 0) > 0)
        query = "SELECT o.record FROM outcomes o JOIN decisions d ON d.id = o.id WHERE d.correlation_id = 'hedged'"
        eventually(lambda: len(line.rows(query)) == 1)
        record = json.loads(line.rows(query)[0][0])
        assert (record["model"], record["tries"]) == ("echo", 2)


def test_a_quick_target_is_not_hedged(up: scripted.Upstream, tmp_path: Path) -> None:
    """Also if the call fails at once and goes to the next target in order."""
    with running(tmp_path, hedging(tmp_path, up, "up/echo", "up/call", hedge="20s")) as line:
        before = calls_of(up, "call")
        assert line.chat("hi", "two").status_code == 200
        assert calls_of(up, "call") == before
    with running(tmp_path, hedging(tmp_path, up, "up/status-500", "up/echo", hedge="20s")) as line:
        assert line.chat("hi", "two").json()["choices"][0]["message"]["content"] == "hi"


def test_a_hedge_that_fails_waits_for_the_first(up: scripted.Upstream, tmp_path: Path) -> None:
    """The first target answers late, the next not at all."""
    goes = threading.Event()

    def late(_: object) -> None:
        goes.wait(20)

    found = hedging(tmp_path, up, "late/echo", "up/status-400")
    with scripted.running() as slow, ThreadPoolExecutor(1) as pool:
        slow.answers = late
        found["providers"]["late"] = {"format": "openai", "base_url": slow.url}
        with running(tmp_path, found) as line:
            before = calls_of(up, "status-400")
            waiting = pool.submit(line.chat, "hi", "two")
            eventually(lambda: calls_of(up, "status-400") > before)
            goes.set()
            assert waiting.result(20).json()["choices"][0]["message"]["content"] == "hi"


def test_hedges_count_as_retries(up: scripted.Upstream, tmp_path: Path) -> None:
    """Beyond the budget, the call waits for the first target."""
    found = hedging(tmp_path, up, "up/hang", "up/echo", retry_minimum=0, retry_ratio=0)
    found["providers"]["up"]["idle_timeout"] = "300ms"
    with running(tmp_path, found) as line:
        before = calls_of(up, "echo")
        line.chat("hi", "two")
        assert calls_of(up, "echo") - before <= 1  # by failover, after the timeout


@pytest.mark.parametrize("routing", [{"hedge": 0}, {"retry_ratio": 2}, {"breaker": {"wait": "2h"}}, {"retries": -1}])
def test_mistakes_are_named(tmp_path: Path, routing: dict[str, Any]) -> None:
    """`meshgate check` refuses them."""
    from gateway.config.load import loads
    from gateway.errors import ConfigError

    with pytest.raises(ConfigError, match="routing"):
        loads(str({**config(tmp_path, "http://127.0.0.1:9/v1"), "routing": routing}), "gateway.yaml")


async def test_a_caller_who_leaves_as_the_answer_begins() -> None:
    """Leaves no connection behind: in the same turn of the loop."""
    closed: list[bool] = []
    answer = SimpleNamespace(close=lambda finished: closed.append(finished))
    waits = asyncio.Event()

    class Silent(Attempts):
        async def _in_order(self, call: Any, targets: Any) -> Any:
            del call, targets
            await waits.wait()
            asyncio.get_running_loop().call_soon(opened.cancel)
            return answer

    health = SimpleNamespace(budget=SimpleNamespace(take=lambda *_: False))
    healths: Any = SimpleNamespace(retries=None, of=lambda _: health)
    attempts: Any = Silent(healths, cast("Any", None), None, random.Random(1))
    opened = asyncio.ensure_future(attempts._hedged(cast("Any", None), ["a", "b"], 0.0))
    for _ in range(5):
        await asyncio.sleep(0)
    waits.set()
    with pytest.raises(asyncio.CancelledError):
        await opened
    for _ in range(5):
        await asyncio.sleep(0)
    assert closed == [False]


async def test_a_fault_of_the_gateway_says_where() -> None:
    """Also with a second attempt beside the first: the log names the line, so the frames are not freed before."""

    class Faulty(Attempts):
        async def _in_order(self, call: Any, targets: Any) -> Any:
            await asyncio.sleep(0)
            raise LookupError

    health = SimpleNamespace(budget=SimpleNamespace(take=lambda *_: False))
    healths: Any = SimpleNamespace(retries=None, of=lambda _: health)
    attempts: Any = Faulty(healths, cast("Any", None), None, random.Random(1))
    with pytest.raises(LookupError) as caught:
        await attempts._hedged(cast("Any", None), ["a", "b"], 0.0)
    assert "_in_order" in trace(caught.value)
