"""The types of Rego, as OPA's type checker knows them: unions, arrays and objects with known parts, functions.

`None` in the place of a type means that nothing is known. https://www.openpolicyagent.org/docs/policy-language#types
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from gateway.policy.engines.rego.values import Value, key, spell, unkey

MOST_PARTS = 20_000
"""Parts of a type beyond which it is taken for any: `[a, a]` within itself forty times has a type that never ends."""


class Type:
    """A type. `order` sorts types and tells whether two are the same; `size` is the number of its parts.

    `partly` says that a part is not known.
    """

    __slots__ = ("order", "partly", "size")
    order: tuple[Any, ...]
    partly: bool
    size: int

    def made_of(self, *parts: Type | None) -> None:
        """Set what follows from the parts."""
        self.size = 1 + sum([1 if part is None else part.size for part in parts])
        self.partly = any(part is None or part.partly for part in parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and self.order == other.order

    def __hash__(self) -> int:
        return hash(self.order)


class Atom(Type):
    """null, boolean, number, string."""

    __slots__ = ("name",)

    def __init__(self, name: str, rank: int) -> None:
        self.name, self.order = name, (rank,)
        self.made_of()

    def __str__(self) -> str:
        return self.name


class Array(Type):
    """The types of the first items, and that of all others."""

    __slots__ = ("dynamic", "static")

    def __init__(self, static: Iterable[Type | None], dynamic: Type | None = None) -> None:
        self.static, self.dynamic = tuple(static), dynamic
        self.order = (4, dynamic is not None, _order(dynamic), tuple(map(_order, self.static)))
        self.made_of(*self.static, *([] if dynamic is None else [dynamic]))

    def __str__(self) -> str:
        known = f"<{', '.join(map(show, self.static))}>" if self.static else ""
        return f"array{known}" + (f"[{self.dynamic}]" if self.dynamic else "")

    def at(self, index: int) -> Type | None:
        return self.static[index] if index < len(self.static) else self.dynamic


class Object(Type):
    """The types of known keys (in key form), and those of all others."""

    __slots__ = ("dynamic", "static")

    def __init__(self, static: dict[Any, Type | None], dynamic: tuple[Type | None, Type | None] | None = None) -> None:
        self.static, self.dynamic = static, dynamic
        known = sorted((_key_order(name), _order(value)) for name, value in static.items())
        self.order = (5, dynamic is not None, tuple(map(_order, dynamic or ())), tuple(known))
        self.made_of(*static.values(), *(dynamic or ()))

    def __str__(self) -> str:
        known = ", ".join(f"{_plain(name)}: {show(self.static[name])}" for name in sorted(self.static, key=_key_order))
        others = f"[{show(self.dynamic[0])}: {show(self.dynamic[1])}]" if self.dynamic else ""
        return "object" + (f"<{known}>" if known else "") + others

    def at(self, name: Value) -> Type | None:
        found = self.static.get(key(name))
        if found is None and self.dynamic is not None and contains(self.dynamic[0], of_value(name)):
            return self.dynamic[1]
        return found


class Set(Type):
    """A set; without a type of its elements it is the empty one."""

    __slots__ = ("of",)

    def __init__(self, of: Type | None) -> None:
        self.of = of
        self.order = (6, _order(of))
        self.made_of(of)

    def __str__(self) -> str:
        return f"set[{self.of}]" if self.of else "set"


class Union(Type):
    """One of several; without any it may be anything."""

    __slots__ = ("members",)

    def __init__(self, members: Iterable[Type] = ()) -> None:
        self.members = tuple(sorted(members, key=lambda one: one.order))
        self.order = (7, tuple(one.order for one in self.members))
        self.made_of(*self.members)
        self.partly = False

    def __str__(self) -> str:
        return f"any<{', '.join(map(str, self.members))}>" if self.members else "any"


class Function(Type):
    """Arguments and result; `variadic` is the type of any further arguments."""

    __slots__ = ("args", "result", "variadic")

    def __init__(self, args: Iterable[Type | None], result: Type | None, variadic: Type | None = None) -> None:
        self.args, self.result, self.variadic = tuple(args), result, variadic
        self.order = (8, len(self.args), tuple(map(_order, self.args)), _order(result), _order(variadic))
        self.made_of(*self.args, result)

    def __str__(self) -> str:
        return f"({', '.join(map(show, self.args))}) => {show(self.result)}"

    def at(self, index: int) -> Type | None:
        """The type of an argument; the result comes after the last one."""
        if index < len(self.args):
            return self.args[index]
        return self.result if index == len(self.args) and self.result is not None else self.variadic


NULL: Final = Atom("null", 0)
BOOLEAN: Final = Atom("boolean", 1)
NUMBER: Final = Atom("number", 2)
STRING: Final = Atom("string", 3)
ANY: Final = Union()
_ATOMS: Final = {one.name: one for one in (NULL, BOOLEAN, NUMBER, STRING)}
_OF: Final[dict[type, Type]] = {
    type(None): NULL,
    bool: BOOLEAN,
    str: STRING,
    **dict.fromkeys((int, float, Decimal), NUMBER),
}


def _order(of: Type | None) -> tuple[Any, ...]:
    return (-1,) if of is None else of.order


def _key_order(form: Any) -> tuple[Any, ...]:
    value = unkey(form)
    kind = type(value)
    if value is None:
        return (0,)
    if kind is bool or kind is str:
        return (1 if kind is bool else 3, value)
    return (4, spell(value)) if kind in (list, dict, set) else (2, value)


def _plain(form: Any) -> str:
    value = unkey(form)
    return value if isinstance(value, str) else spell(value)


def show(of: Type | None) -> str:
    """A type as OPA writes it."""
    return "???" if of is None else str(of)


def of_value(value: Value) -> Type:
    """The type of a constant. (As in OPA, a set that is a key counts as an array.)"""
    found = _OF.get(type(value))
    if found is not None:
        return found
    if type(value) is dict:
        return Object({name: of_value(item) for name, item in value.items()})
    return Array(map(of_value, map(unkey, value)))


def contains(of: Type | None, other: Type) -> bool:
    """Whether all of a type is in another."""
    if isinstance(of, Union):
        return not isinstance(other, Function) and (not of.members or other in of.members)
    return of == other


def either(a: Type | None, b: Type | None) -> Type | None:
    """The union of two types."""
    if a is None or b is None or a == b:
        return b if a is None else a
    if isinstance(a, Function) or isinstance(b, Function):
        return _either_function(a, b) if isinstance(a, Function) and isinstance(b, Function) else None
    members = []
    for one in (a, b):
        if isinstance(one, Union) and not one.members:
            return one
        members += list(one.members) if isinstance(one, Union) else [one]
    return Union(dict.fromkeys(members))


def _either_function(a: Function, b: Function) -> Function | None:
    if len(a.args) != len(b.args) or (a.variadic is None) != (b.variadic is None):
        return None
    args = [either(one, other) for one, other in zip(a.args, b.args, strict=True)]
    return Function(args, either(a.result, b.result), either(a.variadic, b.variadic))


def _all(found: Iterable[Type | None]) -> Type | None:
    made: Type | None = None
    for one in found:
        made = either(made, one)
    return made


def select(of: Type | None, at: Value) -> Type | None:
    """The type of what stands at a constant key."""
    if isinstance(of, Array):
        return of.at(at) if type(at) is int and at >= 0 else None  # as in OPA, `1.0` is no index
    if isinstance(of, Object):
        return of.at(at)
    if isinstance(of, Set):
        found = of_value(at)
        return found if of.of == found or (isinstance(of.of, Union) and contains(of.of, found)) else None
    if isinstance(of, Union):
        return _all(select(one, at) for one in of.members) if of.members else ANY
    return None


def keys(of: Type | None) -> Type | None:
    """The type of what may stand in brackets; None for what has no parts."""
    if isinstance(of, Array):
        return NUMBER
    if isinstance(of, Object):
        known = _all(of_value(unkey(name)) for name in of.static)
        return either(known, of.dynamic[0]) if of.dynamic else known
    return _members(of, keys)


def parts(of: Type | None) -> Type | None:
    """The type of what may be found in a collection."""
    if isinstance(of, Array):
        return either(_all(of.static), of.dynamic)
    if isinstance(of, Object):
        known = _all(of.static.values())
        return either(known, of.dynamic[1]) if of.dynamic else known
    return _members(of, parts)


def _members(of: Type | None, each: Callable[[Type | None], Type | None]) -> Type | None:
    if isinstance(of, Set):
        return of.of
    if isinstance(of, Union):
        return _all(map(each, of.members)) if of.members else ANY
    return None


def empty(of: Type | None) -> bool:
    """Whether it is a collection that holds nothing."""
    if isinstance(of, Object | Array):
        return not of.static and of.dynamic is None
    return isinstance(of, Set) and of.of is None


def unknown(of: Type | None) -> bool:
    """Whether a type, or a part of it, is not known."""
    return of is None or of.partly


def bounded(of: Type | None) -> Type | None:
    """A type, or any if it has too many parts."""
    return ANY if of is not None and of.size > MOST_PARTS else of


def unifies(a: Type | None, b: Type | None) -> bool:
    """Whether something may be of both types."""
    if a is None or b is None:
        return False
    if isinstance(a, Union) or isinstance(b, Union):
        return (isinstance(a, Union) and _unifies_one(a, b)) or (isinstance(b, Union) and _unifies_one(b, a))
    if a.order == b.order and not isinstance(a, Function):
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, Array) and isinstance(b, Array):
        alike = all(unifies(one, b.at(index)) for index, one in enumerate(a.static)) and all(
            unifies(one, a.at(index)) for index, one in enumerate(b.static)
        )
        return alike and (a.dynamic is None or b.dynamic is None or unifies(a.dynamic, b.dynamic))
    if isinstance(a, Object) and isinstance(b, Object):
        if not _unifies_known(a, b) or not _unifies_known(b, a):
            return False
        return a.dynamic is None or b.dynamic is None or unifies(a.dynamic[1], b.dynamic[1])
    if isinstance(a, Set) and isinstance(b, Set):
        return a.of is None or b.of is None or unifies(a.of, b.of)
    if isinstance(a, Function) and isinstance(b, Function):
        return len(a.args) == len(b.args) and all(map(unifies, a.args, b.args))
    return False


def _unifies_one(a: Union, b: Type) -> bool:
    return not isinstance(b, Function) and (not a.members or any(unifies(one, b) for one in a.members))


def _unifies_known(a: Object, b: Object) -> bool:
    for name, one in a.static.items():
        other = b.at(unkey(name))
        if other is None:
            if a.dynamic is None and b.dynamic is None:
                return False
        elif not unifies(one, other):
            return False
    return True


def merged(a: Type | None, b: Type | None) -> Type | None:
    """The type of a document that two rules make parts of."""
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, Object) and not a.static:
        if isinstance(b, Object) and not b.static:
            if a.dynamic is None or b.dynamic is None:
                return b if a.dynamic is None else a
            return Object({}, (either(a.dynamic[0], b.dynamic[0]), merged(a.dynamic[1], b.dynamic[1])))
        if isinstance(b, Union) and a.dynamic is not None:
            return _merged_into(b, a.dynamic) or either(a, b)
    if isinstance(a, Set) and isinstance(b, Set):
        return Set(either(a.of, b.of))
    if isinstance(a, Union) and not isinstance(b, Union):
        return merged(b, a)
    return either(a, b)


def _merged_into(whole: Union, dynamic: tuple[Type | None, Type | None]) -> Type | None:
    for one in whole.members:
        if isinstance(one, Object) and not one.static and one.dynamic is not None:
            made = Object({}, (either(one.dynamic[0], dynamic[0]), either(one.dynamic[1], dynamic[1])))
            return Union([made if other is one else other for other in whole.members])
    return None


@lru_cache(None)
def of_signature(text: str) -> Function:
    """A function type from the notation of `builtins.signatures`."""
    return _Reader(text).function()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text.replace(" ", ""), 0

    def take(self, sign: str) -> bool:
        if self.text.startswith(sign, self.at):
            self.at += len(sign)
            return True
        return False

    def function(self) -> Function:
        self.take("(")
        args: list[Type | None] = []
        variadic = None
        while not self.take(")"):
            if self.take("*"):
                variadic = self.type()
            else:
                args.append(self.type())
            self.take(",")
        return Function(args, self.type() if self.take("->") else None, variadic)

    def listed(self, end: str) -> list[Type]:
        found = []
        while not self.take(end):
            found.append(self.type())
            self.take(",")
        return found

    def type(self) -> Type:
        if self.take("["):
            return Array(self.listed("]"))
        if self.take("array["):
            return Array((), self.listed("]")[0])
        if self.take("set["):
            return Set(self.listed("]")[0])
        if self.take("any<"):
            return Union(self.listed(">"))
        if self.take("object{"):
            return self.object()
        if self.take("any"):
            return ANY
        return next(one for name, one in _ATOMS.items() if self.take(name))

    def object(self) -> Type:
        static: dict[Any, Type | None] = {}
        dynamic = None
        while not self.take("}"):
            if self.take("["):
                name = self.listed("]")[0]
                self.take(":")
                dynamic = (name, self.type())
            else:
                end = self.text.index('":', self.at)
                named = self.text[self.at + 1 : end]
                self.at = end + 2
                static[named] = self.type()
            self.take(",")
        return Object(static, dynamic)
