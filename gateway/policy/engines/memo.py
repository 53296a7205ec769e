"""Parts of inputs as keys, and a bounded memo.

A part is cut at a depth of two names (`input.content.pii`): deeper reads are covered by the whole value at this place.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

import orjson

from gateway.call import Json
from gateway.policy.engines.outline import Path

_SORTED = orjson.OPT_SORT_KEYS
Key = Callable[[Json], bytes]


class Projection:
    """The part of an input that a bundle reads, as a key: equal bytes for equal parts."""

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
        """The key of an input. Raises TypeError for values that JSON does not have."""
        if self.whole:
            return orjson.dumps(document, option=_SORTED)
        try:
            parts = [getter(document[section]) for section, getter in self._getters]
            if self.sections:
                parts += [document[section] for section in self.sections]
        except (KeyError, TypeError):
            # A name is missing. Missing and null are different, so in this case the key contains the names.
            return self.term(document)
        return orjson.dumps(parts, option=_SORTED)

    def part(self, key: bytes) -> Json:
        """The part of the input that a key represents."""
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
        """The part of the input as a JSON document."""
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
    """The last results, at most `size`; the least recently used is dropped first.

    Many inputs have few results: equal results are kept once, as the same object.
    """

    __slots__ = ("_distinct", "_results", "_size")

    def __init__(self, size: int = 4096) -> None:
        self._results: OrderedDict[bytes, Json] = OrderedDict()
        self._distinct: dict[bytes, Json] = {}
        self._size = size

    def get(self, key: bytes) -> Json | None:
        """The result for a key; None if the memo does not have it."""
        found = self._results.get(key)
        if found is not None:
            self._results.move_to_end(key)
        return found

    def put(self, key: bytes, result: Json) -> Json:
        """Remember a result; returns the object that represents all equal results."""
        if len(self._distinct) >= self._size:
            self._distinct.clear()
        result = self._distinct.setdefault(orjson.dumps(result, option=_SORTED), result)
        # A copy in its own small buffer: bytes of orjson are at the start of a buffer of 4 kB.
        self._results[bytes(memoryview(key))] = result
        if len(self._results) > self._size:
            self._results.popitem(last=False)
        return result

    def __len__(self) -> int:
        return len(self._results)
