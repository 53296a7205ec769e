"""OpenAPI 3 documents: the operations of an HTTP tool, as tools with schemas.

Config keys: `tools.*.openapi`, `tools.*.operations`. Only references within the document are followed, and nothing is
fetched. Specification: OpenAPI 3.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from gateway.config.tools import Tool

_METHODS: Final = ("get", "head", "post", "put", "patch", "delete")
_MOST: Final = 2_000  # operations of one document
_LARGEST: Final = 16_000_000  # bytes of one document
_DEPTH: Final = 32  # levels of references and schemas
_NODES: Final = 20_000  # values of one schema with all that it refers to
_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
_PLACE: Final = re.compile(r"\{([^{}/]+)\}")
_ANY: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True)
class Operation:
    """One operation: its name as a tool, what it is called with, and the schema of its arguments.

    `path`: a template with `{name}` for parameters. The body of a request is the argument `body`.
    """

    name: str
    method: str
    path: str
    title: str
    description: str
    schema: Mapping[str, Any]
    query: tuple[str, ...] = ()
    body: bool = False
    places: tuple[str, ...] = ()
    pattern: re.Pattern[str] = field(default=re.compile(""), compare=False)

    def is_called_by(self, method: str, path: str) -> bool:
        """Whether a request of this method and path calls the operation."""
        return method == self.method and self.pattern.fullmatch(path) is not None


def operations(row: Tool) -> tuple[Operation, ...]:
    """The operations of a row with `openapi` that the row allows. Raises ValueError, which says what is wrong."""
    return described(row).chosen


class Described(NamedTuple):
    """The operations that a row allows, and all of its document, those with the fewest parameters in the path first."""

    chosen: tuple[Operation, ...] = ()
    every: tuple[Operation, ...] = ()

    def called(self, method: str, path: str) -> Operation | None:
        """The operation that a request calls, also if the row does not allow it; None for none of the document."""
        return next((one for one in self.every if one.is_called_by(method, path)), None)

    def allows(self, operation: Operation) -> bool:
        """Whether the row allows an operation."""
        return any(one is operation for one in self.chosen)


def described(row: Tool) -> Described:
    """The operations of a row with `openapi`. Raises ValueError, which says what is wrong."""
    if not row.openapi:
        return Described()
    every = tuple(_operations(_read(Path(row.openapi))))
    chosen = [one for one in every if _is_allowed(row, one)]
    names = [one.name for one in chosen]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"has two operations with the name {twice[0]}; give each an operationId of its own")
    unknown = [it for it in row.operations if not any(fnmatchcase(one.name, it) for one in every)]
    if unknown:
        raise ValueError(f"has no operation {unknown[0]}; it has {', '.join(names[:20]) or 'none that is allowed'}")
    return Described(tuple(chosen), tuple(sorted(every, key=lambda one: len(one.places))))


def _is_allowed(row: Tool, one: Operation) -> bool:
    if row.operations:
        return any(fnmatchcase(one.name, pattern) for pattern in row.operations)
    return row.takes(one.method, one.path)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"is larger than {_LARGEST} bytes")
        document = yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except OSError as fault:
        raise ValueError(f"cannot be read: {fault.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError):
        raise ValueError("is neither JSON nor YAML in UTF-8") from None
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        raise ValueError("is not an OpenAPI document of version 3 (`openapi: 3...`)")
    return document


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    paths = document.get("paths")
    count = 0
    for path, item in paths.items() if isinstance(paths, dict) else ():
        if not isinstance(path, str) or not path.startswith("/") or not isinstance(item, dict):
            raise ValueError(f"has a path that is no path: {str(path)[:80]!r}")
        for method in _METHODS:
            if isinstance(said := item.get(method), dict):
                count += 1
                if count > _MOST:
                    raise ValueError(f"has more than {_MOST} operations")
                yield _operation(document, path, method, item, said)


def _operation(document: Mapping[str, Any], path: str, method: str, item: Any, said: Mapping[str, Any]) -> Operation:
    name = said.get("operationId") or f"{method}_{path.strip('/') or 'root'}"
    named = _NOT_NAME.sub("_", str(name))[:128]
    resolver = _Resolver(document, named)
    properties: dict[str, Any] = {}
    required: list[str] = []
    query: list[str] = []
    places = _PLACE.findall(path)
    for one in [*_list(item, "parameters"), *_list(said, "parameters")]:
        parameter = resolver.resolved(one)
        called, place = parameter.get("name"), parameter.get("in")
        if type(called) is not str or place not in ("path", "query"):
            if place == "header" and parameter.get("required"):
                raise ValueError(f"{named}: the header {called} is required; put it into `headers` of the tool")
            continue
        schema = dict(parameter.get("schema") or _ANY)
        if "description" not in schema and type(parameter.get("description")) is str:
            schema["description"] = parameter["description"]
        properties[called] = schema
        if place == "query" and called not in query:
            query.append(called)
        if (parameter.get("required") or place == "path") and called not in required:
            required.append(called)
    for missing in [it for it in places if it not in properties]:
        properties[missing] = {"type": "string"}
        required.append(missing)
    body = resolver.resolved(said.get("requestBody")) if said.get("requestBody") else None
    if body is not None:
        if "body" in properties:
            raise ValueError(f"{named}: has a parameter named body beside its request body")
        properties["body"] = _json_of(body)
        required += ["body"] if body.get("required") else []
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    described = str(said.get("description") or said.get("summary") or "")
    parts = re.split(r"(\{[^{}/]+\})", path)
    pattern = "".join("[^/]+" if _PLACE.fullmatch(part) else re.escape(part) for part in parts)
    return Operation(
        named,
        method.upper(),
        path,
        str(said.get("summary") or ""),
        described,
        schema,
        tuple(query),
        body is not None,
        tuple(dict.fromkeys(places)),
        re.compile(pattern),
    )


def _json_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    content = body.get("content")
    for kind, media in content.items() if isinstance(content, dict) else ():
        if "json" in str(kind) and isinstance(media, dict):
            schema = media.get("schema")
            return schema if isinstance(schema, dict) else _ANY
    raise ValueError("has an operation whose request body is not JSON; leave it out by `operations`")


def _list(holder: Mapping[str, Any], key: str) -> list[Any]:
    value = holder.get(key)
    return value if isinstance(value, list) else []


class _Resolver:
    """Replaces references by what they refer to, within bounds; a schema that contains itself ends in `{}`."""

    def __init__(self, document: Mapping[str, Any], name: str) -> None:
        self._document = document
        self._name = name
        self._nodes = 0

    def resolved(self, value: Any) -> dict[str, Any]:
        """An object without references. Raises ValueError."""
        found = self._resolve(value, (), 0)
        if not isinstance(found, dict):
            raise ValueError(f"{self._name}: a parameter or body is no object")
        return found

    def _resolve(self, value: Any, above: tuple[str, ...], depth: int) -> Any:
        self._nodes += 1
        if self._nodes > _NODES or depth > _DEPTH:
            raise ValueError(f"{self._name}: its schema is too large or too deep")
        if isinstance(value, list):
            return [self._resolve(one, above, depth + 1) for one in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str):
            if not reference.startswith("#/"):
                raise ValueError(f"{self._name}: {reference[:80]!r} is outside of the document, and nothing is fetched")
            if reference in above:
                return {}
            return self._resolve(self._at(reference), (*above, reference), depth + 1)
        return {str(key): self._resolve(one, above, depth + 1) for key, one in value.items()}

    def _at(self, reference: str) -> Any:
        found: Any = self._document
        for step in reference[2:].split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                raise ValueError(f"{self._name}: {reference[:80]!r} is not in the document")
            found = found[key]
        return found
