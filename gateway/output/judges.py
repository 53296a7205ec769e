"""What judges a text of an answer: scanners find, guards edit or refuse, gates make guards.

A running text is judged by a window, which finds, and then by guards, which see the text as the caller will get it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.call import Call, Finding
from gateway.errors import Refusal
from gateway.output.runs import Edit, Segment
from gateway.redaction.restore import Restorer


class Window(Protocol):
    """The judge of one running text."""

    @property
    def pending(self) -> str: ...
    def feed(self, text: str) -> Segment: ...
    def close(self) -> Segment: ...


class Scanner(Protocol):
    """Finds secrets, personal data and placeholders, in whole texts and in running ones."""

    def scan(self, text: str) -> Sequence[Finding]: ...
    def window(self, limit: int) -> Window: ...


class Guard(Protocol):
    """A further judge of one running text, as the caller is about to get it: restored, redacted. Raises Refusal."""

    def feed(self, text: str) -> str:
        """Take a piece; give what may leave by now."""
        ...

    def close(self) -> str:
        """The text has ended: give the rest."""
        ...


class Gate(Protocol):
    """What answers are judged by beyond the scanner's findings, compiled once. Raises Refusal."""

    def guard(self, call: Call) -> Guard:
        """The judge of one running text of this call's answer."""
        ...

    def text(self, call: Call, text: str) -> str:
        """A whole text as the caller may have it."""
        ...

    def argument(self, call: Call, text: str) -> str:
        """A string among the arguments of a tool call."""
        ...


class Unchanged:
    """A guard of a text that may not be edited. Raises Refusal where the guard would do it."""

    __slots__ = ("_guard", "_taken")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._taken = ""

    def feed(self, text: str) -> str:
        """Take a piece; give what may leave by now."""
        self._taken += text
        return self._same(self._guard.feed(text))

    def close(self) -> str:
        """The text has ended: give the rest."""
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
    """A signed text holds what may not leave, and cannot leave without that."""
    return Refusal(
        "output_blocked",
        "A part of the answer that the provider has signed (thinking) holds what must not leave, and cannot be "
        "changed; the answer was stopped.",
        stage="output",
    )


class FieldJudge:
    """What judges one running text in a field: see `runs.Judge`."""

    __slots__ = ("_edits", "_guards", "_window", "element", "restorer")

    def __init__(
        self,
        window: Window,
        guards: Sequence[Guard],
        edits: Callable[[str, Sequence[Finding], Restorer], list[Edit]],
        element: Callable[[str], Sequence[Finding]],
        restorer: Restorer,
    ) -> None:
        self._window = window
        self._guards = guards
        self._edits = edits
        self.element = element  # what an element of a list holds by itself
        self.restorer = restorer

    def edits(self, text: str, findings: Sequence[Finding]) -> list[Edit]:
        """What is to be put in place of what was found."""
        return self._edits(text, findings, self.restorer)

    @property
    def pending(self) -> str:
        """What is held of the text, as it may yet become a finding."""
        return self._window.pending

    def feed(self, text: str) -> Segment:
        """Take a piece; give what is judged by now."""
        return self._window.feed(text)

    def close(self) -> Segment:
        """The text has ended: give the rest."""
        return self._window.close()

    def guard(self, text: str, final: bool) -> str:
        """What of an edited text may leave by now."""
        for guard in self._guards:
            text = guard.feed(text) + guard.close() if final else guard.feed(text)
        return text
