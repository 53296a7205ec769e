"""Rego compiled in-process, by rego-cpp through regopy: the one place that talks to the interpreter.

Evaluating releases the GIL. It cannot be interrupted, but the interpreter counts its statements and gives up at a
limit, ten million unless another is set. A `Program` is compiled once and may be evaluated by many threads; a
`Machine`, which holds the input, belongs to one of them.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
import regopy
from regopy import rego_shared

from gateway.engines.adapt import Names, adapted
from gateway.engines.base import ENTRYPOINT
from gateway.engines.outline import Module
from gateway.errors import ConfigError

# The interpreter reports to stderr as well; what it says is in the exception.
regopy.set_default_log_level("None")

_ERROR = re.compile(r"\(error \d+:(?P<file>[^|]*)\|(?P<at>\d+)\|\d+\s+\(errormsg \d+:(?P<words>[^)]*)\)")
UNDEFINED = object()
_C = rego_shared.rego
# regopy has no name for the limit, so it is the library's own, `rego::Interpreter::stmt_limit`, where it is exported.
_SET_LIMIT, _GET_LIMIT = "_ZN4rego11Interpreter10stmt_limitEm", "_ZNK4rego11Interpreter10stmt_limitEv"
_MESSAGE, _CODE = 1801, 1803  # kinds of nodes in the tree of an error


class EvaluationError(Exception):
    """The interpreter gave no answer: why, in its own words."""


class TooLong(EvaluationError):
    """The statements that the evaluation may take were not enough."""


class Program:
    """Modules and data, compiled for some entry points."""

    __slots__ = ("compiled",)

    def __init__(
        self, modules: Sequence[Module], data: Mapping[str, Any], entrypoints: Iterable[str], *, test: bool = False
    ) -> None:
        interpreter = regopy.Interpreter()
        names = Names(modules, data)
        sources = {module.file: adapted(module, names, test=test) for module in modules}
        try:
            for file, source in sources.items():
                interpreter.add_module(file, source)
            interpreter.add_data_json(orjson.dumps(dict(data)).decode())
            self.compiled = interpreter.build(None, list(entrypoints))
        except regopy.RegoError as error:
            raise ConfigError(_explain(str(error), sources)) from None


class Machine:
    """Evaluates a program; for one thread at a time. `limit`: statements that one evaluation may take.

    `limited` says whether the limit holds: an interpreter built otherwise may not have it.
    """

    __slots__ = ("_interpreter", "_program", "limited")

    def __init__(self, program: Program, limit: int | None = None) -> None:
        self._program = program
        self._interpreter = regopy.Interpreter()
        self.limited = limit is not None and _limit(self._interpreter._impl, limit)

    def evaluate(self, term: bytes, entrypoint: str = ENTRYPOINT) -> object:
        """The value of an entry point for an input in JSON, or UNDEFINED. Raises EvaluationError."""
        try:
            self._set_input(term)
            # regopy.Output would fetch and parse the text twice.
            output = rego_shared.rego_bundle_query_entrypoint(
                self._interpreter._impl, self._program.compiled._impl, entrypoint
            )
        except regopy.RegoError as error:
            raise EvaluationError(_words(str(error))) from None
        if not output:
            raise EvaluationError(f"the bundle has no rule {entrypoint.replace('/', '.')}")
        try:
            if not rego_shared.rego_output_ok(output):
                raise _problem(_C.regoOutputNode(output))
            text = rego_shared.rego_output_string(output)
        finally:
            rego_shared.rego_free_output(output)
        return _value(text)

    def _set_input(self, term: bytes) -> None:
        """Building the input value by value is six times faster than having its text parsed.

        But it leaves strings as they are, where the interpreter wants them spelled as in JSON (a quote would change the
        document, a NUL end it), rounds fractions and cuts integers to 64 bits. What holds any of these is parsed.
        """
        given = rego_shared.rego_new_input()
        try:
            if b"\\" not in term and _add(given, orjson.loads(term)):
                rego_shared.rego_set_input(self._interpreter._impl, given)
                return
        finally:
            rego_shared.rego_free_input(given)
        self._interpreter.set_input_term(term.decode())


def _limit(interpreter: Any, statements: int) -> bool:
    """Set the limit of an interpreter; False if it cannot be set."""
    setter, getter = getattr(_C, _SET_LIMIT, None), getattr(_C, _GET_LIMIT, None)
    if setter is None or getter is None:
        return False
    setter.argtypes, setter.restype = [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_void_p
    getter.argtypes, getter.restype = [ctypes.c_void_p], ctypes.c_size_t
    setter(interpreter, statements)
    return bool(getter(interpreter) == statements)


def _problem(node: Any) -> EvaluationError:
    """What went wrong, from the tree that stands in the place of a result."""
    found = {kind: value for kind, value in reversed(list(_leaves(node))) if kind in (_MESSAGE, _CODE)}
    words = found.get(_MESSAGE) or "no reason given"
    return TooLong(words) if found.get(_CODE) == "timeout_error" else EvaluationError(words)


def _leaves(node: Any) -> Iterator[tuple[int, str]]:
    count = _C.regoNodeSize(node)
    if not count:
        yield int(_C.regoNodeType(node)), rego_shared.rego_node_value(node)
    for index in range(count):
        yield from _leaves(_C.regoNodeGet(node, index))


def _add(given: Any, value: Any) -> bool:
    """Push a value; False where it cannot be pushed exactly. The calls are regopy's own, without its copies."""
    kind = type(value)
    if kind is str:
        _C.regoInputString(given, value.encode())
    elif kind is dict:
        for key, item in value.items():
            _C.regoInputString(given, key.encode())
            if not _add(given, item):
                return False
            _C.regoInputObjectItem(given)
        _C.regoInputObject(given, len(value))
    elif kind is list:
        for item in value:
            if not _add(given, item):
                return False
        _C.regoInputArray(given, len(value))
    elif kind is bool:
        _C.regoInputBoolean(given, value)
    elif kind is int and -(2**63) <= value < 2**63:
        _C.regoInputInt(given, value)
    elif value is None:
        _C.regoInputNull(given)
    else:
        return False
    return True


def _value(text: str) -> object:
    if text == "undefined":
        return UNDEFINED
    try:
        (value,) = orjson.loads(text)["expressions"]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        # A compile error that shows only now (recursion, an unknown function), or a conflict between rules.
        raise EvaluationError(_words(text)) from None
    return value


def _words(text: str) -> str:
    """What an error says, without the tree around it."""
    found = _ERROR.search(text)
    if found:
        return found["words"]
    return " ".join(text.split())[:200] or "no reason given"


def _explain(text: str, sources: Mapping[str, str]) -> str:
    """`file:line: words` from an error of the compiler."""
    found = _ERROR.search(text)
    if not found:
        return f"the policies do not compile: {_words(text)}"
    line = sources.get(found["file"], "").encode()[: int(found["at"])].count(b"\n") + 1
    return f"{found['file']}:{line}: {found['words']}"
