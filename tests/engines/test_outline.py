"""Reading Rego: the names that a module calls, and the parts of the input that it reads."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigError
from gateway.policy.engines import outline as rego


def module(body: str) -> rego.Module:
    return rego.read("m.rego", f"package g\n{body}")


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ("p if input.a.b == 1", {("a", "b")}),
        ('p if input["a"].b', {("a", "b")}),
        ('p if input["a.b"]', {("a.b",)}),
        ("p if input.a[0].b", {("a",)}),
        ("p if input.a[_]", {("a",)}),
        ("p if input.a[input.k]", {("a",), ("k",)}),
        ("p if { x := input; x.a }", {()}),
        ("p if input[x]", {()}),
        ('p if object.get(input, "a", 0)', {()}),
        ("p if q with input as {}", {()}),
        ('p := $"a {input.b}"', {()}),
        ("p := $`a {data.b}`", set()),
        ("import input.a as b\np if b.c", {("a",)}),
        ('p := "input.a" # input.b', set()),
        ("p if data.input.a", set()),
        ("p := `input.a\ninput.b`", set()),
    ],
)
def test_paths_of_the_input(body: str, paths: set[tuple[str, ...]]) -> None:
    """Every path that is read is found; a use that cannot be followed counts as the whole input."""
    assert module(body).inputs == paths


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("p if count(input.a) > 0", {"count"}),
        ('p if net["lookup_ip_addr"]("x")', {"net.lookup_ip_addr"}),
        ("p if net.lookup_ip_addr (input.x)", {"net.lookup_ip_addr"}),
        ('p := "count(1)" # sum(2)', set()),
        ("p := `count(1)`", set()),
        ("p if contains(input.a, `x`)", {"contains"}),
        ("p contains x if some x in input.a", set()),
        ("p if { not (input.a == 1) }", set()),
        ("p if q with time.now_ns as 5", {"time.now_ns"}),
        ("p if q with f as opa.runtime", {"f", "opa.runtime"}),
        ("p if q with input.x as data.y", set()),
        ("p if\n count(input.a)", {"count"}),
    ],
)
def test_calls(body: str, names: set[str]) -> None:
    """Called names are found, but not in strings and comments."""
    assert {call.name for call in rego.calls(module(body))} == names


def test_heads_are_rules_not_calls_on_a_new_line() -> None:
    """A name at the beginning of a line defines a rule only where a rule can begin."""
    source = "default a := 1\nb(x) := y if\n c(x)\nd.e(x) := 1\nf contains g(x) if {\nh(x)\n}\n"
    source += "i if {true} else := 2 if\nj(1)"
    assert module(source).heads == {"a", "b", "d.e", "f", "i"}


@pytest.mark.parametrize("source", ['package g\np := "x', "package g\np := `x", 'package g\np := "x\n"'])
def test_a_string_without_end_is_an_error_with_its_line(source: str) -> None:
    """The error has the line of the string."""
    with pytest.raises(ConfigError, match=r"m\.rego:2: a string that does not end"):
        rego.read("m.rego", source)


def test_no_package_is_an_error() -> None:
    """A file without a package is not a module."""
    with pytest.raises(ConfigError, match=r"m\.rego:1: no package"):
        rego.read("m.rego", "# nothing")
