"""Compiles rules: which definitions are evaluated in which order, and how their values become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.bodies import Bodies, Undeclared
from gateway.policy.engines.rego.constants import constant
from gateway.policy.engines.rego.errors import COMPILE, PARSE, RECURSION, TOO_DEEP, UNSAFE, Location, Problem, near
from gateway.policy.engines.rego.index import Index, index_of
from gateway.policy.engines.rego.references import Surroundings, shown
from gateway.policy.engines.rego.safety import ROOTS, Unsafe
from gateway.policy.engines.rego.tree import COMPLETE, FUNCTION, OBJECT, SET, Node
from gateway.policy.engines.rego.writer import MOST_LOOPS, Namespace, TooDeep, Writer


class Plan:
    """The functions of one node: their lines, what they read, and what that means for memoizing."""

    def __init__(self, node: Node, around: Surroundings, space: Namespace) -> None:
        self.node, self.around, self.space = node, around, space
        self.name = f"R{node.number}"
        self.lines: list[str] = []
        self.middle: list[str] = []
        """How the definitions are asked, and their values become one."""
        self.definitions: dict[str, ast.Rule] = {}
        """What each function of a definition was written for, by its name."""
        self.variables: dict[str, dict[str, str]] = {}
        """What the policy calls the variables of such a function."""
        self.reads: set[int] = set()
        self.inputs: set[tuple[str, ...]] = set()
        self.volatile = self.expensive = self.constant = False
        """What calls decide, and (once all rules are planned) whether no evaluation differs from another."""
        self.params = ["E", *(f"a{index}" for index in range(node.arity))] if node.kind == FUNCTION else ["E"]
        self.given = ", ".join(self.params)
        {COMPLETE: self.complete, FUNCTION: self.complete, SET: self.gathered, OBJECT: self.gathered}[node.kind]()

    def finish(self) -> None:
        """Write the function of the rule around its definitions."""
        lines = [f"def {self.name}({self.given}):"]
        if self.node.kind == FUNCTION:
            lines += ["    m = E.meter", "    m.left -= 1", "    if m.left < 0: m.spent()", *self.middle]
        else:
            number = self.node.number
            lines += [
                f"    v = E.values[{number}]",
                "    if v is not MISSING: return v",
                "    if E.patches:",
                f"        v = patched(E, {self.space.constant(self.node.path)})",
                "        if v is not MISSING:",
                f"            E.values[{number}] = v",
                "            return v",
                *self.middle,
                f"    E.values[{number}] = v",
                *([f"    if E.whole: E.program.template[{number}] = v"] if self.constant else ()),
            ]
        self.lines += [*lines, "    return v"]

    def complete(self) -> None:
        """One value; definitions that come to different ones conflict."""
        same = self.agree()
        usual = [rule for rule in self.node.rules if not rule.default]
        index = index_of(usual, self.around.known) if self.around.optimize else None
        self.middle.append("    v = U")
        chains = [self.chain(rule, number) for number, rule in enumerate(usual)]
        if index is not None:
            self.middle += self.asked_by_index(index, chains, usual, same=same)
        else:
            first = True
            for chain, rule in zip(chains, usual, strict=True):
                if chain:
                    self.middle += self.asked(chain, first=first, same=same, at=rule.at)
                    first = False
            if len(usual) > 1 and not same:
                self.listed(chains, usual)
        for rule in self.node.rules:
            if rule.default and self.definition(rule, f"{self.name}_d"):
                self.middle.append(f"    if v is U: v = {self.name}_d({self.given})")

    def chain(self, rule: ast.Rule, number: int) -> list[str]:
        """Write a definition and its `else` parts; their functions in order, without those that can never hold."""
        found = []
        one: ast.Rule | None = rule
        step = 0
        while one is not None:
            name = f"{self.name}_{number}" + (f"_{step}" if step else "")
            if self.definition(one, name):
                found.append(name)
            one = one.otherwise
            step += 1
        return found

    def listed(self, chains: list[list[str]], rules: list[ast.Rule]) -> str:
        """Write a list of the definitions; its name."""
        entries = (
            f"(({''.join(f'{part}, ' for part in parts)}), {self.space.constant(rule.at)})"
            for parts, rule in zip(chains, rules, strict=True)
        )
        self.lines.append(f"{self.name}_all = [{', '.join(entries)}]")
        return f"{self.name}_all"

    def conflict(self, at: str, definitions: str) -> str:
        """The error for two values: `at` and `definitions` are expressions of the function."""
        name, function = self.space.constant(".".join(self.node.path)), self.node.kind == FUNCTION
        return f"conflict({name}, {at}, function={function}, definitions={definitions}, given=({self.given},))"

    def selected(self, index: Index, chains: list[list[str]], rules: list[ast.Rule]) -> list[str]:
        """Lines that loop over the definitions that can hold: `parts` are the functions of one, `at` its place."""
        name = self.listed(chains, rules)
        lines, numbers = [], []
        for place, table in index.tables:
            value = f"a{place}"
            if isinstance(place, tuple):
                self.inputs.add(place[1:])
                slot = self.around.slot(place)
                value = f"i{slot}"
                lines += [
                    f"    {value} = E.values[{slot}]",
                    f"    if {value} is MISSING: {value} = fetch(E, {slot}, {self.space.constant(place)})",
                ]
            others = index.always if len(index.tables) == 1 else ()
            merged = {form: tuple(sorted((*at, *others))) for form, at in table.items()}
            found = f"{self.space.constant(merged, 'X')}.get"
            numbers.append(
                f"{found}({value} if {value}.__class__ is str else plain({value}), {self.space.constant(others)})"
            )
        if len(numbers) > 1:
            listed = ", ".join(f"*{one}" for one in numbers)
            numbers = [f"sorted(({listed}, *{self.space.constant(index.always)}))"]
        return [*lines, f"    found = {numbers[0]}", "    for n in found:", f"        parts, at = {name}[n]"]

    def asked_by_index(self, index: Index, chains: list[list[str]], rules: list[ast.Rule], *, same: bool) -> list[str]:
        """Ask the definitions that can hold."""
        lines = [
            *self.selected(index, chains, rules),
            "        w = U",
            "        for f in parts:",
            f"            w = f({self.given})",
            "            if w is not U: break",
        ]
        if same:
            return [*lines, "        if w is not U:", "            v = w", "            break"]
        definitions = f"[{self.name}_all[n] for n in found]"
        raised = self.conflict("at", definitions)
        return [
            *lines,
            "        if v is U: v = w",
            f"        elif w is not U and not equal(v, w): raise {raised}",
        ]

    def agree(self) -> bool:
        """Whether all definitions have one and the same constant value: then the first that holds is enough."""
        found = []
        for rule in self.node.rules:
            one: ast.Rule | None = None if rule.default else rule
            while one is not None:
                value = one.value
                if not isinstance(value, ast.Scalar) or not isinstance(value.value, bool):
                    return False
                found.append(value.value)
                one = one.otherwise
        return len(set(found)) == 1

    def asked(self, chain: list[str], *, first: bool, same: bool, at: Location) -> list[str]:
        """Ask a definition and its `else` parts."""
        params = self.given
        name, *others = chain
        if first:
            return [f"    v = {name}({params})", *(f"    if v is U: v = {other}({params})" for other in others)]
        if same:
            return [f"    if v is U: v = {one}({params})" for one in chain]
        raised = self.conflict(self.space.constant(at), f"{self.name}_all")
        return [
            f"    w = {name}({params})",
            *(f"    if w is U: w = {other}({params})" for other in others),
            "    if v is U: v = w",
            f"    elif w is not U and not equal(v, w): raise {raised}",
        ]

    def gathered(self) -> None:
        """A set, or an object of all that the definitions enter."""
        rules = self.node.rules
        self.middle.append(f"    v = {'set()' if self.node.kind == SET else 'Made()'}")
        index = index_of(rules, self.around.known) if self.around.optimize else None
        chains = [self.chain(rule, number) for number, rule in enumerate(rules)]
        if index is not None:
            self.middle += [
                *self.selected(index, chains, rules),
                "        for f in parts:",
                "            if f(E, v): break",
            ]
        for chain in chains if index is None else ():
            for step, function in enumerate(chain):
                if len(chain) == 1:
                    self.middle.append(f"    {function}(E, v)")
                else:
                    self.middle.append(f"    {'if not f: ' if step else ''}f = {function}(E, v)")
        if self.node.kind == OBJECT:
            self.middle.append("    v = settled(v)")

    def definition(self, rule: ast.Rule, name: str) -> bool:
        """Write one definition as a function of its own; False if it can never hold."""
        gathers = self.node.kind in (SET, OBJECT)
        params = ", ".join([*self.params, "S"] if gathers else self.params)
        writer = Writer(self.space, f"def {name}({params}):", "return False" if gathers else "return U")
        bodies = Bodies(self.around, writer)
        bodies.rule = rule
        bodies.repeated = self.node.kind == FUNCTION
        try:
            self.write(rule, bodies, writer)
        except Undeclared as error:
            self.around.problems += error.problems
            return True
        except Unsafe as error:
            for names, literal in error.missing:
                for missing in sorted({shown(one) for one in names}):
                    words = f"var {missing} is unsafe{near(missing, ROOTS)}"
                    self.around.problems.append(Problem(UNSAFE, words, literal.at))
            return True
        except RecursionError:
            self.around.problems.append(Problem(PARSE, TOO_DEEP, rule.at))
            return True
        except TooDeep:
            words = f"more than {MOST_LOOPS} iterations within one another; put some into a rule of their own"
            self.around.problems.append(Problem(COMPILE, words, rule.at))
            return True
        self.reads |= bodies.reads
        self.inputs |= bodies.inputs
        self.volatile = self.volatile or bodies.volatile
        self.expensive = self.expensive or bodies.expensive
        if writer.lines[1].partition("  #@")[0] == f"    {writer.fails[0]}":
            return False
        self.lines += self.space.share(name, writer.lines) if self.around.optimize else writer.lines
        self.definitions[name] = rule
        self.variables[name] = {atom: shown(var) for var, atom in writer.variables.items() if var[0] != "$"}
        return True

    def write(self, rule: ast.Rule, bodies: Bodies, writer: Writer) -> None:
        later = []
        for index, arg in enumerate(rule.args or ()):
            if isinstance(arg, ast.Var | ast.Scalar | ast.Array | ast.Object):
                bodies.match(arg, f"a{index}")
            else:
                later.append((arg, f"a{index}"))
        bodies.visible = set(writer.variables)
        suffix = self.node.suffix(rule)
        bodies.body(rule.body, [rule.key, rule.value, *suffix], whole=True)
        for arg, given in later:
            bodies.match(arg, given)
        if self.node.kind == SET:
            assert rule.key is not None
            value = bodies.term(rule.key)
            writer.line(f"S.add({bodies.keyed(value)})")
            if writer.loops == 0:
                writer.line("return True")
            return
        if self.node.kind == OBJECT:
            self.entered(rule, suffix, bodies, writer)
            return
        assert rule.value is not None
        value = bodies.term(rule.value)
        if writer.loops == 0 or constant(rule.value) is not None:
            writer.line(f"return {value}")
        else:
            raised = f"conflict({writer.constant('.'.join(self.node.path))}, {writer.constant(rule.at)}"
            writer.line(f"if r is U: r = {value}")
            writer.line(
                f"elif r is not {value} and not equal(r, {value}): "
                f"raise {raised}, function={self.node.kind == FUNCTION})"
            )
            writer.lines.insert(1, "    r = U")
        if writer.loops:
            writer.depth = 1
            writer.line("return r" if constant(rule.value) is None else "return U")

    def entered(self, rule: ast.Rule, suffix: list[ast.Term], bodies: Bodies, writer: Writer) -> None:
        given = rule.key if rule.key is not None else rule.value
        assert given is not None
        first = any(map(bodies.lacks, suffix))
        value = bodies.term(given) if first else ""  # what iterates in a value may bind what stands in the name
        keys = [bodies.term(part) for part in suffix]
        value = value if first else bodies.term(given)
        put = "put_in_set" if rule.key is not None else "put"
        writer.line(f"{put}(S, [{', '.join(keys)}], {value}, {writer.constant(rule.at)})")
        if writer.loops == 0:
            writer.line("return True")


def find_constant(plans: Sequence[Plan]) -> None:
    """Mark the rules with the same value in each evaluation: neither they nor the rules they use read input or time."""
    waiting = [plan for plan in plans if plan.node.kind != FUNCTION]
    varying = {plan.node.number for plan in plans if plan.inputs or plan.volatile}
    readers: dict[int, list[int]] = {}
    for plan in plans:
        for number in plan.reads:
            readers.setdefault(number, []).append(plan.node.number)
    left = list(varying)
    while left:
        for number in readers.get(left.pop(), ()):
            if number not in varying:
                varying.add(number)
                left.append(number)
    for plan in waiting:
        plan.constant = plan.node.number not in varying


def recursive(plans: Iterable[Plan]) -> list[Problem]:
    """A problem for each rule that depends on itself."""
    by_number = {plan.node.number: plan for plan in plans}
    done: set[int] = set()
    found: list[Problem] = []
    for number in by_number:
        _visit(number, by_number, [], done, found)
    return found


def _visit(number: int, plans: dict[int, Plan], way: list[int], done: set[int], found: list[Problem]) -> None:
    stack: list[tuple[int, list[int]]] = [(number, sorted(plans[number].reads))] if number not in done else []
    way = [number]
    on_way = {number}
    while stack:
        current, left = stack[-1]
        if not left:
            stack.pop()
            way.pop()
            on_way.discard(current)
            done.add(current)
            continue
        following = left.pop(0)
        if following in on_way:
            cycle = [*way[way.index(following) :], following]
            names = [".".join(plans[one].node.path) for one in cycle]
            node = plans[following].node
            words = f"rule {names[0]} is recursive: {' -> '.join(names)}"
            found.append(Problem(RECURSION, words, node.rules[0].at))
        elif following not in done and following in plans:
            stack.append((following, sorted(plans[following].reads)))
            way.append(following)
            on_way.add(following)
