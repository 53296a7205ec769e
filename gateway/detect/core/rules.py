"""A set of rules over one text: run each rule where the index reports a match, add context, resolve overlaps.

A `Rule` names an entity and finds its matches in a stretch of text. A rejected match (such as one with a wrong
checksum) is reported with score 0, because the pattern has still consumed it: a stream must not be cut there.
"""

from __future__ import annotations

import threading
from bisect import bisect, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from sys import getsizeof
from types import MappingProxyType
from typing import Final, NamedTuple

import regex

from gateway.budget import spend
from gateway.detect.core import index
from gateway.detect.core.context import ContextWords, boosted
from gateway.detect.core.spare import Span, outside, united
from gateway.detect.unmask import disguise, escapes
from gateway.texts import Finding

Find = Callable[[str, int, int], list[tuple[int, int, float]]]
"""(text, start, end) -> matches that lie in [start, end) as (start, end, score)."""

WEAK: Final = 1e-9
"""The score of a finding that yields to any other finding."""
_DEPTH = 2  # how many times a value may be encoded
_MATCH = 3  # microseconds of one match
_REMEMBERED = 1 << 18  # bytes of the last texts with their hits
_HIT = 256  # bytes of one hit with its finding
_STRETCH = 10  # microseconds in which a rule checks a stretch, plus one for each character


class GoesOn(NamedTuple):
    """How a match continues that is longer than a stream can hold: its characters, and what ends it."""

    run: regex.Pattern[str]
    until: regex.Pattern[str] | None = None


ANY_RUN = GoesOn(regex.compile(r"[A-Za-z0-9_\-+/=.~%@]*"))


@dataclass(frozen=True, slots=True)
class Rule:
    """How one entity is found. Rules of one `recognizer` share context words; a match within another one is dropped."""

    entity: str
    recognizer: str
    expression: index.Expression
    find: Find
    context: ContextWords | None = None
    goes_on: GoesOn | None = None
    yields: bool = False  # expensive: skipped where another rule has a match that would win anyway
    weak: bool = False  # yields to any finding of another rule, and is reported with any score
    least: int = 0  # characters of a stretch that may hold a finding
    idle: Callable[[str, int, int], bool] | None = None  # whether a stretch holds no finding, at less cost than `find`
    allows: str | None = None  # its matches are allowed values of this recognizer, "" of all (see `allowed`)

    def matches(self, text: str, start: int, end: int) -> list[Match]:
        """The matches in the stretch [start, end), including rejected ones."""
        return [Match(*found, self) for found in self.find(text, start, end)]


@dataclass(frozen=True, slots=True)
class Family:
    """Rules that share one expression: each stretch is given to all of them."""

    expression: index.Expression
    members: tuple[Rule, ...]
    find: Callable[[str, int, int], list[Match]]
    least: int = 0  # characters of a stretch that may hold a finding

    def matches(self, text: str, start: int, end: int) -> list[Match]:
        """The matches of all members in the stretch [start, end), including rejected ones."""
        return self.find(text, start, end)


class Match(NamedTuple):
    """A match of a rule, before context and overlaps."""

    start: int
    end: int
    score: float
    rule: Rule


class _Scanned:
    """A text, its hits, whether it is plain, and the findings at those of its hits that were judged last."""

    __slots__ = ("found", "hits", "judged", "plain", "text")

    def __init__(self, text: str, hits: list[index.Hit], plain: bool) -> None:
        self.text = text
        self.hits = hits
        self.plain = plain
        self.judged: list[index.Hit] = []
        self.found: tuple[Finding, ...] = ()


class _Last(threading.local):
    """The texts that this thread scanned last, for the parts of a set: the result of a tool is given to two.

    By identity of the text: equal texts of others take as long as new ones.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Scanned] = {}
        self._size = 0

    def of(self, text: str, into: index.Index) -> _Scanned:
        """What is known of a text, which is looked for in the index otherwise."""
        known = self._known.get(id(text))
        if known is None or known.text is not text:
            known = _Scanned(text, *into.look(text))
            size = getsizeof(text) + _HIT * len(known.hits)
            if self._size + size > _REMEMBERED:
                self._known, self._size = {}, 0
            if size <= _REMEMBERED:
                self._known[id(text)] = known
                self._size += size
        return known


class RuleSet:
    """Rules behind one index. Immutable, shared between threads.

    A finding needs at least `score`, or the score of its type in `scores`. `undo`: disguised values are found, too.
    """

    MARGIN = 16  # characters after a stretch that assertions at the end of a pattern may read

    def __init__(
        self,
        rules: Sequence[Rule | Family],
        score: float,
        cache_dir: Path | None = None,
        *,
        streams: bool = False,
        undo: bool = True,
        scores: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.rules = tuple(rules)
        self.undo = undo
        self._score = score
        self._scores = scores
        held = (escapes.ESCAPE, disguise.BLOB) if undo else ()
        self._index = index.build([rule.expression for rule in rules], cache_dir, streams=streams, held=held)
        self._only: frozenset[int] | None = None
        self._last = _Last()
        self._least = [rule.least for rule in self.rules]
        self._idle = {at: rule.idle for at, rule in enumerate(self.rules) if isinstance(rule, Rule) and rule.idle}
        self._allowing = any(isinstance(rule, Rule) and rule.allows is not None for rule in self.rules)

    def part(self, rules: Iterable[Rule | Family]) -> RuleSet | None:
        """Some of the rules alone, with the same index, which takes megabytes; None if one is not in the set."""
        numbers = {id(rule): number for number, rule in enumerate(self.rules)}
        wanted = [numbers.get(id(rule)) for rule in rules]
        if None in wanted:
            return None
        alone = copy(self)
        alone._only = frozenset(number for number in wanted if number is not None)
        return alone

    def scan(self, text: str) -> list[Finding]:
        """All findings, sorted, none overlapping."""
        return self._scan(text, _DEPTH) if self.undo else self.bare(text)

    def bare(self, text: str) -> list[Finding]:
        """The findings in a text as written, without undoing disguises."""
        return self._judged(text, self._index.hits(text))

    def _judged(self, text: str, hits: list[index.Hit], known: _Scanned | None = None) -> list[Finding]:
        """The findings of the rules of this set at the hits. `known`: remembers them."""
        if self._only is not None:
            hits = [hit for hit in hits if hit[0] in self._only]
        if not hits:
            return []
        if known is not None and known.judged == hits:
            return [*known.found]
        found = self.settle(text, self.matches(text, hits, whole=True))
        if known is not None:
            known.judged, known.found = hits, tuple(found)
        return found

    def _scan(self, text: str, depth: int) -> list[Finding]:
        known = self._last.of(text, self._index)
        found = self._judged(text, known.hits, known)
        if known.plain:
            return found
        hidden: list[Finding] = []
        spend(len(text) >> 6)
        kinds = disguise.kinds(text)
        undone = disguise.undo(text, kinds)
        if undone:
            for start, end, entity, score in self.bare(undone.text):
                hidden.append(Finding(*undone.place(start, end), entity, score))
            found = escapes.without_ends(found, hidden, undone.tokens) if found and hidden else found
        if depth:
            for blob in disguise.blobs(text, kinds):
                hidden += self.within(blob, depth)
        return resolve([*found, *hidden]) if hidden else found

    def within(self, blob: disguise.Blob, depth: int = 0) -> list[Finding]:
        """The findings in the decoded text of an encoded stretch, with their places in the encoded text."""
        found: list[Finding] = []
        last = 0
        place = blob.placer()
        for start, end, entity, score in self._scan(blob.text, (depth or _DEPTH) - 1):
            low, high = place(start, end)  # two values may share an encoded character
            if max(low, last) < high:
                found.append(Finding(max(low, last), high, entity, score))
            last = high
        return found

    def tail(self, text: str, start: int) -> tuple[list[index.Hit], int]:
        """See `index.Index.tail`."""
        return self._index.tail(text, start)

    def matches(self, text: str, hits: Iterable[index.Hit], *, whole: bool = False) -> list[Match]:
        """The matches of the rules at the hits, including rejected ones, of which a `whole` text needs none."""
        found: list[Match] = []
        yielding: list[tuple[Rule, int, int]] = []
        least, idle = self._least, self._idle
        for number, start, end in _stretches(hits):
            if whole and (end - start < least[number] or (number in idle and idle[number](text, start, end))):
                continue
            spend(_STRETCH + end - start)
            rule = self.rules[number]
            if isinstance(rule, Rule) and rule.yields:
                yielding.append((rule, start, end))
            else:
                found += rule.matches(text, start, end)
        sure = sorted((match.start, match.end) for match in found if match.score >= 1) if yielding else []
        reach = list(accumulate((high for _, high in sure), max))
        for rule, start, end in yielding:
            spend(_STRETCH + end - start)
            before = bisect(sure, start, key=itemgetter(0))
            if before and reach[before - 1] >= end:
                found.append(Match(start, end, 0.0, rule))
            else:
                found += rule.matches(text, start, end)
        return found

    def settle(self, text: str, matches: Iterable[Match]) -> list[Finding]:
        """Apply context, threshold and overlaps: the best score wins, then the longest match."""
        if self._allowing:
            matches = _spared(text, matches)
        sure = [match for match in matches if match.score > 0]
        if not sure:
            return []
        kept = _without_inner(sure, lambda match: match.rule.recognizer)
        weighed = [match._replace(score=_weigh(text, match)) for match in kept]
        strong = _without_inner(
            (
                match
                for match in weighed
                if match.rule.weak or match.score >= self._scores.get(match.rule.entity, self._score)
            ),
            lambda match: match.rule.entity,
        )
        return resolve(Finding(start, end, rule.entity, score) for start, end, score, rule in strong)


def _spared(text: str, matches: Iterable[Match]) -> list[Match]:
    """The matches without allowed values, and without the matches that mark allowed values."""
    every = list(matches)
    scopes = {match.rule.allows for match in every if match.rule.allows is not None}
    allowed = {of: united(match[:2] for match in every if match.rule.allows == of) for of in scopes}
    kept: list[Match] = []
    for match in every:
        if match.rule.allows is not None:
            continue
        rest: Span | None = match[:2]
        if not match.rule.weak and not match.rule.entity.startswith(("SECRET_", "PLACEHOLDER")):
            for of in ("", match.rule.recognizer):
                if rest is not None and of in allowed:
                    rest = outside(text, *rest, allowed[of])
        if rest is not None:
            kept.append(match if rest == match[:2] else match._replace(start=rest[0], end=rest[1]))
    return kept


def _stretches(hits: Iterable[index.Hit]) -> list[index.Hit]:
    """Overlapping hits of one rule joined, so that a stretch contains whole matches."""
    joined: list[index.Hit] = []
    for number, start, end in sorted(hits):
        if joined and joined[-1][0] == number and start < joined[-1][2]:
            joined[-1] = (number, joined[-1][1], max(end, joined[-1][2]))
        else:
            joined.append((number, start, end))
    return joined


def _weigh(text: str, match: Match) -> float:
    words = match.rule.context
    if words is None or match.score >= 1 or not words.support(text, match.start, match.end):
        return match.score
    return boosted(match.score)


def _without_inner(matches: Iterable[Match], kind: Callable[[Match], str]) -> list[Match]:
    """Drop matches within a match of the same kind that scores as well (`EntityRecognizer.remove_duplicates`)."""
    kept: list[Match] = []
    near: list[Match] = []  # matches of this kind that reach the current place
    of = ""
    for match in sorted(matches, key=lambda match: (kind(match), match.start, -match.end, -match.score)):
        near = [other for other in near if other.end >= match.start] if kind(match) == of else []
        of = kind(match)
        if not any(match.end <= other.end and match.score <= other.score for other in near):
            kept.append(match)
            near.append(match)
    return kept


def resolve(findings: Iterable[Finding]) -> list[Finding]:
    """Findings without overlaps, sorted. Overlapping findings become one that covers all of them.

    Its type is that of the finding with the best score, then of the longest, then of the first. A weak finding is
    dropped if another finding overlaps it.
    """
    ranked = sorted(findings, key=lambda found: (found.start, -found.end))
    united = _united([one for one in ranked if _strong(one)])
    weak = [one for one in ranked if not _strong(one)]
    return sorted([*united, *_apart(weak, united)]) if weak else united


def _strong(one: Finding) -> bool:
    return one.score > WEAK and one.end > one.start


def _united(findings: Iterable[Finding]) -> list[Finding]:
    """Findings sorted by start, with overlapping ones joined."""
    united: list[Finding] = []
    best: Finding | None = None  # the best of the findings that were joined into the last one
    for one in findings:
        if best is None or one.start >= united[-1].end:
            united.append(one)
            best = one
            continue
        best = min(best, one, key=_rank)
        end = max(united[-1].end, one.end)
        united[-1] = Finding(united[-1].start, end, best.entity, best.score)
    return united


def _apart(weak: Iterable[Finding], united: list[Finding]) -> list[Finding]:
    """The weak findings that overlap no other, sorted by start; of weak findings that overlap, the best."""
    kept: list[Finding] = []
    group: list[Finding] = []  # overlapping findings; groups are small, so that all of them take one pass
    reach = 0
    for one in weak:
        if not _free(one, united):
            continue
        if one.start >= reach:
            kept += _best(group)
            group = []
        group.append(one)
        reach = max(reach, one.end)
    return kept + _best(group)


def _best(group: list[Finding]) -> list[Finding]:
    kept: list[Finding] = []
    for one in sorted(group, key=_rank):
        if _free(one, kept):
            insort(kept, one)
    return kept


def _free(one: Finding, among: list[Finding]) -> bool:
    """Whether a finding overlaps none of `among`, which are sorted and do not overlap."""
    at = bisect(among, one)
    return (at == 0 or among[at - 1].end <= one.start) and (at == len(among) or one.end <= among[at].start)


def _rank(found: Finding) -> tuple[float, int, Finding]:
    return -found.score, found.start - found.end, found


def finder(pattern: regex.Pattern[str], judge: Callable[[str], float]) -> Find:
    """Find matches of a pattern; `judge` scores the matched text, with 0 to reject it."""

    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        found = []
        for match in pattern.finditer(text, start, min(len(text), end + RuleSet.MARGIN)):
            spend(_MATCH)
            if match.end() <= end and match.group():
                found.append((*match.span(), judge(match.group())))
        return found

    return find
