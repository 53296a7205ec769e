"""The known types of variables and documents, in nested layers."""

from __future__ import annotations

from typing import Any

from gateway.policy.engines.rego import ast, types
from gateway.policy.engines.rego.constants import constant
from gateway.policy.engines.rego.safety import ROOTS
from gateway.policy.engines.rego.types import ANY, Type
from gateway.policy.engines.rego.values import key, unkey

Path = tuple[Any, ...]
"""The name of a root, then constants in key form."""


class Place:
    """A place in a document: its type, if one was given, and what is below."""

    __slots__ = ("below", "type")

    def __init__(self) -> None:
        self.type: Type | None = None
        self.below: dict[Any, Place] = {}

    def put(self, path: Path, of: Type | None) -> None:
        """Give a place a type."""
        here = self
        for name in path:
            here = here.below.setdefault(name, Place())
        here.type = of

    def insert(self, path: Path, of: Type) -> None:
        """Enter the type of what a rule makes: into the objects on the way too, and what is below into it."""
        here = self
        for depth, name in enumerate(path, start=1):
            child = here.below.get(name)
            if child is None:
                child = here.below[name] = Place()
            elif depth < len(path) and isinstance(child.type, types.Object):
                child.type = _within(child.type, path[depth:], of)
            here = child
        here.type = types.bounded(types.merged(here.type, of))
        if isinstance(of, types.Object) and here.below:
            for below, inner in list(here.leaves()):
                if isinstance(here.type, types.Object):
                    here.type = _within(here.type, below, inner)

    def leaves(self) -> list[tuple[Path, Type]]:
        """The types that were given below."""
        found: list[tuple[Path, Type]] = []
        for name, child in self.below.items():
            if child.type is not None:
                found.append(((name,), child.type))
            else:
                found += [((name, *path), of) for path, of in child.leaves()]
        return found

    def extent(self) -> Type | None:
        """The type of the document here."""
        if self.type is not None:
            return self.type
        known = {name: child.extent() for name, child in self.below.items()}
        return types.Object(known, (types.STRING, ANY))


def _within(whole: types.Object, path: Path, of: Type | None) -> types.Object:
    name = types.of_value(unkey(path[0]))
    inner = of if len(path) == 1 else _within(types.Object({}), path[1:], of)
    if whole.dynamic is None:
        return types.Object(whole.static, (name, inner))
    return types.Object(whole.static, (types.either(whole.dynamic[0], name), types.either(whole.dynamic[1], inner)))


class TypeEnv:
    """One layer. Types of variables go to `names`, which layers of one body share."""

    __slots__ = ("names", "outer", "tree")

    def __init__(self, outer: TypeEnv | None, tree: Place | None = None, names: dict[str, Type] | None = None) -> None:
        self.outer = outer
        self.tree = Place() if tree is None else tree
        self.names: dict[str, Type] = {} if names is None else names

    def of_name(self, name: str) -> Type | None:
        """The type of a variable."""
        layer: TypeEnv | None = self
        while layer is not None:
            found = layer.names.get(name)
            if found is not None:
                return found
            layer = layer.outer
        return None

    def of(self, term: ast.Term) -> Type | None:
        """The type of a term; one of calls and comprehensions is that of the variable in their place."""
        if isinstance(term, ast.Scalar):
            return types.of_value(term.value)
        if isinstance(term, ast.Var):
            return self.of_name(term.name)
        if isinstance(term, ast.Ref):
            return self.of_ref(term)
        if isinstance(term, ast.Array):
            return types.bounded(types.Array([self.of(item) for item in term.items]))
        if isinstance(term, ast.SetOf):
            made: Type | None = None
            for item in term.items:
                made = types.either(made, self.of(item))
            return types.bounded(types.Set(made))
        if isinstance(term, ast.Object):
            return self.of_object(term)
        return None

    def of_object(self, term: ast.Object) -> Type | None:
        static: dict[Any, Type | None] = {}
        dynamic = None
        for name, value in term.pairs:
            found = constant(name)
            if found is not None:
                static[key(found[0])] = self.of(value)
            else:
                dynamic = (self.of(name), self.of(value))
        return types.bounded(types.Object(static, dynamic))

    def of_ref(self, ref: ast.Ref) -> Type | None:
        """The type of what a reference comes to."""
        assert isinstance(ref.head, ast.Var)
        if ref.head.name not in ROOTS:
            return self.selected(self.of_name(ref.head.name), ref.parts)
        layer: TypeEnv | None = self
        while layer is not None:
            place = layer.tree.below.get(ref.head.name)
            if place is not None:
                found, known = self._below(place, ref.parts)
                if known:
                    return found
            layer = layer.outer
        return ANY

    def _below(self, place: Place, parts: list[ast.Term]) -> tuple[Type | None, bool]:
        for index, part in enumerate(parts):
            at = constant(part)
            child = None if at is None else place.below.get(key(at[0]))
            if child is None:
                if place.type is not None:
                    return self.selected(place.type, parts[index:]), True
                if at is None:
                    return self.selected(place.extent(), parts[index:]), True
                return None, False
            place = child
        return place.extent(), True

    def selected(self, of: Type | None, parts: list[ast.Term]) -> Type | None:
        """The type of what stands deeper in a value."""
        for part in parts:
            at = constant(part) if isinstance(part, ast.Scalar) else None
            if of is None:
                return None
            if at is not None:
                of = types.select(of, at[0])
            elif types.empty(of):
                return ANY
            else:
                of = types.parts(of)
        return of
