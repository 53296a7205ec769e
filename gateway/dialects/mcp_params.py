"""Arguments that a request of the later era repeats in headers, as the schema of the tool says (`x-mcp-header`).

The headers of a caller must equal the body; those that leave are written anew from the arguments as they leave, so that
no value that was taken out leaves in a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.bodies import Headers
from gateway.dialects import mcp_era, mcp_names
from gateway.dialects.jsonrpc import Fault

_KEY: Final = "x-mcp-header"
_PREFIX: Final = "Mcp-Param-"
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_DEPTH: Final = 8
_MOST: Final = 32
Paths = Mapping[tuple[str, ...], str]
"""Path of an argument -> the rest of the name of its header."""


def paths(schema: Mapping[str, Any]) -> Paths:
    """The arguments of an input schema that are repeated in headers."""
    found: dict[tuple[str, ...], str] = {}
    for path, name in _found(schema, ()):
        if len(found) < _MOST:
            found[path] = name
    return found


def _found(schema: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if not isinstance(schema, Mapping) or len(path) > _DEPTH:
        return
    name = schema.get(_KEY)
    if path and isinstance(name, str) and _NAME.fullmatch(name):
        yield path, name
    properties = schema.get("properties")
    for key, inner in properties.items() if isinstance(properties, Mapping) else ():
        yield from _found(inner, (*path, key))


def written(named: Paths, arguments: Mapping[str, Any]) -> dict[str, str]:
    """The headers for these arguments; none for an argument that is missing, null or no plain value."""
    return {
        _PREFIX + name: mcp_era.written(text)
        for path, name in named.items()
        if (text := _text(arguments, path)) is not None
    }


def check(named: Paths, arguments: Mapping[str, Any], headers: Headers, *, needed: bool) -> None:
    """Raise Refusal(invalid_request) if a header of a caller is missing, repeated or differs from the arguments.

    `needed`: a missing header is refused, as the later era demands.
    """
    for path, name in named.items():
        header = (_PREFIX + name).lower().encode()
        values = [value for key, value in headers if key == header]
        if not values and not needed:
            continue
        text = _text(arguments, path)
        said = mcp_era.header({header: values[0]}, header) if values else None
        if len(values) > 1 or said != text:
            words = f"The header {_PREFIX}{name} differs from its argument in the body, or occurs twice."
            raise Fault(mcp_names.MISMATCH, words, status=400)


def _text(arguments: Any, path: tuple[str, ...]) -> str | None:
    """A plain value as headers have it."""
    node = arguments
    for key in path:
        node = node.get(key) if isinstance(node, Mapping) else None
    if isinstance(node, bool):
        return "true" if node else "false"
    return str(node) if isinstance(node, str | int | float) else None
