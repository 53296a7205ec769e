"""Undoes disguises of sentences: the readings of a text after its disguises are removed.

For words; `disguise` is for values. Offsets are not kept. `SIGNS` are patterns over plain text (`letters.plain`), which
are searched for in one pass of Hyperscan together with the cues; `readings` undoes the disguise of each sign. Each
reads the text a fixed number of times, and no reading is much longer than the text.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Callable, Collection, Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

import regex

from gateway.budget import spend
from gateway.detect.unmask.letters import has_unseen, spaced
from gateway.detect.urls.judge import decoded

_LEET: Final = {"o": "0", "i": "1!|", "e": "3", "a": "4@", "s": "5$", "t": "7+", "g": "69", "b": "8", "l": "1|"}
_FROM_LEET: Final = tuple(
    str.maketrans("0345789@$!+6|" + one, "oeastbgasitg" + either * 2) for one, either in (("1", "i"), ("1", "l"))
)
_FIRST: Final = "ignore|disregard|forget|override|bypass|overlook|reveal|repeat|show|print|output|discard|follow|obey"
_NEXT: Final = "all|any|the|your|my|these|previous|prior|above|every|earlier|everything|system|hidden|initial"
BLANK: Final = (
    r"(?:\\+(?:[nrt]|u(?:00(?:20|09|0[ad]|a0)|200[0-9ab]|3000)|x(?:20|09|0[ad]|a0)|0?40)|%(?:25)*(?:20|09|0[ad]|c2%a0|a0)"
    r"|=20|&(?:amp;)*(?:nbsp|ensp|emsp|thinsp|newline|tab|#0*(?:32|9|10|13|160)|#x0*(?:20|9|[ad]|a0));)"
)
"""A blank or a line end in plain text, escaped any number of times."""


def _leet(word: str) -> str:
    """A pattern for a word in which at least one letter is a digit or a sign."""
    either = [f"[{char}{_LEET[char]}]" if char in _LEET else char for char in word]
    ways = [
        "".join([*either[:at], f"[{_LEET[char]}]", *either[at + 1 :]]) for at, char in enumerate(word) if char in _LEET
    ]
    return "|".join(ways)


_LEET_WORDS: Final = (
    *("ignore", "disregard", "previous", "instructions", "system", "prompt", "pretend", "forget"),
    *("override", "reveal", "rules", "guidelines"),
)
SIGNS: Final = {
    "backwards": r"\b(?:snoitcurtsni|tpmorp|suoiverp|erongi|dragersid)\b",
    "rot13": r"\b(?:vafgehpgvbaf?|cebzcg|cerivbhf|vtaber|qvfertneq)\b",
    "atbash": r"\b(?:rmhgifxgrlmh|kilnkg|kiverlfh|rtmliv|wrhivtziw)\b",
    "encoded": r"[a-z0-9+/_-]{24}",
    "hexes": r"(?:[2-7][0-9a-f][ :,]){5}|(?:[89a-f][0-9a-f][ :,]){8}|(?:0x[2-7][0-9a-f][ ,]{1,2}){5}",
    "numbers": r"(?:\b(?:3[2-9]|[4-9]\d|1[012]\d)[ ,]{1,2}){12}|(?:\b[01]{7,8}[ ,]?){6}",
    "escaped": rf"(?:%(?:25)*[0-9a-f]{{2}}){{3}}|(?:&(?:amp;)*#x?[0-9a-f]{{2,5}};?){{3}}"
    rf"|(?:\\+(?:u00|x)[0-9a-f]{{2}}){{3}}|(?:\\[01][0-7]{{2}}){{3}}|\b(?:{_FIRST}){BLANK}+(?:{_NEXT})",
    "joined": rf"\b(?:{_FIRST})[+.,;~^|=\\-](?:{_NEXT})[+.,;~^|=\\-]",
    "controls": r"[a-z][\x00-\x08\x0b\x0c\x0e-\x1f\x7f]{1,8}[a-z]",
    "apart": r"(?:\b[a-z][ ._*-]{1,6}){8}",
    "leet": "|".join(map(_leet, _LEET_WORDS)),
}
"""Sign -> a pattern over the plain form of a text that shows a disguise."""

_BETWEEN: Final = regex.compile(r"[ :,]+(?:0x)?|\b0x")
_WITHIN: Final = regex.compile(r"(?<=\w)[ ._*-](?=\w)")
_SPACES: Final = regex.compile(r" {2,}")
# What ends a run decides nothing: a long run that fails at its end would be read anew from each of its places.
_HEXES: Final = regex.compile(r"(?:0x)?[0-9A-Fa-f]{2}(?:[ :,]{1,2}(?:0x)?[0-9A-Fa-f]{2}){15,}+")
_NUMBERS: Final = regex.compile(r"(?<!\d)\d{2,3}(?:[ ,]{1,2}\d{2,3}(?!\d)){12,}+")
_BITS: Final = regex.compile(r"(?<!\w)(?:[01]{7,8}[ ,]?){6,}+")
_APART: Final = regex.compile(r"(?:\b[a-z][ ._*-]{1,6}){8,}[a-z]\b")
_BLANKS: Final = re.compile(rf"(?:(?<!\\)|(?!\\))(?i:{BLANK})+")  # from the first backslash of a run only
_BACKSLASHED: Final = re.compile(r"(?<!\\)\\+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([0-3][0-7]{2}))")
_JOINED: Final = re.compile(r"(?<=[a-z])[+.,;~^|=\\-](?=[a-z])")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+")
_ATBASH: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba")
_NARROW: Final = 34  # maximum characters of a narrow line with its surroundings
_ROUNDS: Final = 3  # of undoing escapes, because an escape may be escaped again


def readings(text: str, shown: str, signs: Collection[str]) -> Iterator[str]:
    """The readings of a text without the disguises in `signs`; `shown` is its plain form."""
    for sign, undone in _UNDONE.items():
        if sign in signs:
            for reading in undone(text, shown):
                spend((len(text) >> 5) + 1)
                yield reading
    if _is_narrow(text):
        yield from _wrapped(text)
    if has_unseen(text):
        yield spaced(text)


def may_hide(text: str) -> bool:
    """Whether a text may have a disguise without a sign: invisible blanks, or encoded lines that are too short."""
    return has_unseen(text) or _is_narrow(text)


def _is_narrow(text: str) -> bool:
    """Whether most lines of a text are too short for a sign: a pattern for these would cost a fifth of all others."""
    lines = (text.count("\n") if "\n" in text else 0) + (text.count("\\n") if "\\" in text else 0)
    return lines * _NARROW > len(text)


def _encoded(text: str, _: str) -> Iterator[str]:
    said = list(filter(None, map(decoded, stretches(text))))
    if said:
        yield "\n".join(said)
    if len(said) > 1:  # one sentence may be encoded in several pieces
        yield "".join(said)


def stretches(text: str) -> Iterator[str]:
    """Stretches that may be Base64 or hexadecimal; stretches of consecutive lines are joined.

    They are found without checking each place, and each is in at most one group of lines.
    """
    marks = text.encode("latin-1", "replace").translate(_MARKS)
    at = marks.find(_LONG)
    while at >= 0:
        end = _end(marks, at)
        lines = [text[at:end]]
        while len(lines[-1]) == len(lines[0]) and _ends_line(text, end) and (blank := _LINE_END.match(text, end)):
            after = _end(marks, blank.end())
            if not 0 < after - blank.end() <= len(lines[0]):
                break
            lines.append(text[blank.end() : after])
            end = after
        for line in (*lines, "".join(lines)) if len(lines) > 1 else lines:
            spend(1)
            if len(line) >= len(_LONG) and _may_say(line):
                yield line.lstrip(_NO_TEXT)
        at = marks.find(_LONG, end)


def _ends_line(text: str, end: int) -> bool:
    after = text[end : end + 3]
    return "\n" in after or "\\" in after


def _may_say(line: str) -> bool:
    """Whether a line may be encoded: Base64 has capitals, other encodings digits; rulers and paths have neither."""
    bare = line.lstrip(_NO_TEXT)
    return not bare.islower() if not bare.isalnum() or bare.isalpha() else True


_NO_TEXT: Final = "-_+/="  # the first characters of Base64 that does not encode text


def _end(marks: bytes, at: int) -> int:
    end = marks.find(b" ", at)
    return end if end >= 0 else len(marks)


_LINE_END: Final = re.compile(r"(?:[\s>\"'+]|\\{1,16}[nr]){1,16}")
_MARKS: Final = bytes(
    ord("x") if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "+/_-=") else ord(" ")
    for byte in range(256)
)
_LONG: Final = b"x" * 24


def _wrapped(text: str) -> Iterator[str]:
    """Base64 in lines that are too short to be found alone; all except the last have the same length."""
    bare = text.encode("latin-1", "replace").replace(b"\\n", b"\n").translate(None, _MARGINS)
    said: list[str] = []
    for found in _EQUAL_LINES.finditer(bare.translate(_MARKS_OF_LINES)):
        spend(4)
        for group in (3, 1):  # with the shorter last line, or without
            start, end = found.span(group)
            said.append(decoded(bare[found.start(1) : end].replace(b"\n", b"").decode("ascii")) if end > start else "")
    yield from _one(said)


_MARGINS: Final = b" \t\r\\>\"'#*,"
_MARKS_OF_LINES: Final = bytes(10 if byte == 10 else mark for byte, mark in enumerate(_MARKS))
_EQUAL_LINES: Final = re.compile(rb"(?:\A|(?<=\n))((x{8,23})(?:\n\2(?!x)){2,}+)(\nx{1,23}(?!x))?")


def _hexes(text: str, _: str) -> Iterator[str]:
    yield from _one([decoded(_BETWEEN.sub("", match[0])) for match in _HEXES.finditer(text)])


def _numbers(text: str, _: str) -> Iterator[str]:
    """Texts from character codes, decimal or binary."""
    said: list[str] = []
    for pattern, base in ((_NUMBERS, 10), (_BITS, 2)):
        for match in pattern.finditer(text):
            codes = [int(number, base) for number in match[0].replace(",", " ").split()]
            spend(len(codes) >> 3)
            if all(8 < code < 127 for code in codes):
                said.append("".join(map(chr, codes)))
    yield from _one(said)


def _one(said: list[str]) -> Iterator[str]:
    """One reading of all stretches: separate readings would make the total size quadratic."""
    if any(said):
        yield "\n".join(filter(None, said))


def _unescaped(text: str, _: str) -> Iterator[str]:
    """Percent-encoding, entities and backslash escapes, also if escaped repeatedly."""
    for _round in range(_ROUNDS):
        before, text = text, _once(text)
        if text == before:
            break
    yield _BLANKS.sub(" ", text)


def _once(text: str) -> str:
    if "\\" in text:
        text = _BACKSLASHED.sub(_char, text)
    if "%" in text:
        text = unquote_to_bytes(text.encode("utf-8", "replace")).decode("utf-8", "replace")
    return html.unescape(text) if "&" in text else text


def _char(escape: re.Match[str]) -> str:
    code = int(escape[3], 8) if escape[3] else int(escape[1] or escape[2], 16)
    return chr(code) if not 0xD800 <= code < 0xE000 else ""


def _apart(_: str, shown: str) -> Iterator[str]:
    yield _APART.sub(lambda run: _SPACES.sub(" ", f" {_WITHIN.sub('', run[0])} "), shown)


def _controls(text: str, _: str) -> Iterator[str]:
    yield _CONTROLS.sub("", text)
    yield _CONTROLS.sub(" ", text)


_UNDONE: Final[dict[str, Callable[[str, str], Iterator[str]]]] = {
    "backwards": lambda _, shown: iter((shown[::-1],)),
    "rot13": lambda _, shown: iter((codecs.decode(shown, "rot13"),)),
    "atbash": lambda _, shown: iter((shown.translate(_ATBASH),)),
    "encoded": _encoded,
    "hexes": _hexes,
    "numbers": _numbers,
    "escaped": _unescaped,
    "joined": lambda _, shown: iter((_JOINED.sub(" ", shown),)),
    "controls": _controls,
    "apart": _apart,
    "leet": lambda _, shown: (shown.translate(table) for table in _FROM_LEET),
}
