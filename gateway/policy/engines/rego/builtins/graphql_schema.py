"""Whether the definitions of a GraphQL schema fit together, by the rules of OPA's library.

https://spec.graphql.org/October2021/#sec-Type-System and `ValidateSchemaDocument` of github.com/vektah/gqlparser.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from gateway.policy.engines.rego.builtins.graphql_language import NULL, Tree, parse_schema

_KEPT_FIRST = frozenset({"include", "skip", "deprecated", "specifiedBy", "defer", "oneOf"})
"""Directives that a schema may define once more."""
_OUTPUT = frozenset({"SCALAR", "OBJECT", "INTERFACE", "UNION", "ENUM"})
_INPUT = frozenset({"SCALAR", "ENUM", "INPUT_OBJECT"})
_PRELUDE = """
scalar Int scalar Float scalar String scalar Boolean scalar ID
directive @defer(if: Boolean = true, label: String) on FRAGMENT_SPREAD | INLINE_FRAGMENT
directive @include(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
directive @skip(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
directive @deprecated(reason: String = "") on
  FIELD_DEFINITION | ARGUMENT_DEFINITION | INPUT_FIELD_DEFINITION | ENUM_VALUE
directive @specifiedBy(url: String!) on SCALAR
directive @oneOf on INPUT_OBJECT
type __Schema { x: Int } type __Type { x: Int } type __Field { x: Int } type __InputValue { x: Int }
type __EnumValue { x: Int } type __Directive { x: Int } enum __TypeKind { X } enum __DirectiveLocation { X }
"""
"""What every schema has; of the types for introspection only that they are there."""


class Invalid(Exception):
    """A schema whose definitions do not fit together."""


@lru_cache(1)
def _prelude() -> Tree:
    return parse_schema(_PRELUDE)


def check_schema(document: Tree) -> None:
    """Raises Invalid; TypeError, ValueError or KeyError for a tree that is none of a schema."""
    _Schema(document).check()


def _all(tree: Tree, name: str) -> list[Any]:
    found = tree.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise TypeError(name)
    return found


def _text(tree: Tree, name: str) -> str:
    found = tree.get(name, "")
    if not isinstance(found, str):
        raise TypeError(name)
    return found


def _named(of: Tree) -> str:
    """The name of a type without its lists."""
    while not of.get("NamedType"):
        of = of["Elem"]
    return str(of["NamedType"])


class _Schema:
    def __init__(self, document: Tree) -> None:
        self.document = document
        self.types: dict[str, Tree] = {}
        self.directives: dict[str, Tree] = {}
        self.possible: dict[str, set[str]] = {}
        self.reserved = {_text(one, "Name") for one in _all(_prelude(), "Definitions")}

    def check(self) -> None:
        for definition in [*_all(_prelude(), "Definitions"), *_all(self.document, "Definitions")]:
            name = _text(definition, "Name")
            if name in self.types:
                raise Invalid(f"Cannot redeclare type {name}.")
            self.types[name] = dict(definition)
        self.extend()
        for definition in self.types.values():
            self.relate(definition)
        for directive in [*_all(_prelude(), "Directives"), *_all(self.document, "Directives")]:
            name = _text(directive, "Name")
            if name in self.directives and name not in _KEPT_FIRST:
                raise Invalid(f"Cannot redeclare directive {name}.")
            self.directives[name] = directive
        self.roots()
        for name in sorted(self.types):
            self.definition(self.types[name])
        self.circles()
        for directive in self.directives.values():
            self.name(_text(directive, "Name"))
            self.arguments(_all(directive, "Arguments"), _text(directive, "Name"))

    def extend(self) -> None:
        for extension in _all(self.document, "Extensions"):
            name, kind = _text(extension, "Name"), _text(extension, "Kind")
            found = self.types.setdefault(name, {"Name": name, "Kind": kind})
            if found["Kind"] != kind:
                raise Invalid(f"Cannot extend type {name} because the base type is a {found['Kind']}, not {kind}.")
            for part in ("Directives", "Interfaces", "Fields", "Types", "EnumValues"):
                found[part] = [*_all(found, part), *_all(extension, part)]

    def relate(self, definition: Tree) -> None:
        name, kind = _text(definition, "Name"), _text(definition, "Kind")
        if kind == "UNION":
            self.possible.setdefault(name, set()).update(_all(definition, "Types"))
        elif kind in ("INPUT_OBJECT", "OBJECT", "INTERFACE"):
            for one in _all(definition, "Interfaces"):
                self.possible.setdefault(one, set()).add(name)
            if kind != "INTERFACE":
                self.possible.setdefault(name, set()).add(name)

    def roots(self) -> None:
        schemas = _all(self.document, "Schema")
        if len(schemas) > 1:
            raise Invalid("Cannot have multiple schema entry points, consider schema extensions instead.")
        for one in [*schemas, *_all(self.document, "SchemaExtension")]:
            for root in _all(one, "OperationTypes"):
                if _text(root, "Type") not in self.types:
                    raise Invalid(f"Schema root {root['Operation']} refers to a type that does not exist.")
            self.used(_all(one, "Directives"), "SCHEMA")

    def definition(self, definition: Tree) -> None:
        name, kind = _text(definition, "Name"), _text(definition, "Kind")
        fields, values = _all(definition, "Fields"), _all(definition, "EnumValues")
        members = _all(definition, "Types")
        for field in fields:
            self.name(_text(field, "Name"))
            self.reference(field["Type"])
            self.arguments(_all(field, "Arguments"))
            place = "INPUT_FIELD_DEFINITION" if kind == "INPUT_OBJECT" else "FIELD_DEFINITION"
            self.used(_all(field, "Directives"), place)
        for member in members:
            if member not in self.types or self.types[member]["Kind"] != "OBJECT":
                raise Invalid(f"{kind} type {member!r} must be OBJECT.")
        for interface in _all(definition, "Interfaces"):
            self.implements(definition, interface)
        if kind in ("OBJECT", "INTERFACE", "INPUT_OBJECT"):
            if not fields:
                raise Invalid(f"{kind} {name}: must define one or more fields.")
            allowed = _INPUT if kind == "INPUT_OBJECT" else _OUTPUT
            if any(self.types[_named(field["Type"])]["Kind"] not in allowed for field in fields):
                raise Invalid(f"{kind} {name}: field must be one of {', '.join(sorted(allowed))}.")
        elif kind == "ENUM":
            if not values:
                raise Invalid(f"{kind} {name}: must define one or more unique enum values.")
            for value in values:
                if _text(value, "Name") in ("true", "false", "null"):
                    raise Invalid(f"{kind} {name}: non-enum value {value['Name']}.")
                self.used(_all(value, "Directives"), "ENUM_VALUE")
        once([_text(field, "Name") for field in fields], "Field")
        once([_text(value, "Name") for value in values], "Enum value")
        once(members, "Union member")
        if name not in self.reserved:
            self.name(name)
        self.used(_all(definition, "Directives"), kind, single=False)

    def name(self, name: str) -> None:
        if name.startswith("__"):
            raise Invalid(f'Name "{name}" must not begin with "__", which is reserved by GraphQL introspection.')

    def reference(self, of: Tree) -> Tree:
        name = _named(of)
        if name not in self.types:
            raise Invalid(f"Undefined type {name}.")
        return self.types[name]

    def arguments(self, arguments: list[Tree], directive: str = "") -> None:
        for argument in arguments:
            self.name(_text(argument, "Name"))
            found = self.reference(argument["Type"])
            if found["Kind"] not in _INPUT:
                raise Invalid(f"{found['Name']} is not a valid input type")
            self.used(_all(argument, "Directives"), "ARGUMENT_DEFINITION", directive)

    def used(self, directives: list[Tree], place: str, current: str = "", *, single: bool = True) -> None:
        """Directives at a place."""
        seen: set[str] = set()
        for one in directives:
            name = _text(one, "Name")
            self.name(name)
            found = self.directives.get(name)
            if found is None or (current and name == current):
                raise Invalid(
                    f"Undefined directive {name}." if found is None else f"Directive {name} refers to itself."
                )
            if single and name in seen and not found.get("IsRepeatable"):
                raise Invalid(f"The directive {name} can only be used once at this location.")
            seen.add(name)
            if place not in _all(found, "Locations"):
                raise Invalid(f"Directive {name} is not applicable on {place}.")
            given = {_text(argument, "Name"): argument for argument in _all(one, "Arguments")}
            known = {_text(argument, "Name"): argument for argument in _all(found, "Arguments")}
            if given.keys() - known.keys():
                raise Invalid(f"Undefined argument for directive {name}.")
            for at, argument in known.items():
                required = argument["Type"].get("NonNull") and argument.get("DefaultValue") is None
                if required and (at not in given or given[at]["Value"].get("Kind") == NULL):
                    raise Invalid(f"Argument {at} for directive {name} cannot be null.")

    def implements(self, definition: Tree, name: str) -> None:
        interface = self.types.get(name)
        if interface is None or interface["Kind"] != "INTERFACE":
            raise Invalid(f"{name!r} is no interface.")
        fields = {_text(field, "Name"): field for field in reversed(_all(definition, "Fields"))}
        for required in _all(interface, "Fields"):
            found = fields.get(_text(required, "Name"))
            if found is None or not self.covariant(required["Type"], found["Type"]):
                raise Invalid(f"{definition['Name']} does not implement the field {required['Name']} of {name}.")
            given = {_text(argument, "Name"): argument for argument in reversed(_all(found, "Arguments"))}
            wanted = [_text(argument, "Name") for argument in _all(required, "Arguments")]
            for argument in _all(required, "Arguments"):
                other = given.get(_text(argument, "Name"))
                if other is None or not _compatible(argument["Type"], other["Type"]):
                    raise Invalid(f"the field {required['Name']} must have the same arguments as in {name}.")
            for at, argument in given.items():
                if at not in wanted and argument["Type"].get("NonNull") and argument.get("DefaultValue") is None:
                    raise Invalid(f"any additional argument of {required['Name']} must be optional.")
        missing = set(_all(interface, "Interfaces")) - set(_all(definition, "Interfaces"))
        if missing:
            raise Invalid(f"{definition['Name']} must implement {', '.join(sorted(missing))} as well.")

    def covariant(self, required: Tree, actual: Tree) -> bool:
        if required.get("NonNull") and not actual.get("NonNull"):
            return False
        name = required.get("NamedType")
        if name:
            found = actual.get("NamedType", "")
            return found == name or found in self.possible.get(name, ())
        return actual.get("Elem") is not None and self.covariant(required["Elem"], actual["Elem"])

    def circles(self) -> None:
        """An input object that needs itself."""
        needs = {
            name: [
                field["Type"]["NamedType"]
                for field in _all(one, "Fields")
                if field["Type"].get("NonNull") and field["Type"].get("NamedType")
            ]
            for name, one in self.types.items()
            if one["Kind"] == "INPUT_OBJECT"
        }
        left = set(needs)
        while free := {name for name in left if not any(other in left for other in needs[name])}:
            left -= free
        if left:
            raise Invalid("Cannot reference an Input Object within itself through a series of non-null fields.")


def once(names: Iterable[str], what: str) -> None:
    """Raises Invalid where a name comes twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Invalid(f"{what} {name} can only be defined once.")
        seen.add(name)


def _compatible(a: Tree, b: Tree) -> bool:
    if a.get("NamedType", "") != b.get("NamedType", "") or (a.get("Elem") and not b.get("Elem")):
        return False
    if a.get("Elem") and not _compatible(a["Elem"], b["Elem"]):
        return False
    return bool(a.get("NonNull")) or not b.get("NonNull")
