"""A gate: invisible characters, and characters that change the order of others.

Config key: `output.invisible`: remove, block (output_blocked), allow.

Treated as hidden data: tag characters, except in flags such as those of England and Scotland; direction overrides;
embeddings and isolates without a right-to-left script nearby; zero-width characters after ASCII and in runs of more
than two; variation selectors that select nothing. Kept: joiners in emoji, Persian and Indic words, direction marks in
Arabic and Hebrew, soft hyphens, selectors after ideographs and emoji. A single misplaced zero-width character is
usually a copying error: `block` removes it, too, and refuses only what can hold more than a bit or two.
"""

from __future__ import annotations

from typing import Final, Literal

import regex

from gateway.budget import spend
from gateway.call import Call
from gateway.errors import Refusal

_ZERO: Final = frozenset("\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff\u180e\u034f\u115f\u1160\u3164\uffa0")
_MARKS: Final = frozenset("\u200e\u200f\u061c")
_SELECTORS: Final = frozenset(map(chr, range(0xFE00, 0xFE10)))
_MORE_SELECTORS: Final = frozenset(map(chr, range(0xE0100, 0xE01F0)))
_OPENING: Final = frozenset("\u202a\u202b\u2066\u2067\u2068")  # embeddings and isolates
_CLOSING: Final = frozenset("\u202c\u2069")
_NEVER: Final = frozenset("\u202d\u202e\u206a\u206b\u206c\u206d\u206e\u206f") | frozenset(
    map(chr, range(0xE0000, 0xE0080))
)  # overrides, deprecated controls, tags
_LIGHT: Final = _ZERO | _MARKS | _SELECTORS | frozenset("\u00ad")
_ANY: Final = _LIGHT | _MORE_SELECTORS | _OPENING | _CLOSING | _NEVER

_CLASS: Final = "".join(sorted(_ANY))
_HIDDEN: Final = regex.compile(f"[{_CLASS}\U0001f3f4]")
_FLAG: Final = regex.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
_UNDECIDED: Final = regex.compile("(?:\U0001f3f4[\U000e0000-\U000e007e]{0,7}|[\u202a\u202b\u2066-\u2068])\\Z")
_RTL: Final = regex.compile(r"[\p{bc=R}\p{bc=AL}]")
_RUN: Final = 2  # invisible characters that may follow each other: a selector and a joiner
_STRAYS: Final = 8  # removed from one text before `block` treats them as data: one byte of one bit each

Verdict = Literal["keep", "stray", "data"]


class Invisible:
    """The gate."""

    def __init__(self, action: Literal["remove", "block"]) -> None:
        self._block = action == "block"

    def guard(self, _: Call | None = None) -> Cleaner:
        """The judge of one running text."""
        return Cleaner(block=self._block)

    def text(self, _: Call, text: str) -> str:
        """The text without hidden characters. Raises Refusal(output_blocked)."""
        if text.isascii():
            return text
        cleaner = self.guard()
        return cleaner.feed(text) + cleaner.close()

    def argument(self, _: Call, text: str) -> str:
        """The argument, unchanged: arguments are also judged as texts."""
        return text


class Cleaner:
    """Removes hidden characters from one running text; holds back at most eight characters, for a flag."""

    __slots__ = ("_block", "_held", "_last", "_rtl", "_run", "_strays")

    def __init__(self, *, block: bool) -> None:
        self._block = block
        self._held = ""
        self._last = ""  # the last visible character
        self._run = 0  # invisible characters since then
        self._rtl = False  # a right-to-left script has occurred
        self._strays = 0

    def feed(self, text: str) -> str:
        """Add a piece; returns the text that may leave now. Raises Refusal(output_blocked)."""
        if self._held:
            text, self._held = self._held + text, ""
        if text.isascii():
            if text:
                self._last, self._run = text[-1], 0
            return text
        if _HIDDEN.search(text) is None:
            self._see(text)
            return text
        undecided = _UNDECIDED.search(text)
        if undecided:
            text, self._held = text[: undecided.start()], text[undecided.start() :]
        return self._clean(text)

    def close(self) -> str:
        """The text has ended; returns the rest."""
        text, self._held = self._held, ""
        return self._clean(text)

    def _see(self, text: str) -> None:
        if text:
            self._last, self._run = text[-1], 0
            if not self._rtl and max(text) > "\u0590":  # the first code point of those scripts
                self._rtl = _RTL.search(text) is not None

    def _clean(self, text: str) -> str:
        kept: list[str] = []
        at = 0
        while match := _HIDDEN.search(text, at):
            spend(1)
            start = match.start()
            kept.append(text[at:start])
            self._see(text[at:start])
            flag = _FLAG.match(text, start)
            if flag or text[start] == "\U0001f3f4":
                at = flag.end() if flag else start + 1
                kept.append(text[start:at])
                self._last, self._run = text[at - 1], 0
                continue
            at = start + 1
            verdict = self._verdict(text[start], text[at : at + 1])
            if verdict == "keep":
                kept.append(text[start])
            elif self._block:
                self._strays += 1
                if verdict == "data" or self._strays >= _STRAYS:
                    raise Refusal(
                        "output_blocked",
                        "The answer contained invisible characters that can carry data, or change the order of the "
                        "shown text, and was stopped.",
                        stage="output",
                    )
        kept.append(text[at:])
        self._see(text[at:])
        return "".join(kept)

    def _verdict(self, char: str, after: str) -> Verdict:
        if char in _NEVER:
            return "data"
        if char in _OPENING:
            return "keep" if self._rtl or _RTL.match(after) else "data"
        if char in _CLOSING:
            return "keep" if self._rtl else "stray"
        self._run += 1
        if self._run > _RUN:
            return "data"
        if char in _MORE_SELECTORS:
            return "keep" if self._run == 1 and _is_ideograph(self._last) else "data"
        if char in _SELECTORS:
            return "keep" if self._run == 1 and (not self._last.isascii() or self._last in "#*0123456789") else "stray"
        if char in _MARKS:
            return "keep" if self._rtl else "stray"
        if char in _ZERO:
            return "keep" if self._last and not self._last.isascii() else "stray"
        return "keep"  # a soft hyphen


def _is_ideograph(char: str) -> bool:
    return "\u3400" <= char <= "\u9fff" or "\U00020000" <= char <= "\U000323af"
