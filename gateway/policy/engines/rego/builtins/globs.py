"""`regex.globs_match`: whether one text can match two patterns of characters, `.`, sets and the signs `*` and `+`.

As github.com/yashtewari/glob-intersection reads them: a set has no negation, a backslash takes a sign's meaning away.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.operands import string
from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import Value

_LAST = 0x10FFFF


class Piece(NamedTuple):
    """Characters that may stand at a place, as ranges, and whether they may be left out and repeated."""

    ranges: tuple[tuple[int, int], ...]
    optional: bool
    repeated: bool

    def meets(self, other: Piece) -> bool:
        return any(low <= last and first <= high for low, high in self.ranges for first, last in other.ranges)


def _pieces(text: str) -> list[Piece]:
    found: list[Piece] = []
    at = 0
    while at < len(text):
        sign = text[at]
        at += 1
        if sign in "*+":
            if not found or found[-1].repeated:
                raise ValueError(f"input:{text}, pos:{at}, flag '{sign}' must be preceded by a non-flag")
            found[-1] = Piece(found[-1].ranges, sign == "*", True)
            continue
        if sign == "]":
            raise ValueError(f"input:{text}, pos:{at}, set-close ']' with no preceding '['")
        if sign == "[":
            ranges, at = _set(text, at)
        elif sign == ".":
            ranges = ((0, _LAST),)
        else:
            if sign == "\\" and at < len(text):
                sign = text[at]
                at += 1
            ranges = ((ord(sign), ord(sign)),)
        found.append(Piece(ranges, False, False))
    return found


def _set(text: str, at: int) -> tuple[tuple[tuple[int, int], ...], int]:
    begun, ranges = at, []
    while at < len(text) and text[at] != "]":
        first, at = _member(text, at)
        last = first
        if text[at : at + 1] == "-" and text[at + 1 : at + 2] not in ("", "]"):
            last, at = _member(text, at + 1)
            if last < first:
                raise ValueError(f"input:{text}, pos:{at}, range out of order")
        ranges.append((first, last))
    if at >= len(text) or not ranges:
        raise ValueError(f"input:{text}, pos:{begun}, set that is empty or does not end")
    return tuple(ranges), at + 1


def _member(text: str, at: int) -> tuple[int, int]:
    if text[at] == "\\" and at + 1 < len(text):
        at += 1
    return ord(text[at]), at + 1


def _meet(a: list[Piece], b: list[Piece]) -> bool:
    """Whether some text matches both: places in both that one text may have come to, found one from another."""
    left, seen = [(0, 0)], {(0, 0)}
    while left:
        i, j = left.pop()
        if i == len(a) and j == len(b):
            return True
        following = []
        if i < len(a) and a[i].optional:
            following.append((i + 1, j))
        if j < len(b) and b[j].optional:
            following.append((i, j + 1))
        if i < len(a) and j < len(b) and a[i].meets(b[j]):
            following.append((i + 1, j + 1))
            if a[i].repeated:
                following.append((i, j + 1))
            if b[j].repeated:
                following.append((i + 1, j))
        for one in following:
            if one not in seen:
                seen.add(one)
                left.append(one)
    return False


@builtin("regex.globs_match", context=True)
def globs_match(context: Context, one: Value, other: Value) -> bool:
    name = "regex.globs_match"
    first, second = string(name, 1, one), string(name, 2, other)
    context.tick(4 * (len(first) + len(second)) + (len(first) + 1) * (len(second) + 1))
    try:
        return _meet(_pieces(first), _pieces(second))
    except ValueError as error:
        raise BuiltinError(f"{name}: {error}: the input provided is invalid") from None
