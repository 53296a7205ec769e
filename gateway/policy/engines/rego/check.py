"""The type checker: refuses what can never hold and what a builtin never takes, as OPA does.

As in OPA, the types of rules are inferred in the order of what they depend on, `input` and data are of any type, and
the bodies of `every`, and of `not`, `and`, `or` with a body of their own, are checked for their references alone.
https://www.openpolicyagent.org/docs/policy-language#type-checking
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.policy.engines.rego import ast, types
from gateway.policy.engines.rego.builtins.signatures import SIGNATURES
from gateway.policy.engines.rego.constants import constant
from gateway.policy.engines.rego.errors import PARSE, TOO_DEEP, TYPE, Location, Problem
from gateway.policy.engines.rego.reference_types import check_reference
from gateway.policy.engines.rego.resolver import pattern_names
from gateway.policy.engines.rego.safety import ROOTS
from gateway.policy.engines.rego.tree import FUNCTION, Node, find, package_of, rules
from gateway.policy.engines.rego.type_env import Path, Place, TypeEnv
from gateway.policy.engines.rego.types import ANY, Function, Type
from gateway.policy.engines.rego.unify import unify_one, unify_two
from gateway.policy.engines.rego.values import key

Ordered = Mapping[int, list[ast.Literal]]
"""The literals of a body in the order of their evaluation, by `id` of the body."""


class Checker:
    """Checks rules one after another; `problems` are in the order in which they were found."""

    def __init__(self, root: Node, reads: Mapping[int, set[int]], ordered: Ordered) -> None:
        self.root, self.ordered = root, ordered
        self.nodes = {node.number: node for node in rules(root)}
        self.reads = reads
        self.problems: list[Problem] = []
        self.known = TypeEnv(None)
        self.count = 0
        self._readers: dict[int, set[int]] | None = None

    def check(self) -> list[Problem]:
        """All problems of types."""
        for number in _in_order(self.reads):
            for rule in self.nodes[number].rules:
                one: ast.Rule | None = rule
                while one is not None:
                    try:
                        self.rule(one)
                    except RecursionError:
                        self.problems.append(Problem(PARSE, TOO_DEEP, one.at))
                    one = one.otherwise
        return self.problems

    def rule(self, rule: ast.Rule) -> None:
        before = len(self.problems)
        body = Body(self, TypeEnv(self.known))
        body.check(rule.body)
        value = rule.key if rule.key is not None else rule.value
        assert value is not None
        lowered = body.lowered(value)
        path: list[ast.Term] = [*(ast.Scalar(name, rule.at) for name in package_of(rule)[1:]), *rule.ref]
        path = [
            ast.Scalar(part.name, part.at) if part is rule.ref[0] and isinstance(part, ast.Var) else part
            for part in path
        ]
        ground = next((index for index, part in enumerate(path) if constant(part) is None), len(path))
        place: Path = ("data", *(key(constant(part)[0]) for part in path[:ground]))  # type: ignore[index]
        suffix = [body.env.of(body.lowered(part)) for part in path[ground:]]
        if len(self.problems) > before:
            self.known.tree.put(place, ANY)  # what refers to it is not to be blamed
            return
        if rule.args:
            for name in [name for arg in rule.args for name in pattern_names(arg)]:
                if body.env.of_name(name) is None:
                    body.env.names[name] = ANY
        made = body.env.of(lowered)
        if rule.args:
            made = Function([body.env.of(body.lowered(arg)) for arg in rule.args], made)
        elif made is not None or rule.key is not None:
            made = types.Set(ANY if made is None else made) if rule.key is not None else made
            for of in reversed(suffix):
                made = None if of is None or made is None else types.Object({}, (of, made))
        if (made := types.bounded(made)) is not None:
            self.known.tree.insert(place, made)

    def problem(self, message: str, at: Location, *details: str) -> None:
        self.problems.append(Problem(TYPE, message, at, details))

    def fresh(self, at: Location) -> ast.Var:
        """A variable in the place of a term."""
        self.count += 1
        return ast.Var(f"$t{self.count}", at)

    def function(self, path: tuple[str, ...]) -> Type | None:
        """The type of a function."""
        if path[0] != "data":
            signature = SIGNATURES.get(".".join(path))
            return None if signature is None else types.of_signature(signature)
        return self.known.of_ref(_ref(path))

    def dependents(self, path: tuple[str, ...]) -> list[Node]:
        """The rules that a document is made by, and all that depend on them."""
        node = self.root
        for name in path[1:]:
            if node.rules:
                break
            child = node.children.get(name)
            if child is None:
                return []
            node = child
        if self._readers is None:
            self._readers = {}
            for number, found in self.reads.items():
                for one in found:
                    self._readers.setdefault(one, set()).add(number)
        left = [one.number for one in rules(node)] if not node.rules else [node.number]
        seen = set(left)
        while left:
            for number in self._readers.get(left.pop(), set()) - seen:
                seen.add(number)
                left.append(number)
        return [self.nodes[number] for number in seen]


class Body:
    """Checks one body; the types of its variables are a layer of their own."""

    def __init__(self, checker: Checker, env: TypeEnv) -> None:
        self.checker, self.env = checker, env

    def check(self, body: list[ast.Literal]) -> None:
        """Check each literal."""
        for literal in self.checker.ordered.get(id(body), body):
            self.literal(literal)

    def literal(self, literal: ast.Literal) -> None:
        what = literal.what
        if not literal.withs:
            self.expression(what, literal.at)
            return
        for one in literal.withs:
            self.replacement(one)
        outer = self.env
        self.env = self.replaced(literal.withs)
        self.expression(what, literal.at)
        self.env = outer

    def expression(self, what: object, at: Location) -> None:
        if isinstance(what, ast.Expr):
            self.condition(what.term, at)
        elif isinstance(what, ast.Unify):
            self.equality(what.left, what.right, at)
        elif isinstance(what, ast.SomeIn):
            self.some(what, at)
        elif isinstance(what, ast.Not) and not what.scoped:
            for literal in what.body:
                self.literal(literal)
        else:
            self.references_of(what)

    def some(self, what: ast.SomeIn, at: Location) -> None:
        """`some key, value in domain` is `value = domain[key]`."""
        if isinstance(what.domain, ast.Scalar):
            return
        key_at = what.key if what.key is not None else self.checker.fresh(what.domain.at)
        self.equality(what.value, ast.Ref(what.domain, [key_at], what.domain.at), at)

    def condition(self, term: ast.Term, at: Location) -> None:
        if isinstance(term, ast.Call):
            if term.path == ("equal",) and len(term.args) == 2:
                self.equality(term.args[0], term.args[1], at)
            elif term.path == ast.PRINT:
                for arg in term.args:
                    self.lowered(arg)
            else:
                self.call(term.path, term.args, at)
        elif isinstance(term, ast.Ref):
            self.reference(term)
        else:
            self.lowered(term)

    def references_of(self, what: object) -> None:
        """The references in a body that has variables of its own, calls apart."""
        inner = Body(self.checker, TypeEnv(self.env))
        if isinstance(what, ast.Every):
            inner.lowered(what.domain)
            bodies = [what.body]
        else:
            bodies = [what.left, what.right] if isinstance(what, ast.Logical) else []
            bodies += [what.body] if isinstance(what, ast.Not) else []
        for body in bodies:
            for literal in self.checker.ordered.get(id(body), body):
                for term in _terms_of(literal):
                    inner.only_references(term)
                if isinstance(literal.what, ast.Every | ast.Not | ast.Logical):
                    inner.references_of(literal.what)

    def only_references(self, term: ast.Term) -> None:
        if isinstance(term, ast.Ref):
            if isinstance(term.head, ast.Var) and term.head.name in ROOTS:
                parts: list[ast.Term] = [
                    part if isinstance(part, ast.Scalar) else self.checker.fresh(part.at) for part in term.parts
                ]
                check_reference(self.checker, self.env, ast.Ref(term.head, parts, term.at))
            return
        for child in ast.children(term):
            self.only_references(child)

    # Terms

    def lowered(self, term: ast.Term) -> ast.Term:
        """A term without calls, references and comprehensions: a variable stands for each, with its type."""
        if isinstance(term, ast.Scalar | ast.Var | ast.Function):
            return term
        if isinstance(term, ast.Array):
            return ast.Array([self.lowered(item) for item in term.items], term.at)
        if isinstance(term, ast.SetOf):
            return ast.SetOf([self.lowered(item) for item in term.items], term.at)
        if isinstance(term, ast.Object):
            pairs = [(self.lowered(name), self.lowered(value)) for name, value in term.pairs]
            return ast.Object(pairs, term.at)
        if isinstance(term, ast.Template):
            for part in term.parts:
                if isinstance(part, ast.Literal):
                    self.literal(part)
            return ast.Scalar("", term.at)
        var = self.checker.fresh(term.at)
        if isinstance(term, ast.Call):
            self.call(term.path, [*term.args, var], term.at)
            return var
        of = self.comprehension(term) if isinstance(term, ast.Comprehension) else self.env.of(self.reference(term))
        if isinstance(term, ast.Ref) and types.unknown(of):
            of = ANY  # as in OPA: a type with a part that is not known, such as that of `set()`, is any
        if of is not None:
            self.env.names[var.name] = of
        return var

    def comprehension(self, term: ast.Comprehension) -> Type | None:
        before = len(self.checker.problems)
        inner = Body(self.checker, TypeEnv(self.env))
        inner.check(term.body)
        name = inner.env.of(inner.lowered(term.key)) if term.key is not None else None
        value = inner.env.of(inner.lowered(term.value))
        if len(self.checker.problems) > before:
            return None
        if term.kind == "array":
            return types.bounded(types.Array((), value))
        return types.bounded(types.Set(value) if term.kind == "set" else types.Object({}, (name, value)))

    def reference(self, ref: ast.Ref) -> ast.Ref:
        """Check a reference; what stands in its brackets is lowered."""
        if isinstance(ref.head, ast.Ref):
            ref = ast.Ref(ref.head.head, [*ref.head.parts, *ref.parts], ref.at)
        head = self.lowered(ref.head)
        parts = [part if isinstance(part, ast.Scalar) else self.lowered(part) for part in ref.parts]
        if not isinstance(head, ast.Var):
            var = self.checker.fresh(ref.at)
            if (of := self.env.of(head)) is not None:
                self.env.names[var.name] = of
            head = var
        made = ast.Ref(head, parts, ref.at)
        check_reference(self.checker, self.env, made, ref)
        return made

    def equality(self, left: ast.Term, right: ast.Term, at: Location) -> None:
        before = len(self.checker.problems)
        one, other = [
            self.reference(term) if isinstance(term, ast.Ref) else self.lowered(term) for term in (left, right)
        ]
        a, b = self.env.of(one), self.env.of(other)
        if not unify_two(self.env, one, a, other, b):
            if len(self.checker.problems) > before and (types.unknown(a) or types.unknown(b)):
                return
            self.mismatch(a, b, at)

    def mismatch(self, left: Type | None, right: Type | None, at: Location) -> None:
        self.checker.problem("match error", at, f"left  : {types.show(left)}", f"right : {types.show(right)}")

    def call(self, path: tuple[str, ...], terms: list[ast.Term], at: Location) -> None:
        """Check a call; the last term may be its result."""
        before = len(self.checker.problems)
        args = [self.lowered(term) for term in terms]
        if self.env.of_name(path[0]) is not None:  # as in OPA, a variable that was bound hides functions
            self.checker.problem(f"undefined function {'.'.join(path)}", at)
            return
        of = self.checker.function(path)
        if not isinstance(of, Function):
            return  # an unknown function was reported when the call was written
        if (
            path[0] == "internal"
            and path[1] in ("member_2", "member_3")
            and not self.member(args, path[1][-1] == "3", at)
        ):
            return
        have = [self.env.of(arg) for arg in args]
        for index, arg in enumerate(args):
            want = of.at(index)
            fits = have[index] is None or types.unknown(have[index]) or types.unifies(have[index], want)
            if want is None or not fits or not unify_one(self.env, arg, want):
                have = have if not fits else [self.env.of(one) for one in args]
                if len(self.checker.problems) > before and any(map(types.unknown, have)):
                    return
                shown = have[: len(of.args)]
                self.checker.problem(
                    f"{'.'.join(path)}: invalid argument(s)",
                    at,
                    f"have: ({', '.join(map(types.show, shown))})",
                    f"want: ({', '.join(map(types.show, of.args))})",
                )
                return

    def member(self, args: list[ast.Term], keyed: bool, at: Location) -> bool:
        """`value in collection`: whether it can be there."""
        whole = self.env.of(args[2 if keyed else 1])
        found = types.parts(whole)
        if found is None:
            return True
        checks = [(args[0], types.keys(whole)), (args[1], found)] if keyed else [(args[0], found)]
        for term, of in checks:
            if of is None or types.unknown(of):
                continue
            have = self.env.of(term)
            if (not types.unknown(have) and not types.unifies(have, of)) or not unify_one(self.env, term, of):
                self.mismatch(have, of, at)
                return False
        return True

    # With

    def replacement(self, one: ast.With) -> None:
        of = self.checker.function(one.target) if one.target[0] != "input" else None
        if not isinstance(of, Function):
            self.lowered(one.value)
            return
        named = _function_named(self.checker.root, one.value)
        if named is None:
            self.lowered(one.value)
            return
        other = self.checker.function(named)
        if isinstance(other, Function) and not types.unifies(of, other):
            self.checker.problem(
                f"{'.'.join(one.target)}: arity mismatch",
                one.at,
                f"have: ({', '.join(map(types.show, other.args))})",
                f"want: ({', '.join(map(types.show, of.args))})",
            )

    def replaced(self, withs: list[ast.With]) -> TypeEnv:
        """The layer for an expression: what is replaced may be of either type, what depends on it of any."""
        env = self.env
        given: list[tuple[Path, Type | None]] = []
        for one in withs:
            of = self.checker.function(one.target) if one.target[0] != "input" else self.env.of_ref(_ref(one.target))
            node = find(self.checker.root, one.target) if one.target[0] == "data" else None
            function = isinstance(of, Function)
            relaxed = Place()
            if one.target[0] == "data":
                for dependent in self.checker.dependents(one.target):
                    if not (function and dependent is node):
                        relaxed.put(tuple(dependent.path), ANY)
            if relaxed.below:
                env = TypeEnv(env, relaxed, self.env.names)
            if not function:
                value = (
                    ANY
                    if one.rest
                    else self.env.of(one.value)
                    if not isinstance(one.value, ast.Call | ast.Comprehension)
                    else ANY
                )
                given.append(
                    (tuple(one.target), types.either(of, value) if of is not None and value is not None else ANY)
                )
        if not given:
            return env
        tree = Place()
        for path, made in given:
            tree.put(path, made)
        return TypeEnv(env, tree, self.env.names)


def _ref(path: tuple[str, ...]) -> ast.Ref:
    at = Location("", 0, 0)
    return ast.Ref(ast.Var(path[0], at), [ast.Scalar(name, at) for name in path[1:]], at)


def _function_named(root: Node, term: ast.Term) -> tuple[str, ...] | None:
    if isinstance(term, ast.Function):
        return term.path
    path = ast.path_of(term)
    node = find(root, path) if path is not None and path[0] == "data" else None
    return path if node is not None and node.kind == FUNCTION else None


def _terms_of(literal: ast.Literal) -> Iterable[ast.Term]:
    what = literal.what
    if isinstance(what, ast.Expr):
        return [what.term]
    if isinstance(what, ast.Unify):
        return [what.left, what.right]
    return [what.domain] if isinstance(what, ast.SomeIn | ast.Every) else []


def _in_order(reads: Mapping[int, set[int]]) -> Iterable[int]:
    """Each rule after those that it depends on."""
    done: set[int] = set()
    for start in reads:
        stack = [(start, iter(sorted(reads[start])))] if start not in done else []
        done.add(start)
        while stack:
            number, left = stack[-1]
            following = next((one for one in left if one not in done and one in reads), None)
            if following is None:
                stack.pop()
                yield number
            else:
                done.add(following)
                stack.append((following, iter(sorted(reads[following]))))
