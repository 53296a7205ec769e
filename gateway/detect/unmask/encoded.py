"""Decodes data in strings (base64, hexadecimal, data: URLs), and determines whether it is text or a kind of file."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Final
from urllib.parse import unquote_to_bytes

import regex

_MAGIC: Final = (
    ("image", (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM6", b"II*\x00", b"MM\x00*", b"\x00\x00\x01\x00")),
    ("audio", (b"ID3", b"OggS", b"fLaC")),
    ("video", (b"\x1aE\xdf\xa3", b"\x00\x00\x00\x18ftyp", b"\x00\x00\x00 ftyp")),
    ("document", (b"%PDF-", b"\xd0\xcf\x11\xe0")),
    ("archive", (b"\x1f\x8b\x08", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd", b"7z\xbc\xaf", b"Rar!")),
    ("ciphertext", (b"Salted__", b"age-encryption.org")),
    ("program", (b"\x7fELF", b"MZ\x90\x00")),
)
DATA_URL: Final = regex.compile(r"data:([A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+)?((?:;[A-Za-z0-9=.+_-]+)*),", regex.IGNORECASE)
_READABLE: Final = regex.compile(r"[\t\n\r\f\P{C}\p{Cf}]*")


def kind_of(data: bytes) -> str:
    """The kind of file by the first bytes; "" if unknown."""
    if data[:4] == b"RIFF":
        return "image" if data[8:12] == b"WEBP" else "audio" if data[8:12] == b"WAVE" else "video"
    if data[:1] == b"\x78" and _inflates(data):
        return "archive"
    return next((kind for kind, beginnings in _MAGIC if data.startswith(beginnings)), "")


def _inflates(data: bytes) -> bool:
    """Whether data is a zlib stream (RFC 1950). The two bytes of the header alone match random data too often."""
    try:
        return bool(zlib.decompressobj().decompress(data, 64))
    except zlib.error:
        return False


_STANDARD: Final = str.maketrans("-_", "+/")


def is_text(data: bytes) -> bool:
    """Whether bytes are UTF-8 without control characters; a character that is cut off at the end is ignored."""
    try:
        text = data.decode()
    except UnicodeDecodeError as fault:
        if fault.reason != "unexpected end of data":
            return False
        text = data[: fault.start].decode()
    return _READABLE.fullmatch(text) is not None


def decoded(run: str) -> bytes | None:
    """The bytes of a run of base64 (either alphabet, with line breaks or without) or hexadecimal digits, or None."""
    digits = "".join(run.split()).rstrip("=")
    if not digits.strip("0123456789abcdefABCDEF"):
        return from_hex(digits)
    return from_base64(digits)


def from_hex(digits: str) -> bytes | None:
    """The bytes of hexadecimal digits, without an odd last digit. None if there are other characters."""
    try:
        return bytes.fromhex(digits[: len(digits) & ~1])
    except ValueError:
        return None


def from_base64(digits: str) -> bytes | None:
    """The bytes of base64 (RFC 4648, either alphabet, padded or not), without an incomplete last byte.

    None if there are other characters.
    """
    digits = digits.rstrip("=").translate(_STANDARD)
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None


def decoded_url(parameters: str, payload: str) -> bytes | None:
    """The bytes of a data: URL (RFC 2397); None if it cannot be decoded."""
    if ";base64" in parameters.lower():
        return decoded(unquote_to_bytes(payload).decode("latin-1"))
    return unquote_to_bytes(payload)


def text_of(url: str) -> tuple[str, str] | None:
    """The content of a data: URL as (everything before the data, text); None if it is not a data: URL with text."""
    match = DATA_URL.match(url)
    if match is None:
        return None
    data = decoded_url(match[2], url[match.end() :])
    if data is None or not is_text(data):
        return None
    try:
        return url[: match.end()], data.decode()
    except UnicodeDecodeError:
        return None


_LEAST: Final = 64  # characters of data that is not text; a shorter value is judged as a text
_HEAD: Final = 4096  # characters that show whether data is text
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=\r\n"


def text_in(data: str) -> str | None:
    """The text in base64 without a media type; None for other data, and for a value that is no base64."""
    lines = str.maketrans("", "", "\r\n")
    head = from_base64(data[:_HEAD].translate(lines))
    if not head or not is_text(head):
        return None
    whole = head if len(data) <= _HEAD else from_base64(data.translate(lines))
    try:
        return whole.decode() if whole is not None and is_text(whole) else None
    except UnicodeDecodeError:
        return None


def is_data(value: str) -> bool:
    """Whether a value has the form of base64, and is long enough to be the content of a file."""
    return len(value) >= _LEAST and value.isascii() and not value.encode().translate(None, _ALPHABET)
