"""One bundle, every engine: the same inputs get the same results."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engines.inputs import CASES, Case
from engines.opa_cases import ordered
from gateway.policy.engines import Engine
from gateway.policy.engines.bundle import load
from gateway.policy.engines.embedded import Embedded
from gateway.policy.engines.opa import Opa
from gateway.policy.engines.wasm import Wasm
from gateway.policy.verdict import read


@pytest.fixture(params=["embedded", "wasm", "opa"])
async def engine(request: pytest.FixtureRequest, shipped: Path) -> AsyncIterator[Engine]:
    """The shipped policies in each engine."""
    bundle = load(shipped)
    made: Engine
    if request.param == "embedded":
        made = Embedded(bundle, timeout=10)
    elif request.param == "wasm":
        yield request.getfixturevalue("wasm_engine")
        return
    else:
        made = Opa(request.getfixturevalue("opa_url"), timeout=10, bundle=bundle)
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_verdicts(engine: Engine, case: Case) -> None:
    """Each engine gives the expected verdicts of the shipped policies."""
    decision = read(await engine.decide(case.document), engine.version)
    assert (decision.allow, frozenset(deny.code for deny in decision.deny)) == (case.allow, case.denies)


async def test_same_results(shipped: Path, opa_url: str, wasm_engine: Wasm) -> None:
    """Results are equal, including messages, classes and obligations; the order of sets does not matter."""
    bundle = load(shipped)
    embedded, opa = Embedded(bundle, timeout=10), Opa(opa_url, timeout=10, bundle=bundle)
    await opa.open()
    for case in CASES:
        results = [ordered(await engine.decide(case.document)) for engine in (embedded, wasm_engine, opa)]
        assert results[0] == results[1] == results[2], case.name
    await opa.close()
    await embedded.close()


async def test_same_version(engine: Engine, shipped: Path) -> None:
    """Each engine reports the digest of the bundle as version."""
    assert engine.version == load(shipped).version
    await engine.ping()
