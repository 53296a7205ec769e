"""The words of the line: what a call is and what each stage adds to it. Data only, next to no behaviour.

A `Call` is made by `serving.endpoints` and walks `pipeline`; each field is written by one stage. Amounts are
integers: tokens, calls, requests, and money in nano-USD (1e-9 USD), so that sums are exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gateway.amounts import NO_REPEATS, Debit, History, Look, Rejection, Reservation
from gateway.errors import Refusal, Stage
from gateway.texts import Finding, Nested, Slot

if TYPE_CHECKING:  # words import no room: these are names of types, and nothing of them is loaded
    from gateway.budget import Budget
    from gateway.dialects import Codec
    from gateway.dialects.parts import Joined
    from gateway.ingress.idempotency import Answer as KeptAnswer
    from gateway.ingress.idempotency import Keeper
    from gateway.redaction.content import Content
    from gateway.scheduling.lanes import Lanes
    from gateway.serving.shares import Ticket


Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """Who calls: the agent, its team, its roles, and the claims of a JWT if it came with one."""

    agent: str
    team: str
    roles: tuple[str, ...] = ()
    claims: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Usage:
    """What one upstream call used, as the provider reported it (`counted`: no report, we counted).

    `input` and `output` are totals in tokens; the others are the parts of them that a provider prices apart: `cached`
    (read from its cache), `cache_write` and `audio_input` of the input, `reasoning` and `audio` of the output.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    audio: int = 0
    counted: bool = False
    audio_input: int = 0
    tier: str = ""  # the service tier that the provider says it served in
    cache_write: int = 0

    def joined(self, other: Usage | None) -> Usage:
        """This report after another one of the same answer: counts only grow, whatever a later report leaves out."""
        if other is None:
            return self
        amounts = ("input", "output", "cached", "reasoning", "audio", "audio_input", "cache_write")
        most = {name: max(getattr(self, name), getattr(other, name)) for name in amounts}
        return replace(self, **most, tier=self.tier or other.tier)


@dataclass(frozen=True, slots=True)
class Obligations:
    """What a policy demands of an allowed call: contract, section 6."""

    redact: Mapping[str, Any] = field(default_factory=dict)  # entity type -> action
    require_approval: Mapping[str, object] | None = None
    limit: Mapping[str, int] = field(default_factory=dict)
    route: str | None = None
    strip_tools: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    sql: tuple[str, ...] | None = None  # kinds of statement that the answer may hold; None: as configured
    fields: str | None = None  # what becomes of fields that the dialect does not have; None: as configured
    no_restore: tuple[str, ...] = ()  # shell patterns of tools whose calls keep their placeholders


NO_OBLIGATIONS = Obligations()


@dataclass(frozen=True, slots=True)
class Deny:
    """One rule that said no: a code of its own, words for the caller, and its class."""

    code: str
    message: str
    cls: str = "safety"


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict of the policy on one call. `rule` is the deny that won, "default" when nothing allowed it."""

    allow: bool
    rule: str
    version: str
    deny: tuple[Deny, ...] = ()
    obligations: Obligations = NO_OBLIGATIONS
    mode: Literal["enforce", "shadow"] = "enforce"
    result: bytes = b"null"  # what the policy said, whole, as JSON: for the decision log


@dataclass(slots=True)
class Redaction:
    """What was taken out of the request: counts by entity, and the placeholders that may be restored.

    `allows` tells which types may be seen in the clear on this call (None: as configured for all), `keeps` which tools
    get placeholders instead of values (None: none).
    """

    counts: dict[str, int] = field(default_factory=dict)
    restore: dict[str, str] = field(default_factory=dict)  # placeholder -> value, this call only, never recorded
    known: frozenset[str] = frozenset()  # values that the caller sent: they are not news in the answer
    longest: tuple[str, ...] | None = None  # the longest of them, once somebody has looked for those
    changed: bool = False
    spelled: Mapping[int, Any] | None = None  # the spellings.Spelled of its texts by identity, once they are known
    spoken: list[Any] = field(default_factory=list)  # the spellings.Spelled of the answer, until they are on record
    roles: frozenset[str] = frozenset()  # of the texts that hold personal data, secrets aside
    allows: Callable[[str], bool] | None = None
    keeps: Callable[[str], bool] | None = None


@dataclass(slots=True)
class Outcome:
    """How the forwarded call ended: the target that served it, status, usage, tries, times in nanoseconds."""

    provider: str = ""
    model: str = ""
    status: int = 0
    tries: int = 0
    usage: Usage | None = None
    sent: bool = False  # the request left for an upstream: from here on it may have cost money
    finished: bool = False  # the answer came to its end
    first_byte_ns: int = 0
    tier: str = ""  # the service tier that the answer names
    heard: list[str] = field(default_factory=list)  # the answer's texts, to count when no usage comes; not recorded
    outdated: bool = False  # more came after the usage was told


@dataclass(slots=True)
class Screening:
    """What the output filter found in the answer: counts by entity. `effort` is what reading its SQL has taken."""

    counts: dict[str, int] = field(default_factory=dict)
    effort: int = 0


Headers = Sequence[tuple[bytes, bytes]]


class ToolUse(NamedTuple):
    """One call of a tool: `arguments` are JSON, or a string that holds JSON; `id` is "" where there is none."""

    id: str
    tool: str
    arguments: Any


class Step(NamedTuple):
    """One thing that happened in a conversation, in order.

    turn: the model spoke, and asked for `uses`. result: `uses` is the one call that `text` answers.
    prompt: the user said `text`.
    """

    kind: Literal["prompt", "turn", "result"]
    text: str = ""
    uses: tuple[ToolUse, ...] = ()


Kind = Literal["llm", "tool", "agent"]


class Resource(NamedTuple):
    """What a call asks for: its kind, its name as the caller wrote it, and its arguments, where a kind has some.

    The name of an llm is that of a model of the configuration.
    """

    kind: Kind
    name: str = ""
    arguments: Mapping[str, object] = {}


class Target(NamedTuple):
    """Where a call may go: a provider as the configuration names it, and the model as the provider does."""

    provider: str
    model: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """`provider/model`, as it is written in the configuration."""
        provider, _, model = text.partition("/")
        return cls(provider, model)

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(slots=True)
class Request:
    """What `ingress` reads from the request, and what its texts hold."""

    correlation_id: str = ""  # as it is kept
    given_id: str = ""  # the same as the caller sent it, where that is personal data
    alone: bool = False  # it came without one: its workflow is its own
    raw: bytes = b""  # the body as it came; forwarded as it is when nothing changes
    body: Json = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)  # every text position of the body
    nested: list[Nested] = field(default_factory=list)  # JSON within strings, outer before inner
    unscannable: dict[str, int] = field(default_factory=dict)  # parts that no scanner can read, by kind: image, audio
    label: str = ""  # the resource's name in the configuration, for metrics and the log: never what callers write
    stream: bool = False
    wants_usage: bool = False  # the caller asked for a stream's usage itself
    tools: tuple[str, ...] = ()  # names of the tools offered to the model
    fields: list[str] = field(default_factory=list)  # names of fields that the dialect does not have
    tier: str = ""  # the service tier that is asked for
    ceiling: int | None = None  # output tokens that the caller allows, times the answers; None: no ceiling given
    found: Sequence[tuple[Slot, Sequence[Finding]]] = ()  # the slots that hold personal data, and where
    joined: Sequence[tuple[Joined, Sequence[Finding]]] = ()  # what its content parts hold together
    content: Content | None = None  # what is known of its texts; None where no policy may ask
    input_tokens: int = 0


@dataclass(slots=True)
class Admission:
    """What `reserve` takes for the call, and what the store knows of its workflow."""

    repeats: Look = NO_REPEATS  # what the request repeats
    debits: tuple[Debit, ...] = ()
    chain: tuple[str, ...] = ()  # the agents that led to it, by the workflow's own record, ending with this one
    history: History | None = None  # what the workflow remembers, as the policy was told it last
    targets: list[Target] = field(default_factory=list)  # where it may go, in the order tried
    reservation: Reservation | None = None
    late: tuple[Debit, ...] = ()  # what it pays besides because of what the policy said: a dearer model, attributes
    rest: Reservation | None = None  # and that, reserved
    rejection: Rejection | None = None
    ceiling: int | None = None  # output tokens that were reserved; None where nothing was


@dataclass(slots=True)
class Replay:
    """What `idempotency` knows of an earlier call with the same key."""

    keeper: Keeper | None = None  # keeps its answer; None unless it came with an Idempotency-Key of its own
    kept: KeptAnswer | None = None  # the answer that an earlier call got under that key; None: there was none
    given: bool = False  # that answer was given again


@dataclass(slots=True)
class Authorization:
    """What `authorize` decides, and what the decision changes."""

    input: Json | None = None  # as it was judged
    decision: Decision | None = None
    edited: bool = False  # the body changed for another reason than redaction
    served_as: str = ""  # the model that a policy routed the call to, if it did


@dataclass(slots=True)
class Call:
    """One call on its way. `ingress` reads the first part; each further field is written by one stage."""

    id: str  # UUIDv7; X-Request-Id, the key of the reservation and of the record
    route: str  # the path template, as metrics label it
    resource: Resource  # the kind is known by the route, the rest once it is read
    format: Codec
    headers: Headers
    started_ns: int
    budget: Budget  # CPU time for judging it
    lanes: Lanes  # threads for judging it
    ticket: Ticket  # its share of calls and bytes in flight
    throttled: bool = False  # it came without a good key, as many did from its address: not recorded one by one
    request: Request = field(default_factory=Request)
    # what the stages write, in the order of the line
    subject: Subject | None = None  # None until `identify` knows it
    admission: Admission = field(default_factory=Admission)
    replay: Replay = field(default_factory=Replay)
    redaction: Redaction = field(default_factory=Redaction)
    authorization: Authorization = field(default_factory=Authorization)
    outcome: Outcome = field(default_factory=Outcome)
    screening: Screening = field(default_factory=Screening)
    refusal: Refusal | None = None  # what ended it; None while nothing has
    stage: Stage = "identify"  # where it is now
    stages: list[tuple[Stage, int]] = field(default_factory=list)  # (stage that ended, when in nanoseconds), in order

    @property
    def team(self) -> str:
        """The caller's team; "" while nobody knows who calls."""
        return self.subject.team if self.subject is not None else ""

    def providers(self) -> list[str]:
        """Every provider that may serve it, each once, in the order tried."""
        return list(dict.fromkeys([target.provider for target in self.admission.targets]))

    def models(self) -> frozenset[str]:
        """The model of every target that may serve the call, as its provider names it."""
        return frozenset([target.model for target in self.admission.targets])

    def step(self, name: Stage) -> None:
        """The stage before ends, the next begins."""
        self.stages.append((self.stage, time.perf_counter_ns()))
        self.stage = name

    def most(self, default: int) -> int:
        """The output tokens that its answers may take: its own ceiling, or else `default` for each of them, or what
        fields that the dialect does not have speak of, if that is more."""
        if self.request.ceiling:
            return self.request.ceiling
        return int(max(default, self.format.elsewhere(self.request.body)) * self.format.answers(self.request.body))
