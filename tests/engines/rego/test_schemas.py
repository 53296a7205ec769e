"""JSON Schema: the same verdicts and messages as with the program `opa`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engines import opa_server
from gateway.policy.engines.rego import EvaluationError, TooLong, compile_bundle

MODULE = """package m

found := [[x | some d in data.documents; x := json.match_schema(d, s)] | some s in data.schemas]
verified := [json.verify_schema(s) | some s in data.schemas]
"""
VALUES: list[Any] = [
    *(1, -1, 0.5, "x", "", "abc@x.org", "10.0.0.1", "2020-01-01", "2020-13-01", None, True, [], [1, 2, 2], [1, "x"]),
    *({}, {"b": 1.5}, {"b": 1, "c": 2}),
]
DOCUMENTS: list[dict[str, Any]] = [{}, {"a": 1, "b": 2}, {"b": 3, "c": True}, *({"a": value} for value in VALUES)]
OF_A: list[dict[str, Any]] = [
    *({"type": "integer"}, {"type": ["string", "null"]}, {"type": "number"}, {"enum": [1, "x"]}, {"const": "x"}),
    *({"minimum": 0}, {"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMaximum": 1}, {"maximum": 0}),
    *({"multipleOf": 2}, {"multipleOf": 0.5}, {"minLength": 2}, {"maxLength": 0}, {"pattern": "^x"}),
    *({"format": name} for name in ("date", "email", "ipv4", "unknown")),
    *({"items": {"type": "integer"}}, {"items": [{"type": "integer"}], "additionalItems": False}),
    *({"minItems": 1}, {"maxItems": 1}, {"uniqueItems": True}),
    *({"allOf": [{"type": "string"}, {"minLength": 2}]}, {"not": {"type": "string"}}, {"required": ["z"]}),
    *({"additionalProperties": False}, {"properties": {"b": {"type": "integer"}}}, {"minProperties": 2}),
    *(
        {"$ref": "#/definitions/text"},
        {"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"type": "boolean"}},
    ),
]
WHOLE: list[dict[str, Any]] = [
    *({"required": ["a", "b"]}, {"additionalProperties": False}, {"additionalProperties": {"type": "string"}}),
    {"patternProperties": {"^a": {"type": "string"}}, "additionalProperties": False},
    *({"minProperties": 2}, {"maxProperties": 1}, {"dependencies": {"a": ["b"]}}, {"propertyNames": {"maxLength": 0}}),
    *({"type": "array"}, {"anyOf": []}, {"required": []}, {"$schema": "http://json-schema.org/draft-07/schema#"}),
]
WRONG: list[dict[str, Any]] = [
    *({"type": "unknown"}, {"type": 1}, {"minLength": -1}, {"minLength": "a"}, {"required": "a"}, {"required": [1]}),
    *({"enum": 1}, {"multipleOf": 0}, {"allOf": 1}, {"properties": 1}, {"items": 1}, {"minimum": "a"}),
    *({"$ref": "#/nothing"}, {"properties": {"a": {"type": "what"}}}),
]
TEXT = {"definitions": {"text": {"type": "string"}}}


def in_order(found: Any) -> Any:
    """The errors, sorted, because OPA lists them in any order."""
    return [found[0], sorted(found[1], key=lambda one: json.dumps(one, sort_keys=True))]


def test_the_same_as_opa(tmp_path: Path) -> None:
    """Every schema is compared with every document."""
    schemas = [*({"properties": {"a": one}} | TEXT for one in OF_A), *WHOLE, *WRONG]
    data = {"documents": DOCUMENTS, "schemas": schemas}
    (tmp_path / "m.rego").write_text(MODULE)
    (tmp_path / "data.json").write_text(json.dumps(data))
    command = [opa_server.program(), "eval", "-f", "raw", "-d", str(tmp_path), "data.m"]
    wanted = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    program = compile_bundle({"m.rego": MODULE}, data)
    found = program.document(("data", "m"), program.env({}))
    for schema, ours, theirs in zip(schemas, found["found"], wanted["found"], strict=True):
        assert list(map(in_order, ours)) == list(map(in_order, theirs)), schema
    assert found["verified"] == wanted["verified"]


def test_nothing_is_fetched_and_nothing_takes_long() -> None:
    """An external reference, a reference to itself, a catastrophic pattern, and a schema that doubles are handled."""
    program = compile_bundle({"m.rego": "package m\n\np := json.match_schema(input.d, input.s)\n"})

    def match(document: Any, schema: Any) -> Any:
        given = {"d": {"a": document}, "s": {"properties": {"a": schema}}}
        return program.evaluate(("data", "m", "p"), program.env(given, steps=100_000, strict=True))

    with pytest.raises(EvaluationError, match="remote reference"):
        match(1, {"$ref": "http://127.0.0.1/schema"})
    with pytest.raises(EvaluationError, match="nested too deeply"):
        match(1, {"$ref": "#/properties/a"})
    assert match("x" * 5000, {"pattern": "(x+x+)+y"})[0] is False
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(30):
        schema = {"anyOf": [schema, schema]}
    with pytest.raises(TooLong):
        match(1, schema)
