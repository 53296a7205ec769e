"""How each definition came out: whether it held, or which expression failed, and the values that this expression had.

Generated lines are marked with what they were written for (see `coverage`). A body is straight-line code, so the
furthest line that a definition came to is the expression that failed. An evaluation takes many times as long.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, NamedTuple

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.coverage import MARK
from gateway.policy.engines.rego.errors import EvaluationError
from gateway.policy.engines.rego.program import FILE, Program
from gateway.policy.engines.rego.references import shown
from gateway.policy.engines.rego.runtime import Env
from gateway.policy.engines.rego.values import UNDEFINED, Value, spell

LONGEST = 80
"""Characters of a value that are shown."""
_NAME = re.compile(r"\b[aitvo]\d+\b")
_FROM_SLOT = re.compile(r"\b(i\d+) = E\d*\.values\[(\d+)\]$")
_FROM_RULE = re.compile(r"\b(t\d+) = R(\d+)\(")
_ENTERED = ("S.add(", "put(S", "put_in_set(S")


class Seen(NamedTuple):
    """A value that an expression looked at: what it is called in the policy, and itself, shortened."""

    name: str
    value: str


class Way(NamedTuple):
    """One definition: its rule, its place, how often it was asked and held. Of the last time that it did not hold, the
    line of the expression that failed and what that saw."""

    rule: str
    file: str
    row: int
    asked: int
    held: int
    failed: int | None
    saw: tuple[Seen, ...]


class Trace:
    """Evaluates with a program that was compiled with `optimize=False`, and remembers the way of each definition."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.lines = program.source.splitlines()
        self.definitions = {name: (plan, rule) for plan in program.plans for name, rule in plan.definitions.items()}
        self.slots = {slot: path for path, slot in program.slots.items()}
        self.asked: dict[str, int] = {}
        self.held: dict[str, int] = {}
        self.failed: dict[str, tuple[int, tuple[Seen, ...]]] = {}
        self._frames: dict[FrameType, tuple[int, dict[str, Value]]] = {}
        self._looked = [*_names_by_line(self.lines)]

    def evaluate(self, path: tuple[str, ...], env: Env) -> Value:
        """The value at a path, or UNDEFINED. Raises EvaluationError."""
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            return self.program.evaluate(path, env)
        finally:
            sys.settrace(before)
            self._frames.clear()

    def ways(self) -> list[Way]:
        """The way of each definition that was asked, by place."""
        found = []
        for name, asked in self.asked.items():
            plan, rule = self.definitions[name]
            row, saw = self.failed.get(name, (None, ()))
            held = self.held.get(name, 0)
            found.append(Way(".".join(plan.node.path[1:]), rule.at.file, rule.at.row, asked, held, row, saw))
        return sorted(found, key=lambda way: (way.file, way.row))

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        del event, arg
        name = frame.f_code.co_name
        if frame.f_code.co_filename != FILE or name not in self.definitions:
            return None
        self.asked[name] = self.asked.get(name, 0) + 1
        self._frames[frame] = (0, {})
        return self._step

    def _step(self, frame: FrameType, event: str, arg: Any) -> Any:
        furthest, values = self._frames[frame]
        if event == "line":
            text = self.lines[frame.f_lineno - 1]
            if frame.f_lineno >= furthest and not text.startswith("    return "):
                known = frame.f_locals
                values = {name: known[name] for name in self._looked[frame.f_lineno - 1] if name in known}
                self._frames[frame] = (frame.f_lineno, values)
        elif event == "return":
            del self._frames[frame]
            self._returned(frame, arg, furthest, values)
        return self._step

    def _returned(self, frame: FrameType, value: Any, furthest: int, values: dict[str, Value]) -> None:
        name = frame.f_code.co_name
        gathers = "S" in frame.f_code.co_varnames[: frame.f_code.co_argcount]
        reached = self.lines[furthest - 1].strip() if furthest else ""
        if reached.startswith(_ENTERED) if gathers else value is not UNDEFINED and value is not None:
            self.held[name] = self.held.get(name, 0) + 1
            return
        first = frame.f_code.co_firstlineno
        row = next((int(mark[2]) for mark in map(MARK.search, reversed(self.lines[first:furthest])) if mark), None)
        names = self._names(name, first, furthest)
        saw = [Seen(names[one], _shown(found)) for one, found in values.items() if one in names]
        last = [Seen("", _shown(found)) for found in list(values.values())[-1:] if type(found) is not Env]
        self.failed[name] = (row or self.definitions[name][1].at.row, tuple(dict.fromkeys(saw or last)))

    def _names(self, function: str, first: int, last: int) -> dict[str, str]:
        """What the policy calls the values of a function."""
        plan, rule = self.definitions[function]
        names = {f"a{at}": shown(arg.name) for at, arg in enumerate(rule.args or ()) if isinstance(arg, ast.Var)}
        for line in self.lines[first:last]:
            text = MARK.sub("", line)
            if found := _FROM_SLOT.search(text):
                names[found[1]] = ".".join(map(str, self.slots[int(found[2])]))
            elif found := _FROM_RULE.search(text):
                names[found[1]] = ".".join(self.program.plans[int(found[2])].node.path)
        return names | plan.variables[function]


def _names_by_line(lines: list[str]) -> Iterator[tuple[str, ...]]:
    """What an expression has looked at up to each line."""
    names: dict[str, None] = {}
    for line in lines:
        if MARK.search(line) or line.startswith("def "):
            names = {}
        names |= dict.fromkeys(_NAME.findall(line))
        yield tuple(names)


def trace(program: Program, path: tuple[str, ...], input_: Value, *, steps: int, deadline: float) -> list[Way]:
    """The way of each definition that is asked for the value at a path."""
    found = Trace(program)
    with contextlib.suppress(EvaluationError):  # what was asked until then is of use
        found.evaluate(path, program.env(input_, steps=steps, deadline=deadline))
    return found.ways()


def _shown(value: Value) -> str:
    if value is UNDEFINED:
        return "undefined"
    try:
        text = spell(value)
    except (KeyError, TypeError, RecursionError):  # a package
        return "..."
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
