"""Runs of look-alike events: the pieces of a text come in events that differ in nothing else.

A `Frame` is what such events share: the bytes before and after the piece. Learned from one event that was read in full,
it reads the ones that follow without parsing JSON, and many of them as one chunk when they came in one read; as many
leave again, so that a text flows as it came. What it cannot vouch for (an escape, another field, half an event) is left
to the full parser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from gateway.dialects import Channel, Chunk, Delta

_ESCAPES = (b'"', b"\\")
_LONGEST = 16 * 1024  # bytes of a piece; a longer one goes the long way


class Frame(NamedTuple):
    """The bytes around the text of an event, up to and with the empty line that ends it, and the text's channel."""

    before: bytes
    after: bytes
    channel: Channel

    @classmethod
    def learn(cls, raw: bytes, text: str, channel: Channel) -> Frame | None:
        """The frame of an event in which `text`, at `channel`, is the only string that can change; None: not plain."""
        if not text.isprintable() or not raw.endswith(b"\n\n"):
            return None
        key, piece = b'"%s":' % channel[1].encode(), b'"%s"' % text.encode()
        if b"\\" in raw:  # an escape elsewhere could be another way to write what stands here
            return None
        at = raw.find(piece, raw.find(key) + len(key))
        gap = raw[raw.find(key) + len(key) : at]
        if raw.count(key) != 1 or gap not in (b"", b" ") or any(mark in piece[1:-1] for mark in _ESCAPES):
            return None
        return cls(raw[: at + 1], raw[at + len(piece) - 1 :], channel)

    def take(self, data: bytes, at: int) -> tuple[Chunk, int] | None:
        """The events from `at` on that fit, as one chunk, and where they end; None: the first does not fit.

        A string without quotes, backslashes and control characters is JSON as it stands (RFC 8259, section 7), so an
        event that has the frame around one is valid and says the same as the one that the frame was learned from.
        """
        before, after, _ = self
        start, skip, pieces = at, len(before), []
        while data.startswith(before, at):
            end = data.find(after, at + skip, at + skip + _LONGEST)
            if end < 0:
                break
            try:
                piece = data[at + skip : end].decode()
            except UnicodeDecodeError:
                raise ValueError("a chunk is not JSON") from None
            if '"' in piece or "\\" in piece or not piece.isprintable():
                break
            pieces.append(piece)
            at = end + len(after)
        if not pieces:
            return None
        text = "".join(pieces)
        chunk = Chunk(data[start:at])
        chunk.frame = self
        chunk.sizes = [len(piece) for piece in pieces]
        chunk.texts.append(Delta(self.channel, {self.channel[1]: text}, self.channel[1]))
        return chunk, at

    def encode(self, text: str, sizes: Sequence[int] = ()) -> bytes:
        """Events that carry `text` in pieces of these sizes, the last one what is left; nothing for no text."""
        if not text:
            return b""
        before, after, _ = self
        pieces, at = [], 0
        for size in sizes[:-1]:
            if at + size >= len(text):
                break
            pieces.append(text[at : at + size])
            at += size
        pieces.append(text[at:])
        if '"' in text or "\\" in text or not text.isprintable():
            return before + (after + before).join([orjson.dumps(piece)[1:-1] for piece in pieces if piece]) + after
        return before + (after + before).join([piece.encode() for piece in pieces if piece]) + after
