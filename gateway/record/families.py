"""Families of metrics. A row is the mutable value of one combination of labels; frequent callers keep it."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

Labels = tuple[str, ...]
Others = Sequence[Sequence[Any]]
"""Rows of other workers: labels, and then the value or values."""


class Counter:
    """A counter family: labels -> a row with one sum."""

    def __init__(self, name: str, words: str, labels: Sequence[str]) -> None:
        self.name, self.words, self.labels = name, words, labels
        self._rows: dict[Labels, list[float]] = {}

    def row(self, labels: Labels) -> list[float]:
        """The row of these labels, created at first use; its only item is the sum."""
        row = self._rows.get(labels)
        if row is None:
            # A call has names of its own: each is kept once, for there are many combinations of few names.
            row = self._rows[tuple(map(sys.intern, labels))] = [0]
        return row

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Add an amount to the sum of these labels."""
        self.row(labels)[0] += amount

    def rows(self) -> list[list[Any]]:
        """All sums as JSON: labels, and then the sum."""
        return [[*labels, row[0]] for labels, row in self._rows.items()]

    def metric(self, others: Others = ()) -> Metric:
        """The family for Prometheus. `others`: rows of other workers, labels and then the value."""
        values = {labels: row[0] for labels, row in self._rows.items()}
        for *labels, value in others:
            key = tuple(labels)
            values[key] = values.get(key, 0) + value
        family = CounterMetricFamily(self.name, self.words, labels=self.labels)
        for labels_, total in values.items():
            family.add_metric(labels_, total)
        return family


class Histogram:
    """A histogram family: labels -> a row with the counts by bucket, and the sum. `bounds` are in the metric's unit.

    Values are integers in units of `1 / scale`, so that no caller converts them: nanoseconds for a metric in seconds.
    """

    def __init__(self, name: str, words: str, labels: Sequence[str], bounds: Sequence[float], scale: int = 1) -> None:
        self.name, self.words, self.labels, self.bounds = name, words, labels, bounds
        self.scale = scale
        self.edges = [bound if scale == 1 else round(bound * scale) for bound in bounds]
        """The bounds in units of values."""
        self._rows: dict[Labels, list[float]] = {}

    def row(self, labels: Labels) -> list[float]:
        """The row of these labels, created at first use: a count for each bucket, and then the sum of values."""
        row = self._rows.get(labels)
        if row is None:
            row = self._rows[labels] = [0] * (len(self.bounds) + 2)
        return row

    def observe(self, labels: Labels, value: float) -> None:
        """Add one value to the histogram of these labels."""
        row = self.row(labels)
        row[bisect_left(self.edges, value)] += 1
        row[-1] += value

    def rows(self) -> list[list[Any]]:
        """All counts as JSON: labels, and then the counts and the sum, in the metric's unit."""
        return [[*labels, self._counted(row)] for labels, row in self._rows.items()]

    def _counted(self, row: list[float]) -> list[float]:
        return [*row[:-1], row[-1] / self.scale]

    def metric(self, others: Others = ()) -> Metric:
        """The family for Prometheus, with cumulative buckets. `others`: rows of other workers."""
        values = {labels: self._counted(row) for labels, row in self._rows.items()}
        for *labels_, counted in others:
            mine = values.setdefault(tuple(labels_), [0.0] * len(counted))
            values[tuple(labels_)] = [a + b for a, b in zip(mine, counted, strict=True)]
        family = HistogramMetricFamily(self.name, self.words, labels=self.labels)
        for labels, row in values.items():
            total, buckets = 0.0, []
            for bound, count in zip([*map(str, map(float, self.bounds)), "+Inf"], row, strict=False):
                total += count
                buckets.append((bound, total))
            family.add_metric(labels, buckets, row[-1])
        return family
