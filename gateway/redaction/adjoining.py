"""Words that become look-alikes of placeholders when an adjacent finding is replaced.

`%3ELITERAL_2` is not a bare look-alike, because a letter precedes the word; if a finding that ends there is replaced by
`<LITERAL_1>`, the word becomes one. Such words are escaped like all look-alikes, so that they are restored unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import regex

from gateway.detect.core.rules import WEAK
from gateway.detect.personal.placeholders import LIKE
from gateway.texts import Finding, Slot

_WORD: Final = r"[A-Z][A-Z0-9_\\]{0,48}_[0-9]{1,6}"
_AFTER: Final = regex.compile(rf"{_WORD}(?![A-Za-z0-9_])")
_BEFORE: Final = regex.compile(rf"(?<![A-Za-z0-9_$])(?<!\$\{{){_WORD}\Z")
_REACH: Final = 60  # maximum characters of such a word

Found = Sequence[tuple[Slot, Sequence[Finding]]]


def adjoining(found: Found) -> Found:
    """The findings in each text, with the adjacent words that become look-alikes when a finding is replaced."""
    return [(slot, _with(slot.text, findings)) for slot, findings in found]


def _with(text: str, findings: Sequence[Finding]) -> Sequence[Finding]:
    words = list(_words(text, findings))
    return sorted([*findings, *words]) if words else findings


def _words(text: str, findings: Sequence[Finding]) -> Iterator[Finding]:
    edges = [(0, 0), *((one.start, one.end) for one in findings), (len(text), len(text))]
    for (_, low), (high, _) in pairwise(edges):
        if low >= high:
            continue
        at = low
        if low and (word := _AFTER.match(text, low, high)):
            yield Finding(*word.span(), LIKE, WEAK)
            at = word.end()
        if at < high < len(text) and (word := _BEFORE.search(text, max(at, high - _REACH), high)) is not None:
            yield Finding(*word.span(), LIKE, WEAK)
