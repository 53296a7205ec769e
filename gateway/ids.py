"""The ids of calls and workflows: UUIDv7 (RFC 9562), the form of a correlation id, base64url. Fast to import."""

from __future__ import annotations

import base64
import os
import re
import time
from typing import Final

CORRELATION_ID: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")


class _Random:
    """Random bytes from the system, read 4 kB at a time: each read yields to other threads, and costs 40 us."""

    def __init__(self) -> None:
        self._drawn, self._at = b"", 0

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._drawn):
            self._drawn, self._at = os.urandom(4096), 0
        self._at += size
        return self._drawn[self._at - size : self._at]


_random = _Random()


def uuid7(at: float | None = None) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) of now or of a Unix time: 48 bits of milliseconds, 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000 if at is None else int(at * 1000)
    value = milliseconds << 80 | int.from_bytes(_random.take(10), "big")
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_correlation_id(text: str) -> bool:
    """Whether a text has the form of a correlation id."""
    return CORRELATION_ID.fullmatch(text.encode("utf-8", "surrogatepass")) is not None


def base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515, appendix C)."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """The bytes of a base64url text, padded or not. Raises ValueError; characters outside the alphabet are ignored."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
