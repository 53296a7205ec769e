"""The frame of events with pieces of one text of a response: they differ in the piece, the number and the padding."""

from __future__ import annotations

from typing import Final

from gateway.bodies import Json
from gateway.dialects.delta_frame import NUMBER, PADDING, TEXT, DeltaFrame, Place

_KEYS: Final = frozenset({"type", "sequence_number", "item_id", "output_index", "content_index", "delta"})
_MORE: Final = frozenset({"logprobs", "obfuscation", "summary_index"})


def learn(raw: bytes, data: Json) -> DeltaFrame | None:
    """The frame of a faithful event; None if it has other fields, or fields that cannot be found in its bytes."""
    text, number = data.get("delta"), data.get("sequence_number")
    if not (data.keys() - _MORE <= _KEYS and type(text) is str and text.isprintable() and type(number) is int):
        return None
    if data.get("logprobs"):
        return None
    places = [Place("sequence_number", number, NUMBER), Place("delta", text, TEXT)]
    if "obfuscation" in data:
        places.append(Place("obfuscation", data["obfuscation"], PADDING))
    return DeltaFrame.learn(raw, places)
