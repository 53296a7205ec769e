"""Rewrites a pattern for Hyperscan over projections: one pattern for matches, and one for beginnings of matches.

`superset` drops what Hyperscan does not support (lookarounds, back-references, Unicode classes), so it matches wherever
the pattern does. `prefixes` matches every non-empty beginning of such a match, including the whole match: if no
beginning reaches the end of a text, no match is in progress there. A lookahead counts as part of the match, because its
result depends on the characters after the match.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from re import _constants as op  # type: ignore[attr-defined]  # the parser of the standard library has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

from gateway.detect.core.expressions import kept
from gateway.detect.core.projection import OTHER, WORD, byte_of

Node = tuple[Any, Any]
Nodes = Sequence[Node]

_DIGITS: Final = frozenset(b"0123456789")
_WORD: Final = _DIGITS | frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_SPACE: Final = frozenset(b"\t\n\v\f\r\x1c\x1d\x1e\x1f ") | {OTHER}
_ALL: Final = frozenset(range(128))
_VAGUE: Final = _DIGITS | {WORD, OTHER}  # bytes that also stand for characters beyond ASCII
_CATEGORIES: Final = {
    op.CATEGORY_DIGIT: _DIGITS,
    op.CATEGORY_NOT_DIGIT: _ALL - _DIGITS,
    op.CATEGORY_WORD: _WORD,
    op.CATEGORY_NOT_WORD: _ALL - _WORD,
    op.CATEGORY_SPACE: _SPACE,
    op.CATEGORY_NOT_SPACE: _ALL - _SPACE | {OTHER},
}
_REPEATS: Final = (op.MAX_REPEAT, op.MIN_REPEAT, getattr(op, "POSSESSIVE_REPEAT", op.MAX_REPEAT))
_ANYTHING: Final = "[\\x00-\\x7f]"


@kept(__file__)
def superset(source: str, flags: int = 0) -> str:
    """A Hyperscan pattern that matches every projection of a match of `source`. Raises ValueError."""
    return _Writer(source, flags).superset()


@kept(__file__)
def alternatives(source: str, flags: int = 0) -> list[str]:
    """The same in several patterns, of which one matches wherever the pattern does. Raises ValueError."""
    return _Writer(source, flags).alternatives()


@kept(__file__)
def prefixes(source: str, flags: int = 0, *, backwards: bool = False) -> str:
    """A Hyperscan pattern for every non-empty beginning of a projection of a match of `source`. Raises ValueError.

    `backwards`: the pattern for a projection that is read from its end.
    """
    return _Writer(source, flags).prefixes(backwards=backwards)


@kept(__file__)
def shortest(source: str, flags: int = 0) -> int:
    """The length in characters of the shortest match of `source`. Raises ValueError."""
    return _Writer(source, flags).shortest()


class _Writer:
    def __init__(self, source: str, flags: int) -> None:
        self._backwards = False
        kept = flags & (re.IGNORECASE | re.DOTALL | re.MULTILINE)
        try:
            self._tree = parser.parse(source, kept)
        except re.error as error:
            raise ValueError(f"not a pattern: {error}") from error
        self._fold = bool(self._tree.state.flags & re.IGNORECASE)
        self._groups: dict[int, Nodes] = {}

    def shortest(self) -> int:
        return int(self._tree.getwidth()[0])

    def superset(self) -> str:
        return self._all(self._tree)

    def alternatives(self) -> list[str]:
        choices = [at for at, (kind, _) in enumerate(self._tree) if kind is op.BRANCH]
        if len(choices) != 1:
            return [self._all(self._tree)]
        nodes = list(self._tree)
        before, branches, after = nodes[: choices[0]], nodes[choices[0]][1][1], nodes[choices[0] + 1 :]
        whole = self._all(before), self._all(after)  # back-references need the groups
        return ["".join((whole[0], self._all(branch), whole[1])) for branch in branches]

    def prefixes(self, *, backwards: bool) -> str:
        self._all(self._tree)  # back-references need the groups, in the order of the pattern
        self._backwards = backwards
        return self._begin(self._tree)

    # The whole of a match

    def _all(self, nodes: Nodes) -> str:
        return "".join(map(self._one, reversed(nodes) if self._backwards else nodes))

    def _one(self, node: Node) -> str:
        kind, value = node
        if kind in _REPEATS:
            low, high, inner = value
            return f"(?:{self._all(inner)}){_times(low, high)}"
        if kind is op.BRANCH:
            return "(?:" + "|".join(self._all(branch) for branch in value[1]) + ")"
        if kind is op.SUBPATTERN:
            if value[1] or value[2]:
                raise ValueError("flags inside a pattern are not supported: give them for the whole of it")
            self._groups[value[0]] = value[3]
            return f"(?:{self._all(value[3])})"
        if kind is op.ATOMIC_GROUP:
            return f"(?:{self._all(value)})"
        if kind is op.GROUPREF:
            return f"(?:{self._all(self._groups[value])})"
        if kind in (op.ASSERT, op.ASSERT_NOT):
            return ""
        if kind is op.AT:
            return "\\b" if value is op.AT_BOUNDARY else ""
        return self._atom(node)

    # The beginnings of a match

    def _begin(self, nodes: Nodes) -> str:
        """Alternatives in a group; empty if there are no beginnings."""
        ways: list[str] = []
        before = ""
        for node in nodes:
            way = self._begin_one(node)
            if way:
                ways.append(self._two(before, way))
            before = self._two(before, self._one(node))
        return _either(ways)

    def _two(self, first: str, second: str) -> str:
        return second + first if self._backwards else first + second

    def _begin_one(self, node: Node) -> str:
        kind, value = node
        if kind in _REPEATS:
            _, high, inner = value
            way = self._begin(inner)
            if not way or high == 1:
                return way
            more = f"(?:{self._all(inner)}){_times(0, high if high is op.MAXREPEAT else high - 1)}"
            return self._two(more, way)
        if kind is op.BRANCH:
            return _either([self._begin(branch) for branch in value[1]])
        if kind is op.SUBPATTERN:
            return self._begin(value[3])
        if kind is op.ATOMIC_GROUP:
            return self._begin(value)
        if kind is op.GROUPREF:
            return self._begin(self._groups[value])
        if kind in (op.ASSERT, op.ASSERT_NOT):
            direction, inner = value
            return self._begin(inner) if direction > 0 else ""
        if kind is op.AT:
            return ""
        return self._atom(node)

    # One character

    def _atom(self, node: Node) -> str:
        kind, value = node
        if kind is op.LITERAL:
            return _bytes(self._literal(value))
        if kind is op.NOT_LITERAL:
            return _bytes(_ALL - self._literal(value) | _VAGUE)
        if kind is op.ANY:
            return _ANYTHING
        if kind is op.IN:
            return _bytes(self._set(value))
        raise ValueError(f"{kind} is not supported in a pattern that is matched in streams")

    def _literal(self, code: int) -> frozenset[int]:
        char = chr(code)
        cases = {char, char.lower(), char.upper()} if self._fold else {char}
        return frozenset(byte_of(case) for case in cases if len(case) == 1)

    def _set(self, items: Nodes) -> frozenset[int]:
        if items[0][0] is op.NEGATE:
            return _ALL - self._union(items[1:]) | _VAGUE
        return self._union(items)

    def _union(self, items: Nodes) -> frozenset[int]:
        empty: frozenset[int] = frozenset()
        return reduce(frozenset.union, (self._item(item) for item in items), empty)

    def _item(self, item: Node) -> frozenset[int]:
        kind, value = item
        if kind is op.LITERAL:
            return self._literal(value)
        if kind is op.RANGE:
            low, high = value
            ascii_part = [self._literal(code) for code in range(low, min(high, 127) + 1)]
            beyond = [_VAGUE] if high > 127 else []
            return frozenset().union(*ascii_part, *beyond)
        if kind is op.CATEGORY:
            found: frozenset[int] = _CATEGORIES[value]
            return found
        raise ValueError(f"{kind} is not supported in a pattern that is matched in streams")


def _either(ways: list[str]) -> str:
    ways = [way for way in ways if way]
    return "(?:" + "|".join(ways) + ")" if ways else ""


def _bytes(members: frozenset[int]) -> str:
    """A character class, written in ranges: Hyperscan takes patterns of at most 16,000 characters."""
    if members == _ALL:
        return _ANYTHING
    ranges: list[list[int]] = []
    for byte in sorted(members):
        if ranges and byte == ranges[-1][1] + 1:
            ranges[-1][1] = byte
        else:
            ranges.append([byte, byte])
    return "[" + "".join(_sign(low) + (f"-{_sign(high)}" if high > low else "") for low, high in ranges) + "]"


def _sign(byte: int) -> str:
    return chr(byte) if byte in _WORD else f"\\x{byte:02x}"


def _times(low: int, high: Any) -> str:
    if high is op.MAXREPEAT:
        return {0: "*", 1: "+"}.get(low, f"{{{low},}}")
    if (low, high) == (0, 1):
        return "?"
    return f"{{{low},{high}}}" if low != high else f"{{{low}}}"
