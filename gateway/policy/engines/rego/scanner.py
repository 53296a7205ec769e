"""Source to tokens, with their places. Comments are kept beside the tokens: they may hold metadata."""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.policy.engines.rego.errors import PARSE, Location, Problem, RegoError

KEYWORDS = frozenset(
    "package import as default else not some with null true false in every contains if".split()  # noqa: SIM905
)
WORDS = KEYWORDS | {"name", "and", "or"}
"""What may stand after a dot."""
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+) | (?P<comment>\#[^\n]*) | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>\d++(?:\.\d*+)?+(?:[eE][+-]?\d*+)?+[A-Za-z0-9_]*)
      | (?P<string>"(?:\\.|[^"\\\n])*"?) | (?P<raw>`[^`]*`?) | (?P<template>\$["`])
      | (?P<sign>:=|==|!=|<=|>=|[][{}(),:+\-*/%&|=<>;.])""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"\d+(\.\d+)?([eE][+-]?\d+)?")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Token(NamedTuple):
    """`kind` is `name`, `number`, `string`, `raw`, `template`, `end`, or the text of a keyword or sign.

    A template string is a token `template` for each piece of text, `last` where it is the last one; between them stand
    the tokens of an expression and the brace that closes it.
    """

    kind: str
    text: str
    row: int
    column: int
    spaced: bool
    """White space or a comment stands before it."""
    newline: bool
    """A line ends before it."""
    last: bool = False


class Comment(NamedTuple):
    """A comment, without its sign."""

    text: str
    row: int
    column: int


def scan(file: str, source: str, extra: frozenset[str] = frozenset()) -> tuple[list[Token], list[Comment]]:
    """All tokens, the last of kind `end`. Raises RegoError."""
    return _Scanner(file, source, KEYWORDS | extra).run()


class _Scanner:
    def __init__(self, file: str, source: str, keywords: frozenset[str]) -> None:
        self.file, self.source, self.keywords = file, source, keywords
        self.at, self.row, self.begun = 0, 1, 0
        self.tokens: list[Token] = []
        self.comments: list[Comment] = []
        self.templates: list[tuple[str, int]] = []
        self.depth = 0
        self.spaced = self.newline = False

    def fail(self, message: str, at: int | None = None) -> RegoError:
        where = self.at if at is None else at
        return RegoError([Problem(PARSE, message, Location(self.file, self.row, where - self.begun + 1))])

    def put(self, kind: str, text: str, *, last: bool = False) -> None:
        column = self.at - self.begun + 1
        self.tokens.append(Token(kind, text, self.row, column, self.spaced, self.newline, last))
        self.spaced = self.newline = False

    def run(self) -> tuple[list[Token], list[Comment]]:
        source = self.source
        while self.at < len(source):
            if source[self.at] == "}" and self.templates and self.templates[-1][1] == self.depth:
                self.put("}", "}")
                quote, _ = self.templates.pop()
                self.template(quote, self.at + 1)
                continue
            match = _TOKEN.match(source, self.at)
            if match is None:
                raise self.fail(_illegal(source[self.at]))
            self.token(str(match.lastgroup), match[0])
        if self.templates:
            raise self.fail("non-terminated string")
        self.put("end", "")
        return self.tokens, self.comments

    def token(self, kind: str, text: str) -> None:
        if kind == "name":
            self.put(text if text in self.keywords else kind, text)
            self.at += len(text)
        elif kind == "sign":
            self.depth += (text == "{") - (text == "}")
            self.put(text, text)
            self.at += len(text)
        elif kind == "template":
            self.template(text[1], self.at + 2)
        elif kind == "space":
            self.spaced = True
            self.advance(text)
        elif kind == "comment":
            self.comments.append(Comment(text[1:].rstrip("\r"), self.row, self.at - self.begun + 1))
            self.spaced = True
            self.at += len(text)
        else:
            self.check(kind, text)
            self.put(kind, text)
            self.advance(text)

    def check(self, kind: str, text: str) -> None:
        if kind == "number" and not _NUMBER.fullmatch(text):
            raise self.fail("illegal number format")
        if kind in ("string", "raw") and (len(text) < 2 or text[-1] != text[0] or _odd_end(text)):
            raise self.fail("non-terminated string")
        if kind == "string" and (wrong := _wrong_escape(text)):
            raise self.fail(wrong)
        if "\0" in text:
            raise self.fail("illegal null character")

    def advance(self, text: str) -> None:
        lines = text.count("\n")
        if lines:
            self.newline = True
            self.row += lines
            self.begun = self.at + text.rindex("\n") + 1
        self.at += len(text)

    def template(self, quote: str, start: int) -> None:
        """A piece of a template string, from `start` to its end or to an expression."""
        source, at, text = self.source, start, []
        while True:
            if at >= len(source) or (source[at] == "\n" and quote == '"'):
                raise self.fail("non-terminated string")
            sign = source[at]
            if sign in (quote, "{"):
                break
            if sign == "\\" and source[at + 1 : at + 2] == "{":
                text.append("{")
                at += 2
            elif sign == "\\" and quote == '"':
                text.append(source[at : at + 2])
                at += 2
            else:
                text.append(sign)
                at += 1
        body = "".join(text)
        if quote == '"':
            if wrong := _wrong_escape(body):
                raise self.fail(wrong)
            self.put("template", f'"{body}"', last=sign == quote)
        else:
            self.put("template", f"`{body}`", last=sign == quote)
        self.advance(source[self.at : at + 1])
        if sign == "{":
            self.templates.append((quote, self.depth))


def _odd_end(text: str) -> bool:
    """Whether the quote at the end is escaped."""
    return text[0] == '"' and (len(text) - 1 - len(text[:-1].rstrip("\\"))) % 2 == 1


def _wrong_escape(text: str) -> str:
    for match in _ESCAPE.finditer(text):
        if match[1] not in '\\"/bfnrtu':
            return "illegal escape sequence"
        if match[1] == "u" and not re.fullmatch("[0-9a-fA-F]{4}", text[match.end() : match.end() + 4]):
            return f"illegal string literal: {text}"
    return ""


def _illegal(sign: str) -> str:
    if sign == "\xa0":
        return "illegal non-breaking space character, use a regular space instead"
    if sign in "!$":
        return f"illegal {sign} character"
    return "illegal token"
