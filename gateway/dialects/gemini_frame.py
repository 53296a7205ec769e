"""The frame of events of Gemini with a text each: they differ in the text and in the counts of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.bodies import Json
from gateway.dialects.delta_frame import NUMBER, TEXT, DeltaFrame, Place
from gateway.dialects.gemini_tables import candidates, parts

_TOTAL: Final = "totalTokenCount"
_GROWING: Final = frozenset({"candidatesTokenCount", "thoughtsTokenCount", _TOTAL})
"""The counts that are not the same in all events of a stream."""


def learn(raw: bytes, data: Json) -> DeltaFrame | None:
    """The frame of a faithful event whose only text is that of its one part; None if there is no such frame."""
    part = only(data)
    if part is None or part.keys() != {"text"} or not (type(part["text"]) is str and part["text"].isprintable()):
        return None
    counts: Json = data.get("usageMetadata") or {}
    places = [Place(name, count, NUMBER) for name, count in counts.items() if name in _GROWING and type(count) is int]
    return DeltaFrame.learn(raw, [Place("text", part["text"], TEXT), *places])


def only(data: Json) -> Json | None:
    """The one part of the one candidate of an event, which goes on; None for other events."""
    found = candidates(data)
    if len(found) != 1 or found[0].get("finishReason"):
        return None
    said = parts(found[0])
    return said[0] if len(said) == 1 else None


def counted(data: Json, keys: Sequence[str], reports: Sequence[Sequence[bytes]]) -> Json:
    """An event with the largest counts of a series, which are cumulative, given the counts by key.

    `data`: the event that taught the frame. Its total stays: nothing is charged by it.
    """
    most = {key: _most(report) for key, report in zip(keys, reports, strict=True) if key != _TOTAL}
    return {**data, "usageMetadata": {**data["usageMetadata"], **most}} if most else data


def _most(report: Sequence[bytes]) -> int:
    """The largest count."""
    first = report[0]
    return int(first) if report.count(first) == len(report) else max(map(int, report))
