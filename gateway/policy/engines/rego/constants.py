"""Terms whose values are known when they are read."""

from __future__ import annotations

from typing import Any

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.values import Value, key


def constant(term: ast.Term) -> tuple[Value] | None:
    """The value of a term that is made of constants."""
    if isinstance(term, ast.Scalar):
        return (term.value,)
    if isinstance(term, ast.Array | ast.SetOf):
        found = [constant(item) for item in term.items]
        if None in found:
            return None
        values = [one[0] for one in found if one is not None]
        return (values,) if isinstance(term, ast.Array) else ({key(value) for value in values},)
    if isinstance(term, ast.Object):
        made: dict[Any, Value] = {}
        for name, item in term.pairs:
            at, value = constant(name), constant(item)
            if at is None or value is None:
                return None
            made[key(at[0])] = value[0]
        return (made,)
    return None
