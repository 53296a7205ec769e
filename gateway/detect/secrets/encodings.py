"""Encodings of a value from which a reader can recover the value, also with separators between its characters.

A text is searched for all encodings at once in its bare form: only letters and digits, in lower case. Separators (line
breaks, blanks, `:`, `\\x`, `&#`, quotes) and the alphabet of base64 then make no difference.
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
# Every match has one of these, or is the beginning of an escape at the end.
_MARKS: Final = (b"\\u", b"\\x", b"%", b"&#")
_BEGUN: Final = (b"\\", b"&")
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_KEPT: Final = re.compile(rb"[0-9A-Za-z]")


def bare(data: bytes) -> bytes:
    """Letters and digits of ASCII in lower case."""
    return data.translate(_LOWER, _DROPPED)


def unbroken(data: bytes) -> bytes:
    """A text without the letters of escaped line ends (`\\n` in code); the same number of bytes."""
    return data.replace(b"\\n", b"  ").replace(b"\\r", b"  ") if b"\\" in data else data


def readings(text: bytes) -> tuple[bytes, ...]:
    """A text as written, and with escaped characters decoded; both have the same number of bytes."""
    if b"\\" not in text and b"%" not in text and b"&" not in text:
        return (text,)
    text = unbroken(text)
    if not any(mark in text for mark in _MARKS) and not text.endswith(_BEGUN):
        return (text,)
    plain = _ESCAPED.sub(_char, text)
    return (text, plain) if plain != text else (text,)


def _char(escape: re.Match[bytes]) -> bytes:
    """The character of an escape; a blank for the beginning of an escape, at the end of the text."""
    digits, number = escape.groups()
    code = int(number or 0) if digits is None else int(digits, 16)
    return (bytes([code]) if 0x20 < code < 0x7F else b" ").ljust(len(escape[0]))


def places(data: bytes) -> list[int]:
    """The offset in the data of each byte of its bare form."""
    return [match.start() for match in _KEPT.finditer(data)]


def written(value: str) -> frozenset[bytes]:
    """The bare forms of a value.

    The letters of the value in another case, order or distance are included, unless they are ordinary words or only
    part of the value.
    """
    plain = bare(value.encode("utf-8", "surrogatepass"))
    either = {plain, plain[::-1]}
    said = [form.encode("utf-8", "surrogatepass") for form in forms(value)]
    encoded = {bare(form) for form in said} | {bare(unbroken(form)) for form in said}
    return frozenset(encoded | either if value.isascii() and not is_public(value) else encoded - either)


def forms(value: str) -> Iterator[str]:
    """Other complete encodings of a value: one of those that have the same bare form."""
    raw = value.encode("utf-8", "surrogatepass")
    yield raw.hex()  # also with separators, and after `%` or `=`
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
    yield from _twice(raw)
    yield _base58(raw)
    yield from _base85(raw)


def _twice(raw: bytes) -> Iterator[str]:
    """Base64 and hexadecimal of base64 and of hexadecimal, each at any place in the encoded text."""
    inner = {raw.hex(), raw.hex().upper()}
    for shift in range(3):
        digits = _digits(base64.b64encode(bytes(shift) + raw).decode(), shift, len(raw), 6)
        inner |= {digits, digits.replace("+", "-").replace("/", "_")}
    for text in sorted(inner):
        data = text.encode()
        yield data.hex()
        for shift in range(3):
            yield _digits(base64.b64encode(bytes(shift) + data).decode(), shift, len(data), 6)


def _base58(raw: bytes) -> str:
    """The digits of a whole value as one number (alphabet of Bitcoin)."""
    number, digits = int.from_bytes(raw, "big"), []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    return "".join(reversed(digits))


def _base85(raw: bytes) -> Iterator[str]:
    """Both alphabets: of the whole value, and the groups of four bytes within the value at any place."""
    for encode in (base64.b85encode, base64.a85encode):
        yield encode(raw).decode()
        for shift in range(1, 4):
            inside = raw[4 - shift :]
            yield encode(inside[: len(inside) // 4 * 4]).decode()


def _digits(encoded: str, before: int, size: int, bits: int) -> str:
    """The digits, of `bits` bits each, that depend only on a value of `size` bytes after `before` other bytes."""
    return encoded[-(-before * 8 // bits) : (before + size) * 8 // bits]
