"""Routing on the whole line: dead targets, retries, providers' limits, strategies."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import upstream as scripted
from gateway.call import Target
from line import config, running
from servers import redis_server
from toxiproxy import proxied
from waiting import eventually


def settings(folder: Path, url: str, models: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The configuration of the tests with further models."""
    found = config(folder, url)
    found["models"] |= models
    for name, value in fields.items():
        found[name] = {**found.get(name, {}), **value} if isinstance(value, dict) else value
    return found


def seen_of(up: scripted.Upstream, model: str) -> int:
    """Calls of a model that reached the upstream."""
    return sum(seen.model == model for seen in up.seen)


def test_a_dead_target_costs_no_caller_an_error(up: scripted.Upstream, tmp_path: Path) -> None:
    """It is tried a few times, and then left alone; the metric and /readyz say so, and the gateway is ready."""
    models = {"both": {"targets": ["up/status-500", "up/echo"]}}
    before = seen_of(up, "status-500")
    with running(tmp_path, settings(tmp_path, up.url, models)) as line:
        answers = [line.chat("hi", "both") for _ in range(20)]
        assert [answer.status_code for answer in answers] == [200] * 20
        assert seen_of(up, "status-500") - before == 5
        ready = line.client.get("/readyz")
        assert (ready.status_code, ready.json()["upstreams"]) == (200, {"up": "open"})
        assert line.metric("meshgate_upstream_circuits", provider="up", state="open") == 1
        assert line.metric("meshgate_upstream_circuits", provider="up", state="closed") == 1
        assert line.metric("meshgate_upstream_state", provider="up") == 0


def test_the_only_target_fails_fast_and_is_probed(up: scripted.Upstream, tmp_path: Path) -> None:
    """While its circuit is open, callers hear at once when to try again."""
    fields = {"routing": {"breaker": {"failures": 2, "wait": "1h", "max_wait": "1h"}}}
    before = seen_of(up, "status-503")
    with running(tmp_path, settings(tmp_path, up.url, {}, **fields)) as line:
        for _ in range(4):
            answer = line.chat("hi", "status-503")
            assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
        assert "not called" in answer.json()["error"]["message"]
        assert 3500 < int(answer.headers["retry-after"]) <= 3600
        assert seen_of(up, "status-503") - before == 2
        health = line.gateway.shared.healths.of(Target("up", "status-503"))
        health.circuit.until = 0.0
        assert line.chat("hi", "status-503").status_code == 502
        assert seen_of(up, "status-503") - before == 3
        assert line.chat("hi").status_code == 200


def test_a_refused_request_is_no_failure(up: scripted.Upstream, tmp_path: Path) -> None:
    """A caller with wrong requests cannot take a target from the others; nor can one that hears 429."""
    with running(tmp_path, settings(tmp_path, up.url, {})) as line:
        for model in ("status-400", "status-429"):
            for _ in range(8):
                line.chat("hi", model)
            assert line.gateway.shared.healths.of(Target("up", model)).circuit.closed


def test_a_target_that_breaks_off_in_the_middle_is_left(up: scripted.Upstream, tmp_path: Path) -> None:
    """Its answers begin, so only the share of failures tells."""
    models = {"both": {"targets": ["slow/mid-hang", "up/echo"]}}
    fields = {"routing": {"breaker": {"calls": 6}}}
    with running(tmp_path, settings(tmp_path, up.url, models, **fields)) as line:
        said = [line.chat("hello", "both", stream=True).text for _ in range(8)]
    assert all("[DONE]" in text and "error" not in text for text in said[-2:])
    assert '"error"' in said[0]


def test_a_network_that_fails_and_heals(up: scripted.Upstream, tmp_path: Path) -> None:
    """A provider behind a real proxy: calls go elsewhere while it is down, and return to it afterwards."""
    port = int(up.url.rpartition(":")[2].partition("/")[0])
    with proxied(port) as proxy:
        fields: dict[str, Any] = {
            "providers": {"far": {"format": "openai", "base_url": f"http://127.0.0.1:{proxy.port}/v1"}},
            "routing": {"breaker": {"failures": 2, "wait": "10ms", "max_wait": "10ms"}},
        }
        models = {"both": {"targets": ["far/echo", "up/echo"]}}
        with running(tmp_path, settings(tmp_path, up.url, models, **fields)) as line:
            assert line.chat("hi", "both").status_code == 200
            proxy.spoil("down")
            assert [line.chat("hi", "both").status_code for _ in range(10)] == [200] * 10
            assert line.gateway.shared.healths.troubled().keys() == {"far"}
            proxy.heal()
            eventually(
                lambda: line.chat("hi", "both").status_code == 200 and not line.gateway.shared.healths.troubled()
            )


TOXICS: dict[str, tuple[str, dict[str, int]]] = {
    "dead": ("down", {}),
    "resetting": ("reset_peer", {"timeout": 0}),
    "silent": ("timeout", {"timeout": 0}),
    "slow": ("latency", {"latency": 5000}),
    "cut": ("limit_data", {"bytes": 20}),
}


@pytest.mark.parametrize("toxic", TOXICS)
def test_a_bad_network_costs_no_caller_an_error(up: scripted.Upstream, tmp_path: Path, toxic: str) -> None:
    """Whole or streamed, while another target lives: each call is sent once more, to that target, and never again."""
    port = int(up.url.rpartition(":")[2].partition("/")[0])
    kind, attributes = TOXICS[toxic]
    with proxied(port) as proxy:
        far = {"format": "openai", "base_url": f"http://127.0.0.1:{proxy.port}/v1"}
        fields: dict[str, Any] = {
            "providers": {"far": {**far, "connect_timeout": "200ms", "first_byte_timeout": "200ms"}},
            "routing": {"breaker": None, "retries": 3, "retry_minimum": 0, "retry_ratio": 0},
        }
        models = {"both": {"targets": ["far/echo", "up/echo"]}, "alone": {"targets": ["far/echo"]}}
        with running(tmp_path, settings(tmp_path, up.url, models, **fields)) as line:
            assert line.chat("hi", "both").status_code == 200
            proxy.spoil(kind, **attributes)
            before = len(up.seen)
            for stream in (False, True, False, True):
                answer = line.chat("hello", "both", stream=stream)
                assert answer.status_code == 200
                assert "error" not in answer.text
                assert "hello" in answer.text or stream
            reached = len(up.seen) - before
            assert 4 <= reached <= 8, "each call reached the other target once, and the first at most once"
            refused = line.chat("hi", "alone")
            assert refused.status_code in (502, 504)
            proxy.heal()
            eventually(lambda: line.chat("hi", "alone").status_code == 200)


def test_retries_over_a_bad_network_keep_to_their_budget(up: scripted.Upstream, tmp_path: Path) -> None:
    """Connections that are refused may be retried: half a retry for each call, over all callers, and no more."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    port, arrived, over = listener.getsockname()[1], list[bytes](), threading.Event()

    def serve() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                arrived.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with proxied(port) as proxy:
            proxy.spoil("latency", latency=5)
            fields: dict[str, Any] = {
                "providers": {"far": {"format": "openai", "base_url": f"http://127.0.0.1:{proxy.port}/v1"}},
                "routing": {"breaker": None, "retries": 5, "retry_minimum": 0, "retry_ratio": 0.5},
            }
            models = {"alone": {"targets": ["far/echo"]}}
            with running(tmp_path, settings(tmp_path, up.url, models, **fields)) as line:
                for number in range(10):
                    answer = line.chat("hi", "alone", agent=("alice", "mallory")[number % 2])
                    assert answer.status_code == 502
            assert 10 < len(arrived) <= 15
    finally:
        over.set()
        thread.join()
        listener.close()


def test_gateways_share_what_they_found(up: scripted.Upstream, tmp_path: Path) -> None:
    """Over Redis: the second gateway does not try a target that the first found dead, until one of them revives it."""
    models = {"both": {"targets": ["up/status-500", "up/echo"]}}
    routing = {"breaker": {"failures": 2, "wait": "1h", "max_wait": "1h"}}
    with redis_server() as url:
        fields = {"state": url, "routing": routing, "pii": {"vault_key": "A" * 43 + "="}}
        folders = [tmp_path / name for name in ("one", "other")]
        for folder in folders:
            folder.mkdir()
        first, second = (settings(folder, up.url, models, **fields) for folder in folders)
        with running(folders[0], first) as one, running(folders[1], second) as other:
            for _ in range(2):
                assert one.chat("hi", "both").status_code == 200
            target = Target("up", "status-500")
            mine, theirs = (line.gateway.shared.healths.of(target).circuit for line in (one, other))
            assert not mine.closed
            eventually(lambda: not theirs.closed)
            before = seen_of(up, "status-500")
            assert other.chat("hi", "both").status_code == 200
            assert seen_of(up, "status-500") == before
            one.loop.call_soon_threadsafe(mine.answered)
            eventually(lambda: theirs.closed)


def test_a_target_that_fails_often_is_ejected_for_all_gateways(
    up: scripted.Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over Redis: by its share of failures, never two in a row. Once it may be tried, one answer brings it back."""
    models = {"both": {"targets": ["up/flaky", "up/echo"]}}
    breaker = {"failures": 1000, "ratio": 0.5, "calls": 10, "wait": "1h", "max_wait": "1h"}
    routing = {"breaker": breaker, "retries": 0}
    number = itertools.count()
    ill = True

    def status(seen: scripted.Seen) -> tuple[int, str] | None:
        return (503, "") if seen.model == "flaky" and ill and next(number) % 2 else None

    monkeypatch.setattr(up, "answers", status)
    with redis_server() as url:
        fields = {"state": url, "routing": routing, "pii": {"vault_key": "A" * 43 + "="}}
        folders = [tmp_path / name for name in ("one", "other")]
        for folder in folders:
            folder.mkdir()
        first, second = (settings(folder, up.url, models, **fields) for folder in folders)
        with running(folders[0], first) as one, running(folders[1], second) as other:
            mine, theirs = (line.gateway.shared.healths.of(Target("up", "flaky")).circuit for line in (one, other))
            before = seen_of(up, "flaky")
            for _ in range(12):  # the window of the share begins with the first failure, the second call
                assert mine.closed
                assert one.chat("hi", "both").status_code == 200
            assert (mine.closed, mine.row, mine.bad, mine.good) == (False, 1, 6, 5)
            assert seen_of(up, "flaky") == before + 12
            eventually(lambda: not theirs.closed)
            for line in (one, other) * 2:
                assert line.chat("hi", "both").status_code == 200
            assert seen_of(up, "flaky") == before + 12
            ill = False
            for line, circuit in ((one, mine), (other, theirs)):
                line.loop.call_soon_threadsafe(setattr, circuit, "until", 0.0)
            assert other.chat("hi", "both").status_code == 200
            assert seen_of(up, "flaky") == before + 13
            assert theirs.closed
            eventually(lambda: mine.closed)
            assert one.chat("hi", "both").status_code == 200
            assert seen_of(up, "flaky") == before + 14


def test_a_model_has_time_limits_of_its_own(up: scripted.Upstream, tmp_path: Path) -> None:
    """Also one by a pattern; the error says which limit passed, and the next target is tried."""
    models = {
        "quick": {"targets": ["up/hang"], "first_byte_timeout": "100ms"},
        "any-*": {"targets": ["up/*"], "timeout": "100ms"},
        "both": {"targets": ["up/hang", "up/echo"], "first_byte_timeout": "100ms"},
    }
    with running(tmp_path, settings(tmp_path, up.url, models)) as line:
        for model, name in (("quick", "first_byte_timeout"), ("any-hang", "(timeout)")):
            answer = line.chat("hi", model)
            assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
            assert name in answer.json()["error"]["message"]
            assert "0.1 s" in answer.json()["error"]["message"]
        assert line.chat("hi", "both").status_code == 200
