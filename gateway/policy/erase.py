"""Removes values from a policy input before it is recorded: the JSON pointers (RFC 6901) of `audit.erase`.

The input itself stays unchanged, because the policy may read it again: only the objects on the path to a value are
copied.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.call import Json


class Eraser:
    """Compiled pointers. Each begins with `/input/`, as in OPA's decision log."""

    def __init__(self, pointers: Iterable[str]) -> None:
        self._paths = tuple((pointer, tuple(map(_unescaped, pointer.split("/")[2:]))) for pointer in pointers)
        # Pointers mostly have an object in common, such as the claims: without that object, or in an empty one, there
        # is nothing to erase.
        self._objects = tuple({path[:-1] for _, path in self._paths})

    def erase(self, document: Json) -> tuple[Json, list[str]]:
        """The document without the values at the pointers, and the pointers that had a value."""
        erased: list[str] = []
        if not any(_value(document, path) for path in self._objects):
            return document, erased
        for pointer, path in self._paths:
            if _holds(document, path):
                document = _without(document, path)
                erased.append(pointer)
        return document, erased


def _value(node: Any, path: tuple[str, ...]) -> Any:
    """What stands at a path; None for nothing."""
    for name in path:
        if type(node) is not dict or name not in node:
            return None
        node = node[name]
    return node


def _holds(node: Any, path: tuple[str, ...]) -> bool:
    parent = _value(node, path[:-1])
    return type(parent) is dict and path[-1] in parent


def _without(node: Json, path: tuple[str, ...]) -> Json:
    name, *rest = path
    copy = dict(node)
    if rest:
        copy[name] = _without(copy[name], tuple(rest))
    else:
        del copy[name]
    return copy


def _unescaped(name: str) -> str:
    return name.replace("~1", "/").replace("~0", "~")
