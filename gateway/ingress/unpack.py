"""Decompression of request bodies: gzip and deflate always, br and zstd with the extra `encodings`.

Config key: `server.max_body`, which limits the decompressed size; decompression stops there. Each piece counts against
`server.max_buffered` before the next piece is decompressed. Refuses with request_too_large, and with invalid_request
(415 for an unsupported coding, 400 for damaged data).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Final

from gateway.call import Headers
from gateway.errors import Refusal

PIECE: Final = 256 * 1024  # bytes that are decompressed at once: about a millisecond
_MEMBERS: Final = 8  # of one gzip body (RFC 1952, 2.2): each copies what follows it
ACCEPTED = [
    "gzip",
    "deflate",
    *(name for name, module in (("br", "brotli"), ("zstd", "zstandard")) if find_spec(module)),
]


def coding_of(headers: Headers) -> str:
    """The compression of a body; "" for none. `x-gzip` is gzip (RFC 9110, 8.4.1.3), `identity` is no compression."""
    every = [value for name, value in headers if name == b"content-encoding"]
    if not every:
        return ""
    said = b",".join(every).decode("latin-1").lower()
    codings = [one.strip().replace("x-gzip", "gzip") for one in said.split(",")]
    return ", ".join(one for one in codings if one not in ("", "identity"))


async def unpack(coding: str, data: bytes, limit: int, hold: Callable[[int], None] | None = None) -> bytes:
    """The decompressed body, at most `limit` bytes. `hold` is called with the size of each piece before it is kept.

    Yields to the event loop after each piece. Raises Refusal.
    """
    if coding not in ACCEPTED:
        words = f"Content-Encoding must be one of {', '.join(ACCEPTED)}, or left out."
        raise Refusal(
            "invalid_request", words, status=415, headers=((b"accept-encoding", ", ".join(ACCEPTED).encode()),)
        )
    parts: list[bytes] = []
    size, pieces = 0, _pieces(coding, data)
    while piece := _next(coding, pieces):
        size += len(piece)
        if size > limit:
            words = (
                f"The decompressed body exceeds {limit} bytes. Send less, or ask the operator to raise server.max_body."
            )
            raise Refusal("request_too_large", words)
        if hold is not None:
            hold(len(piece))
        parts.append(piece)
        await asyncio.sleep(0)
    return b"".join(parts)


def _next(coding: str, pieces: Iterator[bytes]) -> bytes:
    """The next piece; empty at the end. Raises Refusal for damaged data."""
    try:
        return next(pieces, b"")
    except Exception:  # each library has its own exceptions
        raise Refusal("invalid_request", f"The body is not valid {coding} data, or has trailing data.") from None


def _window(data: bytes) -> int:
    """The window of deflate, which some send without the frame of zlib (RFC 1950)."""
    framed = data[:1] and data[0] & 15 == zlib.DEFLATED and not int.from_bytes(data[:2], "big") % 31
    return 15 if framed else -15


def _pieces(coding: str, data: bytes) -> Iterator[bytes]:
    """The decompressed data in pieces of at most `PIECE` bytes. Raises for truncated or trailing data."""
    if coding == "br":
        import brotli

        decoder = brotli.Decompressor()
        piece = decoder.process(data, output_buffer_limit=PIECE)
        while piece:
            yield piece
            piece = b"" if decoder.can_accept_more_data() else decoder.process(b"", output_buffer_limit=PIECE)
        whole = decoder.is_finished()
    elif coding == "zstd":
        import zstandard

        with zstandard.ZstdDecompressor(max_window_size=1 << 23).stream_reader(
            data, read_across_frames=False
        ) as reader:
            while piece := reader.read(PIECE):
                yield piece
        whole = True
    else:
        window = 31 if coding == "gzip" else _window(data)
        inflater = zlib.decompressobj(window)
        members, full = 1, False
        while data or full:  # what is full may not be all
            piece = inflater.decompress(data, PIECE)
            data, full = inflater.unconsumed_tail, len(piece) == PIECE
            if piece:
                yield piece
            if inflater.eof and inflater.unused_data and coding == "gzip" and members < _MEMBERS:
                data, inflater, members = inflater.unused_data, zlib.decompressobj(window), members + 1
            elif not piece:
                break
        whole = inflater.eof and not inflater.unused_data
    if not whole:
        raise ValueError("truncated or trailing data")
