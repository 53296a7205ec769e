"""The nodes of a parsed module. Names are as written until the resolver has said what each stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.policy.engines.rego.errors import Location


@dataclass(slots=True)
class Scalar:
    """null, a boolean, a number or a string."""

    value: Any
    at: Location


@dataclass(slots=True)
class Var:
    """A name. After resolving: a variable of the rule. `_` is `$1`, `$2`, ..."""

    name: str
    at: Location

    @property
    def wildcard(self) -> bool:
        return self.name.startswith("$")


@dataclass(slots=True)
class Ref:
    """`head[part][part]`; after resolving, the head `data` or `input` is a Var of that name."""

    head: Term
    parts: list[Term]
    at: Location


@dataclass(slots=True)
class Array:
    items: list[Term]
    at: Location


@dataclass(slots=True)
class SetOf:
    items: list[Term]
    at: Location


@dataclass(slots=True)
class Object:
    pairs: list[tuple[Term, Term]]
    at: Location


@dataclass(slots=True)
class Comprehension:
    """`kind` is `array`, `set` or `object`; `key` is for an object."""

    kind: str
    key: Term | None
    value: Term
    body: list[Literal]
    at: Location


@dataclass(slots=True)
class Call:
    """`path` is the name as written, `("data", ...)` once it is known to be a function of a policy."""

    path: tuple[str, ...]
    args: list[Term]
    at: Location
    infix: bool = False

    @property
    def name(self) -> str:
        return ".".join(self.path)


PRINT = ("internal", "print")
"""The path of a call of `print`, once its arguments are comprehensions."""


@dataclass(slots=True)
class Template:
    """A template string: pieces of text, and literals."""

    parts: list[str | Literal]
    at: Location


@dataclass(slots=True)
class Function:
    """A builtin that is named and not called: what `with` puts in the place of another function."""

    path: tuple[str, ...]
    at: Location


Term = Function | Scalar | Var | Ref | Array | SetOf | Object | Comprehension | Call | Template


@dataclass(slots=True)
class With:
    """`with target as value`; `rest` is what follows in the target from the first part on that is no string."""

    target: tuple[str, ...]
    value: Term
    at: Location
    target_at: Location
    rest: list[Term] = field(default_factory=list)


@dataclass(slots=True)
class Expr:
    """A term that must hold."""

    term: Term


@dataclass(slots=True)
class Unify:
    """`left = right`, or `left := right` with `assign`."""

    left: Term
    right: Term
    assign: bool


@dataclass(slots=True)
class Some:
    """`some x, y`."""

    names: list[Var]


@dataclass(slots=True)
class SomeIn:
    """`some key, value in domain`."""

    key: Term | None
    value: Term
    domain: Term


@dataclass(slots=True)
class Every:
    key: Term | None
    value: Term
    domain: Term
    body: list[Literal]


@dataclass(slots=True)
class Not:
    """`not`; `scoped` where the body may have variables of its own (`import future.keywords.not`)."""

    body: list[Literal]
    scoped: bool


@dataclass(slots=True)
class Logical:
    """`left and right`, `left or right`."""

    kind: str
    left: list[Literal]
    right: list[Literal]


@dataclass(slots=True)
class Literal:
    """One expression of a body, with its modifiers."""

    what: Expr | Unify | Some | SomeIn | Every | Not | Logical
    withs: list[With]
    at: Location


@dataclass(slots=True)
class Rule:
    """One definition: `ref` is its name and what follows in the head, `key` is for `contains`, `args` for functions."""

    ref: list[Term]
    args: list[Term] | None
    key: Term | None
    value: Term | None
    body: list[Literal]
    default: bool
    at: Location
    otherwise: Rule | None = None
    module: Module | None = None
    end: int = 0

    @property
    def name(self) -> str:
        first = self.ref[0]
        assert isinstance(first, Var)
        return first.name


@dataclass(slots=True)
class Import:
    path: tuple[str, ...]
    alias: str
    at: Location


@dataclass(slots=True)
class Module:
    file: str
    package: tuple[str, ...]
    at: Location
    imports: list[Import] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    annotations: list[Any] = field(default_factory=list)


def children(term: Term) -> Sequence[Term]:
    """The terms right within a term, but those of bodies."""
    if isinstance(term, Scalar | Var):
        return ()
    if isinstance(term, Ref):
        return (term.head, *term.parts)
    if isinstance(term, Call):
        return term.args
    if isinstance(term, Array | SetOf):
        return term.items
    if isinstance(term, Object):
        return [part for pair in term.pairs for part in pair]
    return ()


def path_of(term: Term) -> tuple[str, ...] | None:
    """The names of a ground reference."""
    if isinstance(term, Var):
        return (term.name,)
    if not isinstance(term, Ref) or not isinstance(term.head, Var):
        return None
    names = [term.head.name]
    for part in term.parts:
        if not isinstance(part, Scalar) or not isinstance(part.value, str):
            return None
        names.append(part.value)
    return tuple(names)


def printed(literal: Literal) -> list[Comprehension] | None:
    """What a `print` is given, None for any other literal."""
    what = literal.what
    if not isinstance(what, Expr) or not isinstance(what.term, Call) or what.term.path != PRINT:
        return None
    whole = what.term.args[0] if what.term.args else None
    return [one for one in whole.items if isinstance(one, Comprehension)] if isinstance(whole, Array) else None
