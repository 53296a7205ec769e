"""Explains the result of a policy: every rule with a part in it, which rule won and why, and where the rules are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import NamedTuple, Protocol

from gateway.call import Json, Obligations
from gateway.policy.verdict import CLASSES, Reading, RuleObligations, merged, readings


class Source(Protocol):
    """A file of rules."""

    @property
    def file(self) -> str: ...
    @property
    def source(self) -> str: ...


class Spoke(NamedTuple):
    """One rule in the result: its code and class, what it said, its effect, and its file and line."""

    code: str
    cls: str
    said: str
    outcome: str
    place: str


class Explanation(NamedTuple):
    """The verdict in words, the rule that won, all rules in the order of rank, and the merged obligations."""

    verdict: str
    rule: str
    spoke: tuple[Spoke, ...]
    obligations: Mapping[str, object]


def explain(result: Json, sources: Iterable[Source]) -> Explanation:
    """Explain a result; `sources` are the files of the bundle. Raises PolicyUnavailable for a malformed result."""
    reading = readings(result)
    places = list(sources)
    whole = merged(reading.obligations)
    spoke = [
        *_denies(reading, places),
        *(
            _obligation(reading, whole, obligation, places)
            for obligation in reading.obligations
            if _wants(obligation.wants)
        ),
    ]
    rule = reading.rule
    return Explanation(_verdict(reading, whole), rule, tuple(spoke), _wants(whole) if rule == "allow" else {})


def _verdict(reading: Reading, obligations: Obligations) -> str:
    if reading.deny:
        first = reading.deny[0]
        return f"denied by {first.code} of class {first.cls} ({CLASSES[first.cls]})"
    if not reading.allow:
        return "denied, because no rule allows it"
    held = ", once a person has approved it" if obligations.require_approval is not None else ""
    return f"allowed{f' by class {reading.cls} ({CLASSES[reading.cls]})' if reading.cls else ''}{held}"


def _denies(reading: Reading, places: list[Source]) -> Iterable[Spoke]:
    for number, deny in enumerate(reading.deny):
        if number == 0:
            outcome = "wins"
        elif deny.cls == reading.deny[0].cls:
            outcome = f"denies too; of equal class, {reading.deny[0].code} comes first by name"
        else:
            outcome = f"denies too, of a lower class than {reading.deny[0].code}"
        yield Spoke(deny.code, deny.cls, f"deny: {deny.message}", outcome, _place(deny.code, places))
    for deny in reading.overruled:
        outcome = f"overruled by the allow of class {reading.cls}"
        yield Spoke(deny.code, deny.cls, f"deny: {deny.message}", outcome, _place(deny.code, places))


def _obligation(reading: Reading, whole: Obligations, obligation: RuleObligations, places: list[Source]) -> Spoke:
    said = "; ".join(f"{name}: {_words(value)}" for name, value in _wants(obligation.wants).items())
    return Spoke(
        obligation.code, obligation.cls, said, _fate(reading, whole, obligation), _place(obligation.code, places)
    )


def _fate(reading: Reading, whole: Obligations, obligation: RuleObligations) -> str:
    """The effect of the obligations of one rule on the merged obligations."""
    if reading.deny or not reading.allow:
        return "nothing: the call is denied"
    if len(reading.obligations) == 1:
        return "holds"
    lost: list[str] = []
    if obligation.wants.route and whole.route != obligation.wants.route:
        lost.append("route")
    for name in ("limit", "attributes", "redact"):
        had, mine = getattr(whole, name), getattr(obligation.wants, name)
        lost += [f"{name}.{key}" for key, value in mine.items() if had[key] != value]
    if obligation.wants.sql is not None and set(obligation.wants.sql) != set(whole.sql or ()):
        lost.append("sql")
    return f"holds, but for {', '.join(lost)}, where another rule is stricter or of a higher class" if lost else "holds"


def _wants(wants: Obligations) -> dict[str, object]:
    """The obligations that differ from their default, by name."""
    found = {one.name: getattr(wants, one.name) for one in fields(wants)}
    empty = Obligations()
    return {name: value for name, value in found.items() if value != getattr(empty, name)}


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_words(one)}" for name, one in value.items()) or "yes"
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _place(code: str, places: list[Source]) -> str:
    """File and line of the code of a rule; "" for a code that the bundle computes."""
    literal = re.compile(rf'"code"\s*:\s*"{re.escape(code)}"')
    for place in places:
        found = literal.search(place.source)
        if found:
            return f"{place.file}:{place.source.count(chr(10), 0, found.start()) + 1}"
    return ""
