"""Verdicts by the part of the input that a policy reads.

Only that part reaches the engine, so a verdict cannot depend on what is not in the key. It is cut two names deep
(`input.content.pii`): deeper reads are covered by the value there, whole.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

import orjson

from gateway.call import Json
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.engines.outline import Path

_SORTED = orjson.OPT_SORT_KEYS
Key = Callable[[Json], bytes]


class Projection:
    """The part of an input that a bundle reads, as bytes that are equal where the part is."""

    def __init__(self, inputs: Iterable[Path]) -> None:
        cut = {path[:2] for path in inputs}
        self.whole = () in cut
        self.sections = tuple(sorted(path[0] for path in cut if len(path) == 1))
        self.fields: dict[str, tuple[str, ...]] = {}
        for path in sorted(path for path in cut if len(path) == 2 and path[0] not in self.sections):
            self.fields[path[0]] = (*self.fields.get(path[0], ()), path[1])
        self._getters = [(section, _taken(names)) for section, names in self.fields.items()]
        self._names = list(self.fields.values())

    def reads(self, section: str, name: str) -> bool:
        """Whether a verdict may depend on this part of the input."""
        return self.whole or section in self.sections or name in self.fields.get(section, ())

    def key(self, document: Json) -> bytes:
        """The same bytes for the same part. Raises TypeError for what JSON cannot say."""
        if self.whole:
            return orjson.dumps(document, option=_SORTED)
        try:
            parts = [getter(document[section]) for section, getter in self._getters]
            parts += [document[section] for section in self.sections]
        except (KeyError, TypeError):
            # A name is missing: missing and null differ, so here the names are part of the key.
            return self.term(document)
        return orjson.dumps(parts, option=_SORTED)

    def part(self, key: bytes) -> Json:
        """The part that a key stands for."""
        found = orjson.loads(key)
        if type(found) is dict:
            return found
        part: Json = {
            section: dict(zip(names, values))  # noqa: B905 (equal lengths; the check takes longer than the rest)
            for section, names, values in zip(self.fields, self._names, found)  # noqa: B905 (sections follow)
        }
        if self.sections:
            part |= zip(self.sections, found[len(self._getters) :], strict=True)
        return part

    def term(self, document: Json) -> bytes:
        """The part itself, as a document in JSON."""
        if self.whole:
            return orjson.dumps(document, option=_SORTED)
        part: dict[str, Any] = {name: document[name] for name in self.sections if name in document}
        for section, names in self.fields.items():
            value = document.get(section)
            if isinstance(value, Mapping):
                part[section] = {name: value[name] for name in names if name in value}
            elif section in document:
                part[section] = value
        return orjson.dumps(part, option=_SORTED)


def _taken(names: tuple[str, ...]) -> Callable[[Json], tuple[Any, ...]]:
    """A function that takes these members of an object. Raises KeyError where one is missing."""
    if len(names) > 1:
        return itemgetter(*names)
    name = names[0]
    return lambda section: (section[name],)


class Memo:
    """The last results, at most `size` of them; the least lately used goes first.

    Many inputs come to few results: equal ones are kept once, and are the very same object.
    """

    __slots__ = ("_distinct", "_results", "_size")

    def __init__(self, size: int = 4096) -> None:
        self._results: OrderedDict[bytes, Json] = OrderedDict()
        self._distinct: dict[bytes, Json] = {}
        self._size = size

    def get(self, key: bytes) -> Json | None:
        found = self._results.get(key)
        if found is not None:
            self._results.move_to_end(key)
        return found

    def put(self, key: bytes, result: Json) -> Json:
        """Remember a result; returns the object that stands for it from now on."""
        if len(self._distinct) >= self._size:
            self._distinct.clear()
        result = self._distinct.setdefault(orjson.dumps(result, option=_SORTED), result)
        # A copy: what orjson hands out stands at the start of 4 kB that nothing else can use while it lives.
        self._results[bytes(memoryview(key))] = result
        if len(self._results) > self._size:
            self._results.popitem(last=False)
        return result

    def __len__(self) -> int:
        return len(self._results)


def team(document: Json) -> str:
    """Whose input it is, as a part of each key: nobody learns from the time what another team's calls hold."""
    subject = document.get("subject")
    name = subject.get("team") if type(subject) is dict or isinstance(subject, Mapping) else None
    return name if isinstance(name, str) else ""


class Memoized:
    """What the engines of this process share. Below it: `_judge`, of the part of an input that the bundle reads.

    `inputs` are the paths that it reads; `volatile`: a verdict depends on more than that, so none is kept.
    """

    def __init__(self, inputs: Iterable[Path], *, volatile: bool, sets_labels: bool) -> None:
        self._projection = Projection(inputs)
        self._memo = None if volatile else Memo()
        self._names_team = self._projection.reads("subject", "team")
        self.reads_history = self._projection.reads("context", "history")
        self.sets_labels = sets_labels

    @property
    def memoized(self) -> bool:
        """Whether equal inputs are judged once."""
        return self._memo is not None

    async def open(self) -> None:
        """Nothing to wait for: it is compiled."""

    async def decide(self, document: Json) -> Json:
        """`data.gateway.decision`; of an input equal to an earlier one, the very same object."""
        try:
            key = part = self._projection.key(document)
            if not self._names_team:
                key = orjson.dumps(team(document)) + part
        except (TypeError, ValueError, RecursionError) as error:
            raise PolicyUnavailable(f"the input is no JSON: {error}") from None
        memo = self._memo
        if memo is not None and (found := memo.get(key)) is not None:
            return found
        result = await self._judge(document, part)
        return result if memo is None else memo.put(key, result)

    async def ping(self) -> None:
        """Always ready."""

    async def _judge(self, document: Json, key: bytes) -> Json:
        """The verdict on the part of a document that `key` stands for."""
        raise NotImplementedError
