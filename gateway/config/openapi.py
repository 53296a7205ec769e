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
_ITEMS: Final = 8  # references from one path to another
_OWN: Final = frozenset({"accept", "content-type", "authorization"})  # headers that a document does not describe
_STYLES: Final = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
DEEP: Final = "deep"
JSON: Final = "json"


@dataclass(frozen=True)
class Operation:
    """One operation: its name as a tool, what it is called with, and the schema of its arguments.

    `path`: a template with `{name}` for parameters. The body of a request is the argument `body`. `forms`: parameter
    of the query -> how several values are written: with a separator, as `DEEP`, as `JSON`, or ("" or no entry) each for
    itself. `problem`: why the operation is no tool.
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
    forms: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

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
    every = tuple(_operations(_read(Path(row.openapi)), frozenset(map(str.lower, row.headers))))
    for one in every:
        if one.problem and one.name in row.operations:
            raise ValueError(f"{one.name}: {one.problem}")
    chosen = [one for one in every if _is_allowed(row, one) and not one.problem]
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


def _operations(document: Mapping[str, Any], given: frozenset[str]) -> Iterator[Operation]:
    """All operations. `given`: the headers of the row, in lower case."""
    paths = document.get("paths")
    count = 0
    for path, said in paths.items() if isinstance(paths, dict) else ():
        if not isinstance(path, str) or not path.startswith("/") or not isinstance(said, dict):
            raise ValueError(f"has a path that is no path: {str(path)[:80]!r}")
        item = _Resolver(document, path[:80]).item(said)
        for method in _METHODS:
            if isinstance(operation := item.get(method), dict):
                count += 1
                if count > _MOST:
                    raise ValueError(f"has more than {_MOST} operations")
                yield _operation(document, path, method, item, operation, given)


def _operation(
    document: Mapping[str, Any],
    path: str,
    method: str,
    item: Mapping[str, Any],
    said: Mapping[str, Any],
    given: frozenset[str],
) -> Operation:
    name = said.get("operationId") or f"{method}_{path.strip('/') or 'root'}"
    named = _NOT_NAME.sub("_", str(name))[:128]
    resolver = _Resolver(document, named)
    properties: dict[str, Any] = {}
    required: list[str] = []
    query: list[str] = []
    forms: dict[str, str] = {}
    found: dict[str, str] = {}  # parameter -> its place
    problem = ""
    places = _PLACE.findall(path)
    for one in [*_list(item, "parameters"), *_list(said, "parameters")]:
        parameter = resolver.resolved(one)
        called, place = parameter.get("name"), parameter.get("in")
        if type(called) is not str or place not in ("path", "query"):
            missing = place == "cookie" or (place == "header" and str(called).lower() not in _OWN | given)
            if missing and parameter.get("required"):
                problem = f"the {place} {called} is required; put it into `headers` of the tool"
            continue
        if found.setdefault(called, place) != place:
            problem = f"two of its parameters have the name {called}"
        form, of_schema = _form(parameter, place)
        if form is None:
            problem = f"its parameter {called} has a style that is not served"
        elif form:
            forms[called] = form
        schema = dict(of_schema)
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
        json = _json_of(body)
        if "body" in properties:
            problem = "it has a parameter named body beside its request body"
        elif json is None:
            problem = "its request body is not JSON"
        else:
            properties["body"] = json
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
        forms,
        problem,
    )


def _form(parameter: Mapping[str, Any], place: str) -> tuple[str | None, Mapping[str, Any]]:
    """How several values of a parameter are written (see `Operation.forms`), and its schema. None: not served."""
    content, schema = parameter.get("content"), parameter.get("schema")
    if isinstance(content, dict) and content:
        json = _json_of(parameter)
        return (None, _ANY) if json is None or place == "path" else (JSON, json)
    schema = schema if isinstance(schema, dict) else _ANY
    style = parameter.get("style") or ("simple" if place == "path" else "form")
    if place == "path":
        return ("" if style == "simple" else None), schema
    if style == "deepObject":
        return DEEP, schema
    if type(style) is not str or style not in _STYLES:
        return None, schema
    explode = parameter.get("explode", style == "form")
    return ("" if explode is True else _STYLES[style]), schema


def _json_of(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of the JSON that a body or a parameter has; None for another type alone."""
    content = body.get("content")
    for kind, media in content.items() if isinstance(content, dict) else ():
        if "json" in str(kind) and isinstance(media, dict):
            schema = media.get("schema")
            return schema if isinstance(schema, dict) else _ANY
    return None


def _list(holder: Mapping[str, Any], key: str) -> list[Any]:
    value = holder.get(key)
    return value if isinstance(value, list) else []


class _Resolver:
    """Replaces references by what they refer to, within bounds; a schema that contains itself ends in `{}`."""

    def __init__(self, document: Mapping[str, Any], name: str) -> None:
        self._document = document
        self._name = name
        self._nodes = 0

    def item(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a path has, also by reference to another path. Raises ValueError."""
        for _ in range(_ITEMS):
            reference = item.get("$ref")
            if not isinstance(reference, str):
                return item
            found = self._referred(reference)
            if not isinstance(found, dict):
                break
            item = {**found, **{key: value for key, value in item.items() if key != "$ref"}}
        raise ValueError(f"{self._name}: its reference leads to no path")

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
            if reference in above:
                return {}
            return self._resolve(self._referred(reference), (*above, reference), depth + 1)
        return {str(key): self._resolve(one, above, depth + 1) for key, one in value.items()}

    def _referred(self, reference: str) -> Any:
        """What a reference within the document leads to. Raises ValueError."""
        if not reference.startswith("#/"):
            raise ValueError(f"{self._name}: {reference[:80]!r} is outside of the document, and nothing is fetched")
        found: Any = self._document
        for step in reference[2:].split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                raise ValueError(f"{self._name}: {reference[:80]!r} is not in the document")
            found = found[key]
        return found
