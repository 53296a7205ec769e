"""Results of rules that are kept between evaluations, by what the rules read of the input.

A rule that depends on subject and model alone is not evaluated again when the rest of the input changes. A lookup takes
time too: only rules that take longer are kept, which is measured on every `SAMPLE`-th evaluation at first, and of these
only the ones whose results are found again. Nothing is kept of rules that read the time or chance, nor within `with`,
nor of errors. (Rules that read nothing of the input are evaluated once in any case.)
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Sequence
from copy import copy
from time import perf_counter
from typing import Any, Final

from gateway.policy.engines.rego.planner import Plan
from gateway.policy.engines.rego.program import Program
from gateway.policy.engines.rego.runtime import MISSING, SIZED, Env, Path, fetch
from gateway.policy.engines.rego.tree import FUNCTION
from gateway.policy.engines.rego.values import Value

Rule = Callable[[Env], Value]
SAMPLE = 128
"""Evaluations of which one is measured."""
SAMPLES = 8
"""Measures of a rule, of which the least counts."""
WORTH = 5e-6
"""Seconds that a rule takes, with all that it asks, from which its results are kept."""
TRIAL = 1024
"""Evaluations after which a rule is kept no longer if fewer than one in four was found."""
MOST = 16_384
"""Results that are kept of one program; then all are forgotten."""
MOST_PATHS = 6
"""Paths that a rule may read for its results to be kept."""
LARGEST = 64
"""Items of a value that is looked up by, and of a result; of text, characters divided by 16."""
UNKEPT: Final = object()
"""In the place of a value that nothing is kept by."""


class Kept:
    """The results of one program, and which rules are worth it. `evaluate` with it in place of the program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.results: dict[Any, Value] = {}
        self.rules = _may_be_kept(program.plans)
        """Paths that each rule reads, of those whose results may be kept."""
        self._measured: Program | None = None
        self._least: dict[int, list[float]] = {number: [] for number in self.rules}
        self._count = 0

    def env(self, input_: Value, *, owner: str = "", steps: int, deadline: float) -> Env:
        """An evaluation about to begin. Results of one `owner` serve only that owner."""
        program = self.program
        self._count += 1
        if self._count % SAMPLE == 0:
            program = self._sampled()
        env = program.env(input_, steps=steps, deadline=deadline)
        env.kept, env.owner = self.results, owner
        return env

    def keep(self, number: int) -> None:
        """From now on keep the results of a rule."""
        usual = self.program.functions[number]
        slots = [(self.program.slots["input", *path], ("input", *path)) for path in sorted(self.rules[number])]
        asked = found = 0

        def kept(env: Env) -> Value:
            value = env.values[number]
            if value is not MISSING:
                return value
            results = env.kept
            if results is None:
                return usual(env)
            nonlocal asked, found
            asked += 1
            by = (number, env.owner, *[form(env, slot, path) for slot, path in slots])
            value = results.get(by, MISSING)
            if value is not MISSING:
                found += 1
                env.values[number] = value
                return value
            if asked >= TRIAL:
                if 4 * found < asked:
                    self.program.replace(number, usual)
                asked = found = 0
            value = usual(env)
            self._put(by, value)
            return value

        self.program.replace(number, kept)

    def _put(self, by: tuple[Any, ...], value: Value) -> None:
        if UNKEPT in by or (type(value) in SIZED and _large(value)):
            return
        if len(self.results) >= MOST:
            self.results.clear()
        self.results[by] = value

    def _sampled(self) -> Program:
        """The program with functions that note how long those take that may be kept, while that is not known of all."""
        if not self._least or self._count > 64 * SAMPLES * SAMPLE:
            self._measured = None
            return self.program
        if self._measured is None:
            self._measured = copy(self.program)
            functions, names = self.program.again()
            for number in self.rules:
                functions[number] = names[f"R{number}"] = self._timer(number, functions[number])
            self._measured.functions = functions
        return self._measured

    def _timer(self, number: int, usual: Rule) -> Rule:
        def timed(env: Env) -> Value:
            if env.values[number] is not MISSING or env.kept is None:
                return usual(env)
            begun = perf_counter()
            value = usual(env)
            self._took(number, perf_counter() - begun)
            return value

        return timed

    def _took(self, number: int, seconds: float) -> None:
        least = self._least.get(number)
        if least is None:
            return
        least.append(seconds)
        if len(least) >= SAMPLES:
            self._least.pop(number, None)
            if min(least) >= WORTH:
                self.keep(number)


def form(env: Env, slot: int, path: Path) -> Any:
    """What a value of the input is looked up by: text as it is, anything else as bytes. Equal only for equal values."""
    value = env.values[slot]
    if value is MISSING:
        value = fetch(env, slot, path)
    kind = type(value)
    if kind is str:
        return UNKEPT if _large(value) else value
    if kind in SIZED and len(value) > LARGEST:
        return UNKEPT
    try:
        found = marshal.dumps(value, 2)
    except ValueError:  # undefined, or a number that a float would round
        return UNKEPT
    return UNKEPT if len(found) > 16 * LARGEST else found


def _large(value: Value) -> bool:
    return len(value) > (16 * LARGEST if type(value) is str else LARGEST)


def _may_be_kept(plans: Sequence[Plan]) -> dict[int, frozenset[Path]]:
    known: dict[int, tuple[frozenset[Path], bool]] = {}
    for start in range(len(plans)):
        left = [start]
        while left:
            plan = plans[left[-1]]
            waits = [one for one in plan.reads if one not in known]
            if waits:
                left += waits
                continue
            below = [known[one] for one in plan.reads]
            paths = plan.inputs.union(*(one[0] for one in below))
            known[left.pop()] = frozenset(paths), not plan.volatile and all(one[1] for one in below)
    return {
        number: paths
        for number, (paths, steady) in known.items()
        if steady and 0 < len(paths) <= MOST_PATHS and () not in paths and plans[number].node.kind != FUNCTION
    }
