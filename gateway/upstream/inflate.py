"""Answers that are compressed although the gateway did not accept that: decompressed in pieces, within a bound.

The gateway sends `Accept-Encoding: identity`. If a provider compresses anyway, gzip and deflate are accepted (RFC 9110,
8.4.1), and an answer that grows more than any text would is refused. Pieces are small and the event loop is yielded
regularly, so other calls are not delayed.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Final

PIECE: Final = 64 * 1024  # bytes that are decompressed at once
RATIO: Final = 200  # bytes out for each byte in; repetitive JSON reaches 50, deflate cannot exceed 1032
FREE: Final = 4 * 1024 * 1024  # bytes that are decompressed regardless of the ratio
_FRAMED: Final = 15  # zlib window size with the zlib frame (RFC 1950); negative: without the frame
_HEAD: Final = 2  # bytes of the frame that identify it
_WINDOW: Final = {"gzip": 16 + _FRAMED, "x-gzip": 16 + _FRAMED, "deflate": _FRAMED}
_MEMBERS: Final = 1024  # members of one gzip body; each costs a copy of the piece
_PAUSE: Final = 16  # pieces after which the event loop is yielded


class Packed(ValueError):
    """The answer cannot be decompressed, or would be too large; the message is the reason."""


class Inflater:
    """Decompresses one body. Raises Packed for an unknown encoding, and for damaged data."""

    def __init__(self, encoding: str) -> None:
        window = _WINDOW.get(encoding)
        if window is None:
            raise Packed("an encoding that was not asked for")
        self._window = window
        self._zlib = zlib.decompressobj(window)
        self._begun = b"" if window == _FRAMED else None  # the first bytes, until they show whether there is a frame
        self._came = self._gave = 0
        self._members = 1

    def feed(self, data: bytes, most: int = PIECE) -> tuple[bytes, bytes]:
        """At most `most` decompressed bytes, and the rest of the data, which must be fed again."""
        if self._begun is not None:
            data = self._begun + data
            if len(data) < _HEAD:
                self._begun = data
                return b"", b""
            self._begun = None
            if data[0] & 15 != zlib.DEFLATED or int.from_bytes(data[:_HEAD], "big") % 31:
                self._zlib = zlib.decompressobj(
                    -_FRAMED
                )  # some providers send deflate without the zlib frame (RFC 1950)
        self._came += len(data)
        try:
            out = self._zlib.decompress(data, most)
        except zlib.error:
            raise Packed("compressed data that is broken") from None
        rest = self._zlib.unconsumed_tail
        if self._zlib.eof and self._zlib.unused_data and self._window != _FRAMED:
            rest, self._zlib = self._zlib.unused_data, zlib.decompressobj(self._window)  # a further member (RFC 1952)
            self._members += 1
            if self._members > _MEMBERS:
                raise Packed(f"an answer of more than {_MEMBERS} compressed members")
        self._came -= len(rest)
        self._gave += len(out)
        if self._gave > FREE and self._gave > RATIO * self._came:
            raise Packed(f"an answer that unpacks to more than {RATIO} times its size")
        return out, rest

    def close(self) -> None:
        """The body has ended. Raises Packed if the compressed data is incomplete."""
        if (self._came or self._begun) and not self._zlib.eof:
            raise Packed("compressed data that breaks off")


async def unpacked(chunks: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """The decompressed body. Raises Packed."""
    inflater, pieces = Inflater(encoding), 0
    async for data in chunks:
        rest, out = data, b""
        while rest or len(out) == PIECE:  # a full piece may not be the last
            out, rest = inflater.feed(rest)
            if out:
                yield out
            pieces += 1
            if not pieces % _PAUSE:
                await asyncio.sleep(0)
    inflater.close()
