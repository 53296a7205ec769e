"""Regular expressions: Go's syntax, linear time, and whole characters."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.engines import outline
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.engines.bundle import Bundle
from gateway.policy.engines.embedded import Embedded
from gateway.policy.engines.rego import EvaluationError, TooLong, compile_bundle

PROGRAM = compile_bundle(
    {
        "m.rego": """package m

match := regex.match(input.p, input.t)
valid := regex.is_valid(input.p)
split := regex.split(input.p, input.t)
found := regex.find_n(input.p, input.t, -1)
groups := regex.find_all_string_submatch_n(input.p, input.t, -1)
replaced := regex.replace(input.t, input.p, input.n)
"""
    }
)


def value(rule: str, **given: str) -> Any:
    return PROGRAM.evaluate(("data", "m", rule), PROGRAM.env(given, strict=True))


@pytest.mark.parametrize(
    "pattern", [r"(?=a)", r"(?<!a)", r"(a)\1", r"(?>a)", r"a**", r"\C", "(", "[", "a{1001}", "a" * 10_001, r"\K"]
)
def test_what_go_does_not_have(pattern: str) -> None:
    """An invalid pattern is refused with an error of the builtin."""
    assert value("valid", p=pattern) is False
    with pytest.raises(EvaluationError) as caught:
        value("match", p=pattern, t="a")
    assert caught.value.code == "eval_builtin_error"
    assert "error parsing regexp" in str(caught.value)


@given(st.text(st.sampled_from("abé漢😀 "), max_size=12))
def test_matches_are_whole_characters(text: str) -> None:
    """Characters of any width stay whole: the joined parts are the text."""
    assert value("replaced", p="[a-z]", t=text, n="<$0>") == "".join(f"<{one}>" if one in "ab" else one for one in text)
    assert "".join(value("found", p="(?s).", t=text)) == text
    assert value("split", p=" ", t=text) == text.split(" ")
    assert value("groups", p="(é)|(漢)", t=text) == [
        [one, one if one == "é" else "", one if one == "漢" else ""] for one in text if one in "é漢"
    ]


@pytest.mark.parametrize("pattern", ["(x+x+)+y", "(x|x)*y", "(.*)*$y", "x*x*x*x*x*x*x*x*y", "((x{0,30}){0,30})y"])
def test_no_pattern_goes_back(pattern: str) -> None:
    """Patterns that take a backtracking matcher years."""
    assert value("match", p=pattern, t="x" * 50_000) is False


def test_what_may_take_longer_than_the_evaluation() -> None:
    """A long search is refused before it starts, because RE2 cannot be interrupted."""
    document = {"p": "[^z]{1,900}q.{1,900}w", "t": "x" * 1_000_000}
    with pytest.raises(TooLong):
        PROGRAM.evaluate(("data", "m", "match"), PROGRAM.env(document, deadline=time.monotonic() + 1))
    with pytest.raises(TooLong):
        PROGRAM.evaluate(("data", "m", "match"), PROGRAM.env(document, steps=20_000))


def test_the_loop_does_not_wait() -> None:
    """A long search runs on the thread, and the waiting call is abandoned in time."""
    source = 'package gateway\ndecision := {"p": regex.match(input.x.p, input.x.t)}'
    bundle = Bundle(Path(), "v", (outline.read("p.rego", source),), {}, ())

    async def judge() -> None:
        engine = Embedded(bundle, 0.2)
        with pytest.raises(PolicyUnavailable, match=r"longer than 0\.2 s"):
            await engine.decide({"x": {"p": "[^z]{1,900}q.{1,900}w", "t": "x" * 60_000}})
        assert await engine.decide({"x": {"p": "a", "t": "ba"}}) == {"p": True}
        await engine.close()

    asyncio.run(judge())
