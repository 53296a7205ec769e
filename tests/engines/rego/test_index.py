"""Definitions selected by a constant: the same results as evaluating all, at a cost independent of their number."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.engines.rego import EvaluationError, Program, compile_bundle
from gateway.policy.engines.rego.values import to_json

TEXTS = ("a", "b", "c")
PARTS = (
    'input.x == "a"',
    '"b" == input.x',
    'input.x = "c"',
    'input.x in {"a", "b"}',
    'input.y.z == "a"',
    "input.x == 1",
    "input.x == 1.0",
    "input.x == true",
    "input.x = null",
    "input.x in data.names",
    "input.x == data.names[1]",
    "input.x == data.one",
    "input.n == 2",
    'input.x == "a"; input.n == 1',
    "v := input.x; v == 1",
    'w := input.x; w in ["a", 2]',
    "input.x != 1",
    'not input.x == "b"',
    'input.x == "a" with input.x as "a"',
    "v := input.x",
    "some listed in input.list",
    "input.n > 1",
)
HEADS = (
    "p contains {}",
    "q := {}",
    "r[{}] := 1",
    "f(_) := {}",
    "s := true",
    'g("a") := {}',
    "g(1) := {}",
    "g(k) := {}",
)
ARGUMENTS = ('k == "b"', "k in {1, 2}", 'input.x == "a"; k = 2', "k")
DATA = {"names": ["a", "c"], "one": 1}
rules = st.lists(
    st.tuples(st.sampled_from(HEADS), st.integers(0, 2), st.lists(st.sampled_from(PARTS), min_size=1, max_size=2)),
    min_size=5,
    max_size=14,
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "x": st.sampled_from([*TEXTS, "z", 1, True, None, ["a"]]),
        "y": st.sampled_from([{"z": "a"}, {"z": 1}, "a"]),
        "list": st.sampled_from([[1, 2], ["a"], {}]),
        "n": st.integers(0, 3),
    },
)


def source(drawn: list[tuple[str, int, list[str]]]) -> str:
    """A module of these rules."""
    lines = ["package m", "call := f(1)", 'calls := [y | some x in ["a", "b", 1, 2, null, input.x]; y := g(x)]']
    for head, value, body in drawn:
        once = [part for at, part in enumerate(body) if part not in body[:at] and not (at and part[0] == "v")]
        if "(k)" in head:
            once.append(ARGUMENTS[value])
        lines.append(f"{head.format(value)} if {{ {'; '.join(once)} }}")
    lines += ["default f(_) := 9", "default g(_) := 9", "default q := 9"]
    return "\n".join(lines)


def result(program: Program, rule: str, document: dict[str, Any]) -> Any:
    """The result of a rule, or the code of an error."""
    try:
        return to_json(program.evaluate(("data", "m", rule), program.env(document)))
    except EvaluationError as error:
        return error.code


@pytest.mark.slow
@given(rules, st.lists(documents, min_size=1, max_size=6))
def test_an_index_changes_nothing(drawn: list[tuple[str, int, list[str]]], asked: list[dict[str, Any]]) -> None:
    """Values, undefined rules and conflicts are the same with an index and without."""
    text = source(drawn)
    indexed = compile_bundle({"m.rego": text}, DATA)
    plain = compile_bundle({"m.rego": text}, DATA, optimize=False)
    for document in asked:
        for rule in ("p", "q", "r", "s", "call", "calls"):
            assert result(indexed, rule, document) == result(plain, rule, document)


@pytest.mark.parametrize(
    "rule",
    [
        'deny contains "d{n}" if {{ input.team == "t{n}"; input.n > {n} }}',
        'deny contains "d{n}" if {{ input.kind == "k"; input.number == {n} }}',
        'deny contains "d{n}" if {{ team := input.team; team in {{"t{n}", "u{n}"}} }}',
        'deny contains "d{n}" if {{ input.team in data.teams[{n}] }}',
        'f("t{n}") := "d{n}"\ndeny contains f(input.team) if input.n == {n}',
        'f(x) := "d{n}" if x == "t{n}"\ndeny contains f(input.team) if input.n == {n}',
    ],
)
def test_the_cost_is_that_of_what_can_hold(rule: str) -> None:
    """Of ten definitions and of a thousand, the same number is evaluated, counted by the lines that run."""

    def asked(count: int) -> int:
        lines = [rule.format(n=n) for n in range(count)]
        data = {"teams": [[f"t{n}", f"u{n}"] for n in range(count)]}
        program = compile_bundle({"m.rego": "package m\n" + "\n".join(lines)}, data)
        ran = 0

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal ran
            ran += frame.f_code.co_filename == "<policy>" and event == "line"
            return trace

        asks = {"team": "t5", "n": 5 if "n == " in rule else 7, "kind": "k", "number": 5}
        sys.settrace(trace)
        try:
            value = program.evaluate(("data", "m", "deny"), program.env(asks))
        finally:
            sys.settrace(None)
        assert value == {"d5"}
        return ran

    assert asked(10) == asked(1000)


FIRST = (
    "v := data.d.xs[9]",
    "v := data.d.xs[{1}]",
    "v := input.q[3]",
    'i := "z"; input[i]',
    "i = 9; v := data.d.xs[i]",
    "i := 9; j := i; v := data.d.xs[j]",
    "data.d.n == 4",
    "i := 4; i == data.d.n",
    "data.d.xs[0] == 4",
    "input.xs[0] == 4",
    "input.xs == [1]",
    "v := input.n; v == 7",
    "v := input.n; v in {7}",
    "i := {7}; input.n in i",
    "[v, _] = data.d.xs[0]; v",
    "[v, w] := input.xs; v == w",
)
"""What OPA finds out before it evaluates anything else of a body."""
HEADS_FIRST = (
    "p := [input.none] if not c",
    "p := count(input.none) if { not c }",
    "p := input.none if { every x in [1] { c == x } }",
)
IN_TURN = (
    "i := 3; data.d.n == i + 1",
    "input.xs == {1}",
    "input.xs == [[1]]",
    "input.n == data.d.n",
    "input.n in data.d.xs",
    "not data.d.xs[9] == 3",
    "v := data.d.xs[i]; i = 9; v",
)


@pytest.mark.parametrize("body", [*FIRST, *IN_TURN])
def test_what_comes_first(body: str) -> None:
    """As in OPA, a conflict of an earlier expression does not show where a later one excludes the definition."""
    source = f'package m\n\nc := x if some x in [1, 2]\n\ndefault p := "none"\n\np := 1 if {{ c; {body} }}\n'
    program = compile_bundle({"m.rego": source}, {"d": {"xs": [1, 2], "n": 3}})
    env = program.env({"xs": [2], "n": 1})
    if body in FIRST:
        assert program.evaluate(("data", "m", "p"), env) == "none"
    else:
        with pytest.raises(EvaluationError, match="eval_conflict_error"):
            program.evaluate(("data", "m", "p"), env)


@pytest.mark.parametrize("rule", HEADS_FIRST)
def test_what_a_head_needs_comes_first(rule: str) -> None:
    """A path in the head that is undefined excludes the definition too."""
    source = f'package m\n\nc := x if some x in [1, 2]\n\ndefault p := "none"\n\n{rule}\n'
    program = compile_bundle({"m.rego": source})
    assert program.evaluate(("data", "m", "p"), program.env({})) == "none"
