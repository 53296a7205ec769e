"""For any order of saved files, checks, restarts and calls, no call is judged by an incomplete bundle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.sections import Policy
from gateway.errors import ConfigError
from gateway.policy.engines import trial
from gateway.policy.engines.bundle import load, run_tests
from gateway.policy.engines.live import Policies

# Three files have the number of their bundle, and the test of a bundle passes only if all numbers are equal.
_DECISION = """package gateway
import data.rules.other
decision := {"allow": true, "mine": %d, "other": other.number, "data": data.number}"""
_OTHER = "package rules.other\nnumber := %d"
_TEST = """package gateway_test
import data.gateway
test_whole if {
	gateway.decision.mine == gateway.decision.other
	gateway.decision.mine == gateway.decision.data
}"""
_FILES = ("decision.rego", "rules/other.rego", "data.yaml")
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("save"), st.sampled_from(_FILES), st.integers(1, 4)),
        st.tuples(st.just("break"), st.sampled_from(_FILES), st.just(0)),
        st.tuples(st.sampled_from(["look", "call", "restart", "call in flight"]), st.just(""), st.just(0)),
    ),
    max_size=14,
)


class World:
    """A folder, the gateway's policies over it, and calls."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = 0
        for file in _FILES:
            self.save(file, 1)
        (root / "whole_test.rego").write_text(_TEST)
        self.policies: Policies | None = None

    def save(self, file: str, number: int) -> None:
        content = {"decision.rego": _DECISION, "rules/other.rego": _OTHER, "data.yaml": "number: %d"}[file] % number
        self._write(file, content)

    def spoil(self, file: str) -> None:
        self._write(file, "{ half of it")

    def _write(self, file: str, content: str) -> None:
        path = self.root / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        self.clock += 1
        os.utime(path, ns=(self.clock * 10**9, self.clock * 10**9))  # seen as changed within one tick, too

    async def open(self) -> None:
        if self.policies is None:
            with contextlib.suppress(ConfigError):  # a start with half a bundle is refused, and nothing is served
                self.policies = await Policies.open(Policy(path=str(self.root)))

    async def close(self) -> None:
        if self.policies is not None:
            await self.policies.close()
            self.policies = None


async def _judge(policies: Policies) -> None:
    engine = policies.engine
    result = await engine.decide({})
    assert result["mine"] == result["other"] == result["data"], "judged by half a bundle"


async def _walk(world: World, steps: list[tuple[str, str, int]]) -> None:
    await world.open()
    flying: list[asyncio.Task[object]] = []
    for what, file, number in steps:
        if what == "save":
            world.save(file, number)
        elif what == "break":
            world.spoil(file)
        elif what == "restart":
            await asyncio.gather(*flying)
            flying = []
            await world.close()
            await world.open()
        elif world.policies is None:
            await world.open()
        elif what == "look":
            await world.policies.look()
        elif what == "call":
            await _judge(world.policies)
        else:
            flying.append(asyncio.ensure_future(_judge(world.policies)))
            flying.append(asyncio.ensure_future(world.policies.look()))
    await asyncio.gather(*flying)
    await world.close()


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials without a process of their own: nothing here breaks the interpreter, and a process takes 300 ms."""

    def run(path: str | Path) -> trial.Trial:
        bundle = load(path)
        return trial.Trial(bundle.version, run_tests(bundle))

    monkeypatch.setattr(trial, "run", run)


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_no_call_is_judged_by_half_a_bundle() -> None:
    """For any order of saved files, every verdict comes from files that belong together."""

    @settings(max_examples=60, deadline=None)
    @given(steps=_STEPS)
    def holds(steps: list[tuple[str, str, int]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(_walk(World(Path(folder)), steps))

    holds()
