"""Prometheus metrics, and a JSON log line for each ended call.

Config key: `log`. The rows of a kind of call are looked up once, and then only added to; the families are built at
scrape time. docs/metrics.md lists names and labels; correlation ids are never labels. Nothing here can fail a call.
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
from operator import sub
from typing import IO

import orjson
from prometheus_client.core import GaugeMetricFamily, Metric

from gateway.amounts import NANO_USD
from gateway.call import Json
from gateway.detect.secrets.own import OwnSecrets
from gateway.record.ended import Ended
from gateway.record.families import Counter, Histogram
from gateway.record.repeats import Repeats
from gateway.stores import FOREVER

DURATION = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)  # seconds
OVERHEAD = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 1)  # seconds
RATIO = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1)
_MOST_RULES = 512
_MOST_SERIES = 4096  # remembered; with more, all are looked up again
_NANO = 1_000_000_000
_log = logging.getLogger("meshgate")


class _Series:
    """The rows of calls with the same caller, model, provider, route and status. Rows that may stay 0 come later."""

    __slots__ = ("cost", "duration", "first", "input", "output", "requests")

    def __init__(self, requests: list[float], duration: list[float]) -> None:
        self.requests = requests
        self.duration = duration
        self.input: list[float] | None = None
        self.output: list[float] | None = None
        self.cost: list[float] | None = None
        self.first: list[float] | None = None


class Telemetry:
    """All metrics, and the log. A collector that can be registered with a `prometheus_client` registry."""

    def __init__(self, log: IO[str] | None = sys.stdout, clock: Callable[[], float] = time.monotonic) -> None:
        call = ("agent", "team", "model", "provider", "route", "status")
        self.requests = Counter("meshgate_requests", "Calls answered.", call)
        whole = ("route", "model")
        self.duration = Histogram("meshgate_request_duration_seconds", "Duration of calls.", whole, DURATION, _NANO)
        self.overhead = Histogram(
            "meshgate_overhead_seconds", "Time in the gateway itself.", ("stage",), OVERHEAD, _NANO
        )
        words = "Time until the first byte of a stream."
        self.first = Histogram("meshgate_time_to_first_token_seconds", words, ("model", "provider"), DURATION, _NANO)
        self.tokens = Counter("meshgate_tokens", "Tokens settled.", ("direction", "model", "team"))
        self.cost = Counter("meshgate_cost_usd", "USD settled.", ("model", "team"))
        self.hits = Counter("meshgate_cache_hits", "Answers of the cache.", ("model", "team"))
        self.saved = Counter("meshgate_cache_saved_usd", "USD saved by the cache.", ("model", "team"))
        words = "Calls settled without a known price."
        self.unpriced = Counter("meshgate_unpriced_calls", words, ("model", "provider", "team"))
        self.violations = Counter("meshgate_violations", "Refusals.", ("code", "stage", "team", "mode"))
        self.redactions = Counter("meshgate_redactions", "Values redacted.", ("entity", "direction"))
        self.decisions = Counter("meshgate_decisions", "Decisions of the policy.", ("verdict", "rule", "mode"))
        self.candidates = Counter("meshgate_candidate_decisions", "Decisions of the candidate.", ("outcome",))
        self.changes = Counter("meshgate_candidate_differences", "Verdicts that the candidate changes.", ("change",))
        self.quota = Histogram("meshgate_quota_used_ratio", "Quota used after a call.", ("quota",), RATIO)
        self.reload_failures = Counter("meshgate_reload_failures", "Changes on disk that were refused.", ("what",))
        self.reload_failed = {"config": 0, "policy": 0}  # and "policy source", for a bundle from git or a server
        self.hidden = Counter("meshgate_hidden_tools", "Tools hidden as new or changed.", ("server", "state"))
        self.pushes = Counter("meshgate_push_notifications", "Push notifications of agents.", ("outcome",))
        self.failures = Counter("meshgate_internal_errors", "Faults of the gateway itself.", ("stage",))
        self._rules: set[str] = set()
        self.gauges: list[Callable[[], Metric]] = []
        self._families: list[Counter | Histogram] = [
            v for v in vars(self).values() if isinstance(v, Counter | Histogram)
        ]
        self._log = LineLog(log) if log else None
        self._strangers = Repeats(self._say_strangers, clock)
        self._series: dict[tuple[str, str, str, str, str, int], _Series] = {}
        self._stages: dict[tuple[str, ...], list[list[float] | None]] = {}  # the rows of `overhead` for these stages
        self._quotas: dict[str, list[float]] = {}  # the rows of `quota`
        self._verdicts: dict[tuple[bool, str, str], list[float]] = {}  # the rows of `decisions`
        self._described: dict[tuple[object, ...], bytes] = {}  # see `_description`

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
        return {family.name: family.rows() for family in self._families}

    def collect(self) -> Iterator[Metric]:
        """All families, for prometheus_client."""
        yield from self.collected(())

    def hide_tool(self, server: str, tool: str, state: str, suspicion: float) -> None:
        """Count and log that a tool is hidden until an operator accepts its definition."""
        self.hidden.add((server, state))
        shown = tool if tool.isascii() and tool.isprintable() else "?"
        said = {"server": server, "tool": shown[:128], "state": state, "injection": round(suspicion, 2)}
        self.say({"level": "warning", "event": "tool hidden", **said})

    def pushed(self, outcome: str, number: int) -> None:
        """Count push notifications of other agents that were delivered, or not."""
        self.pushes.add((outcome,), number)

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
        model, provider, usage = record.model, record.provider, record.usage
        series = self._series.get((agent, team, model, provider, record.route, record.status))
        if series is None:
            series = self._begin(agent, team, model, provider, record.route, record.status)
        series.requests[0] += 1
        before = record.started_ns
        took, row = record.ended_ns - before, series.duration
        row[bisect_left(self.duration.edges, took)] += 1
        row[-1] += took
        if record.stream and record.first_byte_ns:
            first = series.first = series.first or self.first.row((model, provider))
            took = record.first_byte_ns - before
            first[bisect_left(self.first.edges, took)] += 1
            first[-1] += took
        if record.stages:
            names, ends = zip(*record.stages, strict=True)
            rows = self._stages.get(names) or self._stages_of(names)
            edges = self.overhead.edges
            for of_stage, took in zip(rows, map(sub, ends, (before, *ends)), strict=False):
                if of_stage is not None:
                    of_stage[bisect_left(edges, took)] += 1
                    of_stage[-1] += took
        if usage and (usage.input or usage.output):  # tools have none
            sum_in = series.input = series.input or self.tokens.row(("input", model, team))
            sum_out = series.output = series.output or self.tokens.row(("output", model, team))
            sum_in[0] += usage.input
            sum_out[0] += usage.output
        if record.hit:
            self.hits.add((model, team))
            self.saved.add((model, team), record.saved / NANO_USD)
        if record.cost:
            spent = series.cost = series.cost or self.cost.row((model, team))
            spent[0] += record.cost / NANO_USD
        if not record.priced:
            self.unpriced.add((model, provider, team))
        self._count_verdicts(record, team)

    def _begin(self, agent: str, team: str, model: str, provider: str, route: str, status: int) -> _Series:
        """The rows of a new kind of call."""
        if len(self._series) >= _MOST_SERIES:
            self._series.clear()
        series = self._series[agent, team, model, provider, route, status] = _Series(
            self.requests.row((agent, team, model, provider, route, str(status))), self.duration.row((route, model))
        )
        return series

    def _stages_of(self, names: tuple[str, ...]) -> list[list[float] | None]:
        """The rows of the stages of a call; None for the upstream. Calls pass through few combinations of stages."""
        rows = [None if name == "upstream" else self.overhead.row((name,)) for name in names]
        if len(self._stages) < _MOST_SERIES:
            self._stages[names] = rows
        return rows

    def _count_verdicts(self, record: Ended, team: str) -> None:
        if record.code:
            self.violations.add((record.code, record.stage, team, "enforce"))
        decision = record.decision
        if decision:
            said = (decision.allow, decision.rule, decision.mode)
            row = self._verdicts.get(said)
            if row is None:
                row = self._verdict(*said)
            row[0] += 1
            if not decision.allow and decision.mode == "shadow":
                self.violations.add(("policy_denied", "authorize", team, "shadow"))
        for entity, count in record.redacted.items():
            self.redactions.add((entity, "request"), count)
        for entity, count in record.screened.items():
            self.redactions.add((entity, "response"), count)
        if balances := record.balances:  # nothing reserved: no balances
            quotas = self._quotas
            for (_, unit, _, most, _, refill, _, _), (left, _, added) in zip(record.debits, balances, strict=False):
                if not refill and most < FOREVER and (limit := most + added):
                    row = quotas.get(unit)
                    if row is None:
                        row = quotas[unit] = self.quota.row((unit,))
                    share = 1 - left / limit
                    row[bisect_left(RATIO, share)] += 1
                    row[-1] += share

    def _verdict(self, allow: bool, rule: str, mode: str) -> list[float]:
        """The row of a verdict."""
        row = self.decisions.row(("allow" if allow else "deny", self._rule(rule), mode))
        if len(self._verdicts) < _MOST_SERIES:
            self._verdicts[allow, rule, mode] = row
        return row

    def log(self, record: Ended) -> None:
        """Log a call that has ended: one line, or one line a second for all calls without a valid key."""
        if record.unknown:
            self.stranger()
        elif self._log:
            self._log.add(_line(record, self._description(record)))

    def _description(self, record: Ended) -> bytes:
        """The part of a log line that is the same for every call of this kind, encoded once."""
        subject, decision = record.subject, record.decision
        rule, version = (decision.rule, decision.version) if decision else ("", "")
        agent, team = (subject.agent, subject.team) if subject else ("", "")
        said = (record.code, record.stage, rule, version)
        kind = (agent, team, record.route, record.model, record.provider, record.stream, record.status, *said)
        found = self._described.get(kind)
        if found is None:
            if len(self._described) >= _MOST_SERIES:
                self._described.clear()
            found = self._described[kind] = _described(record)
        return found


def _iso(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}+00:00"


@functools.lru_cache(4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _line(record: Ended, described: bytes) -> bytes:
    """The log line of a call, as JSON. A member without a value is left out."""
    usage, counted = record.usage, b""
    if usage:
        counted = b'"input_tokens":%d,"output_tokens":%d,"counted":%b,' % (
            usage.input,
            usage.output,
            b"true" if usage.counted else b"false",
        )
    found = b""
    if record.redacted or record.screened or record.replayed or record.hit:
        some = {"redacted": record.redacted, "screened": record.screened, "replayed": record.replayed}
        if record.hit:
            some |= {"cache": "hit", "saved_usd": record.saved / NANO_USD}
        found = b"," + orjson.dumps({name: value for name, value in some.items() if value})[1:-1]
    # The members are joined as bytes: encoding a dict of all of them takes three times as long.
    return b'{"time":"%b","level":"info","event":"call","request_id":"%b","correlation_id":%b,%b%b%b}' % (
        _iso(time.time()).encode(),
        record.id.encode(),
        orjson.dumps(record.correlation_id),
        described,
        counted,
        b'"cost_usd":%b,"finished":%b,"ms":%.3f%b'
        % (
            orjson.dumps(record.cost / NANO_USD),
            b"true" if record.finished else b"false",
            (record.ended_ns - record.started_ns) / 1e6,
            found,
        ),
    )


def _described(record: Ended) -> bytes:
    """The members that many calls have in common, with a comma after each."""
    subject, decision = record.subject, record.decision
    members = {
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
    }
    return orjson.dumps({key: value for key, value in members.items() if value is not None})[1:-1] + b","


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
        self.add(orjson.dumps(record))

    def add(self, line: bytes) -> None:
        """Enqueue one line, without its end."""
        if len(self._lines) >= self.BOUND:
            self._dropped += 1
            return
        self._lines.append(line)
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
