"""Results kept between evaluations are those of a fresh evaluation, and are used only for their owner."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.engines.rego import EvaluationError, Program, compile_bundle, kept
from gateway.policy.engines.rego.kept import Kept
from gateway.policy.engines.rego.program import FOREVER
from gateway.policy.engines.rego.runtime import MISSING
from gateway.policy.engines.rego.values import to_json

MODULE = """package m

decision := {"p": p, "q": q, "r": r, "s": s, "t": t, "c": c, "e": e}

default q := 9
default r := 9
default s := 9
default t := 9
default e := 9

p contains x if some x in input.a
p contains "b" if input.b

q := {"n": input.b} if input.a

r := x if x := p with input.a as [1, true]
r := p if not input.a

s := x if x := q with data.d as 2
t := data.d + count(p)

u[k] := v if some k, v in input.b
e := u[input.c]

c := sum([x | some x in data.xs])
"""
DATA = {"d": 1, "xs": [1, 2, 3]}
values = st.sampled_from(["a", "b", 1, 1.0, True, None, [1], [True], [1.0], {"a": 1}, {"a": True}, "", [], {}])
documents = st.fixed_dictionaries({}, optional={"a": values, "b": values, "c": st.sampled_from(["a", 0])})


def program() -> Program:
    return compile_bundle({"m.rego": MODULE}, DATA)


def document(asked: Program, env: Any) -> Any:
    try:
        return to_json(asked.evaluate(("data", "m", "decision"), env))
    except EvaluationError as error:
        return error.code


@given(st.lists(documents, max_size=8))
def test_kept_or_not_is_the_same(asked: list[dict[str, Any]]) -> None:
    """Every rule that may be kept is kept; evaluations in any order give the result of a fresh program."""
    found = Kept(program())
    for number in found.rules:
        found.keep(number)
    for one in [*asked, *asked]:
        fresh = program()
        known = document(found.program, found.env(one, steps=10_000, deadline=FOREVER))
        assert repr(known) == repr(document(fresh, fresh.env(one, strict=False)))


def lines(asked: Kept, given: dict[str, Any], owner: str = "") -> int:
    """The number of lines of the policy that an evaluation runs."""
    ran = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal ran
        ran += frame.f_code.co_filename == "<policy>" and event == "line"
        return trace

    env = asked.env(given, owner=owner, steps=1_000_000, deadline=FOREVER)
    sys.settrace(trace)
    try:
        asked.program.evaluate(("data", "m", "p"), env)
    finally:
        sys.settrace(None)
    return ran


COSTLY = "package m\np if { some x in numbers.range(1, 1000); x == input.n; input.team }\nq := input.other\n"


@pytest.mark.parametrize("worth", [0.0, 1e9])
def test_what_takes_long_is_kept(worth: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Expensive rules are kept after some measurements; cheap rules are evaluated each time."""
    monkeypatch.setattr(kept, "WORTH", worth)
    monkeypatch.setattr(kept, "SAMPLE", 2)
    asked = Kept(compile_bundle({"m.rego": COSTLY}))
    given = {"n": 900, "team": True, "other": 1}
    first = lines(asked, given)
    for _ in range(2 * kept.SAMPLES):
        env = asked.env(given, steps=1_000_000, deadline=FOREVER)
        env.program.evaluate(("data", "m", "p"), env)
    if worth:
        assert lines(asked, given) == first
    else:
        lines(asked, given)
        assert lines(asked, {**given, "other": 2}) == 0
        assert lines(asked, {**given, "n": 901}) > 900
        assert lines(asked, given, "another team") > 900


def test_what_is_not_found_again_is_kept_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule whose inputs differ each time is not kept."""
    monkeypatch.setattr(kept, "TRIAL", 10)
    found = Kept(program())
    (number,) = [plan.node.number for plan in found.program.plans if plan.node.path == ("data", "m", "q")]
    usual = found.program.functions[number]
    found.keep(number)
    assert found.program.functions[number] is not usual
    for n in range(11):
        document(found.program, found.env({"a": 1, "b": n}, steps=10_000, deadline=FOREVER))
    assert found.program.functions[number] is usual


def test_the_results_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept results are limited in number, and by the size of their keys."""
    monkeypatch.setattr(kept, "MOST", 8)
    found = Kept(program())
    for number in found.rules:
        found.keep(number)
    for n in range(50):
        document(found.program, found.env({"a": [n], "b": n}, steps=10_000, deadline=FOREVER))
        assert len(found.results) <= 8
    found.results.clear()
    large = ["x" * 100] * 50
    document(found.program, found.env({"a": large, "b": large}, steps=10_000, deadline=FOREVER))
    assert not any(large in by for by in found.results)
    assert all(len(part) <= 16 * kept.LARGEST for by in found.results for part in by if isinstance(part, bytes))


def test_constants_are_evaluated_once() -> None:
    """Rules that read no input keep their results, whatever is evaluated afterwards, except within `with`."""
    asked = program()
    (plan,) = [plan for plan in asked.plans if plan.node.path == ("data", "m", "c")]
    assert plan.constant
    assert asked.evaluate(("data", "m", "c"), asked.env({}, strict=True)) == 6
    assert asked.template[plan.node.number] == MISSING
    assert asked.evaluate(("data", "m", "c"), asked.env({})) == 6
    assert asked.template[plan.node.number] == 6
