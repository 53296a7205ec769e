"""The grammar of bodies: literals with their modifiers, and what joins them."""

from __future__ import annotations

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.ast import path_of
from gateway.policy.engines.rego.errors import Location, RegoError
from gateway.policy.engines.rego.scanner import KEYWORDS
from gateway.policy.engines.rego.terms import MEMBER, MEMBER_AT, Terms


class Literals(Terms):
    """Bodies; terms are in `terms`, statements in `parser`."""

    def braced(self) -> list[ast.Literal]:
        self.expect("{")
        found = self.body("}")
        self.expect("}")
        return found

    def body(self, end: str) -> list[ast.Literal]:
        if self.token.kind == end:
            self.fail("found empty body")
        found = [self.literal()]
        while self.token.kind != end:
            if self.token.kind == ";":
                self.next()
                if self.token.kind == end:
                    break
            elif not self.token.newline:
                self.illegal(f"expected \\n or ; or {end}")
            found.append(self.literal())
        return found

    def literal(self) -> ast.Literal:
        at = self.where(self.token)
        found = self.operand(at)
        if self.token.kind in ("and", "or"):
            found = self.logical(found)
        return found

    def logical(self, left: ast.Literal) -> ast.Literal:
        """`and` binds closer than `or`; both group to the left."""
        if left.withs:
            self.fail(f"`with` modifier is not allowed on operand of `{self.token.kind}`", None, left.at)
        while self.token.kind == "and":
            self.next()
            left = ast.Literal(ast.Logical("and", _operands(left), _operands(self.operand(left.at, True))), [], left.at)
        while self.token.kind == "or":
            self.next()
            right = self.operand(left.at, True)
            while self.token.kind == "and":
                self.next()
                right = ast.Literal(
                    ast.Logical("and", _operands(right), _operands(self.operand(left.at, True))), [], left.at
                )
            left = ast.Literal(ast.Logical("or", _operands(left), _operands(right)), [], left.at)
        left.withs = self.withs()
        return left

    def operand(self, at: Location, inner: bool = False) -> ast.Literal:
        token = self.token
        logical = "and" in self.spellings
        if logical and token.kind == "{":
            start = self.index
            try:
                body = self.braced()
                if inner or self.token.kind in ("and", "or"):
                    return ast.Literal(ast.Logical("group", body, []), [], at)
            except RegoError:
                if inner:
                    raise
            self.index = start
        if logical and token.kind == "(":
            start = self.index
            try:
                self.next()
                group = self.literal()
                if self.token.kind == ")" and (isinstance(group.what, ast.Logical | ast.Not) or group.withs):
                    self.next()
                    group = ast.Literal(ast.Logical("group", [group], []), [], at)
                    if self.token.kind not in ("and", "or") and not inner:
                        group.withs = self.withs()
                    return group
            except RegoError:
                pass
            self.index = start
        if token.kind in KEYWORDS and self.peek().kind in (".", "[") and not self.peek().spaced:
            return self.expression(at, inner)
        if token.kind == "not":
            self.next()
            if self.token.kind in ("some", "every") and self.peek().kind not in (".", "["):
                self.illegal(f"illegal negation of '{self.token.kind}'")
            if self.not_bodies and self.token.kind == "{":
                body = self.braced()
                return ast.Literal(
                    ast.Not(body, True), [] if self.token.kind in ("and", "or") or inner else self.withs(), at
                )
            negated = self.operand(at, True) if self.not_bodies and logical else self.expression(at, True)
            literal = ast.Literal(ast.Not([negated], self.not_bodies), [], at)
            literal.withs = [] if inner else self.withs()
            return literal
        if token.kind == "some":
            return self.some(at)
        if token.kind == "every":
            return self.every(at)
        return self.expression(at, inner)

    @property
    def spellings(self) -> frozenset[str]:
        """Operators that this file has imported."""
        found = getattr(self, "_spellings", None)
        if found is None:
            found = frozenset(token.kind for token in self.tokens if token.kind in ("and", "or"))
            found = frozenset({"and", "or"}) if found else found
            self._spellings: frozenset[str] = found
        return found

    def expression(self, at: Location, inner: bool = False) -> ast.Literal:
        left = self.term()
        what: ast.Expr | ast.Unify = ast.Expr(left)
        if self.token.kind in (":=", "="):
            assign = self.next().kind == ":="
            what = ast.Unify(left, self.term(), assign)
        return ast.Literal(what, [] if inner else self.withs(), at)

    def withs(self) -> list[ast.With]:
        found: list[ast.With] = []
        while self.token.kind == "with" and not self.reads_ref():
            at = self.where(self.next())
            if self.token.kind != "name" and not self.reads_ref():
                self.illegal("expected ident")
            target = self.postfix(self.primary())
            path, rest = _target(target)
            if not path:
                self.illegal("expected with target path")
            if self.token.kind != "as":
                self.illegal("expected as keyword")
            self.next()
            found.append(ast.With(path, self.term(), at, target.at, rest))
        return found

    def some(self, at: Location) -> ast.Literal:
        self.next()
        start = self.index
        try:
            term = self.term()
        except RegoError:
            term = None
            failed = True
        else:
            failed = False
        if isinstance(term, ast.Call):
            if term.path == MEMBER and term.infix:
                return ast.Literal(ast.SomeIn(None, term.args[0], term.args[1]), self.withs(), at)
            if term.path == MEMBER_AT and term.infix:
                return ast.Literal(ast.SomeIn(*term.args), self.withs(), at)
            self.illegal("expected `x in xs` or `x, y in xs` expression")
        self.index = start
        names: list[ast.Var] = []
        while True:
            if self.token.kind != "name":
                if failed and names == []:
                    self.term()
                self.illegal("expected var")
            token = self.next()
            names.append(ast.Var(self.wild(token.text), self.where(token)))
            if self.token.kind != ",":
                return ast.Literal(ast.Some(names), [], at)
            self.next()

    def every(self, at: Location) -> ast.Literal:
        self.next()
        term = self.term()
        if not isinstance(term, ast.Call) or term.path not in (MEMBER, MEMBER_AT) or not term.infix:
            self.illegal("expected `x[, y] in xs { ... }` expression")
        *names, domain = term.args
        key = names[0] if len(names) == 2 else None
        for name, what in ((key, "key"), (names[-1], "value")):
            if name is not None and not isinstance(name, ast.Var):
                self.illegal(f"expected {what} to be a variable")
        if self.token.kind != "{":
            self.illegal("missing body")
        return ast.Literal(ast.Every(key, names[-1], domain, self.braced()), self.withs(), at)


def _target(term: ast.Term) -> tuple[tuple[str, ...], list[ast.Term]]:
    """The names that a target begins with, and what follows them."""
    parts = term.parts if isinstance(term, ast.Ref) else []
    named = next(
        (index for index, part in enumerate(parts) if path_of(ast.Ref(ast.Var("", part.at), [part], part.at)) is None),
        len(parts),
    )
    head = path_of(ast.Ref(term.head, parts[:named], term.at) if isinstance(term, ast.Ref) else term)
    return head or (), parts[named:]


def _operands(literal: ast.Literal) -> list[ast.Literal]:
    if isinstance(literal.what, ast.Logical) and literal.what.kind == "group" and not literal.withs:
        return literal.what.left
    return [literal]
