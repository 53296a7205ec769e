"""Values split over the structural strings of an answer: an id, a name, a fingerprint, each too short to say anything.

No string of that kind is judged with its neighbours elsewhere. Here those of one answer, or of one chunk, are put
together in document order, and a value that lies in several of them is found where it is beyond doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from itertools import accumulate
from typing import Any, Final

from gateway.budget import spend
from gateway.call import Finding, Json
from gateway.detect.personal.placeholders import LIKE, PLACEHOLDER
from gateway.errors import Refusal
from gateway.output.elements import CERTAIN

KEYS: Final = frozenset(
    {"id", "model", "object", "role", "type", "name", "finish_reason", "tool_call_id", "format"}
    | {"service_tier", "system_fingerprint"}
)
_LONGEST: Final = 128  # characters of a structural string; a longer one is a text


def pieces(answer: Any, words: Container[str]) -> list[str]:
    """The structural strings of an answer in document order, but for `words` of the dialect."""
    found: list[str] = []
    waiting: list[Any] = [answer]
    while waiting:
        node = waiting.pop()
        if type(node) is dict:
            spend(1)
            below: list[Any] = []
            for key, value in node.items():
                kind = type(value)
                if kind is str:
                    if key in KEYS and value not in words and 0 < len(value) <= _LONGEST:
                        (below if below else found).append(value)
                elif kind is dict or kind is list:
                    below.append(value)
            waiting += reversed(below)
        elif type(node) is list:
            waiting += [value for value in reversed(node) if type(value) is dict or type(value) is list]
        elif type(node) is str:  # behind what stands before it
            found.append(node)
    return found


def across(strings: Sequence[str], scan: Callable[[str], Sequence[Finding]]) -> list[tuple[Finding, str]]:
    """What several strings say together, beyond doubt, and none of them alone: findings and their texts."""
    found = _across(strings, scan)
    # What a string says alone is redacted in its place; it is no piece of another value.
    return _across([_BREAK if scan(one) else one for one in strings], scan) if found else []


_BREAK: Final = "\n"


def _across(strings: Sequence[str], scan: Callable[[str], Sequence[Finding]]) -> list[tuple[Finding, str]]:
    if len(strings) < 2:
        return []
    text = "".join(strings)
    ends = list(accumulate(map(len, strings)))
    return [
        (one, text[one.start : one.end])
        for one in scan(text)
        if one.score >= CERTAIN and any(one.start < end < one.end for end in ends)
    ]


class Structure:
    """The judge of one answer's structural strings.

    `scan` finds values in a text; `instead` is what stands in place of one, None where it may stay.
    """

    def __init__(
        self,
        words: Container[str],
        scan: Callable[[str], Sequence[Finding]],
        instead: Callable[[str, str], str | None],
    ) -> None:
        self._words = words
        self._scan = scan
        self._instead = instead
        self._last: list[str] = []

    def check(self, answer: Json) -> None:
        """Judge an answer or a chunk. Raises Refusal for a split value: it cannot be redacted where it stands."""
        strings = pieces(answer, self._words)
        if strings == self._last:  # as in the chunk before
            return
        self._last = strings
        for one, text in across(strings, self._scan):
            if one.entity in (PLACEHOLDER, LIKE) or self._instead(one.entity, text) is None:
                continue
            raise Refusal(
                "secret_blocked" if one.entity.startswith("SECRET_") else "output_blocked",
                f"The answer held a value in several of its ids and names ({one.entity}) and was stopped.",
                stage="output",
            )
