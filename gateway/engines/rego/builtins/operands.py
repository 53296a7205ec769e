"""Checks of arguments, with the words of OPA."""

from __future__ import annotations

from gateway.engines.rego.errors import TYPE_EVAL, BuiltinError
from gateway.engines.rego.values import Number, Value, is_number, type_name


def wrong(name: str, position: int, value: Value, *wanted: str) -> BuiltinError:
    """The error for an argument that is not of a type that a builtin takes."""
    types = wanted[0] if len(wanted) == 1 else f"one of {{{', '.join(wanted)}}}"
    return BuiltinError(f"{name}: operand {position} must be {types} but got {type_name(value)}", TYPE_EVAL)


def string(name: str, position: int, value: Value) -> str:
    """The argument, which must be a string."""
    if type(value) is not str:
        raise wrong(name, position, value, "string")
    return value


def number(name: str, position: int, value: Value) -> Number:
    """The argument, which must be a number."""
    if not is_number(value):
        raise wrong(name, position, value, "number")
    found: Number = value
    return found


def array(name: str, position: int, value: Value) -> list[Value]:
    """The argument, which must be an array."""
    if type(value) is not list:
        raise wrong(name, position, value, "array")
    return value


def object_(name: str, position: int, value: Value) -> dict[Value, Value]:
    """The argument, which must be an object."""
    if type(value) is not dict:
        raise wrong(name, position, value, "object")
    return value


def set_(name: str, position: int, value: Value) -> set[Value]:
    """The argument, which must be a set."""
    if type(value) is not set:
        raise wrong(name, position, value, "set")
    return value
