"""Every builtin with unexpected arguments: a value, undefined, or one of OPA's errors, and no other exception."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.policy.engines.rego import UNDEFINED, EvaluationError, compile_bundle
from gateway.policy.engines.rego.builtins import table
from gateway.policy.engines.rego.builtins.signatures import SIGNATURES
from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.meter import RUNNING, Meter
from gateway.policy.engines.rego.runtime import Env
from gateway.policy.engines.rego.values import key, to_json

TEXTS = (
    "", "a", "a.b", "%s %d", "%[1]*[2]d", "9" * 5000, "-1", "1e400", "0x", "1_0", "inf", "²", "١", "é", "\x00",
    "10.0.0.0/8", "::1", "2021-01-01T00:00:00Z", "2006 2006", "RFC3339", "America/New_York", "../etc/passwd", "1.2.3",
    "10Ki", "{", "[", "[" * 3000, "(a", "a*", "{{.a}}", "{{", '{"a":1}', "a: &x [*x]", "$", "${a", "~2", "/a/0", "/a/-",
    "HS256", "eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.AAAA", "e30.e30.",
    "\u0301", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 3, 64, -5, 10**25, -(10**25), 10**400, 1.5, -0.0, 1e308, 1e-320, 2**31, 2**63)
NAMES = ("a", "b", "op", "path", "value", "alg", "kty", "secret", "type")
PROGRAM = compile_bundle({"m.rego": "package m\n\nr := 1\n"})
OTHERS = {name: one for name, one in table().items() if not name.startswith("internal.")}


def value(rng: random.Random, depth: int = 2) -> Any:
    """Any value of Rego."""
    kind = rng.randrange(10 if depth else 7)
    if kind < 4:
        return rng.choice(TEXTS)
    if kind < 6:
        return rng.choice(NUMBERS)
    if kind == 6:
        return rng.choice([None, True, False])
    inner = [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 7:
        return inner
    if kind == 8:
        return {rng.choice(NAMES) if rng.random() < 0.8 else key(one): one for one in inner}
    return set(map(key, inner))


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_any_arguments(name: str) -> None:
    """Only this kind of error is raised, within the budget."""
    rng = random.Random(name)
    builtin = OTHERS[name]
    for _ in range(60):
        args = [value(rng) for _ in range(arity(name))]
        meter = Meter(2_000_000, float("inf"))
        env = Env(PROGRAM, {}, {}, meter, 0, strict=True)
        RUNNING.meter = meter
        try:
            made = builtin.call(env, *args) if builtin.context else builtin.call(*args)
        except (BuiltinError, EvaluationError):
            continue
        finally:
            RUNNING.meter = None
        assert made is UNDEFINED or builtin.relation or to_json(made) == to_json(made)


def test_a_fault_shows_no_value() -> None:
    """An unexpected exception in a builtin ends the evaluation with OPA's code for it."""
    program = compile_bundle({"m.rego": "package m\n\nr := base64.encode(input.x)\n"})
    with pytest.raises(EvaluationError) as caught:
        program.document(("data", "m", "r"), program.env({"x": "held\ud800"}))
    assert caught.value.code == "eval_internal_error"
    assert "held" not in str(caught.value)


def arity(name: str, signatures: Mapping[str, Any] = SIGNATURES) -> int:
    """The number of arguments of a builtin."""
    inside = signatures[name].partition(" -> ")[0].strip("()")
    depth, count = 0, 1 if inside else 0
    for sign in inside:
        depth += (sign in "[<{(") - (sign in "]>})")
        count += sign == "," and depth == 0
    return count
