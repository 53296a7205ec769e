"""A text that continues in further blocks: judged as one text, and each block as a separate text.

Clients join the blocks of an answer, or show them one by one. A value may begin in one block and end in the next; and
characters at the end of one block, directly before the next, must not hide a value that is complete in its own block.
So two windows read the text: nothing leaves that either of them still holds, and the findings of both count. When both
hold the same text, only one of them continues until another block begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.output.elements import SHORTEST, united
from gateway.output.runs import Segment, Window
from gateway.texts import Finding

_ALIKE: Final = 32
"""Characters of a block after which the previous block no longer affects the held text."""


class _Segment(NamedTuple):
    """Text that both readings have judged, and the findings of both."""

    text: str
    findings: Sequence[Finding]


class _Reader:
    """One reading: how far it has judged the held text, and its findings there."""

    __slots__ = ("at", "found", "window")

    def __init__(self, window: Window, at: int) -> None:
        self.window = window
        self.at = at
        self.found: list[Finding] = []

    def take(self, judged: Segment) -> None:
        """Record the verdict of a window on the next stretch."""
        at = self.at
        self.found += [one._replace(start=one.start + at, end=one.end + at) for one in judged.findings]
        self.at += len(judged.text)

    def drop(self, size: int) -> list[Finding]:
        """Drop the first characters of the held text; returns the findings in them."""
        self.at -= size
        gone = [one for one in self.found if one.end <= size]
        self.found = [one._replace(start=one.start - size, end=one.end - size) for one in self.found if one.end > size]
        return gone


class Blocks:
    """The window of such a text; `fresh` creates the window of a block."""

    __slots__ = ("_fresh", "_held", "_joined", "_own", "_since")

    def __init__(self, window: Window, fresh: Callable[[], Window]) -> None:
        self._fresh = fresh
        self._held = ""  # the held text, while there are two readings
        self._joined = _Reader(window, 0)
        self._own: _Reader | None = None
        self._since = 0  # characters of the block so far

    @property
    def pending(self) -> str:
        """The text that may not leave yet."""
        return self._joined.window.pending if self._own is None else self._held

    def begin(self) -> None:
        """Another block begins: the previous block is complete."""
        own = self._own
        if own is None:
            self._held, self._joined.at = self._joined.window.pending, 0
            own = _Reader(self._joined.window.fork(), 0)
        own.take(own.window.close())
        own.window = self._fresh()
        self._own, self._since = own, 0

    def feed(self, text: str) -> Segment:
        """Take a piece; returns what is judged so far."""
        joined, own = self._joined, self._own
        if own is None:
            return joined.window.feed(text)
        self._held += text
        self._since += len(text)
        joined.take(joined.window.feed(text))
        own.take(own.window.feed(text))
        segment = self._leave(own, min(joined.at, own.at))
        if joined.at == own.at and not joined.found and not own.found and self._are_alike(own):
            self._own = None
        return segment

    def _are_alike(self, own: _Reader) -> bool:
        """Whether both windows will agree: they hold the same text, with the same text before it."""
        held = own.window.pending
        return held == self._joined.window.pending and self._since - len(held) >= (_ALIKE if held else 1)

    def close(self) -> Segment:
        """Judge the rest at the end of the text, and return it."""
        joined, own = self._joined, self._own
        if own is None:
            return joined.window.close()
        joined.take(joined.window.close())
        own.take(own.window.close())
        return self._leave(own, len(self._held))

    def fork(self) -> Window:
        """Never called: blocks are not divided into blocks."""
        raise AssertionError("a block was forked")

    def _leave(self, own: _Reader, size: int) -> _Segment:
        found = [*self._joined.found, *own.found]
        while across := [one.start for one in found if one.start < size < one.end]:
            size = min(across)
        text, self._held = self._held[:size], self._held[size:]
        joined = self._joined.drop(size)
        return _Segment(text, _both(joined, own.drop(size)))


def _both(joined: Sequence[Finding], own: Sequence[Finding]) -> Sequence[Finding]:
    """The findings of both readings. A value that is complete in its block ends with the block if only a few characters
    of an adjacent block could be part of the value."""
    if not own:
        return joined
    return united([one for one in joined if not any(_is_same(one, other) for other in own)], own)


def _is_same(joined: Finding, own: Finding) -> bool:
    """Whether one finding is the other with a few additional characters."""
    return (
        joined.entity == own.entity
        and joined.start <= own.start
        and own.end <= joined.end
        and (joined.end - joined.start) - (own.end - own.start) < SHORTEST
    )
