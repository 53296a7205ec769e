"""Acts on the findings in the texts of an answer: restore, redact, block, or let pass.

Config keys: `output.secrets`, `output.pii`. The filters of whole answers (`whole`) and of streams (`screen`) derive
from `Acting`. Fails closed: a fault while judging stops the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from gateway.budget import PASSING, Spent
from gateway.call import Call, Screening
from gateway.config.sections import Output as OutputConfig
from gateway.detect.personal.placeholders import LIKE, PLACEHOLDER
from gateway.dialects import Channel, Codec, Piece, leads
from gateway.errors import Failures, Refusal, trace, uncounted
from gateway.output.judges import FieldJudge, Gate, Scanner, Unchanged, signed_refusal
from gateway.output.runs import Edit
from gateway.output.structure import Structure
from gateway.redaction.known import Known
from gateway.redaction.restore import Restoration, Restored, Restorer
from gateway.redaction.spellings import Spoken
from gateway.scheduling.judging import answer_spent
from gateway.texts import Finding, after, lead_of

_SHORT = 128  # maximum characters of a text, and number of texts, that the filter of one answer remembers as clean
_WRITTEN = frozenset({LIKE, PLACEHOLDER})  # entity types that may be placeholders of the gateway
NOTHING = Restorer({})
"""A restorer without values."""
_log = logging.getLogger("meshgate.output")


class Checks:
    """The checks of answers, compiled for one configuration.

    `allowed`: whether an entity type may pass unchanged. `gates` judge the text in this order after the scanner;
    `demanded` returns the gates that a policy requires for a call.
    """

    def __init__(
        self,
        config: OutputConfig | None,
        scanner: Scanner,
        allowed: Callable[[str], bool],
        gates: Sequence[Gate] = (),
        demanded: Callable[[Call], Sequence[Gate]] = lambda _: (),
        failures: Failures = uncounted,
    ) -> None:
        self.configured = config is not None
        self.failures = failures
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
        """The words of a dialect without findings: answers are not searched for them again."""
        words = self._words.get(codec.name)
        if words is None:
            words = frozenset(word for word in codec.words if not self.scanner.scan(word))
            self._words[codec.name] = words
        return words


class Acting:
    """Acts on the findings in one answer; writes `call.screening`. Raises Refusal(secret_blocked, output_blocked)."""

    def __init__(self, screen: Checks, call: Call) -> None:
        self._screen = screen
        self._call = call
        self._gates = (*screen.gates, *screen.demanded(call))
        self._codec: Codec = call.codec
        self._restoration = Restoration(call)
        self._known = Known(call.redaction.known, call.request.slots)
        self._allows = call.redaction.allows or screen.allowed
        self._restores = bool(call.redaction.restore)
        self._clean: set[str] = set()
        self._structure = Structure(self._codec.words, call.models(), screen.scanner.scan)
        self.screening: Screening = call.screening

    def prepare(self) -> None:
        """Build the index of the request's values; in a thread if there are many."""
        self._known.prepare()
        self._restoration.prepare()

    def text(self, text: str) -> str:
        """The text as the caller may get it."""
        try:
            return self._text(text, self._restoration.plain)
        except PASSING:
            raise
        except BaseException as fault:
            raise self._stopped(fault) from None

    def _text(self, text: str, restorer: Restorer, spoken: Spoken | None = None, lead: str = "") -> str:
        if not lead and (text in self._clean or text in self._screen.words(self._codec)):
            return text
        findings = self._scan(text, lead)
        out = self._act(text, findings, restorer, spoken) if findings else text
        for gate in self._gates:
            out = gate.text(self._call, out)
        if not lead and not findings and out == text and len(text) <= _SHORT and len(self._clean) < _SHORT:
            self._clean.add(text)  # names and ids are repeated in every chunk
        return out

    def _scan(self, text: str, lead: str) -> Sequence[Finding]:
        """The findings in a text after the words of `lead`, if any."""
        scan = self._screen.scanner.scan
        return after(lead, text, scan) if lead else scan(text)

    def _count_runs(self) -> None:
        """A running text begins; a stream limits their number."""

    def _judge_of(self, piece: Piece) -> FieldJudge:
        """The judge of the text that begins with a piece in a field."""
        lead = lead_of(piece.key) or leads.along(piece.channel[1])
        return self._judge(piece.channel, signed=piece.field.signed, lead=lead)

    def _judge(
        self, channel: Channel, restorer: Restorer | None = None, *, signed: bool = False, lead: str = ""
    ) -> FieldJudge:
        """The judge of a running text in a field; a signed text stays unchanged, or ends the answer.

        `lead`: the words that name the text (see `leads`).
        """
        self._count_runs()
        screen, gates, call = self._screen, self._gates, self._call
        window = partial(screen.scanner.window, screen.limit, *((lead,) if lead else ()))
        element = partial(self._element, lead=lead)
        if signed:
            return FieldJudge(
                window,
                lambda: tuple(Unchanged(gate.guard(call)) for gate in gates),
                self._no_edits,
                element,
                NOTHING,
            )
        return FieldJudge(
            window,
            lambda: tuple(gate.guard(call) for gate in gates),
            self._edits,
            element,
            restorer or self._restoration.of(channel),
        )

    def _no_edits(self, text: str, findings: Sequence[Finding], restorer: Restorer) -> list[Edit]:
        """The edits of a signed text: none. Raises Refusal if the findings would require an edit."""
        if any(text[start:end] != instead for start, end, instead in self._edits(text, findings, restorer)):
            raise signed_refusal()
        return []

    def _element(self, text: str, lead: str = "") -> Sequence[Finding]:
        """The findings in one element of a list. Raises Refusal for a finding that must be blocked."""
        for gate in self._gates:
            gate.text(self._call, text)
        return self._scan(text, lead)

    def _act(self, text: str, findings: Sequence[Finding], restorer: Restorer, spoken: Spoken | None = None) -> str:
        """Restore, redact or block the findings."""
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
        """The replacements for the findings."""
        edits: list[Edit] = []
        for start, end, entity, *_ in findings:
            value = text[start:end]
            if entity in _WRITTEN and (back := restorer.value(value)) is not None:
                edits.append(Restored(start, end, back))
            elif (instead := self._instead(entity, value, restorer)) is not None:
                edits.append((start, end, instead))
        return edits

    def _replacement(self, entity: str, value: str) -> str | None:
        """The replacement of a value in structural strings; None if the value may stay."""
        return self._instead(entity, value, self._restoration.plain)

    def _instead(self, entity: str, value: str, restorer: Restorer) -> str | None:
        """The replacement for one finding; None if the text may stay."""
        if entity == LIKE:
            return None
        if entity == PLACEHOLDER:  # a foreign placeholder may hide a value, which brackets alone cannot
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
            words = f"The answer contained a secret ({entity}) and was stopped."
            raise Refusal("secret_blocked", words, stage="output")
        raise Refusal(
            "output_blocked",
            f"The answer contained personal data that the request did not ({entity}) and was stopped.",
            stage="output",
        )

    def _stopped(self, fault: BaseException) -> Refusal:
        """The refusal for a fault while judging: the content of the answer is unknown, so nothing more of it leaves."""
        if isinstance(fault, Refusal):
            if fault.code != "invalid_request":
                return fault
            # The JSON parser refuses the nesting of the answer; the caller is not at fault.
            words = "The answer contains JSON within a string that is nested too deep to be judged, and was stopped."
            return Refusal("output_blocked", words, stage="output")
        if isinstance(fault, Spent):
            return answer_spent(self._call)
        _log.error("the answer of call %s could not be judged: %s", self._call.id, trace(fault))
        self._screen.failures("output")
        return Refusal(
            "output_blocked",
            f"The answer could not be judged ({type(fault).__name__}) and was stopped. The operator can find the "
            f"fault in the log by the call id {self._call.id}.",
            stage="output",
        )
