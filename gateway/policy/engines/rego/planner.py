"""Rules to functions of Python: which definitions a rule has, in which order they are asked, what they come to."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.bodies import Bodies
from gateway.policy.engines.rego.errors import COMPILE, RECURSION, UNSAFE, Location, Problem, near
from gateway.policy.engines.rego.index import best
from gateway.policy.engines.rego.references import Surroundings, constant, shown
from gateway.policy.engines.rego.safety import ROOTS, Unsafe
from gateway.policy.engines.rego.tree import COMPLETE, FUNCTION, OBJECT, SET, Node
from gateway.policy.engines.rego.writer import MOST_LOOPS, Namespace, TooDeep, Writer


class Plan:
    """The functions of one node: their lines, what they read, and what that means for memoizing."""

    def __init__(self, node: Node, around: Surroundings, space: Namespace) -> None:
        self.node, self.around, self.space = node, around, space
        self.lines: list[str] = []
        self.find: list[str] = []
        self.reads: set[int] = set()
        self.inputs: set[tuple[str, ...]] = set()
        self.volatile = self.expensive = False
        self.params = ["E", *(f"a{index}" for index in range(node.arity))] if node.kind == FUNCTION else ["E"]
        {COMPLETE: self.complete, FUNCTION: self.complete, SET: self.gathered, OBJECT: self.gathered}[node.kind]()

    def complete(self) -> None:
        """One value; definitions that come to different ones conflict."""
        node, params = self.node, ", ".join(self.params)
        name = f"R{node.number}"
        cached = node.kind == COMPLETE
        lines = [f"def {name}({params}):", *(self.opening() if cached else self.counted())]
        lines.append("    v = U")
        same = self.agree()
        default = None
        usual = [rule for rule in node.rules if not rule.default]
        found = best(usual)
        if found is not None:
            self.indexed(usual, found)
            lines += self.asked_by_index(params, same=same)
            usual = []
        for index, rule in enumerate(usual):
            chain = [f"{name}_{index}"]
            self.definition(rule, chain[0])
            other = rule.otherwise
            while other is not None:
                chain.append(f"{chain[0]}_{len(chain)}")
                self.definition(other, chain[-1])
                other = other.otherwise
            lines += self.asked(chain, params, first=index == 0, same=same, at=rule.at)
        for rule in node.rules:
            if rule.default:
                default = f"{name}_d"
                self.definition(rule, default)
        if default:
            lines.append(f"    if v is U: v = {default}({params})")
        if cached:
            lines.append(f"    E.values[{node.number}] = v")
        lines.append("    return v")
        self.lines += lines

    def indexed(self, definitions: list[ast.Rule], found: tuple[tuple[str, ...], list[frozenset[str] | None]]) -> None:
        """Write the definitions, and the table of those that can hold by what stands at a path of the input."""
        path, wants = found
        name = f"R{self.node.number}"
        self.inputs.add(path[1:])
        entries: list[str] = []
        for index, rule in enumerate(definitions):
            function = f"{name}_{index}"
            self.definition(rule, function)
            parts, other = [function], rule.otherwise
            while other is not None:
                parts.append(f"{function}_{len(parts)}")
                self.definition(other, parts[-1])
                other = other.otherwise
            entries.append(f"(({', '.join(parts)},), {self.space.constant(rule.at)})")
        always = [index for index, want in enumerate(wants) if want is None]
        by_text: dict[str, list[int]] = {text: list(always) for want in wants for text in want or ()}
        for index, want in enumerate(wants):
            for text in want or ():
                by_text[text].append(index)
        self.lines.append(f"{name}_all = [{', '.join(entries)}]")
        table = self.space.constant({text: tuple(sorted(at)) for text, at in by_text.items()}, "X")
        others = self.space.constant(tuple(always), "X")
        slot = self.around.slot(path)
        self.find = [
            f"    i = E.values[{slot}]",
            f"    if i is MISSING: i = fetch(E, {slot}, {self.space.constant(path)})",
            f"    for n in ({table}.get(i, {others}) if i.__class__ is str else {others}):",
            f"        parts, at = {name}_all[n]",
        ]

    def asked_by_index(self, params: str, *, same: bool) -> list[str]:
        """Ask the definitions that can hold."""
        lines = [
            *self.find,
            "        for f in parts:",
            f"            w = f({params})",
            "            if w is not U: break",
        ]
        if same:
            return [*lines, "        if w is not U:", "            v = w", "            break"]
        raised = f"conflict({self.space.constant('.'.join(self.node.path))}, at, function={self.node.kind == FUNCTION})"
        return [
            *lines,
            "        if v is U: v = w",
            f"        elif w is not U and not equal(v, w): raise {raised}",
        ]

    def opening(self) -> list[str]:
        number = self.node.number
        path = self.space.constant(self.node.path)
        return [
            f"    v = E.values[{number}]",
            "    if v is not MISSING: return v",
            "    if E.patches:",
            f"        v = patched(E, {path})",
            "        if v is not MISSING:",
            f"            E.values[{number}] = v",
            "            return v",
        ]

    def counted(self) -> list[str]:
        return ["    m = E.meter", "    m.left -= 1", "    if m.left < 0: m.spent()"]

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

    def asked(self, chain: list[str], params: str, *, first: bool, same: bool, at: Location) -> list[str]:
        """Ask a definition and its `else` parts."""
        name, *others = chain
        if first:
            return [f"    v = {name}({params})", *(f"    if v is U: v = {other}({params})" for other in others)]
        if same:
            return [f"    if v is U: v = {one}({params})" for one in chain]
        raised = f"conflict({self.space.constant('.'.join(self.node.path))}, {self.space.constant(at)}"
        return [
            f"    w = {name}({params})",
            *(f"    if w is U: w = {other}({params})" for other in others),
            "    if v is U: v = w",
            f"    elif w is not U and not equal(v, w): raise {raised}, function={self.node.kind == FUNCTION})",
        ]

    def gathered(self) -> None:
        """A set, or an object of all that the definitions enter."""
        node = self.node
        name = f"R{node.number}"
        made, ended = ("set()", "v") if node.kind == SET else ("Made()", "settled(v)")
        lines = [f"def {name}(E):", *self.opening(), f"    v = {made}"]
        found = best(node.rules)
        if found is not None:
            self.indexed(node.rules, found)
            lines += [*self.find, "        for f in parts:", "            if f(E, v): break"]
        for index, rule in enumerate(node.rules if found is None else ()):
            one: ast.Rule | None = rule
            step = 0
            while one is not None:
                function = f"{name}_{index}_{step}"
                self.definition(one, function)
                if step == 0 and one.otherwise is None:
                    lines.append(f"    {function}(E, v)")
                elif step == 0:
                    lines.append(f"    f = {function}(E, v)")
                else:
                    lines.append(f"    if not f: f = {function}(E, v)")
                one = one.otherwise
                step += 1
        lines += [f"    v = {ended}", f"    E.values[{node.number}] = v", "    return v"]
        self.lines += lines

    def definition(self, rule: ast.Rule, name: str) -> None:
        """One definition as a function of its own."""
        gathers = self.node.kind in (SET, OBJECT)
        params = ", ".join([*self.params, "S"] if gathers else self.params)
        writer = Writer(self.space, f"def {name}({params}):", "return False" if gathers else "return U")
        bodies = Bodies(self.around, writer)
        bodies.rule = rule
        bodies.repeated = self.node.kind == FUNCTION
        try:
            self.write(rule, bodies, writer)
        except Unsafe as error:
            for missing in sorted({shown(one) for one in error.names}):
                words = f"var {missing} is unsafe{near(missing, ROOTS)}"
                self.around.problems.append(Problem(UNSAFE, words, error.literal.at))
            return
        except TooDeep:
            words = f"more than {MOST_LOOPS} iterations within one another; put some into a rule of their own"
            self.around.problems.append(Problem(COMPILE, words, rule.at))
            return
        self.lines += writer.lines
        self.reads |= bodies.reads
        self.inputs |= bodies.inputs
        self.volatile = self.volatile or bodies.volatile
        self.expensive = self.expensive or bodies.expensive

    def write(self, rule: ast.Rule, bodies: Bodies, writer: Writer) -> None:
        later = []
        for index, arg in enumerate(rule.args or ()):
            if isinstance(arg, ast.Var | ast.Scalar | ast.Array | ast.Object):
                bodies.match(arg, f"a{index}")
            else:
                later.append((arg, f"a{index}"))
        bodies.visible = set(writer.variables)
        suffix = self.node.suffix(rule)
        bodies.body(rule.body, [rule.key, rule.value, *suffix])
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
        keys = [bodies.term(part) for part in suffix]
        at = writer.constant(rule.at)
        listed = ", ".join(keys)
        if rule.key is not None:
            value = bodies.term(rule.key)
            writer.line(f"put_in_set(S, [{listed}], {value}, {at})")
        else:
            assert rule.value is not None
            value = bodies.term(rule.value)
            writer.line(f"put(S, [{listed}], {value}, {at})")
        if writer.loops == 0:
            writer.line("return True")


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
