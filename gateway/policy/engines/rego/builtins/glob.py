"""`glob.match`, in time that grows with the text alone.

A pattern is a row of positions. A bit says that the text so far may have come to a position; each character moves the
bits that it fits by one, and leaves them where a `*` stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from gateway.policy.engines.rego.builtins import builtin
from gateway.policy.engines.rego.builtins.operands import element, string, wrong
from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import Value

_SPECIAL = frozenset("*?[]{}\\")
MOST = 4096
ALTERNATIVES = 64
"""Patterns that the braces of one pattern may come to."""
Test = Callable[[str], bool]


@builtin("glob.match")
def glob_match(pattern: Value, delimiters: Value, text: Value) -> bool:
    if type(pattern) is str and type(text) is str and delimiters is None:
        return matcher(pattern, "")(text)
    whole = string("glob.match", 1, pattern)
    if delimiters is None:
        between = ""
    elif type(delimiters) is list:
        for one in delimiters:
            if type(one) is not str or len(one) != 1:
                raise element("glob.match", 2, delimiters, one, "string")
        between = "".join(delimiters) or "."
    else:
        raise wrong("glob.match", 2, delimiters, "array", "null")
    return matcher(whole, between)(string("glob.match", 3, text))


@builtin("glob.quote_meta")
def quote_meta(pattern: Value) -> str:
    return "".join(f"\\{sign}" if sign in _SPECIAL else sign for sign in string("glob.quote_meta", 1, pattern))


@lru_cache(MOST)
def matcher(pattern: str, delimiters: str) -> Test:
    """What tells whether a text matches. The commonest patterns are compared as strings."""
    special = _SPECIAL & set(pattern)
    if not special:
        return pattern.__eq__
    if special == {"*"} and not delimiters:
        start, *rest = pattern.split("*")
        if set(pattern) == {"*"}:
            return lambda _: True
        if len(rest) == 1 and not rest[0]:
            return lambda text: text.startswith(start)
        if len(rest) == 1:
            end, least = rest[0], len(start) + len(rest[0])
            return lambda text: len(text) >= least and text.startswith(start) and text.endswith(end)
    tests = [_Row(one, delimiters) for one in _alternatives(pattern)]
    return tests[0].matches if len(tests) == 1 else lambda text: any(test.matches(text) for test in tests)


def _alternatives(pattern: str) -> list[str]:
    """The patterns without braces that a pattern stands for. Raises BuiltinError."""
    done: list[str] = []
    left = [pattern]
    while left:
        if len(done) + len(left) > ALTERNATIVES:
            raise BuiltinError("glob.match: the pattern has too many alternatives")
        one = left.pop()
        opened = _find(one, "{", 0)
        if opened < 0:
            done.append(one)
            continue
        pieces, begun, depth, at = [], opened + 1, 1, opened + 1
        while depth:
            if at >= len(one):
                raise BuiltinError("glob.match: unexpected end of input")
            if one[at] == "\\":
                at += 1
            elif one[at] == "{":
                depth += 1
            elif one[at] == "}":
                depth -= 1
            if depth == 0 or (depth == 1 and one[at : at + 1] == ","):
                pieces.append(one[begun:at])
                begun = at + 1
            at += 1
        left += [one[:opened] + piece + one[at:] for piece in reversed(pieces)]
    return done


def _find(pattern: str, sign: str, start: int) -> int:
    at = start
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            at = max(at, pattern.find("]", at + 1))
        elif pattern[at] == sign:
            return at
        at += 1
    return -1


class _Row:
    """The positions of a pattern without braces."""

    def __init__(self, pattern: str, delimiters: str) -> None:
        self.tests = list(_tests(pattern, delimiters))
        self.end = 1 << sum(test is not None for test, _ in self.tests)
        self.delimiters = delimiters
        self.moves: dict[str, tuple[int, int]] = {}

    def move(self, sign: str) -> tuple[int, int]:
        """The positions that a character moves on, and those where it stays."""
        moved = stays = 0
        at = 1
        for test, double in self.tests:
            if test is None:
                stays |= at if double or sign not in self.delimiters else 0
            else:
                moved |= at if test(sign) else 0
                at <<= 1
        if len(self.moves) < MOST:
            self.moves[sign] = (moved, stays)
        return moved, stays

    def matches(self, text: str) -> bool:
        bits = 1
        known = self.moves
        for sign in text:
            moved, stays = known.get(sign) or self.move(sign)
            bits = (bits & moved) << 1 | (bits & stays)
            if not bits:
                return False
        return bool(bits & self.end)


def _tests(pattern: str, delimiters: str) -> Iterator[tuple[Test | None, bool]]:
    """For each character of a text a test; None stands for `*`, with True for `**`."""
    at = 0
    while at < len(pattern):
        sign = pattern[at]
        at += 1
        if sign == "*":
            double = pattern[at : at + 1] == "*"
            at += double
            yield None, double
        elif sign == "?":
            yield (lambda one: one not in delimiters), False
        elif sign == "[":
            end = pattern.find("]", at + 1)
            if end < 0:
                raise BuiltinError("glob.match: unexpected end of input")
            yield _class(pattern[at:end]), False
            at = end + 1
        else:
            if sign == "\\":
                sign = pattern[at : at + 1]
                at += 1
            yield sign.__eq__, False


def _class(body: str) -> Test:
    negated = body.startswith("!")
    body = body[negated:]
    if len(body) == 3 and body[1] == "-":
        low, high = body[0], body[2]
        return lambda one: (low <= one <= high) != negated
    return lambda one: (one in body) != negated
