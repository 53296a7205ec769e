"""What every match of a pattern has: a digit, a long word. Texts without both are not searched for the pattern.

Both are read from the pattern (see `rewrite`): it may match more than the analysis knows, never less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from re import _constants as op  # type: ignore[attr-defined]  # the parser of the standard library has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final, NamedTuple

from gateway.detect.core.expressions import kept

DIGITS: Final = frozenset(b"0123456789")
SIGNS: Final = frozenset(range(0x21, 0x7F)) - frozenset(b"\"'`,;()<>[]{}")
"""The characters of a word, as far as this module counts them: keys, tokens and encoded values consist of them."""
LONG: Final = 16
"""Characters of a long word."""
_ALL: Final = frozenset(range(128))
_MOST: Final = 1_000  # characters that a repeat may add to a run
_REPEATS: Final = (op.MAX_REPEAT, op.MIN_REPEAT, getattr(op, "POSSESSIVE_REPEAT", op.MAX_REPEAT))


class Needs(NamedTuple):
    """What every match has: at least one digit; a run of `LONG` characters of `SIGNS`."""

    digit: bool
    long: bool


NOTHING: Final = Needs(digit=False, long=False)


class Facts(NamedTuple):
    """What one text has: a digit, a long word, a control character."""

    digit: bool
    long: bool
    control: bool


def needs(pattern: str) -> Needs:
    """What every match of a pattern over projections has."""
    digits, longest = _least(pattern)
    return Needs(digits > 0, longest >= LONG)


def digits(pattern: str) -> int:
    """The least number of digits in a match of a pattern over projections."""
    return _least(pattern)[0]


@kept(__file__)
def _least(pattern: str) -> tuple[int, int]:
    """The least number of digits, and of characters of the longest run."""
    part = _sequence(parser.parse(pattern))
    return part.digits, part.best


_CONTROLS: Final = frozenset(range(0x20)) - frozenset(b"\t\n\r") | {0x7F}
_RUNS: Final = bytes(ord("x") if byte in SIGNS else ord("!" if byte in _CONTROLS else " ") for byte in range(256))
_NO_DIGITS: Final = bytes(byte for byte in range(256) if byte not in DIGITS)
_RUN: Final = b"x" * LONG


def of(data: bytes) -> Facts:
    """The facts of a projected text."""
    runs = data.translate(_RUNS)
    return Facts(bool(data.translate(None, _NO_DIGITS)), _RUN in runs, b"!" in runs)


def is_plain(text: str, has: Facts) -> bool:
    """Whether a text holds nothing in disguise: neither an escape nor anything that is invisible or encoded."""
    return text.isascii() and not (has.long or has.control) and not ("%" in text or "&" in text or "\\" in text)


class _Part(NamedTuple):
    """Of any match of a part of a pattern, the least number of: digits; characters of `SIGNS` at the beginning, at the
    end, and in the longest run. `whole`: it consists of such characters alone."""

    whole: bool
    digits: int
    head: int
    tail: int
    best: int


_EMPTY: Final = _Part(whole=True, digits=0, head=0, tail=0, best=0)


def _sequence(nodes: Iterable[Any]) -> _Part:
    return reduce(_then, map(_node, nodes), _EMPTY)


def _then(one: _Part, other: _Part) -> _Part:
    return _Part(
        one.whole and other.whole,
        one.digits + other.digits,
        one.head + other.head if one.whole else one.head,
        one.tail + other.tail if other.whole else other.tail,
        max(one.best, other.best, one.tail + other.head),
    )


def _either(parts: Sequence[_Part]) -> _Part:
    return _Part(
        all(part.whole for part in parts),
        *(min(part[at] for part in parts) for at in (1, 2, 3, 4)),
    )


def _node(node: Any) -> _Part:
    kind, value = node
    if kind in _REPEATS:
        low, _, inner = value
        part = _sequence(inner)
        # More than `low` times: characters of `SIGNS` alone join a run, and others leave its ends as they are.
        more = _either([part, _EMPTY]) if part.whole or not low else _EMPTY
        return reduce(_then, [part] * min(low, _MOST), more)
    if kind is op.BRANCH:
        return _either([_sequence(branch) for branch in value[1]])
    if kind is op.SUBPATTERN:
        return _sequence(value[3])
    if kind is op.LITERAL:
        return _char(frozenset([value]))
    if kind is op.IN:
        return _char(_members(value))
    if kind is op.AT:
        return _EMPTY
    return _Part(whole=False, digits=0, head=0, tail=0, best=0)


def _char(members: frozenset[int]) -> _Part:
    size = int(members <= SIGNS)
    return _Part(bool(size), int(members <= DIGITS), size, size, size)


def _members(items: Iterable[Any]) -> frozenset[int]:
    found: set[int] = set()
    negated = False
    for kind, value in items:
        if kind is op.NEGATE:
            negated = True
        elif kind is op.LITERAL:
            found.add(value)
        elif kind is op.RANGE:
            found.update(range(value[0], value[1] + 1))
        else:
            return _ALL
    return _ALL - found if negated else frozenset(found)
