"""Interfaces of the judges of answers: scanners report findings, guards edit or refuse, gates create guards.

A running text passes through a window, which reports findings, and then through guards, which see the text as the
caller gets it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.call import Call
from gateway.errors import Refusal
from gateway.output.blocks import Blocks
from gateway.output.runs import Edit, Segment, Window
from gateway.redaction.restore import Restorer
from gateway.texts import Finding


class Scanner(Protocol):
    """Finds secrets, personal data and placeholders, in whole and in running texts."""

    def scan(self, text: str) -> Sequence[Finding]: ...
    def window(self, limit: int, lead: str = "") -> Window: ...


class Guard(Protocol):
    """A further judge of one running text in its final form: restored, redacted. Raises Refusal."""

    def feed(self, text: str) -> str:
        """Add a piece; returns the text that may leave now."""
        ...

    def close(self) -> str:
        """The text has ended; returns the rest."""
        ...


class Gate(Protocol):
    """A check of answers in addition to the scanner, compiled once. Its methods raise Refusal."""

    def guard(self, call: Call) -> Guard:
        """A judge for one running text of the answer of this call."""
        ...

    def text(self, call: Call, text: str) -> str:
        """The text as the caller may get it."""
        ...

    def argument(self, call: Call, text: str) -> str:
        """A string in the arguments of a tool call, as the caller may get it."""
        ...


class Unchanged:
    """Wraps a guard for a text that must not be edited. Raises Refusal if the guard would edit the text."""

    __slots__ = ("_guard", "_taken")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._taken = ""

    def feed(self, text: str) -> str:
        """Add a piece; returns the text that may leave now."""
        self._taken += text
        return self._same(self._guard.feed(text))

    def close(self) -> str:
        """The text has ended; returns the rest."""
        rest = self._same(self._guard.close())
        if self._taken:
            raise signed_refusal()
        return rest

    def _same(self, text: str) -> str:
        if not self._taken.startswith(text):
            raise signed_refusal()
        self._taken = self._taken[len(text) :]
        return text


def signed_refusal() -> Refusal:
    """The refusal for a signed text that holds a value that must not leave."""
    return Refusal(
        "output_blocked",
        "A part of the answer that the provider signed (thinking) contains a value that must not leave. Signed parts "
        "cannot be changed, so the answer was stopped.",
        stage="output",
    )


class FieldJudge:
    """The judge of one running text in a field: see `runs.Judge`. `window` and `guards` make those of a text."""

    __slots__ = ("_edits", "_guards", "_make_guards", "_make_window", "_own_guards", "_window", "element", "restorer")

    def __init__(
        self,
        window: Callable[[], Window],
        guards: Callable[[], Sequence[Guard]],
        edits: Callable[[str, Sequence[Finding], Restorer], list[Edit]],
        element: Callable[[str], Sequence[Finding]],
        restorer: Restorer,
    ) -> None:
        self._make_window, self._make_guards = window, guards
        self._window: Window | Blocks = window()
        self._guards = guards()
        self._own_guards: Sequence[Guard] = ()  # of a separate block; the first block uses those of the text
        self._edits = edits
        self.element = element  # the findings in one element of a list
        self.restorer = restorer

    def edits(self, text: str, findings: Sequence[Finding]) -> list[Edit]:
        """The replacements for the findings."""
        return self._edits(text, findings, self.restorer)

    def begin(self) -> None:
        """The text continues in another block."""
        window = self._window
        if not isinstance(window, Blocks):
            window = self._window = Blocks(window, self._make_window)
        window.begin()

    def begin_guarding(self) -> str:
        """The next text for the guards is of another block; returns the text of the previous block that may leave."""
        if not self._guards:
            return ""
        rest = _through(self._own_guards, "", final=True)
        self._own_guards = self._make_guards()
        return _through(self._guards, rest, final=False)

    def feed(self, text: str) -> Segment:
        """Add a piece; returns the text that is judged."""
        return self._window.feed(text)

    def close(self) -> Segment:
        """The text has ended; returns the rest."""
        return self._window.close()

    def guard(self, text: str, final: bool) -> str:
        """The part of an edited text that may leave now."""
        if self._own_guards:
            text = _through(self._own_guards, text, final=final)
        return _through(self._guards, text, final=final)


def _through(guards: Sequence[Guard], text: str, *, final: bool) -> str:
    """The text that passes all guards, one after the other."""
    for guard in guards:
        text = guard.feed(text) + guard.close() if final else guard.feed(text)
    return text
