"""Prometheus metrics, and a JSON log line for each ended call.

Config key: `log`. Counting is a dict lookup and an addition at the end of a call; the families are built at scrape
time. docs/metrics.md lists names and labels; correlation ids are never labels. Nothing here can fail a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import IO, Any

import orjson
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from gateway.amounts import NANO_USD
from gateway.call import Json
from gateway.detect.secrets.own import OwnSecrets
from gateway.record.ended import Ended
from gateway.record.repeats import Repeats
from gateway.stores import FOREVER

Labels = tuple[str, ...]
Row = Sequence[Any]
"""A row of another worker: labels, and then the value or values."""

DURATION = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)  # seconds
OVERHEAD = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 1)  # seconds
RATIO = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1)
_MOST_RULES = 512
_log = logging.getLogger("meshgate")


class Counter:
    """A counter family: labels -> sum."""

    def __init__(self, name: str, words: str, labels: Sequence[str]) -> None:
        self.name, self.words, self.labels = name, words, labels
        self.values: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Add an amount to the sum of these labels."""
        self.values[labels] = self.values.get(labels, 0) + amount

    def metric(self, others: Sequence[Row] = ()) -> Metric:
        """The family for Prometheus. `others`: rows of other workers, labels and then the value."""
        values = dict(self.values)
        for *labels, value in others:
            key = tuple(labels)
            values[key] = values.get(key, 0) + value
        family = CounterMetricFamily(self.name, self.words, labels=self.labels)
        for labels_, total in values.items():
            family.add_metric(labels_, total)
        return family


class Histogram:
    """A histogram family: labels -> counts by bucket, and the sum."""

    def __init__(self, name: str, words: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.name, self.words, self.labels, self.bounds = name, words, labels, bounds
        self.values: dict[Labels, list[float]] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Add one value to the histogram of these labels."""
        row = self.values.get(labels)
        if row is None:
            row = self.values[labels] = [0.0] * (len(self.bounds) + 2)
        row[bisect_left(self.bounds, value)] += 1
        row[-1] += value

    def metric(self, others: Sequence[Row] = ()) -> Metric:
        """The family for Prometheus, with cumulative buckets. `others`: rows of other workers."""
        values = {labels: list(row) for labels, row in self.values.items()}
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


class Telemetry:
    """All metrics, and the log. A collector that can be registered with a `prometheus_client` registry."""

    def __init__(self, log: IO[str] | None = sys.stdout, clock: Callable[[], float] = time.monotonic) -> None:
        call = ("agent", "team", "model", "provider", "route", "status")
        self.requests = Counter("meshgate_requests", "Calls answered.", call)
        whole = ("route", "model")
        self.duration = Histogram("meshgate_request_duration_seconds", "Duration of calls.", whole, DURATION)
        self.overhead = Histogram("meshgate_overhead_seconds", "Time in the gateway itself.", ("stage",), OVERHEAD)
        words = "Time until the first byte of a stream."
        self.first = Histogram("meshgate_time_to_first_token_seconds", words, ("model", "provider"), DURATION)
        self.tokens = Counter("meshgate_tokens", "Tokens settled.", ("direction", "model", "team"))
        self.cost = Counter("meshgate_cost_usd", "USD settled.", ("model", "team"))
        self.violations = Counter("meshgate_violations", "Refusals.", ("code", "stage", "team", "mode"))
        self.redactions = Counter("meshgate_redactions", "Values redacted.", ("entity", "direction"))
        self.decisions = Counter("meshgate_decisions", "Decisions of the policy.", ("verdict", "rule", "mode"))
        self.candidates = Counter("meshgate_candidate_decisions", "Decisions of the candidate.", ("outcome",))
        self.changes = Counter("meshgate_candidate_differences", "Verdicts that the candidate changes.", ("change",))
        self.quota = Histogram("meshgate_quota_used_ratio", "Quota used after a call.", ("quota",), RATIO)
        self.reload_failures = Counter("meshgate_reload_failures", "Changes on disk that were refused.", ("what",))
        self.reload_failed = {"config": 0, "policy": 0}  # and "policy source", for a bundle from git or a server
        self.failures = Counter("meshgate_internal_errors", "Faults of the gateway itself.", ("stage",))
        self._rules: set[str] = set()
        self.gauges: list[Callable[[], Metric]] = []
        self._families: list[Counter | Histogram] = [
            v for v in vars(self).values() if isinstance(v, Counter | Histogram)
        ]
        self._log = LineLog(log) if log else None
        self._strangers = Repeats(self._say_strangers, clock)

    def collected(self, others: Sequence[Json]) -> Iterator[Metric]:
        """All families, with the counts of other workers."""
        for family in self._families:
            yield family.metric([row for snapshot in others for row in snapshot.get(family.name, ())])
        failed = GaugeMetricFamily(
            "meshgate_reload_failed", "1: the version on disk is not the version in use.", labels=["what"]
        )
        for what, state in self.reload_failed.items():
            failed.add_metric([what], state)
        yield failed
        for gauge in self.gauges:
            yield gauge()

    def stranger(self) -> None:
        """Log a request without a valid key: one line a second for all of them."""
        self._strangers.take("", {"level": "warning", "event": "calls without a valid key"})

    def _say_strangers(self, line: Json, more: int) -> None:
        self.say({**line, "count": more + 1})

    def report(self) -> None:
        """Log what was only counted. To be called about once a second."""
        self._strangers.report()

    def snapshot(self) -> Json:
        """All counts as JSON, for the `/metrics` of another worker."""
        return {family.name: [[*labels, value] for labels, value in family.values.items()] for family in self._families}

    def collect(self) -> Iterator[Metric]:
        """All families, for prometheus_client."""
        yield from self.collected(())

    def failed(self, stage: str) -> None:
        """Count a fault of the gateway itself."""
        self.failures.add((stage,))

    def reloaded(self, what: str, problem: str | None) -> None:
        """Record that the version on disk is in use (`problem` is None), or was refused."""
        failed_before = self.reload_failed.get(what, 0)
        self.reload_failed[what] = int(problem is not None)
        if problem is None and failed_before:
            self.say({"level": "info", "event": f"{what} accepted again"})
        if problem is not None:
            self.reload_failures.add((what,))
            self.say({"level": "error", "event": f"{what} refused, the last good version stays", "problem": problem})

    def candidate(self, outcome: str, count: int, change: str = "") -> None:
        """Count decisions of a candidate bundle by outcome: same, differs or skipped."""
        self.candidates.add((outcome,), count)
        if change:
            self.changes.add((self._rule(change),))

    def _rule(self, code: str) -> str:
        """The label for a rule. A policy that computes its codes must not make a metric grow without limit."""
        if code not in self._rules:
            if len(self._rules) >= _MOST_RULES:
                return "other"
            self._rules.add(code)
        return code

    def hide(self, own: OwnSecrets) -> None:
        """Hide these secrets in every log line from now on."""
        if self._log:
            self._log.own = own

    def say(self, record: Json) -> None:
        """Write one log line."""
        if self._log:
            self._log.write({"time": _iso(time.time()), **record})

    def close(self) -> None:
        """Write pending lines."""
        self._strangers.report(last=True)
        if self._log:
            self._log.close()

    def count(self, record: Ended) -> None:
        """Count a call that has ended."""
        subject = record.subject
        agent, team = (subject.agent, subject.team) if subject else ("", "")
        model, started = record.model, record.started_ns
        self.requests.add((agent, team, model, record.provider, record.route, str(record.status)))
        self.duration.observe((record.route, model), (record.ended_ns - started) / 1e9)
        before = started
        for stage, at in record.stages:
            if stage != "upstream":
                self.overhead.observe((stage,), (at - before) / 1e9)
            before = at
        if record.stream and record.first_byte_ns:
            self.first.observe((model, record.provider), (record.first_byte_ns - started) / 1e9)
        if record.usage:
            self.tokens.add(("input", model, team), record.usage.input)
            self.tokens.add(("output", model, team), record.usage.output)
        if record.cost:
            self.cost.add((model, team), record.cost / NANO_USD)
        self._count_verdicts(record, team)

    def _count_verdicts(self, record: Ended, team: str) -> None:
        if record.code:
            self.violations.add((record.code, record.stage, team, "enforce"))
        decision = record.decision
        if decision:
            self.decisions.add(("allow" if decision.allow else "deny", self._rule(decision.rule), decision.mode))
            if not decision.allow and decision.mode == "shadow":
                self.violations.add(("policy_denied", "authorize", team, "shadow"))
        for entity, count in record.redacted.items():
            self.redactions.add((entity, "request"), count)
        for entity, count in record.screened.items():
            self.redactions.add((entity, "response"), count)
        for debit, balance in zip(record.debits, record.balances, strict=False):  # nothing reserved: no balances
            limit = debit.limit + balance.added
            if not debit.refill and limit and debit.limit < FOREVER:
                self.quota.observe((debit.unit,), 1 - balance.remaining / limit)

    def log(self, record: Ended) -> None:
        """Log a call that has ended: one line, or one line a second for all calls without a valid key."""
        if record.unknown:
            self.stranger()
        elif self._log:
            self._log.write(_line(record))


def _iso(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}+00:00"


@functools.lru_cache(4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _line(record: Ended) -> Json:
    subject, usage, decision = record.subject, record.usage, record.decision
    line: Json = {
        "time": _iso(time.time()),
        "level": "info",
        "event": "call",
        "request_id": record.id,
        "correlation_id": record.correlation_id,
        "agent": subject.agent if subject else None,
        "team": subject.team if subject else None,
        "route": record.route,
        "model": record.model or None,
        "provider": record.provider or None,
        "stream": record.stream,
        "status": record.status,
        "code": record.code or None,
        "stage": record.stage or None,
        "rule": decision.rule if decision else None,
        "policy": decision.version if decision else None,
        "input_tokens": usage.input if usage else None,
        "output_tokens": usage.output if usage else None,
        "counted": usage.counted if usage else None,
        "cost_usd": record.cost / NANO_USD,
        "redacted": record.redacted or None,
        "screened": record.screened or None,
        "finished": record.finished,
        "replayed": record.replayed or None,
        "ms": round((record.ended_ns - record.started_ns) / 1e6, 3),
    }
    return {key: value for key, value in line.items() if value is not None}


class LineLog:
    """Writes lines in batches, in a thread of its own, so that a stalled reader of the log does not delay calls.

    At most `BOUND` lines wait. Further lines are dropped, as are lines that cannot be written; the number of dropped
    lines is logged.
    """

    BOUND = 100_000
    LINGER = 0.05  # seconds
    PATIENCE = 2.0  # seconds that `close` waits for a stalled reader

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self.own = OwnSecrets(())
        self._lines: list[bytes] = []
        self._dropped = 0
        self._failing = False  # whether the last write failed
        self._waiting = False
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "log")

    def write(self, record: Json) -> None:
        """Enqueue one record."""
        if len(self._lines) >= self.BOUND:
            self._dropped += 1
            return
        self._lines.append(orjson.dumps(record))
        if not self._waiting:
            self._soon()

    def _soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._waiting = True
            loop.call_later(self.LINGER, self._go, loop)

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # closed meanwhile: `close` writes the rest
            loop.run_in_executor(self._thread, self.flush).add_done_callback(self._written)

    def _written(self, _: asyncio.Future[None]) -> None:
        """Write the lines that arrived meanwhile; at most one thread waits for the reader."""
        self._waiting = False
        if self._lines:
            self._soon()

    def close(self) -> None:
        """Write pending lines, for at most `PATIENCE` seconds."""
        last = self._thread.submit(self.flush)
        with contextlib.suppress(TimeoutError):
            last.result(self.PATIENCE)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def flush(self) -> None:
        """Write all pending lines."""
        with self._lock:
            lines, self._lines = self._lines, []
            count, dropped = len(lines), self._dropped
            if dropped:
                lines.append(orjson.dumps({"level": "error", "event": "log lines dropped", "count": dropped}))
            if not lines:
                return
            try:
                self._out.write(self.own.hide((b"\n".join(lines) + b"\n").decode()))
                self._out.flush()
            except (OSError, ValueError) as fault:  # the reader has gone, or the disk is full: calls continue
                self._dropped += count
                if not self._failing:
                    _log.error("the log cannot be written (%s): lines are dropped until it can", fault)
                self._failing = True
            else:
                self._dropped -= dropped
                self._failing = False
