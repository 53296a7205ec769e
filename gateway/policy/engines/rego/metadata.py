"""Metadata: annotations in comments, for `rego.metadata.rule` and `rego.metadata.chain`.

https://www.openpolicyagent.org/docs/policy-language#metadata
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.builtins.texts import Loader
from gateway.policy.engines.rego.constants import constant
from gateway.policy.engines.rego.errors import PARSE, Location, Problem, RegoError
from gateway.policy.engines.rego.scanner import Comment
from gateway.policy.engines.rego.values import Value

MARK = "METADATA"
SCOPES = ("rule", "document", "package", "subpackages")
_FIELDS = ("title", "description", "organizations", "related_resources", "authors", "schemas", "custom", "labels")


def read_annotations(file: str, comments: list[Comment]) -> list[dict[str, Any]]:
    """Every block of annotations: its fields, and under "" the rows where it begins and ends. Raises RegoError."""
    found: list[dict[str, Any]] = []
    index = 0
    while index < len(comments):
        first = comments[index]
        index += 1
        if first.column != 1 or first.text.strip() != MARK:
            continue
        lines, last = [], first
        while index < len(comments):
            comment = comments[index]
            if comment.column != 1 or comment.row != last.row + 1 or comment.text.strip() == MARK:
                break
            lines.append(comment.text)
            last = comment
            index += 1
        found.append({**_read(file, first, lines), "": (first.row, last.row)})
    return found


def _read(file: str, first: Comment, lines: list[str]) -> dict[str, Any]:
    at = Location(file, first.row, first.column)
    try:
        fields = yaml.load("\n".join(line.removeprefix(" ") for line in lines), Loader)  # noqa: S506 (a safe loader)
    except RecursionError:
        raise RegoError([Problem(PARSE, "yaml: the metadata is nested too deeply", at)]) from None
    except yaml.YAMLError as error:
        raise RegoError([Problem(PARSE, f"yaml: {' '.join(str(error).split())}", at)]) from None
    if not isinstance(fields, dict):
        raise RegoError([Problem(PARSE, "expected METADATA block, found whitespace", at)])
    if fields.get("scope", "rule") not in SCOPES:
        raise RegoError([Problem(PARSE, f"invalid scope '{fields['scope']}' for metadata", at)])
    return fields


class Metadata:
    """The annotations of all modules, by what they are about."""

    def __init__(self, modules: Iterable[ast.Module]) -> None:
        self.rules: dict[int, list[dict[str, Any]]] = {}
        self.documents: dict[tuple[Value, ...], dict[str, Any]] = {}
        self.packages: dict[tuple[Value, ...], dict[str, Any]] = {}
        self.subpackages: dict[tuple[Value, ...], dict[str, Any]] = {}
        for module in modules:
            for annotation in module.annotations:
                self.attach(module, annotation)

    def attach(self, module: ast.Module, annotation: dict[str, Any]) -> None:
        """An annotation is about the statement that follows."""
        row = annotation[""][0]
        rule = next((rule for rule in module.rules if rule.at.row > row), None)
        package = module.at.row > row
        default = "package" if package else "document" if annotation.get("entrypoint") is True else "rule"
        scope = annotation.get("scope", default)
        found = _plain(annotation, scope)
        if scope == "subpackages":
            self.subpackages[module.package] = found
        elif scope == "package":
            self.packages[module.package] = found
        elif rule is not None and scope == "document":
            self.documents[path_of(rule)] = found
        elif rule is not None:
            self.rules.setdefault(id(rule), []).append(found)

    def rule(self, rule: ast.Rule) -> Value:
        """What `rego.metadata.rule()` comes to in a rule."""
        found = self.rules.get(id(rule))
        return found[0] if found else {}

    def chain(self, rule: ast.Rule) -> Value:
        """What `rego.metadata.chain()` comes to: from the rule outwards."""
        path = path_of(rule)
        assert rule.module is not None
        package = rule.module.package
        found = [_entry(path, one) for one in reversed(self.rules.get(id(rule), ()))] or [_entry(path, None)]
        if path in self.documents:
            found.append(_entry(path, self.documents[path]))
        if package in self.packages:
            found.append(_entry(package, self.packages[package]))
        for length in range(len(package), 0, -1):
            outer = package[:length]
            if outer in self.subpackages:
                found.append(_entry(outer, self.subpackages[outer]))
        return found


def path_of(rule: ast.Rule) -> tuple[Value, ...]:
    """The ground part of the name of a rule."""
    assert rule.module is not None
    path: list[Value] = [*rule.module.package, rule.name]
    for part in rule.ref[1:]:
        value = constant(part)
        if value is None:
            break
        path.append(value[0])
    return tuple(path)


def _entry(path: tuple[Value, ...], annotations: dict[str, Any] | None) -> Value:
    made: dict[str, Value] = {"path": list(path[1:])}
    if annotations is not None:
        made["annotations"] = annotations
    return made


def _plain(annotation: dict[str, Any], scope: str) -> dict[str, Any]:
    made: dict[str, Any] = {"scope": scope}
    if annotation.get("entrypoint") is True:
        made["entrypoint"] = True
    for field in _FIELDS:
        value = annotation.get(field)
        if not value:
            continue
        if field == "authors":
            value = [_author(one) for one in value]
        elif field == "related_resources":
            value = [{"ref": one} if isinstance(one, str) else one for one in value]
        elif field == "schemas":
            value = [_schema(one) for one in value]
        made[field] = value
    return made


def _author(one: Any) -> Any:
    if not isinstance(one, str):
        return {name: one[name] for name in ("name", "email") if one.get(name)}
    *names, last = one.split() or [""]
    if last[:1] == "<" and last[-1:] == ">":
        return {**({"name": " ".join(names)} if names else {}), "email": last[1:-1]}
    return {"name": " ".join([*names, last])}


def _schema(one: Any) -> Any:
    """`input.x: schema.y` as paths."""
    (path, schema), *_ = one.items()
    if isinstance(schema, str):
        return {"path": path.split("."), "schema": schema.split(".")}
    return {"path": path.split("."), "definition": schema}
