"""Escapes: percent-encoding, HTML entities, and the escapes of JSON and source code, each also if encoded repeatedly.

An escaped end of a line or tab (`\\n`, `%0A`) ends in a letter or digit, which hides the beginning of a value after it:
`\\n212-555-0123`, `\\nalice@example.com`. With a backslash, such an escape counts only before what may be a value:
code and JSON within JSON are full of others.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Final

from gateway.texts import Finding

_VALUE: Final = r"(?=[0-9]|[A-Za-z_.%+:/-]{1,40}+[0-9@]|[A-Z]\S{2,30}+ [0-9])"  # the last: a street and a number
_CODE: Final = r"[2-7][0-9A-Fa-f]|0[0-8BbCcEeFf]|1[0-9A-Fa-f]"  # no tab, no end of a line
ESCAPE: Final = (
    rf"%(?:25)*(?:{_CODE}|0[9AaDd])"
    r"|&(?:amp;)*(?:#0{0,4}[1-9][0-9]{1,5};?|#[xX]0{0,4}[1-9A-Fa-f][0-9A-Fa-f]{1,4};?"
    r"|(?:commat|period|lowbar|plus|hyphen|dash|nbsp|shy|colon);)"
    rf"|\\\\{{0,15}}(?:[nrt]{_VALUE}|u[0-9A-Fa-f]{{4}}|u\{{0{{0,4}}[0-9A-Fa-f]{{2,5}}\}}|x(?:{_CODE}|0[9AaDd]{_VALUE}))"
)
_IN_DIGITS: Final = re.compile(r"\\x0[9AaDd]")
_LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t"}
_ENDS: Final = frozenset(_LETTERS.values())

Token = tuple[int, int, str]
"""A disguise: (start, end, the text that it stands for)."""


def decoded(token: str) -> str:
    """The character of an escape."""
    if token[-1] in _LETTERS:
        return _LETTERS[token[-1]]
    if token[0] == "%":
        return chr(int(token[-2:], 16))
    if token[0] == "&":
        name = "&" + token.rpartition("amp;")[2].lstrip("&")
        char = html.unescape(name if name.endswith(";") else name + ";")
        return char if len(char) == 1 else token
    try:
        return chr(int(token.lstrip("\\").strip("ux{}"), 16))
    except (ValueError, OverflowError):
        return token


def without_ends(written: list[Finding], undone: Iterable[Finding], tokens: Iterable[Token]) -> list[Finding]:
    """Findings in a text as written, without the escaped end of a line in which they begin (`nalice@example.com`).

    Only where a finding with the disguises `undone` begins right after the escape.
    """
    starts = {one.start for one in undone}
    after = {at: high for low, high, said in tokens if said in _ENDS and high in starts for at in range(low, high)}
    if not after:
        return written
    return [one._replace(start=after[one.start]) if after.get(one.start, one.end) < one.end else one for one in written]


def without_letters(text: str) -> str:
    """A text with blanks for escaped ends of lines and tabs, whose letter would become part of the next word."""
    if "\\" not in text:
        return text
    text = text.replace("\\n", "  ").replace("\\t", "  ").replace("\\r", "  ")
    return _IN_DIGITS.sub("    ", text) if "\\x0" in text else text
