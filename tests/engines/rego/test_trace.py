"""The trace of each definition, and the cost of each rule."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.policy.engines.rego import EvaluationError, compile_bundle
from gateway.policy.engines.rego.costs import costs
from gateway.policy.engines.rego.trace import LONGEST, Way, trace

MODULE = """package m

decision := {"p": p, "q": q, "s": s}

default q := 0
q := 1 if {
	input.team == "a"
	x := input.n
	x > 3
}
q := 2 if {
	some role in input.roles
	startswith(role, "adm")
}
p contains x if {
	some x in input.roles
	not short(x)
}
short(x) if count(x) < 4
s contains "missing" if input.not.there
s contains "found" if input.team
"""


def ways(document: Any, source: str = MODULE) -> list[Way]:
    program = compile_bundle({"m.rego": source}, {"d": {"k": [1]}}, optimize=False)
    return trace(program, ("data", "m", "decision"), document, steps=100_000, deadline=time.monotonic() + 60)


def at(found: list[Way], row: int) -> Way:
    (way,) = [way for way in found if way.row == row]
    return way


def test_which_expression_failed_and_what_it_saw() -> None:
    """A trace has the line, and the values by their names in the policy."""
    found = ways({"team": "a", "n": 2, "roles": ["dev", "reader"]})
    first = at(found, 6)
    assert (first.rule, first.held, first.failed) == ("m.q", 0, 9)
    assert [tuple(seen) for seen in first.saw] == [("x", "2")]
    second = at(found, 11)
    assert second.failed == 13
    assert ("role", '"reader"') in [tuple(seen) for seen in second.saw]
    assert at(found, 15).held == 1
    short = at(found, 19)
    assert (short.rule, short.asked, short.held) == ("m.short", 2, 1)
    missing = at(found, 20)
    assert (missing.failed, missing.saw[0].name, missing.saw[0].value) == (20, "input.not.there", "undefined")
    assert at(found, 21).held == 1
    assert at(found, 5).held == 1


def test_another_input_fails_elsewhere() -> None:
    """The first failing expression of the same definitions; an empty collection has no values."""
    found = ways({"team": "b", "roles": []})
    first = at(found, 6)
    assert (first.failed, [tuple(seen) for seen in first.saw]) == (7, [("input.team", '"b"')])
    assert (at(found, 11).failed, at(found, 11).saw[0].value) == (12, "[]")


def test_a_long_value_is_cut() -> None:
    """Long values are shortened, because they are only for orientation."""
    found = ways({"team": "x" * 1000, "roles": []})
    assert len(at(found, 6).saw[0].value) == LONGEST


def test_an_error_ends_the_way() -> None:
    """The trace includes the expressions that were evaluated before."""
    source = "package m\n\ndecision := [a, b]\na if input.x == 1\ndefault a := 3\nb := v if some v in [1, 2]\n"
    assert [way.row for way in ways({}, source)] == [3, 4, 5, 6]


def test_costs() -> None:
    """Each rule that ran is listed with its count, and no other rule."""
    program = compile_bundle({"m.rego": MODULE})
    found = costs(program, ("data", "m", "decision"), [{"team": "a", "roles": ["dev", "reader"]}, {}], rounds=3)
    calls = {cost.rule: cost.calls for cost in found.rules}
    assert calls == {"m.decision": 1, "m.p": 1, "m.q": 1, "m.s": 1, "m.short": 1}
    assert found.evaluation > 0
    assert all(0 < cost.own <= cost.whole for cost in found.rules)
    assert [cost.own for cost in found.rules] == sorted((cost.own for cost in found.rules), reverse=True)
    with pytest.raises(EvaluationError):
        costs(compile_bundle({"m.rego": "package m\np := v if some v in [1, 2]"}), ("data", "m", "p"), [{}])
