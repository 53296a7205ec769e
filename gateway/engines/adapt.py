"""Writes a module the way the interpreter evaluates it right, meaning the same, on the same lines.

Four constructs of Rego are right by the language and wrong in the interpreter, and one is slow:

- `with input as rule` ends the process or takes the rule for undefined: it becomes `with input as [rule][0]`.
- Replacing all of the input under a rule that calls a builtin, as every test does, ends the process: a program for
  tests has `data.meshgate_input` in the place of `input`, where replacing works.
- `sprintf` of several values leaves some strings in quotes: it becomes a `concat` of one `sprintf` for each value.
- `data.rules[_].deny` evaluates every rule of every package below `data.rules`: where these are packages with a set of
  that name, it becomes a list of these sets, `[data.rules.a.deny, data.rules.b.deny][_]`. This one is for speed.
- A variable with the name of a package in sight (`x = data.x.y` beside `package x`) is taken for that package, and the
  rule comes out empty: it gets another name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from gateway.engines.outline import (
    KEYWORDS,
    Module,
    Reference,
    Token,
    arguments,
    before,
    is_input,
    items,
    opens_call,
    reference,
    references,
)

INPUT_IN_TESTS = "data.meshgate_input"
RENAMED = "meshgate_"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
VERB = re.compile(r"%.?")

Edit = tuple[int, int, str]
"""What stands at [start, end) of the source, and what comes there."""


class Names:
    """What the names in a bundle stand for, as far as a variable may be taken for it."""

    __slots__ = ("_data", "_modules", "_not_sets", "packages", "rules")

    def __init__(self, modules: Sequence[Module], data: Mapping[str, object] | None = None) -> None:
        self.packages = frozenset(name for module in modules for name in module.package.split(".")) - {"data", "input"}
        rules: dict[str, frozenset[str]] = {}
        for module in modules:
            heads = frozenset(head.partition(".")[0] for head in module.heads)
            rules[module.package] = rules.get(module.package, frozenset()) | heads
        self.rules: Mapping[str, frozenset[str]] = rules
        self._data = data or {}
        self._not_sets = {(module.package, head) for module in modules for head in module.heads - module.sets}
        # What `with` replaces may have more than stands in the source.
        self._modules = () if any(map(_replaces, modules)) else modules

    def with_set(self, parent: str, name: str) -> Sequence[str]:
        """The packages directly below a parent with a set of that name; empty where anything else may be there."""
        packages = sorted(
            package
            for package, heads in self.rules.items()
            if package.rpartition(".")[0] == parent and name in heads and (package, name) not in self._not_sets
        )
        plain = all(_PLAIN.fullmatch(package) and not KEYWORDS & set(package.split(".")) for package in packages)
        alone = parent not in self.rules and parent.split(".")[0] not in self._data
        if not self._modules or not plain or not alone:
            return ()
        return () if any(_may_have(module, parent, name, packages) for module in self._modules) else packages


def _replaces(module: Module) -> bool:
    following = zip(module.tokens, module.tokens[1:], strict=False)
    return any(token.text == "with" and target.text != "input" for token, target in following)


def _may_have(module: Module, parent: str, name: str, packages: Sequence[str]) -> bool:
    """Whether there may be more of that name below the parent than the sets of these packages."""
    if not module.package.startswith(f"{parent}."):
        return False
    if name in module.package[len(parent) :].split("."):
        return True
    named = any(token.text == name and before(module.tokens, at) != "." for at, token in enumerate(module.tokens))
    return (named and module.package not in packages) or any(head.startswith(f"{name}.") for head in module.heads)


def adapted(module: Module, names: Names, *, test: bool = False) -> str:
    """The source for the interpreter; with `test`, for a program that runs tests."""
    edits = [*_stand_ins(module), *_sprintfs(module), *_variables(module, names)]
    edits += _inputs(module) if test else _iterations(module, names)
    source, at = [], 0
    for start, end, text in sorted(edits):
        source += [module.source[at:start], text]
        at = end
    return "".join(source) + module.source[at:]


def _iterations(module: Module, names: Names) -> Iterator[Edit]:
    tokens = module.tokens
    for found in references(module):
        after = tokens[found.end : found.end + 5]
        if found.path[0] != "data" or [token.text for token in after[:4]] != ["[", "_", "]", "."] or len(after) < 5:
            continue
        name = after[4].text
        packages = names.with_set(".".join(found.path[1:]), name)
        if packages and before(tokens, found.start) != "as":
            listed = ", ".join(f"data.{package}.{name}" for package in packages)
            yield tokens[found.start].at, after[4].end, f"[{listed}][_]"


def _variables(module: Module, names: Names) -> Iterator[Edit]:
    shadowed = names.packages - names.rules[module.package] - module.imports.keys()
    statement = ""
    for index, token in enumerate(module.tokens):
        if token.first:
            statement = token.text
        if token.kind != "name" or token.text not in shadowed or statement in ("package", "import"):
            continue
        if before(module.tokens, index) != "." and not opens_call(module.tokens, index + 1, token.line):
            yield token.at, token.at, RENAMED


def _inputs(module: Module) -> Iterator[Edit]:
    for index, token in enumerate(module.tokens):
        if is_input(module.tokens, index):
            yield token.at, token.end, INPUT_IN_TESTS


def _stand_ins(module: Module) -> Iterator[Edit]:
    for found in references(module):
        if before(module.tokens, found.start) != "with" or found.path[0] not in ("input", "data"):
            continue
        value = found.end + 1
        if value >= len(module.tokens) or module.tokens[value].kind != "name" or module.tokens[value].text in KEYWORDS:
            continue
        replacement = reference(module.tokens, value)
        if not opens_call(module.tokens, replacement.end, replacement.line):
            start, end = module.tokens[value].at, module.tokens[replacement.end - 1].end
            yield start, start, "["
            yield end, end, "][0]"


def _sprintfs(module: Module) -> Iterator[Edit]:
    for call in references(module):
        if call.name == "sprintf" and opens_call(module.tokens, call.end, call.line):
            yield from _sprintf(module, call)


def _sprintf(module: Module, call: Reference) -> Iterator[Edit]:
    """Edits around the values, so that what is within a value can be edited too."""
    given = arguments(module, call)
    if len(given) != 2 or len(given[0]) != 1 or given[1][0].text != "[":
        return
    values = items(given[1])
    words = _words(given[0][0])
    if not values or len(words) != len(values) + 1:
        return
    closing = _closing(module.tokens, call.end)
    spans = [(value[0].at, value[-1].end) for value in values]
    starts = [module.tokens[call.start].at, *(end for _, end in spans)]
    ends = [*(start for start, _ in spans), closing.end]
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        opening = 'concat("", [' if index == 0 else "]), "
        text = f'{words[index]}, sprintf("%v", [' if index < len(values) else f"{words[index]}])"
        yield start, end, opening + text + "\n" * module.source.count("\n", start, end)


def _words(template: Token) -> list[str]:
    """The literals between the verbs of a format; one more than there are verbs, if all of them are %v."""
    quote = template.text[0]
    words = [""]
    at = 0
    body = template.text[1:-1]
    for verb in VERB.finditer(body):
        words[-1] += body[at : verb.start()] + ("%" if verb[0] == "%%" else "")
        if verb[0] != "%%":
            words.append("")
        if verb[0] not in ("%v", "%%"):
            return []
        at = verb.end()
    words[-1] += body[at:]
    return [f"{quote}{word}{quote}" for word in words]


def _closing(tokens: Sequence[Token], opening: int) -> Token:
    """The bracket that closes the one at `opening`."""
    depth = 0
    for token in tokens[opening:]:
        if token.kind == "sign":
            depth += (token.text in "([{") - (token.text in ")]}")
        if depth == 0:
            return token
    return tokens[-1]
