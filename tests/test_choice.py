"""The order of the targets of a model, by strategy, and calls that carry signed state."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import upstream as scripted
from gateway.call import Target
from gateway.config.models import Model
from gateway.upstream.choice import order
from gateway.upstream.health import Healths
from line import config, running

DRAW = random.Random(1)
NAMES = ("a", "b", "c")


def model(prefer: str, **fields: Any) -> Model:
    """A model with three equal targets and one behind them."""
    equals = [{"target": f"p/{name}", **fields.get(name, {})} for name in NAMES]
    return Model.model_validate({"targets": [equals, "p/last"], "prefer": prefer})


def firsts(wanted: Model, healths: Healths, number: int = 300) -> Counter[str]:
    """How often each target comes first."""
    return Counter(order(wanted, DRAW, healths, b"%d" % at)[0].model for at in range(number))


@given(st.sampled_from(["weights", "least_busy", "price", "latency", "sticky"]), st.binary(max_size=16))
def test_every_target_is_there_once_and_ranks_stay(prefer: str, workflow: bytes) -> None:
    """Whatever the strategy."""
    found = [target.model for target in order(model(prefer), DRAW, Healths(), workflow)]
    assert sorted(found[:3]) == list(NAMES)
    assert found[3:] == ["last"]


def test_weights() -> None:
    """By share; 0 comes last."""
    found = firsts(model("weights", a={"weight": 3}, b={"weight": 1}, c={"weight": 0}), Healths())
    assert found["a"] > 2 * found["b"] > 0
    assert not found["c"]


def test_least_busy_by_weight() -> None:
    """Six calls at weight 4 are less than two at weight 1."""
    healths = Healths()
    for name, busy in (("a", 6), ("b", 2), ("c", 9)):
        healths.of(Target("p", name)).busy = busy
    assert firsts(model("least_busy", a={"weight": 4}), healths) == {"a": 300}


def test_price() -> None:
    """The lowest; an unknown price comes last."""
    prices = {"a": {"price": {"input": 2}}, "b": {"price": {"input": 0.5, "output": 1}}}
    assert [one.model for one in order(model("price", **prices), DRAW, Healths())] == ["b", "a", "c", "last"]


def test_latency() -> None:
    """The shortest; one that was never measured is tried, by one call at a time."""
    healths = Healths()
    import time

    now = time.monotonic()
    for name, seconds in (("a", 0.5), ("b", 0.2)):
        healths.of(Target("p", name)).measure(seconds, now)
    assert firsts(model("latency"), healths) == {"c": 300}
    healths.of(Target("p", "c")).busy = 1
    assert firsts(model("latency"), healths) == {"b": 300}
    for _ in range(30):
        healths.of(Target("p", "b")).measure(0.9, now)
    assert firsts(model("latency"), healths) == {"a": 300}


def test_sticky_by_workflow() -> None:
    """The same target for all calls of a workflow; shares by weight; a target that leaves moves only its own share."""
    wanted, healths = model("sticky", a={"weight": 2}), Healths()
    before = {at: order(wanted, DRAW, healths, b"%d" % at)[0].model for at in range(600)}
    assert before == {at: order(wanted, DRAW, healths, b"%d" % at)[0].model for at in range(600)}
    share = Counter(before.values())
    assert 240 < share["a"] < 360
    fewer = Model.model_validate({"targets": [["p/b", {"target": "p/a", "weight": 2}]], "prefer": "sticky"})
    after = {at: order(fewer, DRAW, healths, b"%d" % at)[0].model for at in range(600)}
    assert all(after[at] == before[at] for at in before if before[at] != "c")


def test_signed_state_stays_with_its_target(up: scripted.Upstream, tmp_path: Path) -> None:
    """Where the workflow was served before, without failover; calls without such state fail over."""
    found = config(tmp_path, up.url)
    found["models"]["both"] = {"targets": [["up/one", "up/two"]]}
    signed = {"role": "assistant", "content": "x", "reasoning_details": [{"type": "x", "signature": "s" * 40}]}
    with running(tmp_path, found) as line:
        for cid in map(str, range(12)):
            up.seen.clear()
            assert line.chat("hi", "both", cid=cid).status_code == 200
            served = up.last.model
            messages = [{"role": "user", "content": "hi"}, signed, {"role": "user", "content": "more"}]
            assert line.chat("hi", "both", cid=cid, messages=messages).status_code == 200
            assert up.last.model == served
            up.seen.clear()
            up.answers = lambda seen: (500, "x-should-retry: false\r\n")
            assert line.chat("hi", "both", cid=cid, messages=messages).status_code == 502
            assert [seen.model for seen in up.seen] == [served]
            up.answers = lambda seen: None
            for target in ("one", "two"):
                line.gateway.shared.healths.of(Target("up", target)).circuit.close()


def test_calls_in_flight_are_counted(up: scripted.Upstream, tmp_path: Path) -> None:
    """And none is left, however calls end."""
    found = config(tmp_path, up.url)
    with running(tmp_path, found) as line:
        for name in ("echo", "reset", "mid-half", "status-400", "silent"):
            line.chat("hi", name)
            line.chat("hi", name, stream=True)
        known = line.gateway.shared.healths._known
        assert known
        assert not any(health.busy for health in known.values())
        assert known[Target("up", "echo")].first > 0
