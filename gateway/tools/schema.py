"""Checks arguments and results against the schemas of a tool, within bounds.

Only keywords that say what shape a value has: types, properties and their number, required, items, enum, const, lengths
and ranges of JSON Schema 2020-12, references within the schema, allOf, anyOf, oneOf. Nothing is fetched, and no pattern
of a server is run. What is not checked here is checked by the server. A schema that takes more work than the bounds
allow is left to the server, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeGuard

from gateway.dialects.jsonrpc import PARAMS, Fault

_STEPS: Final = 20_000
_DEPTH: Final = 64
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


_SIZES: Final = (
    (str, ("minLength", "maxLength")),
    (list, ("minItems", "maxItems")),
    (dict, ("minProperties", "maxProperties")),
)


class _Enough(Exception):
    """The bounds are reached."""


def check(arguments: Mapping[str, object], schema: Mapping[str, Any]) -> None:
    """Raise Refusal(invalid_request) for arguments that the schema does not allow. Names fields, never a value."""
    try:
        problem = _Check(schema).problem(dict(arguments), schema, "arguments", 0)
    except _Enough:
        return
    if problem:
        raise Fault(PARAMS, f"The arguments do not fit the input schema of the tool: {problem}.")


def allows(arguments: Mapping[str, Any], schemas: Iterable[Mapping[str, Any]], most: int) -> list[bool]:
    """Which schemas allow the arguments. `most`: steps for all of them; those beyond, or too deep, do not."""
    found, left = list[bool](), most
    for schema in schemas:
        checked = _Check(schema, left)
        try:
            found.append(left > 0 and not checked.problem(dict(arguments), schema, "arguments", 0))
        except _Enough:
            found.append(False)
        left -= checked.steps
    return found


def fits(result: object, schema: Mapping[str, Any]) -> bool:
    """Whether the structured content of a result is what the output schema promises, as far as the bounds reach."""
    try:
        return not _Check(schema).problem(result, schema, "result", 0)
    except _Enough:
        return True


class _Check:
    def __init__(self, root: Mapping[str, Any], most: int = _STEPS) -> None:
        self._root = root
        self._most = most
        self.steps = 0

    def problem(self, value: Any, schema: Any, at: str, depth: int) -> str:
        """What is wrong, "" for nothing."""
        self._step(1)
        if depth > _DEPTH:
            raise _Enough
        if schema is False:
            return f"{at} may not be there"
        if not isinstance(schema, Mapping):
            return ""
        if isinstance(ref := schema.get("$ref"), str):
            found = self._referred(ref)
            if found is not None and (said := self.problem(value, found, at, depth + 1)):
                return said
        return (
            self._of_kind(value, schema, at)
            or self._within(value, schema, at, depth)
            or self._of_several(value, schema, at, depth)
        )

    def _step(self, work: int) -> None:
        """Count work. Raises _Enough beyond the bounds."""
        self.steps += work
        if self.steps > self._most:
            raise _Enough

    def _referred(self, ref: str) -> Any:
        """What a reference within the schema names; None for any other."""
        if not ref.startswith("#"):
            return None
        node: Any = self._root
        parts = ref[1:].split("/")[1:]
        self._step(len(parts))
        for part in parts:
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, Mapping) or key not in node:
                return None
            node = node[key]
        return node

    def _of_kind(self, value: Any, schema: Mapping[str, Any], at: str) -> str:
        kinds = schema.get("type")
        named = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
        if named and not any(isinstance(kind, str) and _is(value, kind) for kind in named):
            return f"{at} must be {' or '.join(map(str, named))[:80]}"
        allowed = schema.get("enum")
        if isinstance(allowed, list):
            self._step(len(allowed))
            if value not in allowed:
                return f"{at} must be one of the values of its enum"
        if "const" in schema and value != schema["const"]:
            return f"{at} must be the constant of its schema"
        if isinstance(value, int | float) and not isinstance(value, bool):
            least, most = schema.get("minimum"), schema.get("maximum")
            if isinstance(least, int | float) and value < least:
                return f"{at} must be at least {least}"
            if isinstance(most, int | float) and value > most:
                return f"{at} must be at most {most}"
            above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
            if _is_number(above) and value <= above:
                return f"{at} must be more than {above}"
            if _is_number(below) and value >= below:
                return f"{at} must be less than {below}"
        size = len(value) if isinstance(value, str | list | dict) else None
        names = next((names for kind, names in _SIZES if isinstance(value, kind)), ("", ""))
        if size is not None:
            least, most = schema.get(names[0]), schema.get(names[1])
            if isinstance(least, int) and size < least:
                return f"{at} must have at least {least}"
            if isinstance(most, int) and size > most:
                return f"{at} must have at most {most}"
        return ""

    def _within(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> str:
        if isinstance(value, dict):
            return self._object(value, schema, at, depth)
        if not isinstance(value, list):
            return ""
        first, rest = schema.get("prefixItems"), schema.get("items")
        first = first if isinstance(first, list) else []
        for index, (inner, kind) in enumerate(zip(value, first, strict=False)):
            if said := self.problem(inner, kind, f"{at}[{index}]", depth + 1):
                return said
        if isinstance(rest, Mapping | bool):
            for index, inner in enumerate(value[len(first) :], len(first)):
                if said := self.problem(inner, rest, f"{at}[{index}]", depth + 1):
                    return said
        return ""

    def _object(self, value: dict[str, Any], schema: Mapping[str, Any], at: str, depth: int) -> str:
        required, known = schema.get("required"), schema.get("properties")
        self._step(len(required) if isinstance(required, list) else 0)
        for name in required if isinstance(required, list) else ():
            if isinstance(name, str) and name not in value:
                return f"{at}.{name[:64]} is required"
        known = known if isinstance(known, Mapping) else {}
        for name, inner in value.items():
            if name in known and (said := self.problem(inner, known[name], f"{at}.{name[:64]}", depth + 1)):
                return said
        further = schema.get("additionalProperties") if "patternProperties" not in schema else None
        if further is False and (more := value.keys() - known.keys()):
            return f"{at} has {len(more)} field(s) that the schema does not have"
        if isinstance(further, Mapping):
            for name, inner in value.items():
                if name not in known and (said := self.problem(inner, further, f"{at}.*", depth + 1)):
                    return said
        return ""

    def _of_several(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> str:
        for part in schema.get("allOf", ()) if isinstance(schema.get("allOf"), list) else ():
            if said := self.problem(value, part, at, depth + 1):
                return said
        for name in ("anyOf", "oneOf"):
            several = schema.get(name)
            if (
                isinstance(several, list)
                and several
                and all(self.problem(value, one, at, depth + 1) for one in several)
            ):
                return f"{at} fits none of the schemas of its {name}"
        return ""


def _is_number(bound: object) -> TypeGuard[int | float]:
    """Whether an exclusive bound is one of JSON Schema 2020-12; in older drafts, it was a boolean."""
    return isinstance(bound, int | float) and not isinstance(bound, bool)


def _is(value: Any, kind: str) -> bool:
    if kind in ("integer", "number") and isinstance(value, bool):
        return False
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return kind not in _KINDS or isinstance(value, _KINDS[kind])
