"""Counting, sorting and joining arrays, sets and objects."""

from __future__ import annotations

from typing import Any

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.operands import array, element, integer, members, object_, set_, wrong
from gateway.policy.engines.rego.builtins.operators import plus, times
from gateway.policy.engines.rego.errors import TYPE_EVAL, BuiltinError
from gateway.policy.engines.rego.meter import spend
from gateway.policy.engines.rego.values import (
    UNDEFINED,
    Value,
    equal,
    is_number,
    items_of,
    key,
    keys_of,
    ordered,
    unkey,
)

Object = dict[Any, Value]


@builtin("count")
def count(value: Value) -> int:
    if type(value) in (str, list, dict, set):
        return len(value)
    raise wrong("count", 1, value, "array", "object", "set", "string")


@builtin("sum")
def sum_(value: Value) -> Value:
    total: Value = 0
    for item in members("sum", 1, value, "set", "array"):
        if not is_number(item):
            raise element("sum", 1, value, item, "number")
        total = plus(total, item)
    return total


@builtin("product")
def product(value: Value) -> Value:
    total: Value = 1
    for item in members("product", 1, value, "set", "array"):
        if not is_number(item):
            raise element("product", 1, value, item, "number")
        total = times(total, item)
    return total


@builtin("max")
def max_(value: Value) -> Value:
    found = members("max", 1, value, "set", "array")
    return ordered(found)[-1] if found else UNDEFINED


@builtin("min")
def min_(value: Value) -> Value:
    found = members("min", 1, value, "set", "array")
    return ordered(found)[0] if found else UNDEFINED


@builtin("sort")
def sort(value: Value) -> list[Value]:
    return ordered(members("sort", 1, value, "set", "array"))


@builtin("array.concat")
def array_concat(a: Value, b: Value) -> list[Value]:
    return array("array.concat", 1, a) + array("array.concat", 2, b)


@builtin("array.flatten")
def array_flatten(value: Value) -> list[Value]:
    found: list[Value] = []
    for item in array("array.flatten", 1, value):
        if type(item) is list:
            found += item
        else:
            found.append(item)
    return found


@builtin("array.reverse")
def array_reverse(value: Value) -> list[Value]:
    return array("array.reverse", 1, value)[::-1]


@builtin("array.slice")
def array_slice(value: Value, start: Value, stop: Value) -> list[Value]:
    found = array("array.slice", 1, value)
    end = max(0, min(integer("array.slice", 3, stop), len(found)))
    return found[max(0, min(integer("array.slice", 2, start), end)) : end]


@builtin("intersection")
def intersection(value: Value) -> set[Any]:
    sets = _sets("intersection", value)
    return set.intersection(*sets) if sets else set()


@builtin("union")
def union(value: Value) -> set[Any]:
    return set().union(*_sets("union", value))


def _sets(name: str, value: Value) -> list[set[Any]]:
    found = items_of(set_(name, 1, value))
    for item in found:
        if type(item) is not set:
            raise element(name, 1, value, item, "set")
    return found


@builtin("object.get")
def object_get(value: Value, path: Value, default: Value) -> Value:
    whole = object_("object.get", 1, value)
    if type(path) is not list:
        return whole.get(path if type(path) is str else key(path), default)
    found: Value = whole
    for part in path:
        if type(found) is dict:
            found = found.get(key(part), UNDEFINED)
        elif type(found) is list:
            at = int(part) if is_number(part) and part == int(part) else -1
            found = found[at] if 0 <= at < len(found) else UNDEFINED
        elif type(found) is set:
            found = part if key(part) in found else UNDEFINED
        else:
            found = UNDEFINED
        if found is UNDEFINED:
            return default
    return found


@builtin("object.keys")
def object_keys(value: Value) -> set[Any]:
    return set(object_("object.keys", 1, value))


def _named(name: str, value: Value) -> set[Any]:
    if type(value) is list:
        return set(map(key, value))
    if type(value) in (set, dict):
        return set(value)
    raise wrong(name, 2, value, "object", "set", "array")


@builtin("object.remove")
def object_remove(value: Value, names: Value) -> Object:
    whole = object_("object.remove", 1, value)
    gone = _named("object.remove", names)
    return {name: item for name, item in whole.items() if name not in gone}


@builtin("object.filter")
def object_filter(value: Value, names: Value) -> Object:
    whole = object_("object.filter", 1, value)
    kept = _named("object.filter", names)
    return {name: item for name, item in whole.items() if name in kept}


@builtin("object.union")
def object_union(a: Value, b: Value) -> Object:
    return _merged(object_("object.union", 1, a), object_("object.union", 2, b))


@builtin("object.union_n")
def object_union_n(value: Value) -> Object:
    found: Object = {}
    for item in array("object.union_n", 1, value):
        if type(item) is not dict:
            raise element("object.union_n", 1, value, item, "object")
        spend(1 + (len(found) + len(item) >> 3))
        found = _merged(found, item)
    return found


def _merged(a: Object, b: Object) -> Object:
    made = dict(a)
    spend(1)
    for name, item in b.items():
        old = made.get(name)
        made[name] = _merged(old, item) if type(old) is dict and type(item) is dict else item
    return made


@builtin("object.subset", context=True)
def object_subset(context: Context, whole: Value, part: Value) -> bool:
    kinds = (type(whole), type(part))
    if kinds == (dict, dict):
        return _has_object(whole, part)
    if kinds == (set, set):
        return part <= whole  # type: ignore[no-any-return]
    if kinds == (list, list):
        context.tick(len(whole) * max(1, len(part)))
        return any(_has_array(whole[at : at + len(part)], part) for at in range(len(whole) - len(part) + 1))
    if kinds == (list, set):
        return part <= set(map(key, whole))  # type: ignore[no-any-return]
    words = "both arguments object.subset must be of the same type or array and set"
    raise BuiltinError(f"object.subset: {words}", TYPE_EVAL)


def _has_array(whole: list[Value], part: list[Value]) -> bool:
    return all(map(_holds, whole, part))


def _holds(whole: Value, part: Value) -> bool:
    kinds = (type(whole), type(part))
    if kinds == (dict, dict):
        return _has_object(whole, part)
    if kinds == (set, set):
        return part <= whole  # type: ignore[no-any-return]
    if kinds == (list, list):
        return any(_has_array(whole[at : at + len(part)], part) for at in range(len(whole) - len(part) + 1))
    return equal(whole, part)


def _has_object(whole: Object, part: Object) -> bool:
    return all(name in whole and _holds(whole[name], item) for name, item in part.items())


@builtin("walk", context=True, relation=True)
def walk(context: Context, value: Value) -> list[Value]:
    found: list[Value] = []
    pending: list[tuple[list[Value], Value]] = [([], value)]
    while pending:
        path, item = pending.pop()
        found.append([path, item])
        kind = type(item)
        if kind is list:
            inner = [([*path, at], one) for at, one in enumerate(item)]
        elif kind is dict:
            inner = [([*path, unkey(name)], item[name]) for name in keys_of(item)]
        elif kind is set:
            inner = [([*path, one], one) for one in items_of(item)]
        else:
            continue
        context.tick(len(inner) * (1 + len(path) // 8))
        pending += reversed(inner)
    return found


@builtin("graph.reachable", context=True)
def reachable(context: Context, graph: Value, start: Value) -> set[Any]:
    edges = object_("graph.reachable", 1, graph)
    pending = [key(node) for node in members("graph.reachable", 2, start)]
    found: set[Any] = set()
    while pending:
        node = pending.pop()
        if node in found or node not in edges:
            continue
        found.add(node)
        following = _neighbours(edges[node])
        context.tick(len(following))
        pending += following
    return found


@builtin("graph.reachable_paths", context=True)
def reachable_paths(context: Context, graph: Value, start: Value) -> set[Any]:
    edges = object_("graph.reachable_paths", 1, graph)
    found: set[Any] = set()
    for node in members("graph.reachable_paths", 2, start):
        pending = [[key(node)]]
        while pending:
            path = pending.pop()
            context.tick(len(path))
            if path[-1] not in edges:
                if len(path) > 1:
                    found.add(key(list(map(unkey, path[:-1]))))
                continue
            following = _neighbours(edges[path[-1]])
            if not following:
                found.add(key(list(map(unkey, path))))
            for one in following:
                if one in path:
                    found.add(key(list(map(unkey, path))))
                else:
                    pending.append([*path, one])
    return found


def _neighbours(value: Value) -> list[Any]:
    if type(value) is list:
        return list(map(key, value))
    return list(value) if type(value) is set else []


_KINDS = {"array": list, "boolean": bool, "object": dict, "set": set, "string": str, "null": type(None)}


def _test(kind: type) -> Any:
    return lambda value: type(value) is kind


for _name, _kind in _KINDS.items():
    builtin(f"is_{_name}")(_test(_kind))
builtin("is_number")(is_number)
