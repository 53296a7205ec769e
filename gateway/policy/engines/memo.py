"""A memo of verdicts, by the part of the input that an evaluation read.

An evaluation is a function of what it reads: an input that is equal to an earlier one at every path of its read set has
its verdict. A bundle may read the arguments of a tool in one rule, for one role. The calls of all other roles then have
one verdict, whatever their arguments. The engine gets only the part of the input that its bundle reads, so a verdict
cannot depend on anything else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from gateway.call import Json
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.engines.outline import Path

_SORTED = orjson.OPT_SORT_KEYS
Key = Callable[[Json], bytes]
DEPTH = 3
"""Names of a path by which inputs are compared; deeper reads are covered by the whole value at this place."""
SETS = 8
"""Read sets that are compared for calls of one sort; the least recently used is dropped first."""
SORTS = 2048
"""Sorts of calls, of which read sets are known; then all are forgotten."""
LONGEST = 512
"""Bytes of a key that is kept as text; of a longer key, its digest is kept."""
LONG = 4096
"""Bytes of a part of an input, from which the values of an input are written once for all read sets."""


class Projection:
    """The part of an input that a bundle reads, as a key: equal bytes for equal parts.

    The part is cut at a depth of two names (`input.content.pii`): deeper reads are covered by the whole value there.
    """

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


class ReadSet:
    """Paths that an evaluation read, in no order, and the mark of its keys."""

    __slots__ = ("_deep", "mark", "paths", "projection")

    def __init__(self, number: int, paths: frozenset[Path]) -> None:
        self.mark = b"%d " % number
        self.paths = paths
        flat = {path for path in paths if len(path) < DEPTH}
        self.projection = Projection(flat)
        self._deep = sorted(path for path in paths if not flat & {(), path[:1], path[:2]})

    def part(self, document: Json, written: Json) -> bytes:
        """What was read of an input. `written`: the same input, see `_written`. Raises TypeError as `get` does."""
        part = self.projection.key(written)
        if self._deep:
            part += orjson.dumps([_deep(document, *path) for path in self._deep], option=_SORTED)
        return part

    def key(self, part: bytes, owner: bytes) -> bytes:
        """The key of an input. `part`: what was read of it."""
        key = b"%b%b%b" % (self.mark, owner, part)
        return key if len(key) <= LONGEST else blake2b(key, digest_size=32).digest()


class Sort(NamedTuple):
    """The sort of a call: calls of one sort mostly have one read set.

    No team can learn about other teams' calls from response times: which read sets are compared for its calls follows
    from its own calls, and its name is a part of each key.
    """

    team: str
    kind: str | None
    of_result: bool
    of_list: bool


class _Known(NamedTuple):
    """The read sets of one sort, the last used first, and the team as a part of keys."""

    owner: bytes
    sets: list[ReadSet]


class ReadSets:
    """The verdicts of one bundle. Verdicts of calls of one team serve only this team."""

    def __init__(self, size: int = 4096) -> None:
        self._memo = Memo(size)
        self._sorts: dict[Sort, _Known] = {}
        self._sets: dict[frozenset[Path], ReadSet] = {}  # the same for all sorts
        self._count = 0

    def get(self, of: Sort, document: Json) -> Json | None:
        """The verdict on an input; None if the memo does not have it. Raises TypeError for values that JSON lacks."""
        known = self._sorts.get(of)
        if known is None:
            return None
        asked = document
        for at, one in enumerate(known.sets):
            part = one.part(document, asked)
            found = self._memo.get(one.key(part, known.owner))
            if found is not None:
                if at:
                    known.sets.insert(0, known.sets.pop(at))
                return found
            if len(part) > LONG and asked is document:
                asked = _written(document)
        return None

    def put(self, of: Sort, part: Json, paths: Iterable[Path], result: Json) -> Json:
        """Remember the verdict on an input; returns the object that represents all equal verdicts.

        `part`: what of the input was judged. `paths`: what of the part was read.
        """
        read = frozenset(path[:DEPTH] for path in paths)
        if len(self._sorts) >= SORTS and of not in self._sorts:
            self._sorts.clear()
        owner, sets = self._sorts.get(of) or self._sorts.setdefault(of, _Known(ascii(of.team).encode(), []))
        one = next((known for known in sets if known.paths == read), None)
        if one is None:
            one = self._set(read)
            sets.insert(0, one)
            del sets[SETS:]
        return self._memo.put(one.key(one.part(part, part), owner), result)

    def __len__(self) -> int:
        return len(self._memo)

    def _set(self, read: frozenset[Path]) -> ReadSet:
        one = self._sets.get(read)
        if one is None:
            if len(self._sets) >= SORTS:
                self._sets.clear()
            self._count += 1
            one = self._sets[read] = ReadSet(self._count, read)
        return one


def _deep(document: Json, first: str, second: str, third: str) -> object:
    """What stands at a path: in a list; an empty list for nothing; otherwise, what no name leads into."""
    value: object = document
    for name in (first, second, third):
        if type(value) is not dict:
            return {"within": value}
        if name not in value:
            return []
        value = value[name]
    return [value]


def sort(document: Json) -> Sort:
    """The sort of a call. It decides the order of search, no verdict."""
    subject, action = document.get("subject"), document.get("action")
    team = subject.get("team") if type(subject) is dict or isinstance(subject, Mapping) else None
    name = team if isinstance(team, str) else ""
    if type(action) is not dict:
        return Sort(name, None, of_result=False, of_list=False)
    kind = action.get("kind")
    return Sort(
        name,
        kind if type(kind) is str else None,
        of_result=action.get("of_result") is True,
        of_list=action.get("of_list") is True,
    )


def _written(document: Json) -> Json:
    """The same input, whose values are JSON already: each further key copies them. Raises TypeError as `get` does."""
    return {
        section: {name: _fragment(value) for name, value in values.items()} if type(values) is dict else values
        for section, values in document.items()
    }


def _fragment(value: object) -> object:
    return orjson.Fragment(orjson.dumps(value, option=_SORTED)) if type(value) in (dict, list) else value


class Memoized:
    """An engine whose subclass implements `_judge`.

    `inputs`: the paths of the input that the bundle reads. `volatile`: verdicts depend on more than the input, so they
    are not kept.
    """

    def __init__(self, inputs: Iterable[Path], *, volatile: bool, sets_labels: bool) -> None:
        self._inputs = frozenset(inputs)
        self._projection = Projection(self._inputs)
        self._memo = None if volatile else ReadSets()
        self.reads_history = self._projection.reads("context", "history")
        self.sets_labels = sets_labels

    @property
    def memoized(self) -> bool:
        """Whether inputs are judged only once that are equal in what the verdict depends on."""
        return self._memo is not None

    async def open(self) -> None:
        """No effect: the bundle is compiled already."""

    async def decide(self, document: Json) -> Json:
        """`data.gateway.decision`; the same object for all equal verdicts."""
        memo = self._memo
        of = sort(document)  # another thread may judge: nothing of the document is read after that
        try:
            if memo is not None and (found := memo.get(of, document)) is not None:
                return found
            part = self._projection.key(document)
        except (TypeError, ValueError, RecursionError) as error:
            raise PolicyUnavailable(f"the input is not JSON: {error}") from None
        result, read = await self._judge(document, part)
        return result if memo is None else memo.put(of, self._projection.part(part), read, result)

    async def ping(self) -> None:
        """No effect: the engine is always ready."""

    async def _judge(self, document: Json, key: bytes) -> tuple[Json, Iterable[Path]]:
        """The verdict on the part of a document that `key` represents, and what of `inputs` it depends on.

        Raises PolicyUnavailable.
        """
        raise NotImplementedError
