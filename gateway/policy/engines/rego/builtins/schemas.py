"""JSON Schema, drafts 4 to 7, in the words of the library that OPA uses: `json.match_schema`, `json.verify_schema`.

Steps are counted and patterns are RE2's, so that no schema takes long. A `$ref` leads within its own schema; one that
leads elsewhere is refused, since nothing is fetched in a decision. Formats that are not known are not checked. Of
`anyOf`, `oneOf` and `contains` it is said that nothing matched, not which came closest.
https://json-schema.org/draft-07/json-schema-validation, https://github.com/xeipuuv/gojsonschema
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import re2

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.formats_json import FORMATS
from gateway.policy.engines.rego.builtins.regexes import compiled
from gateway.policy.engines.rego.errors import TYPE_EVAL, BuiltinError
from gateway.policy.engines.rego.values import Value, dumps, equal, from_json, number_text, to_json, type_name

_TYPES = ("array", "boolean", "integer", "number", "null", "object", "string")
_NESTED = ("additionalItems", "additionalProperties", "contains", "else", "if", "not", "propertyNames", "then")
_LISTS = ("allOf", "anyOf", "oneOf")
_TABLES = ("definitions", "patternProperties", "properties")
_COUNTS = ("maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties")
_DEEPEST = 200
_ROOT = "(Root)"


class Fault(Exception):
    """The document is no schema."""


class Found(NamedTuple):
    """What is wrong with a document: where, which kind, in words."""

    field: str
    kind: str
    words: str

    def shown(self) -> Value:
        """As a value of the policy."""
        return {"desc": self.words, "error": f"{self.field}: {self.words}", "field": self.field, "type": self.kind}


@builtin("json.verify_schema", context=True)
def verify_schema(context: Context, schema: Value) -> Value:
    """`[true, null]`, or `[false, why]`."""
    try:
        whole = _document("json.verify_schema", 1, schema)
        _verified(context, whole, whole)
    except Fault as fault:
        return [False, f"jsonschema: {fault}"]
    return [True, None]


@builtin("json.match_schema", context=True)
def match_schema(context: Context, document: Value, schema: Value) -> Value:
    """`[true, []]`, or `[false, what is wrong]`."""
    name = "json.match_schema"
    whole = _document(name, 2, schema)
    try:
        _verified(context, whole, whole)
        found = list(_Match(context, whole).all(_document(name, 1, document), whole, _ROOT))
    except Fault as fault:
        raise BuiltinError(f"{name}: {fault}") from None
    errors: list[Value] = [one.shown() for one in found]
    return [not errors, errors]


def _document(name: str, operand: int, value: Value) -> Value:
    if type(value) is str:
        try:
            return from_json(value)
        except (ValueError, RecursionError) as error:
            raise BuiltinError(f"{name}: {error}") from None
    if type(value) is dict:
        return to_json(value)
    words = f"{name}: operand {operand} must be one of {{string, object}} but got {type_name(value)}"
    raise BuiltinError(words, TYPE_EVAL)


def _verified(context: Context, schema: Value, root: Value, depth: int = 0) -> None:
    """Raises Fault for what is no schema."""
    context.tick(4)
    if type(schema) is bool:
        return
    if type(schema) is not dict:
        raise Fault("schema is invalid")
    if depth > _DEEPEST:
        raise Fault("schema is nested too deeply")
    kinds = schema.get("type", [])
    if type(kinds) not in (str, list):
        raise Fault("Invalid type. Expected: type, given: string/Array Of Strings")
    for kind in kinds if type(kinds) is list else [kinds]:
        if kind not in _TYPES:
            valid = f"Expected valid values are:[{' '.join(_TYPES)}]"
            raise Fault(f"has a primitive type that is NOT VALID -- given: /{kind}/ {valid}")
    for name in _COUNTS:
        if name in schema and not (_number(schema[name]) and schema[name] == int(schema[name])):
            raise Fault(f"{name} must be of an integer")
        if name in schema and schema[name] < 0:
            raise Fault(f"{name} must be greater than or equal to 0")
    for name in ("maximum", "minimum", "multipleOf"):
        if name in schema and not _number(schema[name]):
            raise Fault(f"{name} must be of a Number")
    if "multipleOf" in schema and schema["multipleOf"] <= 0:
        raise Fault("multipleOf must be strictly greater than 0")
    for pattern in [schema["pattern"]] if "pattern" in schema else []:
        _pattern(pattern)
    required = schema.get("required", [])
    if type(required) is not list:
        raise Fault("required must be of an array")
    if any(type(one) is not str for one in required):
        raise Fault("Invalid type. Expected: string, given: required")
    if "enum" in schema and type(schema["enum"]) is not list:
        raise Fault("enum must be of an array")
    if "$ref" in schema:
        _target(root, schema["$ref"])
    for inner in _inner(schema):
        _verified(context, inner, root, depth + 1)


def _inner(schema: Mapping[str, Any]) -> Iterator[Value]:
    """The schemas right within a schema."""
    for name in _NESTED:
        if name in schema:
            yield schema[name]
    for name in _LISTS:
        if name in schema:
            if type(schema[name]) is not list:
                raise Fault(f"{name} must be of an array")
            yield from schema[name]
    for name in _TABLES:
        if name in schema:
            if type(schema[name]) is not dict:
                raise Fault(f"{name[:1].upper()}{name[1:]} must be of type object")
            for key in schema[name] if name == "patternProperties" else ():
                _pattern(key)
            yield from schema[name].values()
    items = schema.get("items", True)
    if type(items) not in (dict, list, bool):
        raise Fault("Invalid type. Expected: Valid Schema/Array Of Schemas, given: items")
    yield from items if type(items) is list else [items]
    dependencies = schema.get("dependencies", {})
    if type(dependencies) is not dict:
        raise Fault("dependencies must be of type object")
    yield from (one for one in dependencies.values() if type(one) is not list)


def _target(root: Value, reference: Value) -> Value:
    """What a `$ref` within a schema leads to. Raises Fault."""
    if type(reference) is not str or not reference.startswith("#"):
        raise Fault(f"remote reference loading disabled: {reference}")
    found = root
    for escaped in reference[1:].lstrip("/").split("/") if reference[1:] else ():
        part = escaped.replace("~1", "/").replace("~0", "~").replace("%25", "%")
        if type(found) is list and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        elif type(found) is dict and part in found:
            found = found[part]
        else:
            raise Fault(f"Object has no key '{part}'")
    if type(found) not in (dict, bool):
        raise Fault(f"reference {reference} must be of an object")
    return found


def _pattern(pattern: Value) -> Any:
    try:
        return compiled(pattern)
    except (re2.error, UnicodeEncodeError, TypeError):
        raise Fault("pattern must be a valid regex") from None


class _Match:
    """One document against one schema."""

    def __init__(self, context: Context, root: Value) -> None:
        self.context, self.root = context, root
        self.depth = 0

    def all(self, value: Value, schema: Value, at: str) -> Iterator[Found]:
        """What is wrong with a value."""
        self.context.tick(4)
        if schema is True:
            return
        if schema is False:
            yield Found(at, "false", "False always fails validation")
            return
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Fault("schema is nested too deeply")
        if "$ref" in schema:
            yield from self.all(value, _target(self.root, schema["$ref"]), at)
        else:
            yield from self.kinds(value, schema, at)
        self.depth -= 1

    def holds(self, value: Value, schema: Value, at: str) -> bool:
        depth = self.depth
        found = next(self.all(value, schema, at), None)
        self.depth = depth
        return found is None

    def kinds(self, value: Value, schema: Mapping[str, Any], at: str) -> Iterator[Found]:
        wanted = schema.get("type", [])
        wanted = wanted if type(wanted) is list else [wanted]
        given = _type(value)
        if wanted and given not in wanted and not (given == "integer" and "number" in wanted):
            expected = wanted[0] if len(wanted) == 1 else f"[{','.join(wanted)}]"
            yield Found(at, "invalid_type", f"Invalid type. Expected: {expected}, given: {given}")
            return
        yield from self.combined(value, schema, at)
        yield from self.equals(value, schema, at)
        if type(value) is dict:
            yield from self.members(value, schema, at)
        elif type(value) is list:
            yield from self.items(value, schema, at)
        elif type(value) is str:
            yield from self.text(value, schema, at)
        elif _number(value):
            yield from _amount(value, schema, at)

    def combined(self, value: Value, schema: Mapping[str, Any], at: str) -> Iterator[Found]:
        if schema.get("anyOf") and not any(self.holds(value, one, at) for one in schema["anyOf"]):
            yield Found(at, "number_any_of", "Must validate at least one schema (anyOf)")
        if schema.get("oneOf") and sum(self.holds(value, one, at) for one in schema["oneOf"]) != 1:
            yield Found(at, "number_one_of", "Must validate one and only one schema (oneOf)")
        if "allOf" in schema:
            wrong = [found for one in schema["allOf"] for found in self.all(value, one, at)]
            yield from wrong
            if wrong:
                yield Found(at, "number_all_of", "Must validate all the schemas (allOf)")
        if "not" in schema and self.holds(value, schema["not"], at):
            yield Found(at, "number_not", "Must not validate the schema (not)")
        if "if" in schema:
            branch = "then" if self.holds(value, schema["if"], at) else "else"
            if branch in schema and not self.holds(value, schema[branch], at):
                was = "valid" if branch == "then" else "not valid"
                yield Found(at, f"condition_{branch}", f'Must validate "{branch}" as "if" was {was}')
                yield from self.all(value, schema[branch], at)

    def equals(self, value: Value, schema: Mapping[str, Any], at: str) -> Iterator[Found]:
        if "const" in schema and not equal(schema["const"], value):
            yield Found(at, "const", f"{at} does not match: {dumps(schema['const'])}")
        if "enum" in schema and not any(equal(one, value) for one in schema["enum"]):
            allowed = ", ".join(map(dumps, schema["enum"]))
            yield Found(at, "enum", f"{at} must be one of the following: {allowed}")

    def members(self, value: dict[str, Value], schema: Mapping[str, Any], at: str) -> Iterator[Found]:
        for name in schema.get("required", ()):
            if name not in value:
                yield Found(at, "required", f"{name} is required")
        yield from _sized(len(value), schema, at, "Properties", "array_{}_properties", "Must have at {} {} properties")
        for name, wants in schema.get("dependencies", {}).items():
            if name in value and type(wants) is list:
                for missing in (one for one in wants if one not in value):
                    yield Found(at, "missing_dependency", f"Has a dependency on {missing}")
            elif name in value:
                yield from self.all(value, wants, at)
        named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        others = schema.get("additionalProperties", True)
        for name, item in sorted(value.items()):
            inner = name if at == _ROOT else f"{at}.{name}"
            if "propertyNames" in schema and (wrong := list(self.all(name, schema["propertyNames"], at))):
                yield Found(at, "invalid_property_name", f'Property name of "{name}" does not match')
                yield from wrong
            matching = [wants for pattern, wants in patterns.items() if self.matches(pattern, name)]
            for wants in ([named[name]] if name in named else []) + matching:
                yield from self.all(item, wants, inner)
            if name not in named and not matching:
                if others is False:
                    yield Found(at, "additional_property_not_allowed", f"Additional property {name} is not allowed")
                else:
                    yield from self.all(item, others, inner)

    def items(self, value: list[Value], schema: Mapping[str, Any], at: str) -> Iterator[Found]:
        prefix = "" if at == _ROOT else f"{at}."
        yield from _sized(len(value), schema, at, "Items", "array_{}_items", "Array must have at {} {} items")
        wants = schema.get("items", True)
        others = schema.get("additionalItems", True)
        if type(wants) is not list:
            wants, others = [], wants
        elif others is False and len(value) > len(wants):
            yield Found(at, "array_no_additional_items", "No additional items allowed on array")
            others = True
        for number, item in enumerate(value):
            yield from self.all(item, wants[number] if number < len(wants) else others, f"{prefix}{number}")
        if schema.get("uniqueItems") is True:
            seen: dict[str, int] = {}
            for number, item in enumerate(value):
                self.context.tick()
                first = seen.setdefault(dumps(item), number)
                if first != number:
                    yield Found(at, "unique", f"array items[{first},{number}] must be unique")
        if "contains" in schema and not any(self.holds(item, schema["contains"], at) for item in value):
            yield Found(at, "contains", "At least one of the items must match")

    def text(self, value: str, schema: Mapping[str, Any], at: str) -> Iterator[Found]:
        if len(value) < schema.get("minLength", 0):
            size = number_text(schema["minLength"])
            yield Found(at, "string_gte", f"String length must be greater than or equal to {size}")
        if len(value) > schema.get("maxLength", len(value)):
            size = number_text(schema["maxLength"])
            yield Found(at, "string_lte", f"String length must be less than or equal to {size}")
        if "pattern" in schema and not self.matches(schema["pattern"], value):
            yield Found(at, "pattern", f"Does not match pattern '{schema['pattern']}'")
        name = schema.get("format")
        check: Callable[[str], bool] | None = FORMATS.get(name) if type(name) is str else None
        if check is not None and not check(value):
            yield Found(at, "format", f"Does not match format '{name}'")

    def matches(self, pattern: str, text: str) -> bool:
        expression = _pattern(pattern)
        self.context.tick(len(text) * expression.programsize // 250)
        return expression.search(text) is not None


def _sized(size: int, schema: Mapping[str, Any], at: str, name: str, kind: str, words: str) -> Iterator[Found]:
    if size < schema.get(f"min{name}", 0):
        yield Found(at, kind.format("min"), words.format("least", number_text(schema[f"min{name}"])))
    if size > schema.get(f"max{name}", size):
        yield Found(at, kind.format("max"), words.format("most", number_text(schema[f"max{name}"])))


def _amount(value: Any, schema: Mapping[str, Any], at: str) -> Iterator[Found]:
    if "multipleOf" in schema and Decimal(str(value)) % Decimal(str(schema["multipleOf"])):
        yield Found(at, "multiple_of", f"Must be a multiple of {number_text(schema['multipleOf'])}")
    for bound, exclusive, sign, kind, words in (
        ("maximum", "exclusiveMaximum", 1, "lt", "less than"),
        ("minimum", "exclusiveMinimum", -1, "gt", "greater than"),
    ):
        most, beyond = schema.get(bound), schema.get(exclusive)
        if beyond is True:  # draft 4
            most, beyond = None, most
        if most is not None and (value - most) * sign > 0:
            yield Found(at, f"number_{kind}e", f"Must be {words} or equal to {number_text(most)}")
        if _number(beyond) and (value - beyond) * sign >= 0:
            yield Found(at, f"number_{kind}", f"Must be {words} {number_text(beyond or 0)}")


def _number(value: Value) -> bool:
    return type(value) in (int, float, Decimal)


def _type(value: Value) -> str:
    if _number(value):
        return "integer" if value == int(value) else "number"
    return type_name(value)
