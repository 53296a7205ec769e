"""The outer structure of DER, for what must be given back as it was written (ITU-T X.690)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

SEQUENCE, OBJECT, BOOLEAN = 0x30, 0x06, 0x01


class Element(NamedTuple):
    """One element: its tag, all of its bytes, and what is in it."""

    tag: int
    whole: bytes
    content: bytes


def elements(data: bytes) -> Iterator[Element]:
    """The elements that stand one after another. Raises ValueError."""
    at = 0
    while at < len(data):
        start = at + 2
        if start > len(data):
            raise ValueError("an element of DER is cut off")
        size = data[at + 1]
        if size & 0x80:
            digits = size & 0x7F
            size = int.from_bytes(data[start : start + digits])
            start += digits
        if start + size > len(data):
            raise ValueError("an element of DER is cut off")
        yield Element(data[at], data[at : start + size], data[start : start + size])
        at = start + size


def oid(content: bytes) -> list[int]:
    """The numbers of an object identifier."""
    numbers: list[int] = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return [first, numbers[0] - 40 * first, *numbers[1:]]
