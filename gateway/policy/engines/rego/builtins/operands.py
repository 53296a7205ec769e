"""Checks of arguments, with OPA's error messages."""

from __future__ import annotations

from gateway.policy.engines.rego.errors import TYPE_EVAL, BuiltinError
from gateway.policy.engines.rego.values import Number, Value, is_number, items_of, type_name


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


def element(name: str, position: int, whole: Value, value: Value, *wanted: str) -> BuiltinError:
    """The error for an argument that holds something of a wrong type."""
    kind = type_name(whole)
    types = f"{wanted[0]}s" if len(wanted) == 1 else f"(any of) {{{', '.join(wanted)}}}"
    words = f"{name}: operand {position} must be {kind} of {types} but got {kind} containing {type_name(value)}"
    return BuiltinError(words, TYPE_EVAL)


def integer(name: str, position: int, value: Value) -> int:
    """The argument, which must be a whole number."""
    found = number(name, position, value)
    if type(found) is int:
        return found
    if found == int(found):
        return int(found)
    raise BuiltinError(f"{name}: operand {position} must be integer number but got floating-point number", TYPE_EVAL)


def members(name: str, position: int, value: Value, *wanted: str) -> list[Value]:
    """The items of an array, or of a set in OPA's order."""
    if type(value) is list:
        return value
    if type(value) is set:
        return items_of(value)
    raise wrong(name, position, value, *(wanted or ("array", "set")))


def strings(name: str, position: int, value: Value, *wanted: str) -> list[str]:
    """The strings of an array or a set."""
    found = members(name, position, value, *wanted)
    for item in found:
        if type(item) is not str:
            raise element(name, position, value, item, "string")
    return found
