"""Request bodies that come compressed: gzip and deflate always, br and zstd with `meshgate[encodings]`.

Config key: `server.max_body`, which holds for what a body unpacks to; nothing beyond it is unpacked. Refuses with
request_too_large, and with invalid_request (415 for a coding that is not taken, 400 for data that is broken).
"""

from __future__ import annotations

import zlib
from importlib.util import find_spec

from gateway.errors import Refusal

ACCEPTED = [
    "gzip",
    "deflate",
    *(name for name, module in (("br", "brotli"), ("zstd", "zstandard")) if find_spec(module)),
]


def unpack(coding: str, data: bytes, limit: int) -> bytes:
    """The body as it was before it was compressed, at most `limit` bytes. Raises Refusal."""
    if coding not in ACCEPTED:
        words = f"Content-Encoding must be one of {', '.join(ACCEPTED)}, or left out."
        raise Refusal(
            "invalid_request", words, status=415, headers=((b"accept-encoding", ", ".join(ACCEPTED).encode()),)
        )
    try:
        found, whole = _unpacked(coding, data, limit)
    except Exception:  # each library has its own
        raise Refusal("invalid_request", f"The body is not valid {coding} data.") from None
    if len(found) > limit:
        words = f"The body unpacks to more than {limit} bytes. Send less, or ask the operator to raise server.max_body."
        raise Refusal("request_too_large", words)
    if not whole:
        raise Refusal("invalid_request", f"The body is not valid {coding} data, or has more behind its end.")
    return found


def _unpacked(coding: str, data: bytes, limit: int) -> tuple[bytes, bool]:
    """At most a little more than `limit` bytes, and whether the data ended there."""
    if coding == "br":
        import brotli

        decoder = brotli.Decompressor()
        found = decoder.process(data, output_buffer_limit=limit + 1)
        while len(found) <= limit and not decoder.can_accept_more_data():
            found += decoder.process(b"", output_buffer_limit=limit + 1 - len(found))
        return found, decoder.is_finished()
    if coding == "zstd":
        import zstandard

        with zstandard.ZstdDecompressor(max_window_size=1 << 23).stream_reader(
            data, read_across_frames=False
        ) as reader:
            found = reader.read(limit + 1)
        return found, True
    inflater = zlib.decompressobj(31 if coding == "gzip" else 15)
    found = inflater.decompress(data, limit + 1)
    return found, inflater.eof and not inflater.unused_data
