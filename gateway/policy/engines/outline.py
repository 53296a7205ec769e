"""Reads from Rego source which functions a module calls, and which part of the input it reads.

A lexer and a few patterns over its tokens, not a parser: the engine parses. If the source is ambiguous, the result is
the larger set (more calls, more of the input): a module may be refused or a cache hit lost, but no verdict changes.

Grammar: https://www.openpolicyagent.org/docs/policy-reference#grammar
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import orjson

from gateway.errors import ConfigError

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+) | (?P<comment>\#[^\n]*)
      | (?P<raw>`[^`]*`) | (?P<template>\$(?:"(?:\\.|[^"\\\n])*"|`[^`]*`)) | (?P<string>"(?:\\.|[^"\\\n])*")
      | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?) | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>:=|==|!=|<=|>=|.)""",
    re.VERBOSE | re.DOTALL,
)
# After these words a statement continues: a name on the next line does not begin a rule.
_GOES_ON = frozenset({"and", "as", "contains", "default", "else", "every", "if", "in", "not", "or", "some", "with"})
KEYWORDS = _GOES_ON | {"false", "import", "null", "package", "set", "true"}
_CLOSERS = frozenset(")]}")
_PARTS = frozenset({";", ":", ":=", "=", "|", "if", "not", "else", "contains"})

Path = tuple[str, ...]


class Token(NamedTuple):
    """A token: kind, text, line (from 1), whether it is the first of its line, and its offset in the source."""

    kind: str
    text: str
    line: int
    first: bool
    at: int

    @property
    def end(self) -> int:
        """The offset after the token."""
        return self.at + len(self.text)


class Reference(NamedTuple):
    """A dotted name, written `a.b` or `a["b"]`: its line, and its tokens [start, end) in the module."""

    path: Path
    line: int
    start: int
    end: int

    @property
    def name(self) -> str:
        """The name with dots."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Module:
    """One source file, with what the engines need to know of it."""

    file: str
    source: str
    package: str
    tokens: tuple[Token, ...]
    imports: Mapping[str, Path]
    """Imported name -> the path that it refers to."""
    heads: frozenset[str]
    """The names that rules and functions define."""
    sets: frozenset[str]
    """The heads that only `contains` rules define: sets, which are never undefined."""
    inputs: frozenset[Path]
    """The parts of the input that are read, as paths below `input`; () is the whole input."""

    @property
    def is_test(self) -> bool:
        """Whether the module serves the tests only."""
        return self.file.endswith("_test.rego")


def read(file: str, source: str) -> Module:
    """A module from its source. Raises ConfigError with file and line."""
    tokens = tuple(_lex(file, source))
    package = next((i for i, token in enumerate(tokens) if token.text == "package" and token.kind == "name"), None)
    if package is None or package + 1 >= len(tokens):
        raise ConfigError(f"{file}:1: no package; the entry point is `decision` in `package gateway`")
    return Module(
        file,
        source,
        reference(tokens, package + 1).name,
        tokens,
        MappingProxyType(dict(_imports(tokens))),
        frozenset(head.name for head in _heads(tokens)),
        frozenset(_sets(tokens)),
        frozenset(_inputs(tokens)),
    )


def _lex(file: str, source: str) -> Iterator[Token]:
    line, begun = 1, 0
    for match in _TOKEN.finditer(source):
        kind, text = str(match.lastgroup), match[0]
        if text in ('"', "`"):
            raise ConfigError(f"{file}:{line}: a string that does not end")
        if kind not in ("space", "comment"):
            yield Token(kind, text, line, begun != line, match.start())
            begun = line + text.count("\n")
        line += text.count("\n")


def reference(tokens: Sequence[Token], start: int) -> Reference:
    """The longest dotted name that begins at a token."""
    parts, at = [tokens[start].text], start + 1
    while at + 1 < len(tokens):
        if tokens[at].text == "." and tokens[at + 1].kind == "name":
            parts.append(tokens[at + 1].text)
            at += 2
        elif (
            tokens[at].text == "["
            and tokens[at + 1].kind in ("string", "raw")
            and at + 2 < len(tokens)
            and tokens[at + 2].text == "]"
            and not tokens[at].first
        ):
            parts.append(_value(tokens[at + 1]))
            at += 3
        else:
            break
    return Reference(tuple(parts), tokens[start].line, start, at)


def _value(token: Token) -> str:
    """The value of a string literal; the text between the quotes if the literal is not JSON."""
    if token.kind == "raw":
        return token.text[1:-1]
    try:
        return str(orjson.loads(token.text))
    except orjson.JSONDecodeError:
        return token.text[1:-1]


def references(module: Module) -> Iterator[Reference]:
    """Every dotted name of a module, without keywords."""
    for index, token in enumerate(module.tokens):
        if token.kind == "name" and token.text not in KEYWORDS and not _follows_dot(module.tokens, index):
            yield reference(module.tokens, index)
        # `contains` is a keyword in a rule's head and a function where it is called.
        elif token.text == "contains" and opens_call(module.tokens, index + 1, token.line):
            yield Reference(("contains",), token.line, index, index + 1)


def calls(module: Module) -> Iterator[Reference]:
    """Every name that is called, and every function that `with` replaces or uses as a replacement."""
    for found in references(module):
        if opens_call(module.tokens, found.end, found.line):
            yield found
        elif before(module.tokens, found.start) == "with" and found.path[0] not in ("input", "data"):
            yield found
            value = found.end + 1
            if value < len(module.tokens) and module.tokens[value].kind == "name":
                replacement = reference(module.tokens, value)
                if len(replacement.path) > 1 and replacement.path[0] not in ("input", "data"):
                    yield replacement


def arguments(module: Module, call: Reference) -> list[list[Token]]:
    """The tokens of each argument of a call, in order."""
    return items(module.tokens[call.end :])


def items(tokens: Sequence[Token]) -> list[list[Token]]:
    """The items between the opening bracket at the start and its closing bracket, separated by commas."""
    found: list[list[Token]] = [[]]
    depth = 0
    for token in tokens[1:]:
        depth += opens(token) - closes(token)
        if depth < 0:
            break
        if depth == 0 and token.text == ",":
            found.append([])
        else:
            found[-1].append(token)
    return [item for item in found if item]


def opens(token: Token) -> bool:
    """Whether the token is an opening bracket."""
    return token.kind == "sign" and token.text in "([{"


def closes(token: Token) -> bool:
    """Whether the token is a closing bracket."""
    return token.kind == "sign" and token.text in _CLOSERS


def computed_call(module: Module) -> Token | None:
    """The first call of something other than a plain name, such as `f[x](y)`: its function is not known."""
    for index, token in enumerate(module.tokens[1:], start=1):
        if token.text == "(" and not token.first and before(module.tokens, index) in ("]", ")"):
            opener = next((found for found in references(module) if found.end == index), None)
            if opener is None:
                return token
    return None


def key_membership(module: Module) -> Token | None:
    """The `in` of a test `key, value in collection`. In `some key, value in` and in `every`, `in` declares names."""
    for index, token in enumerate(module.tokens):
        if token.kind == "name" and token.text == "in" and not _follows_dot(module.tokens, index):
            depth, comma = 0, False
            for at in range(index - 1, -1, -1):
                left = module.tokens[at]
                depth += closes(left) - opens(left)
                if depth == 0 and left.kind == "name" and left.text in ("some", "every"):
                    comma = False
                    break
                comma = comma or (depth == 0 and left.text == ",")
                # A comma in a list or between arguments separates items.
                if depth < 0 and (left.text == "[" or (left.text == "(" and _names(module.tokens, at - 1))):
                    comma = False
                if depth < 0 or (depth == 0 and (left.first or left.text in _PARTS)):
                    break
            if comma:
                return token
    return None


def _names(tokens: Sequence[Token], index: int) -> bool:
    """Whether a token is a name that may be called, and not a keyword."""
    return index >= 0 and tokens[index].kind == "name" and tokens[index].text not in KEYWORDS - {"contains"}


def opens_call(tokens: Sequence[Token], at: int, line: int) -> bool:
    """Whether the token at `at` opens the call of a name that ends before it."""
    return at < len(tokens) and tokens[at].text == "(" and tokens[at].line == line


def before(tokens: Sequence[Token], index: int) -> str:
    """The text of the token before."""
    return tokens[index - 1].text if index else ""


def _follows_dot(tokens: Sequence[Token], index: int) -> bool:
    return before(tokens, index) == "."


def mentions(modules: Iterable[Module], word: str) -> bool:
    """Whether a word is anywhere in the sources, as a name or within a string."""
    return any(word in token.text for module in modules for token in module.tokens)


def is_input(tokens: Sequence[Token], index: int) -> bool:
    """Whether a token is the name `input` itself."""
    return tokens[index].kind == "name" and tokens[index].text == "input" and not _follows_dot(tokens, index)


def _imports(tokens: Sequence[Token]) -> Iterator[tuple[str, Path]]:
    for index, token in enumerate(tokens[:-1]):
        if token.kind == "name" and token.text == "import" and token.first:
            found = reference(tokens, index + 1)
            renamed = found.end + 1 < len(tokens) and tokens[found.end].text == "as"
            yield (tokens[found.end + 1].text if renamed else found.path[-1]), found.path


def _sets(tokens: Sequence[Token]) -> Iterator[str]:
    kinds: dict[str, set[bool]] = {}
    for head in _heads(tokens):
        contains = head.end < len(tokens) and tokens[head.end].text == "contains"
        kinds.setdefault(head.name, set()).add(contains)
    return (name for name, found in kinds.items() if found == {True})


def _heads(tokens: Sequence[Token]) -> Iterator[Reference]:
    """Names at the start of a line, outside all brackets, where a new rule can begin."""
    depth = 0
    for index, token in enumerate(tokens):
        previous = tokens[index - 1] if index else None
        ended = previous is None or previous.kind != "sign" or previous.text in _CLOSERS
        fresh = token.first and ended and (previous is None or previous.text not in _GOES_ON)
        after_default = previous is not None and previous.text == "default"
        if depth == 0 and token.kind == "name" and (fresh or after_default) and token.text not in KEYWORDS:
            yield reference(tokens, index)
        depth += opens(token) - closes(token)


def _inputs(tokens: Sequence[Token]) -> Iterator[Path]:
    for index, token in enumerate(tokens):
        if token.kind == "template" and "input" in token.text:
            yield ()  # the expressions in its braces are not parsed here
        if is_input(tokens, index):
            # `with input as` replaces the input: the names do not show what is read below.
            yield () if before(tokens, index) == "with" else reference(tokens, index).path[1:]
