"""Modules that OPA refuses for their types, or with `--strict`, and accepted ones: the checker agrees."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.rego.refused import by_compiler, by_opa
from gateway.policy.engines.rego import RegoError, compile_bundle

TYPES = (
    'p if { some x in [1]; x == "a"}',
    'p if 1 + "a" > 2',
    'p if { {"a": 1}.b }',
    'p if { x := {"a": 1}; x.b }',
    'p if { x := "a"; x.b }',
    "f(x) := 1\np if f(1)[2]",
    'p contains x if { x := ["a"][_]; x > 1; count(1) }',
    'p if { 1 in ["a"] }',
    'p := y if { y := json.unmarshal("x").a; y == 1 } else := 1 + "a"',
    'p := [x | x := 1; x == "a"]',
    'p if { x := {1,2}; x["a"] }',
    "f(x,y) := 1\np if 1 == 2 with count as f",
    'p if input.x == 1 with input as {"y":2}',
    "p.q := 1\nr if data.PKG.p.z",
    'p[x] := 1 if { x := ["a"][_] }\nr if p[1]',
    'p := 1\np := "a"\nr if p == true',
    'p if abs("a")',
    'p := abs("a")',
    "p if { walk(1, [x,y]); x == 1 }",
    "p if set() == {}",
    'p if { x = [1,y]; y = "a"; y == 2}',
    'p if not 1 == "a"',
    'f(x) := x + 1\np := f("a")',
    'f(x) := y if { y := startswith(x, "a") }\np := f(3)',
    'f([a, b]) := a + b\np := f({"a": 1})',
    'f({"a": x}) := upper(x)\np := f({"a": 1})',
    'q := {"a": {"b": [1, 2]}}\np := q.a.c',
    'q := {"a": {"b": [1, 2]}}\np := q.a.b.x',
    'q := {"a": {"b": [1, 2]}}\np if { some i; q.a.b[i] == "x" }',
    'q contains "a"\np if q[1]',
    'q contains "a"\np if q.a',
    'p if count({1}) == "a"',
    'p := sum(["a"])',
    'p := sum([1, "a"])',
    'p := concat(",", [1])',
    'p := split(1, ",")[0]',
    'p := input.x + "a"',
    'p := data.x.y + "a"',
    'p if { x := data.foo.bar; x == 1; x == "a" }',
    'p if { x := input.foo; y := x + 1; y == "a" }',
    'p if { x := input.foo; startswith(x, "a"); x == 1 }',
    'p := {"a": 1} | {1}',
    'p := [1,2,3]["a"]',
    "p := [1,2,3][7]",
    'p := {"a", "b"}[_] + 1',
    'p if { some k, v in {"a": 1}; k == 1 }',
    'p if { some k, v in {"a": 1}; v == "x" }',
    'p if { "z", 1 in {"a": 1} }',
    'p if { 1, 1 in {"a": 1} }',
    'p := time.clock("x")',
    "p := io.jwt.decode(3)",
    'p := a if { {"x": a} = {"x": 1}; a == "s" }',
    "p := null + 1",
    "p if null == 1",
    "p if true == 1",
    'p if "x" != 1',
    "p if input == 1",
    'p if { x := [input.a, 1]; x[1] == "a" }',
    'p if { x := [input.a, 1]; x[0] == "a" }',
    'p := object.get({"a": 1}, "a", 0).x',
    'p := json.filter(1, ["a"])',
    "p := 1 if { input.a with input.b as 1 }",
    'p if x with data.PKG.q as 1\nq := "s"\nx if q == 1',
    'p := 1 if { q == 1 with data.PKG.q as 1 }\nq := "s"',
    'p := input.a[input.b].c + "x"',
    'p := sprintf("%d", 1)',
    "p := sprintf(1, [1])",
    'p := sprintf("%d", {1})',
    'p := max("abc")',
    'p := regex.match(1, "a")',
    'p := numbers.range("a", 1)',
    "p := array.concat([1], {2})",
    "p := to_number([1])",
    "p := {1,2} - 1",
    "p := 1 - {1}",
    "p := {1} - {1}",
    "p if { x := [y | y := input.a[_]]; x.foo }",
    'p if { x := {"k": [1]}; x.k[0].z }',
    'p[k] contains v if { some k in ["a"]; v := 1 }\nq if p.a == {"z"}\nr if p[1]',
    'p.a[k] := v if { some k in ["a"]; v := 1 }\nq if p.a.b == "z"\nr if p.c',
    'p.a.b := 1\np.a.c := "x"\nq if p.a.c == 1\nr if p.a.d',
    'p if $"{input.x}" == 1',
    'p if { x := 1; not x == "a" }',
    'p if { a := [1, "x"]; some b in a; b == true }',
    'p if { a := {"x": 1, "y": "z"}; some b in a; b == true }',
    'f(x) := "a" if x == 1\nf(x) := 2 if x == 2\np if f(1) == true',
    'f(x) := "a" if x == 1\nf(x) := 2 if x == "b"\np if f(true)',
    "p if [1, 2] == [1, 2, 3]",
    'p if {"a": 1} == {"a": "x"}',
    'p if {1} == {"a"}',
    'p if { x := {"a": input.x}; x == {"a": 1, "b": 2} }',
    "p if { x := walk(input)[0]; x == 1 }",
    'p if { x := uri.parse("a").foo; x == 1 }',
    "p := units.parse(1)",
    'p := 1 if { input.x = y; y = 1; y = "b" }',
    'p if { x = input.z; x[y] = 1; y == true; x == "s" }',
    'p := {"a": x} if { x := 1; x == {"b"} }',
    'p if { x := ["a", "b"][y]; y == "z" }',
    'p if { x := {"a": 1}[y]; y == 1 }',
    "p := r.s if { r := input; r.s }",
    'p if "a" in {"a": 1}',
    "p if 5 in input.x",
    'p if "a" in "abc"',
    'p if { [x, y] := [1, "a"]; x + y == 2 }',
    'p if { {"a": x} := {"a": "s"}; x + 1 == 2 }',
    "f(_, x) := x\np := f(1, 2)[0]",
    'f(x, x) := x\np if f(1, "a")',
    'p := 1 if { q[input.x].b }\nq := [{"a": 1}]',
    'p if { q.x.y.z == 1 }\nq := {"x": input.y}',
    "p if { input.x[1].y == [1,2][input.z]; input.x == 1; input.x.y == 2 }",
)
"""`PKG` is the package."""
STRICT = (
    "p if { every x in [1] { true } }",
    "p if { every k, x in [1] { x == 1 } }",
    "p if { every _, x in [1] { x == 1 } }",
    "p if { some x; true }",
    "p if { some x, y; input[x] }",
    "p contains x if { some x; input[x] }",
    "p if { x := 1 }",
    "p := x if { x := 1 }",
    "p if { [x, y] := [1, 2]; x == 1 }",
    "f(x, y) := x",
    "f(x, _) := x",
    "f([x, y]) := x",
    "f(x) := 1 if { x == 1 }",
    "p := [1 | x := 2]",
    "p := [x | x := 2; y := 3]",
    "import data.foo\np := 1",
    "import data.foo as bar\np := 1",
    "import data.foo as bar\np := bar.x",
    "import data.foo\np := foo(1)",
    "import input.foo\np := 1 if { foo with data.x as 1 }",
    "import data.foo\np := 1 if { true with foo as 1 }",
    "import data.foo\np := 1 if { true with data.x as foo }",
    "p if { some x in [1] }",
    "p if { some i, x in [1]; x == 1 }",
    "f(x) := 1 if { true } else := x",
    "f(x) := 1 if { true } else := 2",
    "p if { every x in [1] { y := x; y } }",
    "p if { every x in [1] { y := x } }",
    "p if { not input.x; x := 1; x == 1 }",
    "p := y if { y := 1 } else := z if { z := 2; w := 3 }",
    "p if { x := 1; f(x) } else := 2\nf(_) := 1",
)


def test_types(tmp_path: Path) -> None:
    """The type errors are the same, at the same places."""
    sources = [f"package p{index}\n\n{body.replace('PKG', f'p{index}')}\n" for index, body in enumerate(TYPES)]
    for source, found in zip(sources, by_opa(tmp_path, sources), strict=True):
        assert by_compiler(source) == found, source


@pytest.mark.parametrize("strict", [True, False])
def test_strict(tmp_path: Path, strict: bool) -> None:
    """Unused declared variables are always reported; imports, arguments and assigned variables in strict mode."""
    sources = [f"package p{index}\n\n{body}\n" for index, body in enumerate(STRICT)]
    for source, found in zip(sources, by_opa(tmp_path, sources, *["--strict"] * strict), strict=True):
        assert by_compiler(source, strict=strict) == found, source


def test_an_error_of_types_shows_both_types() -> None:
    """The found and the expected types are below the message."""
    with pytest.raises(RegoError) as caught:
        compile_bundle({"m.rego": 'package m\n\np if input.n + 1 == "a"\n'})
    assert str(caught.value) == "m.rego:3: rego_type_error: match error\n\tleft  : number\n\tright : string"
