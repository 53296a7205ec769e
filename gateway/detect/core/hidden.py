"""The text of a window with disguises undone (see `disguise`): scanned a second time, only where necessary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.detect.core.context import REACH
from gateway.detect.core.rules import Match, RuleSet, resolve
from gateway.detect.unmask import disguise, escapes
from gateway.texts import Finding

KEPT: Final = REACH + 1  # one more than the reach of context, to see whether the first word is complete
TRIM: Final = 4 * KEPT

Span = tuple[int, int]


def _has_long_word(text: str) -> bool:
    """Whether a word is at least as long as the shortest encoded value."""
    return max(map(len, text.split()), default=0) >= disguise.SHORTEST


class Hidden:
    """The result of the second scan. Offsets are in the window's text, except in `_before` and `_matches`.

    `spans` are not divided: matches, disguises and encoded values. A match may be in progress from `cut` on.
    """

    def __init__(
        self,
        rules: RuleSet,
        before: str,
        plain: disguise.Plain,
        blobs: Sequence[disguise.Blob],
        *,
        final: bool,
    ) -> None:
        self._rules = rules
        self._plain = plain
        self._before = before
        self._whole = whole = before + plain.text
        hits, cut = rules.tail(whole, len(before))
        self.cut = plain.end if final else plain.cut(cut - len(before))
        self._matches: list[tuple[Span, Match]] = [
            (plain.place(match.start - len(before), match.end - len(before)), match)
            for match in rules.matches(whole, hits)
            if match.start >= len(before)
        ]
        decoded = [(blob, rules.within(blob)) for blob in blobs]
        self._blobs = [finding for _, findings in decoded for finding in findings]
        self.spans: list[Span] = [(low, high) for low, high, _ in plain.tokens]
        self.spans += [*(place for place, _ in self._matches)]
        self.spans += [(blob.start, blob.end) for blob, findings in decoded if findings]

    @classmethod
    def look(cls, rules: RuleSet, text: str, start: int, before: str | None, final: bool) -> Hidden | None:
        """The second scan of the text from `start` on; None if it is not needed.

        `before`: the text that has left with its disguises undone, if that is not the same as written.
        """
        if (
            before is None
            and text.isascii()
            and not ("%" in text or "&" in text or "\\" in text)
            and (len(held := text[start:]) < disguise.SHORTEST or not _has_long_word(held))
            and (held.isprintable() or not disguise.CONTROL.search(held))
        ):
            return None  # nearly every piece: no word is long enough to be an encoded value
        until = len(text) if final else disguise.settled(text, start)
        kinds = disguise.kinds(text, start)
        plain = disguise.undo(text, kinds, start, until)
        blobs = [blob for blob in disguise.blobs(text, kinds, start) if final or blob.end < len(text)]
        edge = disguise.edge(text, start)
        if before is None:
            if plain is None and until == len(text) and not blobs and not edge:
                return None
            before = text[:start]
        if edge:
            before = before[:-1] + disguise.STAND_IN
        if plain is None:
            plain = disguise.Plain(text, start, until, ())
        return cls(rules, before, plain, blobs, final=final)

    def united(self, written: list[Finding], cut: int) -> list[Finding]:
        """The findings in the text as written together with those of this scan that end before `cut`."""
        found = self._findings(cut)
        return resolve([*escapes.without_ends(written, found, self._plain.tokens), *found])

    def _findings(self, cut: int) -> list[Finding]:
        matches = [match for (_, end), match in self._matches if end <= cut]
        shift = len(self._before)
        found = [one for one in self._blobs if one.end <= cut]
        for start, end, entity, score in self._rules.settle(self._whole, matches) if matches else ():
            found.append(Finding(*self._plain.place(start - shift, end - shift), entity, score))
        return found

    def left(self, text: str, cut: int) -> str | None:
        """The text before `cut` with disguises undone, as far as context reaches; None if it is the same as written."""
        left = (self._before + self._plain.until(cut))[-TRIM:]
        return None if left[-KEPT:] == text[:cut][-KEPT:] else left
