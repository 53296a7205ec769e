"""Compiles calls of builtins and functions, conditions and comprehensions."""

from __future__ import annotations

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.builtins import MISSING
from gateway.policy.engines.rego.errors import COMPILE, INTERNAL, TYPE, UNSAFE, Location, near
from gateway.policy.engines.rego.reference_types import spell_term
from gateway.policy.engines.rego.references import References, shown
from gateway.policy.engines.rego.runtime import LOOKED, MADE
from gateway.policy.engines.rego.safety import ROOTS, direct
from gateway.policy.engines.rego.tree import FUNCTION, find
from gateway.policy.engines.rego.values import compare

_ORDER = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_HOLDS = {"lt": (0).__gt__, "lte": (0).__ge__, "gt": (0).__lt__, "gte": (0).__le__}
_ARITHMETIC = {"plus": "+", "minus": "-"}
_SAFE = frozenset({"equal", "neq", "lt", "lte", "gt", "gte", "internal.member_2", "internal.member_3"})
"""Builtins that never fail."""
_AT_ONCE = frozenset(
    {"count", "type_name", "startswith", "endswith", "object.get", "is_array", "is_boolean", "is_null", "is_number"}
    | {"is_object", "is_set", "is_string", "round", "ceil", "floor", "abs", "mul", "div", "rem", "plus"}
)
"""Builtins that do not go through what they are given."""


class Calls(References):
    """Terms that are computed."""

    def condition(self, term: ast.Term) -> None:
        """A term that must hold."""
        w = self.w
        if isinstance(term, ast.Scalar):
            if term.value is False:
                w.line(w.fail)
            return
        if isinstance(term, ast.Call):
            if term.infix and len(term.args) == 2 and self.compared(term):
                return
            if term.path == ("eq",) or (term.path == ("assign",) and len(term.args) < 2):
                words = "too many arguments" if len(term.args) > 2 else "arity mismatch"
                self.problem(TYPE, f"{term.name}: {words}", term.at)  # with two arguments it is a unification
                return
            arity = self.arity(term.path)
            if arity is not None and len(term.args) == arity + 1 and not term.infix:
                self.match(term.args[-1], self.call(term, term.args[:-1]))
                return
            if not term.infix and term.path == ast.PRINT:
                self.unasked(term.args)
                return
            value = self.call(term, term.args)
            if not self.void(term.path):
                w.refuse(f"{value} is False")
            return
        value = self.term(term)
        if not isinstance(term, ast.Array | ast.SetOf | ast.Object | ast.Comprehension | ast.Template):
            w.refuse(f"{value} is False")

    def compared(self, call: ast.Call) -> bool:
        """A comparison, in line; False if it is another operator."""
        name, w = call.name, self.w
        if name in ("equal", "neq"):
            left, right = self.all_terms(call.args)
            self.same(left, right, differ=name == "neq")
        elif name in _ORDER:
            left, right = self.all_terms(call.args)
            one, other = self.atom_value(left), self.atom_value(right)
            if one is not None and other is not None:
                if not _HOLDS[name](compare(one[0], other[0])):
                    w.line(w.fail)
                return True
            sign = _ORDER[name]
            numbers = " and ".join(
                f"{atom}.__class__ in NUMBERS" for atom in (left, right) if not self.is_constant(atom, int | float)
            )
            plain = f"{left} {sign} {right}"
            w.require(f"({plain}) if {numbers} else compare({left}, {right}) {sign} 0" if numbers else plain)
        elif name == "internal.member_2":
            left, right = self.all_terms(call.args)
            listed = f"{right}.__class__ is list and len({right}) <= {LOOKED}"
            if not self.is_constant(left, str):
                listed += f" and {left}.__class__ is str"
            w.require(f"({left} in {right}) if {listed} else has({left}, {right})")
        else:
            return False
        return True

    def unasked(self, terms: list[ast.Term]) -> None:
        """Compile terms for their errors alone: no lines are kept."""
        w = self.w
        start, before = len(w.lines), (dict(w.variables), dict(w.known), w.loops, w.fails[:])
        marks = (self.volatile, self.expensive, set(self.inputs))
        w.loops = 0
        for term in terms:
            self.term(term)
        del w.lines[start:]
        w.variables, w.known, w.loops, w.fails = before
        self.volatile, self.expensive, self.inputs = marks

    def void(self, path: tuple[str, ...]) -> bool:
        signature = self.signatures.get(".".join(path), "->")
        return "->" not in signature

    def call(self, call: ast.Call, args: list[ast.Term]) -> str:
        """The value of a call."""
        if call.path[0] == "data":
            return self.call_function(call, args)
        if call.name in ("rego.metadata.rule", "rego.metadata.chain") and not args and self.rule is not None:
            about = self.around.metadata
            return self.w.constant(about.rule(self.rule) if call.path[-1] == "rule" else about.chain(self.rule))
        if call.name == "assign" and len(args) == 2 and call.path not in self.mocks:
            self.all_terms(args)
            words = "unsupported built-in: assign"  # OPA loads it, too
            self.w.line(f"raise EvaluationError({INTERNAL!r}, {words!r}, {self.w.constant(call.at)})")
            return "None"
        builtin = self.builtins.get(call.name)
        if not self.may_call(call, args, builtin is not None):
            return "None"
        assert builtin is not None
        w = self.w
        atoms = self.all_terms(args)
        self.volatile = self.volatile or builtin.volatile
        self.expensive = self.expensive or builtin.expensive
        if call.name in _ARITHMETIC and call.path not in self.mocks:
            return self.arithmetic(call, atoms)
        function = w.space.constant(builtin.call, "B")
        given = ([w.env] if builtin.context else []) + atoms
        if call.path in self.mocks:
            usual = f"lambda *a: {function}({w.env}, *a)" if builtin.context else function
            made = f"mocked({w.env}, {w.constant(call.path)}, {usual}, {', '.join(atoms)})"
        else:
            made = f"{function}({', '.join(given)})"
        value = w.temp()
        if call.name in _SAFE and call.path not in self.mocks:
            w.line(f"{value} = {made}")
            return value
        self.looked(call, args, atoms)
        self.tried(value, made, call)
        if self.around.sized(call.name):
            w.line(f"if {value}.__class__ in SIZED and len({value}) > {MADE}: {w.env}.makes({value})")
        if builtin.relation:
            item = w.temp("v")
            w.loop(f"for {item} in values({w.env}, {value}):")
            return item
        w.refuse(f"{value} is U")
        return value

    def looked(self, call: ast.Call, args: list[ast.Term], atoms: list[str]) -> None:
        """Count what a builtin is given, where it is large and the builtin goes through all of it."""
        once = self.w.loops == 0 and not self.repeated
        if call.name in _AT_ONCE or once:
            return
        small = ast.Scalar | ast.Array | ast.Object | ast.SetOf
        given = [atom for arg, atom in zip(args, atoms, strict=True) if not isinstance(arg, small)]
        if not given:
            return
        test = " or ".join(f"({atom}.__class__ in SIZED and len({atom}) > {LOOKED})" for atom in given)
        self.w.line(f"if {test}: {self.w.env}.looks({', '.join(given)})")

    def tried(self, value: str, made: str, call: ast.Call) -> None:
        w = self.w
        w.line("try:")
        w.line(f"    {value} = {made}")
        w.line("except BuiltinError as error:")
        w.line(f"    fault({w.env}, error, {w.constant(call.at)})")
        w.line(f"    {w.fail}")

    def arithmetic(self, call: ast.Call, atoms: list[str]) -> str:
        w = self.w
        left, right = atoms
        value = w.temp()
        function = w.space.constant(self.builtins[call.name].call, "B")
        sign = _ARITHMETIC[call.name]
        w.line(f"if {left}.__class__ is int and {right}.__class__ is int: {value} = {left} {sign} {right}")
        w.line("else:")
        w.depth += 1
        self.tried(value, f"{function}({left}, {right})", call)
        w.depth -= 1
        return value

    def may_call(self, call: ast.Call, args: list[ast.Term], known: bool) -> bool:
        name = call.name
        if name in self.refused and call.path not in self.mocks:
            why = f"{name}: {self.refused[name]}"
            self.problem(TYPE, f"unsafe built-in function calls in expression: {why}", call.at)
        elif name in self.deprecated:
            self.problem(TYPE, f"deprecated built-in function calls in expression: {name}", call.at)
        elif name not in self.signatures:
            self.problem(TYPE, f"undefined function {name}{near(name, self.signatures)}", call.at)
        elif name in ("print", "internal.print"):
            self.problem(TYPE, f"{spell_term(call)} used as value", call.at)
        elif name == "eq" and len(args) > 0:
            self.problem(UNSAFE, "expression is unsafe", call.at)
        elif not known and name not in ("eq", "assign"):
            why = f" ({MISSING[name]})" if name in MISSING else ""
            words = f"{name} is not available in the embedded engine{why}; use `policy.engine: opa`"
            self.problem(COMPILE, words, call.at)
        else:
            arity = self.arity(call.path)
            if arity is None or len(args) == arity:
                return True
            self.problem(
                TYPE, f"{name}: arity mismatch", call.at, f"have: {len(args)} arguments", f"want: {arity} arguments"
            )
        return False

    def call_function(self, call: ast.Call, args: list[ast.Term]) -> str:
        node = find(self.tree, call.path)
        if node is None or node.kind != FUNCTION:
            self.problem(TYPE, f"undefined function {call.name}", call.at)
            return "None"
        if len(args) != node.arity:
            plural = "" if len(args) == 1 else "s"
            words = f"function {call.name} has arity {node.arity}, got {len(args)} argument{plural}"
            self.problem(TYPE, words, call.at)
            return "None"
        self.reads.add(node.number)
        w = self.w
        atoms = self.all_terms(args)
        value = w.temp()
        function = f"R{node.number}"
        if call.path in self.mocks:
            usual = f"lambda *a: {function}({w.env}, *a)"
            made = f"mocked({w.env}, {w.constant(call.path)}, {', '.join([usual, *atoms])})"
            self.tried(value, made, call)
        else:
            w.line(f"{value} = {function}({', '.join([w.env, *atoms])})")
        w.refuse(f"{value} is U")
        return value

    def replacement(self, one: ast.With) -> tuple[str, str]:
        """How `with` replaces its target: the function of `runtime`, and the value."""
        root = one.target[0]
        if root == "input":
            return "with_input", self.term(one.value)
        node = find(self.tree, one.target) if root == "data" else None
        if root != "data" and one.rest:
            self.problem(TYPE, "with keyword target must reference existing input, data, or a function", one.target_at)
            return "with_function", "None"
        if root == "data" and (node is None or node.kind != FUNCTION or one.rest):
            self.check_with(one)
            return "with_data", self.term(one.value)
        if root != "data" and ".".join(one.target) not in self.signatures:
            words = "with keyword target must reference existing input, data, or a function"
            self.problem(TYPE, words, one.target_at)
            return "with_function", "None"
        return "with_function", self.stand_in(one.value)

    def check_with(self, one: ast.With) -> None:
        node = self.tree
        for name in one.target[1:]:
            if node.rules:
                self.problem(COMPILE, "with keyword cannot partially replace virtual document(s)", one.target_at)
                return
            child = node.children.get(name)
            if child is None:
                return
            node = child
        if one.rest and node.rules:
            self.problem(COMPILE, "with keyword cannot partially replace virtual document(s)", one.target_at)

    def stand_in(self, term: ast.Term) -> str:
        """What replaces a function: another one, or a value."""
        if isinstance(term, ast.Ref) and isinstance(term.head, ast.Var):
            names = [part.value for part in term.parts if isinstance(part, ast.Scalar) and isinstance(part.value, str)]
            if len(names) == len(term.parts):
                path = (term.head.name, *names)
                node = find(self.tree, path) if path[0] == "data" else None
                if node is not None and node.kind == FUNCTION:
                    self.reads.add(node.number)
                    return f"R{node.number}"
        if isinstance(term, ast.Function):
            name = ".".join(term.path)
            if name in self.builtins:
                return self.builtin_stand_in(name)
            self.may_call(ast.Call(term.path, [], term.at), [], False)
            return "None"
        return self.term(term)

    def builtin_stand_in(self, name: str) -> str:
        builtin = self.builtins[name]
        function = self.w.space.constant(builtin.call, "B")
        return function if builtin.context else f"(lambda E, *a: {function}(*a))"

    # Comprehensions

    def comprehension(self, term: ast.Comprehension) -> str:
        w = self.w
        made = w.temp()
        w.line(f"{made} = {({'array': '[]', 'set': 'set()', 'object': '{}'})[term.kind]}")
        ordered = w.ordered
        w.ordered = term.kind == "array"
        outer = self.visible
        with w.once():
            self.body(term.body, [term.key, term.value])
            value = self.term(term.value) if term.key is None else ""
            if term.kind == "array":
                w.line(f"{made}.append({value})")
            elif term.kind == "set":
                w.line(f"{made}.add({self.keyed(value)})")
            else:
                assert term.key is not None
                key, value = self.term(term.key), self.term(term.value)
                w.line(f"put_pair({made}, {key}, {value}, {w.constant(term.at)})")
        self.visible = outer
        w.ordered = ordered
        return made

    def template(self, term: ast.Template) -> str:
        w = self.w
        parts = []
        for part in term.parts:
            if isinstance(part, str):
                parts.append(w.constant(part))
            else:
                assert isinstance(part.what, ast.Expr)
                assert isinstance(part.what.term, ast.Comprehension)
                if not self.undeclared(part.what.term.body, part.at):
                    parts.append(f"one_of({self.term(part.what.term)}, {w.constant(part.at)})")
        made = w.temp()
        w.line(f"{made} = template([{', '.join(parts)}])")
        w.line(f"if len({made}) > {MADE}: {w.env}.makes({made})")
        return made

    def undeclared(self, body: list[ast.Literal], at: Location) -> bool:
        """Whether a piece of a template string would iterate: a problem for each variable that nothing else binds."""
        what = body[0].what
        if isinstance(what, ast.Unify) and isinstance(what.right, ast.Var):
            return False  # unsafe
        names = {name for name in direct(body) - set(self.w.variables) - ROOTS if name[0] != "$"}
        for name in sorted(names):
            self.problem(COMPILE, f"var {shown(name)} is undeclared", at)
        return bool(names)

    def body(self, body: list[ast.Literal], heads: list[ast.Term | None]) -> None:
        raise NotImplementedError
