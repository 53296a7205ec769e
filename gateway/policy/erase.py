"""Takes values out of an input before it is kept: those at the JSON pointers (RFC 6901) of `audit.erase`.

The input itself is not touched, for the policy has read it and may read it again; what is copied is the path to a
value that is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.call import Json


class Eraser:
    """Compiled pointers. Each begins with `/input/`, as in OPA's decision log."""

    def __init__(self, pointers: Iterable[str]) -> None:
        self._paths = tuple((pointer, tuple(map(_unescaped, pointer.split("/")[2:]))) for pointer in pointers)

    def erase(self, document: Json) -> tuple[Json, list[str]]:
        """The document without those values, and the pointers of those that were there."""
        erased: list[str] = []
        for pointer, path in self._paths:
            if _holds(document, path):
                document = _without(document, path)
                erased.append(pointer)
        return document, erased


def _holds(node: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        if type(node) is not dict or name not in node:
            return False
        node = node[name]
    return True


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
