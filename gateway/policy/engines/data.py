"""Reads the data files of a bundle as OPA does, and refuses values that other readers take differently."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable
from typing import Any

import yaml

from gateway.errors import ConfigError

_LEAST = 100_000
"""Values that a file of any size may have. A longer file may have a value per byte; only aliases can exceed that."""


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2, as in OPA. PyYAML has the schema of 1.1, where `on` and `12:30` are not text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  the type in PyYAML

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(
                    None, None, f"the key {key!r} is not a string; quote it", key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _number(_loader: _Loader, node: yaml.ScalarNode) -> int | float:
    text = str(node.value)
    if not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", text):
        raise yaml.MarkedYAMLError(
            None,
            None,
            f"{text} is a number for some readers and text for others; quote it, or write a decimal number",
            node.start_mark,
        )
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    (
        "float",
        r"[-+]?(0[xXoObB][0-9a-fA-F_]+|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.[0-9][0-9_]*([eE][-+]?[0-9]+)?)"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.yaml_implicit_resolvers.setdefault("", []).append(("tag:yaml.org,2002:null", re.compile("^$")))
_Loader.add_constructor("tag:yaml.org,2002:float", _number)


def parse_yaml(file: str, content: bytes) -> dict[str, Any]:
    """A YAML data file. Raises ConfigError with file and line."""
    try:
        document = yaml.load(content, _Loader)  # noqa: S506  a SafeLoader by inheritance
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise ConfigError(f"{file}:{mark.line + 1 if mark else 1}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: {error}") from None
    return _object(file, content, document)


def parse_json(file: str, content: bytes) -> dict[str, Any]:
    """A JSON data file. Raises ConfigError with file and line."""
    try:
        document = json.loads(content, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}:{error.lineno}: {error.msg}") from None
    except ValueError as error:
        raise ConfigError(f"{file}: {error}") from None
    return _object(file, content, document)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice in one object")
    return found


def _object(file: str, content: bytes, document: object) -> dict[str, Any]:
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{file}:1: the root must be a mapping of keys to values")
    _check(file, document, max(len(content), _LEAST))
    return document


def _check(file: str, document: dict[str, Any], most: int) -> None:
    """Refuse values that JSON does not have, and data that aliases of aliases make larger than `most` values."""
    left: list[object] = [document]
    count = 0
    while left:
        value = left.pop()
        count += 1
        if count > most:
            raise ConfigError(f"{file}: its aliases (*name) expand to more than {most} values; use fewer aliases")
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        elif (isinstance(value, float) and not math.isfinite(value)) or not isinstance(value, str | int | float | None):
            raise ConfigError(f"{file}: {value!r} is not a JSON value; quote it")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ConfigError(f"{file}: the number {value} needs more than 64 bits; quote it")
