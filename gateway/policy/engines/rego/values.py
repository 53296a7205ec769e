"""How values of Rego are represented in Python.

| Rego    | Python                                                                                          |
|---------|-------------------------------------------------------------------------------------------------|
| null    | `None`                                                                                          |
| boolean | `bool`                                                                                          |
| number  | `int` of any size, `float`, or `Decimal` where a float would round the digits that were written |
| string  | `str`                                                                                           |
| array   | `list`                                                                                          |
| object  | `dict`; each key is in *key form*                                                               |
| set     | `set`; each element is in *key form*                                                            |

So the output of a JSON parser is a value, and an input is not converted. Values are never changed: who needs another
value makes a new list, dict or set.

**Key form** is what may be hashed: `key(value)` of a string, a number or null is the value itself; of anything else it
is a `Key`, which has the value as `.value`. `unkey(k)` gives the value back. Python takes `True` for `1`: within
containers the key form keeps them apart, elsewhere `equal` does. `a == b` alone is right for two strings and two sets,
and where one of both is known to be a string.

    elements = [unkey(k) for k in some_set]           # or items_of(some_set), in OPA's order
    made = {key(element) for element in elements}
    value = some_object.get(key(k), UNDEFINED)        # some_object.get(k) where k is known to be a string

`compare` is the total order of OPA: null < false < true < numbers < strings < arrays < objects < sets;
`ordered(values)` sorts by it, `keys_of(container)` gives the keys of an object or the elements of a set in it. OPA
iterates in this order, so a builtin whose result depends on the order of a set or an object uses these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from functools import cmp_to_key
from typing import Any, Final

from gateway.policy.engines.rego.meter import RUNNING, Meter, spend

Number = int | float | Decimal
Value = Any
"""A value of Rego; see above. (It cannot be spelled as a type of its own: containers hold any of them.)"""


class Undefined:
    """The one value of `UNDEFINED`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "undefined"

    def __bool__(self) -> bool:
        return False


MOST_EXPONENT = 30_000
"""Digits before or behind the point that a number may have."""
UNDEFINED: Final = Undefined()
"""What an expression, a rule or a builtin has for a value where it has none."""


class Key(tuple[Any, ...]):
    """The key form of a boolean, an array, an object or a set: equal and hashed as the value is."""

    value: Value

    def __lt__(self, other: object) -> bool:
        return compare(self.value, unkey(other)) < 0

    def __gt__(self, other: object) -> bool:
        return compare(self.value, unkey(other)) > 0


def _key(marks: tuple[Any, ...], value: Value) -> Key:
    made = Key(marks)
    made.value = value
    return made


TRUE: Final = _key(("b", True), True)
FALSE: Final = _key(("b", False), False)
_PLAIN: Final = frozenset({str, int, float, Decimal, type(None)})


def key(value: Value) -> Any:
    """The key form of a value."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is bool:
        return TRUE if value else FALSE
    spend(len(value))
    if kind is list:
        return _key(("[", *map(key, value)), value)
    if kind is dict:
        return _key(("{", frozenset([(name, key(item)) for name, item in value.items()])), value)
    return _key(("s", frozenset(value)), value)


def unkey(form: Any) -> Value:
    """The value of a key form."""
    return form.value if type(form) is Key else form


def equal(a: Value, b: Value) -> bool:
    """Whether two values are equal in Rego: `1` and `1.0` are, `1` and `true` are not."""
    kind = type(a)
    if kind is not type(b):
        return (kind in _NUMBERS and type(b) in _NUMBERS) and bool(a == b)
    if a is b:
        return True
    if kind is list:
        if len(a) != len(b):
            return False
        spend(len(a))
        return all(map(equal, a, b))
    if kind is dict:
        if len(a) != len(b):
            return False
        spend(len(a))
        for name, item in a.items():
            other = b.get(name, UNDEFINED)
            if not (item is other or equal(item, other)):
                return False
        return True
    return bool(a == b)


_NUMBERS: Final = frozenset({int, float, Decimal})


def is_number(value: Value) -> bool:
    """Whether a value is a number; a boolean is none."""
    return type(value) in _NUMBERS


_RANK: Final = {type(None): 0, bool: 1, int: 2, float: 2, Decimal: 2, str: 3, list: 7, dict: 8, set: 9}


def compare(a: Value, b: Value) -> int:
    """-1, 0 or 1 by OPA's order of all values."""
    rank = _RANK[type(a)]
    other = _RANK[type(b)]
    if rank != other:
        return -1 if rank < other else 1
    if rank <= 3:
        return 0 if rank == 0 or a == b else -1 if a < b else 1
    if a is b:
        return 0
    spend(len(a) + len(b))
    if rank == 7:
        return _compare_lists(a, b)
    if rank == 8:
        return _compare_lists(_flat(a), _flat(b))
    return _compare_lists(items_of(a), items_of(b))


def _compare_lists(a: list[Value], b: list[Value]) -> int:
    for one, other in zip(a, b, strict=False):
        found = compare(one, other)
        if found:
            return found
    return (len(a) > len(b)) - (len(a) < len(b))


def _flat(value: dict[Any, Value]) -> list[Value]:
    found = []
    for name in keys_of(value):
        found += [unkey(name), value[name]]
    return found


_ORDER: Final = cmp_to_key(compare)


def ordered(values: Iterable[Value]) -> list[Value]:
    """Values in OPA's order."""
    return sorted(values, key=_ORDER)


def keys_of(container: dict[Any, Value] | set[Any]) -> list[Any]:
    """The keys of an object or the elements of a set, in key form, in OPA's order."""
    try:
        return sorted(container)
    except TypeError:  # of different types
        return sorted(container, key=lambda form: _ORDER(unkey(form)))


def items_of(container: set[Any]) -> list[Value]:
    """The elements of a set as values, in OPA's order."""
    return [unkey(form) for form in keys_of(container)]


def type_name(value: Value) -> str:
    """What OPA calls the type of a value."""
    return _NAMES[type(value)]


_NAMES: Final = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    Decimal: "number",
    str: "string",
    list: "array",
    dict: "object",
    set: "set",
}


def number(text: str) -> Number:
    """The number that a text is. Raises ValueError for any other text."""
    try:
        return int(text)
    except ValueError:
        found = float(text)
    exact = Decimal(text)
    if exact and abs(exact.adjusted()) > MOST_EXPONENT:
        raise ValueError("the exponent of a number is too large")
    if found in (float("inf"), float("-inf")) or Decimal(repr(found)) != exact:
        return exact
    return found


def number_text(value: Number) -> str:
    """The digits of a number as OPA writes them."""
    if type(value) is float:
        if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
        text = repr(value)
        mantissa, e, exponent = text.partition("e")
        if e and exponent[0] not in "+-":
            exponent = "+" + exponent
        return mantissa + e + exponent
    return str(value)


def from_json(text: str | bytes) -> Value:
    """A value from JSON, with every digit of its numbers. Raises ValueError, RecursionError."""
    found = json.loads(text, parse_float=number, parse_constant=_no_constant)
    halves = _HALF.search(text if isinstance(text, str) else text.decode("latin-1"))
    return _paired(found) if halves else found


_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")


def _paired(value: Value) -> Value:
    """Halves of a character of UTF-16 that have no other half are replaced, as in OPA."""
    if type(value) is str:
        return paired(value)
    if type(value) is list:
        return [_paired(item) for item in value]
    if type(value) is dict:
        return {paired(name): _paired(item) for name, item in value.items()}
    return value


def paired(text: str) -> str:
    """A text in which surrogates that have no partner are replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _no_constant(text: str) -> Value:
    raise ValueError(f"{text} is no JSON")


def to_json(value: Value) -> Value:
    """A value as JSON has it: sets become lists in OPA's order, keys strings. Plain parts are shared, not copied."""
    return _to_json(value, RUNNING.meter)


def _to_json(value: Value, meter: Meter | None) -> Value:
    kind = type(value)
    if kind is str:
        return value
    if kind is dict or kind is list or kind is set:
        if meter is not None:
            meter.left -= 1 + len(value)
            if meter.left < 0:
                meter.spent()
        if kind is dict:
            return {
                name if type(name) is str else _json_key(name): _to_json(item, meter) for name, item in value.items()
            }
        if not value:
            return []
        return [_to_json(item, meter) for item in (value if kind is list else items_of(value))]
    return float(value) if kind is Decimal else value


def _json_key(form: Any) -> str:
    return form if type(form) is str else dumps(unkey(form))


def dumps(value: Value) -> str:
    """JSON text as OPA marshals it: no spaces, keys in order, `<`, `>` and `&` escaped."""
    text = _dumps(value)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _dumps(value: Value) -> str:
    kind = type(value)
    if kind is str:
        return _string(value)
    if kind is dict or kind is list or kind is set:
        spend(1 + len(value))
    if kind is dict:
        members = sorted(((_json_key(name), item) for name, item in value.items()), key=lambda pair: pair[0])
        return "{" + ",".join(f"{_string(name)}:{_dumps(item)}" for name, item in members) + "}"
    if kind is list:
        return "[" + ",".join(map(_dumps, value)) + "]"
    if kind is set:
        return "[" + ",".join(map(_dumps, items_of(value))) + "]"
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    return number_text(value)


def _string(text: str) -> str:
    spend(len(text) >> 6)
    found = json.dumps(text, ensure_ascii=False)
    return found.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def spell(value: Value) -> str:
    """A value as Rego writes it, which is how OPA puts it into messages: `{"a": 1}`, `{1, 2}`, `set()`."""
    kind = type(value)
    if kind is dict or kind is list or kind is set:
        spend(1 + len(value))
    if kind is dict:
        return "{" + ", ".join(f"{spell(unkey(name))}: {spell(value[name])}" for name in keys_of(value)) + "}"
    if kind is list:
        return "[" + ", ".join(map(spell, value)) + "]"
    if kind is set:
        return "{" + ", ".join(map(spell, items_of(value))) + "}" if value else "set()"
    return _dumps(value)
