"""The forms of phone numbers: those that need no word before them, and those of other numbers.

Digits in groups are frequent in logs, tables and code: dates, versions, decimals, ranges, ids. They are rejected by
their form, which costs a fraction of parsing them.
"""

from __future__ import annotations

from typing import Final

import regex

from gateway.detect.core.expressions import compiled

# A comma beside a number is that of a list. So is a slash with a further number on its other side.
_END: Final = r"(?![A-Za-z0-9_%€$£])(?![.:\[-]?\d)(?!/(?!\d{1,4}[ .-]\d{1,4}[ .-]\d)\d)"
_BEGIN: Final = r"(?<![A-Za-z0-9_.:+#@=-])(?<!(?<!\d[ .-]\d{1,8}|\d{9})/)(?<!\d[ ([])"
_EXTENSION: Final = r"(?:[ ,\u00a0]{0,2}(?:ext|Ext|EXT|x|X|#|доб)\.?[ \u00a0]?\d{1,6})?"
_GAP: Final = r"[ .\u00a0\u2009\u202f‐‑–-]"

SURE: Final = compiled(
    # Area code in brackets: (212) 555-1234, (0)30 901820, (64) 3591-3246
    rf"(?<![\w)\]])(?:\+?\d{{1,3}}[ \u00a0-]?)?\((?!(?:19|20)\d\d\)|0x)0?\d{{2,4}}\)[ .\u00a0/-]{{0,2}}"
    rf"(?:\d{{3,5}}{_GAP}\d{{3,4}}|\d{{2,3}}(?:{_GAP}\d{{2}}){{2,3}}){_EXTENSION}{_END}"
    # 212-555-1234, 1-212-555-1234, 001.212.555.1234
    rf"|{_BEGIN}(?:(?:00)?1([.-]))?[2-9]\d\d([.-])[2-9]\d\d\2\d{{4}}{_EXTENSION}{_END}"
    # 020 7946 0958, 0171/2345678, 06-12345678, 0049 30 901820
    rf"|{_BEGIN}(?!\d{{5}}-\d{{4}}(?!\d))0[1-9]\d{{0,4}}(?:[ /\u00a0-]|\.(?=\d\d?\.\d\d?\.))\d{{2,10}}"
    rf"(?:{_GAP}\d{{2,5}}){{0,4}}{_EXTENSION}{_END}"
    rf"|{_BEGIN}00[1-9]\d{{0,2}}[ .\u00a0/-]{{1,2}}(?:\(0\)[ \u00a0]?)?\d{{1,5}}"
    rf"(?:[ .\u00a0\u2009\u202f/‐‑–-]\d{{2,10}}){{1,4}}{_EXTENSION}{_END}"
)
"""Usual forms of numbers; phonenumbers must still accept the number."""

_APART: Final = r"(?<![^\s(])(?<![0-9][\s(])(?<![0-9=:]\s[\s(])"
_ALONE: Final = rf"{_EXTENSION}(?=[\s,;.)!?|]|\Z)(?![ .\u00a0-]{{1,3}}[0-9])"
WRITTEN: Final = compiled(
    # 07700/900/461, 06/12/34/56/78; 030.901820; 070-123/45/67; 0 801 82 43 52
    rf"{_APART}(?:0[1-9][0-9]{{0,4}}(?:/[0-9]{{2,4}}){{2,4}}|0[1-9](?:[0-9]{{1,4}}\.[0-9]{{5,10}}|\.[0-9]{{7,9}})"
    r"|0[1-9][0-9]{0,2}-[0-9]{2,3}(?:/[0-9]{2}){2}|0[ \u00a0./-]8[0-9]{2}(?:[ \u00a0./-][0-9]{2}){3}"
    # (02)/1230/5143, 212/555/0187, 612/345/678, 612.34.56.78
    r"|\(0?[0-9]{1,3}\)/[0-9]{3,5}/[0-9]{4}|[2-9][0-9]{2}/[0-9]{3}/[0-9]{4}|[5-9][0-9]{2}/[0-9]{3}/[0-9]{3}"
    r"|[6-9][0-9]{2}(?P<sign>[./])[0-9]{2}(?P=sign)[0-9]{2}(?P=sign)[0-9]{2}"
    # 98765 43210; 11 91234-5678; 1800 12 3456
    r"|[6-9][0-9]{4}[ \u00a0-][0-9]{5}|[1-9][0-9][ \u00a0.]9[0-9]{4}[.-][0-9]{4}"
    rf"|1[38]00[ \u00a0/-][0-9]{{2,3}}[ \u00a0/-][0-9]{{3,4}}){_ALONE}"
)
"""Forms of some regions with separators that other numbers have, too: valid only in one of these regions."""

LONE: Final = compiled(
    rf"{_APART}"
    r"(?:[0-9]{2,3}|0[0-9]{3}|1[38]00)([ \u00a0.-])[0-9]{2,4}\1[0-9]{2,4}(?:\1[0-9]{2,4}){0,2}"
    rf"{_ALONE}"
)
"""Three to five groups with one kind of separator, and no other digits next to them."""
_OWN: Final = r"(?!/(?:0[1-9]\d{0,3}|[2-9]\d\d)[ .-]\d{2,4}[ .-]\d{3,4}(?!\d))"  # a slash before a further number
ROW: Final = compiled(
    r"(?<![\w./-])(?P<number>0[1-9]\d{1,3}/\d{5,8})(?:/(?P<number>0[1-9]\d{1,3}/\d{5,8})){1,40}+(?![\w/-])"
)
"""Numbers with a slash, in a row with the same sign between them: 0171/2345678/0171/2345679."""
ABROAD: Final = compiled(
    rf"(?<![A-Za-z0-9_)\]+.])[+＋] ?[1-9](?:{_OWN}[ .\u00a0\u2009\u202f/()–‐‑-]{{0,3}}\d){{6,14}}"
    rf"{_EXTENSION}(?![A-Za-z0-9_])"
)
"""With a plus sign and a country code."""

LOOSE: Final = compiled(
    rf"(?<![A-Za-z0-9_./-])(?:[+＋] ?)?(?:\(\+?\d{{1,5}}\)[ .\u00a0/-]{{0,2}})?"
    rf"\d(?:[ .\u00a0\u2009\u202f/()–‐‑-]{{0,3}}\d){{4,14}}{_EXTENSION}(?![A-Za-z0-9_%€$£])(?![.:]\d)"
)
"""Digits in groups, some in brackets: a number only after a word for a phone number."""

_FORMER: Final = compiled(
    # Mexico: 1 before mobile numbers. Argentina: 15 within them.
    rf"[+＋] ?(?:52[ .-]?(?:1|\(1\))[ .-]?\(?[1-9]\d{{1,2}}\)?(?:[ .-]?\d){{7,8}}"
    r"|54[ .-]?9?[ .-]?\d{2,4}[ .-]?15[ .-]?(?:\d[ .-]?){5,7}\d"
    # Ivory Coast, Benin, Cameroon, Gabon, Congo, Mali: eight digits before they became nine or ten.
    rf"|2(?:25|29|37|41|42|23)(?:[ .-]\d\d){{4}}|2(?:25|29|37|41|42|23)[ .-]\d{{4}}[ .-]\d{{4}}){_EXTENSION}"
)
_MONTH: Final = r"(?:0?[1-9]|1[0-2])"
_DAY: Final = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR: Final = r"(?:19|20)\d\d"
NEVER: Final = compiled(
    rf"\W?{_YEAR}([./ -]){_MONTH}\1{_DAY}(?!\d).*"  # 2024-01-15 12
    rf"|\W?(?:{_DAY}([./ -]){_MONTH}|{_MONTH}([./ -]){_DAY})(?:\2|\3){_YEAR}(?!\d).*"  # 15.01.2024 - 03.04.2024
    rf"|\W?{_YEAR}{_MONTH}{_DAY}|{_DAY}[./]{_MONTH}[./]?"
    rf"|\W?{_YEAR}[ \u2009/–-]{{1,3}}(?:{_YEAR}|\d\d)"  # 1998-2004
    r"|\W?(?:0|[1-9]\d*)\.\d+|(?:0|[1-9]\d*)(?:\.\d+)? ?[-/ ] ?(?:0|[1-9]\d*)\.\d+"  # decimals and ranges of them
    r"|(?:0|[1-9]\d*)\.\d+ ?[-/ ] ?[1-9]\d*|[1-9]\d* [-/–] [1-9]\d*"
    r"|(?![6-9]\d\d(?:\.\d\d){3}(?!\d))(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}(?:/\d\d?)?"
    r"|(?!\d{3}\.\d{3}\.\d{3}|1\.[2-9]\d\d\.[2-9]\d\d\.\d{4}|[6-9]\d\d(?:\.\d\d){3}(?!\d))(?:0|[1-9]\d{0,2})"
    r"(?:\.(?:0|[1-9]\d{0,2})){2}(?:[-.]\d{1,4})?|[1-9]?\d\.[1-9]?\d\.\d{3,4}"
    # 0.5.2 0.6.0 0.7.1; 0.892 0 0.5
    r"|\W?(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,3})){2,3}(?:[\s,;]{1,2}(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,3})){2,3})+"
    r"|(?:\d+ )*0\.\d+(?: .*)?"
    rf"|\d+(?:\.\d+)*(?:[\s(]+| ?/ ?){_YEAR}-{_MONTH}(?:-{_DAY})?"  # a version and its day
    rf"|\d+(?:\.\d+)+ ?/ ?{_DAY}\.{_MONTH}\.{_YEAR}"
    rf"|{_DAY}\.{_MONTH}\.\d\d [0-2]\d\.[0-5]\d|{_MONTH}/{_DAY}/1[0-8]\d\d"  # a day and a time; a day of history
    r"|\((?:0|[1-9]\d*)\.\d+[-+](?:0|[1-9]\d*)\.\d+"  # a term of a formula
    r"|\d\d(?P<two>[./-])\d\d(?P=two)\d\d|\d\d~\d\d~\d\d.*|\d{4}\s{2,}\d{4}"  # 06-05-15; 0415  9300
    r"|0123456789\d*|[1-9]0{6,}"
    r"|\d{1,5} {2,}\d\d?\.\d\d?(?:\.\d+)*|[0-2]\.\d\d?(?:\.\d+){3,}"  # a size and a version; an object identifier
    r"|0\d{3}(?: 0\d{3})+"  # code points
    r"|[+-]?(?:\d{4}[+-]\d{5}|\d{6}[+-]\d{7})"  # degrees, minutes and seconds (ISO 6709)
    rf"|\d{{1,4}} {_YEAR}(?P<day>[./-]){_MONTH}(?P=day){_DAY}(?!\d).*"  # the section and the day of a manual page
    r"|-?(?:214748364[78]|429496729[56])"  # the bounds of 32 bits
    r"|\d{1,2}[/-]\d{1,2} \d{1,2}|0x.*|\d+x\d+.*|(?P<same>\d)(?P=same)*|(?P<group>\d{3})(?: (?P=group))+",
    regex.DOTALL,
)
"""Digits in groups that are not phone numbers: dates, times, versions, decimals, ranges, sizes. For a whole match."""

STANDARD: Final = compiled(r"\d{4}-(?:19|20)\d\d")
"""The number of a standard with its year (JIS X 0208-1990): a phone number only after a word for one."""
COORDINATES: Final = compiled(r"[+＋] \d\.\d+|[+＋](?:\d{4}[+-]\d{5}|\d{6}[+-]\d{7}|\d{1,2}(?:\.\d+)?[+-]\d{1,3}\.\d+)")
"""A position (ISO 6709): degrees that look like a country code. A decimal that is added: `+ 1.4052427`."""
_POSITION: Final = compiled(r"\d{4}[+-]\d{5}|\d{6}[+-]\d{7}")  # after its sign
COLOUR: Final = compiled(r"(?:25[0-5]|2[0-4]\d|1\d\d|\d\d?)(?:[ ,;]{1,2}(?:25[0-5]|2[0-4]\d|1\d\d|\d\d?)){2}")
"""Three bytes, such as a colour."""

_ROW: Final = compiled(r"[0-9=\t;{}\[\]<>\\/*#_]|(?:^|\n)[ ]*\||\|[^|\n]*\||[ ]{2}|[A-Z]{3}")
_BEFORE: Final = 12
_TICKET: Final = 8  # digits after a `#`; fewer are the number of an issue
_LABEL: Final = compiled(r"(?<![A-Za-z])(?!TEL|FAX|MOB|CELL|GSM|PH|HP|NO)[A-Z]{2,8}-\Z")  # CVE-2026-12345
_HEX: Final = compiled(r"(?<![A-Za-z0-9])(?=[0-9]*[A-F])[0-9A-F]{4} \Z")  # a code point before another
_CLOCK: Final = compiled(r"\d:\Z")
_FIGURE: Final = compiled(r"\d+|[1-9]\d{0,2}(?:[ .\u00a0\u202f]\d{3})+")
_LISTED: Final = 7  # minimum digits of such a number in a list
_CELL: Final = 24  # characters before a cell, with its neighbour
_DECIMAL: Final = compiled(r",\d{1,2}(?!\d)")
_LIST_BEFORE: Final = compiled(r"(?<![\d.:])\d(?:[ .\u00a0\u202f]?\d){6,14}+,\Z")
_SLASHED: Final = compiled(r"(?:\d[ .-]\d{1,8}|\d{9})/\Z")
_EPOCH: Final = compiled(r"1[0-9]{9}(?:[0-9]{3}){0,3}")
_GROUPED: Final = compiled(rf"(?:\d{{2,5}}(?:[ .\u00a0/-]\d{{2,5}}){{1,4}}|0\d{{8,11}}|[1-9]\d{{8,10}}){_EXTENSION}")


def is_other(text: str, start: int, end: int) -> bool:
    """Whether the digits are part of a word, a time, a decimal, or of a form that is never a phone number."""
    first = text[start]
    if start and first not in "+＋(":
        before = text[start - 1]
        if (before.isascii() and before.isalnum()) or before in "_.":
            return True
        if before == "*" and text[start - 2 : start - 1] == "[":
            return True
        if before in ":-=+" and start > 1 and text[start - 2].isdigit():
            return True
        if before == "," and start > 1 and text[start - 2].isdigit() and not _in_list(text, start, end):
            return True
        if before == "/" and start > 1 and text[start - 2].isdigit() and not _SLASHED.search(text, start - 11, start):
            return True
        if before == "-" and _LABEL.search(text, max(0, start - 10), start):
            return True
        if before == " " and _HEX.search(text, max(0, start - 6), start):
            return True
        if before == "#" and end - start < _TICKET and text[start:end].isdigit():
            return True
    after = text[end : end + 2]
    if after and ((after[0].isascii() and after[0].isalnum()) or after[0] in "_%"):
        return True
    if len(after) == 2 and after[0] in ".:+" and after[1].isdigit():
        return True
    if len(after) == 2 and after[0] == "," and after[1].isdigit() and not _in_list(text, start, end):
        return True
    if first in "+＋":
        return COORDINATES.fullmatch(text, start, end) is not None
    if text.startswith("00", start) and "  " not in text[start:end]:
        return start > 0 and text[start - 1] in "+-" and _POSITION.fullmatch(text, start, end) is not None
    return NEVER.fullmatch(text, start, end) is not None or _CLOCK.search(text, max(0, start - 4), start) is not None


def _in_list(text: str, start: int, end: int) -> bool:
    """Whether digits beside a comma are a cell of a list, and not a part of an amount or of a decimal.

    Digits in groups of three or without groups may be an amount, so a cell of such digits needs a long one before it,
    and no decimals after it.
    """
    if _FIGURE.fullmatch(text, start, end) is None:
        return True
    if sum(map(str.isdigit, text[start:end])) < _LISTED or _DECIMAL.match(text, end):
        return False
    before = text[max(0, start - 2) : start]
    return (
        before[1:] != ","
        or not before[:1].isdigit()
        or _LIST_BEFORE.search(text, max(0, start - _CELL), start) is not None
    )


def in_figures(text: str, start: int, end: int) -> bool:
    """Whether a comma and a digit stand directly beside: groups of digits in such a row are more often figures."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return (before[1:] == "," and before[:1].isdigit()) or (after[:1] == "," and after[1:].isdigit())


def is_former(value: str) -> bool:
    """Whether a number with a country code follows an older plan, before numbers got longer or lost a prefix.

    People keep such numbers: +52 1 55 1234 5678 (Mexico before 2019), +225 07 12 34 56 (eight digits until 2021).
    """
    return _FORMER.fullmatch(value) is not None


def is_epoch(text: str, start: int, end: int) -> bool:
    """Whether digits may be a timestamp: seconds or milliseconds since 1970."""
    return _EPOCH.fullmatch(text, start, end) is not None


def is_grouped(text: str, start: int, end: int) -> bool:
    """Whether the form suggests a phone number: a few groups, or at least nine digits."""
    return _GROUPED.fullmatch(text, start, end) is not None


def in_row(text: str, start: int) -> bool:
    """Whether the text shortly before looks like rows, code or logs, and not like a sentence."""
    return _ROW.search(text, max(0, start - _BEFORE), start) is not None
