"""Values that an underscore joins to a word (`tel_212-555-0123`), or that underscores emphasize (`_203.0.113.77_`).

An underscore is a part of identifiers, versions and names of files, where figures are no values. So a value after a
word and an underscore counts only if this word names its kind; before an underscore, its form counts as before a blank.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import regex

from gateway.detect.core.context import REACH
from gateway.detect.core.rules import RuleSet

_BEFORE: Final = regex.compile(r"(?<![^\W_])([^\W_]++)[\s_:=-]*+\Z")
_AFTER: Final = regex.compile(r"_++([^\W_]++)")
_NAME: Final = 32  # characters of a word and of what is between it and a value
_MARKS: Final = 3  # underscores of an emphasis


class Apart(NamedTuple):
    """The text around a value with blanks for underscores. `low`: where it begins in the text."""

    text: str
    low: int


def beside(text: str, start: int, end: int) -> bool:
    """Whether an underscore stands directly beside [start, end)."""
    return text[start - 1 : start] == "_" or text[end : end + 1] == "_"


def emphasized(text: str, start: int) -> bool:
    """Whether the underscores before a place begin an emphasis, and follow no word."""
    return text[start - 1 : start] == "_" and not text[max(0, start - _MARKS - 1) : start].rstrip("_")[-1:].isalnum()


def word_before(text: str, start: int) -> str:
    """The word directly before a place, in small letters; "" if there is none."""
    found = _BEFORE.search(text, max(0, start - _NAME), start)
    return found[1].lower() if found is not None else ""


def word_after(text: str, end: int) -> str:
    """The word after the underscores that follow a place, in small letters; "" if there is none."""
    found = _AFTER.match(text, end, end + _NAME)
    return found[1].lower() if found is not None else ""


def apart(text: str, start: int, end: int) -> Apart:
    """The text around [start, end), where a value reads as if it stood between blanks."""
    low = max(0, start - REACH)
    return Apart(text[low : end + RuleSet.MARGIN].replace("_", " "), low)
