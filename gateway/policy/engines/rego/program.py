"""Compiled modules and data, which evaluate to values."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.policy.engines.rego import ast, runtime, tree
from gateway.policy.engines.rego.builtins import REFUSED, operators, table
from gateway.policy.engines.rego.builtins.signatures import DEPRECATED, SIGNATURES
from gateway.policy.engines.rego.check import Checker
from gateway.policy.engines.rego.errors import COMPILE, INTERNAL, BuiltinError, EvaluationError, Problem, RegoError
from gateway.policy.engines.rego.meter import RUNNING, Meter
from gateway.policy.engines.rego.planner import Plan, find_constant, recursive
from gateway.policy.engines.rego.references import Surroundings
from gateway.policy.engines.rego.resolver import resolve
from gateway.policy.engines.rego.runtime import Env
from gateway.policy.engines.rego.values import UNDEFINED, Value, compare, equal, key, to_json
from gateway.policy.engines.rego.writer import Namespace

STEPS = 10_000_000
FOREVER = float("inf")
FILE = "<policy>"
"""What the code of a program is called in tracebacks."""
_HELPERS = (
    *(
        "ONCE",
        "MISSING",
        "SIZED",
        "Made",
        "at_node",
        "base",
        "below",
        "called",
        "conflict",
        "fault",
        "fetch",
        "force",
        "items",
        "items_in_order",
        "lookup",
    ),
    *(
        "mocked",
        "node_items",
        "node_lookup",
        "one_of",
        "patched",
        "plain",
        "put",
        "put_in_set",
        "put_pair",
        "settled",
        "stored",
        "values",
    ),
    *("values_in_order", "with_data", "with_function", "with_input"),
)


class Program:
    """Compiled modules. Made by `compile_bundle`; several threads may use one."""

    def __init__(
        self,
        modules: Iterable[ast.Module],
        data: dict[str, Value],
        *,
        strict: bool = False,
        optimize: bool = True,
    ) -> None:
        problems: list[Problem] = []
        self.modules = list(modules)
        self.data = data
        self.tree = tree.build(self.modules, problems)
        _check_data(self.tree, data, problems)
        resolve(self.modules, problems, strict=strict)
        if problems:
            raise RegoError(problems)
        around = Surroundings(self.tree, table(), SIGNATURES)
        around.base, around.modules = data, self.modules
        around.files = {module.file: index for index, module in enumerate(self.modules)}
        around.refused, around.deprecated = REFUSED, DEPRECATED
        around.mocks, around.optimize = frozenset(_targets(self.modules)), optimize
        space = Namespace()
        self.plans = [Plan(node, around, space) for node in tree.rules(self.tree)]
        found = around.problems or recursive(self.plans)
        if not found:
            reads = {plan.node.number: plan.reads for plan in self.plans}
            found = Checker(self.tree, reads, around.ordered).check()
        if found:
            raise RegoError(found)
        if optimize:
            find_constant(self.plans)
        for plan in self.plans:
            plan.finish()
        self.slots = around.slots
        self.blank: list[Any] = [runtime.MISSING] * (len(self.plans) + len(around.slots))
        """The values that an evaluation begins with: what stands in data."""
        for path, slot in around.slots.items():
            if path[0] == "data":
                self.blank[slot] = _stored(data, path)
        self.template = self.blank.copy()
        """The same with the values of rules that read no input, once they were asked."""
        self.source = "\n".join(line for plan in self.plans for line in plan.lines)
        names = space.names | {name: getattr(runtime, name) for name in _HELPERS}
        names |= {
            "U": UNDEFINED,
            "BuiltinError": BuiltinError,
            "EvaluationError": EvaluationError,
            "compare": compare,
            "equal": equal,
            "key": key,
        }
        names |= {"has": operators.has, "template": operators.template}
        names |= {
            "SIZED": runtime.SIZED,
            "NUMBERS": frozenset({int, float}),
            "COLLECTIONS": frozenset({list, dict, set}),
        }
        # Only names and constants that were made here stand in this text; a policy's own words are in `names`.
        self._code, self._names = compile(self.source, FILE, "exec"), names
        self.functions, self._globals = self.again()
        self._entries = {plan.node.path: plan.node.number for plan in self.plans if plan.node.kind != tree.FUNCTION}

    def again(self) -> tuple[list[Any], dict[str, Any]]:
        """The functions of the rules, made anew, and the names by which they call each other."""
        names = dict(self._names)
        exec(self._code, names)  # noqa: S102
        return [names[f"R{number}"] for number in range(len(self.plans))], names

    def replace(self, number: int, function: Any) -> None:
        """Put another function in the place of a rule's."""
        self.functions[number] = self._globals[f"R{number}"] = function

    def env(
        self,
        input_: Value,
        *,
        steps: int = STEPS,
        deadline: float = FOREVER,
        now_ns: int | None = None,
        strict: bool = False,
    ) -> Env:
        """An evaluation about to begin."""
        now = time.time_ns() if now_ns is None else now_ns
        return Env(self, input_, self.data, Meter(steps, deadline), now, strict)

    def evaluate(self, path: tuple[str, ...], env: Env) -> Value:
        """The value of a rule or a package, by its path (`("data", "gateway", "decision")`), or UNDEFINED.

        Raises EvaluationError; TooLong is one.
        """
        before, RUNNING.meter = RUNNING.meter, env.meter
        try:
            number = self._entries.get(path)
            if number is not None:
                return self.functions[number](env)
            value: Value = self.tree
            for name in path[1:]:
                value = runtime.node_lookup(env, value, name)
                if value is UNDEFINED:
                    return UNDEFINED
            return runtime.force(env, value)
        except EvaluationError:
            raise
        except Exception as error:
            raise _fault(error) from error
        finally:
            RUNNING.meter = before

    def document(self, path: tuple[str, ...], env: Env) -> Value:
        """What `evaluate` comes to, as plain JSON within the same budget, or UNDEFINED. Raises EvaluationError."""
        value = self.evaluate(path, env)
        if value is UNDEFINED:
            return UNDEFINED
        before, RUNNING.meter = RUNNING.meter, env.meter
        try:
            return to_json(value)
        except EvaluationError:
            raise
        except Exception as error:
            raise _fault(error) from error
        finally:
            RUNNING.meter = before

    def reaches(self, path: tuple[str, ...]) -> list[Plan]:
        """The plans of all rules that a value may depend on."""
        start = tree.find(self.tree, path)
        left = [node.number for node in tree.rules(start)] if start is not None else []
        seen = set(left)
        while left:
            for number in self.plans[left.pop()].reads - seen:
                seen.add(number)
                left.append(number)
        return [self.plans[number] for number in sorted(seen)]


def _fault(error: Exception) -> EvaluationError:
    """The error for an exception that no builtin raises on purpose: its type, and no value."""
    if isinstance(error, RecursionError):
        return EvaluationError(INTERNAL, "a value is nested too deeply")
    return EvaluationError(INTERNAL, f"a fault of the engine: {type(error).__name__}")


def _stored(data: dict[str, Value], path: tuple[str, ...]) -> Value:
    value: Value = data
    for name in path[1:]:
        value = runtime.lookup(value, name)
    return value


def _targets(modules: Iterable[ast.Module]) -> Iterable[tuple[str, ...]]:
    """What some `with` replaces, anywhere."""
    for module in modules:
        for rule in module.rules:
            one: ast.Rule | None = rule
            while one is not None:
                yield from _in_body(one.body)
                for term in (one.key, one.value, *one.ref[1:]):
                    if term is not None:
                        yield from _in_term(term)
                one = one.otherwise


def _in_body(body: list[ast.Literal]) -> Iterable[tuple[str, ...]]:
    for literal in body:
        for one in literal.withs:
            yield one.target
            yield from _in_term(one.value)
        for name in literal.what.__slots__:
            part = getattr(literal.what, name)
            if isinstance(part, list):
                yield from _in_body([inner for inner in part if isinstance(inner, ast.Literal)])
            elif part is not None and not isinstance(part, str | bool):
                yield from _in_term(part)


def _in_term(term: ast.Term) -> Iterable[tuple[str, ...]]:
    if isinstance(term, ast.Comprehension):
        yield from _in_body(term.body)
        for head in (term.key, term.value):
            if head is not None:
                yield from _in_term(head)
    elif isinstance(term, ast.Template):
        yield from _in_body([part for part in term.parts if isinstance(part, ast.Literal)])
    else:
        for child in ast.children(term):
            yield from _in_term(child)


def _check_data(root: tree.Node, data: Mapping[str, Any], problems: list[Problem]) -> None:
    """A rule in the place of data, which OPA refuses."""
    for node in tree.rules(root):
        value: Any = data
        for name in node.path[1:]:
            value = value.get(name, UNDEFINED) if isinstance(value, dict) else UNDEFINED
        if value is not UNDEFINED:
            words = f"conflicting rule for data path {'/'.join(node.path[1:])} found"
            problems.append(Problem(COMPILE, words, node.rules[0].at))
