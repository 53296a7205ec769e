"""Rego v1, compiled to Python: a library of its own.

    program = compile_bundle({"policy.rego": source}, {"roles": {...}})
    decision = program.evaluate(("data", "gateway", "decision"), program.env({"subject": ...}))

Raises RegoError with OPA's codes for what OPA would not compile, EvaluationError for what has no result. Values are
those of `values`: an input is plain JSON.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.policy.engines.rego.errors import PARSE, TOO_DEEP, EvaluationError, Problem, RegoError, TooLong
from gateway.policy.engines.rego.parser import parse
from gateway.policy.engines.rego.program import Program
from gateway.policy.engines.rego.values import UNDEFINED, Value

__all__ = ["UNDEFINED", "EvaluationError", "Problem", "Program", "RegoError", "TooLong", "compile_bundle"]


def compile_bundle(
    modules: Mapping[str, str],
    data: dict[str, Value] | None = None,
    *,
    strict: bool = False,
    optimize: bool = True,
) -> Program:
    """Compile modules (name of the file -> source). Raises RegoError with every problem.

    With `strict`, imports, variables and arguments that are not used are problems too, as with `opa check --strict`.
    Without `optimize`, each expression is evaluated as it is written: no index, no constants out of data.
    """
    parsed, problems = [], []
    for file, source in modules.items():
        try:
            parsed.append(parse(file, source))
        except RegoError as error:
            problems += error.problems
    if problems:
        raise RegoError(problems)
    try:
        return Program(parsed, data or {}, strict=strict, optimize=optimize)
    except RecursionError:  # of names with hundreds of parts; where single rules are to blame, they are named
        raise RegoError([Problem(PARSE, TOO_DEEP, parsed[0].at)]) from None
