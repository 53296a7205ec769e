"""Errors, with OPA's codes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

PARSE = "rego_parse_error"
COMPILE = "rego_compile_error"
TYPE = "rego_type_error"
UNSAFE = "rego_unsafe_var_error"
RECURSION = "rego_recursion_error"
CONFLICT = "eval_conflict_error"
BUILTIN = "eval_builtin_error"
TYPE_EVAL = "eval_type_error"
INTERNAL = "eval_internal_error"
CANCEL = "eval_cancel_error"
TOO_DEEP = "max recursion depth exceeded"
"""OPA's words for a policy that is nested too deeply."""


class Location(NamedTuple):
    """Where in the sources: line and column count from 1."""

    file: str
    row: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.row}"


class Problem(NamedTuple):
    """One error of a bundle."""

    code: str
    message: str
    at: Location
    details: tuple[str, ...] = ()
    """What was found and what is wanted, of errors of types."""

    def __str__(self) -> str:
        return "\n\t".join([f"{self.at}: {self.code}: {self.message}", *self.details])


def near(name: str, known: Iterable[str]) -> str:
    """`; did you mean `startswith`?` where a known name is near, "" where none is."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f"; did you mean `{found[0]}`?" if found else ""


class RegoError(Exception):
    """The modules do not compile: one or more problems, in order of their place."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.at)
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def code(self) -> str:
        """The code of the first problem."""
        return self.problems[0].code


class EvaluationError(Exception):
    """An evaluation failed: OPA's code, and the place in the sources if it is known."""

    def __init__(self, code: str, message: str, at: Location | None = None) -> None:
        self.code, self.message, self.at = code, message, at
        super().__init__(f"{at}: {code}: {message}" if at else f"{code}: {message}")


class BuiltinError(Exception):
    """A builtin has no value for its arguments. The expression is undefined, or an error in strict mode.

    `code` is BUILTIN, or TYPE_EVAL where an argument is not of a type that the builtin takes.
    """

    def __init__(self, message: str, code: str = BUILTIN) -> None:
        self.code, self.message = code, message
        super().__init__(message)


class Halt(EvaluationError):
    """A builtin error that ends the evaluation whether strict or not."""


class TooLong(EvaluationError):
    """An evaluation used up its steps, its time or its memory."""

    def __init__(self, message: str) -> None:
        super().__init__(CANCEL, message)
