"""The words of the line: what a call is and what each stage adds to it. Data only, next to no behaviour.

A `Call` is made by `serving.endpoints` and walks `pipeline`; each field is written by one stage. Amounts are
integers: tokens, calls, requests, and money in nano-USD (1e-9 USD), so that sums are exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gateway.errors import Refusal, Stage

if TYPE_CHECKING:  # words import no room: these are names of types, and nothing of them is loaded
    from gateway.budget import Budget
    from gateway.dialects import Codec
    from gateway.dialects.parts import Joined
    from gateway.ingress.idempotency import Answer as KeptAnswer
    from gateway.ingress.idempotency import Keeper
    from gateway.redaction.content import Content
    from gateway.scheduling.lanes import Lanes
    from gateway.serving.shares import Ticket

Reason = Literal["rate", "exceeded", "busy", "frozen", "expired", "idle", "closed", "unknown"]
Unit = Literal["requests", "tokens", "cost", "calls", "seconds", "hops", "repeats"]
NANO_USD = 1_000_000_000
REPEATS = 512  # counters of unit repeats that a workflow keeps; the oldest go
PATH = 128  # changes from one calling agent to the next that a workflow keeps; the oldest go
TOOLS = 64  # names of tools that a workflow keeps; the oldest go
LABELS = 32  # labels of a workflow; one more is refused
LABEL = 64  # characters of a label
STRIPPED = 256  # tools taken out of requests that a workflow keeps; the oldest go

Json = dict[str, Any]


class Nested:
    """JSON inside a string: `holder[key]` is the string, `root` what it parses to, `edited` whether that changed.

    `outer` is the JSON string that this one stands in, if any. With a `prefix` the string is a data: URL that begins
    so, and `root` is `{"text": what it says}`.
    """

    __slots__ = ("edited", "holder", "key", "outer", "prefix", "root")

    def __init__(self, holder: Any, key: Any, root: Any, outer: Nested | None = None) -> None:
        self.holder = holder
        self.key = key
        self.root = root
        self.outer = outer
        self.prefix: str | None = None
        self.edited = False


class Span(NamedTuple):
    """One text position of a body: `text` stands at `holder[key]`, inside `nested` if that is JSON within a string.

    `role` is who wrote it: system, user, assistant, tool, or "" where the format does not say.
    """

    holder: Any
    key: Any
    text: str
    role: str
    nested: Nested | None


class Argument(Span):
    """A text position in the arguments of a tool call that are an object, at any depth."""

    __slots__ = ()


class Signed(Span):
    """A text position that the provider has signed: it is judged, and never edited."""

    __slots__ = ()


class Finding(NamedTuple):
    """A stretch of text that a scanner recognised: [start, end) in characters, entity type, score 0 to 1."""

    start: int
    end: int
    entity: str
    score: float


class Share(Finding):
    """What of a finding lies in one text, where the rest lies in texts beside it: content parts of one message.

    `value` is the whole. What stands in its place stands in the `first` text; in the others it is cut out.
    """

    value: str = ""
    first: bool = False


def value_of(text: str, finding: Finding) -> str:
    """The value that was found, of which a text may hold no more than a share."""
    return finding.value if isinstance(finding, Share) else text[finding.start : finding.end]


@dataclass(frozen=True, slots=True)
class Subject:
    """Who calls: the agent, its team, its roles, and the claims of a JWT if it came with one."""

    agent: str
    team: str
    roles: tuple[str, ...] = ()
    claims: Mapping[str, object] = field(default_factory=dict)


class Debit(NamedTuple):
    """An amount to take from one bucket or quota. Stages describe debits, the store applies them.

    `refill` is units per second for a token bucket whose burst is `limit`; 0 makes it a quota of the workflow,
    with ceiling `limit`. `amount` may be 0: nothing is taken, the balance is read and must not be overdrawn.
    `name` is how messages and headers call it; `window` the seconds of a `RateLimit-Policy` (0 for a quota);
    `partition` tells callers this bucket from others of its name, in base64 ("" where they have one of a name).

    Two units refuse the call and never freeze the workflow. `repeats` adds up like the others, calls in flight count
    as if they had ended; a workflow keeps the newest `REPEATS` keys. `hops` does not add up: `amount` is how deep this
    call is, and the workflow remembers the deepest.
    """

    key: str
    unit: Unit
    amount: int
    limit: int
    name: str
    refill: float = 0.0
    window: int = 0
    partition: str = ""


class History(NamedTuple):
    """What a workflow remembers of what flowed through it. `version` grows with every change of it.

    `labels`: sorted by name. `tools`: names of tools that were called, each once, in the order of their first call.
    `cleared`: labels that an operator took off; policies cannot set them again.
    """

    labels: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    version: int = 0


NO_HISTORY = History()
UNREAD = -1  # the version of a history that nobody has read


class Ask(NamedTuple):
    """All that one call wants to take, in one atomic step.

    `seconds` is how long the workflow may live from its first call (None: no end); `ttl` how long its record is
    kept after the last call; `lapse` after how many seconds an unsettled reservation counts as lost; `idle` after how
    many seconds without a call the workflow expires (None: never). `strict`: it must have been opened before.
    `first`: this call has waited long for room; while it asks, no other call of the workflow gets in before it.
    `chained`: who called before must be known, even if nothing is taken. `look`: nothing is to be taken or kept,
    only to be learned; it has no debits. `history`: what flowed through the workflow must be known; `tools` are the
    names of tools that this call shows, which the workflow remembers from now on.
    """

    id: str
    team: str
    correlation_id: str
    agent: str
    debits: tuple[Debit, ...]
    seconds: int | None
    ttl: int
    lapse: int
    idle: int | None = None
    strict: bool = False
    first: bool = False
    chained: bool = False
    look: bool = False
    history: bool = False
    tools: tuple[str, ...] = ()

    @property
    def bare(self) -> bool:
        """Whether it wants nothing but to know that the workflow is open: nothing is taken and nothing is kept."""
        timed = self.seconds is not None or self.idle is not None
        return self.look or not (self.debits or timed or self.strict or self.chained or self.history)


class Balance(NamedTuple):
    """What stands after the step, parallel to a debit: units left now, and seconds until it is full (0 for a quota).

    `added` is what top-ups have put on the debit's limit.
    """

    remaining: int
    reset: float
    added: int = 0


class Reservation(NamedTuple):
    """What was taken. `balances` is parallel to `ask.debits`.

    `chain` is how the call came about, from the workflow's first agent to this one: the parent of an agent is the one
    that had called last when it called first. `path` is who called after whom, the newest `PATH` changes, the oldest
    first; empty while there are fewer than three. `history` is what the workflow remembers, the tools of this call
    included; None where it was not asked for. `stripped` are the tools that policies took out of the workflow's
    requests.
    """

    ask: Ask
    balances: tuple[Balance, ...]
    chain: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    history: History | None = None
    stripped: tuple[str, ...] = ()


class Marked(NamedTuple):
    """What came of a wish to label a workflow: whether it was done, and what the workflow remembers now."""

    done: bool
    history: History


@dataclass(frozen=True, slots=True)
class Rejection:
    """Nothing was taken: why, and which debit said so (index into `ask.debits`, -1 where none did).

    `rate`: a bucket is short, `retry_after` seconds until it is not (None: the amount is more than it ever holds).
    `exceeded`: what is settled leaves no room; the workflow is now frozen, except by a debit of hops or repeats.
    `busy`: calls in flight hold the rest. `frozen`: it was frozen before. `expired`: it has outlived `seconds`; now
    frozen. `idle`: it was not called for longer than `idle`, and has ended. `closed`: it was closed. `unknown`: nobody
    has opened it, and `strict` asked for that.
    `used` is settled, `held` is in flight, `limit` is the limit in force, top-ups included, all in units of the debit;
    of `expired` and `idle`, `used` and `limit` are seconds.
    """

    reason: Reason
    index: int = -1
    used: int = 0
    held: int = 0
    retry_after: float | None = None
    limit: int = 0


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


class Look(NamedTuple):
    """What a request repeats: debits to take, and what not to count again once the request was answered."""

    debits: tuple[Debit, ...] = ()
    marks: tuple[int, ...] = ()


NO_REPEATS = Look()


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
    # what `ingress` reads from the request
    correlation_id: str = ""  # as it is kept
    given_id: str = ""  # the same as the caller sent it, where that is personal data
    alone: bool = False  # it came without one: its workflow is its own
    raw: bytes = b""  # the body as it came; forwarded as it is when nothing changes
    body: Json = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)  # every text position of the body
    nested: list[Nested] = field(default_factory=list)  # JSON within strings, outer before inner
    unscannable: dict[str, int] = field(default_factory=dict)  # parts that no scanner can read, by kind: image, audio
    label: str = ""  # the resource's name in the configuration, for metrics and the log: never what callers write
    stream: bool = False
    wants_usage: bool = False  # the caller asked for a stream's usage itself
    tools: tuple[str, ...] = ()  # names of the tools offered to the model
    fields: list[str] = field(default_factory=list)  # names of fields that the dialect does not have
    tier: str = ""  # the service tier that is asked for
    ceiling: int | None = None  # output tokens that the caller allows, times the answers; None: no ceiling given
    # what the stages write, in the order of the line
    subject: Subject | None = None  # None until `identify` knows it
    found: Sequence[tuple[Span, Sequence[Finding]]] = ()  # the spans that hold personal data, and where
    joined: Sequence[tuple[Joined, Sequence[Finding]]] = ()  # what its content parts hold together
    content: Content | None = None  # what is known of its texts; None where no policy may ask
    input_tokens: int = 0
    repeats: Look = NO_REPEATS  # what the request repeats
    debits: tuple[Debit, ...] = ()
    chain: tuple[str, ...] = ()  # the agents that led to it, by the workflow's own record, ending with this one
    history: History | None = None  # what the workflow remembers, as the policy was told it last
    targets: list[Target] = field(default_factory=list)  # where it may go, in the order tried
    reservation: Reservation | None = None
    late: tuple[Debit, ...] = ()  # what it pays besides because of what the policy said: a dearer model, attributes
    rest: Reservation | None = None  # and that, reserved
    rejection: Rejection | None = None
    redaction: Redaction = field(default_factory=Redaction)
    keeper: Keeper | None = None  # keeps its answer; None unless it came with an Idempotency-Key of its own
    kept: KeptAnswer | None = None  # the answer that an earlier call got under that key; None: there was none
    replayed: bool = False  # that answer was given again
    policy_input: Json | None = None  # as it was judged
    decision: Decision | None = None
    edited: bool = False  # the body changed for another reason than redaction
    served_as: str = ""  # the model that a policy routed the call to, if it did
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
        return list(dict.fromkeys([target.provider for target in self.targets]))

    def step(self, name: Stage) -> None:
        """The stage before ends, the next begins."""
        self.stages.append((self.stage, time.perf_counter_ns()))
        self.stage = name

    def most(self, default: int) -> int:
        """The output tokens that its answers may take: its own ceiling, or else `default` for each of them, or what
        fields that the dialect does not have speak of, if that is more."""
        if self.ceiling:
            return self.ceiling
        return int(max(default, self.format.elsewhere(self.body)) * self.format.answers(self.body))
