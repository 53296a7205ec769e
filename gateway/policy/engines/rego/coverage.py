"""Which expressions of a policy were evaluated: generated lines are marked with the line of the policy."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from gateway.policy.engines.rego.program import FILE, Program

MARK = re.compile(r"  #@(\d+):(\d+)$")
Place = tuple[str, int]
"""File and line of an expression."""


class Coverage:
    """What of a program ran while `watching`."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.places: dict[int, Place] = {}
        for number, line in enumerate(program.source.splitlines(), start=1):
            found = MARK.search(line)
            if found:
                self.places[number] = (program.modules[int(found[1])].file, int(found[2]))
        self.ran: set[int] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch evaluations of this thread; they take many times as long."""
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(before)

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        del event, arg
        return self._line if frame.f_code.co_filename == FILE else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        del arg
        if event == "line":
            self.ran.add(frame.f_lineno)
        return self._line

    def lines(self) -> set[Place]:
        """Every line that has an expression."""
        return set(self.places.values())

    def missed(self) -> list[Place]:
        """The lines of which some expression was never evaluated, in order."""
        return sorted({place for number, place in self.places.items() if number not in self.ran})
