"""A text that goes on in further blocks: judged as one text, and each block of it by itself.

Clients put the blocks of an answer together, or show them one by one. A value may begin in one block and end in the
next; and what stands beside it in the block before, without a blank between them, must not hide a value that is whole
in its own block. So two windows read what comes: nothing leaves that one of them still holds, and what only one of
them finds is found. Where both have come to hold the same, one goes on alone until another block begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.output.elements import SHORTEST, united
from gateway.output.runs import Segment, Window
from gateway.texts import Finding

_ALIKE: Final = 32
"""Characters of a block after which what came before it changes nothing for what is held."""


class _Segment(NamedTuple):
    """Text that both readings have judged, and what either found in it."""

    text: str
    findings: Sequence[Finding]


class _Reader:
    """One reading: how far it has judged what is held, and what it found there."""

    __slots__ = ("at", "found", "window")

    def __init__(self, window: Window, at: int) -> None:
        self.window = window
        self.at = at
        self.found: list[Finding] = []

    def take(self, judged: Segment) -> None:
        """Write down what a window says of the next stretch."""
        at = self.at
        self.found += [one._replace(start=one.start + at, end=one.end + at) for one in judged.findings]
        self.at += len(judged.text)

    def drop(self, size: int) -> list[Finding]:
        """Forget the first characters of what is held; what was found in them."""
        self.at -= size
        gone = [one for one in self.found if one.end <= size]
        self.found = [one._replace(start=one.start - size, end=one.end - size) for one in self.found if one.end > size]
        return gone


class Blocks:
    """The window of such a text; `fresh` makes the window of a block."""

    __slots__ = ("_fresh", "_held", "_joined", "_own", "_since")

    def __init__(self, window: Window, fresh: Callable[[], Window]) -> None:
        self._fresh = fresh
        self._held = ""  # while there are two readings
        self._joined = _Reader(window, 0)
        self._own: _Reader | None = None
        self._since = 0  # characters of the block that have come

    @property
    def pending(self) -> str:
        """What may not leave yet."""
        return self._joined.window.pending if self._own is None else self._held

    def begin(self) -> None:
        """Another block begins: the one before is whole."""
        own = self._own
        if own is None:
            self._held, self._joined.at = self._joined.window.pending, 0
            own = _Reader(self._joined.window.fork(), 0)
        own.take(own.window.close())
        own.window = self._fresh()
        self._own, self._since = own, 0

    def feed(self, text: str) -> Segment:
        """Take a piece; give what is judged by now."""
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
        """Whether both windows go on alike: they hold the same, and what stands before that is the same."""
        held = own.window.pending
        return held == self._joined.window.pending and self._since - len(held) >= (_ALIKE if held else 1)

    def close(self) -> Segment:
        """The text has ended: give the rest."""
        joined, own = self._joined, self._own
        if own is None:
            return joined.window.close()
        joined.take(joined.window.close())
        own.take(own.window.close())
        return self._leave(own, len(self._held))

    def fork(self) -> Window:
        """Not asked: blocks have no blocks."""
        raise AssertionError("a block was forked")

    def _leave(self, own: _Reader, size: int) -> _Segment:
        found = [*self._joined.found, *own.found]
        while across := [one.start for one in found if one.start < size < one.end]:
            size = min(across)
        text, self._held = self._held[:size], self._held[size:]
        joined = self._joined.drop(size)
        return _Segment(text, _both(joined, own.drop(size)))


def _both(joined: Sequence[Finding], own: Sequence[Finding]) -> Sequence[Finding]:
    """What either reading found; a value that is whole in its block ends there if no more than a few characters of the
    next, or of the one before, could be of it."""
    if not own:
        return joined
    return united([one for one in joined if not any(_is_same(one, other) for other in own)], own)


def _is_same(joined: Finding, own: Finding) -> bool:
    """Whether one is the other with a few characters beside it."""
    return (
        joined.entity == own.entity
        and joined.start <= own.start
        and own.end <= joined.end
        and (joined.end - joined.start) - (own.end - own.start) < SHORTEST
    )
