"""Compiles terms: constants, containers, and references into values, rules and packages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.builtins import Builtin
from gateway.policy.engines.rego.constants import constant
from gateway.policy.engines.rego.errors import TYPE, Location, Problem, near
from gateway.policy.engines.rego.resolver import pattern_names
from gateway.policy.engines.rego.runtime import lookup, stored
from gateway.policy.engines.rego.safety import ROOTS, Safety
from gateway.policy.engines.rego.tree import FUNCTION, Node, rules
from gateway.policy.engines.rego.values import UNDEFINED, Value, equal
from gateway.policy.engines.rego.writer import Writer

if TYPE_CHECKING:
    from gateway.policy.engines.rego.metadata import Metadata

Path = tuple[str, ...]
_LITERALS: Mapping[str, Value] = {"True": True, "False": False, "None": None}


class Surroundings:
    """What all functions of a program share while they are written."""

    def __init__(self, tree: Node, builtins: Mapping[str, Builtin], signatures: Mapping[str, str]) -> None:
        self.tree, self.builtins, self.signatures = tree, builtins, signatures
        self.refused: Mapping[str, str] = {}
        self.deprecated: frozenset[str] = frozenset()
        self.mocks: frozenset[Path] = frozenset()
        self.optimize = True
        """Whether data counts as constant, and definitions are found by an index."""
        self.problems: list[Problem] = []
        self.ordered: dict[int, list[ast.Literal]] = {}
        """The literals of each body in the order in which they are evaluated, by `id` of the body."""
        self.arities = {name: _arity(signature) for name, signature in signatures.items()}
        self.first_slot = sum(1 for _ in rules(tree))
        self.slots: dict[Path, int] = {}
        self.base: dict[str, Value] = {}
        self.modules: list[ast.Module] = []
        self.files: dict[str, int] = {}
        self.functions = {node.path: node for node in rules(tree) if node.kind == FUNCTION}

    @cached_property
    def metadata(self) -> Metadata:
        """The annotations of the modules; most policies ask for none."""
        from gateway.policy.engines.rego.metadata import Metadata

        return Metadata(self.modules)

    def slot(self, path: Path) -> int:
        """Where an evaluation keeps what stands at a path of input or data."""
        return self.slots.setdefault(path, self.first_slot + len(self.slots))

    def known(self, term: ast.Term) -> tuple[Value] | None:
        """The value of a term that is made of constants, or of data that no `with` replaces."""
        found = constant(term)
        if found is not None or not isinstance(term, ast.Ref):
            return found
        parts = [part.value for part in term.parts if isinstance(part, ast.Scalar)]
        if not isinstance(term.head, ast.Var) or term.head.name != "data" or len(parts) < len(term.parts):
            return None
        names = tuple(takewhile(lambda part: isinstance(part, str), parts))
        found = self.folded(("data", *names)) if self.is_base(("data", *names)) else None
        for part in parts[len(names) :]:
            found = None if found is None else (stored(found[0], part),)
        return None if found is None or found[0] is UNDEFINED else found

    def folded(self, path: Path) -> tuple[Value] | None:
        """What stands at a path of data in every evaluation, UNDEFINED too; None if some `with` may replace it."""
        if not self.optimize or any(path[: len(one)] == one[: len(path)] for one in self.replaced):
            return None
        value: Value = self.base
        for name in path[1:]:
            value = lookup(value, name)
        return (value,)

    def is_base(self, path: Path) -> bool:
        """Whether a path of data leads to no rule, nor to a package."""
        node = self.tree
        for name in path[1:]:
            child = node.children.get(name)
            if child is None:
                return not node.rules
            node = child
        return False

    @cached_property
    def replaced(self) -> tuple[Path, ...]:
        """The paths of data that some `with` replaces."""
        return tuple(path for path in self.mocks if path[0] == "data")

    def sized(self, name: str) -> bool:
        """Whether what a builtin makes may be large."""
        return not self.signatures[name].endswith(("-> boolean", "-> number", "-> null"))

    def stored(self, path: Path) -> bool:
        """Whether the data has anything at a path."""
        value: Value = self.base
        for name in path[1:]:
            if not isinstance(value, dict) or name not in value:
                return False
            value = value[name]
        return True


class References:
    """Writes one function."""

    def __init__(self, around: Surroundings, writer: Writer) -> None:
        self.around, self.w = around, writer
        self.tree, self.builtins, self.signatures = around.tree, around.builtins, around.signatures
        self.refused, self.deprecated, self.mocks = around.refused, around.deprecated, around.mocks
        self.safety = Safety(self.arity)
        self.rule: ast.Rule | None = None
        """The rule that is written."""
        self.visible: set[str] = set()
        self.reads: set[int] = set()
        self.inputs: set[Path] = set()
        self.volatile = self.expensive = False
        self.repeated = False
        """Whether the function may run more than once in an evaluation."""

    def problem(self, code: str, message: str, at: Location, *details: str) -> None:
        self.around.problems.append(Problem(code, message, at, details))

    def arity(self, path: Path) -> int | None:
        """How many arguments a function takes; None if it is not known, or may differ."""
        if path[0] == "data":
            node = self.around.functions.get(path)
            return None if node is None else node.arity
        return self.around.arities.get(".".join(path))

    def is_constant(self, atom: str, kind: Any) -> bool:
        """Whether an atom is a constant of a type; booleans are no numbers."""
        if not atom.startswith("K"):
            return False
        value = self.w.space.names[atom]
        return isinstance(value, kind)

    def atom_value(self, atom: str) -> tuple[Value] | None:
        """The value of an atom that is a constant."""
        if atom in _LITERALS:
            return (_LITERALS[atom],)
        return (self.w.space.names[atom],) if atom.startswith("K") else None

    def keyed(self, atom: str) -> str:
        """An atom in key form."""
        if self.is_constant(atom, str | int | float):
            return atom
        return f"{atom} if {atom}.__class__ is str else key({atom})"

    def same(self, left: str, right: str, *, differ: bool = False) -> None:
        """Two atoms must be equal, or must not."""
        one, other = self.atom_value(left), self.atom_value(right)
        if one is not None and other is not None:
            if equal(one[0], other[0]) is differ:
                self.w.line(self.w.fail)
            return
        if self.is_constant(left, str) or left in ("True", "False", "None"):
            left, right = right, left
        if right in ("True", "False", "None"):
            test = f"{left} is {right}"
        elif self.is_constant(right, str):
            test = f"{left} == {right}"
        else:
            test = f"equal({left}, {right})"
        (self.w.refuse if differ else self.w.require)(test)

    def mark(self, start: int, at: Location) -> None:
        """Mark the first line since `start` with the place that it was written for."""
        if len(self.w.lines) > start and "#@" not in self.w.lines[start]:
            self.w.lines[start] += f"  #@{self.around.files[at.file]}:{at.row}"

    # Terms

    def term(self, term: ast.Term) -> str:
        """The name of what a term comes to; where it is undefined, the lines give up."""
        found = constant(term)
        if found is not None:
            return self.scalar(found[0])
        w = self.w
        if isinstance(term, ast.Var):
            bound = w.variables.get(term.name)
            if bound is not None:
                return bound
            value = w.temp()
            self.unknown(term)
            return value
        if isinstance(term, ast.Ref):
            return self.reference(term)
        if isinstance(term, ast.Call):
            return self.call(term, term.args)
        if isinstance(term, ast.Comprehension):
            return self.comprehension(term)
        if isinstance(term, ast.Template):
            return self.template(term)
        made = w.temp()
        if isinstance(term, ast.Array):
            w.line(f"{made} = [{', '.join([self.term(item) for item in term.items])}]")
        elif isinstance(term, ast.SetOf):
            w.line(f"{made} = {{{', '.join([self.keyed(self.term(item)) for item in term.items])}}}")
        elif isinstance(term, ast.Object):
            pairs = [(self.keyed(self.term(name)), self.term(value)) for name, value in term.pairs]
            w.line(f"{made} = {{{', '.join(f'({name}): {value}' for name, value in pairs)}}}")
        return made

    def all_terms(self, terms: list[ast.Term]) -> list[str]:
        """The atoms of several terms. One may bind what another needs, as in `x == xs[x]`."""
        found: dict[int, str] = {}
        left = list(range(len(terms)))
        while left:
            ready = next((at for at in left if not self.lacks(terms[at])), left[0])
            left.remove(ready)
            found[ready] = self.term(terms[ready])
        return [found[at] for at in range(len(terms))]

    def lacks(self, term: ast.Term) -> bool:
        """Whether a term cannot be evaluated yet."""
        if isinstance(term, ast.Scalar):
            return False
        return bool(self.safety.needs(term, set(self.w.variables) | ROOTS, frozenset(self.visible)))

    def scalar(self, value: Value) -> str:
        return str(value) if value is None or isinstance(value, bool) else self.w.constant(value)

    def unknown(self, var: ast.Var) -> None:
        self.problem("rego_unsafe_var_error", f"var {shown(var.name)} is unsafe{near(var.name, ROOTS)}", var.at)

    # References

    def reference(self, ref: ast.Ref) -> str:
        head = ref.head
        if isinstance(head, ast.Var) and head.name not in self.w.variables:
            if head.name == "input":
                return self.stored(("input",), ref.parts)
            if head.name == "data":
                return self.data(ref)
        return self.through(self.term(head), ref.parts)

    def stored(self, path: Path, parts: list[ast.Term]) -> str:
        """A reference into input or data. What stands at a path is looked up once in an evaluation."""
        w = self.w
        index = 0
        while index < len(parts) and (name := text(parts[index])) is not None:
            path = (*path, name)
            index += 1
        if path[0] == "input":
            self.inputs.add(path[1:])
        else:
            folded = self.around.folded(path)
            if folded is not None:
                if folded[0] is UNDEFINED:
                    w.line(w.fail)
                    return self.through("U", parts[index:])
                return self.through(self.scalar(folded[0]), parts[index:], stored=True)
        value = w.known.get((w.env, path))
        if value is None:
            value = w.temp("i")
            slot = self.around.slot(path)
            w.line(f"{value} = {w.env}.values[{slot}]")
            w.line(f"if {value} is MISSING: {value} = fetch({w.env}, {slot}, {w.constant(path)})")
            w.refuse(f"{value} is U")
            w.known[w.env, path] = value
        return self.through(value, parts[index:], stored=path[0] == "data")

    def remembered(self, path: Path, otherwise: str) -> str:
        return self.w.known.get((self.w.env, path), otherwise)

    def through(self, value: str, parts: list[ast.Term], *, packages: bool = False, stored: bool = False) -> str:
        """Further into a value. With `packages`, what is looked into may be one; with `stored`, it is of the data."""
        w = self.w
        prefix = "node_" if packages else ""
        env = f"{w.env}, " if packages else ""
        for part in parts:
            if not any(name not in w.variables for name in pattern_names(part)):
                at = self.term(part)
                inner = w.temp()
                if packages:
                    w.line(f"{inner} = node_lookup({env}{value}, {at})")
                elif self.is_constant(at, str):
                    w.line(f"{inner} = {value}.get({at}, U) if {value}.__class__ is dict else lookup({value}, {at})")
                else:
                    w.line(f"{inner} = {'stored' if stored else 'lookup'}({value}, {at})")
                w.refuse(f"{inner} is U")
            elif isinstance(part, ast.Var) and part.wildcard and not packages:
                inner = w.temp("v")
                order = "_in_order" if w.ordered else ""
                w.loop(
                    f"for {inner} in {self.each(value)}:"
                    if not order
                    else f"for {inner} in values{order}({w.env}, {value}):"
                )
            else:
                at, inner = w.temp("v"), w.temp("v")
                order = "_in_order" if w.ordered and not packages else ""
                w.loop(f"for {at}, {inner} in {prefix}items{order}({w.env}, {value}):")
                self.match(part, at)
            value = inner
        if packages:
            whole = w.temp()
            w.line(f"{whole} = force({w.env}, {value})")
            w.refuse(f"{whole} is U")
            return whole
        return value

    def each(self, value: str) -> str:
        """What to iterate over. The outermost loop of a rule runs once in an evaluation and is not counted."""
        found = self.atom_value(value)
        if found is not None and not (isinstance(found[0], list | dict | set) and found[0]):
            return "()"
        asked = f"values({self.w.env}, {value})"
        once = self.w.loops == 0 and not self.repeated
        return f"({value} if {value}.__class__ is list else {asked})" if once else asked

    def data(self, ref: ast.Ref) -> str:
        """A reference that begins with `data`: to rules as far as they go, then into values."""
        w = self.w
        node = self.tree
        parts = list(ref.parts)
        while parts and not node.rules:
            name = text(parts[0])
            if name is None or name not in node.children:
                break
            node = node.children[name]
            parts.pop(0)
        if node.rules:
            if node.kind == FUNCTION:
                self.problem(TYPE, f"function {'.'.join(node.path)} used as reference, not called", ref.at)
                return "None"
            self.reads.add(node.number)
            value = self.remembered(node.path, "")
            if not value:
                value = w.temp()
                w.line(f"{value} = R{node.number}({w.env})")
                w.refuse(f"{value} is U")
                w.known[w.env, node.path] = value
            return self.through(value, parts)
        if parts and isinstance(parts[0], ast.Scalar):
            return self.stored(node.path, parts)
        self.reads |= matching(node, parts)
        if (found := self.siblings(node, parts)) is not None:
            return self.through(found, parts[2:])
        value = w.temp()
        w.line(f"{value} = at_node({w.env}, {w.space.constant(node, 'N')})")
        return self.through(value, parts, packages=True)

    def siblings(self, node: Node, parts: list[ast.Term]) -> str | None:
        """`data.rules[_].deny`: the rules of that name are asked one by one, if nothing else can be there."""
        w = self.w
        name = text(parts[1]) if len(parts) > 1 else None
        first = parts[0] if parts else None
        if name is None or not isinstance(first, ast.Var) or not first.wildcard or self.around.stored(node.path):
            return None
        found = [child.children[name] for at, child in sorted(node.children.items()) if name in child.children]
        if any(not one.rules or one.kind == FUNCTION for one in found) or any(
            one.rules for one in node.children.values()
        ):
            return None
        value = w.temp("v")
        functions = "".join(f"R{one.number}, " for one in found)
        asked = f"called({w.env}, ({functions}))"
        w.loop(
            f"for {value} in ({asked} if not {w.env}.patches else "
            f"below({w.env}, {w.space.constant(node, 'N')}, {w.constant(name)})):"
        )
        return value

    # Patterns

    def match(self, pattern: ast.Term, value: str) -> None:
        """Bind a pattern to a value, or give up."""
        w = self.w
        if isinstance(pattern, ast.Var):
            bound = w.variables.get(pattern.name)
            if bound is None:
                w.variables[pattern.name] = value
            else:
                self.same(bound, value)
        elif isinstance(pattern, ast.Array | ast.Object) and value in ("True", "False", "None"):
            w.refuse("True")
            for bound_name in pattern_names(pattern):
                w.variables.setdefault(bound_name, value)
        elif isinstance(pattern, ast.Array) and constant(pattern) is None:
            w.refuse(f"{value}.__class__ is not list or len({value}) != {len(pattern.items)}")
            for index, item in enumerate(pattern.items):
                if isinstance(item, ast.Var) and item.wildcard:
                    continue
                inner = w.temp("v")
                w.line(f"{inner} = {value}[{index}]")
                self.match(item, inner)
        elif isinstance(pattern, ast.Object) and constant(pattern) is None:
            w.refuse(f"{value}.__class__ is not dict or len({value}) != {len(pattern.pairs)}")
            for at, item in pattern.pairs:
                inner = w.temp("v")
                w.line(f"{inner} = {value}.get({self.keyed(self.term(at))}, U)")
                w.refuse(f"{inner} is U")
                self.match(item, inner)
        else:
            self.same(self.term(pattern), value)

    def call(self, call: ast.Call, args: list[ast.Term]) -> str:
        raise NotImplementedError

    def comprehension(self, term: ast.Comprehension) -> str:
        raise NotImplementedError

    def template(self, term: ast.Template) -> str:
        raise NotImplementedError


def text(term: ast.Term) -> str | None:
    """The value of a term that is a string; None of any other term."""
    return term.value if isinstance(term, ast.Scalar) and isinstance(term.value, str) else None


def shown(name: str) -> str:
    """A variable as it was written."""
    return "_" if name.startswith("$") else name.partition(".")[0]


def matching(node: Node, parts: list[ast.Term]) -> set[int]:
    """The rules that a reference may come to, from a package on."""
    if node.rules:
        return set() if node.kind == FUNCTION else {node.number}
    name = text(parts[0]) if parts else None
    if name is not None:
        child = node.children.get(name)
        return set() if child is None else matching(child, parts[1:])
    return {number for name, child in node.children.items() if name[0] != "$" for number in matching(child, parts[1:])}


def _arity(signature: str) -> int | None:
    """The number of arguments; None where it may be any."""
    depth, count = 0, 0
    inside = signature[1 : _closing(signature)]
    if not inside:
        return 0
    if inside.startswith("*") or ", *" in inside:
        return None
    for sign in inside:
        depth += (sign in "[<{") - (sign in "]>}")
        count += sign == "," and depth == 0
    return count + 1


def _closing(signature: str) -> int:
    return signature.index(")")
