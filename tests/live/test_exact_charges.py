"""The charge of a call on every path through a running gateway: the usage that the provider reported, once."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml

import upstream as scripted
from gateway.stores import Store, open_store
from line import Line, config, running
from servers import free_port, listens, process, redis_server

pytestmark = pytest.mark.live

BIG = {"tokens": 10**9, "calls": 10**9, "cost_usd": 1000}
PLAIN = {"policy": None, "pii": None, "output": None, "quotas": BIG}
CEILING = 4096  # output tokens that a call reserves which names no ceiling
BOUND = 100  # tokens; the upper bound for the input of these calls
TEXT = "one two three four five six seven eight nine ten"


def settings(folder: Path, upstream: str, **fields: Any) -> dict[str, Any]:
    """A configuration whose models have different prices."""
    routing = {"provider_limits": "ignore", "breaker": None}  # the fault of one test is no news for the next
    made = config(folder, upstream, **{**PLAIN, "routing": routing, **fields})
    made["models"]["parts"] = {
        "targets": ["up/parts"],
        "price": {"input": 2, "output": 8, "cached_input": 0.5, "reasoning": 10, "audio": 40, "audio_input": 20},
    }
    made["models"]["dear-failover"] = {
        "targets": [
            {"target": "dead/x", "price": {"input": 900, "output": 900}},
            "up/status-503",
            {"target": "up/echo", "price": {"input": 3, "output": 5}},
        ],
        "price": {"input": 1, "output": 2},
    }
    made["models"]["cut-whole"] = {"targets": ["up/short"], "price": {"input": 1, "output": 2}}
    return made


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that does nothing but count."""
    folder = tmp_path_factory.mktemp("exact")
    with running(folder, settings(folder, up.url)) as started:
        yield started


def until(said: Any, seconds: float = 20) -> None:
    """Wait for what happens in another thread or process."""
    deadline = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def charged(line: Line, cid: str) -> dict[str, int]:
    """The charges of a workflow, once no call is in flight; no call must have lapsed."""
    until(lambda: not any(line.workflow(cid).held.values()))
    workflow = line.workflow(cid)
    assert not any(workflow.lapsed.values())
    return dict(workflow.used)


def record(line: Line, cid: str) -> dict[str, Any]:
    """The outcome of the only call of a workflow in the decision log."""
    query = f"SELECT o.record FROM outcomes o JOIN decisions d ON d.id = o.id WHERE d.correlation_id = '{cid}'"
    until(lambda: line.rows(query))
    [(kept,)] = line.rows(query)
    found: dict[str, Any] = json.loads(kept)
    return found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["status-500", "status-503", "status-429", "status-400", "reset", "gone"])
def test_an_error_before_any_bytes_costs_nothing(line: Line, model: str, stream: bool) -> None:
    """For any error of the provider: no tokens and no money are charged; the call itself counts."""
    cid = f"before-{model}-{stream}"
    assert line.chat(TEXT, model, cid=cid, stream=stream).status_code >= 400
    assert charged(line, cid) == {"tokens": 0, "cost": 0, "calls": 1}


@pytest.mark.parametrize("model", ["mid-silent", "mid-garbage", "mid-error", "mid-half"])
def test_an_error_after_bytes_costs_what_came(line: Line, up: scripted.Upstream, model: str) -> None:
    """The input and the text so far are counted, and marked as counted."""
    (up.release.clear if model == "mid-silent" else up.release.set)()
    cid = f"after-{model}"
    line.chat(TEXT, model, cid=cid, stream=True)
    used = charged(line, cid)
    assert 12 < used["tokens"] < 40
    assert record(line, cid)["usage"]["counted"] is True


def test_a_whole_answer_that_breaks_off_costs_what_came(line: Line) -> None:
    """The provider has generated all of it and will bill it; the received part is counted."""
    line.chat(TEXT, "cut-whole", cid="short")
    assert charged(line, "short")["tokens"] > line.gateway.shared.tokens.count(TEXT)
    assert record(line, "short")["usage"]["counted"] is True


def test_usage_that_is_told_before_the_end_is_a_beginning(line: Line) -> None:
    """Text arrived after the only report: the received tokens are counted."""
    line.chat(TEXT, "early-nousage", cid="early", stream=True)
    counted = line.gateway.shared.tokens.count(TEXT)
    assert charged(line, "early")["tokens"] >= 5 + counted
    assert record(line, "early")["usage"]["counted"] is True


@pytest.mark.parametrize("stream", [False, True])
def test_a_failover_costs_what_the_target_that_served_costs(line: Line, stream: bool) -> None:
    """Two targets fail, the third answers at a price of its own: one charge, at that price."""
    cid = f"failover-{stream}"
    assert line.chat(TEXT, "dear-failover", cid=cid, stream=stream).status_code == 200
    assert charged(line, cid) == {"tokens": 18, "cost": 11 * 3000 + 7 * 5000, "calls": 1}


def test_a_call_reserves_at_the_dearest_of_its_targets(up: scripted.Upstream, tmp_path: Path) -> None:
    """A quota that the most expensive target could exceed refuses the call, although the cheapest would fit."""
    quotas = {"cost_usd": 1}
    with running(tmp_path, settings(tmp_path, up.url, quotas=quotas)) as line:
        refused = line.chat(TEXT, "dear-failover", cid="w")
        assert refused.json()["error"]["code"] == "quota_exceeded"
        assert line.chat(TEXT, "dear-failover", cid="v", max_tokens=100).status_code == 200


ROUTE = """package gateway
import rego.v1
decision := {"allow": true, "deny": [], "obligations": {"route": "parts"}}
"""


def test_a_routed_call_costs_what_its_new_model_costs(up: scripted.Upstream, tmp_path: Path) -> None:
    """A policy routes it to a more expensive model: the maximum is reserved before it leaves, the cost is charged."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "route.rego").write_text(ROUTE)
    policy = {"path": str(tmp_path / "policies")}
    with running(tmp_path, settings(tmp_path, up.url, policy=policy, quotas={"cost_usd": 0.02})) as line:
        assert line.chat(TEXT, cid="w", max_tokens=400).status_code == 200
        money = 350 * 2000 + 600 * 500 + 50 * 20_000 + 200 * 8000 + 200 * 10_000 + 100 * 40_000
        assert charged(line, "w")["cost"] == money
        seen = len(up.seen)
        refused = line.chat(TEXT, cid="v", max_tokens=600)  # fits at its own model's price, not at the other's
        assert refused.json()["error"]["code"] == "quota_exceeded"
        assert len(up.seen) == seen
        assert charged(line, "v")["cost"] == 0


@pytest.mark.parametrize("stream", [False, True])
def test_parts_cost_their_own_price(line: Line, stream: bool) -> None:
    """Cached and audio input, reasoning and audio output, as the provider reports them."""
    cid = f"parts-{stream}"
    line.chat(TEXT, "parts", cid=cid, stream=stream)
    money = 350 * 2000 + 600 * 500 + 50 * 20_000 + 200 * 8000 + 200 * 10_000 + 100 * 40_000
    assert charged(line, cid) == {"tokens": 1500, "cost": money, "calls": 1}


# A client that leaves


def sent(line: Line, body: dict[str, Any], cid: str, cut: int | None = None) -> socket.socket:
    """A connection that has sent a call, or only a part of it."""
    raw = json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", int(line.url.rpartition(":")[2])))
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer mg-alice\r\n"
        f"x-correlation-id: {cid}\r\ncontent-length: {len(raw)}\r\n\r\n"
    )
    connection.sendall(head.encode() + raw[:cut])
    return connection


def body(model: str, *, stream: bool) -> dict[str, Any]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": TEXT}]}


def test_one_who_leaves_while_sending_costs_nothing(line: Line) -> None:
    """Nothing was reserved, nothing left; there is not even a workflow."""
    with sent(line, body("echo", stream=True), "leaves-early", cut=20):
        pass
    assert line.chat(TEXT, cid="leaves-after").status_code == 200
    assert line.workflow("leaves-early") is None


def test_one_who_leaves_before_the_first_byte(line: Line, up: scripted.Upstream) -> None:
    """The upstream is cut off; it has read the input, delivered nothing and reported nothing."""
    up.release.clear()
    seen = len(up.seen)
    with sent(line, body("hang", stream=True), "leaves-waiting"):
        until(lambda: len(up.seen) > seen)
    assert up.last.cut.wait(20)
    used, usage = charged(line, "leaves-waiting"), record(line, "leaves-waiting")["usage"]
    assert (used["calls"], used["tokens"]) == (1, usage["input"])
    assert 12 < usage["input"] < 20
    assert (usage["output"], usage["counted"]) == (0, True)


def test_one_who_leaves_in_the_middle(line: Line, up: scripted.Upstream) -> None:
    """Delivered tokens are counted, and marked as counted."""
    up.release.clear()
    with sent(line, body("mid-hang", stream=True), "leaves-amid") as connection:
        read = b""
        while b"content" not in read:
            read += connection.recv(65536)
    assert up.last.cut.wait(20)
    used = charged(line, "leaves-amid")
    assert 12 < used["tokens"] < 40
    assert record(line, "leaves-amid")["usage"]["counted"] is True


@pytest.mark.parametrize("stream", [False, True])
def test_one_who_leaves_after_the_end(line: Line, stream: bool) -> None:
    """A caller with the complete answer pays the reported usage."""
    with sent(line, body("echo", stream=stream), f"leaves-late-{stream}") as connection:
        read = b""
        while (b"[DONE]" if stream else b'"usage"') not in read:
            read += connection.recv(65536)
    assert charged(line, f"leaves-late-{stream}") == {"tokens": 18, "cost": 11 * 1000 + 7 * 2000, "calls": 1}


# A gateway that is killed

_SERVE = "import sys; from gateway.cli import main; sys.exit(main(['serve', '--config', sys.argv[1]]))"


def killed(folder: Path, made: dict[str, Any], up: scripted.Upstream) -> None:
    """A gateway is killed with one call before its first byte, one in mid-stream, and one that has ended."""
    port = free_port()
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump({**made, "server": {"port": port}}))
    up.release.clear()
    url, ended = f"http://127.0.0.1:{port}/v1/chat/completions", contextlib.suppress(httpx.HTTPError)

    def call(model: str, cid: str, begun: threading.Event) -> None:
        headers = {"authorization": "Bearer mg-alice", "x-correlation-id": cid}
        with (
            ended,
            httpx.Client(timeout=60) as client,
            client.stream("POST", url, json=body(model, stream=True), headers=headers) as answer,
        ):
            for _ in answer.iter_bytes():
                begun.set()

    with process([sys.executable, "-c", _SERVE, str(path)], lambda: listens(port), seconds=60):
        amid = threading.Event()
        done = threading.Thread(target=call, args=("echo", "ended", threading.Event()))
        done.start()
        done.join()
        seen = len(up.seen)
        waiting = [
            threading.Thread(target=call, args=("hang", "before", threading.Event())),
            threading.Thread(target=call, args=("mid-hang", "amid", amid)),
        ]
        for thread in waiting:
            thread.start()
        assert amid.wait(20)
        until(lambda: len(up.seen) == seen + 2)
    for thread in waiting:  # the block has killed it with SIGKILL
        thread.join()


async def judged(store: Store, line_tokens: int) -> None:
    """Each call was charged once: at its estimate, marked, or what was reported."""
    for cid in ("before", "amid", "ended"):
        workflow = await store.workflow("red", cid)
        assert workflow is not None
        assert not any(workflow.held.values())
        assert workflow.used["calls"] == 1
        exact = {"tokens": 18, "cost": 11 * 1000 + 7 * 2000, "calls": 1}
        if any(workflow.lapsed.values()):
            assert dict(workflow.used) == dict(workflow.lapsed)
            estimate = workflow.lapsed["tokens"] - CEILING  # of the input: counted, or an upper bound far from limits
            assert line_tokens <= estimate <= BOUND
            assert dict(workflow.lapsed) == {
                "tokens": estimate + CEILING,
                "cost": estimate * 1000 + CEILING * 2000,
                "calls": 1,
            }
        else:
            assert cid == "ended"
            assert dict(workflow.used) == exact


async def test_killed_on_sqlite(line: Line, up: scripted.Upstream, tmp_path: Path) -> None:
    """SIGKILL in each phase: at the next start what was open has lapsed; a start later nothing changes."""
    made = settings(tmp_path, up.url)
    killed(tmp_path, made, up)
    for _ in range(2):
        store = open_store(made["state"])
        await store.open()
        await store.sweep()
        await judged(store, tokens(line))
        await store.close()


async def test_killed_on_redis(line: Line, up: scripted.Upstream, tmp_path: Path) -> None:
    """SIGKILL in each phase: open reservations lapse at their deadline, once, in the sweep of any gateway."""
    with redis_server() as url:
        audit = {"path": str(tmp_path / "audit.db")}
        killed(tmp_path, settings(tmp_path, up.url, state=url, audit=audit), up)
        with redis.Redis.from_url(url) as client:
            lost: Any = client.zrange("mg1:{red}:open", 0, -1)
            assert len(lost) in (2, 3)
            client.zadd("mg1:{red}:open", dict.fromkeys(lost, 0))  # their time is up
        stores = [open_store(url) for _ in range(2)]
        for store in stores:
            await store.open()
        assert await stores[0].sweep() + await stores[1].sweep() == len(lost)
        await judged(stores[1], tokens(line))
        for store in stores:
            await store.close()


def tokens(line: Line) -> int:
    """What the gateway counts for the input of a call."""
    cid = f"count-{time.monotonic_ns()}"
    line.chat(TEXT, "nousage", cid=cid)
    return charged(line, cid)["tokens"] - int(line.gateway.shared.tokens.count(TEXT))
