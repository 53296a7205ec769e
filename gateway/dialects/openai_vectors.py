"""The vectors of embeddings answers: removed from its bytes before parsing, and put back if the answer was edited.

2,048 vectors of 3,072 numbers are 140 MB and six million values, none of which can be judged. A vector is a list of
numbers, or the base64 of 32-bit floats in little-endian order (OpenAI API reference: embeddings/object). Other values
in the place of a vector stay and are judged as text: strings in the list, whole numbers of seven digits and more,
base64 of texts or of floats that no model returns.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson

from gateway.bodies import Json
from gateway.budget import spend
from gateway.detect.unmask import encoded
from gateway.dialects import Outline, items

# JSON's numbers (RFC 8259, section 6) of up to six digits before the point, possessive: a vector is scanned once.
_NUMBER: Final = rb"-?+(?:0|[1-9][0-9]{0,5}+)(?:\.[0-9]++)?+(?:[eE](?:-[0-9]{1,3}+|\+?+[0-9]))?+"
_BLANK: Final = rb"[ \t\r\n]*+"
_FLOAT: Final = 4  # bytes
# The highest byte of a float below 2^17, of either sign: the exponent without its last bit (IEEE 754).
_USUAL: Final = bytes([*range(0x48), *range(0x80, 0xC8)])
_CHECKED: Final = 4096  # bytes of a vector that are checked for text
_SPENT: Final = 8  # one microsecond per 2^8 bytes of a vector


class Vectors:
    """The vectors of one dialect. `key`: the key of a vector; `items`: the objects of an answer that hold vectors."""

    __slots__ = ("_cut", "_items", "_key", "_pattern", "_size")

    def __init__(self, key: str, items: Callable[[Json], Iterator[Json]]) -> None:
        name = b'"%b"' % key.encode()
        self._key, self._items = key, items
        self._size, self._cut = len(name), b"%b:[]" % name
        self._pattern = re.compile(
            rb'%b%b:%b(?:\[%b(?:%b(?:%b,%b%b)*+%b)?+\]|"([A-Za-z0-9+/]*+={0,2})")'
            % (name, _BLANK, _BLANK, _BLANK, _NUMBER, _BLANK, _BLANK, _NUMBER, _BLANK)
        )

    def outline(self, raw: bytes) -> Outline:
        """An answer whose vectors are replaced by empty lists; the whole answer if the vectors are not certain.

        They are certain if every vector in the bytes belongs to an item: not to another place, a duplicate key or a key
        with an escape.
        """
        parts: list[bytes] = []
        cuts: list[tuple[int, int]] = []
        at = 0
        for found in self._pattern.finditer(raw):
            start, end = found.span()
            spend((end - start) >> _SPENT)
            if found[1] is not None and not is_vector(found[1]):
                continue
            parts += raw[at:start], self._cut
            cuts.append((start + self._size, end))
            at = end
        if not cuts:
            return Outline(raw)
        parts.append(raw[at:])
        rest = b"".join(parts)
        if b"\\u00" in rest or items.is_crowded(rest):
            return Outline(raw)
        try:
            answer = orjson.loads(rest)
        except orjson.JSONDecodeError:
            return Outline(raw)
        sure = type(answer) is dict and sum(1 for _ in self._emptied(answer)) == len(cuts)
        return Outline(rest, cuts) if sure else Outline(raw)

    def fill(self, answer: Json, raw: bytes, cuts: Sequence[tuple[int, int]]) -> None:
        """Put the vectors that `outline` removed from `raw` back into the parsed answer, byte for byte."""
        for item, (start, end) in zip(self._emptied(answer), cuts, strict=True):
            item[self._key] = orjson.Fragment(raw[start:end].lstrip(b" \t\r\n:"))

    def _emptied(self, answer: Json) -> Iterator[Json]:
        """The items with an empty list in place of the vector."""
        return (item for item in self._items(answer) if item.get(self._key) == [])


def is_vector(said: bytes) -> bool:
    """Whether base64 holds 32-bit floats that a model may return, and no text."""
    try:
        data = base64.b64decode(said, validate=True)
    except binascii.Error:
        return False
    if len(data) % _FLOAT or data[_FLOAT - 1 :: _FLOAT].translate(None, _USUAL):
        return False
    return not data or not encoded.is_text(data[:_CHECKED])


def listed(answer: Json, key: str) -> Iterator[Json]:
    """The objects of a list in an answer."""
    held: Any = answer.get(key)
    return (item for item in held if type(item) is dict) if type(held) is list else iter(())


VECTORS: Final = Vectors("embedding", lambda answer: listed(answer, "data"))
