"""Request bodies that come compressed: gzip and deflate always, br and zstd with the extra `encodings`.

Config key: `server.max_body`, which holds for what a body unpacks to; nothing beyond it is unpacked.
Each piece counts against `server.max_buffered` before the next one is unpacked. Refuses with
request_too_large, and with invalid_request (415 for a coding that is not taken, 400 for data that is broken).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Final

from gateway.errors import Refusal

PIECE: Final = 256 * 1024  # bytes that are unpacked at once: about a millisecond
ACCEPTED = [
    "gzip",
    "deflate",
    *(name for name, module in (("br", "brotli"), ("zstd", "zstandard")) if find_spec(module)),
]


async def unpack(coding: str, data: bytes, limit: int, hold: Callable[[int], None] | None = None) -> bytes:
    """The body as it was before it was compressed, at most `limit` bytes; `hold` hears of each piece before it is kept.

    Others get their turn after each piece. Raises Refusal.
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
                f"The body unpacks to more than {limit} bytes. Send less, or ask the operator to raise server.max_body."
            )
            raise Refusal("request_too_large", words)
        if hold is not None:
            hold(len(piece))
        parts.append(piece)
        await asyncio.sleep(0)
    return b"".join(parts)


def _next(coding: str, pieces: Iterator[bytes]) -> bytes:
    """The next piece; empty at the end. Raises Refusal for data that is broken."""
    try:
        return next(pieces, b"")
    except Exception:  # each library has its own
        raise Refusal("invalid_request", f"The body is not valid {coding} data, or has more behind its end.") from None


def _pieces(coding: str, data: bytes) -> Iterator[bytes]:
    """What the data unpacks to, in pieces of at most `PIECE` bytes. Raises where it does not end where it should."""
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
        inflater = zlib.decompressobj(31 if coding == "gzip" else 15)
        piece = inflater.decompress(data, PIECE)
        while piece:
            yield piece
            piece = inflater.decompress(inflater.unconsumed_tail, PIECE)
        whole = inflater.eof and not inflater.unused_data
    if not whole:
        raise ValueError("it breaks off, or has more behind its end")
