"""The order in which the expressions of a body are evaluated: each variable is bound before it is needed.

An expression that is written first comes first, unless it needs what a later one binds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from gateway.policy.engines.rego import ast

Arity = Callable[[tuple[str, ...]], int | None]
ROOTS = frozenset({"data", "input"})
Names = frozenset[str]


class Unsafe(Exception):
    """Variables that nothing binds, by the literals that need them."""

    def __init__(self, missing: list[tuple[set[str], ast.Literal]]) -> None:
        self.missing = missing
        super().__init__(missing)


class Safety:
    """Says what an expression needs and binds. `arity` of a function, so that `f(x, y)` may bind `y`."""

    def __init__(self, arity: Arity) -> None:
        self.arity = arity

    def order(self, body: list[ast.Literal], bound: Names, visible: Names) -> list[ast.Literal]:
        """The literals of a body in an order that is safe. Raises Unsafe."""
        now = set(bound)
        found: list[ast.Literal] = []
        lacking: dict[int, frozenset[str]] = {}
        waiting: dict[str, set[int]] = {}
        """The literals to look at again once a name is bound."""
        ready = list(range(len(body)))
        while ready:
            index = heappop(ready)
            after = self.binds(body[index], now, visible)
            if isinstance(after, frozenset):
                lacking[index] = after
                for name in everywhere([body[index]]) - now:
                    waiting.setdefault(name, set()).add(index)
                continue
            found.append(body[index])
            for name in after - now:
                for again in waiting.pop(name, ()):
                    if lacking.pop(again, None) is not None:
                        heappush(ready, again)
            now = after
        if lacking:
            raise Unsafe(self.missing([body[index] for index in sorted(lacking)], now, visible))
        return found

    def missing(self, body: list[ast.Literal], now: set[str], visible: Names) -> list[tuple[set[str], ast.Literal]]:
        """What each literal lacks, but for what another one would assign if it could."""
        assigned = {
            name
            for literal in body
            if isinstance(literal.what, ast.Unify) and literal.what.assign
            for name in names_in(literal.what.left, deep=False)
        }
        found = []
        for literal in body:
            names = set(self.binds(literal, now, visible)) - assigned
            assigned |= names  # each is reported once
            if names:
                found.append((names, literal))
        return found or [(set(self.binds(body[0], now, visible)), body[0])]

    def binds(self, literal: ast.Literal, bound: set[str], visible: Names) -> set[str] | frozenset[str]:
        """The variables that are bound after a literal, as a set; as a frozenset those that it lacks."""
        now = set(bound)
        lacks: set[str] = set()
        for one in literal.withs:
            lacks |= self.needs(one.value, now, visible) | self.all_need(one.rest, now, visible)
        what = literal.what
        if isinstance(what, ast.Expr):
            lacks |= self.holds(what.term, now, visible)
        elif isinstance(what, ast.Unify):
            lacks |= self.unified(what, now, visible)
        elif isinstance(what, ast.SomeIn):
            lacks |= self.needs(what.domain, now, visible)
            if not lacks:
                for side in (what.key, what.value):
                    if side is not None:
                        lacks |= self.matches(side, now, visible)
        elif isinstance(what, ast.Every):
            lacks |= self.needs(what.domain, now, visible)
            lacks |= self.closure([what.body], now, visible)
        elif isinstance(what, ast.Not):
            if what.scoped:
                lacks |= self.closure([what.body], now, visible)
            else:
                inner = what.body[0] if what.body else None
                if inner is not None:
                    after = self.binds(inner, now, visible)
                    lacks |= (after - now) if isinstance(after, set) else after | (direct([inner]) - now - ROOTS)
        elif isinstance(what, ast.Logical):
            lacks |= self.closure([what.left, what.right], now, visible)
        return frozenset(lacks) if lacks else now

    def holds(self, term: ast.Term, now: set[str], visible: Names) -> set[str]:
        if isinstance(term, ast.Call):
            arity = self.arity(term.path)
            if arity is not None and len(term.args) == arity + 1 and not term.infix:
                lacks = self.all_need(term.args[:-1], now, visible)
                return lacks or self.matches(term.args[-1], now, visible)
        return self.needs(term, now, visible)

    def all_need(self, terms: Iterable[ast.Term], now: set[str], visible: Names) -> set[str]:
        terms = list(terms)
        while True:
            before = len(now)
            lacks: set[str] = set()
            for term in terms:
                lacks |= self.needs(term, now, visible)
            if not lacks or len(now) == before:
                return lacks

    def needs(self, term: ast.Term, now: set[str], visible: Names) -> set[str]:
        """The unbound variables without which a term has no value. What references in it iterate over is bound."""
        if isinstance(term, ast.Scalar):
            return set()
        if isinstance(term, ast.Var):
            return set() if term.name in now or term.name in ROOTS else {term.name}
        if isinstance(term, ast.Ref):
            lacks = self.needs(term.head, now, visible)
            for part in term.parts:
                lacks |= self.matches(part, now, visible)
            return lacks
        if isinstance(term, ast.Comprehension):
            heads = [term.value] if term.key is None else [term.key, term.value]
            return self.closure([term.body], now, visible, heads)
        if isinstance(term, ast.Template):
            lacks = set()
            for piece in term.parts:
                if isinstance(piece, ast.Literal):
                    assert isinstance(piece.what, ast.Expr)
                    lacks |= self.needs(piece.what.term, now, visible)
                    comprehension = piece.what.term
                    if isinstance(comprehension, ast.Comprehension):
                        lacks |= {name for name in direct(comprehension.body) - now - ROOTS if name[0] != "$"}
            return lacks
        return self.all_need(ast.children(term), now, visible)

    def matches(self, term: ast.Term, now: set[str], visible: Names) -> set[str]:
        """Bind a pattern; returns what it lacks."""
        if isinstance(term, ast.Scalar):
            return set()
        if isinstance(term, ast.Var):
            if term.name not in ROOTS:
                now.add(term.name)
            return set()
        if isinstance(term, ast.Array):
            lacks: set[str] = set()
            for item in term.items:
                lacks |= self.matches(item, now, visible)
            return lacks
        if isinstance(term, ast.Object):
            lacks = set()
            for key, value in term.pairs:
                lacks |= self.needs(key, now, visible)
                lacks |= self.matches(value, now, visible)
            return lacks
        return self.needs(term, now, visible)

    def unified(self, what: ast.Unify, now: set[str], visible: Names) -> set[str]:
        if not self.unifies(what.left, what.right, now, visible):
            return set()
        left, right = [self.needs(side, set(now), visible) for side in (what.left, what.right)]
        return right or left if what.assign else left | right  # of `x := y`, the reader is to look at `y`

    def unifies(self, left: ast.Term, right: ast.Term, now: set[str], visible: Names) -> set[str]:
        for one, other in () if _differ(left, right) else ((left, right), (right, left)):
            trial = set(now)
            if not self.needs(other, trial, visible):
                rest = self.matches(one, trial, visible)
                if not rest:
                    now |= trial
                    return set()
        if isinstance(left, ast.Array) and isinstance(right, ast.Array) and len(left.items) == len(right.items):
            return self.pairs(list(zip(left.items, right.items, strict=True)), now, visible)
        if isinstance(left, ast.Object) and isinstance(right, ast.Object):
            others = {key.value: value for key, value in right.pairs if isinstance(key, ast.Scalar)}
            found = [
                (value, others[key.value])
                for key, value in left.pairs
                if isinstance(key, ast.Scalar) and key.value in others
            ]
            if len(found) == len(left.pairs) == len(right.pairs):
                return self.pairs(found, now, visible)
        one_side = self.needs(left, set(now), visible)
        return one_side or self.needs(right, set(now), visible)

    def pairs(self, pairs: list[tuple[ast.Term, ast.Term]], now: set[str], visible: Names) -> set[str]:
        lacks: set[str] = set()
        left = pairs
        while left:  # one may bind what another needs, before it or behind
            missing = [(pair, self.unifies(*pair, now, visible)) for pair in left]
            lacks = {name for _, names in missing for name in names}
            count, left = len(left), [pair for pair, names in reversed(missing) if names]
            if len(left) == count:
                break
        return lacks

    def closure(
        self, bodies: list[list[ast.Literal]], now: set[str], visible: Names, heads: Iterable[ast.Term] = ()
    ) -> set[str]:
        """What a body within a body takes from around it."""
        names: set[str] = set()
        for body in bodies:
            names |= everywhere(body)
        for head in heads:
            names |= names_in(head, deep=True)
        return (names & visible) - now


def _differ(left: ast.Term, right: ast.Term) -> bool:
    """Whether two arrays or objects cannot be equal as they are written: then they bind nothing."""
    if isinstance(left, ast.Array) and isinstance(right, ast.Array):
        return len(left.items) != len(right.items)
    if isinstance(left, ast.Object) and isinstance(right, ast.Object):
        mine, others = [[name.value for name, _ in one.pairs if isinstance(name, ast.Scalar)] for one in (left, right)]
        return len(left.pairs) != len(right.pairs) or set(mine) != set(others)
    written = ast.Scalar | ast.Array | ast.Object | ast.SetOf
    return isinstance(left, written) and isinstance(right, written) and type(left) is not type(right)


def direct(body: Iterable[ast.Literal]) -> set[str]:
    """The variables of a body, but for those of bodies within."""
    found: set[str] = set()
    for literal in body:
        _of(literal, found, deep=False)
    return found


def everywhere(body: Iterable[ast.Literal]) -> set[str]:
    """The variables of a body and of all bodies within."""
    found: set[str] = set()
    for literal in body:
        _of(literal, found, deep=True)
    return found


def names_in(term: ast.Term | None, *, deep: bool) -> set[str]:
    """The variables of a term."""
    found: set[str] = set()
    if term is not None:
        _names(term, found, deep)
    return found


def _of(literal: ast.Literal, found: set[str], *, deep: bool) -> None:
    """Add the variables of a literal."""
    what = literal.what
    terms: list[ast.Term | None] = [term for one in literal.withs for term in (one.value, *one.rest)]
    bodies: list[list[ast.Literal]] = []
    if isinstance(what, ast.Expr):
        terms.append(what.term)
    elif isinstance(what, ast.Unify):
        terms += [what.left, what.right]
    elif isinstance(what, ast.SomeIn):
        terms += [what.key, what.value, what.domain]
    elif isinstance(what, ast.Every):
        terms.append(what.domain)
        if deep:
            terms += [what.key, what.value]
        bodies.append(what.body)
    elif isinstance(what, ast.Not):
        if what.scoped:
            bodies.append(what.body)
        else:
            for inner in what.body:
                _of(inner, found, deep=deep)
    elif isinstance(what, ast.Logical):
        bodies += [what.left, what.right]
    for term in terms:
        if term is not None:
            _names(term, found, deep)
    if deep:
        for body in bodies:
            for inner in body:
                _of(inner, found, deep=True)


def _names(term: ast.Term, found: set[str], deep: bool) -> None:
    """Add the variables of a term."""
    if isinstance(term, ast.Scalar):
        return
    if isinstance(term, ast.Var):
        if term.name not in ROOTS:
            found.add(term.name)
    elif isinstance(term, ast.Comprehension):
        if deep:
            for head in (term.key, term.value):
                if head is not None:
                    _names(head, found, deep)
            for literal in term.body:
                _of(literal, found, deep=True)
    elif isinstance(term, ast.Template):
        for part in term.parts:
            if isinstance(part, ast.Literal):
                _of(part, found, deep=deep)
    else:
        for child in ast.children(term):
            _names(child, found, deep)
