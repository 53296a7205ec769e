"""Random texts for a regular expression in Go's or Rust's syntax, which public lists of secrets use."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Sequence
from re import _constants as op  # type: ignore[attr-defined]  # the parser of the standard library has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

_POSIX: Final = {"alnum": "A-Za-z0-9", "alpha": "A-Za-z", "digit": "0-9", "xdigit": "0-9A-Fa-f", "word": r"\w"}
_CATEGORIES: Final = {
    op.CATEGORY_DIGIT: string.digits,
    op.CATEGORY_SPACE: " ",
    op.CATEGORY_WORD: string.ascii_letters + string.digits + "_",
}
_PRINTABLE: Final = [chr(code) for code in range(32, 127)]
_MORE: Final = 12  # repetitions beyond the minimum, if there is no maximum
_FEW: Final = 16  # repetitions outside of the secret from which a part is the text between name and value
_BETWEEN: Final = ("", "_key", "_api_key", "-token", ".secret", " token", " api key", "_auth_token")
_QUOTES: Final = ("", " ", '"', "'", ' "', " '", "`")
_TIES: Final = (" = ", ": ", '="', "_key=", ' key: "', " is ")


class Pattern:
    """A parsed expression. Raises re.error for an expression that Python does not support."""

    def __init__(self, source: str) -> None:
        self._tree = parser.parse(_translated(source))
        self._groups = self._tree.state.groups == 2

    def draw(self, chance: random.Random, *, shortest: bool = False) -> tuple[str, int, int]:
        """A text, and [start, end) of its first group, or of the whole text if there is no group.

        `shortest`: parts outside of the group are repeated as rarely as possible. Otherwise parts that may be repeated
        often, such as those between name and value, become usual text.
        """
        drawing = _Drawing(chance, shortest=shortest, grouped=self._groups)
        drawing.all(self._tree)
        text = "".join(drawing.out)
        start, end = drawing.span or (0, len(text))
        return text, start, end


class _Drawing:
    """One text under construction."""

    def __init__(self, chance: random.Random, *, shortest: bool, grouped: bool) -> None:
        self.out: list[str] = []
        self.span: tuple[int, int] | None = None
        self._chance = chance
        self._shortest = shortest and grouped
        self._grouped = grouped
        self._within = False

    def all(self, tree: Sequence[Any]) -> None:
        for kind, value in tree:
            self._one(kind, value)

    def _one(self, kind: Any, value: Any) -> None:
        making: dict[Any, Callable[[Any], None]] = {
            op.LITERAL: lambda code: self.out.append(chr(code)),
            op.NOT_LITERAL: lambda code: self.out.append(
                self._chance.choice([c for c in _PRINTABLE if ord(c) != code])
            ),
            op.ANY: lambda _: self.out.append(self._chance.choice(_PRINTABLE) if self._within else "."),
            op.IN: self._in,
            op.BRANCH: lambda branches: self.all(self._chance.choice(branches[1])),
            op.SUBPATTERN: self._group,
            op.MAX_REPEAT: self._repeat,
            op.MIN_REPEAT: self._repeat,
        }
        make = making.get(kind)
        if make is not None:  # the other nodes match a place, not text
            make(value)

    def _in(self, members: Sequence[Any]) -> None:
        self.out.append(self._chance.choice(self._members(members)))

    def _members(self, members: Sequence[Any]) -> list[str]:
        """The characters of a character class."""
        negated = members[0][0] is op.NEGATE
        chosen: set[str] = set()
        for kind, value in members:
            if kind is op.LITERAL:
                chosen.add(chr(value))
            elif kind is op.RANGE:
                chosen |= {chr(code) for code in range(value[0], min(value[1], 126) + 1)}
            elif kind is op.CATEGORY:
                chosen |= set(_CATEGORIES.get(value, _PRINTABLE))
        return sorted(set(_PRINTABLE) - chosen) if negated else sorted(chosen)

    def _between(self, fewest: int, most: int, tree: Sequence[Any]) -> bool:
        """Write usual text between name and value, if this repetition is for that."""
        if self._within or not self._grouped or fewest or most < 2:
            return False
        ((kind, value), *others) = tree
        if kind is op.SUBPATTERN and not others:
            return self._between(fewest, most, value[-1])
        anything = kind in (op.ANY, op.BRANCH)
        allowed = set(self._members(value)) if kind is op.IN and not others else set()
        some = _BETWEEN if most >= _FEW else _QUOTES
        fillers = _TIES if anything and most >= _FEW else [one for one in some if set(one) <= allowed]
        if fillers:
            self.out.append("" if self._shortest and not anything else self._chance.choice(fillers))
        return bool(fillers)

    def _group(self, value: Any) -> None:
        number, tree = value[0], value[-1]
        first = number is not None and self.span is None and not self._within
        before, self._within = len("".join(self.out)), self._within or first
        self.all(tree)
        if first:
            self.span = before, len("".join(self.out))
            self._within = False

    def _repeat(self, value: tuple[int, Any, Any]) -> None:
        fewest, most, tree = value
        most = fewest + _MORE if most is op.MAXREPEAT else int(most)
        if self._between(fewest, most, tree):
            return
        times = fewest if self._shortest and not self._within else self._chance.randint(fewest, most)
        for _ in range(times):
            self.all(tree)


def _translated(source: str) -> str:
    """The expression in Python's syntax."""
    source = re.sub(r"\[:(\w+):\]", lambda name: _POSIX.get(name[1], ""), source.strip())
    source = source.replace(r"\z", r"\Z").replace("(?<", "(?P<").replace("(?P<=", "(?<=").replace("(?P<!", "(?<!")
    at = 0
    while (found := re.compile(r"(?<!\\)\(\?([a-z]+)\)").search(source, at)) is not None:
        if not found.start():
            at = found.end()
            continue
        end = _closing(source, found.end())  # flags from here on apply to the end of their group
        source = f"{source[: found.start()]}(?{found[1]}:{source[found.end() : end]}){source[end:]}"
    return source


def _closing(source: str, at: int) -> int:
    depth = 0
    in_class = False
    while at < len(source):
        char = source[at]
        if char == "\\":
            at += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char == "(":
            depth += 1
        elif char == ")":
            if not depth:
                return at
            depth -= 1
        at += 1
    return at
