"""Finds where patterns may match, and where a match may be in progress: Hyperscan, or `regex` if there is no wheel.

An index is immutable and shared between threads. Hyperscan compiles in a second or two; the result is kept on disk
under the digest of patterns, flags, version and platform. A file that is corrupt, of another machine or writable by
others is not read but written again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import regex

from gateway.budget import exceeded, look, spend
from gateway.detect.core import cache_files, facts, rewrite
from gateway.detect.core.projection import projected

try:
    import hyperscan
except ImportError:  # no wheel for this platform
    hyperscan = None  # type: ignore[assignment]

_log = logging.getLogger("meshgate.patterns")
_FEW: Final = 16  # patterns that are compiled in less than a second or two
_WORD: Final = bytes(byte for byte in range(128) if chr(byte).isalnum() or byte == ord("_"))
_WORDS_LENGTH: Final = 40  # characters: a stream mostly holds the word that is being written, and words recur
_REMEMBERED: Final = 8192
_HITS: Final = 128  # matches between two checks of the budget; each takes about a microsecond
_VALUE: Final = re.compile(r"[\d@]|[^ -~]")  # what may be part of a value is not remembered
Hit = tuple[int, int, int]  # index of the expression, and the stretch that contains a match, if there is one


class Expression(NamedTuple):
    """A pattern in the syntax that `re` and `regex` share, with their flags.

    `whole` and `begun` are simpler patterns that match at least as much, for a source that is too large for Hyperscan:
    they find matches, and beginnings of matches. Beginnings of one `shelf` share a database: patterns with similar
    beginnings make each other cheaper to scan and to compile, all others more expensive. `needs` is an ASCII character
    that every match contains: the pattern is skipped in texts without it. `back` is how many characters before a match
    of `whole` a match of the source may begin; a pattern that begins with any word would be expensive.
    """

    source: str
    flags: int = 0
    whole: str = ""
    begun: str = ""
    shelf: str = ""
    needs: str = ""
    back: int = 0


class Index(Protocol):
    """Where expressions may match in a text. Offsets are characters of the text."""

    def hits(self, text: str) -> list[Hit]:
        """Stretches that contain all matches; they may overlap."""

    def look(self, text: str) -> tuple[list[Hit], bool]:
        """The same, and whether the text holds nothing in disguise (see `facts.is_plain`)."""

    def tail(self, text: str, start: int) -> tuple[list[Hit], int]:
        """The same from `start` on, and the offset from which a match may be in progress at the end of the text."""


def build(
    expressions: Sequence[Expression], cache_dir: Path | None, *, streams: bool = False, held: Sequence[str] = ()
) -> Index:
    """The fastest index for this machine. `streams`: with `Index.tail`.

    `held` are further patterns whose beginnings count as a match in progress; their matches are not reported.
    Raises ValueError for a pattern that the index does not support.
    """
    if hyperscan is None:
        return RegexIndex(expressions, held)
    return HyperscanIndex(expressions, cache_dir, streams=streams, held=held)


def linear() -> bool:
    """Whether any pattern is matched in linear time on this machine."""
    return hyperscan is not None


def hyperscan_flags(*names: str) -> int:
    """Flags of Hyperscan, combined; 0 without Hyperscan."""
    return 0 if hyperscan is None else sum(getattr(hyperscan, f"HS_FLAG_{name}") for name in names)


def _beginnings(expressions: Sequence[Expression], held: Sequence[str], *, backwards: bool) -> list[str]:
    every = [*expressions, *map(Expression, held)]
    return [rewrite.prefixes(one.begun or one.source, one.flags, backwards=backwards) for one in every]


class _Last(threading.local):
    """The text that this thread looked at last, for the next index: each text of a request is given to two."""

    def __init__(self) -> None:
        self._text = ""
        self._known = (b"", facts.of(b""))

    def look(self, text: str) -> tuple[bytes, facts.Facts]:
        """The projection of a text, and its facts."""
        if text is not self._text:
            data = projected(text)
            self._text, self._known = text, (data, facts.of(data))
        return self._known


_last: Final = _Last()


class HyperscanIndex:
    """Databases over projections: of matches, and of their beginnings, which are read from the end of the data.

    A text is first searched for all patterns without places, which takes half the time, and without those that need
    what the text does not have (see `facts`). Each pattern that matches is then asked for its places.
    """

    def __init__(
        self,
        expressions: Sequence[Expression],
        cache_dir: Path | None,
        *,
        streams: bool = False,
        held: Sequence[str] = (),
    ) -> None:
        self._twins = _twins(expressions)  # equal expressions are searched for once
        second = {number for twins in self._twins.values() for number in twins}
        distinct = [(number, one) for number, one in enumerate(expressions) if number not in second]
        whole = [rewrite.superset(one.whole or one.source, one.flags) for one in expressions]
        begun = _beginnings(expressions, held, backwards=True) if streams else []
        self._back = [one.back for one in expressions]
        together: dict[str, list[int]] = {"": list(range(len(expressions), len(begun)))} if streams else {}
        for number, one in distinct if streams else ():
            together.setdefault(one.shelf, []).append(number)
        # Databases of beginnings come first, because they take longest to compile.
        numbers = [shelf for shelf in together.values() if shelf]
        wanted: list[_Wanted] = [(Begun, [rf"\A{begun[n]}" for n in shelf], shelf) for shelf in numbers]
        groups = _gates(distinct, whole)
        wanted += [(Marks, [one for _, one in group], [n for n, _ in group]) for group in groups.values()]
        wanted += [(Database, [whole[number]], [number]) for number, _ in distinct]
        databases = _databases(wanted, cache_dir)
        self._begun = [one for one in databases if isinstance(one, Begun)]
        marks = [one for one in databases if isinstance(one, Marks)]
        self._gates = [(*key, one) for key, one in zip(groups, marks, strict=True)]
        places = [one for one in databases if isinstance(one, Database)]
        self._places = {number: one for (number, _), one in zip(distinct, places, strict=True)}
        self._first: dict[str, int] = {}  # text held without a match -> characters in progress at its end
        self._later: dict[str, int] = {}  # the same if the first character has left

    def hits(self, text: str) -> list[Hit]:
        return self._all(projected(text))

    def look(self, text: str) -> tuple[list[Hit], bool]:
        data, has = _last.look(text)
        return self._searched(data, has), facts.is_plain(text, has)

    def _all(self, data: bytes) -> list[Hit]:
        return self._searched(data, facts.of(data))

    def _searched(self, data: bytes, has: facts.Facts) -> list[Hit]:
        spend(3 + (len(data) >> 7))
        marked: set[int] = set()
        any_text = has.digit or has.long
        for char, of_any, gate in self._gates:
            if of_any is any_text and char in data:
                gate.mark(data, marked)
        if not marked:
            return []
        taken = _Taken()
        for number in sorted(marked):
            spend(1 + (len(data) >> 8))
            self._places[number].join(data, taken)
        hits = [(i, max(0, low - self._back[i]), high) for i, low, high in taken.found]
        for number, twins in self._twins.items():
            same = [hit for hit in hits if hit[0] == number]
            hits += [(twin, low, high) for _, low, high in same for twin in twins]
        return hits

    def tail(self, text: str, start: int) -> tuple[list[Hit], int]:
        assert self._begun, "built without streams"
        known = None
        if len(text) - start <= _WORDS_LENGTH:
            known, held = (self._later, text[start - 1 :]) if start else (self._first, text)
            progress = known.get(held)
            if progress is not None:
                return [], len(text) - progress
        data, shift = _rest(text, start)
        hits = [(i, max(low + shift, start), high + shift) for i, low, high in self._all(data)]
        cut = max(start, len(text) - self._in_progress(data))
        if known is not None and not hits and not _VALUE.search(held):
            if len(known) >= _REMEMBERED:
                known.clear()
            known[held] = len(text) - cut
        return hits, cut

    def _in_progress(self, data: bytes) -> int:
        """How many bytes at the end of the data may be the longest beginning of a match."""
        back = data[::-1]
        return max([database.longest(back) for database in self._begun])


_Numbered = list[tuple[int, str]]


def _gates(expressions: Iterable[tuple[int, Expression]], whole: Sequence[str]) -> dict[tuple[bytes, bool], _Numbered]:
    """Patterns that match wherever expressions do, with the numbers of these, by `needs` and by whether they are those
    for any text, or those for a text without digits and long words. One database for all is faster than several: their
    tables compete for the cache of the processor. `whole`: the patterns of all expressions by number."""
    groups: dict[tuple[bytes, bool], _Numbered] = {}
    for number, one in expressions:
        char = one.needs.encode()
        groups.setdefault((char, True), []).append((number, whole[number]))
        try:
            exact = facts.needs(rewrite.superset(one.source, one.flags) if one.whole else whole[number])
        except ValueError:  # the source has notation that only `regex` knows
            exact = facts.NOTHING
        if exact != facts.NOTHING:
            continue
        alternatives = rewrite.alternatives(one.whole or one.source, one.flags)
        if ways := [way for way in alternatives if facts.needs(way) == facts.NOTHING]:
            groups.setdefault((char, False), []).append((number, "|".join(ways)))
    return groups


def _twins(expressions: Sequence[Expression]) -> dict[int, list[int]]:
    """Number of an expression -> the numbers of later expressions that equal it."""
    first: dict[Expression, int] = {}
    twins: dict[int, list[int]] = {}
    for number, one in enumerate(expressions):
        if first.setdefault(one, number) != number:
            twins.setdefault(first[one], []).append(number)
    return twins


def _rest(text: str, start: int) -> tuple[bytes, int]:
    """The projection of `text` from `start` on, and what to add to its offsets.

    If `start` is in the middle of a word, the projection begins with a word character.
    """
    data = projected(text[start - 1 :] if start else text)
    if start and data[:1] in _WORD:
        return b"_" + data[1:], start - 1  # a word character that is the beginning of almost no pattern
    return (data[1:], start) if start else (data, 0)


class RegexIndex:
    """The slower index: every pattern is searched for in the whole text."""

    def __init__(self, expressions: Sequence[Expression], held: Sequence[str] = ()) -> None:
        self._whole = [regex.compile(one.source, one.flags) for one in expressions]
        self._begun = [
            regex.compile(rf"{pattern}\Z", regex.ASCII) for pattern in _beginnings(expressions, held, backwards=False)
        ]

    def hits(self, text: str) -> list[Hit]:
        return self._from(text, 0)

    def look(self, text: str) -> tuple[list[Hit], bool]:
        return self.hits(text), facts.is_plain(text, facts.of(projected(text)))

    def tail(self, text: str, start: int) -> tuple[list[Hit], int]:
        data, shift = _rest(text, start)
        rest = data.decode("ascii")
        begun = [match.start() + shift for pattern in self._begun if (match := pattern.search(rest))]
        return self._from(text, start), max(start, min(begun)) if begun else len(text)

    def _from(self, text: str, start: int) -> list[Hit]:
        return [(i, *match.span()) for i, pattern in enumerate(self._whole) for match in pattern.finditer(text, start)]


class _Patterns:
    """One Hyperscan database in block mode, for any thread. `numbers`: the numbers of its patterns in the index."""

    FLAGS: ClassVar[int] = 0
    ALIKE: ClassVar[bool] = False  # all patterns have the same number, and a match of several is reported once

    def __init__(self, patterns: Sequence[str], numbers: Sequence[int], cache_dir: Path | None) -> None:
        self._numbers = list(numbers)
        self._database = kept(patterns, cache_dir, self._compile, self.FLAGS) if cache_dir else self._compile(patterns)
        self._local = threading.local()

    def _compile(self, patterns: Sequence[str]) -> Any:
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        try:
            database.compile(
                expressions=[pattern.encode() for pattern in patterns],
                ids=[0] * len(patterns) if self.ALIKE else list(range(len(patterns))),
                elements=len(patterns),
                flags=[self.FLAGS] * len(patterns),
            )
        except hyperscan.error as error:
            raise ValueError(f"Hyperscan does not take one of the patterns: {error}") from error
        return database

    def _run(self, data: bytes, take: Callable[..., bool | None], found: Any) -> None:
        try:
            scratch = self._local.scratch
        except AttributeError:  # scratch space serves one thread at a time; most databases are hardly ever asked
            scratch = self._local.scratch = hyperscan.Scratch(self._database)
        self._database.scan(data, take, 0, found, scratch)


class Database(_Patterns):
    """A database that reports where each match starts."""

    FLAGS = hyperscan_flags("SOM_LEFTMOST")

    def scan(self, data: bytes, found: list[Hit]) -> None:
        """Append the matches to `found`."""
        self._run(data, _take, (self._numbers, found))

    def join(self, data: bytes, taken: _Taken) -> None:
        """Add the stretches that contain matches of its one pattern. Raises what `budget.spend` raises."""
        taken.number, taken.last = self._numbers[0], None
        try:
            self._run(data, _join, taken)
        except hyperscan.error:
            look()  # the matches exceeded the budget, which stopped the search
            raise


class Begun(_Patterns):
    """A database of beginnings of matches, for data that is read from its end.

    All patterns count as one, so that each length is reported once, not once for each pattern.
    """

    ALIKE = True

    def longest(self, back: bytes) -> int:
        """The length of the longest beginning that the reversed data begins with; 0 if there is none."""
        ends: list[int] = []
        self._run(back, _take_end, ends)
        return max(ends, default=0)


class Marks(_Patterns):
    """A database that reports which patterns match, but not where, which takes half the time."""

    FLAGS = hyperscan_flags("SINGLEMATCH")

    def marked(self, data: bytes) -> set[int]:
        """The numbers of the patterns that match."""
        found: set[int] = set()
        self.mark(data, found)
        return found

    def mark(self, data: bytes, found: set[int]) -> None:
        """Add these numbers to `found`."""
        self._run(data, _mark, (self._numbers, found))


def _mark(number: int, _: int, __: int, ___: int, into: tuple[list[int], set[int]]) -> None:
    into[1].add(into[0][number])


class _Taken:
    """Stretches with matches; overlapping matches of one expression are joined."""

    __slots__ = ("found", "last", "number", "until")

    def __init__(self) -> None:
        self.found: list[list[int]] = []
        self.number = 0  # of the expression that is searched for
        self.last: list[int] | None = None  # its last stretch
        self.until = _HITS


def _join(_: int, start: int, end: int, __: int, taken: _Taken) -> bool | None:
    """Add a match; True ends the search. One function, because dense text has a match for every character."""
    last = taken.last
    if last is None or start >= last[2]:
        taken.last = last = [taken.number, start, end]
        taken.found.append(last)
    else:
        last[2] = end
        if start < last[1]:
            last[1] = start
    taken.until -= 1
    if taken.until:
        return None
    taken.until = _HITS
    return exceeded(_HITS)


def _take(number: int, start: int, end: int, _: int, into: tuple[list[int], list[Hit]]) -> None:
    into[1].append((into[0][number], start, end))


def _take_end(_: int, __: int, end: int, ___: int, ends: list[int]) -> None:
    ends.append(end)


def kept(
    patterns: Sequence[str],
    cache_dir: Path,
    compile_: Callable[[Sequence[str]], Any],
    flags: int,
) -> Any:
    """The database from the cache, or compiled and put there. A cache that cannot be used only costs time."""
    path = _place(patterns, cache_dir, flags)
    with contextlib.suppress(OSError, ValueError, hyperscan.error):
        return _load(path)
    database = compile_(patterns)
    with contextlib.suppress(OSError):
        cache_files.write(path, hyperscan.dumpb(database))
    return database


def _place(patterns: Sequence[str], cache_dir: Path, flags: int) -> Path:
    """The cache file for the database of these patterns."""
    identity = (patterns, flags, *_here())
    return cache_dir / f"patterns-{hashlib.sha256(repr(identity).encode()).hexdigest()[:32]}.hsdb"


@cache
def _here() -> tuple[str, str, str]:
    """What a database is compiled for. Read once: the version of a package takes a millisecond."""
    return metadata.version("hyperscan"), platform.machine(), platform.processor()


_Wanted = tuple[type[_Patterns], Sequence[str], Sequence[int]]
"""A database: its kind, its patterns, and their numbers."""


def _databases(wanted: Sequence[_Wanted], cache_dir: Path | None) -> list[_Patterns]:
    """The databases, in this order.

    Databases that are not in the cache are compiled on all cores, because Hyperscan releases the GIL while it compiles.
    Where that takes long, the log says so before and after. Raises ValueError for a pattern that Hyperscan refuses.
    """
    missing = sum(
        len(patterns)
        for kind, patterns, _ in wanted
        if cache_dir is None or not _place(patterns, cache_dir, kind.FLAGS).exists()
    )
    if missing < _FEW:
        return [kind(patterns, numbers, cache_dir) for kind, patterns, numbers in wanted]
    if cache_dir is not None:
        words = "compiling %d patterns. This happens once and takes up to a minute, on a busy machine longer. %s"
        _log.warning(words, missing, f"The result is kept in {cache_dir}")
    start = time.monotonic()
    with ThreadPoolExecutor(min(len(wanted), os.cpu_count() or 1), "patterns") as pool:
        databases = list(pool.map(lambda one: one[0](one[1], one[2], cache_dir), wanted))
    if cache_dir is not None:
        _log.warning("compiled %d patterns in %.0f seconds", missing, time.monotonic() - start)
    return databases


def _load(path: Path) -> Any:
    """Raises OSError, ValueError or hyperscan.error for a file of another user or machine, or a damaged file."""
    return hyperscan.loadb(cache_files.read(path), hyperscan.HS_MODE_BLOCK)
