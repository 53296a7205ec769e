"""Reads and writes text positions of a parsed body: values, keys, numbers, and JSON within strings."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from gateway.bodies import Json
from gateway.dialects import literals
from gateway.dialects.tree import ARGUMENTS, Name
from gateway.texts import Argument, Nested, Prompt, Slot


def read(slot: Slot) -> str | None:
    """The current text at a position; None for a key that was renamed."""
    if type(slot.key) is Name:
        return slot.text if slot.key in slot.holder else None
    value = slot.holder[slot.key]
    return value if type(value) is str else slot.text


def write(slot: Slot, text: str) -> None:
    """Write a text to a position. A number becomes a string, because a number cannot hold a placeholder."""
    write_all([(slot, text)])


def write_all(edits: Iterable[tuple[Slot, str]]) -> bool:
    """Write texts to positions; True if there were any. Keys are renamed last, all keys of one object together."""
    names: dict[int, tuple[Json, dict[str, str]]] = {}
    slot = None
    for slot, text in edits:
        if type(slot.key) is Name:
            names.setdefault(id(slot.holder), (slot.holder, {}))[1].setdefault(slot.key, text)
        else:
            slot.holder[slot.key] = text
        if slot.nested:
            slot.nested.edited = True
    for holder, new in names.values():
        _rename(holder, new)
    return slot is not None


def _rename(holder: Json, new: dict[str, str]) -> None:
    """Rename keys in place; a name that exists gets a number."""
    taken, numbers, named = set(holder), dict[str, int](), dict[str, str]()
    for old, wanted in new.items():
        if old not in holder:
            continue
        name, number = wanted, numbers.get(wanted, 1)
        while name in taken and name != old:
            number += 1
            name = f"{wanted}_{number}"
        numbers[wanted] = number
        taken.discard(old)
        taken.add(name)
        named[old] = name
    renamed = [(named.get(key, key), value) for key, value in holder.items()]
    holder.clear()
    holder.update(renamed)


def fold(nested: Sequence[Nested]) -> bool:
    """Write edited JSON back into its strings, innermost first; True if any was edited."""
    folded = False
    for inner in reversed(nested):
        if inner.edited:
            inner.holder[inner.key] = _written(inner)
            if inner.outer:
                inner.outer.edited = True
            folded = True
    return folded


def _written(inner: Nested) -> str:
    if inner.prefix is None:
        return literals.rewritten(inner.holder[inner.key], inner.root)
    data = inner.root["text"].encode("utf-8", "surrogatepass")
    if not inner.prefix or ";base64" in inner.prefix.lower():
        return inner.prefix + base64.b64encode(data).decode()
    return inner.prefix + quote(data)


def place(slot: Slot) -> tuple[Any, Any]:
    """The holder and key in the body of a text, or of the JSON string that contains the text."""
    nested = slot.nested
    if nested is None:
        return slot.holder, slot.key
    while nested.outer is not None:
        nested = nested.outer
    return nested.holder, nested.key


def is_argument(slot: Slot) -> bool:
    """Whether a text is in the arguments of a tool call, in any form."""
    if type(slot) is Prompt:
        return False
    return slot.nested is not None or type(slot) is Argument or slot.key in ARGUMENTS


def tool(slot: Slot) -> str | None:
    """The name of the tool for a text in arguments; None for any other text."""
    holder, key = place(slot)
    name = holder.get("name") if key in ARGUMENTS and type(holder) is dict else None
    return name if type(name) is str else None
