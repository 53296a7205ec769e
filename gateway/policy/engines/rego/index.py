"""An index of the definitions of a rule: those that compare the input with other constants are skipped.

As in OPA, definitions are found by what a body compares with constants: `input.subject.team == "x"`, `input.n = 1`,
`input.action.model in {"a", "b"}`, also through a local variable (`team := input.subject.team`), an argument of the
function (`f("a")`, `x == "a"`), and with constants of `data`. Of several such comparisons in a body, the one that the
fewest definitions share finds the definition.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.constants import constant
from gateway.policy.engines.rego.values import Value, items_of, key

LEAST = 4
"""Definitions with a constant at one place, below which they are asked one by one."""
Place = tuple[str, ...] | int
"""A path of the input, or the number of an argument."""
Wants = dict[Place, frozenset[Any]]
"""Constants in key form; a definition cannot hold with another value at the place, or with none."""
Known = Callable[[ast.Term], tuple[Value] | None]
"""The constant that a term is, if it is one."""
Reads = Callable[[ast.Term], bool]
"""Whether a term is a path, made of constants, of the input or of data that no rule makes."""
_SCALARS = (str, int, float, type(None))


class Index(NamedTuple):
    """Definitions by number: those that are always evaluated, and tables from the value at a place to the others."""

    always: tuple[int, ...]
    tables: tuple[tuple[Place, dict[Any, tuple[int, ...]]], ...]


def index_of(rules: Sequence[ast.Rule], known: Known) -> Index | None:
    """The index for definitions of one rule; None where none helps."""
    if len(rules) < LEAST:
        return None
    wants = [wanted(rule, known) for rule in rules]
    shared = Counter((place, form) for one in wants for place, forms in one.items() for form in forms)
    chosen: dict[Place, list[int]] = defaultdict(list)
    for number, one in enumerate(wants):
        if one:
            most = {place: max((shared[place, form] for form in forms), default=0) for place, forms in one.items()}
            chosen[min(most, key=most.__getitem__)].append(number)
    groups = {place: numbers for place, numbers in chosen.items() if len(numbers) >= LEAST}
    if not groups:
        return None
    found = {number for numbers in groups.values() for number in numbers}
    always = tuple(number for number in range(len(rules)) if number not in found)
    tables = []
    for place, numbers in groups.items():
        table: dict[Any, list[int]] = defaultdict(list)
        for number in numbers:
            for form in wants[number][place]:
                table[form].append(number)
        tables.append((place, {form: tuple(at) for form, at in table.items()}))
    return Index(always, tuple(tables))


def wanted(rule: ast.Rule, known: Known) -> Wants:
    """The constants that a definition compares with, over all its `else` parts: one of them may hold."""
    if rule.default:
        return {}
    found = _wanted(rule, known)
    other = rule.otherwise
    while other is not None and found:
        more = _wanted(other, known)
        found = {place: forms | more[place] for place, forms in found.items() if place in more}
        other = other.otherwise
    return found


def is_test(literal: ast.Literal, reads: Reads) -> bool:
    """Whether a literal compares what stands at a path of input or data with a constant and does nothing else.

    It may come before all others. As in OPA, a path alone is such a test, and a comparison with an array of scalars.
    """
    what = literal.what
    if literal.withs:
        return False
    if isinstance(what, ast.Expr) and isinstance(what.term, ast.Ref):
        return reads(what.term)
    pair = _compared(what)
    if pair is not None:
        return any(reads(one) and _comparable(other) for one, other in (pair, pair[::-1]))
    pair = _member(what)
    return pair is not None and any(reads(one) and constant(other) for one, other in (pair, pair[::-1]))


def _comparable(term: ast.Term) -> bool:
    items = term.items if isinstance(term, ast.Array) else [term]
    return all(isinstance(item, ast.Scalar) for item in items)


def bind(literal: ast.Literal, bound: dict[str, ast.Term], reads: Reads) -> None:
    """Enter the variables that stand for a constant or for what is at a path: `x := 1; y = x; z := input.a`."""
    what = literal.what
    if isinstance(what, ast.Unify) and not literal.withs:
        for one, other in ((what.left, what.right), (what.right, what.left)):
            value = with_bound(other, bound)
            if isinstance(one, ast.Var) and (constant(value) is not None or reads(value)):
                bound.setdefault(one.name, value)


def with_bound(term: ast.Term, bound: Mapping[str, ast.Term]) -> ast.Term:
    """A term with what its variables stand for; in the brackets of a reference, scalars alone."""
    if isinstance(term, ast.Var):
        return bound.get(term.name, term)
    if isinstance(term, ast.Ref):
        parts = [bound.get(part.name, part) if isinstance(part, ast.Var) else part for part in term.parts]
        parts = [new if isinstance(new, ast.Scalar) else old for new, old in zip(parts, term.parts, strict=True)]
        return ast.Ref(term.head, parts, term.at)
    return term


def literal_with_bound(literal: ast.Literal, bound: Mapping[str, ast.Term]) -> ast.Literal:
    """A literal with what the variables that it compares stand for."""
    what = literal.what
    if isinstance(what, ast.Unify):
        left, right = with_bound(what.left, bound), with_bound(what.right, bound)
        return ast.Literal(ast.Unify(left, right, what.assign), literal.withs, literal.at)
    if not isinstance(what, ast.Expr):
        return literal
    term = what.term
    if isinstance(term, ast.Call):
        term = ast.Call(term.path, [with_bound(arg, bound) for arg in term.args], term.at, term.infix)
    return ast.Literal(ast.Expr(with_bound(term, bound)), literal.withs, literal.at)


def path_in_input(term: ast.Term) -> tuple[str, ...] | None:
    """The path of a reference into the input that is made of names."""
    if not isinstance(term, ast.Ref) or not isinstance(term.head, ast.Var) or term.head.name != "input":
        return None
    path = ast.path_of(term)
    return path if path is not None and len(path) > 1 else None


def _wanted(rule: ast.Rule, known: Known) -> Wants:
    found: Wants = {}
    places: dict[str, Place] = {}
    for number, arg in enumerate(rule.args or ()):
        if isinstance(arg, ast.Var) and not arg.wildcard:
            places.setdefault(arg.name, number)
        elif isinstance(arg, ast.Scalar):
            found[number] = frozenset({key(arg.value)})
    body = [literal.what for literal in rule.body if not literal.withs]
    for what in body:
        if isinstance(what, ast.Unify):
            for one, other in ((what.left, what.right), (what.right, what.left)):
                path = path_in_input(other)
                if isinstance(one, ast.Var) and path is not None:
                    places.setdefault(one.name, path)
    for what in body:
        pair = _compared(what)
        if pair is not None:
            for one, other in (pair, pair[::-1]):
                _add(found, _place(one, places), _scalar(known(other)))
        elif (pair := _member(what)) is not None:
            _add(found, _place(pair[0], places), _members(known(pair[1])))
    return found


def _add(found: Wants, place: Place | None, forms: frozenset[Any] | None) -> None:
    if place is not None and forms is not None:
        found[place] = found[place] & forms if place in found else forms


def _compared(what: object) -> tuple[ast.Term, ast.Term] | None:
    """The two sides that must be equal."""
    if isinstance(what, ast.Unify):
        return what.left, what.right
    if isinstance(what, ast.Expr) and isinstance(what.term, ast.Call):
        call = what.term
        if call.path == ("equal",) and len(call.args) == 2:
            return call.args[0], call.args[1]
    return None


def _member(what: object) -> tuple[ast.Term, ast.Term] | None:
    """The two sides of `x in xs`."""
    if isinstance(what, ast.Expr) and isinstance(what.term, ast.Call):
        call = what.term
        if call.path == ("internal", "member_2") and len(call.args) == 2:
            return call.args[0], call.args[1]
    return None


def _place(term: ast.Term, places: dict[str, Place]) -> Place | None:
    return places.get(term.name) if isinstance(term, ast.Var) else path_in_input(term)


def _scalar(found: tuple[Value] | None) -> frozenset[Any] | None:
    return frozenset({key(found[0])}) if found is not None and isinstance(found[0], _SCALARS) else None


def _members(found: tuple[Value] | None) -> frozenset[Any] | None:
    """The members of an array, a set or an object, if all are scalars."""
    whole = found[0] if found is not None else None
    if not isinstance(whole, list | set | dict):
        return None
    members = whole if isinstance(whole, list) else items_of(whole) if isinstance(whole, set) else whole.values()
    return frozenset(map(key, members)) if all(isinstance(one, _SCALARS) for one in members) else None
