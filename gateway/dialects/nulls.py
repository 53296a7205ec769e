"""Null in lists of objects: some providers send it, and clients fail on it. It says nothing and is removed.

Only lists that a dialect defines are read. Arguments of tools and fields that the dialect does not name are data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from gateway.bodies import Json

_MESSAGE: Final = ("content", "tool_calls", "annotations")
_BLOCK: Final = ("content", "citations")
_ITEM: Final = ("content", "summary")
_PART: Final = ("annotations", "logprobs")
_LISTED: Final = re.compile(rb"[\[,]\s*null")


def may_hold(raw: bytes) -> bool:
    """Whether JSON may have null in a list: there, null does not follow a colon."""
    nulls = raw.count(b"null")
    if not nulls or nulls == raw.count(b'": null') + raw.count(b'":null'):  # each is the value of a key
        return False
    return _LISTED.search(raw) is not None


def of_choices(answer: Json) -> bool:
    """Remove null from the choices of an answer or a chunk and from the lists of their messages; True if any."""
    changed = _drop(answer, ("choices",))
    for choice in _objects(answer.get("choices")):
        for key in ("message", "delta"):
            said = choice.get(key)
            if type(said) is dict and _drop(said, _MESSAGE):
                changed = True
    return changed


def of_blocks(message: Json) -> bool:
    """Remove null from the blocks of a message and from the lists of these blocks; True if any."""
    changed = _drop(message, ("content",))
    for block in _objects(message.get("content")):
        changed |= of_block(block)
    return changed


def of_block(block: Json) -> bool:
    """Remove null from the lists of a block; True if any."""
    return _drop(block, _BLOCK)


def of_items(answer: Json) -> bool:
    """Remove null from the items of a response and from the lists of these items; True if any."""
    changed = _drop(answer, ("output",))
    for item in _objects(answer.get("output")):
        changed |= of_item(item)
    return changed


def of_item(item: Json) -> bool:
    """Remove null from the lists of an item and of its parts; True if any."""
    changed = _drop(item, _ITEM)
    for part in _objects(item.get("content")):
        changed |= _drop(part, _PART)
    return changed


def of_candidates(answer: Json) -> bool:
    """Remove null from the candidates of an answer or an event, and from their parts; True if any."""
    changed = _drop(answer, ("candidates",))
    for candidate in _objects(answer.get("candidates")):
        if type(content := candidate.get("content")) is dict:
            changed |= _drop(content, ("parts",))
    return changed


def _objects(value: Any) -> Iterable[Json]:
    return [one for one in value if type(one) is dict] if type(value) is list else ()


def _drop(holder: Json, keys: Iterable[str]) -> bool:
    changed = False
    for key in keys:
        value = holder.get(key)
        if type(value) is list and None in value:
            holder[key] = [one for one in value if one is not None]
            changed = True
    return changed
