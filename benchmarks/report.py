"""The report of a run: the table, the required floors, the comparison with the previous run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any, Final

from benchmarks.cells import BODIES, Body, Measure
from benchmarks.systems import SYSTEMS

Cells = Mapping[str, Mapping[str, Measure]]  # body -> system -> summary

MINIMAL_FLOORS: Final = {
    "1k": 0.30,
    "16k": 0.30,
    "64k": 0.30,
    "stream": 0.33,
    "1k-agent": 0.22,
    "16k-agent": 0.25,
    "64k-agent": 0.25,
}
"""Of the rate of the minimal proxy, every stage on, with SQLite."""
LITELLM_FLOORS: Final = {"1k": 35.0, "16k": 40.0, "64k": 50.0, "stream": 100.0, "16k-fresh": 15.0, "64k-fresh": 10.0}
"""Times the rate of LiteLLM with nothing on."""
REDIS_FLOOR: Final = 0.85  # of the rate with SQLite
RSS_FLOOR: Final = 220.0  # MB, at most
_GATEWAY = ("sqlite", "redis")
_HEAD = (
    "system",
    "calls/s",
    "p50 ms",
    "p99 ms",
    "TTFT added ms",
    "RSS MB",
    "CPU us/call",
    "core 0",
    "core 1",
    "of bare",
    "of minimal",
    "x LiteLLM",
    "errors",
)


def ratio(row: Mapping[str, Measure], system: str, other: str) -> float | None:
    """The rate as a multiple of the other system's, the median of the rounds; None if one of them was not measured.

    In a round, a system is measured soon after the other, so that most of what slows the machine slows both.
    """
    if system not in row or other not in row or not row[other]["rate"]:
        return None
    rounds = [row[name].get("rates") or [row[name]["rate"]] for name in (system, other)]
    if len(rounds[0]) != len(rounds[1]) or not all(rounds[1]):
        return float(row[system]["rate"] / row[other]["rate"])
    return median(float(one / its) for one, its in zip(*rounds, strict=True))


def load_bound(cell: Measure) -> bool:
    """Whether the core of the load generator was the limit, so that the system could do more."""
    return len(cell["cpu"]) > 1 and cell["cpu"][1] > 0.97 and cell["cpu"][0] < 0.9


def share_of_bare(row: Mapping[str, Measure], system: str) -> float | None:
    """The share of the bare line's rate; if the load limited the bare line, the share by CPU time if that is lower."""
    share = ratio(row, system, "bare")
    if share is None or not load_bound(row["bare"]):
        return share
    return min(share, float(row["bare"]["cpu_us_per_call"] / row[system]["cpu_us_per_call"]))


def tables(cells: Cells) -> Iterator[str]:
    """Markdown, a table for each kind of call."""
    for body in BODIES:
        if body.name in cells:
            yield f"\n### {body.title}\n"
            yield "| " + " | ".join(_HEAD) + " |"
            yield "|---|" + "---:|" * (len(_HEAD) - 1)
            for system in SYSTEMS:
                if system in cells[body.name]:
                    yield "| " + " | ".join(_row(cells[body.name], system, body)) + " |"


def _row(row: Mapping[str, Measure], system: str, body: Body) -> list[str]:
    cell = row[system]
    added = ""
    if body.stream and system != "mock" and "mock" in row:
        added = f"{cell['first_p50_ms'] - row['mock']['first_p50_ms']:.2f}"
    return [
        SYSTEMS[system].title,
        f"{cell['rate']:,.0f}",
        f"{cell['p50_ms']:.2f}",
        f"{cell['p99_ms']:.2f}",
        added,
        f"{cell['rss_mb']:.0f}",
        f"{cell['cpu_us_per_call']:,.0f}",
        *(f"{core:.0%}" for core in cell["cpu"][:2]),
        _times(share_of_bare(row, system) if system in _GATEWAY else ratio(row, system, "bare")),
        _times(ratio(row, system, "minimal")),
        _times(ratio(row, system, "litellm")),
        str(cell["errors"]),
    ]


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def floors(cells: Cells) -> Iterator[tuple[bool, str]]:
    """Each floor that this run can check: whether it holds, and a description."""
    for body in BODIES:
        row = cells.get(body.name, {})
        for system, other, floor in (
            ("sqlite", "minimal", MINIMAL_FLOORS.get(body.name)),
            ("sqlite", "litellm", LITELLM_FLOORS.get(body.name)),
            ("redis", "sqlite", REDIS_FLOOR if body.connections > 1 else None),
        ):
            if floor is not None and (value := ratio(row, system, other)) is not None:
                title, what = SYSTEMS[system].title, SYSTEMS[other].title
                yield value >= floor, f"{title}, {body.title}: {_times(value)} x {what} (at least {floor:g})"
    for system in _GATEWAY:
        if memory := [row[system]["rss_mb"] for row in cells.values() if system in row]:
            title = SYSTEMS[system].title
            yield max(memory) < RSS_FLOOR, f"{title}: {max(memory):.0f} MB resident (below {RSS_FLOOR:.0f})"


def brief(cells: Cells) -> Iterator[str]:
    """The table of the README: a row for each kind of call; then the memory."""
    heads = (
        "calls/s",
        "minimal proxy",
        "everything on",
        "of the proxy",
        "LiteLLM, nothing on",
        "x LiteLLM",
        "Redis/SQLite",
    )
    yield f"| {' | '.join(heads)} |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for body in BODIES:
        row = cells.get(body.name, {})
        if "sqlite" in row and body.connections > 1:
            rates = [f"{row[name]['rate']:,.0f}" if name in row else "" for name in ("minimal", "sqlite", "litellm")]
            pairs = (("sqlite", "minimal"), ("sqlite", "litellm"), ("redis", "sqlite"))
            proxy, litellm, redis = (_times(ratio(row, *pair)) for pair in pairs)
            columns = (body.title, *rates[:2], proxy, rates[2], litellm, redis)
            yield f"| {' | '.join(columns)} |"
    memory = {name: [row[name]["rss_mb"] for row in cells.values() if name in row] for name in _GATEWAY}
    sizes = [f"{max(sizes):.0f} MB ({SYSTEMS[name].title})" for name, sizes in memory.items() if sizes]
    if sizes:
        yield f"\nResident after all of them: {', '.join(sizes)}."


def faults(cells: Cells) -> Iterator[str]:
    """The reasons for which a run is invalid: errors, and stages that did not run."""
    for body, row in cells.items():
        for system, cell in row.items():
            where = f"{SYSTEMS[system].title}, {body}"
            if cell["errors"]:
                yield f"{where}: {cell['errors']} of {cell['total']} calls failed; the first: {cell['first_error']}"
            if not cell["total"]:
                yield f"{where}: no call was answered"
            if system in _GATEWAY:
                if cell["leaked"]:
                    yield f"{where}: {cell['leaked']:.1%} of the calls reached the upstream with an e-mail address"
                if not cell["redacted"]:
                    yield f"{where}: no call reached the upstream with a placeholder; redaction was not at work"
                if cell["unrestored"]:
                    yield f"{where}: {cell['unrestored']} answers came back with a placeholder not restored"


def limits(cells: Cells) -> Iterator[str]:
    """Notes on figures: the load was the limit, or other processes used the gateway's core."""
    for body, row in cells.items():
        for system, cell in row.items():
            if system == "mock" and cell["cpu"][0] > 0.1:
                yield f"{body}: others used {cell['cpu'][0]:.0%} of core 0 while the mock was measured; run it alone"
            if system != "mock" and load_bound(cell):
                share = f"core 0 was {cell['cpu'][0]:.0%} busy"
                yield f"{SYSTEMS[system].title}, {body}: the load was the limit ({share}); it could do more"


def comparison(cells: Cells, before: Mapping[str, Any]) -> Iterator[str]:
    """Rates compared with those of the previous run."""
    for body, row in cells.items():
        for system, cell in row.items():
            old = before.get("cells", {}).get(body, {}).get(system)
            if old and old["rate"]:
                change = cell["rate"] / old["rate"] - 1
                title = SYSTEMS[system].title
                yield f"{body:>9} {title:<16} {old['rate']:>9,.0f} -> {cell['rate']:>9,.0f} calls/s {change:+7.1%}"
