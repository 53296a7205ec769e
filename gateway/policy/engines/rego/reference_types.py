"""Checks references: a key that is not there, a part of a value without parts."""

from __future__ import annotations

from typing import Protocol

from gateway.policy.engines.rego import ast, types
from gateway.policy.engines.rego.constants import constant
from gateway.policy.engines.rego.errors import Location
from gateway.policy.engines.rego.references import shown
from gateway.policy.engines.rego.safety import ROOTS
from gateway.policy.engines.rego.type_env import Place, TypeEnv
from gateway.policy.engines.rego.types import ANY, Function, Type
from gateway.policy.engines.rego.unify import unify_one
from gateway.policy.engines.rego.values import key, spell, unkey


class Reporter(Protocol):
    """Takes what was found."""

    def problem(self, message: str, at: Location, *details: str) -> None: ...


def check_reference(to: Reporter, env: TypeEnv, ref: ast.Ref, written: ast.Ref | None = None) -> bool:
    """Check a reference whose brackets hold constants and variables; variables in it get their types."""
    return _Reference(to, env, ref, written or ref).check()


class _Reference:
    def __init__(self, to: Reporter, env: TypeEnv, ref: ast.Ref, written: ast.Ref) -> None:
        self.to, self.env, self.ref, self.written = to, env, ref, written

    def check(self) -> bool:
        assert isinstance(self.ref.head, ast.Var)
        name = self.ref.head.name
        if name not in ROOTS:
            of_name = self.env.of_name(name)
            if of_name is None:
                self.env.names[name] = ANY
            return self.value(of_name or ANY, 0)
        of = self.env.of_ref(self.ref)
        if isinstance(of, Function):
            path = spell_ref(self.written)
            self.to.problem(f"function {path} used as reference, not called", self.ref.at)
            return False
        layer: TypeEnv | None = self.env
        while layer is not None:
            place = layer.tree.below.get(name)
            if place is not None:
                found = self.place(place, 0)
                if found is not None:
                    return found
            layer = layer.outer
        return self.value(ANY, 0)

    def place(self, place: Place, index: int) -> bool | None:
        """Below a place of the tree; None where it is not known there."""
        parts = self.ref.parts
        while True:
            if place.type is not None:
                return self.value(place.type, index)
            if index == len(parts):
                return True
            part = parts[index]
            if index < 2 and not isinstance(part, ast.Var) and not _is_text(part):
                return self.invalid(index, self.env.of(part), types.STRING, place)
            if isinstance(part, ast.Var):
                names = types.keys(place.extent())
                found = self.env.of_name(part.name)
                if found is None:
                    if names is not None:
                        self.env.names[part.name] = names
                elif not types.unifies(names, found):
                    return self.invalid(index, found, names, place)
            at = constant(part)
            child = None if at is None else place.below.get(key(at[0]))
            if child is None:
                return None
            place = child
            index += 1

    def value(self, of: Type | None, index: int) -> bool:
        """Within a value."""
        for at in range(index, len(self.ref.parts)):
            part = self.ref.parts[at]
            if types.empty(of):
                return self.within_nothing(of, part, at)
            names = types.keys(of)
            if names is None:
                self.to.problem(f"undefined ref: {spell_ref(self.written)}", self.ref.at, f"have: {types.show(of)}")
                return False
            if isinstance(part, ast.Var):
                found = self.env.of_name(part.name)
                if found is None:
                    self.env.names[part.name] = names
                elif not types.unifies(found, names):
                    return self.invalid(at, found, names)
            elif not isinstance(part, ast.Scalar):
                if not unify_one(self.env, part, names):
                    return self.invalid(at, self.env.of(part), names)
            else:
                child = types.select(of, part.value)
                if child is None:
                    return self.invalid(at, None, names, of=of)
                of = child
                continue
            of = types.parts(of)
        return True

    def within_nothing(self, of: Type | None, part: ast.Term, index: int) -> bool:
        if isinstance(part, ast.Scalar):
            return self.invalid(index, None, None)
        if isinstance(part, ast.Var):
            found = self.env.of_name(part.name)
            names = types.keys(of)
            if found is None:
                self.env.names[part.name] = ANY
            elif names is not None and not types.unifies(found, names):
                return self.invalid(index, found, names)
        return True

    def invalid(
        self, index: int, have: Type | None, want: Type | None, place: Place | None = None, *, of: Type | None = None
    ) -> bool:
        known = [unkey(name) for name in place.below] if place is not None else _known(of)
        part = self.written.parts[index] if index < len(self.written.parts) else self.ref.parts[index]
        has = f"have (type): {have}" if have is not None else f"have: {spell_term(part)}"
        if known:
            wants = f"want (one of): [{' '.join(sorted(map(spell, known)))}]"
        else:
            wants = f"want (type): {want}" if want is not None else "want (one of): []"
        self.to.problem(f"undefined ref: {spell_ref(self.written)}", self.ref.at, has, wants)
        return False


def _known(of: Type | None) -> list[object]:
    if isinstance(of, types.Object):
        return [unkey(name) for name in of.static]
    return [name for one in of.members for name in _known(one)] if isinstance(of, types.Union) else []


def _is_text(part: ast.Term) -> bool:
    return isinstance(part, ast.Scalar) and isinstance(part.value, str)


def spell_ref(ref: ast.Ref) -> str:
    """A reference as it may be written."""
    parts = []
    for part in ref.parts:
        if isinstance(part, ast.Scalar) and isinstance(part.value, str) and part.value.isidentifier():
            parts.append(f".{part.value}")
        else:
            parts.append(f"[{spell_term(part)}]")
    return spell_term(ref.head) + "".join(parts)


def spell_term(term: ast.Term) -> str:
    """A term as it may be written; `...` for one that is long."""
    if isinstance(term, ast.Var):
        return shown(term.name)
    if isinstance(term, ast.Ref):
        return spell_ref(term)
    if isinstance(term, ast.Call):
        return f"{term.name}({', '.join(map(spell_term, term.args))})"
    found = constant(term)
    return "..." if found is None else spell(found[0])
