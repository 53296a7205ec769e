"""Fragments of SQL that break out of a value: `' OR 1=1 --`, `1 UNION SELECT ...`, `x'); DROP TABLE y; --`.

A fragment is inserted where programs insert values, with and without quotes, and parsed as a database would. It breaks
out if the result is a complete condition that compares, joins, groups or calls in addition to the value. Prose does
not: its quotes are followed by letters, and its numbers by no condition. Only text that begins as a number, or
continues like SQL after a quote, is parsed at all.

`variants` undoes the encodings between an argument and the database: percent, backslash and entity escapes, JSON within
the string, base64.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

import orjson

from gateway.detect.sql.read import DEPTH, STEPS, Reader, Statement
from gateway.detect.unmask.encoded import from_base64

if TYPE_CHECKING:
    from sqlglot import exp

LONGEST: Final = 1_024  # maximum characters of a fragment
FRAGMENT: Final = Statement("fragment", frozenset({"fragment"}), "")
_ON: Final = (
    r"(?:(?:and|or|xor|having|group\s+by|order\s+by|union|except|intersect|limit|like|rlike|regexp|between|in|is|div|mod|"
    r"collate|into|where|procedure)(?![\w$])|--|\#|/\*|\|\||&&|[=<>!+*/%^|&;-])"
)
_AFTER_QUOTE: Final = {
    quote: re.compile(rf"[^{quote}]*?{quote}[\s)]*(?:{_ON}|/\*.*?\*/\s*{_ON})", re.IGNORECASE | re.DOTALL)
    for quote in ("'", '"')
}
_AFTER_NUMBER: Final = re.compile(
    rf"[\s(]*[-+~]?(?:0x[0-9a-f]+|\d[\d.]*|null|true|false|@@?\w+)[\s)]*(?:{_ON}|/\*.*?\*/\s*{_ON})",
    re.IGNORECASE | re.DOTALL,
)
_CALLS: Final = re.compile(
    r"(?:\b(?:and|or|xor|select)\b|\|\||&&)[\s(]*(?:not\s+)?(?:if\s*\(.{0,60}?)?(?:sleep|benchmark|pg_sleep)\s*\(",
    re.IGNORECASE,
)
_COMMENT_ENDS: Final = re.compile(r"(?:--[\s+-]*|#\s*|/\*\s*\*?/?|;\s*)\Z")
_DIALECTS: Final = ("mysql", "postgres", "tsql")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([nrt]))")
_BASE64: Final = re.compile(r"\s*[A-Za-z0-9+/_-]{16,}={0,2}\s*")
_DEEP: Final = 3  # maximum nesting of encodings
_MANY: Final = 256  # strings of one argument


class Breakout:
    """Recognizes fragments that break out of a value; for any thread."""

    def __init__(self, dialect: str = "") -> None:
        self._readers = [Reader(name) for name in ([dialect] if dialect else _DIALECTS)]

    def __call__(self, text: str, steps: list[int] | None = None) -> bool:
        """Whether a text is such a fragment, or takes more than the remaining `steps` to decide."""
        steps = [STEPS] if steps is None else steps
        if len(text) > LONGEST:
            return False
        if _CALLS.search(text):
            return True
        for quote, after in _AFTER_QUOTE.items():
            if after.match(text) and self._breaks(text, quote, steps):
                return True
        return _AFTER_NUMBER.match(text) is not None and self._breaks(text, "", steps)

    def _breaks(self, text: str, quote: str, steps: list[int]) -> bool:
        closed, left, deepest = _brackets(text)
        if deepest >= DEPTH:
            return True  # deeper than real statements, and than is parsed
        begin, end = "(" * closed, ")" * (closed + left)
        if (
            quote
            and _COMMENT_ENDS.search(text)
            and text.count(quote) % 2
            and _COMMENT_ENDS.sub("", text).rstrip()[-1:] == quote
        ):
            return True  # the value is closed, and the rest of the statement is cut off
        for reader in self._readers:
            for tail in dict.fromkeys((quote + end, end, "")):
                tree = reader.tree(f"SELECT a FROM t WHERE {begin}b = {quote}{text}{tail}", steps)  # noqa: S608  (only read)
                if tree is not None and _adds(tree, quoted=bool(quote)):
                    return True
        return steps[0] <= 0


def _brackets(text: str) -> tuple[int, int, int]:
    """How many brackets a text closes without opening them, how many it leaves open, and their maximum depth."""
    depth = lowest = deepest = 0
    for char in text:
        if char == "(":
            depth += 1
            deepest = max(deepest, depth - lowest)
        elif char == ")":
            depth -= 1
            lowest = min(lowest, depth)
    return -lowest, depth, deepest - lowest


def _adds(tree: exp.Expr, *, quoted: bool) -> bool:
    """Whether a query does more than compare its column with one value."""
    from sqlglot import exp

    if not isinstance(tree, exp.Select):
        return True  # a union, or several statements
    if tree.args.get("having") or tree.args.get("group") or tree.args.get("into"):
        return True
    order = tree.args.get("order")
    if order is not None:
        return all(isinstance(one.this, exp.Literal) for one in order.expressions)
    where = tree.args.get("where")
    if where is None:
        return False
    for node in where.find_all(exp.Connector):
        for side in (node.left, node.right):
            if _tells(side.unnest(), quoted=quoted):
                return True
    value = where.this.unnest()
    if not quoted or not isinstance(value, exp.Binary):
        return False
    if isinstance(value.this, exp.Predicate) and isinstance(value, exp.Predicate):
        return isinstance(value.expression, exp.Literal) and value.expression.is_string  # `'='`: compared twice
    right = value.expression.unnest()
    return isinstance(right, (exp.Add, exp.DPipe)) and isinstance(right.expression, (exp.Literal, exp.Func, exp.Query))


def _tells(side: exp.Expr, *, quoted: bool) -> bool:
    """Whether one side of AND or OR is not part of the value's own comparison."""
    from sqlglot import exp

    if isinstance(side, exp.Not):
        side = side.this.unnest()
    if isinstance(side, (exp.Predicate, exp.Binary)) and not isinstance(side, exp.Connector):
        own = isinstance(side.this, exp.Column) and side.this.name == "b"
        return not own and side.find(exp.Literal, exp.Func, exp.Query, exp.Null, exp.Boolean, exp.Parameter) is not None
    if isinstance(side, (exp.Func, exp.Query)) and not isinstance(side, exp.Connector):
        return True
    # A value alone is a condition, too: `' or '1`. Words in quotes are words.
    return quoted and (
        isinstance(side, (exp.Boolean, exp.Null)) or (isinstance(side, exp.Literal) and len(side.name) < 4)
    )


def variants(text: str, deep: int = 0) -> Iterator[str]:
    """The texts that later programs may decode from a string, the string itself first."""
    yield text
    if deep >= _DEEP:
        return
    if text[:1] in ("{", "[", '"') or text[:1].isspace():
        yield from _strings(text, deep)
    others = set()
    if "%" in text:
        others.add(unquote_plus(text))
    if "\\" in text:
        others.add(_ESCAPE.sub(_unescaped, text))
    if "&" in text:
        others.add(html.unescape(text))
    if _BASE64.fullmatch(text):
        others.add(_decoded(text))
    for other in sorted(others - {text, ""}):
        yield from variants(other, deep + 1)


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else {"n": "\n", "r": "\r", "t": "\t"}[match[3]]


def _decoded(text: str) -> str:
    """The text of base64 data; "" if the data is not base64 of text."""
    try:
        said = (from_base64(text.strip()) or b"").decode()
    except UnicodeDecodeError:
        return ""
    return said if said.isprintable() or said.replace("\n", "").isprintable() else ""


def _strings(text: str, deep: int) -> Iterator[str]:
    """All strings of a JSON text; none if the text is not JSON."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    waiting: list[Any] = [value]
    for _ in range(_MANY):
        if not waiting:
            return
        one = waiting.pop()
        if type(one) is str:
            yield from variants(one, deep + 1)
        elif type(one) is dict:
            waiting += [*one.values(), *one]
        elif type(one) is list:
            waiting += one
