"""Findings in requests besides personal data: look-alikes of placeholders, and data that cannot be scanned.

Look-alikes are weak findings of type `PLACEHOLDER_LIKE`. Data that cannot be scanned (images, audio, archives,
ciphertext, in base64, hexadecimal or data: URLs) is an empty finding at its beginning, of type `UNSCANNABLE_` and its
kind. Base64 counts from `LONG` characters on, or from 32 on if its first bytes identify a format. Data that decodes to
text is scanned, and does not count.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Final

import regex

from gateway.budget import spend
from gateway.detect.core import index
from gateway.detect.core.projection import projected
from gateway.detect.core.rules import WEAK, RuleSet, resolve
from gateway.detect.personal.placeholders import LIKE, SPELLINGS, WRITTEN
from gateway.detect.unmask.encoded import DATA_URL, decoded, decoded_url, is_text, kind_of
from gateway.texts import Finding

UNSCANNABLE: Final = "UNSCANNABLE_"
LONG: Final = 1024  # minimum characters of base64 without text in it; shorter data may be a digest, a token, an id
_LOOK = 5  # microseconds in which a place is checked
_NAMED = 32  # minimum characters if the first bytes identify a format
_NEAR = 3  # maximum characters between a look-alike and a digit that may be read as part of its number
_start: Final = attrgetter("start")
_AGAIN: Final = 3
_AROUND: Final = 40  # characters
# Six digits or more, up to two signs between them. The same backwards.
_NUMBER_AFTER: Final = regex.compile(r"\D{0,3}+(?:\d[ ().,:/+-]{0,2}+){6}")
_SAMPLE = 4096  # characters that are decoded to determine the kind
_RUN = "[A-Za-z0-9+/_-]"

_ARMOUR: Final = regex.compile(r"-----BEGIN (?:PGP MESSAGE|AGE ENCRYPTED FILE|CMS|PKCS7|ENCRYPTED MESSAGE)-----")
_PAYLOAD: Final = regex.compile(r"[A-Za-z0-9+/_=%\r\n-]*")
# From one hit, the next place with such data: one pass over the text, however many hits there are.
_HELD: Final = regex.compile(
    rf"(?P<url>(?i:{DATA_URL.pattern}))|(?P<armour>{_ARMOUR.pattern})"
    rf"|(?P<run>(?<!{_RUN}){_RUN}{{{_NAMED},}}+(?:\r?\n{_RUN}++)*+={{0,2}})"
)
_LIKE: Final = regex.compile(f"{SPELLINGS}|{WRITTEN}")
_HINTS: Final = (
    f"{SPELLINGS}|{WRITTEN}",
    "[dD][aA][tT][aA]:[A-Za-z0-9.+;/=_-]{0,64},",
    "-----BEGIN [A-Z0-9 ]{3,20}-----",
)
# Runs are found by their bytes: as a pattern, `_RUN` takes ten times as long as all of `_HINTS`.
_MARKS: Final = bytes(ord("x") if regex.match(_RUN, chr(byte)) else ord(" ") for byte in range(256))
_LONG_RUN: Final = b"x" * _NAMED


class Beside:
    """Adds these findings to those of `scan`. Immutable, shared between threads."""

    def __init__(self, scan: Callable[[str], Sequence[Finding]], cache_dir: Path | None = None) -> None:
        self._scan = scan
        self._hints = index.build([index.Expression(hint) for hint in _HINTS], cache_dir)

    def scan(self, text: str) -> Sequence[Finding]:
        """All findings of a text, sorted by place, none overlapping."""
        found = self._apart(text, self._scan(text))
        hits, plain = self._hints.look(text)
        runs = [] if plain else _runs(text)  # a plain text has no long word
        if not hits and not runs:
            return found
        likes = [*_likes(text, [(start, end) for number, start, end in hits if number == 0])]
        more = [*likes]
        if any(_is_near_digits(text, like) for like in likes):
            # The number of a look-alike is not part of the text: digits next to it are scanned as if it were escaped.
            more += [one for one in self._scan(_blanked(text, likes)) if not _overlaps(one, likes)]
        starts = sorted({*runs, *(start for number, start, _ in hits if number)})
        if starts:
            more += _blobs(text, starts)
        return resolve([*found, *more]) if more else found

    def _apart(self, text: str, found: Sequence[Finding]) -> Sequence[Finding]:
        """The findings, with those that a value directly beside them hides: both were read as one number.

        `212-555-0123,219-09-9999` is a phone number only once the second number is known. Only a text with such
        digits is scanned again, at most `_AGAIN` times, with the known values left out.
        """
        new = found
        for _ in range(_AGAIN):
            if not any(one.end - one.start > 1 and _has_number_beside(text, one) for one in new):
                break
            values = [one for one in found if one.end - one.start > 1]
            new = [one for one in self._scan(_blanked(text, values)) if not _overlaps(one, values)]
            if not new:
                break
            found = resolve([*found, *new])
        return found


def _runs(text: str) -> list[int]:
    """Where runs of characters of base64 begin that are long enough to hold data."""
    marks = projected(text).translate(_MARKS)
    found: list[int] = []
    at = marks.find(_LONG_RUN)
    while at >= 0:
        spend(1)
        found.append(at)
        end = marks.find(b" ", at)
        at = marks.find(_LONG_RUN, end) if end >= 0 else -1
    return found


def _has_number_beside(text: str, one: Finding) -> bool:
    """Whether a number that may be a value of its own stands directly before or after a finding."""
    if _NUMBER_AFTER.match(text, one.end, one.end + _AROUND) is not None:
        return True
    return _NUMBER_AFTER.match(text[max(0, one.start - _AROUND) : one.start][::-1]) is not None


def _is_near_digits(text: str, like: Finding) -> bool:
    """Whether a digit is so close to a look-alike that both may be read as one number."""
    beside = text[max(0, like.start - _NEAR) : like.start] + text[like.end : like.end + _NEAR]
    return any(map(str.isdigit, beside))


def _overlaps(one: Finding, likes: Sequence[Finding]) -> bool:
    at = bisect_right(likes, one.start, key=_start)
    return any(one.start < like.end and like.start < one.end for like in likes[max(0, at - 1) : at + 1])


def _blanked(text: str, likes: Sequence[Finding]) -> str:
    """The text with empty brackets in place of each look-alike; all other characters keep their places."""
    parts: list[str] = []
    at = 0
    for like in likes:
        size = like.end - like.start
        parts += text[at : like.start], f"<{'x' * (size - 2)}>"
        at = like.end
    return "".join([*parts, text[at:]])


def _likes(text: str, stretches: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    read = 0
    for start, end in sorted(stretches):
        for match in _LIKE.finditer(text, max(start, read), min(end + RuleSet.MARGIN, len(text))):
            spend(_LOOK)
            if match.end() <= end:  # a longer match may end in the middle of a word
                read = match.end()
                yield Finding(*match.span(), LIKE, WEAK)


def _blobs(text: str, starts: Sequence[int]) -> list[Finding]:
    """Empty findings at the beginnings of unreadable data; `starts` are the candidates."""
    found, read = [], 0
    for start in starts:
        if start < read:
            continue
        spend(_LOOK)
        held = _HELD.search(text, start)
        if held is None:
            break
        at, read = held.span()
        if held["url"] is not None:
            url = DATA_URL.match(text, at)
            assert url is not None
            payload = _PAYLOAD.match(text, read)
            assert payload is not None
            read, kind = payload.end(), _of_url(url, payload[0])
        elif held["armour"] is not None:
            kind = "ciphertext"
        else:
            kind = _of_base64(held["run"])
        if kind:
            found.append(Finding(at, at, UNSCANNABLE + kind.upper(), 1.0))
    return found


def _of_url(url: regex.Match[str], payload: str) -> str:
    data = decoded_url(url[2], payload)
    kind = (url[1] or "text/plain").partition("/")[0].lower()
    if data is None:
        return "" if len(payload) < _NAMED else "data"
    if is_text(data[:_SAMPLE]) or not data:
        return ""
    return kind if kind in ("image", "audio", "video") else kind_of(data) or "data"


def _of_base64(run: str) -> str:
    """The kind of data in a run of base64 or hexadecimal digits; "" for text, and if the run is too short to decide."""
    data = decoded(run[:_SAMPLE])
    if data is None:
        return ""
    kind = kind_of(data)
    if kind:
        return kind if len(run) >= _NAMED else ""
    return "data" if len(run) >= LONG and _mixed(run[:_SAMPLE]) and not is_text(data) else ""


def _mixed(run: str) -> bool:
    """Whether a run looks random, as compressed and encrypted data do: no ruler, no sequence of bases, no words."""
    seen = set(run)
    if seen <= set("0123456789abcdefABCDEF"):
        return len(seen) >= 14
    digits = sum(map(str.isdigit, run))
    return len(seen) >= 40 and digits * 50 > len(run)
