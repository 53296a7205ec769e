"""Whether two terms can be equal by their types; types of variables are inferred on the way, as in OPA."""

from __future__ import annotations

from gateway.policy.engines.rego import ast, types
from gateway.policy.engines.rego.constants import constant
from gateway.policy.engines.rego.type_env import TypeEnv
from gateway.policy.engines.rego.types import ANY, Type
from gateway.policy.engines.rego.values import key


def unify_two(env: TypeEnv, a: ast.Term, of_a: Type | None, b: ast.Term, of_b: Type | None) -> bool:
    """Whether two terms may be equal."""
    if types.unknown(of_a) != types.unknown(of_b):
        return unify_one(env, a, of_b) if types.unknown(of_a) else unify_one(env, b, of_a)
    if not types.unknown(of_a):
        return types.unifies(of_a, of_b)
    if isinstance(a, ast.Var) and isinstance(b, ast.Var):
        return unify_one(env, a, ANY) and unify_one(env, b, env.of(a))
    for one, other in ((a, b), (b, a)):
        if isinstance(one, ast.Array | ast.Object) and type(one) is type(other):
            return _unify_parts(env, one, other)
        if isinstance(one, ast.Var) and isinstance(other, ast.Array | ast.Object):
            return unify_one(env, other, ANY) and unify_one(env, one, env.of(other))
        if isinstance(one, ast.Var) and isinstance(other, ast.Ref):
            return unify_one(env, one, ANY)
    for one, of, of_other in ((a, of_a, of_b), (b, of_b, of_a)):
        if isinstance(one, ast.Var) and of is None and of_other is not None:
            return unify_one(env, one, of_other)
    return False


def _unify_parts(env: TypeEnv, a: ast.Term, b: ast.Term) -> bool:
    if isinstance(a, ast.Array) and isinstance(b, ast.Array):
        if len(a.items) != len(b.items):
            return False
        pairs = list(zip(a.items, b.items, strict=True))
    else:
        assert isinstance(a, ast.Object)
        assert isinstance(b, ast.Object)
        others = {key(at[0]): value for name, value in b.pairs if (at := constant(name)) is not None}
        mine = {key(at[0]): value for name, value in a.pairs if (at := constant(name)) is not None}
        if len(a.pairs) != len(b.pairs) or mine.keys() != others.keys() or len(mine) != len(a.pairs):
            return False
        pairs = [(mine[name], others[name]) for name in mine]
    return all(unify_two(env, one, env.of(one), other, env.of(other)) for one, other in pairs)


def unify_one(env: TypeEnv, term: ast.Term, of: Type | None, *, union: bool = False) -> bool:
    """Whether a term may be of a type; with `union`, variables may be of that type too."""
    if isinstance(term, ast.Var):
        found = env.of_name(term.name)
        if union:
            made = types.either(found, of)
            if made is not None:
                env.names[term.name] = made
        elif found is not None:
            return types.unifies(found, of)
        elif of is not None:
            env.names[term.name] = of
        return True
    if not isinstance(term, ast.Array | ast.Object | ast.SetOf):
        return types.unifies(env.of(term), of)
    if isinstance(of, types.Union):
        if not of.members:
            for part in ast.children(term):
                unify_one(env, part, ANY, union=True)
            return True
        fits = [unify_one(env, term, one, union=True) for one in of.members]  # each may add to what variables are
        return any(fits)
    if isinstance(term, ast.Array) and isinstance(of, types.Array):
        if len(term.items) != len(of.static) and of.dynamic is None:
            return False
        return all(unify_one(env, item, of.at(index), union=union) for index, item in enumerate(term.items))
    if isinstance(term, ast.Object) and isinstance(of, types.Object):
        if len(term.pairs) != len(of.static) and of.dynamic is None:
            return False
        return all(_unify_pair(env, name, value, of, union) for name, value in term.pairs)
    if isinstance(term, ast.SetOf) and isinstance(of, types.Set):
        return all(unify_one(env, item, of.of, union=union) for item in term.items)
    return False


def _unify_pair(env: TypeEnv, name: ast.Term, value: ast.Term, of: types.Object, union: bool) -> bool:
    at = constant(name)
    if at is None:
        unify_one(env, value, ANY, union=union)
        return True
    found = of.at(at[0])
    return found is not None and unify_one(env, value, found, union=union)
