"""Series of similar events: the pieces of a text arrive in events that differ only in the piece.

A `Frame` has the common bytes before and after the piece. It is learned from one fully parsed event, and then reads the
following events without parsing JSON, and events that arrived together as one chunk. The same number of events leaves,
so the rhythm of the text is kept. Everything else (an escape, another field, an incomplete event) is left to the full
parser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from gateway.dialects import Channel, Chunk, Delta

_ESCAPES = (b'"', b"\\")
_LONGEST = 16 * 1024  # maximum bytes of a piece; a longer piece is parsed in full


class Frame(NamedTuple):
    """The bytes around the text of an event, including the empty line at its end, and the channel of the text.

    `says_more`: the event has content beside its text, so that it leaves also without text.
    """

    before: bytes
    after: bytes
    channel: Channel
    says_more: bool = False

    @classmethod
    def learn(cls, raw: bytes, text: str, channel: Channel, *, says_more: bool = False) -> Frame | None:
        """The frame of an event in which only `text`, on `channel`, can change; None if there is no such frame."""
        if not text.isprintable() or not raw.endswith(b"\n\n"):
            return None
        key, piece = b'"%s":' % channel[1].encode(), b'"%s"' % text.encode()
        if b"\\" in raw:  # an escape elsewhere could be another spelling of this text
            return None
        at = raw.find(piece, raw.find(key) + len(key))
        gap = raw[raw.find(key) + len(key) : at]
        if raw.count(key) != 1 or gap not in (b"", b" ") or any(mark in piece[1:-1] for mark in _ESCAPES):
            return None
        return cls(raw[: at + 1], raw[at + len(piece) - 1 :], channel, says_more)

    def take(self, data: bytes, at: int) -> tuple[Chunk, int] | None:
        """The events from `at` on that have this frame, as one chunk, and their end; None if the first has not.

        A string without quotes, backslashes and control characters is valid JSON unchanged (RFC 8259, section 7), so an
        event with the frame around such a string is valid, and has the values of the event that was parsed.
        """
        before, after = self.before, self.after
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
        """Events with `text` in pieces of these sizes; the last piece is the rest.

        Events without text leave only if the frame says more.
        """
        if not text and not self.says_more:
            return b""
        before, after = self.before, self.after
        pieces, at = [], 0
        for size in sizes[:-1]:
            if at + size >= len(text):
                break
            pieces.append(text[at : at + size])
            at += size
        pieces.append(text[at:])
        if self.says_more:
            pieces += [""] * (len(sizes) - len(pieces))
        else:
            pieces = list(filter(None, pieces))
        if '"' in text or "\\" in text or not text.isprintable():
            return before + (after + before).join([orjson.dumps(piece)[1:-1] for piece in pieces]) + after
        return before + (after + before).join([piece.encode() for piece in pieces]) + after
