"""Answers that come compressed although nobody asked: unpacked piece by piece, with a bound on what comes of them.

A provider is told `Accept-Encoding: identity`. One that compresses all the same is understood if it used gzip or
deflate (RFC 9110, 8.4.1), and refused where what it sends grows as no text does. Each piece is small, so unpacking
holds up nobody; after some of them other calls get their turn.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Final

PIECE: Final = 64 * 1024  # bytes that are unpacked at once
RATIO: Final = 200  # bytes out of one; repetitive JSON comes to 50, nothing can exceed 1032
FREE: Final = 4 * 1024 * 1024  # bytes that may come of anything
_WINDOW: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_PAUSE: Final = 16  # pieces between two turns of others


class Packed(ValueError):
    """What came cannot be unpacked, or would be far too much; says why."""


class Inflater:
    """Unpacks one body. Raises Packed for an encoding that is not known, and for what it does not hold."""

    def __init__(self, encoding: str) -> None:
        window = _WINDOW.get(encoding)
        if window is None:
            raise Packed("an encoding that was not asked for")
        self._window = window
        self._zlib = zlib.decompressobj(window)
        self._came = self._gave = 0

    def feed(self, data: bytes, most: int = PIECE) -> tuple[bytes, bytes]:
        """At most so many bytes of what comes next, and what of the data is to be fed again."""
        self._came += len(data)
        try:
            out = self._zlib.decompress(data, most)
        except zlib.error:
            if self._window != 15 or self._gave:
                raise Packed("compressed data that is broken") from None
            self._window = -15  # some send deflate without the frame of zlib
            self._zlib = zlib.decompressobj(self._window)
            self._came -= len(data)
            return self.feed(data, most)
        rest = self._zlib.unconsumed_tail
        if self._zlib.eof and self._zlib.unused_data and self._window == 31:
            rest, self._zlib = self._zlib.unused_data, zlib.decompressobj(31)  # a further member (RFC 1952, 2.2)
        self._came -= len(rest)
        self._gave += len(out)
        if self._gave > FREE and self._gave > RATIO * self._came:
            raise Packed(f"an answer that unpacks to more than {RATIO} times its size")
        return out, rest

    def close(self) -> None:
        """The body has ended. Raises Packed where it broke off."""
        if self._came and not self._zlib.eof:
            raise Packed("compressed data that breaks off")


async def unpacked(chunks: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """The body that comes in an encoding ("" for none). Raises Packed."""
    if encoding in ("", "identity"):
        async for data in chunks:
            yield data
        return
    inflater, pieces = Inflater(encoding), 0
    async for data in chunks:
        rest = data
        while rest:
            out, rest = inflater.feed(rest)
            if out:
                yield out
            pieces += 1
            if not pieces % _PAUSE:
                await asyncio.sleep(0)
    inflater.close()
