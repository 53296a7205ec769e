"""GraphQL documents to the syntax trees that OPA's library makes, as values of Rego.

https://spec.graphql.org/October2021/#sec-Language and the field names of https://github.com/vektah/gqlparser. What is
null or empty in a tree is left out, places in the source too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.policy.engines.rego.builtins.graphql_scanner import SyntaxFault, Token, scan

Tree = dict[str, Any]
_LOCATIONS = (
    "QUERY MUTATION SUBSCRIPTION FIELD FRAGMENT_DEFINITION FRAGMENT_SPREAD INLINE_FRAGMENT VARIABLE_DEFINITION SCHEMA"
    " SCALAR OBJECT FIELD_DEFINITION ARGUMENT_DEFINITION INTERFACE UNION ENUM ENUM_VALUE INPUT_OBJECT"
    " INPUT_FIELD_DEFINITION"
)
LOCATIONS = frozenset(_LOCATIONS.split())
_KINDS = {
    "scalar": "SCALAR",
    "type": "OBJECT",
    "interface": "INTERFACE",
    "union": "UNION",
    "enum": "ENUM",
    "input": "INPUT_OBJECT",
}
VARIABLE, INT, FLOAT, STRING, BLOCK, BOOLEAN, NULL, ENUM, LIST, OBJECT = range(10)
"""The kinds of a value."""


def parse_query(text: str) -> Tree:
    """An executable document. Raises SyntaxFault, RecursionError."""
    made: Tree = pruned(_Parser(text).query())
    return made


def parse_schema(text: str) -> Tree:
    """A document of type definitions. Raises SyntaxFault, RecursionError."""
    made: Tree = pruned(_Parser(text).schema())
    return made


def pruned(tree: Any) -> Any:
    """A tree without what is null or empty."""
    if isinstance(tree, dict):
        made = {name: pruned(value) for name, value in tree.items() if value is not None}
        return {name: value for name, value in made.items() if not isinstance(value, dict | list) or value}
    if isinstance(tree, list):
        items = [pruned(value) for value in tree if value is not None]
        return [value for value in items if not isinstance(value, dict | list) or value]
    return tree


class _Parser:
    """Comments stand beside what follows them: `comment` is that of the token ahead, once it was looked at."""

    def __init__(self, text: str) -> None:
        self.tokens = scan(text)
        self.index = 0
        self.looked = False
        self.comment: Tree | None = None
        self.previous = self.tokens[0]

    def peek(self) -> Token:
        if not self.looked:
            self.looked = True
            found = []
            while self.tokens[self.index].kind == "comment":
                found.append({"Value": self.tokens[self.index].text})
                self.index += 1
            if found:
                self.comment = {"List": found}
        return self.tokens[self.index]

    def next(self) -> Token:
        self.previous = self.peek()
        if self.previous.kind != "<EOF>":
            self.index += 1
        self.looked, self.comment = False, None
        return self.previous

    def fail(self, words: str, token: Token) -> SyntaxFault:
        return SyntaxFault(f"{words} in GraphQL string at location {token.line}:{token.column}")

    def unexpected(self, token: Token | None = None) -> SyntaxFault:
        token = token or self.peek()
        named = {"name": "Name", "string": "String", "block": "BlockString", "int": "Int", "float": "Float"}
        shown = f'{named[token.kind]} "{token.text}"' if token.kind in named else token.kind
        return self.fail(f"Unexpected {shown}", token)

    def expect(self, kind: str) -> str:
        token = self.peek()
        if token.kind != kind:
            shown = {"name": "Name"}
            words = f"Expected {shown.get(kind, kind)}, found {shown.get(token.kind, token.kind)}"
            raise self.fail(words, token)
        return self.next().text

    def keyword(self, word: str) -> Tree | None:
        """A keyword; returns the comment before it."""
        token = self.peek()
        comment = self.comment
        if token.kind != "name" or token.text != word:
            raise self.fail(f'Expected "{word}", found {token.text or token.kind}', token)
        self.next()
        return comment

    def name(self) -> str:
        return self.expect("name")

    def skip(self, kind: str) -> bool:
        if self.peek().kind != kind:
            return False
        self.next()
        return True

    def some(self, start: str, end: str, one: Callable[[], Any]) -> tuple[list[Any], Tree | None]:
        """One or more in brackets, or no brackets; and the comment before the closing one."""
        found: list[Any] = []
        if not self.skip(start):
            return found, None
        while self.peek().kind != end:
            found.append(one())
        if not found:
            raise self.fail(f"expected at least one definition, found {self.peek().kind}", self.peek())
        comment = self.comment
        self.next()
        return found, comment

    def many(self, start: str, end: str, one: Callable[[], Any]) -> list[Any]:
        found = []
        self.skip(start)
        while self.peek().kind != end:
            if self.peek().kind == "<EOF>":
                raise self.unexpected()
            found.append(one())
        self.next()
        return found

    # Executable documents

    def query(self) -> Tree:
        operations, fragments = [], []
        while self.peek().kind != "<EOF>":
            token = self.peek()
            if token.kind == "{" or (token.kind == "name" and token.text in ("query", "mutation", "subscription")):
                operations.append(self.operation())
            elif token.kind == "name" and token.text == "fragment":
                fragments.append(self.fragment())
            else:
                raise self.unexpected()
        return {"Operations": operations, "Fragments": fragments}

    def operation(self) -> Tree:
        if self.peek().kind == "{":
            return {"Operation": "query", "Name": "", "SelectionSet": self.selections()}
        made: Tree = {"Comment": self.comment, "Operation": self.operation_type(), "Name": ""}
        if self.peek().kind == "name":
            made["Name"] = self.next().text
        made["VariableDefinitions"] = self.variables()
        made["Directives"] = self.directives(False)
        made["SelectionSet"] = self.selections()
        return made

    def operation_type(self) -> str:
        token = self.next()
        if token.text not in ("query", "mutation", "subscription"):
            raise self.unexpected(token)
        return token.text

    def variables(self) -> list[Tree]:
        return self.some("(", ")", self.variable_definition)[0]

    def variable_definition(self) -> Tree:
        self.peek()
        made: Tree = {"Comment": self.comment, "Variable": self.variable()}
        self.expect(":")
        made["Type"] = self.type()
        if self.skip("="):
            made["DefaultValue"] = self.value(True)
        made["Directives"] = self.directives(False)
        made["Used"] = False
        return made

    def variable(self) -> str:
        self.expect("$")
        return self.name()

    def selections(self) -> list[Tree]:
        token = self.peek()
        if token.kind != "{":
            raise self.fail(f"Expected {{, found {'Name' if token.kind == 'name' else token.kind}", token)
        return self.some("{", "}", self.selection)[0]

    def selection(self) -> Tree:
        return self.spread() if self.peek().kind == "..." else self.field()

    def field(self) -> Tree:
        self.peek()
        made: Tree = {"Comment": self.comment, "Alias": self.name()}
        made["Name"] = self.name() if self.skip(":") else made["Alias"]
        made["Arguments"] = self.arguments(False)
        made["Directives"] = self.directives(False)
        if self.peek().kind == "{":
            made["SelectionSet"] = self.selections()
        return made

    def arguments(self, constant: bool) -> list[Tree]:
        return self.some("(", ")", lambda: self.argument(constant))[0]

    def argument(self, constant: bool) -> Tree:
        self.peek()
        made: Tree = {"Comment": self.comment, "Name": self.name()}
        self.expect(":")
        made["Value"] = self.value(constant)
        return made

    def spread(self) -> Tree:
        self.peek()
        comment = self.comment
        self.expect("...")
        token = self.peek()
        if token.kind == "name" and token.text != "on":
            return {"Comment": comment, "Name": self.fragment_name(), "Directives": self.directives(False)}
        made: Tree = {"Comment": comment, "TypeCondition": ""}
        if token.text == "on":
            self.next()
            made["TypeCondition"] = self.name()
        made["Directives"] = self.directives(False)
        made["SelectionSet"] = self.selections()
        return made

    def fragment(self) -> Tree:
        self.peek()
        made: Tree = {"Comment": self.comment}
        self.keyword("fragment")
        made["Name"] = self.fragment_name()
        made["VariableDefinition"] = self.variables()
        self.keyword("on")
        made["TypeCondition"] = self.name()
        made["Directives"] = self.directives(False)
        made["SelectionSet"] = self.selections()
        return made

    def fragment_name(self) -> str:
        if self.peek().text == "on":
            raise self.unexpected()
        return self.name()

    def value(self, constant: bool) -> Tree:
        token = self.peek()
        made: Tree = {"Raw": "", "Comment": self.comment, "ExpectedTypeHasDefault": False}
        if token.kind == "[":
            return {**made, "Children": self.many("[", "]", lambda: self.item(constant)), "Kind": LIST}
        if token.kind == "{":
            return {**made, "Children": self.many("{", "}", lambda: self.member(constant)), "Kind": OBJECT}
        if token.kind == "$" and not constant:
            return {**made, "Comment": None, "Raw": self.variable(), "Kind": VARIABLE}
        kind = {"int": INT, "float": FLOAT, "string": STRING, "block": BLOCK, "name": ENUM}.get(token.kind)
        if kind is None:
            raise self.unexpected()
        if token.kind == "name":
            kind = {"true": BOOLEAN, "false": BOOLEAN, "null": NULL}.get(token.text, ENUM)
        self.next()
        return {"Raw": token.text, "Kind": kind, "ExpectedTypeHasDefault": False}

    def item(self, constant: bool) -> Tree:
        return {"Name": "", "Value": self.value(constant)}

    def member(self, constant: bool) -> Tree:
        return self.argument(constant)

    def directives(self, constant: bool) -> list[Tree]:
        found = []
        while self.skip("@"):
            found.append({"Name": self.name(), "Arguments": self.arguments(constant), "Location": ""})
        return found

    def type(self) -> Tree:
        if self.skip("["):
            made: Tree = {"NamedType": "", "Elem": self.type()}
            self.expect("]")
        else:
            made = {"NamedType": self.name()}
        made["NonNull"] = self.skip("!")
        return made

    # Type definitions

    def schema(self) -> Tree:
        made: Tree = {name: [] for name in ("Schema", "SchemaExtension", "Directives", "Definitions", "Extensions")}
        self.peek()
        while self.peek().kind != "<EOF>":
            text, comment = self.description()
            token = self.peek()
            if token.kind != "name":
                raise self.unexpected()
            if token.text in _KINDS:
                made["Definitions"].append(self.definition(text, comment))
            elif token.text == "schema":
                made["Schema"].append(self.schema_definition(text, comment))
            elif token.text == "directive":
                made["Directives"].append(self.directive_definition(text, comment))
            elif token.text == "extend":
                if text:
                    raise self.unexpected(self.previous)
                self.extension(made)
            else:
                raise self.unexpected()
        made["Comment"] = self.comment
        return made

    def description(self) -> tuple[str, Tree | None]:
        if self.peek().kind not in ("block", "string"):
            return "", None
        comment = self.comment
        return self.next().text, comment

    def definition(self, text: str, before: Tree | None) -> Tree:
        word = self.peek().text
        made: Tree = {"BeforeDescriptionComment": before, "Description": text, "BuiltIn": False}
        made["AfterDescriptionComment"] = self.keyword(word)
        self.define(made, word)
        return made

    def define(self, made: Tree, word: str) -> None:
        """What follows the keyword of a type."""
        made["Kind"] = _KINDS[word]
        made["Name"] = self.name()
        if word in ("type", "interface"):
            made["Interfaces"] = self.interfaces()
        made["Directives"] = self.directives(True)
        if word in ("type", "interface"):
            made["Fields"], made["EndOfDefinitionComment"] = self.some("{", "}", self.field_definition)
        elif word == "input":
            made["Fields"], made["EndOfDefinitionComment"] = self.some("{", "}", self.input_value)
        elif word == "enum":
            made["EnumValues"], made["EndOfDefinitionComment"] = self.some("{", "}", self.enum_value)
        elif word == "union":
            made["Types"] = self.union_types()

    def interfaces(self) -> list[str]:
        if self.peek().text != "implements":
            return []
        self.next()
        return self.joined("&", self.name)

    def union_types(self) -> list[str]:
        return self.joined("|", self.name) if self.skip("=") else []

    def joined(self, sign: str, one: Callable[[], str]) -> list[str]:
        self.skip(sign)
        found = [one()]
        while self.skip(sign):
            found.append(one())
        return found

    def described(self) -> Tree:
        """What comes before the name of a field, an argument or a value."""
        text, before = self.description()
        self.peek()
        made: Tree = {"Description": text, "BeforeDescriptionComment": before if text else None}
        return {**made, "AfterDescriptionComment": self.comment, "Name": self.name()}

    def field_definition(self) -> Tree:
        made = self.described()
        made["Arguments"] = self.some("(", ")", self.input_value)[0]
        self.expect(":")
        made["Type"] = self.type()
        made["Directives"] = self.directives(True)
        return made

    def input_value(self) -> Tree:
        made = self.described()
        self.expect(":")
        made["Type"] = self.type()
        if self.skip("="):
            made["DefaultValue"] = self.value(True)
        made["Directives"] = self.directives(True)
        return made

    def enum_value(self) -> Tree:
        return {**self.described(), "Directives": self.directives(True)}

    def schema_definition(self, text: str, before: Tree | None) -> Tree:
        made: Tree = {"BeforeDescriptionComment": before, "Description": text}
        made["AfterDescriptionComment"] = self.keyword("schema")
        return self.operation_types(made)

    def operation_types(self, made: Tree) -> Tree:
        made["Directives"] = self.directives(True)
        made["OperationTypes"], made["EndOfDefinitionComment"] = self.some("{", "}", self.root)
        return made

    def root(self) -> Tree:
        self.peek()
        made: Tree = {"Comment": self.comment, "Operation": self.operation_type()}
        self.expect(":")
        return {**made, "Type": self.name()}

    def extension(self, document: Tree) -> None:
        comment = self.keyword("extend")
        word = self.peek().text
        made: Tree = {"AfterDescriptionComment": comment, "Description": ""}
        if word == "schema":
            self.next()
            self.operation_types(made)
            document["SchemaExtension"].append(made)
        elif word in _KINDS:
            self.next()
            made["BuiltIn"] = False
            self.define(made, word)
            document["Extensions"].append(made)
        else:
            raise self.unexpected()
        if not any(
            made.get(part) for part in ("Interfaces", "Directives", "Fields", "EnumValues", "Types", "OperationTypes")
        ):
            raise self.unexpected()

    def directive_definition(self, text: str, before: Tree | None) -> Tree:
        made: Tree = {"BeforeDescriptionComment": before, "Description": text}
        made["AfterDescriptionComment"] = self.keyword("directive")
        self.expect("@")
        made["Name"] = self.name()
        made["Arguments"] = self.some("(", ")", self.input_value)[0]
        made["IsRepeatable"] = self.peek().text == "repeatable"
        if made["IsRepeatable"]:
            self.next()
        self.keyword("on")
        made["Locations"] = self.joined("|", self.location)
        return made

    def location(self) -> str:
        token = self.peek()
        name = self.name()
        if name not in LOCATIONS:
            raise self.unexpected(token)
        return name
