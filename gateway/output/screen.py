"""Stage 7, `output`, and the second half of stage 4, `restore`: what an answer may carry, whole or as it streams.

Config keys: `output`, `pii.restore`, `pii.restore_tools`. Refuses with secret_blocked and output_blocked. Fails closed:
no character leaves before it is judged, a tool call is judged whole, an answer that cannot be read is not passed on,
and a fault of whoever judges stops it.

One pass does both: the same window that looks for secrets and new personal data finds the placeholders to restore, so a
restored value is never judged as if the model had made it up. A stream is held back by `output.window` characters at
most, and only as long as something may still become a match.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence, Set
from functools import partial
from operator import attrgetter

from gateway.budget import PASSING, Spent
from gateway.call import Call, Finding, Json, Nested, Screening, Signed, Span
from gateway.config.sections import Output as OutputConfig
from gateway.detect.personal.placeholders import LIKE, PLACEHOLDER
from gateway.dialects import Channel, Chunk, Codec, Piece, StreamCodec, tree
from gateway.dialects.fields import gather
from gateway.errors import Refusal, trace
from gateway.output import offered
from gateway.output.elements import Elements
from gateway.output.ending import Ending
from gateway.output.judges import FieldJudge, Gate, Guard, Scanner, Unchanged, Window, signed_refusal
from gateway.output.runs import MAX_WAITING, Edit, Runs, judge_whole
from gateway.output.structure import Structure
from gateway.redaction.known import Known
from gateway.redaction.restore import Restoration, Restored, Restorer
from gateway.redaction.spellings import Spelled, Spoken, kind, kind_of, of_arguments, root_of
from gateway.scheduling.judging import answer_spent

MAX_RUNS = 1024  # texts that one answer may have
_SHORT = 128  # characters of a text, and how many of them, that one answer's filter remembers to be clean
_TELLING, _DIGITS = 24, 6  # characters, and digits, of what may become a finding that alternative tokens may say
_WRITTEN = frozenset({LIKE, PLACEHOLDER})  # what may be a placeholder of ours
_ALIVE = b":\n\n"
_WAITING, _CHANGED = attrgetter("waiting"), attrgetter("changed")
NOTHING = Restorer({})
"""Restores nothing."""
_log = logging.getLogger("meshgate.output")


class Screen:
    """The stage, compiled for one configuration. `allowed` are the entity types that may pass in the clear.

    `gates` judge in their order what the scanner's findings left; `demanded` gives those that a policy asks for.
    """

    def __init__(
        self,
        config: OutputConfig | None,
        scanner: Scanner,
        allowed: Callable[[str], bool],
        gates: Sequence[Gate] = (),
        demanded: Callable[[Call], Sequence[Gate]] = lambda _: (),
    ) -> None:
        self.gates = tuple(gates)
        self.demanded = demanded
        self.secrets = config.secrets if config else "allow"
        self.pii = config.pii if config else "allow"
        self.unscannable = config.unscannable if config else "allow"
        self.any_tool = config is None or config.tools == "any"
        self.limit = config.window if config else 256
        self.scanner = scanner
        self.allowed = allowed
        self._words: dict[str, frozenset[str]] = {}

    def words(self, codec: Codec) -> frozenset[str]:
        """The words of a dialect in which nothing is found: no answer need be searched for those again."""
        words = self._words.get(codec.name)
        if words is None:
            words = frozenset(word for word in codec.words if not self.scanner.scan(word))
            self._words[codec.name] = words
        return words

    def filter(self, call: Call) -> AnswerFilter:
        """The filter of one answer."""
        return AnswerFilter(self, call)


class AnswerFilter:
    """Judges one answer; writes `call.screening`. Raises Refusal(secret_blocked, output_blocked)."""

    def __init__(self, screen: Screen, call: Call) -> None:
        self._screen = screen
        self._call = call
        self._gates = (*screen.gates, *screen.demanded(call))
        self._codec: Codec = call.format
        self._restoration = Restoration(call)
        self._known = Known(call.redaction.known)
        self._allows = call.redaction.allows or screen.allowed
        self._windows: dict[Channel, Window] = {}
        self._guards: dict[Channel, tuple[Guard, ...]] = {}
        self._restores = bool(call.redaction.restore)
        self._spoken: dict[Channel, Spoken] = {}  # of running texts, where something may be restored
        self._elements: dict[Channel, Elements] = {}
        self._asides: dict[Channel, Window] = {}
        self._runs = Runs(self._spell if call.redaction.restore else None)
        self._queue: deque[Chunk] = deque()  # of a stream whose events keep their order
        self._held = 0  # bytes of those
        self._ending = Ending()
        self._clean: set[str] = set()
        held = partial(self._instead, restorer=self._restoration.plain)
        self._structure = Structure(self._codec.words, screen.scanner.scan, held)
        self.screening: Screening = call.screening

    def prepare(self) -> None:
        """Make what look-ups of the request's values need: of many values not on the event loop."""
        self._known.prepare()
        self._restoration.prepare()

    # Whole texts

    def text(self, text: str) -> str:
        """A whole text as the caller may have it."""
        try:
            return self._text(text, self._restoration.plain)
        except PASSING:
            raise
        except BaseException as fault:
            raise self._stopped(fault) from None

    def whole(self, answer: Json) -> bool:
        """Edit a whole answer in place; True if anything changed."""
        try:
            self._structure.check(answer)
            changed = self._codec.drop_repeats(answer)
            survey = self._codec.whole(answer)
            calls = self._codec.calls(answer)
            if not self._screen.any_tool:
                offered.check(self._call, [*calls, *self._codec.strays(answer)])
            for field, _ in self._codec.runs(answer, survey):
                note = (lambda _, spelled: self._call.redaction.spoken.append(spelled)) if self._restores else None
                changed |= judge_whole(field, self._judge_of(field.pieces[0]), note=note)
            changed |= self._survey(survey, calls)
            if changed or not self._codec.echoes(answer) or self._tells(answer):
                self._codec.conceal(answer)
                changed = True
        except PASSING:
            raise
        except BaseException as fault:
            raise self._stopped(fault) from None
        return changed

    def _tells(self, answer: Json) -> bool:
        """Whether what the model could have said holds something to be taken out."""
        return any(self._text(text, self._restoration.plain) != text for text in self._codec.asides(answer))

    def _text(self, text: str, restorer: Restorer, spoken: Spoken | None = None) -> str:
        if text in self._clean or text in self._screen.words(self._codec):
            return text
        findings = self._screen.scanner.scan(text)
        out = self._act(text, findings, restorer, spoken) if findings else text
        for gate in self._gates:
            out = gate.text(self._call, out)
        if not findings and out == text and len(text) <= _SHORT and len(self._clean) < _SHORT:
            self._clean.add(text)  # names and ids come back in every chunk
        return out

    def _survey(self, survey: tree.Survey, calls: Sequence[Json] = ()) -> bool:
        """Judge every text; `calls` are the tool calls among them."""
        if survey.kinds and self._screen.unscannable == "block":
            raise Refusal(
                "output_blocked",
                f"The answer holds a part that no scanner can read ({', '.join(sorted(survey.kinds))}). "
                "The operator may set output.unscannable: allow.",
                stage="output",
            )
        edits: list[tuple[Span, str]] = []
        restored: list[tuple[Span, Spelled]] = []
        order = {(id(span.holder), span.key): at for at, span in enumerate(survey.spans)} if self._restores else {}
        kept = self._restoration.kept(calls) if calls else frozenset()
        changed = survey.lists > 0 and self._lists(survey, calls, kept, restored)
        clean = self._clean
        for span in survey.spans:
            if type(span) is Signed:
                if self._text(span.text, NOTHING) != span.text:
                    raise signed_refusal()
                continue
            argument = tree.is_argument(span)
            if not argument and span.text in clean:
                continue
            spoken = Spoken() if self._restores else None
            text = self._text(span.text, self._restoration.at(span, kept), spoken)
            if argument:  # the strings of a tool call's arguments
                for gate in self._gates:
                    text = gate.argument(self._call, text)
            if text != span.text:
                edits.append((span, text))
                if spoken is not None:
                    spoken.leave(text)
                    if (spelled := spoken.spelled()) is not None:
                        restored.append((span, spelled))
        before = {
            id(root): root.holder[root.key] for span, _ in restored if span.nested and (root := root_of(span.nested))
        }
        if edits:
            changed |= tree.write_all(edits)
        if survey.nested:
            tree.fold(survey.nested)
        if restored:
            restored.sort(key=lambda one: order[id(one[0].holder), one[0].key])
            self._note(restored, before)
        return changed

    def _note(self, restored: Sequence[tuple[Span, Spelled]], before: dict[int, str]) -> None:
        """Take down how the model spelled what was restored; `before` are JSON strings as the model wrote them."""
        roots: dict[int, tuple[Nested, dict[str, str]]] = {}
        for span, spelled in restored:
            self._call.redaction.spoken.append(spelled._replace(kind=kind(span)))
            if span.nested is not None:
                root = root_of(span.nested)
                roots.setdefault(id(root), (root, {}))[1].update(spelled.values)
        for key, (root, values) in roots.items():
            whole = of_arguments(before[key], root.holder[root.key], values) if root.prefix is None else None
            if whole is not None:
                self._call.redaction.spoken.append(whole)

    def _lists(
        self, survey: tree.Survey, calls: Sequence[Json], kept: Set[int], restored: list[tuple[Span, Spelled]]
    ) -> bool:
        """Judge strings of lists within tool calls, and within JSON in a string, that make one text."""
        values = [*calls, *survey.roots, *(nested.root for nested in survey.nested)]
        roots = [(at, "", value) for at, value in enumerate(values)]
        changed = False
        for field, spans in gather(survey, roots) if roots else ():
            judge = self._judge(field.pieces[0].channel, self._restoration.at(spans[0], kept))
            places = {(id(span.holder), span.key): span for span in spans}

            def note(piece: Piece, spelled: Spelled, places: dict[tuple[int, object], Span] = places) -> None:
                restored.append((places[id(piece.holder), piece.key], spelled))

            changed |= judge_whole(field, judge, certain=True, note=note if self._restores else None)
            for span in spans:
                text = span.holder[span.key]
                if span.nested is not None:
                    span.nested.edited |= text != span.text
                    for gate in self._gates:
                        gate.argument(self._call, text)
        return changed

    # Streams

    def feed(self, chunk: Chunk, stream: StreamCodec) -> list[bytes]:
        """The events that may leave now that this chunk has come."""
        try:
            return self._feed(chunk, stream)
        except PASSING:
            raise
        except BaseException as fault:
            raise self._stopped(fault) from None

    def close(self, stream: StreamCodec) -> list[bytes]:
        """What is still held, when the answer ends without saying so for every choice."""
        try:
            return self._close(stream)
        except PASSING:
            raise
        except BaseException as fault:
            raise self._stopped(fault) from None

    def _feed(self, chunk: Chunk, stream: StreamCodec) -> list[bytes]:
        if chunk.data is None and chunk.frame is None:
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
        if chunk.frame is None:
            if chunk.data is not None:
                self._structure.check(chunk.data)
            if chunk.strays and not self._screen.any_tool:
                offered.check(self._call, chunk.strays)
            changed |= self._fields(chunk, stream, events)
            for channel, text in chunk.asides:
                changed |= self._told(channel, text)
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
        """The events that may leave: each in its place, once it and all before it are judged."""
        if not self._screen.any_tool and (chunk.tools or chunk.strays):
            offered.check(self._call, [*chunk.tools, *chunk.strays])
        if chunk.data is not None:
            self._structure.check(chunk.data)
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
        self._queue.append(chunk)
        self._held += len(chunk.raw)
        if self._held > MAX_WAITING:
            raise Refusal(
                "output_blocked",
                f"The answer has more than {MAX_WAITING} bytes that cannot be judged before it ends.",
                stage="output",
            )
        return self._released(stream)

    def _released(self, stream: StreamCodec) -> list[bytes]:
        """The events at the head of the queue that are judged."""
        queue, events = self._queue, []
        while queue and not any(map(_WAITING, queue[0].fields)):
            chunk = queue.popleft()
            self._held -= len(chunk.raw)
            chunk.edited |= any(map(_CHANGED, chunk.fields))
            if event := stream.encode(chunk):
                events.append(event)
        return events

    def _fields(self, chunk: Chunk, stream: StreamCodec, events: list[bytes]) -> bool:
        """Judge fields that nobody named; True if any changed. Those that need wait no longer join the events."""
        changed = False
        for field in chunk.fields:
            changed |= not self._runs.take(field, self._judge_of) or field.changed
        events += map(stream.field, self._runs.released())
        return changed

    def _close(self, stream: StreamCodec) -> list[bytes]:
        """What is held of texts, fields and tool calls, and then what says that they have ended."""
        for chunk in self._ending.chunks():
            for channel, delta in {delta.channel: delta for delta in chunk.texts}.items():
                tail = self._tail(channel)
                if tail:  # it goes before the reason, and after the piece
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

    def _told(self, channel: Channel, text: str) -> bool:
        """Whether a text that the model could have said, as far as it has come, holds something or may yet."""
        window = self._asides.get(channel)
        if window is None:
            self._count_runs()
            window = self._asides[channel] = self._screen.scanner.window(self._screen.limit)
        segment = window.feed(text)
        if segment.findings and self._edits(segment.text, segment.findings, self._restoration.plain):
            return True
        pending = window.pending
        return "@" in pending or len(pending) > _TELLING or sum(map(str.isdigit, pending)) > _DIGITS

    def _spell(self, piece: Piece, spelled: Spelled) -> None:
        """Take down how the model spelled what was restored in a text of a stream that keeps its order."""
        if piece.field.text:
            self._call.redaction.spoken.append(spelled._replace(kind=kind_of(piece.key)))

    def _judge_of(self, piece: Piece) -> FieldJudge:
        """The judge of the text that begins with a piece in a field."""
        return self._judge(piece.channel, signed=piece.field.signed)

    def _judge(self, channel: Channel, restorer: Restorer | None = None, *, signed: bool = False) -> FieldJudge:
        """The judge of a running text in a field; one that is signed may stay as it is, or ends the answer."""
        self._count_runs()
        if signed:
            return FieldJudge(
                self._screen.scanner.window(self._screen.limit),
                tuple(Unchanged(gate.guard(self._call)) for gate in self._gates),
                self._no_edits,
                self._element,
                NOTHING,
            )
        return FieldJudge(
            self._screen.scanner.window(self._screen.limit),
            tuple(gate.guard(self._call) for gate in self._gates),
            self._edits,
            self._element,
            restorer or self._restoration.of(channel),
        )

    def _no_edits(self, text: str, findings: Sequence[Finding], restorer: Restorer) -> list[Edit]:
        """Nothing stands in place of what was found in a signed text. Raises Refusal where something would have to."""
        if any(text[start:end] != instead for start, end, instead in self._edits(text, findings, restorer)):
            raise signed_refusal()
        return []

    def _element(self, text: str) -> Sequence[Finding]:
        """What an element of a list holds by itself. Raises Refusal for what no text may be."""
        for gate in self._gates:
            gate.text(self._call, text)
        return self._screen.scanner.scan(text)

    def _count_runs(self) -> None:
        if len(self._windows) + len(self._asides) + len(self._runs) >= MAX_RUNS:
            raise Refusal("output_blocked", f"The answer has more than {MAX_RUNS} texts at a time.", stage="output")

    def _tail(self, channel: Channel) -> str:
        """What is held of a text that has ended."""
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
        """An event without data: it keeps the connection alive, and says nothing that was not judged."""
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return _ALIVE
        return raw if self._text(text, self._restoration.plain) == text else _ALIVE

    # Judging

    def _act(self, text: str, findings: Sequence[Finding], restorer: Restorer, spoken: Spoken | None = None) -> str:
        """Restore, redact or block what was found."""
        parts: list[str] = []
        at = 0
        edits = self._edits(text, findings, restorer)
        if spoken is not None:
            spoken.judge(text, edits, restorer)
        for start, end, instead in edits:
            parts += text[at:start], instead
            at = end
        parts.append(text[at:])
        return "".join(parts)

    def _edits(self, text: str, findings: Sequence[Finding], restorer: Restorer) -> list[Edit]:
        """What has to stand in place of what was found."""
        edits: list[Edit] = []
        for start, end, entity, *_ in findings:
            value = text[start:end]
            if entity in _WRITTEN and (back := restorer.value(value)) is not None:
                edits.append(Restored(start, end, back))
            elif (instead := self._instead(entity, value, restorer)) is not None:
                edits.append((start, end, instead))
        return edits

    def _instead(self, entity: str, value: str, restorer: Restorer) -> str | None:
        """What stands in place of one finding; None: it may stay."""
        if entity == LIKE:
            return None
        if entity == PLACEHOLDER:  # one that is not ours may hide something, as brackets would not
            return f"<{self._text(value[1:-1], restorer)}>" if value[:1] == "<" else None
        secret = entity.startswith("SECRET_")
        if not secret and (value in self._known or self._allows(entity)):
            return None
        action = self._screen.secrets if secret else self._screen.pii
        if action == "allow":
            return None
        counts = self.screening.counts
        counts[entity] = counts.get(entity, 0) + 1
        if action == "redact":
            return f"<{entity}>"
        if secret:
            raise Refusal("secret_blocked", f"The answer held a secret ({entity}) and was stopped.", stage="output")
        raise Refusal(
            "output_blocked",
            f"The answer held personal data that the request did not ({entity}) and was stopped.",
            stage="output",
        )

    def _stopped(self, fault: BaseException) -> Refusal:
        """What a fault becomes while an answer is judged: nobody knows what it holds, so nothing more of it leaves."""
        if isinstance(fault, Refusal):
            if fault.code != "invalid_request":
                return fault
            # What reads JSON found the answer's own too deep: nothing that the caller did.
            words = "The answer holds JSON within a string that is nested too deep to be judged, and was stopped."
            return Refusal("output_blocked", words, stage="output")
        if isinstance(fault, Spent):
            return answer_spent(self._call)
        _log.error("the answer of call %s could not be judged: %s", self._call.id, trace(fault))
        if self._call.runtime is not None:
            self._call.runtime.telemetry.failures.add(("output",))
        return Refusal(
            "output_blocked",
            f"The answer could not be judged ({type(fault).__name__}) and was stopped. The operator finds the fault in "
            f"the log, by the call's id {self._call.id}.",
            stage="output",
        )
