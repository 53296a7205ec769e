"""The streaming window: judges running text, and holds back only text that may become part of a match.

For each piece the index reports from where a match may be in progress (see `rewrite.prefixes`). The text before that
cannot change any more, so it is judged and leaves. Of plain prose, one word is held. The guarantees, for every way to
cut a text into pieces:

- the segments, joined, are the text; a finding is within one segment; no character leaves before it is judged;
- at most `limit` characters are held back;
- while no match or beginning of a match is longer than `limit`, the findings are those of `StreamScanner.scan`;
- beyond that: a match that is complete when the limit is reached (a very long key) is reported up to there, and the
  text that continues it without a break is reported with it, in pieces, so that its end does not leak. A beginning
  that matches nothing yet leaves unchanged, oldest characters first.

Only context words before a match count (`context.REACH` characters of the text that has left are kept for them), so
later text does not change a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import regex

from gateway.detect.core.hidden import KEPT, TRIM, Hidden
from gateway.detect.core.index import Expression
from gateway.detect.core.rules import ANY_RUN, WEAK, Family, GoesOn, Match, Rule, RuleSet, finder
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.texts import Finding


class Segment(NamedTuple):
    """A judged stretch of the stream that may leave. `findings`: offsets within it, sorted, not overlapping."""

    text: str
    findings: list[Finding]


class StreamScanner:
    """All rules for answers, with one index. Immutable, shared between threads; built once.

    `extra`: name -> further pattern (syntax of `re`, no flags); their findings have score 1. `weak`: the same for
    patterns whose findings yield to any other finding. Raises ValueError for a pattern that is not possible in streams.
    """

    def __init__(
        self,
        pii: PiiScanner | None,
        secrets: SecretScanner | None,
        extra: Mapping[str, str],
        cache_dir: Path | None = None,
        *,
        weak: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        rules: list[Rule | Family] = [pattern_rule(name, pattern) for name, pattern in extra.items()]
        rules += [pattern_rule(name, pattern, weak=True) for name, pattern in weak.items()]
        rules += [*(pii.rules if pii else ()), *(secrets.rules if secrets else ())]
        cache_dir = cache_dir or (pii.cache_dir if pii else None)
        self.rules = RuleSet(
            rules,
            pii.score if pii else 0.0,
            cache_dir,
            streams=True,
            undo=bool(pii or secrets),
            scores=pii.scores if pii else {},
        )

    def scan(self, text: str) -> list[Finding]:
        """All findings in a whole text, sorted by place, none overlapping."""
        return self.rules.scan(text)

    def window(self, limit: int = 256, lead: str = "") -> Window:
        """The judge of one running text. `limit`: maximum number of characters that it holds back.

        `lead`: words before the text that are only context.
        """
        return Window(self.rules, limit, lead)


class Window:
    """Judges one running text. Not for use by several threads at once."""

    __slots__ = ("_buffer", "_limit", "_open", "_plain", "_rules", "_start")

    def __init__(self, rules: RuleSet, limit: int, lead: str = "") -> None:
        self._rules = rules
        self._limit = limit
        self._buffer = lead  # text that has left, as far as context needs it, and from _start on the held text
        self._start = len(lead)
        self._open: _Open | None = None
        self._plain: str | None = None  # text that has left with its disguises undone, if that is not the same

    @property
    def pending(self) -> str:
        """The text that is not judged yet."""
        return self._buffer[self._start :]

    def feed(self, text: str) -> Segment:
        """Take a piece; returns what is judged so far."""
        if not text:
            return Segment("", [])
        self._buffer += text
        if self._open is not None:
            return self._go_on(self._open)
        return self._advance(final=False)

    def close(self) -> Segment:
        """Judge and return the rest."""
        return self._advance(final=True)

    def fork(self) -> Window:
        """A copy with the same text so far."""
        return copy(self)

    def _advance(self, *, final: bool) -> Segment:
        buffer, start, rules = self._buffer, self._start, self._rules
        hits, cut = rules.tail(buffer, start)
        if final:
            cut = len(buffer)
        matches = rules.matches(buffer, hits) if hits else []
        hidden = Hidden.look(rules, buffer, start, self._plain, final) if rules.undo else None
        if hidden is None:
            if matches:
                cut = _before_straddling(matches, cut)
        else:
            cut = _before_straddling([*matches, *hidden.spans], min(cut, hidden.cut))
        findings = self._settle(matches, hidden, cut) if matches or hidden is not None else []
        if len(buffer) - cut > self._limit:
            cut, findings = self._overflow(matches, hidden)
        if hidden is not None:
            self._plain = hidden.left(buffer, cut)
        return self._leave(cut, findings)

    def _settle(self, matches: list[Match], hidden: Hidden | None, cut: int) -> list[Finding]:
        """The findings of the matches that end before `cut`."""
        whole = [match for match in matches if match.end <= cut]
        findings = self._rules.settle(self._buffer, whole) if whole else []
        return hidden.united(findings, cut) if hidden is not None else findings

    def _overflow(self, matches: list[Match], hidden: Hidden | None) -> tuple[int, list[Finding]]:
        """Where to cut when the limit is reached, and the findings before it: see the guarantees above."""
        buffer, must = self._buffer, len(self._buffer) - self._limit
        kept: list[Finding] = []
        ways: dict[tuple[int, int, str], GoesOn | None] = {}
        for match in matches:
            ways.setdefault((match.start, match.end, match.rule.entity), match.rule.goes_on)
        for finding in self._settle(matches, hidden, len(buffer)):
            if finding.start >= must:
                break
            going = _Open(finding.entity, ways.get(finding[:3]) or ANY_RUN, finding.score)
            end = going.extent(buffer, finding.start, finding.end)
            if max(end, finding.end) > must:
                kept = [*kept, finding._replace(end=end)]
                if end == len(buffer):
                    self._open = going
                return end, kept
            kept.append(finding)
        return must, kept

    def _go_on(self, going: _Open) -> Segment:
        """Continue a match that was too long to hold."""
        buffer, start = self._buffer, self._start
        self._plain = None
        end = going.extent(buffer, max(0, start - KEPT), start)
        first = self._leave(end, [Finding(start, end, going.entity, going.score)] if end > start else [])
        if end == len(buffer):
            return first
        self._open = None
        rest = self._advance(final=False)
        shift = len(first.text)
        moved = [one._replace(start=one.start + shift, end=one.end + shift) for one in rest.findings]
        return Segment(first.text + rest.text, first.findings + moved)

    def _leave(self, cut: int, findings: list[Finding]) -> Segment:
        start = self._start
        text = self._buffer[start:cut]
        if start and findings:
            findings = [finding._replace(start=finding.start - start, end=finding.end - start) for finding in findings]
        self._start = cut
        if cut > TRIM:
            self._buffer = self._buffer[cut - KEPT :]
            self._start = KEPT
        return Segment(text, findings)


class _Open(NamedTuple):
    """A finding that reached the limit and continues."""

    entity: str
    goes_on: GoesOn
    score: float

    def extent(self, text: str, since: int, end: int) -> int:
        """The offset up to which the finding continues after `end`; its end was not seen before `since`."""
        run = self.goes_on.run.match(text, end)
        reach = run.end() if run else end
        last = self.goes_on.until.search(text, since, reach) if self.goes_on.until else None
        return max(end, last.end()) if last else reach


def _before_straddling(spans: Sequence[tuple[Any, ...]], cut: int) -> int:
    """The last place up to `cut` that is within no span."""
    for span in sorted(spans, key=lambda span: -span[1]):
        if span[0] < cut < span[1]:
            cut = span[0]
    return cut


def pattern_rule(name: str, pattern: str, *, weak: bool = False) -> Rule:
    """The rule of a bare pattern: each match is a finding."""
    score = WEAK if weak else 1.0
    return Rule(name, name, Expression(pattern), finder(regex.compile(pattern), lambda _: score), weak=weak)
