"""Allowed values (`pii.allow`, `allow_list`): exact values, and patterns of values, anywhere in a text.

A finding is dropped if it equals an allowed value, lies within an allowed value, or is an allowed value with a label
before it ("staff EMP-000000"). A finding that only overlaps an allowed value loses the part that they share. A value
that is part of a longer word or number is not allowed. The wildcards of a pattern do not cross the separators of values
(white space, quotes, brackets, `,;:=&|`), so `/.*@example\\.org/` does not allow all the text before an address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from re import _constants as op  # type: ignore[attr-defined]  # the parser of the standard library has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

import regex

from gateway.detect.core import index, rewrite
from gateway.detect.core.linear import Linear
from gateway.detect.core.rules import Rule
from gateway.detect.core.spare import outside, united
from gateway.detect.personal.recognizer_file import PRESIDIOS
from gateway.texts import Finding

ALLOWED: Final = "ALLOWED"
"""The entity of these rules: their matches are not reported."""

_PARTS: Final = "\"'`()[]{}<>,;:=&|\\"
_SPACES: Final = "\t\n\r\f\v "
_KEPT: Final = "".join(
    char for char in map(chr, range(33, 127)) if not (char.isalnum() or char == "_" or char in _PARTS)
)
_SIGN: Final = regex.compile(r"\w")
_ROOM: Final = 6_000  # characters that the words of one expression may take: Hyperscan takes 16,000
_HELD: Final = 20  # characters of a word from which a stream always waits for the rest of it


class Allowed:
    """Values that are not reported. Raises ValueError for an invalid pattern."""

    def __init__(self, allow: Sequence[str]) -> None:
        self.values = tuple(one for one in allow if one and not _is_pattern(one))
        self._values = frozenset(one.casefold() for one in self.values)
        self._whole: list[Linear] = []
        self._inside: list[tuple[str, Linear]] = []
        for one in allow:
            if _is_pattern(one):
                try:
                    self._whole.append(Linear(one[1:-1], PRESIDIOS))
                except ValueError as error:
                    raise ValueError(f"{one}: {error}") from None
                self._look(one[1:-1])

    def _look(self, source: str) -> None:
        """Search texts for the pattern as well. A pattern too large for that is only compared with whole findings."""
        try:
            narrow = narrowed(source, PRESIDIOS)
            pattern = Linear(narrow, PRESIDIOS)
            index.build([index.Expression(narrow, PRESIDIOS)], None, streams=True)
        except ValueError:
            return
        self._inside.append((narrow, pattern))

    def __bool__(self) -> bool:
        return bool(self.values or self._whole)

    def holds(self, value: str) -> bool:
        """Whether a value is allowed."""
        return value.casefold() in self._values or any(pattern.holds(value) for pattern in self._whole)

    def rules(self, recognizer: str = "") -> list[Rule]:
        """The rules that find allowed values in texts, for the findings of one recognizer ("": of all recognizers)."""
        made = [
            (index.Expression(source, PRESIDIOS, begun=begun, shelf="own"), Linear(source, PRESIDIOS))
            for source, begun in (denied(self.values) if index.linear() else ())
        ]
        made += [(index.Expression(source, PRESIDIOS, shelf="own"), pattern) for source, pattern in self._inside]
        return [Rule(ALLOWED, "allowed", expression, _finder(one), allows=recognizer) for expression, one in made]

    def without(self, text: str, findings: Sequence[Finding]) -> list[Finding]:
        """The findings in a text without those that are allowed."""
        left = [one for one in findings if not self.holds(text[one.start : one.end])]
        if not left:
            return left
        spans = united(span[:2] for rule in self._rules for span in rule.find(text, 0, len(text)))
        rest = ((one, outside(text, one.start, one.end, spans)) for one in left)
        return [one._replace(start=span[0], end=span[1]) for one, span in rest if span]

    @cached_property
    def _rules(self) -> list[Rule]:
        return self.rules()


def _is_pattern(one: str) -> bool:
    return len(one) > 2 and one[0] == one[-1] == "/"


def _finder(pattern: Linear) -> Callable[[str, int, int], list[tuple[int, int, float]]]:
    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        return [(low, high, 0.0) for low, high in pattern.spans(text, start, end) if _apart(text, low, high)]

    return find


def _apart(text: str, low: int, high: int) -> bool:
    """Whether neither end of [low, high) is in the middle of a word."""
    before = low > 0 and _SIGN.match(text, low) and _SIGN.match(text, low - 1)
    return not before and not (high < len(text) and _SIGN.match(text, high - 1) and _SIGN.match(text, high))


def denied(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A deny list as patterns for the index, each with a pattern of its beginnings."""
    part: list[tuple[str, str]] = []
    size = 0
    for word in filter(None, words):
        escaped = re.escape(word)
        edges = [r"\b" if regex.match(r"\w", char) else r"\B" for char in (word[0], word[-1])]
        begun = escaped
        if len(word) > _HELD:
            begun = f"{re.escape(word[:_HELD])}.{{0,{len(word) - _HELD}}}"
        length = len(rewrite.prefixes(begun, regex.IGNORECASE)) + 10 * len(word)
        if part and size + length > _ROOM:
            yield "|".join(source for source, _ in part), "|".join(begun for _, begun in part)
            part, size = [], 0
        part.append((f"{edges[0]}{escaped}{edges[1]}", begun))
        size += length
    if part:
        yield "|".join(source for source, _ in part), "|".join(begun for _, begun in part)


def narrowed(source: str, flags: int) -> str:
    """The pattern of a whole value, rewritten to find the value in a text (see the module). Raises ValueError."""
    try:
        tree = parser.parse(source, flags & (re.IGNORECASE | re.DOTALL | re.MULTILINE | re.VERBOSE))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a pattern: {error}") from None
    return _all(tree)


def _all(nodes: Any) -> str:
    return "".join(_one(*node) for node in nodes)


def _one(kind: Any, value: Any) -> str:
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        low, high, inner = value
        lazy = "?" if kind is op.MIN_REPEAT else ""
        return f"(?:{_all(inner)}){{{low},{'' if high is op.MAXREPEAT else high}}}{lazy}"
    if kind is op.BRANCH:
        return f"(?:{'|'.join(map(_all, value[1]))})"
    if kind is op.SUBPATTERN:
        if value[1] or value[2]:
            raise ValueError("it holds flags for a part of it")
        return f"(?:{_all(value[3])})"
    if kind is op.AT:
        return r"\b" if value is op.AT_BOUNDARY else ""
    if kind is op.LITERAL:
        return re.escape(chr(value))
    if kind is op.NOT_LITERAL:
        return _negated([(op.LITERAL, value)])
    if kind is op.ANY:
        return _negated([])
    if kind is op.IN:
        return _negated(value[1:]) if value[0][0] is op.NEGATE else f"[{''.join(_item(*item) for item in value)}]"
    raise ValueError(f"it holds {kind}")


def _negated(items: Any) -> str:
    return f"[^{re.escape(_PARTS)}\\s{''.join(_named(*item) for item in items)}]"


_SHORT: Final = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_NOT_WORD: r"\W",
    op.CATEGORY_NOT_SPACE: r"\S",
}
# Negated classes and wildcards: without the separators of values and, for digits, without letters beyond ASCII.
_NARROW: Final = {
    op.CATEGORY_NOT_DIGIT: f"A-Za-z_{re.escape(_KEPT)}",
    op.CATEGORY_NOT_WORD: re.escape(_KEPT),
    op.CATEGORY_NOT_SPACE: rf"\w{re.escape(_KEPT)}",
}


def _named(kind: Any, value: Any) -> str:
    if kind is op.LITERAL:
        return re.escape(chr(value))
    if kind is op.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    if kind is op.CATEGORY:
        return _SHORT[value]
    raise ValueError(f"it holds {kind}")


def _item(kind: Any, value: Any) -> str:
    if kind is op.CATEGORY and value in _NARROW:
        return _NARROW[value]
    if kind is not op.RANGE:
        return _named(kind, value)
    parts: list[list[int]] = []
    for code in range(value[0], min(value[1], 127) + 1):
        if chr(code) not in _PARTS + _SPACES:
            if parts and parts[-1][1] == code - 1:
                parts[-1][1] = code
            else:
                parts.append([code, code])
    if value[1] > 127:
        parts.append([max(128, value[0]), value[1]])
    return "".join(_named(op.RANGE, part) for part in parts)
