"""Parts of documents by path: `json.filter`, `json.remove`, `json.patch`."""

from __future__ import annotations

from typing import Any

from gateway.policy.engines.rego.builtins import builtin
from gateway.policy.engines.rego.builtins.operands import array, element, object_, wrong
from gateway.policy.engines.rego.errors import TYPE_EVAL, BuiltinError
from gateway.policy.engines.rego.values import UNDEFINED, Value, equal, items_of, key, unkey

Tree = dict[Any, Any]
WHOLE: Tree = {}
"""In a tree of paths: all that stands here."""


def _tree(name: str, value: Value) -> Tree:
    """Paths as nested names; a path that ends takes in all longer ones."""
    if type(value) not in (list, set):
        raise wrong(name, 2, value, "set", "array")
    tree: Tree = {}
    for path in value if type(value) is list else items_of(value):
        names = _parts(name, path)
        at = tree
        for part in names[:-1]:
            at = at.setdefault(part, {})
            if at is WHOLE:
                break
        if at is not WHOLE and names:
            at[names[-1]] = WHOLE
    return tree


def _parts(name: str, path: Value) -> list[Any]:
    if type(path) is str:
        if not path:
            return []
        return [part.replace("~1", "/").replace("~0", "~") for part in path.lstrip("/").split("/")]
    if type(path) is list:
        return list(map(key, path))
    raise (
        element(name, 2, [], path, "string", "array")
        if name != "json.patch"
        else wrong(name, 2, path, "string", "array")
    )


def _inner(tree: Tree, at: Any) -> Tree | None:
    found = tree.get(at)
    return tree.get(str(at)) if found is None and type(at) is int else found


@builtin("json.filter")
def json_filter(value: Value, paths: Value) -> Value:
    whole = object_("json.filter", 1, value)
    tree = _tree("json.filter", paths)
    return _kept(whole, tree) if tree else {}


def _kept(value: Value, tree: Tree) -> Value:
    if tree is WHOLE:
        return value
    if type(value) is dict:
        found = {name: _kept(item, inner) for name, item in value.items() if (inner := _inner(tree, name)) is not None}
        return {name: item for name, item in found.items() if item is not UNDEFINED}
    if type(value) is list:
        items = [_kept(item, inner) for at, item in enumerate(value) if (inner := _inner(tree, at)) is not None]
        return [item for item in items if item is not UNDEFINED]
    if type(value) is set:
        return {name for name in value if _inner(tree, name) is not None}
    return value


@builtin("json.remove")
def json_remove(value: Value, paths: Value) -> Value:
    whole = object_("json.remove", 1, value)
    return _without(whole, _tree("json.remove", paths))


def _without(value: Value, tree: Tree) -> Value:
    if type(value) is dict:
        made = {}
        for name, item in value.items():
            inner = _inner(tree, name)
            if inner is not WHOLE:
                made[name] = item if inner is None else _without(item, inner)
        return made
    if type(value) is list:
        found = []
        for at, item in enumerate(value):
            inner = _inner(tree, at)
            if inner is not WHOLE:
                found.append(item if inner is None else _without(item, inner))
        return found
    if type(value) is set:
        return {
            key(item if inner is None else _without(unkey(name), inner))
            for name in value
            for item in (unkey(name),)
            if (inner := _inner(tree, name)) is not WHOLE
        }
    return value


class _Missing(Exception):
    """A path that leads nowhere: the patch is undefined."""


@builtin("json.patch")
def json_patch(value: Value, patches: Value) -> Value:
    name = "json.patch"
    for patch in array(name, 2, patches):
        if type(patch) is not dict:
            raise element(name, 2, patches, patch, "object")
        operation = patch.get("op")
        if type(operation) is not str:
            raise BuiltinError(f"{name}: operand 2 must be an array of objects with the attribute `op`", TYPE_EVAL)
        path = _parts(name, patch.get("path"))
        try:
            value = _patched(name, value, operation, path, patch)
        except _Missing:
            return UNDEFINED
    return value


def _patched(name: str, value: Value, operation: str, path: list[Any], patch: dict[Any, Value]) -> Value:
    if operation in ("add", "replace", "test") and "value" not in patch:
        raise BuiltinError(f"{name}: missing required attribute 'value'", TYPE_EVAL)
    if operation == "add":
        return _placed(value, path, patch["value"])
    if operation == "remove":
        return _taken(value, path)[0]
    if operation == "replace":
        if not path:
            return patch["value"]
        at = path[-1]
        if type(_at(value, path[:-1])) is list:
            return _placed(_taken(value, path)[0], path, patch["value"])
        rest, old = _taken(value, path)
        del at, old
        return _placed(rest, path, patch["value"])
    if operation == "test":
        if not equal(_at(value, path), patch["value"]):
            raise _Missing
        return value
    if operation in ("move", "copy"):
        if "from" not in patch:
            raise BuiltinError(f"{name}: missing required attribute 'from'", TYPE_EVAL)
        source = _parts(name, patch["from"])
        if operation == "copy":
            return _placed(value, path, _at(value, source))
        rest, found = _taken(value, source)
        return _placed(rest, path, found)
    raise BuiltinError(f"{name}: unrecognized op: '{operation}'", TYPE_EVAL)


def _position(value: list[Value], at: Any, most: int) -> int:
    if at == "-":
        return len(value)
    if type(at) is str and at.isdigit() and (at == "0" or at[0] != "0"):
        at = int(at)
    if type(at) is not int or not 0 <= at <= most:
        raise _Missing
    return at


def _at(value: Value, path: list[Any]) -> Value:
    for part in path:
        value = _step(value, part)
    return value


def _step(value: Value, part: Any) -> Value:
    if type(value) is dict and part in value:
        return value[part]
    if type(value) is list and part != "-":
        return value[_position(value, part, len(value) - 1)]
    if type(value) is set and part in value:
        return unkey(part)
    raise _Missing


def _placed(value: Value, path: list[Any], new: Value) -> Value:
    if not path:
        return new
    part, *rest = path
    if rest:
        inner = _placed(_step(value, part), rest, new)
        if type(value) is dict:
            return {**value, part: inner}
        if type(value) is list:
            at = _position(value, part, len(value) - 1)
            return [*value[:at], inner, *value[at + 1 :]]
        return {key(inner) if name == part else name for name in value}
    if type(value) is dict:
        return {**value, part: new}
    if type(value) is list:
        at = _position(value, part, len(value))
        return [*value[:at], new, *value[at:]]
    if type(value) is set and equal(unkey(part), new):
        return value | {part}
    raise _Missing


def _taken(value: Value, path: list[Any]) -> tuple[Value, Value]:
    """A document without what stands at a path, and that."""
    if not path:
        return UNDEFINED, value
    part, *rest = path
    found = _step(value, part)
    if rest:
        inner, taken = _taken(found, rest)
        if type(value) is set:
            return {key(inner) if name == part else name for name in value}, taken
        if type(value) is dict:
            return {**value, part: inner}, taken
        at = _position(value, part, len(value) - 1)
        return [*value[:at], inner, *value[at + 1 :]], taken
    if type(value) is dict:
        return {name: item for name, item in value.items() if name != part}, found
    if type(value) is set:
        return value - {part}, found
    at = _position(value, part, len(value) - 1)
    return [*value[:at], *value[at + 1 :]], found
