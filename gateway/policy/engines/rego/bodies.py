"""Compiles bodies: after the lines of a literal its variables are bound, unless the literal failed.

A failure in a loop continues with the next item; outside all loops the function returns. So a body is straight-line
code, and each expression that iterates opens a loop around all that follows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.calls import Calls
from gateway.policy.engines.rego.constants import constant
from gateway.policy.engines.rego.errors import COMPILE, CONFLICT, Location, Problem
from gateway.policy.engines.rego.index import bind, is_test, literal_with_bound, with_bound
from gateway.policy.engines.rego.references import shown, text
from gateway.policy.engines.rego.resolver import pattern_names
from gateway.policy.engines.rego.safety import ROOTS, direct, names_in

COLLECTION = "COLLECTIONS"


class Undeclared(Exception):
    """Variables that `print` is given before they are bound."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__(problems)


class Bodies(Calls):
    """Literals; terms are in `references`, calls in `calls`."""

    def body(self, body: list[ast.Literal], heads: list[ast.Term | None], *, whole: bool = False) -> None:
        """All literals of a body. `heads` are the terms that are evaluated after it; `whole`: it is that of a rule."""
        outer = self.visible
        names = direct(body)
        for head in heads:
            names |= names_in(head, deep=False)
        self.visible = outer | names
        self.check_printed(body)
        ordered = self.safety.order(body, frozenset(self.w.variables), frozenset(self.visible))
        self.around.ordered[id(body)] = ordered
        if whole:
            ordered = self.tested(ordered, heads)
        for literal in ordered:
            self.literal(literal)
        self.visible = outer | names | set(self.w.variables)

    def check_printed(self, body: list[ast.Literal]) -> None:
        """What `print` is given must be bound before it, where it is written. Raises Undeclared."""
        now = set(self.w.variables)
        for literal in body:
            problems = [
                Problem(COMPILE, f"var {shown(name)} is undeclared", one.at)
                for one in ast.printed(literal) or ()
                for name in sorted(direct(one.body) - names_in(one.value, deep=False) - now)
            ]
            if problems:
                raise Undeclared(problems)
            after = self.safety.binds(literal, now, frozenset(self.visible))
            now = after if isinstance(after, set) else now

    def tested(self, body: list[ast.Literal], heads: list[ast.Term | None]) -> list[ast.Literal]:
        """Write what the input must have for the body to hold; returns the rest of the body.

        OPA's index does not ask a definition whose input differs, so no error of an earlier expression shows there.
        """
        bound: dict[str, ast.Term] = {}
        rest: list[ast.Literal] = []
        needed: list[tuple[list[ast.Term], Location]] = []
        for literal in body:
            test = literal_with_bound(literal, bound) if bound else literal
            if is_test(test, self.given):
                self.literal(test)
            else:
                rest.append(literal)
                if ast.printed(literal) is None:
                    needed.append(([with_bound(term, bound) for term in required(literal)], literal.at))
            bind(literal, bound, self.given)
        if any(map(self.asks, rest)):
            needed += [([with_bound(term, bound) for term in within(head)], head.at) for head in heads if head]
            for terms, at in needed:
                self.defined(terms, at)
            for literal in rest:
                self.shaped(literal)
        return rest

    def asks(self, literal: ast.Literal) -> bool:
        """Whether a literal calls anything or asks rules, which may be an error."""
        what = literal.what
        if literal.withs or isinstance(what, ast.Every | ast.Logical):
            return True
        if isinstance(what, ast.Not):
            return what.scoped or any(map(self.asks, what.body))
        terms = _terms(what)
        bodies = ast.Call | ast.Comprehension | ast.Template
        return any(isinstance(one, bodies) or self.virtual(one) for term in terms for one in within(term))

    def given(self, term: ast.Term) -> bool:
        """Whether a term is a path, made of constants, of the input or of data that no rule makes."""
        if not isinstance(term, ast.Ref) or not isinstance(term.head, ast.Var) or not term.parts:
            return False
        if term.head.name not in ROOTS or any(constant(part) is None for part in term.parts):
            return False
        names = [name for name in takewhile(lambda name: name is not None, map(text, term.parts)) if name is not None]
        return term.head.name == "input" or self.around.is_base(("data", *names))

    def virtual(self, term: ast.Term) -> bool:
        path = ast.path_of(term)
        return (
            isinstance(term, ast.Ref)
            and isinstance(term.head, ast.Var)
            and term.head.name == "data"
            and (path is None or not self.around.is_base(path))
        )

    def defined(self, terms: Iterable[ast.Term], at: Location) -> None:
        """Give up if a path of the input or of data is undefined."""
        start = len(self.w.lines)
        for term in terms:
            if self.given(term):
                assert isinstance(term, ast.Ref)
                assert isinstance(term.head, ast.Var)
                self.stored((term.head.name,), term.parts)
        self.mark(start, at)

    def shaped(self, literal: ast.Literal) -> None:
        """Give up if what an array with variables is to match is no array of that length."""
        what = literal.what
        if isinstance(what, ast.Unify) and not literal.withs:
            for one, other in ((what.left, what.right), (what.right, what.left)):
                if isinstance(one, ast.Array) and isinstance(other, ast.Ref) and self.given(other):
                    assert isinstance(other.head, ast.Var)
                    start = len(self.w.lines)
                    value = self.stored((other.head.name,), other.parts)
                    self.w.refuse(f"{value}.__class__ is not list or len({value}) != {len(one.items)}")
                    self.mark(start, literal.at)

    def closed(self, body: list[ast.Literal]) -> None:
        """A body within a body."""
        outer = self.visible
        self.body(body, [])
        self.visible = outer

    def literal(self, literal: ast.Literal) -> None:
        start = len(self.w.lines)
        self.evaluated(literal)
        self.mark(start, literal.at)

    def evaluated(self, literal: ast.Literal) -> None:
        if not literal.withs:
            self.expression(literal)
            return
        w = self.w
        values = [self.replacement(one) for one in literal.withs]
        inner = w.temp("E")
        w.line(f"{inner} = {w.env}.child()")
        for one, (function, value) in zip(literal.withs, values, strict=True):
            if one.rest:  # OPA loads it, and has no place to put the value in
                w.line(f"raise EvaluationError({CONFLICT!r}, 'bad document path', {w.constant(literal.at)})")
            w.line(f"{function}({inner}, {w.constant(one.target)}, {value})")
        env, known = w.env, w.known
        w.env, w.known = inner, {}
        self.expression(literal)
        w.env, w.known = env, known

    def expression(self, literal: ast.Literal) -> None:
        what = literal.what
        if isinstance(what, ast.Expr):
            self.condition(what.term)
        elif isinstance(what, ast.Unify):
            self.unify(what.left, what.right)
        elif isinstance(what, ast.SomeIn):
            self.some(what)
        elif isinstance(what, ast.Every):
            self.every(what)
        elif isinstance(what, ast.Not):
            flag = self.exists(what.body if what.scoped else [self.hoisted(one) for one in what.body])
            self.w.refuse(flag)
        elif isinstance(what, ast.Logical):
            self.logical(what)

    def hoisted(self, literal: ast.Literal) -> ast.Literal:
        """A negated literal; as in OPA, what its call is given is evaluated before, outside of the negation."""
        what = literal.what
        if literal.withs or not isinstance(what, ast.Expr) or not isinstance(what.term, ast.Call):
            return literal
        call = what.term
        plain = ast.Ref if call.path == ("equal",) else ()
        args = [arg if plain and isinstance(arg, plain) else self.outside(arg) for arg in call.args]
        return ast.Literal(ast.Expr(ast.Call(call.path, args, call.at, call.infix)), [], literal.at)

    def outside(self, term: ast.Term) -> ast.Term:
        """A term that is evaluated here, as a variable."""
        if not isinstance(term, ast.Ref | ast.Call | ast.Array | ast.Object | ast.SetOf) or constant(term) is not None:
            return term
        value = self.term(term)
        name = f"$outside{self.w.temp('o')}"
        self.w.variables[name] = value
        return ast.Var(name, term.at)

    def exists(self, body: list[ast.Literal], head: str = "for _ in ONCE:", flag: str = "") -> str:
        """Whether a body has a solution: the name of the flag that says so."""
        w = self.w
        if not flag:
            flag = w.temp("f")
            w.line(f"{flag} = False")
        ordered, w.ordered = w.ordered, False
        with w.once(flag, head):
            self.closed(body)
            w.found(flag)
        w.ordered = ordered
        return flag

    def logical(self, what: ast.Logical) -> None:
        flag = self.exists(what.left)
        if what.kind == "or":
            self.exists(what.right, f"for _ in () if {flag} else ONCE:", flag)
        self.w.require(flag)
        if what.kind == "and":
            self.w.require(self.exists(what.right))

    def some(self, what: ast.SomeIn) -> None:
        w = self.w
        domain = self.term(what.domain)
        key, value = what.key, what.value
        order = "_in_order" if w.ordered else ""
        item = w.temp("v")
        if key is None or (isinstance(key, ast.Var) and key.wildcard):
            asked = f"values{order}({w.env}, {domain})" if order else self.each(domain)
            w.loop(f"for {item} in {asked}:")
        else:
            at = w.temp("v")
            w.loop(f"for {at}, {item} in items{order}({w.env}, {domain}):")
            self.match(key, at)
        self.match(value, item)

    def every(self, what: ast.Every) -> None:
        w = self.w
        domain = self.term(what.domain)
        w.refuse(f"{domain}.__class__ not in {COLLECTION}")
        wrong = w.temp("f")
        w.line(f"{wrong} = False")
        ordered, w.ordered = w.ordered, False
        with w.once(wrong):
            at, item = w.temp("v"), w.temp("v")
            w.loop(f"for {at}, {item} in items({w.env}, {domain}):")
            if what.key is not None:
                self.match(what.key, at)
            self.match(what.value, item)
            flag = self.exists(what.body)
            w.line(f"if not {flag}:")
            w.depth += 1
            w.found(wrong)
            w.depth -= 1
        w.ordered = ordered
        w.refuse(wrong)

    # Unification

    def unify(self, left: ast.Term, right: ast.Term) -> None:
        if self.unbound(left) and not self.lacks(right):
            self.match(left, self.term(right))
        elif self.unbound(right) and not self.lacks(left):
            self.match(right, self.term(left))
        elif isinstance(left, ast.Array) and isinstance(right, ast.Array) and (self.lacks(left) or self.lacks(right)):
            if len(left.items) != len(right.items):
                self.w.line(self.w.fail)
            else:
                self.unify_all(list(zip(left.items, right.items, strict=True)))
        elif isinstance(left, ast.Object) and isinstance(right, ast.Object) and (self.lacks(left) or self.lacks(right)):
            others = {key.value: value for key, value in right.pairs if isinstance(key, ast.Scalar)}
            self.unify_all([(value, others[key.value]) for key, value in left.pairs if isinstance(key, ast.Scalar)])
        else:
            self.same(self.term(left), self.term(right))

    def unify_all(self, pairs: list[tuple[ast.Term, ast.Term]]) -> None:
        while pairs:
            for index, (one, other) in enumerate(pairs):
                nested = isinstance(one, ast.Array | ast.Object) and type(one) is type(other)
                if nested or not self.lacks(one) or not self.lacks(other):
                    del pairs[index]
                    self.unify(one, other)
                    break
            else:
                one, other = pairs.pop()
                self.unify(one, other)

    def unbound(self, term: ast.Term) -> bool:
        """Whether a term is a pattern with variables to bind."""
        return any(name not in self.w.variables for name in pattern_names(term))


def required(literal: ast.Literal) -> Iterator[ast.Term]:
    """The terms without which a literal cannot hold, those that they are made of too, and calls.

    What is compared with another reference or iterated over is left out: OPA's index does not look at it.
    """
    what = literal.what
    if literal.withs:
        return
    if isinstance(what, ast.Expr):
        yield from _operands(what.term)
    elif isinstance(what, ast.Unify):
        yield from _sides(what.left, what.right)
    elif isinstance(what, ast.SomeIn):
        yield from () if isinstance(what.domain, ast.Ref) else within(what.domain)
    elif isinstance(what, ast.Every):
        yield from within(what.domain)
    elif isinstance(what, ast.Not) and not what.scoped:
        for one in what.body:
            if isinstance(one.what, ast.Expr) and isinstance(one.what.term, ast.Call) and not one.withs:
                call = one.what.term
                for arg in call.args:
                    if call.path != ("equal",) or not isinstance(arg, ast.Ref):
                        yield from within(arg)


def _terms(what: object) -> list[ast.Term]:
    if isinstance(what, ast.Expr):
        return [what.term]
    if isinstance(what, ast.Unify):
        return [what.left, what.right]
    return [what.domain] if isinstance(what, ast.SomeIn) else []


def _operands(term: ast.Term) -> Iterator[ast.Term]:
    if isinstance(term, ast.Call) and term.path == ("equal",) and len(term.args) == 2:
        yield from _sides(*term.args)
    else:
        yield from within(term)


def _sides(left: ast.Term, right: ast.Term) -> Iterator[ast.Term]:
    if not (isinstance(left, ast.Ref) and isinstance(right, ast.Ref)):
        yield from within(left)
        yield from within(right)


def within(term: ast.Term) -> Iterator[ast.Term]:
    """A term and all terms in it, but those of bodies."""
    yield term
    for child in ast.children(term):
        yield from within(child)
