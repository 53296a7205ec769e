"""Judges recorded decisions again with another bundle, and reports which verdicts change.

A change is a different effect on the call: allowed or denied, the rule, held for approval or not, the obligations. The
wording of messages does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.call import Json, Obligations
from gateway.errors import POLICY_UNAVAILABLE
from gateway.policy.engines import Engine, PolicyUnavailable
from gateway.policy.verdict import read


class Recorded(NamedTuple):
    """One decision of the log: its id and correlation id, the policy input and the result."""

    id: str
    correlation_id: str
    input: Json
    result: Json | None
    erased: bool = False


class Verdict(NamedTuple):
    """The effect of a result on a call."""

    allow: bool
    rule: str
    obligations: Obligations

    @property
    def words(self) -> str:
        """The verdict for messages: `allow`, `deny by pii_residency`, `held for approval`."""
        if not self.allow:
            return f"deny by {self.rule}"
        return "allow" if self.obligations.require_approval is None else "held for approval"


def verdict(result: Json | None) -> Verdict:
    """The effect of a result; a missing or malformed result denies."""
    try:
        if result is None:
            raise PolicyUnavailable("no result")
        decision = read(result, "")
    except PolicyUnavailable:
        return Verdict(False, POLICY_UNAVAILABLE, Obligations())
    return Verdict(decision.allow, decision.rule, decision.obligations if decision.allow else Obligations())


def change(before: Verdict, after: Verdict) -> str | None:
    """The difference between two verdicts in words; None if they are equal."""
    if before == after:
        return None
    if before.words != after.words:
        return f"{before.words} -> {after.words}"
    names = [
        name
        for name in before.obligations.__dataclass_fields__
        if getattr(before.obligations, name) != getattr(after.obligations, name)
    ]
    return f"{before.words}, other obligations: {', '.join(names)}"


@dataclass(slots=True)
class Changed:
    """Decisions that change in the same way: their number, and the first few as (id, correlation id)."""

    count: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """The result of a replay. `blind`: decisions judged without claims, because the log does not have them."""

    version: str = ""
    judged: int = 0
    blind: int = 0
    changes: dict[str, Changed] = field(default_factory=dict)

    def add(self, one: Recorded, what: str | None, examples: int) -> None:
        """Count one decision."""
        self.judged += 1
        self.blind += one.erased
        if what is not None:
            changed = self.changes.setdefault(what, Changed())
            changed.count += 1
            if len(changed.examples) < examples:
                changed.examples.append((one.id, one.correlation_id))

    @property
    def differ(self) -> int:
        """The number of decisions that change."""
        return sum(changed.count for changed in self.changes.values())


async def judge(engine: Engine, document: Json) -> Json | None:
    """The result of an engine for an input; None without a result."""
    try:
        return await engine.decide(document)
    except PolicyUnavailable:
        return None


async def replay(engine: Engine, decisions: Iterable[Recorded], examples: int = 3) -> Report:
    """Judge each decision again with `engine`. `examples`: decisions that are listed for each change."""
    report = Report(engine.version)
    for one in decisions:
        after = await judge(engine, one.input)
        report.add(one, change(verdict(one.result), verdict(after)), examples)
    return report


def events(items: Iterable[Any]) -> Iterator[Recorded]:
    """Events of OPA's decision log, without events of other paths. Raises ValueError for an item that is no event."""
    for number, item in enumerate(items, start=1):
        if not isinstance(item, dict) or "decision_id" not in item:
            raise ValueError(f"entry {number} is not an event of a decision log: decision_id is missing")
        if str(item.get("path", "")).strip("/") not in ("gateway/decision", "v1/data/gateway/decision"):
            continue
        custom, document, result = item.get("custom") or {}, item.get("input") or {}, item.get("result")
        if not isinstance(custom, dict) or not isinstance(document, dict) or not isinstance(result, dict | None):
            raise ValueError(
                f"entry {number} is not an event of a decision log: custom, input and result must be objects"
            )
        yield Recorded(
            str(item["decision_id"]),
            str(custom.get("correlation_id", "")),
            document,
            result,
            bool(item.get("erased")),
        )
