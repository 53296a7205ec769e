"""Modules that OPA refuses, or whose evaluation fails: the same errors, at the same places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from engines.rego.test_types import Found, by_compiler, by_opa

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
    # What a body declares twice, or after its use
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
)


def check(folder: Path, bodies: Sequence[str]) -> Iterator[tuple[str, Found]]:
    """What `opa check` says of each module, alone: with several, OPA does not say all of each."""
    for index, body in enumerate(bodies):
        source = f"package p{index}\n\n{body}\n"
        (folder / f"{index}").mkdir()
        yield source, by_opa(folder / f"{index}", [source])[0]


def test_refusals(tmp_path: Path) -> None:
    """Code, message and place of each error."""
    for source, found in check(tmp_path, REFUSED):
        assert by_compiler(source) == found, source


def test_a_fraction_is_no_index(tmp_path: Path) -> None:
    """Whatever it comes to; the message has the number as it is written in OPA, and its value here."""
    for source, found in check(tmp_path, [f"p := [1, 2, 3][{number}]" for number in ("1.0", "1e0", "0.1e1")]):
        places = {(code, row, column) for code, _, row, column in found}
        assert places, source
        assert places == {(code, row, column) for code, _, row, column in by_compiler(source)}, source
