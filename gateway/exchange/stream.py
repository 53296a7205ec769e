"""Streamed answers: each piece leaves after it is judged."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

from gateway.call import Call, Json
from gateway.dialects import Chunk, StreamCodec, items
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.broken import garbage, loaded
from gateway.exchange.heard import LONG, hear, unread
from gateway.ingress.reply import Reply
from gateway.output.screen import AnswerFilter
from gateway.scheduling.judging import LEARNED, NEW_TEXT, Pace, judge
from gateway.scheduling.lanes import SMALL, apart
from gateway.upstream.answer import Answer

HELD = 64 * 1024  # characters that are kept for counting tokens before they count as bytes in flight


Watch = Callable[[Iterator[Chunk]], Awaitable[Iterator[Chunk]]]
"""Sees the chunks of each read before they are judged, and returns those that go on. Raises Refusal."""


async def stream(answers: Answers, call: Call, answer: Answer, reply: Reply, watch: Watch | None = None) -> None:
    """Send the answer as it arrives, each piece once it is judged. Raises Refusal."""
    codec = call.codec.stream(keep_usage=call.request.wants_usage, choices=call.codec.choices(call.request.body))
    reply.codec = codec
    judged = _Judged(call, codec, answers.screen.needed(call))
    try:
        await _through(answers, call, answer, reply, judged, watch)
    finally:
        judged.drop()


async def _through(
    answers: Answers, call: Call, answer: Answer, reply: Reply, judged: _Judged, watch: Watch | None
) -> None:
    codec = judged.codec
    await judged.prepare()
    outcome, own, end = call.outcome, answers.own, b""
    try:
        source = Source(call, answer, codec, answers.caps)
        while (chunks := await source.next()) is not None:
            if not outcome.first_byte_ns:
                outcome.first_byte_ns = time.perf_counter_ns()
            if watch is not None:
                chunks = await watch(chunks)
            await judged.take(chunks)
            outcome.tier = codec.tier
            if data := judged.ready():
                own.check(data)
                if call.redaction.spoken:
                    await answers.keep_spellings(call)
                if codec.last is not None:  # the caller may refer to what the provider stores once the end is sent
                    end += data
                else:
                    await reply.stream(data, complete=codec.ended)
        codec.close()
    except (ValueError, Refusal) as fault:
        data = end + judged.ready()  # the pieces that were judged before the fault
        if data and not own.holds(data):
            await reply.stream(data)
        if isinstance(fault, Refusal):
            raise
        raise garbage(call, f"a stream that breaks its format: {fault}") from None
    finally:
        outcome.runs = codec.runs
    tail = end + await judged.rest()
    own.check(tail)
    await answers.keep_spellings(call)
    if codec.last is not None and not outcome.translated:
        outcome.made = call.codec.makes(codec.last)
        if call.codec.keeps(call.request.body):
            outcome.state = call.codec.state(codec.last)
        if outcome.state is not None or outcome.made:
            await answers.keep_state(call)
    await reply.end(tail + codec.finish(), complete=True)


class _Judged:
    """The pieces of one stream that are judged and not sent yet. `screen`: None if there is nothing to judge."""

    __slots__ = ("_call", "_out", "_owed", "_pace", "_screen", "codec")

    def __init__(self, call: Call, codec: StreamCodec, screen: AnswerFilter | None) -> None:
        self._call = call
        self.codec = codec
        self._screen = screen
        self._pace = Pace(call)
        self._out: list[bytes] = []
        self._owed = 0  # characters that are kept for counting tokens and do not count as bytes in flight yet

    async def prepare(self) -> None:
        """Prepare the filter, in a thread if many values are known."""
        known = len(self._call.redaction.known)
        if self._screen is not None and known > SMALL:
            await apart(self._call, known, self._screen.prepare)

    async def take(self, chunks: Iterator[Chunk]) -> None:
        """Judge chunks one by one. `ready` has those before a fault, too. Raises Refusal, ValueError."""
        pace, screen = self._pace, self._screen
        while (left := pace.here(self._judge, chunks)) is not None:
            chunk, size = left
            if chunk is not None and screen is not None:
                self._out += await pace.apart(size, screen.feed, chunk, self.codec)
            if pace.out_of_breath:
                await pace.breathe()

    def _judge(self, chunks: Iterator[Chunk]) -> tuple[Chunk | None, int] | None:
        """Judge chunks up to one that takes long, which is returned with its size, or up to the end of the breath.

        None: all are judged.
        """
        call, codec, screen, pace, out = self._call, self.codec, self._screen, self._pace, self._out
        for chunk in chunks:
            if chunk.error:
                raise garbage(call, "an error in the middle of its answer")
            size = hear(call.outcome, chunk)
            self._owed += size
            if self._owed > HELD:
                call.ticket.hold(self._owed)
                self._owed = 0
            if screen is None:
                out.append(codec.plain(chunk))
            elif pace.takes_long(chunk, size + codec.due(chunk)):
                return chunk, size
            elif size < LEARNED:
                out += screen.feed(chunk, codec)
            else:
                began = time.perf_counter_ns()
                out += screen.feed(chunk, codec)
                pace.scanned(size, began)
            if pace.out_of_breath:
                return None, 0
        return None

    def drop(self) -> None:
        """The stream has ended, at its end or before."""
        if self._screen is not None:
            self._screen.drop()

    def ready(self) -> bytes:
        """Take what may be sent."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    async def rest(self) -> bytes:
        """Judge what the filter still holds at the end of the stream. Raises Refusal."""
        screen, codec = self._screen, self.codec
        if screen is None:
            return b""
        if codec.due() > NEW_TEXT:
            return b"".join(await self._pace.apart(0, screen.close, codec))
        return b"".join(screen.close(codec))


async def events_of(call: Call, answer: Answer, caps: items.Caps) -> AsyncIterator[bytes]:
    """The events of an answer that is not a stream, although a stream was requested. Raises ValueError, Refusal."""
    parts, size = [answer.start], len(answer.start)
    call.ticket.hold(size)
    async for data in answer.chunks:
        size += len(data)
        if size > call.codec.max_answer:
            raise ValueError(f"more than {call.codec.max_answer} bytes")
        call.ticket.hold(len(data))
        parts.append(data)
    body = await judge(call, size > NEW_TEXT, _object, caps, parts)
    call.codec.drop_nulls(body)
    for event in call.codec.unfold(body):
        yield event


def _object(caps: items.Caps, parts: list[bytes]) -> Json:
    """The object of a whole answer. Raises ValueError."""
    parts[:] = [b"".join(parts)]
    return loaded(parts[0], caps)[0]


class Source:
    """The chunks of an answer as they arrive, up to its last event. Not a generator, which the event loop would track.

    What comes after the last event is not waited for. A stream that breaks after every choice has ended is complete.
    """

    __slots__ = ("_call", "_codec", "_over", "_pieces", "_size", "_start")

    def __init__(self, call: Call, answer: Answer, codec: StreamCodec, caps: items.Caps) -> None:
        self._call = call
        self._codec = codec
        self._start = answer.start if answer.streamed else b""
        self._pieces = answer.chunks if answer.streamed else events_of(call, answer, caps)
        self._size = 0  # bytes since the last event ended
        self._over = False

    async def next(self) -> Iterator[Chunk] | None:
        """The chunks of the next read; None at the end."""
        call, codec = self._call, self._codec
        if self._over:
            return None
        try:
            data: bytes | None = self._start
            if data:
                self._start = b""
            elif codec.ended:
                data = None
            else:
                data = await anext(self._pieces, None)
            if data is not None:
                size = len(data)
                call.budget.extend(size)
                size += self._size
                self._size = unread(size, data)
                return codec.feed(data) if size <= LONG else await _apart(call, codec, data)
        except Refusal as fault:
            if fault.stage != "upstream" or not codec.finished:
                raise
        self._over = True
        return codec.rest()


async def _apart(call: Call, codec: StreamCodec, data: bytes) -> Iterator[Chunk]:
    """The chunks, read all at once in a thread, because an event may be long."""
    some: list[Chunk] = []
    codec.distrust()  # no event is judged before the next is read
    fault = await call.lanes.run(call, read, codec.feed(data), some)
    return again(some, fault)


def read(chunks: Iterator[Chunk], some: list[Chunk]) -> ValueError | None:
    """Read all chunks into `some`; returns the fault after them, if any."""
    try:
        some.extend(chunks)
    except ValueError as fault:
        return fault
    return None


def again(some: Sequence[Chunk], fault: Exception | None) -> Iterator[Chunk]:
    """Chunks that were read, and the fault after them."""
    yield from some
    if fault is not None:
        raise fault
