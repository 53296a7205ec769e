"""Every builtin that the embedded engine admits answers as OPA does, on the text that it is said to be right for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from engines import opa_server
from engines.rego_expressions import ESCAPED, EXPRESSIONS, PLAIN, UNICODE
from gateway.engines import outline as rego
from gateway.engines.admission import spelling
from gateway.engines.builtins import PROVEN, REASONS, VOLATILE
from gateway.engines.program import UNDEFINED, Machine, Program

RULES = [(name, expression) for name, expressions in EXPRESSIONS.items() for expression in expressions]
MODULE = "package g\n" + "\n".join(f"r{index} := {expression}" for index, (_, expression) in enumerate(RULES))
UNORDERED = frozenset({"intersection", "object.keys", "union", "walk"})


@pytest.fixture(scope="module")
def machine() -> Machine:
    module = rego.read("m.rego", MODULE)
    return Machine(Program([module], {}, [f"g/r{index}" for index in range(len(RULES))]))


def comparable(name: str, value: Any) -> Any:
    """Sets come out in no order."""
    return sorted(value, key=repr) if name in UNORDERED and isinstance(value, list) else value


@pytest.mark.parametrize("text", PLAIN + UNICODE + ESCAPED)
def test_answers_as_opa_does(text: str, machine: Machine, tmp_path: Path) -> None:
    """Each expression gives OPA's value, or is undefined where OPA's is."""
    document = {"s": text, "l": ["m", text], "o": {text: 1, "k": [text]}}
    kind = spelling(orjson.dumps(text)[1:-1])
    expected = opa_server.evaluate(tmp_path, MODULE, document)
    term = orjson.dumps(document)
    wrong = []
    for index, (name, expression) in enumerate(RULES):
        fits = {"ascii": True, "unescaped": PROVEN[name] != "ascii", "any": PROVEN[name] == "any"}[kind]
        if not fits or (kind == "any" and name == "sprintf" and "[[" in expression):
            continue
        value = machine.evaluate(term, f"g/r{index}")
        got = comparable(name, None if value is UNDEFINED else value)
        if got != (want := comparable(name, expected.get(f"r{index}"))):
            wrong.append((expression, got, want))
    assert wrong == []


def test_every_admitted_builtin_is_put_to_the_proof() -> None:
    """No name is in the table without expressions, but those whose value is never the same."""
    assert set(EXPRESSIONS) == set(PROVEN) - VOLATILE


def test_what_is_refused_for_a_reason_is_not_admitted() -> None:
    """The two tables do not contradict each other."""
    assert not PROVEN.keys() & REASONS.keys()


def test_the_clock_moves() -> None:
    """time.now_ns is the time, in nanoseconds."""
    module = rego.read("m.rego", "package gateway\ndecision := {t | t := time.now_ns(); t > 1700000000000000000}")
    machine = Machine(Program([module], {}, ["gateway/decision"]))
    first, second = machine.evaluate(b"{}"), machine.evaluate(b"{}")
    assert first
    assert first != second
