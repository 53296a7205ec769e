"""Sentences with an unusual layout: folded, indented, quoted, in a comment, with emphasis, with hyphens in words.

A single blank, tab or line end between two words needs no change. If a longer run is next to a key word of
instructions, the text is read again with one blank in place of each such run.
"""

from __future__ import annotations

from typing import Final

import regex

_FIRST: Final = (
    r"ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|bypass|reveal|follow|obey|(?:do|must|should|will) not"
    r"|never|repeat|do|you are|before you"
)
_NEXT: Final = (
    r"not|all|any|anything|everything|the|your|my|these|those|that|this|what|now|about|ignore|follow|obey|tell|mention|inform"
    r"|reveal|finish|complete|answer|previous|prior|above|earlier|preceding|instructions?|prompts?|rules|system"
)
_MIDDLE: Final = r"all|any|your|previous|prior|above|earlier|preceding|system|hidden|secret|new"
_LAST: Final = r"previous|prior|above|earlier|preceding|instructions?|prompts?|rules|guidelines|directives|restrictions"
_ODD: Final = r"(?:[\s*>#|/_]{2,40}|[*>|]|\\{1,32}[nrt]\s?|(?:\s?</?\w{1,8} ?/?>){1,3}\s?)"
_EDGE: Final = r"(?:\b|_|\\[nrt])"
_KEYS: Final = "ignore disregard forget override reveal previous instructions system prompt"
_BEGUN: Final = "|".join(sorted({word[:size] for word in _KEYS.split() for size in range(2, len(word))}))
PATTERN: Final = (
    rf"{_EDGE}(?:(?:{_FIRST}){_ODD}(?:{_NEXT})|(?:{_MIDDLE}){_ODD}(?:{_LAST}))(?:\b|_)"
    rf"|\b(?:{_BEGUN})[-=]\s{{1,20}}[a-z]"
)
"""A pattern for unusual layout, in the syntax that Hyperscan and `regex` share."""

_BROKEN: Final = regex.compile(r"(?<=[a-z])[-=]\s{0,8}\n\s{0,80}(?=[a-z])")
_MARKS: Final = str.maketrans("*>#|", "    ")
_WRITTEN: Final = regex.compile(r"\\(?<!\\\\)\\*+[nrt]|</?\w{1,8} ?/?>|(?<!\w)(?:_++|/{2,})|(?<!_)_++(?!\w)")


def unfolded(text: str) -> str:
    """A lower-case text with one blank between its words."""
    if any(sign in text for sign in ("-\n", "=\n", "-\r", "=\r", "- ")):
        text = _BROKEN.sub("", text)
    if any(sign in text for sign in "\\<_/"):
        text = _WRITTEN.sub(" ", text)
    return " ".join(text.translate(_MARKS).split())
