"""A hostile policy or input is ended by the budget, and the process stays small."""

from __future__ import annotations

import json
import os
import random
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.rego import hostile
from gateway.policy.engines.rego import RegoError, TooLong, compile_bundle
from gateway.policy.engines.rego.ast import Module
from gateway.policy.engines.rego.parser import parse

ROOT = Path(__file__).parents[3]
LARGEST = 700
"""Maximum memory in MB; Python and the modules alone take about 45."""
PIECES = (
    *("package", "import", "if", "else", "contains", "default", "not", "some", "every", "in", "with", "as", "null"),
    *(":=", "==", "=", "{", "}", "[", "]", "(", ")", ",", ";", "|", "&", "+", "-", "*", "/", "%", ".", "_", "x", "y"),
    *(
        "input",
        "data",
        "1",
        "0x",
        "1e",
        "2.5",
        '"s"',
        '"',
        "`r`",
        "`",
        '$"{x}"',
        '$"',
        "#",
        "\n",
        " ",
        "\\",
        "set(",
        "\0",
    ),
    *("future.keywords", "rego.v1", "é", "\u2028", "f(x)", "# METADATA\n# a: [", ":", "!=", "<=", "!", "$", "@"),
)


@pytest.fixture(scope="module")
def ended() -> dict[str, tuple[str, float, int]]:
    """The end of each policy, in a separate process."""
    done = subprocess.run(
        [sys.executable, "-m", "engines.rego.hostile"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-500:]
    return {name: (how, took, size) for name, how, took, size in map(json.loads, done.stdout.splitlines())}


@pytest.mark.slow
def test_each_ends(ended: dict[str, tuple[str, float, int]]) -> None:
    """Each ends with a value, undefined, or by the budget; there is no other error, and no policy is missing."""
    assert ended.keys() == hostile.POLICIES.keys()
    assert {how for how, _, _ in ended.values()} <= {"value", "undefined", "budget", "eval_internal_error"}
    assert sum(how == "budget" for how, _, _ in ended.values()) > len(ended) / 2


@pytest.mark.slow
def test_the_process_stays_small(ended: dict[str, tuple[str, float, int]]) -> None:
    """The values that one evaluation may create are limited."""
    assert max(size for _, _, size in ended.values()) < LARGEST


def is_read_or_refused(source: str) -> bool:
    """Whether the parser returns a module, or refuses with its own error and a message."""
    try:
        return isinstance(parse("m.rego", source), Module)
    except RegoError as error:
        return bool(str(error))


@given(st.lists(st.sampled_from(PIECES), max_size=40), st.sampled_from(["", "package p\n", "package p\nx := "]))
def test_the_parser_knows_one_error(pieces: list[str], begin: str) -> None:
    """Any tokens give a module or RegoError."""
    assert is_read_or_refused(begin + " ".join(pieces))


@pytest.mark.slow
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_any_text(text: str) -> None:
    """Any characters, alone and after a package, give a module or RegoError."""
    for source in (text, f"package p\n{text}"):
        assert is_read_or_refused(source)


def test_damaged_policies() -> None:
    """The shipped policies with characters removed, inserted and moved: a module or RegoError."""
    rng = random.Random(11)
    sources = [path.read_text() for path in sorted((ROOT / "policies").rglob("*.rego"))]
    for _ in range(300):
        text = list(rng.choice(sources))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(text))
            kind = rng.randrange(3)
            if kind == 0:
                del text[at : at + rng.randrange(1, 20)]
            elif kind == 1:
                text.insert(at, rng.choice(string.printable))
            else:
                text[at:at] = text[rng.randrange(len(text)) :][:30]
        assert is_read_or_refused("".join(text))


def test_deep_nesting() -> None:
    """Thousands of nested brackets."""
    for piece in ("[", "{", "(", "not ", "[x | ", "f(", '$"{', "{1: ", "every x in y { "):
        with pytest.raises(RegoError):
            parse("m.rego", "package p\nx := " + piece * 5000)


def compiles_or_is_refused(source: str) -> bool:
    """Whether the compiler makes a program, or refuses with its own error in words."""
    try:
        return bool(compile_bundle({"m.rego": source}).plans)
    except RegoError as error:
        return bool(str(error))


NESTED = (
    ("[", "]"), ("{", "}"), ('{"a": ', "}"), ("{", ": 1}"), ("(", ")"), ("[x | x := ", "]"), ("{x | x := ", "}"),
    ("{x: x | x := ", "}"), ("count([", "])"), ('$"{', '}"'), ("input[", "]"), ('{[{"a": (', ")}]}"),
)  # fmt: skip


@pytest.mark.parametrize(("begin", "end"), NESTED)
def test_nesting_does_not_double_the_time(begin: str, end: str) -> None:
    """Brackets that may begin several things, forty deep, are read once each."""
    assert compiles_or_is_refused(f"package m\n\np := {begin * 40}1{end * 40}\n")


@pytest.mark.parametrize(
    "source",
    [
        "package m\n\np := " + " + ".join(["input.n"] * 3000),
        "package m\n\np := " + " == ".join(["1"] * 3000),
        f"package m\n\np{'.a' * 3000} := 1",
        f"package {'.'.join(['a'] * 3000)}\n\np := 1",
        f"package m\n\n# METADATA\n# title: {'[' * 3000}\np := 1",
    ],
)
def test_long_chains(source: str) -> None:
    """What is too long to go through in depth is refused."""
    with pytest.raises(RegoError, match=r"too deeply|recursion depth"):
        compile_bundle({"m.rego": source})


def test_a_body_in_the_wrong_order() -> None:
    """Each expression needs what the next one binds."""
    lines = [f"x{index} = x{index + 1}" for index in range(1500)]
    program = compile_bundle({"m.rego": "package m\n\np := x0 if {\n" + "\n".join(lines) + "\nx1500 = 7\n}\n"})
    assert program.evaluate(("data", "m", "p"), program.env({})) == 7


def test_replacing_in_a_large_input_counts() -> None:
    """Each `with` copies the object that it replaces something in."""
    source = "package m\n\np := [x | some i in numbers.range(0, 1000000); x := input.k with input.k as i]\n"
    program = compile_bundle({"m.rego": source})
    large = {str(number): number for number in range(100_000)}
    with pytest.raises(TooLong):
        program.evaluate(("data", "m", "p"), program.env(large, steps=100_000))
