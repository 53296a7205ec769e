"""Values split over the structural strings of an answer: ids, names, fingerprints, each too short for a finding.

Elsewhere, each of these strings is judged separately. Here the strings of one answer or of one chunk are joined in
document order, and a value that spans several of them is found if the finding is certain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from itertools import accumulate
from typing import Any, Final

from gateway.budget import spend
from gateway.call import Json
from gateway.detect.personal.placeholders import LIKE, PLACEHOLDER
from gateway.dialects.parts import CERTAIN
from gateway.dialects.tree import Single
from gateway.errors import Refusal
from gateway.texts import Finding

KEYS: Final = frozenset(
    {"id", "model", "object", "role", "type", "name", "finish_reason", "tool_call_id", "format"}
    | {"service_tier", "system_fingerprint"}
)
_SAYING: Final = frozenset({str, dict, list})  # types of values that may hold a string
_STEP: Final = 64  # objects after which the time is checked
_LONGEST: Final = 128  # maximum characters of a structural string; a longer string is a text


def pieces(answer: Any, words: Container[str], single: Single | None = None) -> list[str]:
    """The structural strings of an answer in document order, without the `words` of the dialect.

    `single`: what was read of one of its lists.
    """
    read = single.root if single is not None else words  # words: nothing in an answer
    found: list[str] = []
    waiting: list[Any] = [answer]
    looked = 0
    while waiting:
        node = waiting.pop()
        if type(node) is dict:
            looked += 1
            if looked == _STEP:
                spend(looked)
                looked = 0
            below: list[Any] = []
            for key, value in node.items():
                kind = type(value)
                if kind is str:
                    if key in KEYS and value not in words and 0 < len(value) <= _LONGEST:
                        (below if below else found).append(value)
                elif kind is list or (kind is dict and not _SAYING.isdisjoint(map(type, value.values()))):
                    below.append(value)
            if below:
                below.reverse()
                waiting += below
        elif node is read and single is not None:
            found += [name for name in single.names if name not in words]
        elif type(node) is list:
            waiting += [value for value in reversed(node) if type(value) is dict or type(value) is list]
        elif type(node) is str:  # after the previous string
            found.append(node)
    spend(looked)
    return found


_DATED: Final = re.compile(r"-20\d\d-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])\Z")


def runs(strings: Sequence[str], models: Collection[str]) -> Iterator[list[str]]:
    """The strings between the names of requested models, with or without a date: no value continues across a name.

    Most answers have only an id and such a name, so nothing is left to join.
    """
    run: list[str] = []
    for one in strings:
        if one in models or _DATED.sub("", one) in models:
            yield run
            run = []
        else:
            run.append(one)
    yield run


def across(strings: Sequence[str], scan: Callable[[str], Sequence[Finding]]) -> list[tuple[Finding, str]]:
    """Certain findings that span several strings and are not in any single string, with their texts."""
    found = _across(strings, scan)
    # A finding in a single string is redacted in place; it is not part of another value.
    return _across([_BREAK if scan(one) else one for one in strings], scan) if found else []


_BREAK: Final = "\n"
_SHORTEST: Final = 4  # characters; no certain finding is shorter


def _across(strings: Sequence[str], scan: Callable[[str], Sequence[Finding]]) -> list[tuple[Finding, str]]:
    text = "".join(strings)
    if len(strings) < 2 or len(text) < _SHORTEST:
        return []
    ends = list(accumulate(map(len, strings)))
    return [
        (one, text[one.start : one.end])
        for one in scan(text)
        if one.score >= CERTAIN and any(one.start < end < one.end for end in ends)
    ]


class Structure:
    """The judge of the structural strings of one answer.

    `scan` finds values in a text; `models` are those that the request was sent to, by the names of their providers.
    """

    def __init__(
        self, words: Container[str], models: Collection[str], scan: Callable[[str], Sequence[Finding]]
    ) -> None:
        self._words = words
        self._models = models
        self._scan = scan
        self._last: list[str] = []

    def check(self, answer: Json, instead: Callable[[str, str], str | None], single: Single | None = None) -> None:
        """Judge an answer or a chunk. Raises Refusal for a split value, which cannot be redacted in place.

        `instead` returns the replacement of a value, None if the value may stay. The function is not stored: its owner
        refers to this object, and a cycle would leave each call to the garbage collector.
        """
        strings = pieces(answer, self._words, single)
        if strings == self._last:  # as in the previous chunk
            return
        self._last = strings
        for one, text in [found for run in runs(strings, self._models) for found in across(run, self._scan)]:
            if one.entity in (PLACEHOLDER, LIKE) or instead(one.entity, text) is None:
                continue
            raise Refusal(
                "secret_blocked" if one.entity.startswith("SECRET_") else "output_blocked",
                f"The answer contained a value in several of its ids and names ({one.entity}) and was stopped.",
                stage="output",
            )
