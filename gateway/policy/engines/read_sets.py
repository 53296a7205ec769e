"""A memo of verdicts, by the part of the input that an evaluation read.

An evaluation is a function of what it reads: an input that is equal to an earlier one at every path of its read set has
its verdict. A bundle may read the arguments of a tool in one rule, for one role. The calls of all other roles then have
one verdict, whatever their arguments. (`memo.Memo` alone would need equal inputs at each path that any rule names.)

Read sets are compared by `Projection`, so a path is cut at a depth of two names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

import orjson

from gateway.call import Json
from gateway.policy.engines.memo import Memo, Projection
from gateway.policy.engines.outline import Path

SETS = 8
"""Read sets that are compared for calls of one sort; the least recently used is dropped first."""
SORTS = 2048
"""Sorts of calls, of which read sets are known; then all are forgotten."""
LONGEST = 512
"""Bytes of a key that is kept as text; of a longer key, its digest is kept."""
LONG = 4096
"""Bytes of a part of an input, from which the values of an input are written once for all read sets."""


class ReadSet:
    """Paths that an evaluation read, in no order, and the mark of its keys."""

    __slots__ = ("mark", "paths", "projection")

    def __init__(self, number: int, paths: frozenset[Path]) -> None:
        self.mark = b"%d " % number
        self.paths = paths
        self.projection = Projection(paths)

    def key(self, part: bytes, owner: bytes) -> bytes:
        """The key of an input. `part`: what `projection` takes of it."""
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
            part = one.projection.key(asked)
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
        read = frozenset(path[:2] for path in paths)
        if len(self._sorts) >= SORTS and of not in self._sorts:
            self._sorts.clear()
        owner, sets = self._sorts.get(of) or self._sorts.setdefault(of, _Known(ascii(of.team).encode(), []))
        one = next((known for known in sets if known.paths == read), None)
        if one is None:
            one = self._set(read)
            sets.insert(0, one)
            del sets[SETS:]
        return self._memo.put(one.key(one.projection.key(part), owner), result)

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
    return orjson.Fragment(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)) if type(value) in (dict, list) else value
