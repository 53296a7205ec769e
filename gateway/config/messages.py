"""Turns validation errors into messages for the operator: the key, the mistake, and the allowed values.

No message repeats a secret, a value from the environment, or the credentials of a URL.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from gateway.config import grammar
from gateway.config.grammar import schema
from gateway.config.sections import hidden
from gateway.config.yaml_file import Path, Problem, YamlFile

_SECRET = frozenset({"key_sha256", "master_key"}) | {
    name
    for section in vars(grammar).values()
    if isinstance(section, type) and issubclass(section, BaseModel)
    for name in hidden(section)
    if name != "url"  # its scheme may be shown
}
_WORDS = {
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "list_type": "must be a list, like [a, b]",
    "tuple_type": "must be a list, like [a, b]",
    "too_short": "needs at least one entry",
    "string_too_short": "must not be empty",
}


def problems(error: ErrorDetails, doc: YamlFile) -> Iterator[Problem]:
    """One validation error as mistakes with lines."""
    path = tuple(step for step in error["loc"] if not (isinstance(step, str) and step[:1] + step[-1:] == "<>"))
    context = error.get("ctx", {})
    if error["type"] == "does_not_fit":
        for at, text in context["problems"]:
            yield Problem(doc.line(at), at, f": {text}")
        return
    yield Problem(doc.line(path), path, _explain(error, path, context, doc))


def _explain(error: ErrorDetails, path: Path, context: Mapping[str, Any], doc: YamlFile) -> str:
    match error["type"]:
        case "extra_forbidden":
            known = sorted(_schema(path[:-1]).get("properties", {}))
            return f"is not a known key{suggest(str(path[-1]), known)}"
        case "missing":
            return f"is required: {_description(path)}"
        case "literal_error" if path[0] == "events":
            return "other than none is not available in this version; allowed: none"
        case "literal_error":
            allowed = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            return f"cannot be {_echo(error, path, doc)}{suggest(str(error['input']), allowed)}"
        case "string_pattern_mismatch":
            return f"does not have the right form{_got(error, path, doc)}; expected: {_description(path)}"
        case kind if kind in _WORDS:
            # Where a mapping or a list is expected, a bare word may be a secret whose key was left out: never echo it.
            return _WORDS[kind] + (_got(error, path, doc) if kind.endswith("_parsing") else "")
        case "value_error":
            return f": {error['msg'].removeprefix('Value error, ')}{_got(error, path, doc)}"
    return error["msg"].replace("Input should be", "must be") + _got(error, path, doc)


def suggest(given: str, known: Iterable[str]) -> str:
    """`; did you mean targets? allowed: price, targets`: the most similar name, if any, and all allowed names."""
    known = list(known)
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(given.lower(), lowered, n=1)
    hint = f"; did you mean {lowered[near[0]]}?" if near else ";"
    return f"{hint} allowed: {', '.join(known)}"


def _got(error: ErrorDetails, path: Path, doc: YamlFile) -> str:
    shown = isinstance(error["input"], str | int | float) and not _SECRET.intersection(path)
    return f" (it is {_echo(error, path, doc)})" if shown else ""


def _echo(error: ErrorDetails, path: Path, doc: YamlFile) -> str:
    """The value as a message may show it, without secrets, values from the environment, and credentials of URLs."""
    value = str(error["input"])
    if variable := doc.env.get(path):
        return f"the value of {variable}"
    if _SECRET.intersection(path):
        return "what it is"
    if "://" in value:
        return repr(value.partition("://")[0] + "://...")
    if "@" in value:  # a malformed URL may have credentials, too
        return "what it is"
    return repr(value if len(value) <= 60 else value[:60] + "...")


def _schema(path: Path) -> dict[str, Any]:
    """The JSON Schema at a path; empty if there is none."""
    root = _whole()
    here: dict[str, Any] = root
    for step in path:
        options = _options(here, root)
        if isinstance(step, int):
            nested = [option["items"] for option in options if "items" in option]
        else:
            nested = [
                option.get("properties", {}).get(step) or option.get("additionalProperties") for option in options
            ]
        here = next((option for option in nested if isinstance(option, dict)), {})
    return next((option for option in _options(here, root) if "properties" in option), here)


_whole = functools.cache(schema)


def _options(node: Mapping[str, Any], root: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in node:
        target = root["$defs"][node["$ref"].rpartition("/")[2]]
        return [{**target, **{key: value for key, value in node.items() if key != "$ref"}}]
    branches = [*node.get("anyOf", ()), *node.get("oneOf", ())]
    return [found for branch in branches for found in _options(branch, root)] or [dict(node)]


def _description(path: Path) -> str:
    parent = _schema(path[:-1])
    text = parent.get("properties", {}).get(path[-1], {}).get("description", "")
    return " ".join(text.split()).rstrip(".")
