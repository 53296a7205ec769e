r"""Quotes around a statement: their kind, where they close, and the escapes in them.

A statement in a text is often a string of a program or of JSON: `"DROP TABLE \"users\""`. The end of the string ends
the statement; escaped characters in the string belong to the statement.
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
_TRIPLE: Final = re.compile(r"(?:\"\"\"|''\')(?=[\s).,;:%}\]]|\Z)")
_PAIRS: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_SIGNS: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|[()\[\]{}'\"`]")
_OWN_QUOTES: Final = re.compile(r"[\\$#]|--|/\*")
_COMMENTED: Final = re.compile(r"\n[ \t]*(#|//)[^\n]*\Z")
_LINES: Final = re.compile(r"\n[ \t]*")
_CLOSES: Final = {
    mark: re.compile(
        rf"\\[\s\S]|{mark * 2}|{mark}"
        if mark in _DOUBLED
        else rf"\\[\s\S]|{mark}(?!{sign})"  # of several marks, the last ones close
        if len(mark) > 1
        else rf"\\[\s\S]|{mark}"
    )
    for sign in "\"'`"
    for mark in (sign, sign * 2, sign * 3)
}


def quotes(before: str) -> str:
    """The one to three quotes at the end of a text; brackets may follow a single quote. "" if there are none."""
    last = before[-1]
    if last in "\"'`":
        run = _RUN.search(before)
        return run[0] if run else last
    if last in _OPENED and (between := _INSIDE.search(before)):
        return between[1]
    return ""


def within(text: str, mark: str, *, final: bool) -> tuple[str, str, bool]:
    """The text up to the closing `mark`, the same with its escapes undone, and whether the text is complete.

    Both have the same length: backslashes become blanks. An end that may become an escape or a closing mark is left
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


def literal_end(text: str, *, final: bool) -> int | None:
    """Where three quotes end the string of a program that the statement stands in; None if they do not.

    They count outside of quotes of SQL only. A statement with escapes, comments or `$` has quotes of its own kind.
    """
    for marks in _TRIPLE.finditer(text):
        if not final and marks.end() == len(text):
            return None
        before = text[: marks.start()]
        if _OWN_QUOTES.search(before) or any(sign in _PAIRS.sub("", before) for sign in "'\"`"):
            return None
        return marks.start()
    return None


def comment_mark(before: str) -> str:
    """The mark of the comment line of a program that a text ends in; "" if there is none."""
    found = _COMMENTED.search(before)
    return found[1] if found else ""


def commented(text: str, mark: str, *, final: bool) -> tuple[str, bool]:
    """The lines of a comment with their marks as blanks, and whether the text is complete: code ends the comment."""
    for line in _LINES.finditer(text):
        start = text[line.end() : line.end() + len(mark)]
        if start != mark:
            over = final or not mark.startswith(start)
            text, final = text[: line.start()], over
            break
    return re.sub(rf"(\n[ \t]*){mark}+", lambda found: found[1] + " " * (len(found[0]) - len(found[1])), text), final


def host_end(text: str) -> int:
    """Where a quote or bracket closes that the text does not open: the end of what a statement stands in; 0 if nowhere.

    No database reads such a text, unless its quotes are of another kind.
    """
    depth = 0
    for sign in _SIGNS.finditer(text):
        if sign[0] in "([{":
            depth += 1
        elif sign[0] in ")]}":
            depth -= 1
        if depth < 0 or sign[0] in "'\"`":
            return 0 if _OWN_QUOTES.search(text, 0, sign.start()) else sign.start()
    return 0


def unquoted(text: str, mark: str) -> str:
    """The content of a string in quotes, with its escapes undone."""
    if "\\" in text:
        text = _ESCAPE.sub(lambda escape: _SAID.get(escape[1], escape[0]), text)
    return text.replace(mark * 2, mark) if mark in _DOUBLED else text


def ending(text: str, at: int, *, final: bool) -> int | None:
    """The end of the statement, from `at` on: after its `;`, or the end of the text. None if not decided yet."""
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
