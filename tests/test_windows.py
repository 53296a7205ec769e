"""Providers' own rate limits: what answers tell, and the queue for what is left."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import upstream as scripted
from gateway.call import Target
from gateway.errors import Refusal
from gateway.upstream.ratelimits import Told, seconds, told
from gateway.upstream.window import Window
from line import Line, config, running
from waiting import eventually


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("6m0s", 360),
        ("20ms", 0.02),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3723),
        ("7", 7),
        ("0.5", 0.5),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("9999d", None),
        ("\u0661s", None),
    ],
)
def test_times_of_a_reset(said: str, expected: float | None) -> None:
    """Durations as OpenAI and Groq write them, numbers; nothing else."""
    assert seconds(said) == expected


@given(st.text(max_size=30))
def test_any_text_as_a_reset(said: str) -> None:
    """A number of seconds from 0, or nothing."""
    found = seconds(said)
    assert found is None or 0 <= found <= 30 * 86400


def test_limits_of_both_families() -> None:
    """OpenAI's and Anthropic's names; a limit without a remainder is left out."""
    later = (datetime.now(UTC) + timedelta(seconds=30)).isoformat().replace("+00:00", "Z")
    openai = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m",
        "x-ratelimit-remaining-tokens": "x",
        "x-ratelimit-reset-tokens": "1s",
    }
    assert list(told(openai)) == [Told("requests", 60, 0, 60)]
    anthropic = {
        f"anthropic-ratelimit-{name}-{part}": value
        for name in ("requests", "input-tokens")
        for part, value in (("limit", "50"), ("remaining", "20"), ("reset", later))
    }
    found = list(told(anthropic))
    assert [(one.unit, one.limit, one.remaining) for one in found] == [("requests", 50, 20), ("tokens", 50, 20)]
    assert all(28 < one.reset <= 30 for one in found)


async def test_nobody_passes_before_the_time_of_a_429() -> None:
    """And calls in flight together do not make the time longer."""
    window = Window("p")
    for _ in range(3):
        window.limited(100, None)
    assert not window.take(1, 100.9)
    assert window.take(1, 101)
    assert not window.guarded
    window.limited(200, 30)
    assert not window.take(1, 229)
    assert window.take(1, 230)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.integers(1, 20), st.integers(0, 20), st.floats(1, 60))
def test_no_more_pass_than_the_provider_allows(pauses: list[float], limit: int, left: int, reset: float) -> None:
    """Whenever calls come: at most what remains, and what is refilled in that time."""
    window, now = Window("p"), 1000.0
    left = min(left, limit)
    window.learn([Told("requests", limit, left, reset)], now)
    passed, began = 0, now
    for pause in pauses:
        now += pause
        passed += window.take(1, now)
        rate = (limit - left) / reset if left < limit else limit
        assert passed <= left + rate * (now - began) + 1e-6


async def test_teams_take_turns() -> None:
    """A team with many waiting calls does not keep another waiting; the order within a team stays."""
    window, order = Window("p"), list[str]()
    window.learn([Told("requests", 100, 0, 1)], time.monotonic())

    async def call(team: str, number: int) -> None:
        await window.turn(team, 1, 10, 100)
        order.append(f"{team}{number}")

    calls = [("a", number) for number in range(5)] + [("b", 0), ("c", 0)]
    await asyncio.gather(*(call(*one) for one in calls))
    assert order == ["a0", "b0", "c0", "a1", "a2", "a3", "a4"]


async def test_a_full_queue_makes_room_for_another_team() -> None:
    """The newest call of the team with most calls gives way; a team never displaces its own."""
    window = Window("p")
    window.shut(time.monotonic() + 60)
    waiting = [asyncio.ensure_future(window.turn("a", 1, 60, 4)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as own:
        await window.turn("a", 1, 60, 4)
    assert own.value.code == "overloaded"
    other = asyncio.ensure_future(window.turn("b", 1, 60, 4))
    await asyncio.wait([waiting[3]])
    with pytest.raises(Refusal):
        waiting[3].result()
    assert window.size == 4
    for one in (*waiting[:3], other):
        one.cancel()
    await asyncio.gather(*waiting, other, return_exceptions=True)
    assert window.size == 0


@pytest.fixture(autouse=True)
def _as_ever(up: scripted.Upstream) -> Iterator[None]:
    yield
    up.answers = lambda seen: None
    up.seen.clear()


def many(line: Line, number: int, agents: tuple[str, ...] = ("alice",)) -> list[Any]:
    """That many calls at once."""
    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(lambda n: line.chat(f"hi {n}", agent=agents[n % len(agents)]), range(number)))


def test_a_provider_at_429_is_not_called_before_its_time(up: scripted.Upstream, tmp_path: Path) -> None:
    """Calls wait, all are answered, and the provider sees nothing in between."""
    times = list[float]()

    def answers(_: scripted.Seen) -> tuple[int, str] | None:
        times.append(time.monotonic())
        return (429, "retry-after-ms: 700\r\n") if len(times) == 1 else None

    up.answers = answers
    with running(tmp_path, config(tmp_path, up.url)) as line:
        answers_ = many(line, 1) + many(line, 6)
    assert [answer.status_code for answer in answers_] == [200] * 7
    assert times[1] - times[0] >= 0.7


def test_a_team_with_many_waiting_calls_delays_no_other(up: scripted.Upstream, tmp_path: Path) -> None:
    """Once there is room, the teams' calls leave in turns, in whatever order they came."""
    up.answers = lambda seen: (429, "retry-after: 2\r\n") if len(up.seen) == 1 else None
    found = config(tmp_path, up.url, routing={"wait": "20s", "retries": 0})
    with running(tmp_path, found) as line, ThreadPoolExecutor(7) as threads:
        assert line.chat("hi").status_code == 429
        calls = [threads.submit(line.chat, f"alice {number}") for number in range(6)]
        eventually(lambda: line.metric("meshgate_upstream_waiting", provider="up") == 6)
        calls.append(threads.submit(line.chat, "mallory", agent="mallory"))
        assert [call.result().status_code for call in calls] == [200] * 7
    said = [seen.body["messages"][0]["content"] for seen in up.seen[1:]]
    assert said.index("mallory") <= 1
    assert len(said) == 7


def test_a_call_that_would_wait_too_long_hears_so_at_once(up: scripted.Upstream, tmp_path: Path) -> None:
    """With the time in Retry-After; the provider is not called."""
    up.answers = lambda seen: (429, "retry-after: 60\r\n") if seen.model == "echo" else None
    with running(tmp_path, config(tmp_path, up.url)) as line:
        first, second = line.chat("hi"), line.chat("hi")
        for answer in (first, second):
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
            assert 55 <= int(answer.headers["retry-after"]) <= 61
        assert "own rate limit" in second.json()["error"]["message"]
        assert len(up.seen) == 1
        assert line.chat("hi", "renamed").status_code == 429  # the same target
        assert line.chat("hi", "reset").status_code == 502  # another


def test_another_target_first(up: scripted.Upstream, tmp_path: Path) -> None:
    """No caller waits where another target answers."""
    found = config(tmp_path, up.url)
    found["models"]["both"] = {"targets": ["up/one", "up/two"]}
    up.answers = lambda seen: (429, "retry-after: 60\r\n") if seen.model == "one" else None
    with running(tmp_path, found) as line:
        assert [line.chat("hi", "both").status_code for _ in range(5)] == [200] * 5
    assert Counter(seen.model for seen in up.seen) == {"one": 1, "two": 5}


def test_a_full_queue_is_overloaded(up: scripted.Upstream, tmp_path: Path) -> None:
    """And the number that waits is a metric."""
    up.answers = lambda seen: (429, "retry-after: 2\r\n") if len(up.seen) == 1 else None
    found = config(tmp_path, up.url, routing={"queue": 2, "wait": "20s", "retries": 0})
    with running(tmp_path, found) as line, ThreadPoolExecutor(2) as threads:
        assert line.chat("hi").status_code == 429
        waiting = [threads.submit(line.chat, "hi") for _ in range(2)]
        eventually(lambda: line.metric("meshgate_upstream_waiting", provider="up") == 2)
        answer = line.chat("hi")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert [call.result().status_code for call in waiting] == [200, 200]


def test_remaining_requests_are_heeded(up: scripted.Upstream, tmp_path: Path) -> None:
    """An answer says that none is left, and 20 come back each second: no call is refused by the provider."""
    hints = "x-ratelimit-limit-requests: 20\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 1s\r\n"
    up.answers = lambda seen: (200, hints)
    with running(tmp_path, config(tmp_path, up.url)) as line:
        began = time.monotonic()
        assert {answer.status_code for answer in [line.chat("hi"), *many(line, 8, ("alice", "mallory"))]} == {200}
        assert time.monotonic() - began >= 8 / 20 - 0.1
        window = line.gateway.shared.healths.of(Target("up", "echo")).account.window
        assert window.buckets["requests"].rate == 20
        up.answers = lambda seen: None
        eventually(lambda: line.chat("hi").status_code == 200 and not window.guarded)
