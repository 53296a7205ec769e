"""A memo of verdicts, by the part of the input that an evaluation read.

An evaluation is a function of what it reads: an input that is equal to an earlier one at every path of its read set has
its verdict. A bundle may read the arguments of a tool in one rule, for one role. The calls of all other roles then have
one verdict, whatever their arguments. (`memo.Memo` alone would need equal inputs at each path that any rule names.)

Paths are cut at a depth of three names (`input.action.args.region`): deeper reads are covered by the whole value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

import orjson

from gateway.call import Json
from gateway.policy.engines.memo import Memo, Projection
from gateway.policy.engines.outline import Path

DEPTH = 3
"""Names of a path by which inputs are compared."""
SETS = 8
"""Read sets that are compared for calls of one sort; the least recently used is dropped first."""
SORTS = 256
"""Sorts of calls, of which read sets are known; then all are forgotten."""
LONGEST = 512
"""Bytes of a key that is kept as text; of a longer key, its digest is kept."""


class ReadSet:
    """Paths that an evaluation read, in no order, and the mark of its keys."""

    __slots__ = ("_deep", "mark", "paths", "projection")

    def __init__(self, number: int, paths: frozenset[Path]) -> None:
        self.mark = b"%d " % number
        self.paths = paths
        flat = {path for path in paths if len(path) < DEPTH}
        self.projection = Projection(flat)
        self._deep = sorted(path for path in paths if not flat & {(), path[:1], path[:2]})

    def key(self, document: Json, owner: bytes) -> bytes:
        """The key of an input. Raises TypeError for values that JSON does not have."""
        key = b"%b%b%b" % (self.mark, owner, self.projection.key(document))
        if self._deep:
            key += orjson.dumps([_deep(document, *path) for path in self._deep], option=orjson.OPT_SORT_KEYS)
        return key if len(key) <= LONGEST else blake2b(key, digest_size=32).digest()


class ReadSets:
    """The verdicts of one bundle. Verdicts of calls of one team serve only this team."""

    def __init__(self, size: int = 4096) -> None:
        self._memo = Memo(size)
        self._sorts: dict[object, list[ReadSet]] = {}
        self._owners: dict[str, bytes] = {}
        self._count = 0

    def get(self, document: Json) -> Json | None:
        """The verdict on an input; None if the memo does not have it. Raises TypeError as `ReadSet.key` does."""
        sets = self._sorts.get(sort(document))
        if sets is None:
            return None
        owner = self._owner(document)
        for at, one in enumerate(sets):
            found = self._memo.get(one.key(document, owner))
            if found is not None:
                if at:
                    sets.insert(0, sets.pop(at))
                return found
        return None

    def put(self, document: Json, part: Json, paths: Iterable[Path], result: Json) -> Json:
        """Remember the verdict on an input; returns the object that represents all equal verdicts.

        `part`: what of the input was judged. `paths`: what of the part was read.
        """
        read = frozenset(path[:DEPTH] for path in paths)
        of = sort(document)
        if len(self._sorts) >= SORTS and of not in self._sorts:
            self._sorts.clear()
        sets = self._sorts.setdefault(of, [])
        one = next((known for known in sets if known.paths == read), None)
        if one is None:
            self._count += 1
            one = ReadSet(self._count, read)
            sets.insert(0, one)
            del sets[SETS:]
        return self._memo.put(one.key(part, self._owner(document)), result)

    def __len__(self) -> int:
        return len(self._memo)

    def _owner(self, document: Json) -> bytes:
        name = team(document)
        known = self._owners.get(name)
        if known is None:
            if len(self._owners) >= SORTS:
                self._owners.clear()
            known = self._owners[name] = orjson.dumps(name)
        return known


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


def sort(document: Json) -> object:
    """The sort of a call: calls of one sort mostly have one read set. It decides the order of search, no verdict."""
    action = document.get("action")
    if type(action) is not dict:
        return None
    kind = action.get("kind")
    return kind if type(kind) is str else None, action.get("of_result") is True, action.get("of_list") is True


def team(document: Json) -> str:
    """The team of an input, a part of each key: no team can learn about other teams' calls from response times."""
    subject = document.get("subject")
    name = subject.get("team") if type(subject) is dict or isinstance(subject, Mapping) else None
    return name if isinstance(name, str) else ""
