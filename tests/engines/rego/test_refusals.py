"""Modules that OPA refuses, or whose evaluation fails: the same errors at the same places."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from engines import opa_server
from engines.rego.refused import Found, by_compiler, by_opa
from gateway.policy.engines.rego import EvaluationError, compile_bundle
from gateway.policy.engines.rego.errors import Location

INPUT = {"a": 1, "b": ["x", "y"]}

REFUSED = (
    # Template strings hold one value
    'p := $"{input.b[_]}"',
    'p := $"{1 with input.a as 1}"',
    'p := $"a {count([x | x := input.b[_]])}"',
    'p contains $"{input.b[_]}"',
    'p[$"{input.b[_]}"] := 1',
    'p := 1 if { input.b[_] == $"{input.b[_]}" }',
    'p := 1 if { true with input.a as $"{input.b[_]}" }',
    'p := $"{input.b[i]}"',
    'p := $"{x.a}"',
    'p := $"{input.b[i]}" if i = 1',
    'p := [y | y := $"{z}"; z := 1]',
    'p if { $"{x}" == "1"; x := 1 }',
    'p if { $"{x}" == "1"; x = 1 }',
    # Variables that are declared twice, or after their use
    "p if { x := 1; some x in [1] }",
    "p if { x := 1; some k, x in [1] }",
    "p if { some x in [1]; some x in [2] }",
    "p if { some x in [1]; x := 2 }",
    "p if { some x; some x in [2] }",
    "p if { some x; x := 1 }",
    "p if { x == 1; some x in [2] }",
    "f(x) if { some x in [1] }",
    "f(x) if x := 1",
    "f(x) := 1 if { x == 2 } else := 3 if { x := 1 }",
    "f([x, y]) := 1 if { every x in y { x == 1 } }",
    "p if { every x in [1] { x := 1 } }",
    "p if { [x, x] := [1, 1] }",
    "p if { [y, x] := [1, 1]; [z, x] := [1, 2] }",
    "p := x if { input.a == x; some x }",
    "p if { not x; x := false }",
    "p if { not x; x = false }",
    "p if { not x }",
    "p if { not x; some x in [1] }",
    "p if { not count(x) == 1; x := [2] }",
    "p if { not x := 1 }",
    "p if { not assign(x, 2) }",
    "p if { x := input.a; assign(x, 2) }",
    "p if { x := 1; [x | x := 2] }",
    "p if { some x in [1]; every x in [1] { x == 1 } }",
    'p if { print("a"); not print("b"); every x in [1] { print(x) } }',
    "x := 1\np if { x == 1; some x in [2] }",
    # Indices
    "p := [1,2,3][1.5]",
    "p := [1,2,3][-1]",
    "p if { x := 1.0; [1,2,3][x] }",
    "p := {1: 2}[1.0]",
    "p := input.b[1.0]",
    # Builtins that are not available when a policy runs
    "p := eq(1, 1)",
    "p if { eq(1, 1) == true }",
    "p if { eq(1, 1); assign(x, 2); x == 2 }",
    "p if eq(1)",
    "p if eq(1, 2, 3)",
    "p if { not eq(1, 2) }",
    "p if assign(1, 2, 3)",
    "p := assign(1)",
    "p := print(1)",
    "p := print(1, [2])",
    "p if { x := print(1) }",
    "p if { count(print(1)) }",
    "p if { x := [1 | print(1)]; print(2) == 1 }",
    "p := internal.print(1)",
    "p if { print(1); not print(1) }",
    # Variables in the name of a rule that its value binds
    "p[x] := input.b[x]",
    "p[x][y] := input[x][y]",
    "p[x].y := count(input[x])",
    "p[x] contains input.b[x]",
    "p[x] := 1",
    "p[x] := [x | x := 1]",
    # Functions that a variable hides
    "p if { count := 1; count([1]) == 1 }",
    "p if { some count in [1]; count([1]) == count }",
    "f(count) := count([1])",
    'f(uri) := uri.is_valid("x")',
    'p if { uri := 1; x := {y | y := uri.is_valid("x")}; x }',
    "p if { g := 1; g(1) }\ng(x) := x",
    'p if { uri.is_valid("x") with input as uri.is_valid("y") }',
    'p[uri] if { uri.is_valid(uri); uri = "x" }',
    "p if { count = 1; count([1]) == 1 }",
    "p if { some count; count = 1; count([1]) == 1 }",
    "p if { every count in [1] { count([1]) == 1 } }",
    "p if { lib := 1; data.lib.f(1) }",
    "p := [count(count) | some count in [[1]]]",
    "p if { equal := 1; 1 == equal }",
    "p if { plus := 1; x := plus + 1; x }",
    "p if { plus = 1; x := plus + 1; x }",
    "p if { internal = 1; 1 in [internal] }",
    "p if { internal := 1; 1 in [internal] }",
    "p if { eq := 1; x = eq }",
    "p if { lt := 1; 1 < lt }",
    'f(uri) := x if { x := uri.is_valid("x") }',
    'f(uri) if uri.is_valid("x")',
    'f(uri) := {x | x := uri.is_valid("x")}',
    'p := uri.is_valid("x") if { uri := 1 }',
    'p := uri.is_valid("x") if { uri = 1 }',
    'p if { uri.is_valid("x"); uri = "x" }',
    'p if { uri = "x"; x := [y | y := uri.is_valid("x")]; x }',
    'p if { x := [y | uri = "y"; y := uri.is_valid(uri)]; x }',
    'p if { some uri in ["x"]; not uri.is_valid("x") }',
    'p if { every uri in ["x"] { uri.is_valid(uri) } }',
    "p if { x := 1; x.y(1) }",
    "p if { time := 1; x := time.now_ns(); x }",
    "p if { time := 1; x := input with time.now_ns as time; x }",
    # Types that are not known to the end
    'o := ["a", set()]\np if { [1] in o }',
    'o := ["a", set()]\np if { 1 in o }',
    'o := ["a", set()]\np if { [1] == o[1] }',
    'o := ["a", {1}]\np if { [y | y := input.x] in o }',
    'o := ["a", "b"]\np if { [y | y := input.x] in o }',
    "o := [set()]\np if { [y | y := input.x] in o }",
    'o := ["a", set()]\np if { input.z; [y | y := input.x] in o }',
    'o := ["a", set()]\np if { [y | y := 1] in o }',
    'o := ["a", set()]\np if { [y | y = 1] in o }',
    'o := ["a", 1]\np if { [input.x] in o }',
    'o := {"a": 1, "b": set()}\np if { [y | y := input.x] in o }',
    'p[1] := set()\nq if { xs := ["a"]; xs in p[1] }',
    'p[1] contains 2 if { input.x }\np[2] contains "a"\nq if { xs := ["a"]; xs in p[1] }',
    'p.a[x] := {1} if { x := input.x }\nq if { xs := ["a"]; xs in p.a[1] }',
    'p[x].y := {1} if { x := input.x }\nq if { xs := ["a"]; xs in p[1] }',
    'p[1] := {1}\np[2] := 3\nq if { xs := ["a"]; xs in p[1] }',
    'p[1] := {1}\np.z := 3\nq if { xs := ["a"]; xs in p[1] }',
    'p[1].x := {1}\nq if { xs := ["a"]; xs in p[1] }',
    'default p[1] := {1}\nq if { xs := ["a"]; xs in p[1] }',
    'p[1] := {"a": []}\nq if { xs := 1; xs in p[1] }',
    'p[1] := [{}, set()]\nq if { xs := ["a"]; xs in p[1] }',
    'p[1] := {y | y := 1}\nq if { xs := ["a"]; xs in p[1] }',
    'f(x) := ["a", set()]\np if { [input.x] in f(1) }',
    'o := ["a", set()]\np if { r := o; [input.x] in r }',
    'o := ["a", set()]\np if { count(o) == "a" }',
    'o := ["a", set()]\np if { sum(["a", set()]) == 1 }',
    'o := ["a", set()]\np if { o == 2 }',
    'o := ["a", set()]\np if { some x in o; x == 2 }',
    'o := ["a", set()]\np if { startswith(o[1], "a") }',
    'o := [["a", set()]]\np if { x := o[0]; startswith(x, "a") }',
    'o := [["a", set()]]\np if { x := o[_][1]; startswith(x, "a") }',
    # What print is given
    "p if { print(x) }",
    "p if { print(x); x := 1 }",
    "p if { print(x); x = 1 }",
    "p if { print(input.a[i]) }",
    "p if { print(input.a[_]) }",
    "p if { print(x.y) }",
    "p if { print([y | y = input.a[i]]) }",
    "p if { not print(x) }",
    "p if { every y in [1] { print(y) } }",
    "p if { x := [1 | print(x)]; x }",
    "p if { x := [1 | print(y)]; x }",
    "p if { x := [1 | print(y)]; y := 1; x }",
    "p if { x := [1 | print(y); y := 1]; x }",
    "f(x) if { print(x, y) }",
    "p if { print(count(x)) }",
    'p if { print("a") with input as x }',
    "p if { print(nope(1)) }",
    "p if { print(count(1)) }",
    'p if { print(1 + "a") }',
    'p if { print($"{input.a}") }',
    "p if { some x; print(x) }",
    "p if { print(data.nope) }",
    "p if { not x; print(x) }",
    "p := x if { print(x) }",
    "p if { print(_) }",
    "p if { print([_]) }",
    "p if { print(print(1)) }",
    "p if { print(1) == 1 }",
    # Variables that nothing binds
    "p if { x := [y | y := z]; x }",
    "p := [y | y := z]",
    "p if { y := z }",
    "p if { [a, b] := [z, 1] }",
    "p if { y = z }",
    "p if { y = z; z = y }",
    "p if { x > 1; y > 2 }",
    "p if { x = y; y = z; w > 1 }",
    "p if { x := y; z := x; z > w }",
    "f(a) := b if { a }",
    "p if { not x > 1 }",
    "p if { count(x) > y }",
    "p if { [x, y] = [z, 1] }",
    'p if { {"a": x} = {"a": y} }',
    "p if { some i; input.a[i]; q > 1 }",
    "p if { input[x]; data[y][z] == w }",
    "p if { x > 1; x > 2 }",
    "p if { x > 1; y := x; y > 1 }",
    "p if { x := x }",
    "p if { x := y; y := x }",
    "p if { _ > 1 }",
    # With
    "p := 1 with input as 2",
    "p = 1 with input as 2 with input.a as 3",
    "f(x) := 1 with input as 2",
    "p.q := 1 with input as 2",
    "p := input.a with input as 2\n\nq := 1",
    "p := x with input as 2 if { x := input }",
    "p := 1 with input as 2 else := 3",
    "p := 1 with 3 as 4",
    "p contains 1 with input as 2",
    "p contains x if { x := input } with input as 3",
    "default p := 1 with input as 2",
    "p if { true with foo as 1 }",
    "p if { true with count as 1 with foo.bar as 2 }",
    "p if { true with foo[0] as 3 }",
    "p if { true with count[0] as 3 }",
    'p if { true with count("x") as 3 }',
    "p if { true with input.b[0] as 2 }",
    "p if { true with input.b[true][1].x as 2 }",
    "p if { true with data.d.xs[0] as 2 }",
    "p if { true with data.d[x] as 2 }",
)
RULES = 'q := {"a": [2]}\nf(x) := x\nr[x] := 1 if some x in [1]'
REPLACED = (
    "p if { q.a with data.PKG.q.a as 1 }",
    "p if {\n    q.a with input as 2 with data.PKG.q.a.b as 1\n}",
    "p if { q.a with data.PKG.q.a[0] as 1 }",
    "p if { q.a with data.PKG.q[0] as 1 }",
    "p if { f(1) with data.PKG.f[0] as 1 }",
    "p if { f(1) with data.PKG.r[1] as 1 }",
)
"""`with` on parts of the results of rules; RULES are in the same package."""
FAILED = (
    "p := assign(1, 1)",
    "p if { false; x := assign(1, 1) }",
    "p if { not print(1) }",
    "p if { 1 with input.b[0] as 2 }",
    "p := x if { x := input with input.b[0] as 2 }",
    "p := x if { x := data.d with data.d.o[1.5].x as 2 }",
    "p := x if { x := 1 with input.b[0] as 1 with data.d.n as 2 }",
    "p := 7 if { y := 1; true with input[y] as 3 }",
    'p := 7 if { not false with input["x"][1] as 3 }',
    'p := 7 if { true with input["x"][1] as data.foo }',
    "p if { false; 1 with input[0] as 3 }",
    "p := [x | x := 1 with input.b[0] as 1]",
)
"""Modules whose evaluation fails, or is undefined."""


def check(folder: Path, bodies: Sequence[str]) -> Iterator[tuple[str, Found]]:
    """The errors of `opa check` for each module alone: for several together, OPA does not report all."""
    for index, body in enumerate(bodies):
        source = f"package p{index}\n\n{body}\n"
        (folder / f"{index}").mkdir()
        yield source, by_opa(folder / f"{index}", [source])[0]


def test_refusals(tmp_path: Path) -> None:
    """Code, message and place of each error."""
    for source, found in check(tmp_path, REFUSED):
        assert by_compiler(source) == found, source


def test_a_fraction_is_no_index(tmp_path: Path) -> None:
    """The error is the same; OPA's message has the number as written, the compiler's has its value."""
    for source, found in check(tmp_path, [f"p := [1, 2, 3][{number}]" for number in ("1.0", "1e0", "0.1e1")]):
        places = {(code, row, column) for code, _, row, column in found}
        assert places, source
        assert places == {(code, row, column) for code, _, row, column in by_compiler(source)}, source


def test_a_part_of_a_rule_is_not_replaced(tmp_path: Path) -> None:
    """The error is at the place of the target."""
    bodies = [f"{body.replace('PKG', f'p{index}')}\n{RULES}" for index, body in enumerate(REPLACED)]
    for source, found in check(tmp_path, bodies):
        assert found, source
        assert by_compiler(source) == found, source


CONFLICTS = (
    "q := 1\nq := 2",
    "q := 1\nq := 2 if input.a == 7\nq := 3\nq := 4",
    "q := 1 if input.a == 1\nelse := 3\nq := 2 if input.a == 1",
    "q.a.b := 1\nq.a.b := 2 if input.b",
    "f(x) := 1 if x == 1\nf(x) := 2 if x < 3\nf(x) := 3 if x == 3\nq := f(1)",
    "q := 1 if input.a == 1\nq := 2 if input.a == 2\nq := 3 if input.a == 3\nq := 4 if input.a == 1\nq := 5 if input.c",
    "q := x if { some x in [1]; x > input.none }\nq := 2\nq := 3",
)


@pytest.mark.parametrize("body", CONFLICTS)
def test_a_conflict_names_the_definitions(tmp_path: Path, body: str) -> None:
    """The same places as in OPA's message, but without values, which may be secret."""
    source = f"package m\n\n{body}\n"
    wanted = failure(tmp_path, source)
    assert wanted is not None
    plain = re.sub(r"(?m)^  .* at ", "  at ", wanted[1])
    assert failed_here(source) == (wanted[0], plain, *wanted[2:])


def failure(folder: Path, source: str) -> tuple[str, str, int, int] | None:
    """The error with which OPA ends the evaluation of a module, if there is one."""
    (folder / "m.rego").write_text(source)
    (folder / "input.json").write_text(json.dumps(INPUT))
    command = [opa_server.program(), "eval", "-d", "m.rego", "-i", "input.json", "--format", "json", "data.m"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    for error in json.loads(done.stdout).get("errors", ()):
        at = error["location"]
        return error["code"], error["message"], at["row"], at["col"]
    return None


def failed_here(source: str) -> tuple[str, str, int, int] | None:
    """The error of the compiled module."""
    program = compile_bundle({"m.rego": source})
    try:
        program.document(("data", "m"), program.env(INPUT))
    except EvaluationError as error:
        at = error.at or Location("", 0, 0)
        return error.code, error.message, at.row, at.column
    return None


def test_failures(tmp_path: Path) -> None:
    """Code, message and place of the error that ends an evaluation."""
    for body in FAILED:
        source = f"package m\n\n{body}\n"
        assert failed_here(source) == failure(tmp_path, source), source
