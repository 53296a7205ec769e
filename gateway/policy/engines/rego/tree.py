"""Where rules stand in `data`: a tree of packages and rules.

Rules that share a place (`p` or `p.q`) are one `Node`. Where the name of a rule goes on with anything but strings
(`p[x].q := y`), the node at the part before makes an object of all that is below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.errors import TYPE, Problem

COMPLETE: Final = "complete"
SET: Final = "set"
OBJECT: Final = "object"
FUNCTION: Final = "function"
PACKAGE: Final = ""


class Node:
    """A place: a package (or a part of a name), or rules."""

    __slots__ = ("children", "kind", "number", "path", "rules")

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self.children: dict[str, Node] = {}
        self.rules: list[ast.Rule] = []
        self.kind = PACKAGE
        self.number = -1

    def suffix(self, rule: ast.Rule) -> list[ast.Term]:
        """What follows this place in the name of a rule."""
        return rule.ref[len(self.path) - len(package_of(rule)) :]

    @property
    def arity(self) -> int:
        return len(self.rules[0].args or ())


def package_of(rule: ast.Rule) -> tuple[str, ...]:
    """The package of the module that a rule stands in."""
    assert rule.module is not None
    return rule.module.package


def build(modules: Iterable[ast.Module], problems: list[Problem]) -> Node:
    """The tree of all rules; what conflicts is added to the problems."""
    root = Node(("data",))
    packages = []
    for module in modules:
        packages.append(module)
        _at(root, module.package)
        for rule in module.rules:
            _at(root, (*module.package, *_ground(rule))).rules.append(rule)
    for node in _walk(root):
        _absorb(node)
    number = 0
    for node in _walk(root):
        if node.rules:
            node.kind = _kind(node, problems)
            node.number = number
            number += 1
            if node.children:
                _check_below(node, problems)
    _check_packages(root, packages, problems)
    return root


def rules(root: Node) -> Iterator[Node]:
    """Every node that has rules."""
    return (node for node in _walk(root) if node.rules)


def find(root: Node, path: tuple[str, ...]) -> Node | None:
    """The node at a path, if there is one."""
    node = root
    for name in path[1:]:
        child = node.children.get(name)
        if child is None:
            return None
        node = child
    return node


def _at(root: Node, path: tuple[str, ...]) -> Node:
    node = root
    for depth, name in enumerate(path[1:], start=2):
        node = node.children.setdefault(name, Node(path[:depth]))
    return node


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in list(node.children.values()):
        yield from _walk(child)


def _ground(rule: ast.Rule) -> tuple[str, ...]:
    """The part of a rule's name that is made of strings."""
    names = [rule.name]
    for part in rule.ref[1:]:
        if not isinstance(part, ast.Scalar) or not isinstance(part.value, str):
            break
        names.append(part.value)
    return tuple(names)


def _absorb(node: Node) -> None:
    """A node with names that go on takes in all rules below."""
    if not any(node.suffix(rule) for rule in node.rules):
        return
    below = [rule for child in node.children.values() for one in _walk(child) for rule in one.rules]
    if any(rule.args is not None for rule in below):
        return
    node.rules += below
    node.children = {}


def _kind(node: Node, problems: list[Problem]) -> str:
    first = node.rules[0]
    name = ".".join(node.path)
    if any(node.suffix(rule) for rule in node.rules):
        for rule in node.rules:
            if rule.args is not None or (not node.suffix(rule) and not rule.default and rule.key is not None):
                problems.append(Problem(TYPE, f"conflicting rules {name} found", first.at))
                break
        return OBJECT
    kinds = {_kind_of(rule) for rule in node.rules}
    arities = {len(rule.args) for rule in node.rules if rule.args is not None}
    defaults = [rule for rule in node.rules if rule.default]
    if len(kinds) > 1 or len(arities) > 1:
        problems.append(Problem(TYPE, f"conflicting rules {name} found", first.at))
    if len(defaults) > 1:
        places = ", ".join(str(rule.at) for rule in defaults)
        module = defaults[0].module
        assert module is not None
        problems.append(Problem(TYPE, f"multiple default rules {name} found at {places}", module.at))
    return _kind_of(first)


def _kind_of(rule: ast.Rule) -> str:
    if rule.args is not None:
        return FUNCTION
    return SET if rule.key is not None else COMPLETE


def _check_below(node: Node, problems: list[Problem]) -> None:
    """A rule whose place is also the beginning of another rule's name."""
    for child in node.children.values():
        for below in _walk(child):
            for rule in below.rules:
                if package_of(rule) == package_of(node.rules[0]):
                    name = ".".join(node.path)
                    conflict = ".".join(below.path)
                    problems.append(Problem(TYPE, f"rule {name} conflicts with [{conflict}]", node.rules[0].at))
                    return


def _check_packages(root: Node, modules: Iterable[ast.Module], problems: list[Problem]) -> None:
    for module in modules:
        node = root
        for name in module.package[1:]:
            node = node.children.get(name, node)
            if node.rules and node.path == module.package[: len(node.path)]:
                rule = node.rules[0]
                problems.append(
                    Problem(
                        TYPE,
                        f"package {'.'.join(module.package[1:])} conflicts with rule {rule.name} defined at {rule.at}",
                        module.at,
                    )
                )
                break
