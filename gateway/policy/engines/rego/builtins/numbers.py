"""Numbers, bits, and texts that are numbers."""

from __future__ import annotations

import math
import random
import re
from decimal import Decimal
from fractions import Fraction

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.operands import integer, number, string, wrong
from gateway.policy.engines.rego.builtins.operators import exact, rounded
from gateway.policy.engines.rego.errors import TYPE_EVAL, BuiltinError
from gateway.policy.engines.rego.values import Number, Value
from gateway.policy.engines.rego.values import number as number_of

MOST_BITS = 100_000
MOST_EXPONENT = 1000


@builtin("abs")
def abs_(value: Value) -> Number:
    found = number("abs", 1, value)
    return -found if found < 0 else found


@builtin("round")
def round_(value: Value) -> int:
    found = exact(number("round", 1, value))
    half = Fraction(1, 2)
    return int(found + half) if found >= 0 else int(found - half)


@builtin("ceil")
def ceil(value: Value) -> int:
    return math.ceil(exact(number("ceil", 1, value)))


@builtin("floor")
def floor(value: Value) -> int:
    return math.floor(exact(number("floor", 1, value)))


@builtin("numbers.range", context=True)
def range_(context: Context, start: Value, end: Value) -> list[Value]:
    a, b = integer("numbers.range", 1, start), integer("numbers.range", 2, end)
    context.tick(abs(a - b))
    return list(range(a, b + 1)) if a <= b else list(range(a, b - 1, -1))


@builtin("numbers.range_step", context=True)
def range_step(context: Context, start: Value, end: Value, step: Value) -> list[Value]:
    name = "numbers.range_step"
    a, b, by = integer(name, 1, start), integer(name, 2, end), integer(name, 3, step)
    if by <= 0:
        raise BuiltinError(f"{name}: step must be a positive number above zero")
    context.tick(abs(a - b) // by)
    return list(range(a, b + 1, by)) if a <= b else list(range(a, b - 1, -by))


@builtin("format_int")
def format_int(value: Value, base: Value) -> str:
    found = int(exact(number("format_int", 1, value)))
    radix = number("format_int", 2, base)
    digits = {2: "b", 8: "o", 10: "d", 16: "x"}.get(int(radix) if radix == int(radix) else 0)
    if digits is None:
        raise BuiltinError("format_int: operand 2 must be one of {2, 8, 10, 16}", TYPE_EVAL)
    return format(found, digits)


_NUMBER = re.compile(r"[+-]?(\d++(\.\d*+)?|\.\d++)([eE][+-]?\d++)?", re.ASCII)
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


@builtin("to_number")
def to_number(value: Value) -> Number:
    if value is None:
        return 0
    if type(value) is bool:
        return int(value)
    if type(value) is not str:
        if type(value) in (int, float, Decimal):
            found: Number = value
            return found
        raise wrong("to_number", 1, value, "null", "boolean", "number", "string")
    if value.lstrip("+-").lower() in ("inf", "infinity", "nan"):
        raise wrong("to_number", 1, value, "valid number string")
    if not _NUMBER.fullmatch(value):
        raise BuiltinError(f'to_number: strconv.ParseFloat: parsing "{value}": invalid syntax')
    if not math.isfinite(float(value)):
        raise BuiltinError(f'to_number: strconv.ParseFloat: parsing "{value}": value out of range')
    return number_of(value)


def _bits(name: str, position: int, value: Value) -> int:
    return integer(name, position, value)


@builtin("bits.and")
def bits_and(a: Value, b: Value) -> int:
    return _bits("bits.and", 1, a) & _bits("bits.and", 2, b)


@builtin("bits.or")
def bits_or(a: Value, b: Value) -> int:
    return _bits("bits.or", 1, a) | _bits("bits.or", 2, b)


@builtin("bits.xor")
def bits_xor(a: Value, b: Value) -> int:
    return _bits("bits.xor", 1, a) ^ _bits("bits.xor", 2, b)


@builtin("bits.negate")
def bits_negate(a: Value) -> int:
    return ~_bits("bits.negate", 1, a)


@builtin("bits.lsh")
def bits_lsh(a: Value, by: Value) -> int:
    value, shift = _bits("bits.lsh", 1, a), _shift("bits.lsh", by)
    if shift > MOST_BITS:
        raise BuiltinError("bits.lsh: the result has too many digits")
    return value << shift


@builtin("bits.rsh")
def bits_rsh(a: Value, by: Value) -> int:
    return _bits("bits.rsh", 1, a) >> _shift("bits.rsh", by)


def _shift(name: str, by: Value) -> int:
    shift = _bits(name, 2, by)
    if shift < 0:
        raise BuiltinError(
            f"{name}: operand 2 must be an unsigned integer number but got a negative integer", TYPE_EVAL
        )
    return shift


@builtin("rand.intn", context=True, volatile=True)
def intn(context: Context, seed: Value, most: Value) -> int:
    name = string("rand.intn", 1, seed)
    limit = abs(integer("rand.intn", 2, most))
    if limit == 0:
        return 0
    known = ("rand.intn", name, limit)
    if known not in context.cache:
        context.cache[known] = random.randrange(limit)  # noqa: S311 (OPA's is no secret either)
    found: int = context.cache[known]
    return found


_UNITS: dict[str, int | Fraction] = {
    "": 1,
    "m": Fraction(1, 1000),
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "E": 10**18,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
    "pi": 2**50,
    "ei": 2**60,
}
_BYTES = {
    "": 1,
    "k": 10**3,
    "kb": 10**3,
    "m": 10**6,
    "mb": 10**6,
    "g": 10**9,
    "gb": 10**9,
    "t": 10**12,
    "tb": 10**12,
    "p": 10**15,
    "pb": 10**15,
    "e": 10**18,
    "eb": 10**18,
    "ki": 2**10,
    "kib": 2**10,
    "mi": 2**20,
    "mib": 2**20,
    "gi": 2**30,
    "gib": 2**30,
    "ti": 2**40,
    "tib": 2**40,
    "pi": 2**50,
    "pib": 2**50,
    "ei": 2**60,
    "eib": 2**60,
}


MOST_DIGITS = 10_000
"""Digits of an amount: the time to read them grows with their square."""


def _measured(name: str, value: Value) -> tuple[str, str]:
    text = string(name, 1, value).replace('"', "")
    if not text:
        raise BuiltinError(f"{name}: no amount provided")
    if " " in text:
        raise BuiltinError(f"{name}: spaces not allowed in resource strings")
    match = re.match(r"[-+0-9.]*([eE][-+]?[0-9]+)?", text)
    assert match is not None
    amount, unit = match[0], text[match.end() :]
    if not amount:
        raise BuiltinError(f"{name}: no amount provided")
    if not _NUMBER.fullmatch(amount):
        raise BuiltinError(f"{name}: could not parse amount to a number")
    digits, _, exponent = amount.lower().partition("e")
    if len(digits) > MOST_DIGITS:
        raise BuiltinError(f"{name}: too many digits")
    if len(exponent.lstrip("+-0")) > 4 or abs(int(exponent or 0)) > MOST_EXPONENT:
        raise BuiltinError(f"{name}: exponent too large")
    return amount, unit


@builtin("units.parse")
def units_parse(value: Value) -> Number:
    amount, unit = _measured("units.parse", value)
    named = unit.lower() if len(unit) == 2 else unit if unit in ("m", "M") else unit.upper()
    if named == "K":
        named = "k"
    factor = _UNITS.get(named)
    if factor is None:
        raise BuiltinError(f"units.parse: unit {unit} not recognized")
    found = Fraction(Decimal(amount)) * factor
    return found.numerator if found.denominator == 1 else rounded(found)


@builtin("units.parse_bytes")
def units_parse_bytes(value: Value) -> int:
    amount, unit = _measured("units.parse_bytes", value)
    factor = _BYTES.get(unit.lower())
    if factor is None:
        raise BuiltinError(f"units.parse_bytes: byte unit {unit} not recognized")
    return int(Fraction(Decimal(amount)) * factor)
