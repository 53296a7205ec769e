"""What the infix operators stand for: comparisons, arithmetic, sets, membership, and the parts of template strings.

Numbers that are not whole are computed as OPA does, in binary with a mantissa of 64 bits, and written with as few
digits as tell them apart there. https://pkg.go.dev/math/big#Float
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from gateway.policy.engines.rego.errors import TYPE_EVAL, BuiltinError
from gateway.policy.engines.rego.meter import spend
from gateway.policy.engines.rego.values import UNDEFINED, Number, Value, compare, equal, is_number, key, number, spell

from . import builtin
from .operands import number as number_operand
from .operands import set_, string, wrong

BITS = 64
LARGEST_EXPONENT = 10_000
"""Digits of a number beyond which arithmetic does not go: a power of ten in a policy must not fill the memory."""


@builtin("equal")
def equals(a: Value, b: Value) -> bool:
    """`a == b`."""
    return equal(a, b)


@builtin("neq")
def differs(a: Value, b: Value) -> bool:
    """`a != b`."""
    return not equal(a, b)


@builtin("lt")
def less(a: Value, b: Value) -> bool:
    """`a < b`."""
    return compare(a, b) < 0


@builtin("lte")
def at_most(a: Value, b: Value) -> bool:
    """`a <= b`."""
    return compare(a, b) <= 0


@builtin("gt")
def greater(a: Value, b: Value) -> bool:
    """`a > b`."""
    return compare(a, b) > 0


@builtin("gte")
def at_least(a: Value, b: Value) -> bool:
    """`a >= b`."""
    return compare(a, b) >= 0


@builtin("plus")
def plus(a: Value, b: Value) -> Number:
    """`a + b`."""
    if type(a) is int and type(b) is int:
        return a + b
    x, y = exact(number_operand("plus", 1, a)), exact(number_operand("plus", 2, b))
    return x + y if type(x) is int and type(y) is int else rounded(rounded_64(x) + rounded_64(y))


@builtin("minus")
def minus(a: Value, b: Value) -> Value:
    """`a - b`, of numbers or sets."""
    if type(a) is int and type(b) is int:
        return a - b
    if type(a) is set and type(b) is set:
        return a - b
    if not is_number(a) and type(a) is not set:
        raise wrong("minus", 1, a, "number", "set")
    if not is_number(a) or not is_number(b):
        raise wrong("minus", 2, b, "set" if is_number(b) else "number")
    x, y = exact(a), exact(b)
    return x - y if type(x) is int and type(y) is int else rounded(rounded_64(x) - rounded_64(y))


@builtin("mul")
def times(a: Value, b: Value) -> Number:
    """`a * b`."""
    x, y = exact(number_operand("mul", 1, a)), exact(number_operand("mul", 2, b))
    if type(x) is int and type(y) is int:
        if x.bit_length() + y.bit_length() > 4 * LARGEST_EXPONENT:
            raise BuiltinError("mul: the product has too many digits")
        return x * y
    return rounded(rounded_64(x) * rounded_64(y))


@builtin("div")
def divided(a: Value, b: Value) -> Number:
    """`a / b`."""
    x, y = exact(number_operand("div", 1, a)), exact(number_operand("div", 2, b))
    if y == 0:
        raise BuiltinError("div: divide by zero")
    if type(x) is int and type(y) is int and x % y == 0 and abs(x) < 2**63:
        return x // y
    return rounded(rounded_64(Fraction(x)) / rounded_64(Fraction(y)))


@builtin("rem")
def remainder(a: Value, b: Value) -> int:
    """`a % b`, of whole numbers, with the sign of `a`."""
    x, y = exact(number_operand("rem", 1, a)), exact(number_operand("rem", 2, b))
    if type(x) is not int or type(y) is not int:
        raise BuiltinError("rem: modulo on floating-point number")
    if y == 0:
        raise BuiltinError("rem: modulo by zero")
    found = abs(x) % abs(y)
    return -found if x < 0 else found


@builtin("and")
def both(a: Value, b: Value) -> set[Value]:
    """`a & b`."""
    return set_("and", 1, a) & set_("and", 2, b)


@builtin("or")
def either(a: Value, b: Value) -> set[Value]:
    """`a | b`."""
    return set_("or", 1, a) | set_("or", 2, b)


@builtin("internal.member_2")
def has(value: Value, container: Value) -> bool:
    """`value in container`."""
    kind = type(container)
    if kind is set:
        return key(value) in container
    if kind is list or kind is dict:
        spend(len(container) >> 3)
    if kind is list:
        if type(value) is str:
            return value in container
        return any(equal(value, item) for item in container)
    if kind is dict:
        return any(equal(value, item) for item in container.values())
    return False


@builtin("internal.member_3")
def has_at(name: Value, value: Value, container: Value) -> bool:
    """`name, value in container`."""
    kind = type(container)
    if kind is dict:
        found = container.get(key(name), UNDEFINED)
        return found is not UNDEFINED and equal(found, value)
    if kind is list:
        at = index(name, len(container))
        return at >= 0 and equal(container[at], value)
    if kind is set:
        return key(name) in container and equal(name, value)
    return False


@builtin("internal.template_string")
def template(parts: Value) -> str:
    """A template string; a part that is undefined comes as an empty set, any other as a set of one."""
    return "".join(part if type(part) is str else filled(part) for part in parts)


@builtin("trace")
def trace(note: Value) -> bool:
    """`trace(note)`: holds; nothing is kept of the note."""
    string("trace", 1, note)
    return True


def filled(part: Value) -> str:
    """What stands in a template for a value."""
    if type(part) is set:
        if not part:
            return "<undefined>"
        (form,) = part
        part = getattr(form, "value", form)
    return part if type(part) is str else spell(part)


def index(value: Value, size: int) -> int:
    """A position in an array of a size, or -1 for what is none."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < size else -1


def exact(value: Number) -> int | Fraction:
    """A number without rounding; an `int` if it is whole."""
    if type(value) is int:
        return value
    found = Decimal(repr(value)) if type(value) is float else value
    assert isinstance(found, Decimal)
    if abs(found.adjusted()) > LARGEST_EXPONENT:
        raise BuiltinError("the number has too many digits", TYPE_EVAL)
    fraction = Fraction(found)
    return fraction.numerator if fraction.denominator == 1 else fraction


def rounded_64(value: int | Fraction) -> Fraction:
    """The nearest number with a mantissa of 64 bits."""
    value = Fraction(value)
    if not value:
        return value
    shift = BITS - (abs(value.numerator).bit_length() - value.denominator.bit_length())
    scaled = value * Fraction(2) ** shift
    while abs(scaled) >= 2**BITS:
        scaled /= 2
        shift -= 1
    while abs(scaled) < 2 ** (BITS - 1):
        scaled *= 2
        shift += 1
    return Fraction(round(scaled)) / Fraction(2) ** shift


def rounded(value: Fraction) -> Number:
    """A result, rounded to 64 bits, with the fewest digits that come to the same."""
    value = rounded_64(value)
    if value.denominator == 1 and abs(value) < 2**BITS:
        return value.numerator
    sign, size = ("-", -value) if value < 0 else ("", value)
    exponent = len(str(size.numerator)) - len(str(size.denominator))
    if Fraction(10) ** exponent > size:
        exponent -= 1
    for digits in range(1, 22):
        scale = Fraction(10) ** (digits - 1 - exponent)
        mantissa = round(size * scale)
        if rounded_64(Fraction(mantissa) / scale) == size:
            if value.denominator == 1:
                return int(sign + str(mantissa) + "0" * (exponent + 1 - digits))
            return number(f"{sign}{mantissa}e{exponent + 1 - digits}")
    raise AssertionError("21 digits tell all numbers of 64 bits apart")
