"""Writes lines of Python, and keeps the constants that they name.

No text of a policy gets into the lines: variables, constants, rules and builtins are `v1`, `K1`, `R1`, `B1`; the values
of constants are in the namespace in which the lines are executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_CONSTANT = re.compile(r"\b[KBX][0-9]+\b")
_MARK = re.compile(r"  #@[0-9]+:[0-9]+$")
MOST_LOOPS = 15
"""Loops within loops in one function; CPython compiles 20 blocks."""


class TooDeep(Exception):
    """More loops within loops than can be compiled."""


class Namespace:
    """The constants of a program."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self._known: dict[tuple[type, Any], str] = {}
        self._shapes: dict[str, str] = {}
        self._count = 0

    def constant(self, value: Any, prefix: str = "K") -> str:
        """The name of a constant; equal strings have one."""
        known = (type(value), value) if isinstance(value, str | int | tuple) else (object, id(value))
        found = self._known.get(known)
        if found is None:
            self._count += 1
            found = f"{prefix}{self._count}"
            self._known[known] = found
            self.names[found] = value
        return found

    def share(self, name: str, lines: list[str]) -> list[str]:
        """The lines that define a function; of functions that differ in constants alone, only the first is compiled."""
        given: dict[str, str] = {}
        head, *body = [_MARK.sub("", line) for line in lines]
        text = _CONSTANT.sub(lambda one: given.setdefault(one[0], f"k{len(given)}"), "\n".join(body))
        params = head[head.index("(") :]
        shape = self._shapes.get(params + text)
        made = []
        if shape is None:
            shape = self._shapes[params + text] = f"F{len(self._shapes)}"
            made = [f"def {shape}({', '.join(given.values())}):", f"    def f{params}"]
            made += [f"    {line}" for line in text.split("\n")]
            made.append("    return f")
        return [*made, f"{name} = {shape}({', '.join(given)})"]


class Writer:
    """One function."""

    def __init__(self, space: Namespace, head: str, fail: str = "return U") -> None:
        self.space = space
        self.lines = [head]
        self.depth = 1
        self.loops = 0
        self.fails = [fail]
        self.flags: list[tuple[int, str]] = []
        self.variables: dict[str, str] = {}
        self.known: dict[Any, str] = {}
        self.count = 0
        self.env = "E"
        self.ordered = False

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def temp(self, prefix: str = "t") -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def constant(self, value: Any) -> str:
        return self.space.constant(value)

    @property
    def fail(self) -> str:
        return self.fails[-1]

    def require(self, test: str) -> None:
        """Go on only if a test holds."""
        self.line(f"if not ({test}): {self.fail}")

    def refuse(self, test: str) -> None:
        """Go on only if a test does not hold."""
        self.line(f"if {test}: {self.fail}")

    def loop(self, head: str) -> None:
        """Open a loop; what follows is in it until the block around it is closed."""
        if self.loops >= MOST_LOOPS:
            raise TooDeep
        self.line(head)
        self.depth += 1
        self.loops += 1
        self.fails.append("continue")

    @contextmanager
    def once(self, flag: str | None = None, head: str = "for _ in ONCE:") -> Iterator[None]:
        """A block whose failure ends only the block. With a flag, `self.found` in it ends the block as well."""
        outer, bound = self.loops, dict(self.variables)
        known = dict(self.known)
        self.loop(head)
        base = self.loops
        if flag is not None:
            self.flags.append((base, flag))
        try:
            yield
        finally:
            self.close_to(base, flag)
            if flag is not None:
                self.flags.pop()
            self.depth -= 1
            self.loops = outer
            self.fails.pop()
            self.known = known
            self.variables = bound

    def close_to(self, base: int, flag: str | None) -> None:
        while self.loops > base:
            self.depth -= 1
            self.loops -= 1
            self.fails.pop()
            if flag is not None:
                self.line(f"if {flag}: break")

    def found(self, flag: str) -> None:
        """The block with this flag is done."""
        self.line(f"{flag} = True")
        self.line("break")
