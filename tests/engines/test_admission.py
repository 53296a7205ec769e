"""What the embedded engine refuses at load, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.engines import outline as rego
from gateway.engines.admission import Traits, admit, suits
from gateway.errors import ConfigError


def check(body: str, data: dict[str, Any] | None = None) -> Traits:
    return admit([rego.read("p.rego", f"package gateway\n{body}")], data or {})


@pytest.mark.parametrize(
    "name",
    [
        "http.send",
        "opa.runtime",
        "rand.intn",
        "uuid.rfc4122",
        "net.lookup_ip_addr",
        "strings.replace_n",
        "regex.match",
        "replace",
        "to_number",
        "print",
        "trace",
        "json.patch",
        "semver.compare",
        "net.cidr_contains",
        "glob.quote_meta",
        "no_such_function",
        "lib.f",
    ],
)
def test_builtins_that_are_not_proven(name: str) -> None:
    """Refused with file, line, name and the engine to use instead."""
    with pytest.raises(ConfigError, match=rf"p\.rego:3: {name} is refused .*policy\.engine: opa"):
        check(f"p if {{\n {name}(input.x)\n}}")


def test_functions_of_the_bundle_are_no_builtins() -> None:
    """Own functions, those of other packages and imported ones may be called."""
    lib = rego.read("lib.rego", "package lib\nf(x) if x\ng(x) if x")
    calls = (
        "package g\nimport data.lib\nimport data.lib.g as h\np if { f(1); data.lib.f(1); lib.f(1); h(1) }\nf(x) if x"
    )
    admit([lib, rego.read("g.rego", calls)], {})
    with pytest.raises(ConfigError, match=r"g\.rego:4: no function data\.lib\.f in this bundle"):
        admit([rego.read("g.rego", calls)], {})


def test_a_function_of_the_same_package_in_another_file() -> None:
    """A package is one, however many files it is in."""
    one = rego.read("1.rego", "package g\np if f(1)")
    two = rego.read("2.rego", "package g\nf(x) if x == 1")
    admit([one, two], {})
    with pytest.raises(ConfigError, match=r"1\.rego:2: f is refused"):
        admit([one, rego.read("2.rego", "package h\nf(x) if x == 1")], {})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('p := $"a {1}"', "a template string"),
        ('p := "\\u0041"', r"an escape \\u"),
        ('p := "a\\\\\\/"', r"an escape \\u or \\/"),
        ("p if input.f[x](1)", "a call of a computed name"),
        ("p if f(1)(2)\nf(x) if x", "a call of a computed name"),
        ('p := sprintf("%d", [1])', "this sprintf"),
        ('p := sprintf("%v", [])', "this sprintf"),
        ('p := sprintf("%v", [1, 2])', "this sprintf"),
        ('p := sprintf("%v", input.l)', "this sprintf"),
        ("p := sprintf(input.f, [1])", "this sprintf"),
        ('p := trim(input.x, "\\n")', "trim with a quote"),
        ('p := endswith(input.x, `"`)', "endswith with a quote"),
        ('p := lower("É")', "lower with a quote"),
        ('p if glob.match("*a*b*", null, input.x)', "more than 2 wildcards"),
        ("count(x) := 1", "called count, as a builtin is"),
        ("p if q with count as http.send", "http.send is refused"),
        ('p if "a", "b" in {"a"}', "`key, value in` is refused"),
        ("p if (1, input.x in input.l)", "`key, value in` is refused"),
        ("p if not 0, input.x in input.l", "`key, value in` is refused"),
        ("p := 1e30", "the number 1e30 is refused"),
        ("p if input.x < 9223372036854775808", "the number 9223372036854775808 is refused"),
    ],
)
def test_constructs_that_would_be_evaluated_wrongly(body: str, words: str) -> None:
    """Refused, whatever would come out."""
    with pytest.raises(ConfigError, match=words):
        check(body)


@pytest.mark.parametrize(
    "body",
    [
        "p if { some k, v in input.o; k == v }",
        "p if every k, v in input.o { k == v }",
        "p := [1, 2 in input.l]",
        "p if f(1, input.x in input.l)\nf(x, y) if x == y",
        "p contains x if some x in [1, 2]",
        'p := {"a": 1, "b": 1 in input.l} if { q := [1, 2]\n 3 in q }',
        "p := 9223372036854775807",
    ],
)
def test_constructs_that_look_like_them(body: str) -> None:
    """Admitted: names that are declared, items of a list, arguments, 64 bits."""
    check(body)


def test_double_backslash_before_u_is_no_escape_of_a_character() -> None:
    """`\\\\u` is a backslash and a u."""
    check('p := "a\\\\u"')


def test_data_that_its_builtins_would_misread() -> None:
    """A string in data is held to the same rule, and its place is named."""
    with pytest.raises(ConfigError, match=r"data\.roles\.0: a string with a quote"):
        check('p if glob.match("a*", null, input.x)', {"roles": ["Zürich"]})
    with pytest.raises(ConfigError, match=r"data\.a\.b: more than 2 wildcards"):
        check('p if glob.match("a*", null, input.x)', {"a": {"b": "***"}})
    check("p if input.x in data.roles", {"roles": ["Zürich", 'say "x"']})


def test_traits() -> None:
    """The strictest of the builtins sets the text; tests do not count."""
    assert check('p if startswith(input.x, "a")').text == "any"
    assert check("p if count(input.x) == 1").text == "unescaped"
    traits = check('p if { glob.match("a*", null, input.x); count(input.y) == 1 }')
    assert (traits.text, traits.globs, traits.volatile) == ("ascii", True, False)
    assert check("p if time.now_ns() > input.x").volatile
    rules = rego.read("p.rego", "package gateway\np if input.a")
    tests = rego.read("p_test.rego", 'package gateway\ntest_p if { lower("A") == "a"; p with input as {} }')
    traits = admit([rules, tests], {})
    assert (traits.text, set(traits.inputs)) == ("any", {("a",)})


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        ("p if input.x == 1", (True, True, True)),
        ("p if count(input.x) == 1", (True, True, False)),
        ('p if lower(input.x) == "a"', (True, False, False)),
    ],
)
def test_text_that_suits(body: str, fits: tuple[bool, bool, bool]) -> None:
    """Plain text, text beyond ASCII, text with escapes."""
    traits = check(body)
    assert tuple(suits(traits, text) for text in (b'"a"', '"é"'.encode(), b'"\\n"')) == fits
