"""Users' patterns, matched in linear time by Hyperscan alone, with the meaning that `regex` gives them.

For Hyperscan, only ASCII characters are part of words (`\\b`), so both the pattern and the text are rewritten: a
character beyond ASCII becomes a few bytes that encode which of the pattern's characters it may be, between marks that
show `\\b` whether it is a word character. Patterns that Hyperscan does not support are refused. Of the matches that
begin at the same place, the longest counts, where `regex` may take a shorter match.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from re import _constants as op  # type: ignore[attr-defined]  # the parser of the standard library has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

import regex

from gateway.budget import spend
from gateway.detect.core import rewrite
from gateway.detect.core.index import Database, Hit, hyperscan_flags
from gateway.detect.core.projection import FOLDS, projected

WORK: Final = 2048  # characters read per character of the text; a pattern that needs more is stopped
_WORD, _OTHER = b"_", b"\x01"  # the marks
_MARKED: Final = regex.compile(r"(?P<word>_|[^\W\x00-\x7f])|(?P<other>\x01|[^\x00-\x7f])")
_PLAIN: Final = regex.compile(r"[\x00\x02-^`-\x7f]*")
_ASCII: Final = sorted({*map(chr, range(128))} - {"_", "\x01"})
_NUMBER: Final = re.compile("\0([0-9]+)\0")  # stands for a member until all members are known
_BITS: Final = 7  # of each byte between marks, the eighth is set
_REMEMBERED: Final = 2_000  # characters beyond ASCII that each pattern remembers
_CATEGORIES: Final = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}
_BETWEEN: Final = {
    op.CATEGORY_DIGIT: (b"_",),
    op.CATEGORY_WORD: (b"_",),
    op.CATEGORY_SPACE: (b"\x01",),
    op.CATEGORY_NOT_WORD: (b"\x01",),
}
_LACKS: Final = {
    op.ASSERT: "lookahead or lookbehind",
    op.ASSERT_NOT: "lookahead or lookbehind",
    op.GROUPREF: "a back-reference",
    op.GROUPREF_EXISTS: "a conditional group",
    op.ATOMIC_GROUP: "an atomic group",
    op.POSSESSIVE_REPEAT: "a possessive repeat",
}
_LINE, _TEXT = "(?m:^)", r"\A"  # the beginning of a line, and of a text
_AT: Final = {
    op.AT_BOUNDARY: r"\b",
    op.AT_NON_BOUNDARY: r"\B",
    op.AT_BEGINNING_STRING: _TEXT,
    op.AT_END_STRING: r"\z",
    op.AT_END: "(?m:$)",
}


class ExplodedError(ValueError):
    """A pattern had to read a text too often, and was stopped without a result."""


class _Spans(Database):
    FLAGS = hyperscan_flags("SOM_LEFTMOST")


class _Ends(Database):
    FLAGS = 0


class Linear:
    """A pattern in the syntax that `re` and `regex` share, with their flags. Raises ValueError if unsupported."""

    def __init__(self, source: str, flags: int = 0) -> None:
        self._units: _Units | None = _Units()
        written = _Writer(source, flags, self._units)
        try:
            self._compile(written.source, written.any)
        except ValueError:  # too large: one byte per character is smaller, but confuses letters beyond ASCII
            if written.edges:
                raise
            self._units = None
            self._compile(rewrite.superset(source, flags), r"[\x00-\x7f]")

    def _compile(self, source: str, anything: str) -> None:
        self._spans = _Spans([source], [0], None)
        # Where a match may end that begins after the first character; Hyperscan has no line beginnings in the middle.
        unanchored = source.replace(_LINE, "").replace(_TEXT, "")
        self._later = _Ends([rf"\A{anything}{anything}*(?:{unanchored})"], [0], None)

    def spans(self, text: str, start: int, end: int) -> list[tuple[int, int]]:
        """The non-empty, non-overlapping matches in [start, end), each as (start, end). Raises ExplodedError."""
        found: list[tuple[int, int]] = []
        last, reach, read = start, start, 0

        def straddled() -> bool:
            """Whether a match begins at or after `last` and ends at or before `reach`."""
            # Hyperscan reports only the first start for each end: a start that overlaps a match may hide another one.
            nonlocal read
            if not reach > last > 0:
                return False
            read += reach + 2 - last
            spend((reach + 2 - last) >> 6)
            if read > WORK * (end + 2 - start):
                raise ExplodedError("a pattern of pii.recognizers or pii.allow reads this text over and over")
            return any(last < at <= reach for _, _, at in self._run(self._later, text, last - 1, reach + 1))

        joining = False  # overlapping matches count as one, because it is not known which of them `regex` would report
        for _, low, high in sorted(self._run(self._spans, text, max(0, start - 1), end + 1), key=_first):
            if high > end or high <= low:
                continue
            if low > last and straddled():
                found.append((last, reach))
                last, joining = reach, True
            if low >= last:
                found.append((low, high))
                last, joining = high, False
            elif joining and high > last:
                found[-1] = (found[-1][0], high)
                last = high
            reach = max(reach, high)
        if straddled():
            found.append((last, reach))
        return found

    def _run(self, database: Database, text: str, low: int, high: int) -> list[Hit]:
        """The matches that a database reports in a stretch."""
        part = text[low:high]
        data, places = self._units.encoded(part) if self._units is not None else (projected(part), ())
        hits: list[Hit] = []
        database.scan(data, hits)
        if places:
            return [(0, places[since] + low, places[until] + low) for _, since, until in hits]
        return [(0, since + low, until + low) for _, since, until in hits] if low else hits

    def holds(self, value: str) -> bool:
        """Whether the pattern matches a whole value."""
        return (0, 0, len(value)) in self._run(self._spans, value, 0, len(value))


def _first(hit: Hit) -> tuple[int, int]:
    return hit[1], -hit[2]


class _Units(dict[str, bytes]):
    """Character -> its bytes, computed when first needed. `members` are the pattern's characters."""

    def __init__(self) -> None:
        self.members: list[Callable[[str], bool]] = []
        self.sides: list[set[bytes]] = []
        self.fold = False

    def __missing__(self, char: str) -> bytes:
        match = _MARKED.match(char)
        if match is None or (self.fold and char in FOLDS):
            unit = FOLDS.get(char, char).encode()
        else:
            bits = [member(char) for member in self.members]
            parts = (bits[at : at + _BITS] for at in range(0, len(bits), _BITS))
            said = bytes(0x80 | sum(bit << place for place, bit in enumerate(part)) for part in parts)
            mark = _WORD if match["word"] else _OTHER
            unit = mark + said + mark
        if len(self) < _REMEMBERED:
            self[char] = unit
        return unit

    def encoded(self, text: str) -> tuple[bytes, Sequence[int]]:
        """The bytes of a text, and the index of the character of each byte; empty if both are the same."""
        if _PLAIN.fullmatch(text):
            return text.encode(), ()
        units = [self[char] for char in text]
        places: list[int] = []
        for number, unit in enumerate(units):
            places += [number] * len(unit)
        return b"".join(units), [*places, len(units)]

    def pattern(self, number: int) -> str:
        """A pattern for all characters of a member, once all members are known."""
        plain = "".join(f"\\x{ord(char):02x}" for char in _ASCII if self.members[number](char))
        size = -(-len(self.members) // _BITS)
        said = ["[\\x80-\\xff]"] * size
        bit = 1 << number % _BITS
        said[number // _BITS] = "[" + "".join(f"\\x{byte:02x}" for byte in range(0x80, 0x100) if byte & bit) + "]"
        beyond = "".join(said)
        ways = [f"[{plain}]"] if plain else []
        ways += [f"_{beyond}_"] if _WORD in self.sides[number] else []
        ways += [f"\\x01{beyond}\\x01"] if _OTHER in self.sides[number] else []
        if not ways:
            raise ValueError("it holds a class that nothing is in")
        return ways[0] if ways == [f"[{plain}]"] else f"(?:{'|'.join(ways)})"


class _Writer:
    """Writes the pattern for Hyperscan."""

    def __init__(self, source: str, flags: int, units: _Units) -> None:
        try:
            tree = parser.parse(source, flags & (re.IGNORECASE | re.DOTALL | re.MULTILINE | re.VERBOSE))
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a pattern: {error}") from None
        if not tree.getwidth()[0]:
            raise ValueError("it matches nothing at all, which is everywhere")
        self._flags = tree.state.flags
        self._fold = bool(self._flags & re.IGNORECASE)
        self._units = units
        units.fold = self._fold
        self.edges = False  # whether the pattern has assertions other than the end of a word
        self._known: dict[tuple[bool, str], int] = {}
        written, anything = self._all(tree), self._set([(op.NEGATE, None)])
        patterns = [units.pattern(number) for number in range(len(units.members))]
        self.source, self.any = (_NUMBER.sub(lambda at: patterns[int(at[1])], one) for one in (written, anything))

    def _all(self, nodes: Any) -> str:
        return "".join(map(self._one, nodes))

    def _one(self, node: Any) -> str:
        kind, value = node
        if kind in _LACKS:
            raise ValueError(f"it holds {_LACKS[kind]}, which takes more than linear time")
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            low, high, inner = value
            times = f"{{{low},{'' if high is op.MAXREPEAT else high}}}"
            return f"(?:{self._all(inner)}){times}{'?' if kind is op.MIN_REPEAT else ''}"
        if kind is op.BRANCH:
            return f"(?:{'|'.join(self._all(branch) for branch in value[1])})"
        if kind is op.SUBPATTERN:
            if value[1] or value[2]:
                raise ValueError("it holds flags for a part of it: give them for the whole, as in (?i)...")
            return f"(?:{self._all(value[3])})"
        if kind is op.AT:
            self.edges = self.edges or value is not op.AT_BOUNDARY
            if value is op.AT_BEGINNING:
                return _LINE if self._flags & re.MULTILINE else _TEXT
            return _AT[value]
        return self._atom(kind, value)

    def _atom(self, kind: Any, value: Any) -> str:
        if kind is op.LITERAL:
            return self._set([(op.LITERAL, value)])
        if kind is op.NOT_LITERAL:
            return self._set([(op.NEGATE, None), (op.LITERAL, value)])
        if kind is op.ANY:
            newline = [] if self._flags & re.DOTALL else [(op.LITERAL, ord("\n"))]
            return self._set([(op.NEGATE, None), *newline])
        if kind is op.IN:
            return self._set(value)
        raise ValueError(f"it holds {kind}, which Hyperscan does not have")

    def _set(self, items: Any) -> str:
        negated = items[0][0] is op.NEGATE
        given = [self._item(*item) for item in (items[1:] if negated else items)]
        fold = self._fold

        def member(char: str) -> bool:
            variants = _variants(char) if fold else (char,)
            return any(item(variant) for item in given for variant in variants) != negated

        known = self._known.setdefault((fold, repr(items)), len(self._units.members))
        if known == len(self._units.members):
            self._units.members.append(member)
            sides = {_WORD, _OTHER} if negated else {side for item in items for side in _sides(*item)}
            self._units.sides.append(sides)
        return f"\0{known}\0"

    def _item(self, kind: Any, value: Any) -> Callable[[str], Any]:
        if kind is op.CATEGORY:
            return regex.compile(_CATEGORIES[value]).match
        if kind is op.RANGE:
            low, high = value
            return lambda char: low <= ord(char) <= high
        wanted = _variants(chr(value)) if self._fold else {chr(value)}
        return wanted.__contains__


def _sides(kind: Any, value: Any) -> tuple[bytes, ...]:
    """The marks around the characters that a member of a class may match."""
    if kind is op.CATEGORY:
        return _BETWEEN.get(value, (_WORD, _OTHER))
    low, high = value if kind is op.RANGE else (value, value)
    if high > 127:
        return (_WORD, _OTHER)
    return tuple(mark for mark in (_WORD, _OTHER) if low <= mark[0] <= high)


def _variants(char: str) -> set[str]:
    """A character in all its cases."""
    cases = {char, FOLDS.get(char, char), char.lower(), char.upper(), char.lower().upper(), char.upper().lower()}
    return {case for case in cases if len(case) == 1}
