"""What a window holds, with its disguises undone (see `disguise`): a second look, only for texts that need it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.detect.core.context import REACH
from gateway.detect.core.rules import Match, RuleSet
from gateway.detect.unmask import disguise
from gateway.texts import Finding

KEPT: Final = REACH + 1  # one more than context reaches, to see whether its first word is whole
TRIM: Final = 4 * KEPT

Span = tuple[int, int]


def _has_long_word(text: str) -> bool:
    """Whether a word is as long as the shortest of what may be encoded."""
    return max(map(len, text.split()), default=0) >= disguise.SHORTEST


class Hidden:
    """What the second look sees. Offsets are those of the window's text, but for `_before` and `_matches`.

    `spans` may not be cut: matches, disguises and encoded values; `cut` is from where something may be in progress.
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
        told = [(blob, rules.within(blob)) for blob in blobs]
        self._blobs = [finding for _, findings in told for finding in findings]
        self.spans: list[Span] = [(low, high) for low, high, _ in plain.tokens]
        self.spans += [*(place for place, _ in self._matches)]
        self.spans += [(blob.start, blob.end) for blob, findings in told if findings]

    @classmethod
    def look(cls, rules: RuleSet, text: str, start: int, before: str | None, final: bool) -> Hidden | None:
        """None where what is held from `start` on needs no second look; `before` is what has left, if not the same."""
        if (
            before is None
            and text.isascii()
            and not ("%" in text or "&" in text or "\\" in text)
            and (len(held := text[start:]) < disguise.SHORTEST or not _has_long_word(held))
            and (held.isprintable() or not disguise.CONTROL.search(held))
        ):
            return None  # what nearly every piece is: no word in it is as long as what is encoded
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

    def findings(self, cut: int) -> list[Finding]:
        """The findings that end before `cut`."""
        matches = [match for (_, end), match in self._matches if end <= cut]
        shift = len(self._before)
        found = [one for one in self._blobs if one.end <= cut]
        for start, end, entity, score in self._rules.settle(self._whole, matches) if matches else ():
            found.append(Finding(*self._plain.place(start - shift, end - shift), entity, score))
        return found

    def left(self, text: str, cut: int) -> str | None:
        """What has left by then, undone, as far as context needs it; None if it is as it was written."""
        left = (self._before + self._plain.until(cut))[-TRIM:]
        return None if left[-KEPT:] == text[:cut][-KEPT:] else left
