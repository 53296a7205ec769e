"""Judges answers and restores masked values in them, in whole answers and in streams.

Config keys: `output`, `pii.restore`, `pii.restore_tools`. Refuses with secret_blocked and output_blocked. Fails closed:
no character leaves before it is judged, a tool call is judged as a whole, an answer that cannot be parsed is not
passed on, and a fault while judging stops the answer.

One pass does both: the window that searches for secrets and new personal data also finds the placeholders to restore,
so a restored value is never judged as a new value of the model. At most `output.window` characters of a stream are
held, and only as long as a match may be in progress.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from gateway.budget import PASSING
from gateway.call import Call
from gateway.dialects import Channel, Chunk, Piece, StreamCodec
from gateway.dialects.lots import Lot
from gateway.errors import Refusal
from gateway.output import offered
from gateway.output.acting import Checks
from gateway.output.elements import Elements
from gateway.output.ending import Ending
from gateway.output.judges import Guard
from gateway.output.runs import MAX_WAITING, Runs, Window
from gateway.output.whole import WholeFilter
from gateway.redaction.spellings import Spelled, Spoken, kind_of

MAX_RUNS = 1024  # maximum number of running texts of one answer
_TELLING, _DIGITS = 24, 6  # maximum characters and digits of a possible finding in alternative tokens
_ALIVE = b":\n\n"


class Screen(Checks):
    """The stage, compiled for one configuration."""

    def filter(self, call: Call) -> AnswerFilter:
        """A filter for the answer of one call."""
        return AnswerFilter(self, call)

    def needed(self, call: Call) -> AnswerFilter | None:
        """The filter of one answer; None if there is nothing to check or restore."""
        return self.filter(call) if self._is_needed(call) else None

    def needed_whole(self, call: Call) -> WholeFilter | None:
        """The same for an answer that is known to be whole."""
        return WholeFilter(self, call) if self._is_needed(call) else None

    def _is_needed(self, call: Call) -> bool:
        return bool(self.gates or self.configured or call.redaction.restore or self.demanded(call))


class AnswerFilter(WholeFilter):
    """Judges one answer, whole or streamed."""

    def __init__(self, screen: Checks, call: Call) -> None:
        super().__init__(screen, call)
        self._windows: dict[Channel, Window] = {}
        self._guards: dict[Channel, tuple[Guard, ...]] = {}
        self._spoken: dict[Channel, Spoken] = {}  # of running texts, if values may be restored
        self._elements: dict[Channel, Elements] = {}
        self._asides: dict[Channel, Window] = {}
        self._runs = Runs(_spelling(call) if call.redaction.restore else None)
        self._queue: deque[Chunk] = deque()  # events of a stream that keeps their order
        self._held = 0  # total size of these events in bytes
        self._ending = Ending()

    def feed(self, chunk: Chunk, stream: StreamCodec) -> list[bytes]:
        """The events that may leave after this chunk."""
        try:
            return self._feed(chunk, stream)
        except PASSING:
            raise
        except BaseException as fault:
            raise self._stopped(fault) from None

    def drop(self) -> None:
        """The answer has broken off: nothing more of it is judged."""
        self._runs.drop()

    def close(self, stream: StreamCodec) -> list[bytes]:
        """The answer has ended; returns the events that are still held."""
        try:
            return self._close(stream)
        except PASSING:
            raise
        except BaseException as fault:
            raise self._stopped(fault) from None

    def _feed(self, chunk: Chunk, stream: StreamCodec) -> list[bytes]:
        if chunk.data is None and chunk.series is None:
            return [*self._close(stream), chunk.raw] if chunk.done else [self._comment(chunk.raw)]
        if stream.ordered:
            return self._in_order(chunk, stream)
        ending = self._ending
        events = ending.goes_on(chunk, stream) if ending.held else []
        changed = False
        for delta in chunk.texts:
            text = delta.holder[delta.key]
            out = self._running(delta.channel, text, element=delta.is_element)
            if out != text:
                delta.holder[delta.key] = out
                changed = True
        if chunk.series is None:
            if chunk.data is not None:
                self._structure.check(chunk.data, self._replacement)
            if chunk.strays and not self._screen.any_tool:
                offered.check(self._call, chunk.strays)
            changed |= self._fields(chunk, stream, events)
            for channel, text in chunk.asides:
                changed |= self._reported(channel, text)
            for survey in chunk.wholes:
                if self._survey(survey):
                    stream.distrust()
                    changed = True
            if chunk.data is not None and (changed or not (chunk.edited or stream.faithful(chunk))):
                self._codec.conceal(chunk.data)
                chunk.edited = True
            if chunk.calls:
                stream.collect(chunk)
            if (chunk.ends or chunk.usage is not None) and ending.holds(chunk, stream):
                return events
        chunk.edited |= changed
        event = stream.encode(chunk)
        if event:
            events.append(event)
        return events

    def _in_order(self, chunk: Chunk, stream: StreamCodec) -> list[bytes]:
        """The events that may leave, in order: each after it and all events before it are judged."""
        if chunk.series is not None:
            events: Sequence[Chunk] = chunk.events
            if (lot := chunk.lot) is not None:
                if lot.read.text and self._runs.takes(chunk.fields[0]):
                    self._runs.feed(chunk.fields[0], self._judge_of)
                    return self._queued((chunk,), len(chunk.raw), stream)
                events = lot.split()
            self._runs.feed_all([field for event in events for field in event.fields], self._judge_of)
            return self._queued(events, len(chunk.raw), stream)
        if not self._screen.any_tool and (chunk.tools or chunk.strays):
            offered.check(self._call, [*chunk.tools, *chunk.strays])
        if chunk.data is not None:
            self._structure.check(chunk.data, self._replacement)
        changed = False
        for call in chunk.tools:
            changed |= self._survey(self._codec.arguments(call), (call,))
        for survey in chunk.wholes:
            changed |= self._survey(survey)
        for field in chunk.fields:
            self._runs.feed(field, self._judge_of)
        if changed or not (chunk.edited or stream.faithful(chunk)):
            chunk.edited = True
        if chunk.done:
            self._runs.close()
        return self._queued((chunk,), len(chunk.raw), stream)

    def _queued(self, chunks: Sequence[Chunk], size: int, stream: StreamCodec) -> list[bytes]:
        """The events that may leave, with `size` more bytes of events at the end of the queue."""
        self._runs.forget()
        self._queue += chunks
        self._held += size
        if self._held > MAX_WAITING:
            raise Refusal(
                "output_blocked",
                f"The answer has more than {MAX_WAITING} bytes that cannot be judged before it ends.",
                stage="output",
            )
        return self._released(stream)

    def _released(self, stream: StreamCodec) -> list[bytes]:
        """The events at the head of the queue that are judged."""
        queue, events = self._queue, list[bytes]()
        while queue:
            chunk = queue[0]
            if chunk.lot is not None:
                if not self._left(chunk, chunk.lot, stream, events):
                    return events
                continue
            for field in chunk.fields:
                if field.waiting:
                    return events
                if field.changed:
                    chunk.edited = True
            queue.popleft()
            self._held -= len(chunk.raw)
            event = chunk.raw if chunk.series is not None and not chunk.edited else stream.encode(chunk)
            if event:
                events.append(event)
        return events

    def _left(self, chunk: Chunk, lot: Lot, stream: StreamCodec, events: list[bytes]) -> bool:
        """Release the judged events of the lot at the head of the queue; False if some of its events are not judged."""
        (field,) = chunk.fields
        (piece,) = field.pieces
        judged = lot.complete(sum(map(len, piece.parts))) if field.waiting else len(lot)
        if not lot.events and judged > lot.gone:
            raw = stream.some(chunk, lot.gone, judged)
            if raw is None:
                self._runs.split(piece)
            else:
                events.append(raw)
                self._held -= len(raw)
                lot.gone = judged
        if lot.events:
            self._queue.popleft()
            self._queue.extendleft(reversed(lot.events[lot.gone :]))
            return True
        if lot.gone < len(lot):
            return False
        self._queue.popleft()
        return True

    def _fields(self, chunk: Chunk, stream: StreamCodec, events: list[bytes]) -> bool:
        """Judge fields that the dialect does not name; True if any changed. Fields that are ready join the events."""
        changed = False
        for field in chunk.fields:
            changed |= not self._runs.take(field, self._judge_of) or field.changed
        events += map(stream.field, self._runs.released())
        return changed

    def _close(self, stream: StreamCodec) -> list[bytes]:
        """The held texts, fields and tool calls, followed by the events that end them."""
        for chunk in self._ending.chunks():
            for channel, delta in {delta.channel: delta for delta in chunk.texts}.items():
                tail = self._tail(channel)
                if tail:  # before the finish reason, and after the piece
                    delta.holder[delta.key] += tail
                    chunk.edited = True
        events = [stream.text(channel, text) for channel in list(self._windows) if (text := self._tail(channel))]
        events += map(stream.field, self._runs.close())
        events += self._released(stream)
        for choice, whole in stream.collected():
            if not self._screen.any_tool:
                offered.check(self._call, whole)
            for call in whole:
                self._survey(self._codec.arguments(call), (call,))
            events.append(stream.tool_calls(choice, whole))
        return [event for event in (*events, *self._ending.close(stream)) if event]

    def _running(self, channel: Channel, text: str, *, element: bool) -> str:
        window = self._windows.get(channel)
        if window is None:
            self._count_runs()
            window = self._windows[channel] = self._screen.scanner.window(self._screen.limit)
            if self._gates:
                self._guards[channel] = tuple(gate.guard(self._call) for gate in self._gates)
            if self._restores:
                self._spoken[channel] = Spoken(guarded=bool(self._gates))
        elements = self._elements.get(channel)
        if element and elements is None:
            elements = self._elements[channel] = Elements(self._element, len(window.pending))
        if elements is not None:
            elements.add(text, element=element)
        segment = window.feed(text)
        found = segment.findings
        if elements is not None:
            found = elements.merge(len(segment.text), found)
        spoken = self._spoken.get(channel)
        if found:
            out = self._act(segment.text, found, self._restoration.of(channel), spoken)
        else:
            out = segment.text
            if spoken is not None:
                spoken.put(out)
        if out and self._gates:
            for guard in self._guards[channel]:
                out = guard.feed(out)
            if spoken is not None:
                spoken.leave(out)
        return out

    def _reported(self, channel: Channel, text: str) -> bool:
        """Whether the received part of an alternative text holds a finding, or may become one."""
        window = self._asides.get(channel)
        if window is None:
            self._count_runs()
            window = self._asides[channel] = self._screen.scanner.window(self._screen.limit)
        segment = window.feed(text)
        if segment.findings and self._edits(segment.text, segment.findings, self._restoration.plain):
            return True
        pending = window.pending
        return "@" in pending or len(pending) > _TELLING or sum(map(str.isdigit, pending)) > _DIGITS

    def _count_runs(self) -> None:
        if len(self._windows) + len(self._asides) + len(self._runs) >= MAX_RUNS:
            raise Refusal("output_blocked", f"The answer has more than {MAX_RUNS} texts at a time.", stage="output")

    def _tail(self, channel: Channel) -> str:
        """The held rest of a text that has ended."""
        window = self._windows.pop(channel, None)
        if window is None:
            return ""
        segment = window.close()
        found = segment.findings
        elements = self._elements.pop(channel, None)
        if elements is not None:
            found = elements.merge(len(segment.text), found)
        spoken = self._spoken.pop(channel, None)
        out = self._act(segment.text, found, self._restoration.of(channel), spoken)
        for guard in self._guards.pop(channel, ()):
            out = guard.feed(out) + guard.close()
        if spoken is not None:
            spoken.leave(out)
            if (spelled := spoken.spelled()) is not None:
                self._call.redaction.spoken.append(spelled._replace(kind=kind_of(channel[1])))
        return out

    def _comment(self, raw: bytes) -> bytes:
        """An event without data (a comment): keeps the connection alive and contains nothing that was not judged."""
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return _ALIVE
        return raw if self._text(text, self._restoration.plain) == text else _ALIVE


def _spelling(call: Call) -> Callable[[Piece, Spelled], None]:
    """Records the spelling of restored values in the texts of an ordered stream."""
    redaction = call.redaction

    def note(piece: Piece, spelled: Spelled) -> None:
        if piece.field.text:
            redaction.spoken.append(spelled._replace(kind=kind_of(piece.channel[1])))

    return note
