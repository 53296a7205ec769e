"""Resolves names: to a variable of the rule, a rule of the package, an import, or a builtin.

Afterwards a reference to a rule begins with `data`, a declared variable has a name of its own (`x.3`), and what
`print` is given and the expressions in template strings are comprehensions.
"""

from __future__ import annotations

from collections import Counter

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.ast import path_of
from gateway.policy.engines.rego.builtins.signatures import SIGNATURES
from gateway.policy.engines.rego.errors import COMPILE, PARSE, TOO_DEEP, TYPE, Location, Problem
from gateway.policy.engines.rego.safety import direct, names_in

ROOTS = frozenset({"data", "input"})
DECLARED = "var {} declared above"


class Scope:
    """The names that a body declares, and those of the bodies around it.

    `taken` says of each name why this body may not declare it (again).
    """

    __slots__ = ("names", "outer", "taken")

    def __init__(self, outer: Scope | None) -> None:
        self.outer = outer
        self.names: dict[str, str] = {}
        self.taken: dict[str, str] = {}

    def find(self, name: str) -> str | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None


class Resolver:
    """For the rules of one module. `known` are the rules of its package."""

    def __init__(
        self, module: ast.Module, known: frozenset[str], problems: list[Problem], *, strict: bool = False
    ) -> None:
        self.module, self.problems, self.strict = module, problems, strict
        self.count = 0
        self.whole: tuple[ast.Term | None, Location] = (None, module.at)
        """The expression of the literal that is being resolved, and where the literal begins."""
        self.head: Scope | None = None
        """The variables of a rule, while its head is being resolved."""
        self.named: set[str] = set()
        """The rules and imports that are named."""
        self.uses: Counter[str] = Counter()
        """How often each declared variable stands somewhere, where it is bound too."""
        self.unused: list[tuple[str, int, str, Location]] = []
        """What must be used more often than that: a variable, the number, the problem otherwise, and where."""
        self.globals: dict[str, tuple[str, ...]] = {name: (*module.package, name) for name in known}
        seen: dict[str, ast.Import] = {}
        for one in module.imports:
            if one.path[0] in ("rego", "future"):
                continue
            if one.alias in seen:
                self.problem(COMPILE, f"import must not shadow {_spelled(seen[one.alias])}", one.at)
            seen[one.alias] = one
            if one.alias in known:
                self.problem(COMPILE, f"conflicting rule or import {one.alias}", one.at)
            self.globals[one.alias] = one.path

    def problem(self, code: str, message: str, at: Location) -> None:
        self.problems.append(Problem(code, message, at))

    def definition(self, rule: ast.Rule) -> None:
        """Resolve a rule in place, and what follows after `else`."""
        unused = self.rule(rule)
        other = rule.otherwise
        while other is not None:
            unused &= self.rule(other)
            other = other.otherwise
        for name in sorted(unused) if self.strict else ():
            words = f"unused argument {name}. (hint: use _ (wildcard variable) instead)"
            self.problem(COMPILE, words, rule.at)

    def rule(self, rule: ast.Rule) -> set[str]:
        """Resolve one part of a rule; returns the arguments that it does not use."""
        if rule.name in ROOTS:
            self.problem(COMPILE, f"rules must not shadow {rule.name} (use a different rule name)", rule.at)
        scope = Scope(None)
        if rule.args is not None:
            for arg in rule.args:
                self.argument(arg, scope)
            rule.args = [self.term(arg, scope) for arg in rule.args]
        bound = {name: self.uses[name] for arg in rule.args or () for name in pattern_names(arg) if name[0] != "$"}
        inner = scope
        before = len(self.problems)
        self.hide(rule.body, inner)
        rule.body = self.body(rule.body, inner)
        self.head = inner
        rule.ref = [rule.ref[0], *(self.term(part, inner) for part in rule.ref[1:])]
        if rule.key is not None:
            rule.key = self.term(rule.key, inner)
        if rule.value is not None:
            rule.value = self.term(rule.value, inner)
        self.head = None
        for name, least, words, at in self.unused:
            if self.uses[name] <= least and len(self.problems) == before:
                self.problem(COMPILE, words, at)
        self.unused.clear()
        return {name.partition(".")[0] for name, count in bound.items() if self.uses[name] == count}

    def hide(self, body: list[ast.Literal], scope: Scope) -> None:
        """As in OPA, a variable of a body with the name of a builtin counts as declared by the body."""
        replaced = {one.target[0] for literal in body for one in literal.withs}
        replaced |= {name for literal in body for one in literal.withs for name in names_in(one.value, deep=False)}
        for name in sorted(direct(body) - replaced - self.globals.keys() - _declared(body)):
            if name in SIGNATURES and scope.find(name) is None:
                self.declare(name, scope, "var {} referenced above")

    def must_use(self, name: str, scope: Scope, least: int, words: str, at: Location) -> None:
        """A declared variable that is not used is a problem; a wildcard is not."""
        found = scope.find(name)
        if found is not None and name[0] != "$":
            self.unused.append((found, least, words.format(name), at))

    def unused_imports(self) -> list[Problem]:
        """A problem for each import that no rule names."""
        imports = [one for one in self.module.imports if one.path[0] not in ("rego", "future")]
        return [Problem(COMPILE, f"{_spelled(one)} unused", one.at) for one in imports if one.alias not in self.named]

    def argument(self, arg: ast.Term, scope: Scope) -> None:
        if isinstance(arg, ast.Ref) and isinstance(arg.head, ast.Var) and arg.head.name in ROOTS:
            self.problem(COMPILE, f"args must not shadow {arg.head.name} (use a different variable name)", arg.at)
        if isinstance(arg, ast.Call):
            self.problem(COMPILE, "rule arguments cannot contain calls", arg.at)
        for name in pattern_names(arg):
            self.declare(name, scope, "arg {} redeclared")

    def declare(self, name: str, scope: Scope, taken: str) -> None:
        """A variable of this scope; `taken` is the problem for who declares the name again."""
        if name not in scope.names:
            self.count += 1
            scope.names[name] = f"{name}.{self.count}"
        scope.taken[name] = taken

    def declare_new(self, name: str, scope: Scope, taken: str, at: Location) -> None:
        """The same, and a problem where the scope has declared or named it before."""
        if name in scope.taken:
            self.problem(COMPILE, scope.taken[name].format(name), at)
        self.declare(name, scope, taken)

    def body(self, body: list[ast.Literal], scope: Scope, at: Location | None = None) -> list[ast.Literal]:
        """Resolve a body; `at` is where it begins, if that is not at its literals."""
        found = []
        for literal in body:
            resolved = self.literal(literal, scope, at or literal.at)
            if resolved is not None:
                found.append(resolved)
        return found

    def literal(self, literal: ast.Literal, scope: Scope, at: Location) -> ast.Literal | None:
        what = literal.what
        withs = self.withs(literal, scope)
        if isinstance(what, ast.Some):
            for name in what.names:
                self.declare_new(name.name, scope, DECLARED, literal.at)
                self.must_use(name.name, scope, 0, "declared var {} unused", literal.at)
            return None
        if isinstance(what, ast.Expr):
            if isinstance(what.term, ast.Call) and what.term.path == ("print",):
                return self.print(what.term, scope, literal.at)
            if (
                isinstance(what.term, ast.Call)
                and what.term.path in (("eq",), ("assign",))
                and len(what.term.args) == 2
            ):
                what = ast.Unify(what.term.args[0], what.term.args[1], what.term.path == ("assign",))
        made: ast.Expr | ast.Unify | ast.SomeIn | ast.Every | ast.Not | ast.Logical
        if isinstance(what, ast.Expr):
            self.whole = (what.term, at)
            made = ast.Expr(self.term(what.term, scope))
        elif isinstance(what, ast.Unify):
            made = self.unify(what, scope, literal.at)
        elif isinstance(what, ast.SomeIn):
            domain = self.term(what.domain, scope)
            for bound in [name for side in (what.key, what.value) for name in pattern_names(side)]:
                if bound in scope.taken:
                    self.problem(COMPILE, scope.taken[bound].format(bound), literal.at)
                    break
            for side in (what.key, what.value):
                for bound in pattern_names(side):
                    self.declare(bound, scope, DECLARED)
            made = ast.SomeIn(what.key and self.term(what.key, scope), self.term(what.value, scope), domain)
        elif isinstance(what, ast.Every):
            domain = self.term(what.domain, scope)
            inner = Scope(scope)
            for side in (what.key, what.value):
                for bound in pattern_names(side):
                    self.declare(bound, inner, DECLARED)
            key = what.key and self.term(what.key, inner)
            value = self.term(what.value, inner)
            for bound in [name for side in (what.key, what.value) for name in pattern_names(side)]:
                self.must_use(bound, inner, 1, "declared var {} unused", what.body[0].at)
            made = ast.Every(key, value, domain, self.body(what.body, inner))
        elif isinstance(what, ast.Not):
            if not what.scoped and any(_assigns(one) for one in what.body):
                self.problem(COMPILE, "cannot assign vars inside negated expression", literal.at)
            body = self.body(what.body, Scope(scope)) if what.scoped else self.body(what.body, scope, literal.at)
            made = ast.Not(body, what.scoped)
            if not what.scoped and made.body and ast.printed(made.body[0]) is not None:
                return made.body[0]  # as in OPA, `not print(x)` is `print(x)`
        else:
            assert isinstance(what, ast.Logical)
            made = ast.Logical(what.kind, self.body(what.left, Scope(scope)), self.body(what.right, Scope(scope)))
        return ast.Literal(made, withs, literal.at)

    def print(self, call: ast.Call, scope: Scope, at: Location) -> ast.Literal:
        """As in OPA: each argument becomes a set, which is empty where the argument is undefined."""
        found: list[ast.Term] = []
        for arg in call.args:
            self.count += 1
            name = ast.Var(f"$printed{self.count}", arg.at)
            body = [ast.Literal(ast.Unify(name, self.term(arg, scope), False), [], arg.at)]
            found.append(ast.Comprehension("set", None, name, body, arg.at))
        return ast.Literal(ast.Expr(ast.Call(ast.PRINT, [ast.Array(found, call.at)], call.at)), [], at)

    def withs(self, literal: ast.Literal, scope: Scope) -> list[ast.With]:
        return [
            ast.With(
                self.target(one, scope),
                self.stand_in(one.value, scope),
                one.at,
                one.target_at,
                [self.term(part, scope) for part in one.rest],
            )
            for one in literal.withs
        ]

    def unify(self, what: ast.Unify, scope: Scope, at: Location) -> ast.Unify:
        right = self.term(what.right, scope)
        if not what.assign and scope.find("eq") is not None:
            self.problem(TYPE, "undefined function eq", at)
        if what.assign:
            self.check_target(what.left, at)
            for var in pattern_vars(what.left):
                self.declare_new(var.name, scope, "var {} assigned above", var.at)
                if self.strict:
                    self.must_use(var.name, scope, 1, "assigned var {} unused", at)
        return ast.Unify(self.term(what.left, scope), right, what.assign)

    def check_target(self, term: ast.Term, at: Location) -> None:
        if isinstance(term, ast.Ref) and isinstance(term.head, ast.Var) and term.head.name in ROOTS and not term.parts:
            name = term.head.name
            self.problem(COMPILE, f"variables must not shadow {name} (use a different variable name)", at)
        elif isinstance(term, ast.Ref | ast.Call | ast.Comprehension | ast.SetOf | ast.Scalar):
            named = {ast.SetOf: "set", ast.Comprehension: "comprehension"}.get(type(term), type(term).__name__.lower())
            self.problem(COMPILE, f"cannot assign to {named}", term.at)

    def target(self, one: ast.With, scope: Scope) -> tuple[str, ...]:
        first = one.target[0]
        if first in ROOTS:
            return one.target
        if scope.find(first) is None and first in self.globals:
            self.named.add(first)
            return (*self.globals[first], *one.target[1:])
        return one.target

    def stand_in(self, term: ast.Term, scope: Scope) -> ast.Term:
        """The value of `with`, which may be the name of a builtin."""
        path = path_of(term)
        builtin = path is not None and ".".join(path) in SIGNATURES
        if path is not None and builtin and scope.find(path[0]) is None and path[0] not in self.globals:
            return ast.Function(path, term.at)
        return self.term(term, scope)

    def term(self, term: ast.Term, scope: Scope) -> ast.Term:
        if isinstance(term, ast.Scalar | ast.Function):
            return term
        if isinstance(term, ast.Var):
            return self.name(term, scope)
        if isinstance(term, ast.Ref):
            head = self.term(term.head, scope)
            parts = [self.term(part, scope) for part in term.parts]
            if isinstance(head, ast.Ref):
                return ast.Ref(head.head, [*head.parts, *parts], term.at)
            return ast.Ref(head, parts, term.at)
        if isinstance(term, ast.Array):
            return ast.Array([self.term(item, scope) for item in term.items], term.at)
        if isinstance(term, ast.SetOf):
            return ast.SetOf([self.term(item, scope) for item in term.items], term.at)
        if isinstance(term, ast.Object):
            return ast.Object([(self.term(k, scope), self.term(v, scope)) for k, v in term.pairs], term.at)
        if isinstance(term, ast.Call):
            path = self.function(term, scope)
            return ast.Call(path, [self.term(arg, scope) for arg in term.args], term.at, term.infix)
        if isinstance(term, ast.Comprehension):
            inner = Scope(scope)
            body = self.body(term.body, inner)
            key = term.key and self.term(term.key, inner)
            return ast.Comprehension(term.kind, key, self.term(term.value, inner), body, term.at)
        return ast.Template([self.piece(part, scope) for part in term.parts], term.at)

    def piece(self, part: str | ast.Literal, scope: Scope) -> str | ast.Literal:
        if isinstance(part, str):
            return part
        self.count += 1
        name = ast.Var(f"$part{self.count}", part.at)
        assert isinstance(part.what, ast.Expr)
        inner = ast.Literal(ast.Unify(name, self.term(part.what.term, scope), False), self.withs(part, scope), part.at)
        if any(one[0] == "$" for one in direct([inner]) - {name.name}):
            self.problem(COMPILE, "var _ is undeclared", part.at)
        made = ast.Comprehension("set", None, name, [inner], part.at)
        return ast.Literal(ast.Expr(made), [], part.at)

    def function(self, call: ast.Call, scope: Scope) -> tuple[str, ...]:
        first = call.path[0]
        if scope.find(first) is not None:
            # As in OPA: a variable hides functions, those that operators stand for too.
            if call is self.whole[0] or (self.head is not None and first in self.head.names):
                at = self.whole[1] if call is self.whole[0] else call.at
                self.problem(TYPE, f"undefined function {call.name}", at)
            else:
                self.problem(COMPILE, f"called function {call.name} shadowed", call.at)
            return call.path
        if first in self.globals and not call.infix:
            self.named.add(first)
            return (*self.globals[first], *call.path[1:])
        return call.path

    def name(self, var: ast.Var, scope: Scope) -> ast.Term:
        found = scope.find(var.name)
        if found is not None:
            self.uses[found] += 1
            return ast.Var(found, var.at)
        if var.name in ROOTS:
            return var
        path = self.globals.get(var.name)
        self.named.add(var.name)
        scope.taken.setdefault(var.name, "var {} referenced above")
        if path is None:
            return var
        head = ast.Var(path[0], var.at)
        return ast.Ref(head, [ast.Scalar(name, var.at) for name in path[1:]], var.at)


def _declared(body: list[ast.Literal]) -> set[str]:
    """The names that a body declares itself."""
    found: set[str] = set()
    for literal in body:
        what = literal.what
        if isinstance(what, ast.Some):
            found.update(name.name for name in what.names)
        elif isinstance(what, ast.SomeIn):
            found.update(pattern_names(what.key) + pattern_names(what.value))
        elif isinstance(what, ast.Unify) and what.assign:
            found.update(pattern_names(what.left))
    return found


def _assigns(literal: ast.Literal) -> bool:
    """Whether it is `x := y`, or `assign(x, y)`."""
    what = literal.what
    if isinstance(what, ast.Expr):
        return isinstance(what.term, ast.Call) and what.term.path == ("assign",)
    return isinstance(what, ast.Unify) and what.assign


def pattern_names(term: ast.Term | None) -> list[str]:
    """The names that a pattern binds, wildcards too."""
    return [var.name for var in pattern_vars(term)]


def pattern_vars(term: ast.Term | None) -> list[ast.Var]:
    """The variables that a pattern binds."""
    if isinstance(term, ast.Var):
        return [term] if term.name not in ROOTS else []
    if isinstance(term, ast.Array):
        return [var for item in term.items for var in pattern_vars(item)]
    if isinstance(term, ast.Object):
        return [var for _, value in term.pairs for var in pattern_vars(value)]
    return []


def resolve(modules: list[ast.Module], problems: list[Problem], *, strict: bool = False) -> None:
    """Resolve all rules in place. With `strict`, imports, variables and arguments that are not used are problems."""
    known: dict[tuple[str, ...], set[str]] = {}
    for module in modules:
        known.setdefault(module.package, set()).update(rule.name for rule in module.rules)
    for module in modules:
        resolver = Resolver(module, frozenset(known[module.package]), problems, strict=strict)
        for rule in module.rules:
            try:
                resolver.definition(rule)
            except RecursionError:
                problems.append(Problem(PARSE, TOO_DEEP, rule.at))
        problems += resolver.unused_imports() if strict else []


def _spelled(one: ast.Import) -> str:
    return f"import {'.'.join(one.path)}" + (f" as {one.alias}" if one.alias != one.path[-1] else "")
