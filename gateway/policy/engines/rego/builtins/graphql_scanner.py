"""GraphQL texts to tokens. https://spec.graphql.org/October2021/#sec-Language.Source-Text"""

from __future__ import annotations

import re
from typing import NamedTuple

_SPACE = re.compile(r"(?:[\t ,\n\r]|\ufeff)*")
_TOKEN = re.compile(
    r"(?P<sign>\.\.\.|[!$&():=@\[\]{}|])|(?P<comment>\#[^\x00-\x08\x0a-\x1f]*)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<float>-?(?:0|[1-9]\d*)(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+))|(?P<int>-?(?:0(?!\d)|[1-9]\d*))"
    r'|"""(?P<block>(?:[^"\\]|\\"""|\\|"(?!""))*"*)"""|"(?P<string>(?:[^"\\\n\r\x00-\x08\x0b-\x1f]|\\.)*)"',
    re.ASCII,
)
_NUMBER_GOES_ON = re.compile(r"[.eE]|\d")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {'"': '"', "/": "/", "\\": "\\", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class SyntaxFault(Exception):
    """A text that is no GraphQL: what is wrong, and where."""


class Token(NamedTuple):
    kind: str
    text: str
    line: int
    column: int


def scan(text: str) -> list[Token]:
    """All tokens, comments too, the last of kind `<EOF>`. Raises SyntaxFault."""
    tokens, at, line, begun = [], 0, 1, 0
    while True:
        space = _SPACE.match(text, at)
        assert space is not None
        for end in re.finditer(r"\r\n|\r|\n", space[0]):
            line += 1
            begun = at + end.end()
        at = space.end()
        if at == len(text):
            tokens.append(Token("<EOF>", "", line, at - begun + 1))
            return tokens
        match = _TOKEN.match(text, at)
        kind = str(match.lastgroup) if match is not None else ""
        if match is None or (kind in ("int", "float") and _NUMBER_GOES_ON.match(text, match.end())):
            raise SyntaxFault(
                f"Cannot parse the unexpected character in GraphQL string at location {line}:{at - begun + 1}"
            )
        value = match[kind]
        if kind == "string":
            value = _unescaped(value, f"{line}:{at - begun + 1}")
        elif kind == "block":
            value = _block(re.sub(r"\r\n|\r", "\n", value.replace('\\"""', '"""')))
        tokens.append(Token(value if kind == "sign" else kind, value, line, at - begun + 1))
        breaks = match[0].count("\n") if kind == "block" else 0
        if breaks:
            line += breaks
            begun = at + match[0].rindex("\n") + 1
        at = match.end()


def _unescaped(text: str, place: str) -> str:
    def one(match: re.Match[str]) -> str:
        escape = match[1]
        if escape[0] == "u" and len(escape) == 5:
            found = int(escape[1:], 16)
            return "\ufffd" if 0xD800 <= found < 0xE000 else chr(found)
        if escape not in _ESCAPED:
            raise SyntaxFault(f"Invalid character escape sequence in GraphQL string at location {place}")
        return _ESCAPED[escape]

    return _ESCAPE.sub(one, text)


def _block(text: str) -> str:
    """The text of a block string, without the indentation of its lines."""
    lines = text.split("\n")
    indents = [len(line) - len(line.lstrip(" \t")) for line in lines if line.strip(" \t")]
    common = min(indents, default=0)
    lines = [lines[0], *(line[common:] for line in lines[1:])]
    while lines and not lines[0].strip(" \t"):
        del lines[0]
    while lines and not lines[-1].strip(" \t"):
        del lines[-1]
    return "\n".join(lines)
