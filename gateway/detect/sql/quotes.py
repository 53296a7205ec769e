r"""Quotes that a statement stands in: which, where they close, and what is escaped in them.

A statement in a text is often a string of a program or of JSON: `"DROP TABLE \"users\""`. What closes the string ends
the statement; what is escaped in the string belongs to the statement.
"""

from __future__ import annotations

import re
from typing import Final

_OPENED: Final = "( \t\r\n"
_INSIDE: Final = re.compile(r"([\"'`])\([(\s]*\Z")
_RUN: Final = re.compile(r"([\"'`])\1{0,2}\Z")
_ESCAPE: Final = re.compile(r"\\([\s\S])")
_SAID: Final = {"n": "\n", "r": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'", "`": "`", "/": "/"}
_DOUBLED: Final = ("'", '"')
_CLOSES: Final = {
    mark: re.compile(
        rf"\\[\s\S]|{mark * 2}|{mark}"
        if mark in _DOUBLED
        else rf"\\[\s\S]|{mark}(?!{sign})"  # of more of them the last ones close
        if len(mark) > 1
        else rf"\\[\s\S]|{mark}"
    )
    for sign in "\"'`"
    for mark in (sign, sign * 2, sign * 3)
}


def quotes(before: str) -> str:
    """The one to three quotes that a text ends with; brackets may stand behind a single one. "" if there are none."""
    last = before[-1]
    if last in "\"'`":
        run = _RUN.search(before)
        return run[0] if run else last
    if last in _OPENED and (between := _INSIDE.search(before)):
        return between[1]
    return ""


def within(text: str, mark: str, *, final: bool) -> tuple[str, str, bool]:
    """The text up to where `mark` closes, the same with its escapes undone, and whether nothing more belongs to it.

    Both have the same length: blanks stand for backslashes. What may yet become an escape or a closing mark is left
    out, unless the text is final, so that the result does not depend on where a stream is cut.
    """
    if mark:
        close = next((found for found in _CLOSES[mark].finditer(text) if found[0] == mark), None)
        if close and (final or close.end() < len(text) or mark == "`"):
            text, final = text[: close.start()], True
        elif not final:
            text = text[: max(len(text.rstrip(mark[0])), len(text) - len(mark) * (mark != "`"))]
    if "\\" not in text:
        said = text
    else:
        if not final and (len(text) - len(text.rstrip("\\"))) % 2:
            text = text[:-1]
        said = _ESCAPE.sub(_undone_in_quotes if mark else _undone, text)
    return text, said.replace(mark * 2, " " + mark) if mark in _DOUBLED else said, final


def _undone_in_quotes(escape: re.Match[str]) -> str:
    said = _SAID.get(escape[1])
    return escape[0] if said is None else "  " if said == "\\" else " " + said


def _undone(escape: re.Match[str]) -> str:
    return escape[0] if escape[1] == "'" else _undone_in_quotes(escape)


def unquoted(text: str, mark: str) -> str:
    """What a text says to whoever reads the string that it stands in."""
    if "\\" in text:
        text = _ESCAPE.sub(lambda escape: _SAID.get(escape[1], escape[0]), text)
    return text.replace(mark * 2, mark) if mark in _DOUBLED else text


def ending(text: str, at: int, *, final: bool) -> int | None:
    """Where the statement ends, from `at` on: behind its `;`, or with the text. None: not yet to tell."""
    while at < len(text):
        char = text[at]
        if char in "'\"`":
            closing = text.find(char, at + 1)
            if closing < 0 and not final:
                return None
            at = closing if closing >= 0 else at
        elif char == ";":
            return at + 1
        at += 1
    return len(text) if final else None
