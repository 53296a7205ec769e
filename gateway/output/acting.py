"""What an answer's filter does with what was found in a text: restore, redact, block, or let it pass.

Config keys: `output.secrets`, `output.pii`. The judging of whole answers (`whole`) and of streams (`screen`) is built
on it. A fault of whoever judges stops the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from gateway.budget import PASSING, Spent
from gateway.call import Call, Finding, Screening
from gateway.config.sections import Output as OutputConfig
from gateway.detect.personal.placeholders import LIKE, PLACEHOLDER
from gateway.dialects import Channel, Codec, Piece
from gateway.errors import Refusal, trace
from gateway.output.judges import FieldJudge, Gate, Scanner, Unchanged, signed_refusal
from gateway.output.runs import Edit
from gateway.output.structure import Structure
from gateway.redaction.known import Known
from gateway.redaction.restore import Restoration, Restored, Restorer
from gateway.redaction.spellings import Spoken
from gateway.scheduling.judging import answer_spent

_SHORT = 128  # characters of a text, and how many of them, that one answer's filter remembers to be clean
_WRITTEN = frozenset({LIKE, PLACEHOLDER})  # what may be a placeholder of ours
NOTHING = Restorer({})
"""Restores nothing."""
_log = logging.getLogger("meshgate.output")


class Checks:
    """What answers are judged by, compiled for one configuration.

    `allowed` are the entity types that may pass in the clear. `gates` judge in their order what the scanner's
    findings left; `demanded` gives those that a policy asks for.
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


class Acting:
    """Acts on what is found in one answer; writes `call.screening`. Raises Refusal(secret_blocked, output_blocked)."""

    def __init__(self, screen: Checks, call: Call) -> None:
        self._screen = screen
        self._call = call
        self._gates = (*screen.gates, *screen.demanded(call))
        self._codec: Codec = call.format
        self._restoration = Restoration(call)
        self._known = Known(call.redaction.known)
        self._allows = call.redaction.allows or screen.allowed
        self._restores = bool(call.redaction.restore)
        self._clean: set[str] = set()
        held = partial(self._instead, restorer=self._restoration.plain)
        self._structure = Structure(self._codec.words, screen.scanner.scan, held)
        self.screening: Screening = call.screening

    def prepare(self) -> None:
        """Make what look-ups of the request's values need: of many values not on the event loop."""
        self._known.prepare()
        self._restoration.prepare()

    def text(self, text: str) -> str:
        """A whole text as the caller may have it."""
        try:
            return self._text(text, self._restoration.plain)
        except PASSING:
            raise
        except BaseException as fault:
            raise self._stopped(fault) from None

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

    def _count_runs(self) -> None:
        """A running text begins; a stream bounds how many there are at a time."""

    def _judge_of(self, piece: Piece) -> FieldJudge:
        """The judge of the text that begins with a piece in a field."""
        return self._judge(piece.channel, signed=piece.field.signed)

    def _judge(self, channel: Channel, restorer: Restorer | None = None, *, signed: bool = False) -> FieldJudge:
        """The judge of a running text in a field; one that is signed may stay as it is, or ends the answer."""
        self._count_runs()
        screen, gates, call = self._screen, self._gates, self._call
        window = partial(screen.scanner.window, screen.limit)
        if signed:
            return FieldJudge(
                window,
                lambda: tuple(Unchanged(gate.guard(call)) for gate in gates),
                self._no_edits,
                self._element,
                NOTHING,
            )
        return FieldJudge(
            window,
            lambda: tuple(gate.guard(call) for gate in gates),
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
        self._call.runtime.telemetry.failures.add(("output",))
        return Refusal(
            "output_blocked",
            f"The answer could not be judged ({type(fault).__name__}) and was stopped. The operator finds the fault in "
            f"the log, by the call's id {self._call.id}.",
            stage="output",
        )
