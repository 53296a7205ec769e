"""What a row of digits may hold, told from its shape alone: `2026-03-04` and `1999-12-31` have the shape `0000-00-00`.

Most rows are dates, counts and decimals, of few shapes. A pattern with any digit for each of its digits (`outlined`)
matches at least as much, and whether it matches a shape is determined once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Final, Generic, TypeVar

from gateway.budget import spend
from gateway.detect.core import expressions

K = TypeVar("K")
V = TypeVar("V")
_SHAPE: Final = bytes(ord("0") if chr(byte) in "0123456789" else byte for byte in range(256))
_MOST: Final = 4096  # shapes that are remembered
_TOKEN: Final = re.compile(r"\\.|\{[0-9,]++\}|\[(?:\\.|[^\[\]\\])*+\]|.", re.DOTALL)
_DIGITS: Final = re.compile(r"\[(?:[0-9](?:-[0-9])?)+\]|[0-9]")
_DIGIT: Final = frozenset("0123456789")
_WITHOUT: Final = re.compile(r"\(\?<?!(?:[^()\\]|\\.)*[0-9]")  # an assertion that something is not a certain digit
_PLACE: Final = r"(?<![0-9]\.)"  # not after a decimal point: the digits of a fraction are no number


def outlined(source: str) -> str | None:
    """The pattern with any digit for each of its digits; None if that cannot be told."""
    if _WITHOUT.search(source) is not None:
        return None
    tokens = _TOKEN.findall(source)
    said = [r"\d" if _DIGITS.fullmatch(token) else token for token in tokens]
    if any(token[0] == "[" and (len(token) == 1 or not _DIGIT.isdisjoint(token)) for token in said):
        return None  # a class of digits and other characters
    return "".join(said)


@cache
def _pattern(outline: str) -> re.Pattern[str]:
    return expressions.plain(f"{_PLACE}(?:{outline})")


class Shapes(Generic[K, V]):
    """What `made` makes of the kinds of numbers that a row may hold, by the shape of the row. For any thread.

    `kinds`: each with the source of its pattern.
    """

    def __init__(self, kinds: Iterable[tuple[K, str]], made: Callable[[Sequence[K]], V]) -> None:
        self._kinds = [(kind, outlined(source)) for kind, source in kinds]
        self._made = made
        self._known: dict[bytes, V] = {}

    def of(self, row: str) -> V | None:
        """That of the kinds whose numbers the row may hold, apart from fractions; None if its shape does not tell."""
        if not row.isascii():
            return None
        shape = row.encode().translate(_SHAPE)
        known = self._known.get(shape)
        if known is None and len(self._known) < _MOST and shape.lower() == shape.upper():  # a value may have letters
            said = shape.decode()
            outlines = {outline for _, outline in self._kinds if outline is not None}
            spend(len(outlines) >> 1)
            fitting = {outline for outline in outlines if _pattern(outline).search(said) is not None}
            known = self._made([kind for kind, outline in self._kinds if outline is None or outline in fitting])
            self._known[shape] = known
        return known
