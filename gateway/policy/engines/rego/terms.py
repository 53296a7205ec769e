"""The grammar of terms, by descent; operators bind from `in` (least) to `*` (most)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import NoReturn

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.ast import path_of
from gateway.policy.engines.rego.errors import PARSE, Location, Problem, RegoError
from gateway.policy.engines.rego.scanner import KEYWORDS, WORDS, Token
from gateway.policy.engines.rego.values import MOST_EXPONENT, number, paired

_LEVELS = (("==", "!=", "<", ">", "<=", ">="), ("|",), ("&",), ("+", "-"), ("*", "/", "%"))
_LEVEL = {sign: level for level, signs in enumerate(_LEVELS) for sign in signs}
_NAMES = {
    "==": "equal",
    "!=": "neq",
    "<": "lt",
    ">": "gt",
    "<=": "lte",
    ">=": "gte",
    "|": "or",
    "&": "and",
    "+": "plus",
    "-": "minus",
    "*": "mul",
    "/": "div",
    "%": "rem",
}
_SHORT = 4
"""Tokens that may be read twice."""
MEMBER = ("internal", "member_2")
MEMBER_AT = ("internal", "member_3")


class Terms:
    """A position in the tokens of a file, and what may be read there."""

    def __init__(self, file: str, tokens: list[Token], *, not_bodies: bool = False) -> None:
        self.file, self.tokens, self.index, self.wildcards = file, tokens, 0, 0
        self.not_bodies = not_bodies
        self._read: dict[int, tuple[ast.Term | list[Problem], int]] = {}
        """What was read of this rule, by where it begins: a term or the problems, and where it ends."""

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def peek(self, ahead: int = 1) -> Token:
        return self.tokens[min(self.index + ahead, len(self.tokens) - 1)]

    def next(self) -> Token:
        found = self.tokens[self.index]
        if found.kind != "end":
            self.index += 1
        return found

    def where(self, token: Token) -> Location:
        return Location(self.file, token.row, token.column)

    def fail(self, message: str, token: Token | None = None, at: Location | None = None) -> NoReturn:
        raise RegoError([Problem(PARSE, message, at or self.where(token or self.token))])

    def illegal(self, note: str = "") -> NoReturn:
        kind = self.token.kind
        named = {"end": "eof", "name": "identifier", "raw": "string", "template": "template-string-part"}.get(
            kind, kind
        )
        what = f"unexpected {named} {'keyword' if kind in KEYWORDS else 'token'}"
        self.fail(f"{what}: {note}" if note else what)

    def expect(self, kind: str) -> Token:
        if self.token.kind != kind:
            self.illegal(f"expected {kind}")
        return self.next()

    def body(self, end: str) -> list[ast.Literal]:
        raise NotImplementedError

    def literal(self) -> ast.Literal:
        raise NotImplementedError

    def reads_ref(self) -> bool:
        """Whether a keyword is a name here: a part follows."""
        return self.peek().kind in (".", "[") and not self.peek().spaced

    # Terms

    def term(self, *, keyed: bool = True) -> ast.Term:
        """Any term; with `keyed`, `key, value in collection` too."""
        left = self.binary(0)
        if keyed and self.token.kind == ",":
            start = self.index
            try:
                self.next()
                middle = self.binary(0)
                if self.token.kind == "in" and not self.reads_ref():
                    self.next()
                    left = ast.Call(MEMBER_AT, [left, middle, self.binary(0)], left.at, True)
                else:
                    self.index = start
            except RegoError:
                self.index = start
        while self.token.kind == "in" and not self.reads_ref():
            self.next()
            left = ast.Call(MEMBER, [left, self.binary(0)], left.at, True)
        return left

    def binary(self, least: int) -> ast.Term:
        """A term with operators of this level and of those that bind more."""
        left = self.unary()
        while (level := _LEVEL.get(self.tokens[self.index].kind, -1)) >= least:
            token = self.next()
            left = ast.Call((_NAMES[token.kind],), [left, self.binary(level + 1)], left.at, True)
        return left

    def forget(self) -> None:
        """Another rule begins: nothing before is read again."""
        self._read.clear()

    def unary(self) -> ast.Term:
        """A term without operators. One that is tried in several ways is read once: nesting would double its time."""
        start = self.index
        known = self._read.get(start)
        if known is None:
            try:
                found = self.operand_term()
            except RegoError as error:
                self._read[start] = error.problems, self.index
                raise
            if self.index - start > _SHORT:
                self._read[start] = found, self.index
            return found
        read, self.index = known
        if isinstance(read, list):
            raise RegoError(read)
        return read

    def operand_term(self) -> ast.Term:
        if self.token.kind == "-" and self.peek().kind == "name":
            at = self.where(self.next())
            return ast.Call(("minus",), [ast.Scalar(0, at), self.unary()], at, True)
        return self.postfix(self.primary())

    def primary(self) -> ast.Term:
        token = self.token
        at = self.where(token)
        kind = token.kind
        if kind == "name" or kind == "contains" or (kind in KEYWORDS and self.reads_ref()):
            self.next()
            return ast.Var(self.wild(token.text), at)
        if kind in ("and", "or") and self.peek().kind == "(":
            self.next()
            return ast.Var(token.text, at)
        if kind in ("null", "true", "false"):
            self.next()
            return ast.Scalar({"null": None, "true": True, "false": False}[kind], at)
        if kind in ("number", "-", "."):
            return ast.Scalar(self.numeral(), at)
        if kind in ("string", "raw"):
            return ast.Scalar(self.string(self.next()), at)
        if kind == "template":
            return self.template()
        if kind == "[":
            self.next()
            return self.array(at)
        if kind == "{":
            self.next()
            return self.set_or_object(at)
        if kind == "(":
            self.next()
            found = self.term()
            if self.token.kind != ")":
                self.fail("non-terminated expression")
            self.next()
            return found
        return self.illegal()

    def numeral(self) -> object:
        sign = ""
        if self.token.kind == "-":
            self.next()
            sign = "-"
        if self.token.kind == ".":
            self.next()
            sign += "."
        if self.token.kind != "number":
            self.illegal("expected number")
        text = self.token.text
        if len(text) > 1 and text[0] == "0" and text[1] not in ".eE" and not sign.endswith("."):
            self.illegal("expected number without leading zero")
        self.next()
        written = Decimal(sign + text)
        if written and abs(written.adjusted()) > MOST_EXPONENT:
            self.fail("number too big")
        return number(sign + text)

    def string(self, token: Token) -> str:
        if token.text[0] == "`":
            return token.text[1:-1]
        try:
            found: str = json.loads(token.text)
        except ValueError:
            self.fail(f"illegal string literal: {token.text}", token)
        return paired(found)

    def template(self) -> ast.Term:
        at = self.where(self.token)
        parts: list[str | ast.Literal] = []
        while True:
            token = self.next()
            if len(token.text) > 2:
                parts.append(self.string(token))
            if token.last:
                return ast.Template(parts, at)
            literal = self.literal()
            if not isinstance(literal.what, ast.Expr):
                what = type(literal.what).__name__.lower()
                self.fail(f"unexpected {what} in template-string expression", None, literal.at)
            parts.append(literal)
            self.expect("}")
            if self.token.kind != "template":
                self.fail("expected } to end template string expression")

    def wild(self, name: str) -> str:
        if name != "_":
            return name
        self.wildcards += 1
        return f"${self.wildcards}"

    def postfix(self, head: ast.Term) -> ast.Term:
        """What follows a term without a space: `.name`, `[term]`, `(arguments)`."""
        token = self.tokens[self.index]
        if (token.spaced or token.kind not in (".", "[", "(")) and not isinstance(head, ast.Var):
            return head
        parts: list[ast.Term] = []
        at = head.at

        def made() -> ast.Term:
            root = isinstance(head, ast.Var) and head.name in ("data", "input")
            return ast.Ref(head, list(parts), at) if parts or root else head

        while not self.token.spaced and self.token.kind in (".", "[", "("):
            if isinstance(head, ast.Scalar | ast.Template):
                if self.token.kind == "." and isinstance(head.__class__, int):
                    break
                self.fail(f"illegal ref (head cannot be {_named(head)})", None, at)
            kind = self.token.kind
            if kind == ".":
                self.next()
                if self.token.kind not in WORDS:
                    self.illegal("expected identifier")
                token = self.next()
                parts.append(ast.Scalar(token.text, self.where(token)))
            elif kind == "[":
                self.next()
                parts.append(self.term())
                self.expect("]")
            else:
                path = path_of(made())
                self.next()
                args = self.listed(")")
                if path is None:
                    self.fail("illegal call of a computed name", None, at)
                head = ast.SetOf([], at) if path == ("set",) and not args else ast.Call(path, args, at)
                parts = []
        return made()

    def listed(self, end: str) -> list[ast.Term]:
        """Terms up to a closing sign, which is read too."""
        found: list[ast.Term] = []
        while self.token.kind != end:
            found.append(self.term(keyed=False))
            if self.token.kind == ",":
                self.next()
            elif self.token.kind != end:
                self.illegal(f'expected "," or "{end}"')
        self.next()
        return found

    def array(self, at: Location) -> ast.Term:
        start = self.index
        if self.token.kind == ",":
            self.next()
        elif self.token.kind != "]":
            head = self.unary()
            if self.token.kind == "|":
                body = self.comprehended("]")
                if body is not None:
                    return ast.Comprehension("array", None, head, body, at)
            self.index = start
        return ast.Array(self.listed("]"), at)

    def comprehended(self, end: str) -> list[ast.Literal] | None:
        """The body of a comprehension; None where `|` was an operator after all."""
        self.next()
        try:
            found = self.body(end)
        except RegoError:
            if self.token.kind != ",":
                raise
            return None
        self.next()
        return found

    def set_or_object(self, at: Location) -> ast.Term:
        if self.token.kind == "}":
            self.next()
            return ast.Object([], at)
        leading = self.token.kind == ","
        if leading:
            self.next()
        start = self.index
        head = self.unary()
        if self.token.kind == "|" and not leading:
            body = self.comprehended("}")
            if body is not None:
                return ast.Comprehension("set", None, head, body, at)
        if self.token.kind != ":":
            self.index = start
            head = self.term(keyed=False)
        if self.token.kind == ":":
            return self.object_(head, at, leading)
        if self.token.kind not in (",", "}"):
            self.illegal("non-terminated set")
        self.index = start
        return ast.SetOf(self.listed("}"), at)

    def object_(self, key: ast.Term, at: Location, leading: bool) -> ast.Term:
        self.next()
        start = self.index
        value = self.unary()
        if self.token.kind == "|" and not leading:
            body = self.comprehended("}")
            if body is not None:
                return ast.Comprehension("object", key, value, body, at)
        self.index = start
        pairs = [(key, self.term(keyed=False))]
        while self.token.kind == ",":
            self.next()
            if self.token.kind == "}":
                break
            key = self.term(keyed=False)
            if self.token.kind != ":":
                self.illegal('expected ":"')
            self.next()
            pairs.append((key, self.term(keyed=False)))
        if self.token.kind != "}":
            self.illegal("non-terminated object")
        self.next()
        return ast.Object(pairs, at)


def _named(term: ast.Term) -> str:
    value = getattr(term, "value", "")
    return {bool: "boolean", str: "string", type(None): "null"}.get(type(value), "number")
