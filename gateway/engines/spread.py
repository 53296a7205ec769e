"""Inputs that a bundle is tried with before it judges: of every kind that a call could bring, and some that none does.

The interpreter can end its whole process over an input that a policy reads in a way it does not know, so the trial
meets them first. Names come from the bundle's own literals and data, to get past the comparisons with them. The same
bundle is always tried with the same inputs.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import orjson

from gateway.call import Json
from gateway.engines.admission import strings
from gateway.engines.bundle import Bundle

TYPICAL = 60
"""Inputs that look like those of calls."""
_NAMES = 400  # names of a bundle that are used
_PLAIN = ("", "a", "demo", "admin", "EMAIL_ADDRESS", "select", "x.y", "0")
_DEPTH = 60
FIELDS: dict[str, dict[str, str]] = {
    "subject": {"agent": "name", "team": "name", "roles": "names", "claims": "claims"},
    "action": {
        "kind": "kind",
        "name": "name",
        "model": "name",
        "provider": "name",
        "providers": "names",
        "stream": "flag",
        "tools": "names",
        "max_tokens": "number",
        "args": "claims",
    },
    "resource": {"type": "kind", "name": "name"},
    "content": {
        "pii": "counts",
        "pii_from": "any",
        "secrets": "counts",
        "sql": "sql",
        "urls": "names",
        "injection": "scores",
        "injection_score": "score",
        "unscannable": "number",
        "unscannable_kinds": "counts",
    },
    "context": {
        "correlation_id": "name",
        "hop": "number",
        "chain": "names",
        "calls": "number",
        "time": "time",
        "history": "history",
    },
}
"""What an input holds, and of which kind each value is; what a bundle reads besides is of any."""


def inputs(bundle: Bundle) -> Iterator[Json]:
    """First typical ones, then without something, with something of another type, and with much of everything."""
    make = _Maker(bundle)
    yield {}
    for _ in range(TYPICAL):
        yield make.typical()
    places = [(section, name) for section, names in make.fields.items() for name in names]
    for section in make.fields:
        yield {section: make.typical()[section]}
        yield {name: value for name, value in make.typical().items() if name != section}
    for section, name in places:
        document = make.typical()
        del document[section][name]
        yield document
    for size in (20, 200):
        yield make.typical(size)
    yield from make.shuffled(_with_odd(make, places))
    yield make.typical(1000)


def _with_odd(make: _Maker, places: list[tuple[str, str]]) -> Iterator[Json]:
    for odd in _odd():
        for section, name in places:
            document = make.typical()
            document[section][name] = odd
            yield document
        for section in make.fields:
            yield {**make.typical(), section: odd}


class _Maker:
    def __init__(self, bundle: Bundle) -> None:
        self._random = random.Random(bundle.digest)  # noqa: S311  no secret
        known = {orjson.dumps(text): text for text in _literals(bundle)}
        names = sorted(set(known.values()))
        self._random.shuffle(names)
        self._names = [*names[:_NAMES], *_PLAIN]
        self.fields = {section: dict(names) for section, names in FIELDS.items()}
        for path in sorted(path for module in bundle.modules for path in module.inputs if len(path) > 1):
            self.fields.setdefault(path[0], {}).setdefault(path[1], "any")

    def typical(self, most: int = 3) -> dict[str, dict[str, Any]]:
        """An input as calls have it; lists of up to `most` values."""
        return {
            section: {name: self._value(kind, most) for name, kind in names.items()}
            for section, names in self.fields.items()
        }

    def shuffled(self, documents: Iterable[Json]) -> list[Json]:
        """In an order of its own: whoever stops early has seen some of each kind."""
        found = list(documents)
        self._random.shuffle(found)
        return found

    def _value(self, kind: str, most: int) -> Any:
        one = self._random
        match kind:
            case "kind":
                return one.choice(("llm", "llm", "tool", "agent", "model"))
            case "name":
                return self._name()
            case "names":
                return [self._name() for _ in range(one.randint(0, most))]
            case "flag":
                return one.random() < 0.5
            case "number":
                return one.choice((0, 1, 2, 100, 4096, 2**31))
            case "score":
                return one.choice((0, 0.05, 0.3, 0.8, 1))
            case "time":
                return one.randrange(0, 4_000_000_000) // 60 * 60_000_000_000
            case "counts":
                return {self._name(): one.choice((0, 1, 7)) for _ in range(one.randint(0, most))}
            case "scores":
                return {self._random.choice(("tool", "user", "other")): self._value("score", most) for _ in range(2)}
            case "history":
                return {"tools": self._value("names", most), "labels": self._value("names", most)}
            case "sql":
                return [self._sql(most) for _ in range(one.randint(0, min(most, 100)))]
            case "any":
                return self._value(one.choice(("name", "names", "flag", "number", "counts")), most)
            case _:
                return {self._name(): one.choice((self._name(), 1, True, None, [self._name()])) for _ in range(most)}

    def _sql(self, most: int) -> Json:
        return {
            "statement": "SELECT ?",
            "kind": self._name(),
            "kinds": self._value("names", 2),
            "tables": self._value("names", most),
            "columns": self._value("names", most),
            "writes": self._value("flag", 1),
            "readable": self._value("flag", 1),
        }

    def _name(self) -> str:
        return self._random.choice(self._names)


def _literals(bundle: Bundle) -> Iterator[str]:
    for module in bundle.modules:
        for token in module.tokens:
            if token.kind == "raw":
                yield token.text[1:-1]
            elif token.kind == "string":
                try:
                    yield str(orjson.loads(token.text))
                except orjson.JSONDecodeError:
                    continue
    for _, text in islice(strings(bundle.data), 10_000):
        yield text


def _odd() -> Iterator[Any]:
    deep: Any = "end"
    for level in range(_DEPTH):
        deep = {"a": deep} if level % 2 else [deep]
    yield from (
        None,
        True,
        False,
        -1,
        1.5,
        2**62,
        2**70,
        "",
        "é\u2028",
        'a"b\\c\n',
        "a*b*c",
        "x" * 300,
        "x" * 5000,
        [],
        {},
        [[]],
        [None, 1, "a", {}],
    )
    yield from (deep, list(range(1000)), {str(number): number for number in range(500)}, {"": {"": ""}})
