"""What each rule of a program costs: how often it runs in one evaluation of the whole, and how long that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from time import perf_counter_ns
from typing import NamedTuple

from gateway.policy.engines.rego.program import FOREVER, STEPS, Program
from gateway.policy.engines.rego.values import Value


class Cost(NamedTuple):
    """One rule or function, for one evaluation: microseconds without and with what it asks, and how often it ran.

    The least of all rounds, summed over the inputs and divided by their number; measuring adds some tenths of a
    microsecond to each call.
    """

    rule: str
    file: str
    row: int
    own: float
    whole: float
    calls: float


class Costs(NamedTuple):
    """Microseconds of one evaluation, not measured rule by rule, and the rules, the most expensive first."""

    evaluation: float
    rules: list[Cost]


def costs(program: Program, path: tuple[str, ...], inputs: Sequence[Value], rounds: int = 50) -> Costs:
    """Evaluate what stands at a path for each input, many times. Raises EvaluationError, also for a budget."""
    watched = _Watched(program)
    total = 0.0
    for given in inputs:
        total += _least(program, path, given, rounds)
        watched.run(path, given, rounds)
    found = []
    for plan in program.plans:
        own, whole, calls = (amount / len(inputs) for amount in watched.sums[plan.node.number])
        if calls:
            at = plan.node.rules[0].at
            found.append(Cost(".".join(plan.node.path[1:]), at.file, at.row, own / 1000, whole / 1000, calls))
    return Costs(total / len(inputs), sorted(found, key=lambda cost: -cost.own))


def _least(program: Program, path: tuple[str, ...], given: Value, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        begun = perf_counter_ns()
        program.document(path, program.env(given, steps=STEPS, deadline=FOREVER))
        best = min(best, (perf_counter_ns() - begun) / 1000)
    return best


class _Watched:
    """A program whose functions note their time."""

    def __init__(self, program: Program) -> None:
        self.program = copy(program)
        functions, names = program.again()
        for number, function in enumerate(functions):
            functions[number] = names[f"R{number}"] = self._watch(number, function)
        self.program.functions = functions
        self.sums = [[0.0, 0.0, 0.0] for _ in functions]
        self._now: dict[int, list[int]] = {}
        self._inner: list[int] = []

    def run(self, path: tuple[str, ...], given: Value, rounds: int) -> None:
        """Add what one evaluation takes: for each rule the least of all rounds."""
        best: dict[int, list[int]] = {}
        for _ in range(rounds):
            self._now = {}
            self.program.document(path, self.program.env(given, steps=STEPS, deadline=FOREVER))
            for number, (own, whole, calls) in self._now.items():
                least = best.setdefault(number, [own, whole, calls])
                best[number] = [min(own, least[0]), min(whole, least[1]), calls]
        for number, amounts in best.items():
            self.sums[number] = [before + amount for before, amount in zip(self.sums[number], amounts, strict=True)]

    def _watch(self, number: int, function: Callable[..., Value]) -> Callable[..., Value]:
        def watched(*args: Value) -> Value:
            self._inner.append(0)
            begun = perf_counter_ns()
            try:
                return function(*args)
            finally:
                took = perf_counter_ns() - begun
                inner = self._inner.pop()
                if self._inner:
                    self._inner[-1] += took
                sums = self._now.setdefault(number, [0, 0, 0])
                sums[0] += took - inner
                sums[1] += took
                sums[2] += 1

        return watched
