"""JSON text with some strings changed: all other characters stay as written, including numbers and blanks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

# An unterminated string extends to the end; otherwise each quote in it would be tried as a beginning.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)


def rewritten(text: str, root: Any) -> str:
    """`text` with the strings of `root`, its parsed value, in which only strings and names were edited."""
    strings = list(_strings(root))
    literals = list(_STRING.finditer(text))
    if len(strings) != len(literals):
        return orjson.dumps(root).decode()
    parts: list[str] = []
    at = 0
    for literal, string in zip(literals, strings, strict=True):
        if _says(literal[0]) != string:
            parts += text[at : literal.start()], json.dumps(string, ensure_ascii=False)
            at = literal.end()
    parts.append(text[at:])
    return "".join(parts)


def _strings(value: Any) -> Iterator[str]:
    """Names and strings in document order."""
    if type(value) is dict:
        for name, inner in value.items():
            yield str(name)
            yield from _strings(inner)
    elif type(value) is list:
        for inner in value:
            yield from _strings(inner)
    elif type(value) is str:
        yield value


def _says(literal: str) -> Any:
    return json.loads(literal) if "\\" in literal else literal[1:-1]
