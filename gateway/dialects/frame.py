"""Series of similar events: the pieces of a text arrive in events that differ only in the piece.

A `Frame` has the common bytes before and after the piece. It is learned from one fully parsed event, and then reads the
following events without parsing JSON, and events that arrived together as one chunk. The same number of events leaves,
so the rhythm of the text is kept. Everything else (another field, a control character, an incomplete event) is left to
the full parser.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import orjson

from gateway.dialects import Channel, Chunk, Delta

_STRING: Final = re.compile(rb' ?"([^"\\]*+(?:\\.[^"\\]*+)*+)"')
_LONGEST = 32 * 1024  # bytes of the events of one chunk; a longer event is parsed in full


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
        key = b'"%s":' % channel[1].encode()
        piece = _STRING.match(raw, raw.find(key) + len(key)) if raw.count(key) == 1 else None
        if piece is None or _string(piece[1]) != text:
            return None
        low, high = piece.span(1)
        if b"\\" in raw[:low] or b"\\" in raw[high:]:  # an escape elsewhere could be another spelling of this text
            return None
        return cls(raw[:low], raw[high:], channel, says_more)

    def take(self, data: bytes, at: int) -> tuple[Chunk, int] | None:
        """The events from `at` on that have this frame, as one chunk, and their end; None if the first has not."""
        read = self.read(data, at)
        if read is None:
            return None
        series, end = read
        chunk = Chunk(data[at:end])
        chunk.series = series
        chunk.texts.append(Delta(self.channel, {self.channel[1]: series.text}, self.channel[1]))
        return chunk, end

    def read(self, data: bytes, at: int) -> tuple[Series, int] | None:
        """The series of events from `at` on that have this frame, and its end; None if the first event has not.

        A string without quotes, backslashes and control characters is valid JSON unchanged (RFC 8259, section 7); one
        with escapes is parsed alone. So an event with the frame around such a string is valid, and has the values of
        the event that was parsed.
        """
        before, after = self.before, self.after
        if not data.startswith(before, at):
            return None
        skip = len(before)
        first, *others = data[at + skip : at + skip + _LONGEST].split(after)
        if not others:
            return None
        others.pop()  # it is not complete
        pieces = [first]
        for one in others:
            if not one.startswith(before):
                break
            pieces.append(one[skip:])
        said = b"".join(pieces)
        widths = list(map(len, pieces))
        try:
            if b'"' in said or b"\\" in said:
                texts = readable(pieces)
                text, sizes = "".join(texts), list(map(len, texts))
            else:
                text = said.decode()
                sizes = widths if len(text) == len(said) else [len(piece.decode()) for piece in pieces]
                if not text.isprintable():
                    sizes = printable(text, sizes)
                    text = text[: sum(sizes)]
        except UnicodeDecodeError:
            raise ValueError("a chunk is not JSON") from None
        if not sizes:
            return None
        widths = widths[: len(sizes)]
        end = at + len(sizes) * (skip + len(after)) + sum(widths)
        return Series(self, text, sizes, widths), end

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


class Read(NamedTuple):
    """Events: their bytes, their pieces as one text, and the sizes of the pieces in characters.

    `widths`: the bytes of each value that differs, event by event; `around`: all other bytes of an event.
    `numbers`: for each place with a number, the numbers of the events, as written.
    """

    raw: bytes
    text: str
    sizes: Sequence[int]
    widths: Sequence[int]
    around: int
    numbers: Sequence[Sequence[bytes]] = ()

    def begin(self, number: int) -> int:
        """Where an event begins in the bytes; their end, for the number of all events."""
        if not number:
            return 0
        many = len(self.sizes)
        return len(self.raw) - (many - number) * self.around - sum(self.widths[number * len(self.widths) // many :])

    def events(self) -> Iterator[tuple[bytes, str]]:
        """The bytes and the piece of each event."""
        values = len(self.widths) // len(self.sizes)
        begin = at = 0
        for number, size in enumerate(self.sizes):
            end = begin + self.around + sum(self.widths[number * values : (number + 1) * values])
            yield self.raw[begin:end], self.text[at : at + size]
            begin, at = end, at + size


class Series(NamedTuple):
    """Events that a frame has read: their text, and the sizes of its pieces in characters and in bytes as they came."""

    frame: Frame
    text: str
    sizes: Sequence[int]
    widths: Sequence[int]

    def read(self, raw: bytes) -> Read:
        """The events, given their bytes: they differ in their piece alone."""
        return Read(raw, self.text, self.sizes, self.widths, len(self.frame.before) + len(self.frame.after))

    def encode(self, raw: bytes, text: str) -> bytes:
        """The events with another text, given their bytes.

        Mostly a window holds back the end of the text, and the end of the previous text comes first: all events
        between them keep their bytes.
        """
        frame, sizes = self.frame, self.sizes
        first = self.text[: sizes[0]]
        come = text.find(first)
        left = len(text) - come  # characters of this text that leave
        if frame.says_more or come < 0 or left <= sizes[0] or not self.text.startswith(text[come:]):
            return frame.encode(text, sizes)
        ends = list(accumulate(sizes))
        whole = bisect_right(ends, left)  # events with all of their text
        around = len(frame.before) + len(frame.after)
        begin = around + self.widths[0]
        end = whole * around + sum(self.widths[:whole])
        last = frame.encode(text[come + ends[whole - 1] :])
        if come:
            return frame.encode(text[: come + sizes[0]]) + raw[begin:end] + last
        return raw[:end] + last


def _string(piece: bytes) -> str | None:
    """The text of a string of JSON, given without its quotes; None if it is none."""
    if b"\\" in piece:
        try:
            text: str = orjson.loads(b'"%b"' % piece)
        except orjson.JSONDecodeError:  # or half of a surrogate pair, which the full parser keeps
            return None
        return text
    return None if b'"' in piece else piece.decode()


def readable(pieces: Iterable[bytes]) -> list[str]:
    """The texts of strings of JSON, given without quotes, before the first that is no string, or not printable."""
    found = []
    for piece in pieces:
        text = _string(piece)
        if text is None or not (text.isprintable() or text.replace("\n", "").replace("\t", "").isprintable()):
            break
        found.append(text)
    return found


def printable(text: str, sizes: Sequence[int]) -> list[int]:
    """The sizes of the pieces before the first that has a character that is not printable."""
    at, some = 0, []
    for size in sizes:
        if not text[at : at + size].isprintable():
            break
        some.append(size)
        at += size
    return some
