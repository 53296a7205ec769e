"""The ways to write a value of which a reader can tell the value: encodings, and signs between its characters.

A text is searched for all of them at once in its bare form: letters and digits only, in lower case. What separates
(line breaks, blanks, `:`, `\\x`, `&#`, quotes) and the alphabet of base64 then make no difference.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from gateway.detect.secrets.public import is_public

_LOWER: Final = bytes(byte | 0x20 if chr(byte).isupper() and byte < 0x80 else byte for byte in range(256))
_DROPPED: Final = bytes(byte for byte in range(256) if byte >= 0x80 or not chr(byte).isalnum())
_ESCAPED: Final = re.compile(
    rb"(?:\\{1,8}u(?:00|\{0{0,4})|\\{1,8}x|%|&#x0{0,4})([2-7][0-9A-Fa-f])[;}]?|&#0{0,4}([0-9]{2,3});?"
    rb"|(?:\\{1,8}(?:u[0-9{]{0,3}|x[2-7]?)?|%[2-7]?|&(?:#(?:x?0{0,4}[2-7]?)?)?)\Z"
)
_KEPT: Final = re.compile(rb"[0-9A-Za-z]")


def bare(data: bytes) -> bytes:
    """Letters and digits of ASCII in lower case."""
    return data.translate(_LOWER, _DROPPED)


def unbroken(data: bytes) -> bytes:
    """A text without the letters of the ends of lines that are escaped in it, as in code; the same number of bytes."""
    return data.replace(b"\\n", b"  ").replace(b"\\r", b"  ") if b"\\" in data else data


def readings(text: bytes) -> Iterator[bytes]:
    """A text as it is, and with single characters that are escaped in it put right; the same number of bytes."""
    text = unbroken(text)
    yield text
    if b"\\" in text or b"%" in text or b"&" in text:
        plain = _ESCAPED.sub(_char, text)
        if plain != text:
            yield plain


def _char(escape: re.Match[bytes]) -> bytes:
    """The character of an escape; a blank for the beginning of an escape, at the end of the text."""
    digits, number = escape.groups()
    code = int(number or 0) if digits is None else int(digits, 16)
    return (bytes([code]) if 0x20 < code < 0x7F else b" ").ljust(len(escape[0]))


def places(data: bytes) -> list[int]:
    """Where in the data each byte of its bare form stands."""
    return [match.start() for match in _KEPT.finditer(data)]


def written(value: str) -> frozenset[bytes]:
    """The bare forms of a value.

    Its own letters in another case, order or distance are one of them, unless they are words of a language or only a
    part of the value.
    """
    plain = bare(value.encode("utf-8", "surrogatepass"))
    either = {plain, plain[::-1]}
    encoded = {bare(form.encode("utf-8", "surrogatepass")) for form in forms(value)}
    return frozenset(encoded | either if value.isascii() and not is_public(value) else encoded - either)


def forms(value: str) -> Iterator[str]:
    """Other ways to write a value, as far as they say all of it: one of those that have the same bare form."""
    raw = value.encode("utf-8", "surrogatepass")
    yield raw.hex()  # also with separators, and behind `%` or `=`
    yield "".join(rf"\x{byte:02x}" for byte in raw)  # also as entities
    yield ", ".join(f"0x{byte:02x}" for byte in raw)
    units = value.encode("utf-16-be", "surrogatepass").hex()
    yield "".join(rf"\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    yield "".join(f"&#{ord(one)};" for one in value)
    yield ", ".join(str(byte) for byte in raw)
    yield "".join(rf"\{byte:03o}" for byte in raw)
    yield quote(raw, safe="")
    yield json.dumps(value)[1:-1]
    yield html.escape(value)
    for shift in range(5):  # bytes before it in its group
        yield _digits(base64.b32encode(bytes(shift) + raw).decode(), shift, len(raw), 5)
        if shift < 3:
            yield _digits(base64.b64encode(bytes(shift) + raw).decode(), shift, len(raw), 6)


def _digits(encoded: str, before: int, size: int, bits: int) -> str:
    """The digits, of so many bits each, that say nothing but a value of `size` bytes behind others."""
    return encoded[-(-before * 8 // bits) : (before + size) * 8 // bits]
