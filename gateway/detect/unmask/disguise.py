"""Undoes disguises: text that a reader, a browser or a program reads as a value, although its characters differ.

Always on if personal data or secrets are searched for. A text is scanned as written; a text with disguises is scanned
again with the disguises undone (`undo`), and its encoded stretches are decoded and scanned (`blobs`). Offsets are
mapped back, so a finding covers the disguise. For harmless text only the check for disguises costs time (`kinds`).

Each disguise becomes one character: escapes (see `escapes`); full-width, mathematical and enclosed forms; letters of
other scripts that look Latin, within a Latin word; unusual dashes and spaces between digits; letters of scripts without
spaces next to Latin letters or digits, and words with letters beyond ASCII next to digits, which hide the beginning of
a value. Invisible characters and marks on digits are removed. Each decision depends only on the adjacent characters, so
running text is undone as it comes (`settled`).
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from codecs import charmap_encode
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import regex

from gateway.budget import spend
from gateway.detect.core import rewrite
from gateway.detect.unmask.encoded import from_base64
from gateway.detect.unmask.escapes import ESCAPE, Token, decoded
from gateway.detect.unmask.lookalikes import SAME

LARGEST: Final = 262_144  # maximum decoded characters of one encoded stretch; the rest is scanned as written
SHORTEST: Final = 20  # minimum characters of an encoded stretch, without padding: an address of 15 letters in base64
BLOB: Final = r"[A-Za-z0-9+/_-]+={0,2}"

CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # no tab, no end of a line
_CONTROLS: Final = frozenset(range(0x20)) - frozenset(b"\t\n\r") | {0x7F}

_TAG: Final = "\U000e0020-\U000e007e"  # invisible; each corresponds to an ASCII character
_INVISIBLE: Final = (
    "\u0080-\u0084\u0086-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_MARKS: Final = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"
_DASHES: Final = "\u2010-\u2015\u2212\u2e3a\u2e3b\ufe58\ufe63\u30fc\u00b7"
_SPACES: Final = "\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_RUNNING: Final = (  # letters of scripts without spaces, and of Korean, whose particles follow without a space
    "\u0e00-\u0eff\u0f40-\u0fbc\u1000-\u109f\u1100-\u115e\u1161-\u11ff\u1780-\u17b3\u17b6-\u17d3\u3005-\u3007"
    "\u3041-\u30fa\u30fd-\u3163\u3165-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_ENCLOSED: Final = "\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u24b6-\u24ea"
_STOPS: Final = "\u3002\uff61"  # equivalent to a dot in a host name
_CAPITALS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
STAND_IN: Final = "\u3002"  # replaces a letter that hides a boundary: not a letter, a digit or part of a value


def _forms() -> dict[str, str]:
    """Other forms of the ASCII characters that values consist of."""
    wanted = re.compile(r"[A-Za-z0-9@._+-]")
    ranges = (
        *((0x2024, 0x2025), (0x2070, 0x208A), (0x2102, 0x2150), (0x2460, 0x24EB)),
        *((0xFE50, 0xFF5F), (0x1D400, 0x1D800)),
    )
    forms = {}
    for low, high in ranges:
        for char in map(chr, range(low, high)):
            plain = unicodedata.normalize("NFKC", char)
            if wanted.fullmatch(plain):
                forms[char] = plain
    return forms


def _members(ranges: str) -> list[str]:
    """The characters of a character class, given as written between its brackets."""
    return re.findall(f"[{ranges}]", "".join(map(chr, range(0x3400))) + "".join(map(chr, range(0xF900, 0x10000))))


_FORMS: Final = _forms()
_PLAIN: Final = {
    **{ord(char): plain for char, plain in (_FORMS | SAME).items()},
    **dict.fromkeys(map(ord, _members(_DASHES)), "-"),
    **dict.fromkeys(map(ord, _members(_SPACES)), " "),
    **dict.fromkeys(map(ord, _STOPS), "."),
    **{code: str(int(chr(code))) for code in range(0x80, 0x20000) if chr(code).isdecimal()},
}

# Each character beyond ASCII becomes one byte that encodes its kind; ASCII is unchanged.
_INV, _MARK, _FORM, _ENC, _LIKE, _JOINT, _STOP, _RUN, _DIGIT, _LETTER, _OTHER = range(0x80, 0x8B)
_KIND_OF: Final = re.compile(
    f"(?P<_INV>[{_INVISIBLE}])|(?P<_MARK>[{_MARKS}])|(?P<_ENC>[{_ENCLOSED}])|(?P<_JOINT>[{_DASHES}{_SPACES}])"
    f"|(?P<_STOP>[{_STOPS}])|(?P<_RUN>[{_RUNNING}])|(?P<_DIGIT>\\d)|(?P<_LETTER>[^\\W_])"
)


class _Kinds(dict[int, int]):
    """Code point -> its byte, computed when first needed."""

    def __missing__(self, code: int) -> int:
        char = chr(code)
        if code < 0x80:
            kind = _INV if code in _CONTROLS else code
        elif char in _FORMS and not _members_of_enclosed(char):
            kind = _FORM
        elif char in SAME:
            kind = _LIKE
        else:
            match = _KIND_OF.match(char)
            kind = globals()[match.lastgroup] if match and match.lastgroup else _OTHER
        if len(self) < _REMEMBERED:
            self[code] = kind
        return kind


_REMEMBERED: Final = 20_000  # characters: more than any language has, fewer than an attacker can send


def _members_of_enclosed(char: str) -> bool:
    return re.match(f"[{_ENCLOSED}]", char) is not None


_KINDS: Final = _Kinds({code: _INV if code in _CONTROLS else code for code in range(0x80)})
_WESTERN: Final = bytes(_KINDS[ord(bytes([byte]).decode("cp1252", "replace"))] for byte in range(256))
_PLAIN_KINDS: Final = bytes([*range(0x80), _LETTER, _OTHER])
_SIDES: Final = bytes(
    ord("x" if byte == _LETTER else "0" if chr(byte) in "0123456789" else "A" if chr(byte) in _CAPITALS else "a")
    if byte == _LETTER or (chr(byte).isascii() and chr(byte).isalnum())
    else ord(" ")
    for byte in range(256)
)
# A word with a letter beyond ASCII before a number or an IBAN, or such a letter after it, is not part of the value.
_BEFORE_DIGIT: Final = re.compile(b"x[aA]{0,16}?(?=AA0)|x[aA]{0,16}(?=0)")
_WORD: Final = 17
_WORD_END: Final = re.compile(b"x[aA]{0,16}\\Z")
_ALNUM: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LETTERS: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ@") | {_FORM}
_DIGITS: Final = frozenset(b"0123456789") | {_DIGIT, _FORM, _ENC}
_EDGED: Final = _ALNUM | frozenset(b"+(@") | {_DIGIT, _FORM}  # the first and last characters of values
_SHOWN: Final = frozenset(range(0x20, 0x7F)) | {_FORM, _DIGIT, _ENC, _LIKE}
_RUNS: Final = re.compile(
    b"([%c]+)|([%c]+)|([%c]+)|([%c]+)|([%c]+)|([%c]+)|([%c])|([%c]+)|([%c]+)" % tuple(range(_INV, _LETTER))
)
_OPEN: Final = re.compile(  # each run is read once, from its beginning
    b"(?:(?<!%c)%c++|(?<!%c)%c++|(?<!%c)%c++|[%c%c])[%c%c]*+\\Z"
    % (_LIKE, _LIKE, _ENC, _ENC, _JOINT, _JOINT, _STOP, _RUN, _INV, _MARK)
)
_ESCAPE: Final = re.compile(ESCAPE)
_BEGUN: Final = re.compile(rewrite.prefixes(ESCAPE) + r"\Z")
_BEGUN_TAGS: Final = regex.compile(f"(?:(?<![{_TAG}])|\\G)[{_TAG}]++\\Z")


class Kinds(NamedTuple):
    """The kinds of the characters of a text, one byte for each from `shift` on."""

    data: bytes
    shift: int
    marks: bytes  # the same bytes, marking characters of base64


def kinds(text: str, start: int = 0) -> Kinds:
    """The kinds of the characters from `start` on, and of a few before."""
    low = start - _BESIDE if start > _BESIDE else 0
    data = _kinds(text[low:] if low else text)
    marks = data.translate(_ENCODED)
    if _SEEN[0] in marks:  # checked here, because a separate search would double the time
        data, marks = data.translate(_UNSEEN), marks.replace(_SEEN, b" ")
    return Kinds(data, low, marks)


def _kinds(text: str) -> bytes:
    if text.isascii():
        return text.encode()
    try:
        return text.encode("cp1252").translate(_WESTERN)
    except UnicodeEncodeError:
        return charmap_encode(text, "strict", _KINDS)[0]


def _tokens(text: str, known: Kinds, start: int, end: int) -> list[Token]:
    """The disguises in [start, end), in order; the text before `start` is only context."""
    found: list[Token] = []
    if "%" in text or "&" in text or "\\" in text:
        for match in _ESCAPE.finditer(text, start, end):
            spend(2)
            found.append((*match.span(), _undone(match.group())))
    if text.isascii() and _INV not in known.data:
        return found
    data = known.data[: end - known.shift]
    beyond = _beyond(text, data, known.shift, start) if data.translate(None, _PLAIN_KINDS) else []
    sides = data.translate(_SIDES)
    if b"x" in sides:
        for word in _BEFORE_DIGIT.finditer(sides, max(0, start - known.shift - _WORD)):
            if word.end() + known.shift > start:
                beyond.append((word.end() + known.shift - 1, word.end() + known.shift, STAND_IN))
        at = sides.find(b"0x", max(0, start - known.shift - 1))
        while at >= 0:
            if sides[at + 2 : at + 3] != b"0":
                beyond.append((at + known.shift + 1, at + known.shift + 2, STAND_IN))
            at = sides.find(b"0x", at + 1)
        beyond.sort()
    return sorted(found + beyond) if found else beyond


_BESIDE: Final = 32  # characters of context before the text that is undone


def _beyond(text: str, kinds: bytes, shift: int, start: int) -> list[Token]:
    """The disguises among the characters beyond ASCII; `kinds` are those of the text from `shift` on."""
    found: list[Token] = []
    for match in _RUNS.finditer(kinds, start - shift):
        spend(2)
        low, high = match.span()
        kind = kinds[low]
        if kind in (_FORM, _DIGIT):
            found.append((low + shift, high + shift, text[low + shift : high + shift].translate(_PLAIN)))
            continue
        before, after = low, high
        while before and kinds[before - 1] in (_INV, _MARK):
            before -= 1
        while after < len(kinds) and kinds[after] in (_INV, _MARK):
            after += 1
        left = kinds[before - 1] if before else 0
        right = kinds[after] if after < len(kinds) else 0
        if kind == _RUN:
            if left in _EDGED:
                found.append((low + shift, low + shift + 1, STAND_IN))
            if right in _EDGED and not (left in _EDGED and high == low + 1):
                found.append((high + shift - 1, high + shift, STAND_IN))
        elif (
            (kind == _INV and left in _SHOWN)
            or (kind == _MARK and (left in _DIGITS or left in b"@."))
            or (kind == _ENC and high - low > 1)
            or (kind == _LIKE and (left in _LETTERS or right in _LETTERS))
            or (kind == _JOINT and left in _DIGITS and right in _DIGITS)
            or (kind == _STOP and left in _ALNUM and right in _LETTERS)
        ):
            gone = kind in (_INV, _MARK)
            instead = "" if gone else text[low + shift : high + shift].translate(_PLAIN)
            found.append((low + shift, high + shift, instead))
        elif kind == _LIKE:
            if left in _DIGITS:
                found.append((low + shift, low + shift + 1, STAND_IN))
            if right in _DIGITS and not (left in _DIGITS and high == low + 1):
                found.append((high + shift - 1, high + shift, STAND_IN))
    return found


class Plain:
    """A stretch of text with its disguises undone, and the original place of each character."""

    __slots__ = ("_at", "_pieces", "end", "text", "tokens")

    def __init__(self, text: str, start: int, end: int, tokens: Sequence[Token]) -> None:
        self.end = end
        self.tokens = tokens
        self._at: list[int] = []  # the offset in the plain text of each piece
        self._pieces: list[tuple[int, int, bool]] = []  # the original stretch, and whether it is unchanged
        parts: list[str] = []
        length, last = 0, start
        for low, high, instead in [*tokens, (end, end, "")]:
            spend(1)
            for part, since, until in ((text[last:low], last, low), (instead, low, high)):
                if part:
                    self._at.append(length)
                    self._pieces.append((since, until, len(part) == until - since))
                    parts.append(part)
                    length += len(part)
            last = high
        self.text = "".join(parts)

    def place(self, low: int, high: int) -> tuple[int, int]:
        """The original stretch of [low, high) of the plain text, which is not empty."""
        return self._piece(low)[0], self._piece(high - 1)[1]

    def _piece(self, at: int) -> tuple[int, int]:
        number = bisect_right(self._at, at) - 1
        low, high, alike = self._pieces[number]
        if not alike:
            return low, high
        return low + at - self._at[number], low + at - self._at[number] + 1

    def cut(self, at: int) -> int:
        """The offset in the text of the end of exactly the first `at` characters."""
        return self._piece(at)[0] if at < len(self.text) else self.end

    def until(self, cut: int) -> str:
        """The part of the plain text before the original offset `cut`."""
        number = bisect_left(self._pieces, (cut,)) - 1
        if number < 0:
            return ""
        low, high, alike = self._pieces[number]
        if cut >= high:
            return self.text[: self._at[number + 1]] if number + 1 < len(self._at) else self.text
        return self.text[: self._at[number] + (cut - low if alike else 0)]


def undo(text: str, known: Kinds, start: int = 0, end: int | None = None) -> Plain | None:
    """The stretch with its disguises undone; None if there are none. `known` are the kinds of the text."""
    end = len(text) if end is None else end
    tokens = _tokens(text, known, start, end)
    return Plain(text, start, end, tokens) if tokens else None


def _undone(token: str) -> str:
    """The character of an escape."""
    char = decoded(token)
    return "" if _KINDS[ord(char[0])] in (_INV, _MARK) else char.translate(_PLAIN)


def edge(text: str, start: int) -> bool:
    """Whether a word with a letter beyond ASCII ends right before a digit at `start`."""
    if not start or start == len(text) or text.isascii() or text[start] not in "0123456789":
        return False
    word = _kinds(text[max(0, start - _WORD) : start]).translate(_SIDES)
    return _WORD_END.search(word) is not None


def settled(text: str, start: int) -> int:
    """The offset up to which the disguises from `start` on are decided if more text may follow."""
    end = len(text)
    if "%" in text or "&" in text or "\\" in text:
        begun = _BEGUN.search(text, start)
        end = begun.start() if begun else end
    if not text.isascii() and _KINDS[ord(text[-1])] >= _INV:
        if undecided := _OPEN.search(_kinds(text[start:])):
            end = min(end, undecided.start() + start)
        if tags := _BEGUN_TAGS.search(text, start):
            end = min(end, tags.start())
    return end


_SEEN: Final = b"!"  # a control character
_ENCODED: Final = bytes(
    ord("x")
    if chr(byte) in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"
    else ord("!" if byte in _CONTROLS else " ")
    for byte in range(256)
)
_UNSEEN: Final = bytes(_INV if byte in _CONTROLS else byte for byte in range(256))
_LONG: Final = b"x" * SHORTEST
_BLANK: Final = ord(" ")
_HEX: Final = re.compile(r"(?:0x)?((?:[0-9A-Fa-f]{2})+)")
_TAGS: Final = re.compile(f"[{_TAG}]{{6,}}")
_URLSAFE: Final = str.maketrans("-_", "+/")
# Base64 that begins so has a first byte with which no character begins in UTF-8: most names and paths.
_NO_TEXT: Final = frozenset("ghijklmnopqrstuv+/-_")


class Blob(NamedTuple):
    """An encoded stretch, its decoded text, and the ratio of encoded characters to decoded bytes."""

    start: int
    end: int
    text: str
    chars: int
    bytes: int

    def placer(self) -> Callable[[int, int], tuple[int, int]]:
        """A function from [low, high) of the decoded text to the encoded stretch. Rising offsets take one pass."""
        chars = bytes_ = 0

        def until(at: int) -> int:
            nonlocal chars, bytes_
            if at < chars:
                chars = bytes_ = 0
            bytes_ += len(self.text[chars:at].encode())
            chars = at
            return bytes_

        def place(low: int, high: int) -> tuple[int, int]:
            begin = self.start + until(low) // self.bytes * self.chars
            return begin, min(self.end, self.start - -until(high) // self.bytes * self.chars)

        return place


def blobs(text: str, known: Kinds, start: int = 0) -> Iterator[Blob]:
    """The readable stretches of base64, hexadecimal digits and invisible tags that begin at or after `start`."""
    marks, shift = known.marks, known.shift
    at = marks.find(_LONG, start - shift)
    while at >= 0:
        end = marks.find(b" ", at)
        end = len(marks) if end < 0 else end
        if at > start - shift or at == 0 or marks[at - 1] == _BLANK:
            found = _read(text, at + shift, end + shift)
            if found:
                yield found
        at = marks.find(_LONG, end)
    if not text.isascii():
        for tags in _TAGS.finditer(text, start):
            said = "".join(chr(ord(char) - 0xE0000) for char in tags.group())
            yield Blob(*tags.span(), said, 1, 1)


def _read(text: str, low: int, high: int) -> Blob | None:
    if text[low] in _NO_TEXT:
        return None
    part = text[low : min(high, low + LARGEST)]
    digits = _HEX.fullmatch(part)
    if digits:
        said = _said(bytes.fromhex(digits[1]))
        return Blob(low + digits.start(1), high, said, 2, 1) if said else None
    part = part.translate(_URLSAFE)
    said = _said(from_base64(part[: SHORTEST - SHORTEST % 4]) or b"") and _said(from_base64(part) or b"")
    padding = len(text[high : high + 2]) - len(text[high : high + 2].lstrip("="))
    return Blob(low, high + padding, said, 4, 3) if said else None


def _said(data: bytes) -> str:
    """The text of UTF-8 bytes; empty if the bytes are not text."""
    try:
        said = data.decode()
    except UnicodeDecodeError as error:  # a character that is cut in two at the end
        if error.start < len(data) - 3:
            return ""
        said = data[: error.start].decode()
    return said if sum(map(str.isprintable, said)) + said.count("\n") >= 0.9 * len(said) else ""
