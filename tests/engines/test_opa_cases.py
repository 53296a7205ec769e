"""OPA's published cases: for every case that the embedded engine accepts, the result is that of OPA."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engines import opa_cases, opa_server
from engines.opa_cases import Outcome

COMPILED_OTHERWISE = frozenset(
    {
        "data/nested integer",
        "data/toplevel integer",
        "jsonbuiltins/unmarshal number beyond the supported exponent is undefined",
        "jsonbuiltins/unmarshal number with too big an exponent is undefined",
    }
)
"""Cases that OPA itself compiles differently: a number as the key of an object in data, 1e1000 within JSON text."""


def found() -> Path:
    """The directory of the cases; skips the test if they are not available."""
    try:
        return opa_cases.folder()
    except opa_cases.Away as away:
        if os.environ.get("MESHGATE_REQUIRE_SERVERS") == "1":
            pytest.fail(str(away))
        pytest.skip(str(away))


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return opa_cases.run(opa_cases.read_cases(found()))


def test_no_accepted_module_is_judged_otherwise(outcomes: list[Outcome]) -> None:
    """Every case is refused at load or right; none is wrong, crashes or does not end."""
    print(opa_cases.table(outcomes))
    assert [outcome for outcome in outcomes if outcome.kind not in ("right", "refused")] == []


def test_most_are_accepted(outcomes: list[Outcome]) -> None:
    """Most cases are accepted: refusing all cases would also give no wrong answer."""
    assert len(outcomes) > 2000
    assert sum(outcome.kind == "right" for outcome in outcomes) > 0.96 * len(outcomes)


def test_a_refusal_names_what_is_refused(outcomes: list[Outcome]) -> None:
    """A missing builtin is named; two cases have rules in place of data, or call a test's function."""
    refused = [outcome.why for outcome in outcomes if outcome.kind == "refused"]
    others = [why for why in refused if "is not available" not in why and "unsafe built-in" not in why]
    assert sorted(others) == [
        "conflicting rule for data path topdown/conflicts/k found",
        "undefined function test.sleep",
    ]


def test_the_page_lists_what_is_refused(outcomes: list[Outcome]) -> None:
    """docs/rego-cases.md is what `python -m engines.opa_cases page` writes."""
    assert opa_cases.PAGE.read_text() == opa_cases.page(outcomes)


def test_some_of_them_compiled() -> None:
    """A part of the cases, each compiled by OPA (`python -m engines.opa_cases wasm` runs all of them)."""
    opa_server.program()
    cases = opa_cases.read_cases(found())[::40]
    outcomes = [outcome for outcome in opa_cases.run(cases, "wasm") if outcome.note not in COMPILED_OTHERWISE]
    assert [outcome for outcome in outcomes if outcome.kind not in ("right", "refused", "beside")] == []
    assert sum(outcome.kind == "right" for outcome in outcomes) > len(cases) / 3


def test_an_end_of_the_process_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case that crashes or does not end is reported, and the next case is evaluated."""
    command = 'import sys; sys.stdin.readline(); print(\'["right", ""]\', flush=True); input(); raise SystemExit(3)'
    monkeypatch.setattr(opa_cases, "CHILD", ["-c", command])
    cases = [{"note": str(number)} for number in range(6)]
    kinds = {outcome.note: outcome.kind for outcome in opa_cases.run(cases)}
    assert kinds == {"0": "right", "1": "right", "2": "broken", "3": "broken", "4": "right", "5": "right"}
