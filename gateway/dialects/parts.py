"""Content parts of a request that are one text to the model: a value may begin in one and end in the next.

Each part is a separate text position and is judged separately. Here the parts are joined, and a finding that spans
parts becomes a `Share` in each of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final, NamedTuple

from gateway.bodies import Json
from gateway.detect.core.rules import resolve
from gateway.detect.unscannable import UNSCANNABLE
from gateway.texts import Finding, Share, Slot

CERTAIN: Final = 0.95
"""The score of a finding that is confirmed by a checksum or a distinctive form."""
MOST: Final = 256 * 1024
"""Maximum characters of parts that are joined completely; of longer parts, the text around each seam."""
_SEAM: Final = 2048  # characters on each side of a seam, if the parts are too long

_start: Final = attrgetter("start")

Found = tuple[Slot, Sequence[Finding]]
_Place = tuple[int, Any]


class Part(NamedTuple):
    """A part of a text position: `size` characters from `start` on."""

    slot: Slot
    start: int
    size: int


class Joined(NamedTuple):
    """The joined text of parts of one message, as a text position without a place. `whole`: no part is cut.

    `certain`: the parts are usually separate values, so that only certain findings that span parts count.
    """

    slot: Slot
    parts: Sequence[Part]
    whole: bool
    certain: bool = False


def joined(body: Json, slots: Sequence[Slot]) -> list[Joined]:
    """The joined parts of each message with more than one part."""
    lists = [
        content
        for message in body.get("messages") or ()
        if type(content := message.get("content")) is list and len(content) > 1
    ]
    if not lists:
        return []
    numbers: dict[int, int] = {}
    for number, content in enumerate(lists):
        numbers[id(content)] = number
        numbers.update((id(part), number) for part in content if type(part) is dict)
    found: dict[int, list[Slot]] = {}
    for slot in slots:
        number = numbers.get(id(slot.holder), -1)
        if number >= 0 and slot.nested is None and (slot.key == "text" or type(slot.key) is int):
            found.setdefault(number, []).append(slot)
    return [one for texts in found.values() if len(texts) > 1 for one in _joined(texts)]


def in_lists(slots: Sequence[Slot]) -> list[Joined]:
    """The joined strings of each list: a tool may join them."""
    found: dict[int, list[Slot]] = {}
    for slot in slots:
        if type(slot.holder) is list and slot.nested is None and type(slot.holder[slot.key]) is str:
            found.setdefault(id(slot.holder), []).append(slot)
    return [one for texts in found.values() for one in separate(texts)]


def separate(texts: list[Slot]) -> list[Joined]:
    """The joined text of values that are usually separate; nothing for one value."""
    return [one._replace(certain=True) for one in _joined(texts)] if len(texts) > 1 else []


def _joined(texts: list[Slot]) -> Iterator[Joined]:
    if sum(len(text.text) for text in texts) <= MOST:
        yield _put([Part(text, 0, len(text.text)) for text in texts], whole=True)
        return
    for one, other in pairwise(texts):
        size = min(len(one.text), _SEAM)
        parts = [Part(one, len(one.text) - size, size), Part(other, 0, min(len(other.text), _SEAM))]
        yield _put(parts, whole=False)


def _put(parts: list[Part], *, whole: bool) -> Joined:
    text = "".join(part.slot.text[part.start : part.start + part.size] for part in parts)
    return Joined(Slot(None, None, text, parts[0].slot.role, None), parts, whole)


def merged(
    found: Sequence[Found], across: Sequence[tuple[Joined, Sequence[Finding]]], slots: Sequence[Slot]
) -> list[Found]:
    """The findings in each text, merged with those in joined texts."""
    own: dict[_Place, Sequence[Finding]] = {_place(slot): findings for slot, findings in found}
    for one, findings in across:
        _merge(one, findings, own)
    return [(slot, findings) for slot in slots if (findings := own.get(_place(slot), ()))]


def _place(slot: Slot) -> _Place:
    return id(slot.holder), (type(slot.key), slot.key)


def _merge(one: Joined, findings: Sequence[Finding], own: dict[_Place, Sequence[Finding]]) -> None:
    """Add the findings in a joined text to those of its parts; overlapping findings become one."""
    ends: list[int] = []
    mine: list[Finding] = []
    kept: dict[_Place, list[Finding]] = {}
    for part in one.parts:
        at = ends[-1] if ends else 0
        ends.append(at + part.size)
        for it in own.get(_place(part.slot), ()):
            low, high = it.start - part.start, it.end - part.start
            if it.entity.startswith(UNSCANNABLE) or low < 0 or high > part.size or isinstance(it, Share):
                kept.setdefault(_place(part.slot), []).append(it)
            else:
                mine.append(it._replace(start=low + at, end=high + at))
    together = [it for it in findings if not it.entity.startswith(UNSCANNABLE) and _counts(it, one, ends)]
    result = resolve([*mine, *together])
    first = 0
    for part, end in zip(one.parts, ends, strict=True):
        at = end - part.size
        place = _place(part.slot)
        while first < len(result) and result[first].end <= at:  # they are sorted and do not overlap
            first += 1
        here = result[first : bisect_left(result, end, first, key=_start)]
        shares = [_share(it, at, end, part.start, one.slot.text) for it in here if at < it.end]
        own[place] = sorted([*kept.get(place, ()), *shares])


def _counts(it: Finding, one: Joined, ends: Sequence[int]) -> bool:
    """Whether a finding in a joined text counts. `ends`: those of its parts."""
    if one.whole and not one.certain:
        return True
    return (not one.certain or it.score >= CERTAIN) and any(it.start < end < it.end for end in ends)


def _share(it: Finding, at: int, end: int, start: int, text: str) -> Finding:
    """The share of a finding in the part from `at` to `end`, which begins at `start` of its text."""
    low, high = max(it.start, at) - at + start, min(it.end, end) - at + start
    if at <= it.start and it.end <= end:
        return it._replace(start=low, end=high)
    share = Share(low, high, it.entity, it.score)
    share.value, share.first = text[it.start : it.end], it.start >= at
    return share
