"""A call, and what each stage adds to the call. Data, with hardly any behavior.

`serving.arrivals` creates a `Call`, which passes through `pipeline`; each field is written by one stage. Amounts are
integers: tokens, calls, requests, and money in nano-USD (1e-9 USD), so that sums are exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

from gateway.amounts import NO_REPEATS, Ask, Debit, History, Look, Rejection, Reservation
from gateway.bodies import Headers as Headers
from gateway.bodies import Json as Json
from gateway.bodies import Named as Named
from gateway.bodies import Page as Page
from gateway.bodies import State as State
from gateway.bodies import Step as Step
from gateway.bodies import ToolUse as ToolUse
from gateway.bodies import Usage as Usage
from gateway.budget import Budget
from gateway.delegation import Delegation
from gateway.errors import Refusal, Stage
from gateway.texts import Finding, Nested, Slot

if TYPE_CHECKING:  # the types of the one room that words name: a call carries its codec
    from gateway.dialects import Codec
    from gateway.dialects.parts import Joined

Result = TypeVar("Result")


class Lanes(Protocol):
    """The threads for work that would block the event loop: see `scheduling.lanes`."""

    slice: int
    """Nanoseconds that one piece of work may take on the event loop."""

    async def run(self, call: Call, work: Callable[..., Result], *args: Any) -> Result:
        """Run work in a thread, within the call's budget."""
        ...


class Ticket(Protocol):
    """The share of the gateway that one call holds until its end: see `serving.shares`."""

    @property
    def address(self) -> str:
        """The address of the caller, as shares have it."""
        ...

    def claim(self, team: str) -> None:
        """Assign the call to a team. Raises Refusal(overloaded)."""

    def stranger(self) -> Refusal | None:
        """Count the call as a call without a valid key; the refusal if its address makes too many."""

    def hold(self, size: int) -> None:
        """Hold `size` more bytes until the call ends. Raises Refusal(overloaded)."""

    def close(self) -> None:
        """The call has ended."""


class Keeper(Protocol):
    """Keeps the answer of a call under its idempotency key: see `ingress.idempotency`."""

    def add(self, data: bytes) -> None:
        """Add a piece of the answer."""

    async def keep(self, streamed: bool, *, status: int = 200, kind: str | None = None) -> None:
        """The answer is complete: store the answer under the key. `kind`: its Content-Type; None: that of its form."""

    async def abandon(self) -> None:
        """The call has no answer: release the key."""


class KeptAnswer(Protocol):
    """The kept answer of an earlier call, as it was sent."""

    @property
    def body(self) -> bytes: ...
    @property
    def streamed(self) -> bool: ...
    @property
    def status(self) -> int: ...
    @property
    def kind(self) -> str | None: ...


class Content(Protocol):
    """What policies may know of the texts of a request: see `redaction.content`."""

    @property
    def urls(self) -> tuple[str, ...]: ...
    @property
    def injection(self) -> Mapping[str, float]: ...
    @property
    def score(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """The caller: the agent, its team, its roles, and the claims of its JWT, if it has one.

    A sub-agent has the `agent` of the key or JWT that its token goes back to, so that rules and limits for an agent
    hold for all its sub-agents.
    """

    agent: str
    team: str
    roles: tuple[str, ...] = ()
    claims: Mapping[str, object] = field(default_factory=dict)
    delegation: Delegation | None = None  # the caller is a sub-agent of `agent`

    @property
    def acting(self) -> str:
        """The name in chains of agents and in counts of repetitions: of a sub-agent, with its parents' names."""
        return self.agent if self.delegation is None else "/".join((self.agent, *self.delegation.names))


@dataclass(frozen=True, slots=True)
class Obligations:
    """What a policy demands of an allowed call: see docs/policies.md."""

    redact: Mapping[str, Any] = field(default_factory=dict)  # entity type -> action
    require_approval: Mapping[str, object] | None = None
    limit: Mapping[str, int] = field(default_factory=dict)
    route: str | None = None
    strip_tools: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    sql: tuple[str, ...] | None = None  # kinds of statements that the answer may contain; None: as configured
    fields: str | None = None  # the rule for fields that the dialect does not know; None: as configured
    no_restore: tuple[str, ...] = ()  # shell patterns of tools whose calls keep their placeholders
    cache: float | None = None  # seconds that the answer is kept for the same call; 0: not at all; None: as configured
    store: bool | None = None  # False: the provider must store nothing; None: as the caller asked


NO_OBLIGATIONS = Obligations()


@dataclass(frozen=True, slots=True)
class Deny:
    """A rule that denied the call: its code, the message for the caller, and its class."""

    code: str
    message: str
    cls: str = "safety"


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict of the policy on one call. `rule`: the rule that denied the call, "default" if no rule allowed it."""

    allow: bool
    rule: str
    version: str
    deny: tuple[Deny, ...] = ()
    obligations: Obligations = NO_OBLIGATIONS
    mode: Literal["enforce", "shadow"] = "enforce"
    result: bytes = b"null"  # the whole result of the policy as JSON, for the decision log


@dataclass(slots=True)
class Redaction:
    """What was replaced in the request: counts by entity, and the placeholders that may be restored.

    `allows`: whether an entity type may be seen in plain text on this call (None: as configured). `keeps`: whether a
    tool gets placeholders instead of values (None: no tool does).
    """

    counts: dict[str, int] = field(default_factory=dict)
    restore: dict[str, str] = field(default_factory=dict)  # placeholder -> value, this call only, never recorded
    known: frozenset[str] = frozenset()  # values that the caller sent: an answer that contains them reveals nothing
    longest: tuple[str, ...] | None = None  # the longest known values, once determined
    changed: bool = False
    spelled: Mapping[int, Any] | None = None  # id of a text -> its spellings.Spelled, once read from the vault
    spoken: list[Any] = field(default_factory=list)  # the spellings.Spelled of the answer, until they are stored
    roles: frozenset[str] = frozenset()  # the roles of the texts that contain personal data other than secrets
    allows: Callable[[str], bool] | None = None
    keeps: Callable[[str], bool] | None = None


@dataclass(slots=True)
class Outcome:
    """How the forwarded call ended: the target that served the call, status, usage, tries, times in nanoseconds."""

    provider: str = ""
    model: str = ""
    account: str = ""  # the name of the provider's key, if it has several
    status: int = 0
    tries: int = 0
    hit: bool = False  # the answer is one of the cache: no provider was called
    saved: int = 0  # nano-USD that a call of the provider would have cost
    usage: Usage | None = None
    sent: bool = False  # the request was sent to an upstream: from here on the call may cost money
    written: bool = (
        False  # and is on a connection: with `status` 0, whoever waits for the answer may have to pay for it
    )
    finished: bool = False  # the answer is complete
    failed: bool = False  # the answer says that the called agent has failed
    first_byte_ns: int = 0
    tier: str = ""  # the service tier that the answer names
    heard: list[str] = field(default_factory=list)  # texts of the answer, counted if no usage is reported; not recorded
    outdated: bool = False  # more text came after the usage was reported
    runs: tuple[tuple[str, int], ...] = ()  # of the provider's tools in a stream, charged if its usage is not reported
    priced: bool = True  # False: the call was sent, and its price is unknown
    fitted: dict[str, Any] = field(default_factory=dict)  # fields changed for this target, as they were before
    dropped: tuple[str, ...] = ()  # parameters that this target does not support
    state: State | None = None  # what the provider stores of the judged answer, if anything
    made: Sequence[tuple[str, str]] = ()  # kind and id of what the provider made beside it, such as a container
    pending: bool = False  # the answer is not complete: it is made in the background, and retrieved later
    ended: bool = False  # an answer that was made in the background says that it has ended
    claimed: bool = False  # an answer that was made in the background is charged to this call
    headers: tuple[tuple[bytes, bytes], ...] = ()  # of the answer, as the dialect has them: the id of a session
    translated: bool = False  # the target has another format than the caller
    reported: Usage | None = None  # the usage in a translated answer, as the provider reported it


@dataclass(slots=True)
class Screening:
    """What the output filter found in the answer: counts by entity. `effort`: work spent on reading its SQL."""

    counts: dict[str, int] = field(default_factory=dict)
    effort: int = 0


Kind = Literal["llm", "tool", "agent"]


class Resource(NamedTuple):
    """What a call asks for: kind, name as written by the caller, and arguments, for kinds that have arguments.

    The name of an llm is the name of a model in the configuration, that of a tool is `server/tool`. The arguments are a
    part of the body, and change with it.
    """

    kind: Kind
    name: str = ""
    arguments: Mapping[str, object] = {}


class Target(NamedTuple):
    """A target of calls: the name of a provider in the configuration, and the provider's own name of the model.

    Of a call of a tool: the name of a row of `tools`, and the bare name of the tool.
    """

    provider: str
    model: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """The target in `provider/model`, the notation of the configuration."""
        provider, _, model = text.partition("/")
        return cls(provider, model)

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class Place(NamedTuple):
    """Where a provider keeps states: the target, and the name of the provider's key (`Outcome.account`)."""

    target: Target
    account: str = ""


class Reference(NamedTuple):
    """A state at a provider that a call is about: its id, and what the call wants of the state.

    `below`: the path below the state, "" or such as `/cancel`. `query`: the checked query string, "" for none.
    `reads`: the call has a body. `page`: the call asks for a list of states, and `id` is ""; `at`: where its cursor is.
    """

    id: str
    method: str
    below: str = ""
    query: str = ""
    reads: bool = False
    page: Page | None = None
    at: Place | None = None


class Held(NamedTuple):
    """What an answer in the background holds until its end: its reservations, and what its price depends on.

    `served_as`: see `Authorization`. `input`: the tokens of its request, counted.
    """

    asks: tuple[Ask, ...] = ()
    served_as: str = ""
    tier: str = ""
    input: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """The record of a state that a provider stores for an earlier call of the team.

    `masked`: placeholder in the stored conversation -> digest of its value. `uses`: the tool calls of the answer, whose
    results the next call brings. `tools`: the tools that were offered. `labels`, `called`: labels and called tools of
    the workflow at that time. `tokens`: those of the stored conversation. `at`: Unix seconds.
    """

    workflow: str  # the correlation id, as stored
    agent: str
    model: str  # as the caller named it
    target: Target
    at: int
    tokens: int = 0
    tools: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    masked: Mapping[str, str] = field(default_factory=dict)
    uses: tuple[ToolUse, ...] = ()
    account: str = ""  # see `Outcome.account`
    due: bool = False  # the answer was not complete when it was recorded, and is not charged yet
    held: Held | None = None  # of an answer that is due

    @property
    def steps(self) -> tuple[Step, ...]:
        """The last turn of the stored conversation, if it called tools."""
        return (Step("turn", "", self.uses),) if self.uses else ()


class InputTokens:
    """The tokens of a request: an upper bound that costs nothing, and their number, counted when first asked for.

    `ready`: whether the table of tokens is there; otherwise counting builds it, which takes long.
    """

    __slots__ = ("_count", "_counted", "bound", "ready")

    def __init__(self, bound: int, count: Callable[[], int], ready: Callable[[], bool] = lambda: True) -> None:
        self.bound = bound
        self.ready = ready
        self._count = count
        self._counted: int | None = None

    def counted(self) -> int:
        """Their number; may take long for a large request that was not counted before."""
        if self._counted is None:
            self._counted = self._count()
        return self._counted


NO_INPUT = InputTokens(0, int)


@dataclass(slots=True)
class Request:
    """What `ingress` reads from the request, and what its texts contain."""

    correlation_id: str = ""  # as stored
    given_id: str = ""  # as sent by the caller, if that contains personal data
    alone: bool = False  # without a correlation id of the caller: the call is a workflow of its own
    raw: bytes = b""  # the body as received; forwarded unchanged if no stage changes the body
    body: Json = field(default_factory=dict)
    form: bool = False  # the body is a form, and leaves as one: see `dialects.multipart`
    edited: bool = False  # the body is no longer that of `raw`: the path names the model (Azure)
    slots: list[Slot] = field(default_factory=list)  # every text position of the body
    nested: list[Nested] = field(default_factory=list)  # JSON within strings, outer before inner
    unscannable: dict[str, int] = field(default_factory=dict)  # parts that no scanner can read, by kind: image, audio
    label: str = ""  # the resource's name in the configuration, for metrics and the log: never the caller's words
    stream: bool = False
    wants_usage: bool = False  # the caller asked for the usage in the stream
    tools: tuple[str, ...] = ()  # names of the tools offered to the model
    recalled: Mapping[str, str] = field(default_factory=dict, repr=False)  # placeholder -> value that only a tool gets
    writes: bool | None = None  # the called tool writes: by the operator, else by the server; None: nobody says
    deletes: bool = False  # the request that the called HTTP tool gets has the method DELETE
    control: bool = False  # a message of the protocol (a list): takes request limits, and no policy judges it
    fields: list[str] = field(default_factory=list)  # names of fields that the dialect does not know
    dropped: tuple[str, ...] = ()  # those that were removed, as paths
    tier: str = ""  # the requested service tier
    ceiling: int | None = None  # output tokens that the caller allows, times the number of answers; None: no ceiling
    found: Sequence[tuple[Slot, Sequence[Finding]]] = ()  # the slots that contain personal data, with the findings
    joined: Sequence[tuple[Joined, Sequence[Finding]]] = ()  # the same for content parts, joined
    content: Content | None = None  # what policies may know of its texts; None without `policy.content`
    input: InputTokens = NO_INPUT  # 0 if no limit needs it
    stored: Stored | None = None  # the state at a provider that the request continues
    renamed: Mapping[str, str] | None = None  # ids of items in `raw` that leave as others
    reading: object | None = None  # how the body is read if its beginning is known: see `redaction.openings`


@dataclass(slots=True)
class Admission:
    """What `reserve` takes for the call, and what the store knows of its workflow."""

    repeats: Look = NO_REPEATS  # the repetitions in the request
    debits: tuple[Debit, ...] = ()
    chain: tuple[str, ...] = ()  # the agents that led to the call, as recorded for the workflow; the caller is the last
    history: History | None = None  # of the workflow, as the policy last knew it
    targets: list[Target] = field(default_factory=list)  # in the order in which they are tried
    account: str = ""  # the only one that may serve the call, because it has its state; "" for any
    workflow: bytes = b""  # the digest under which the target is remembered, if the model has several
    reservation: Reservation | None = None
    late: tuple[Debit, ...] = ()  # further debits that follow from the decision: a more expensive model, attributes
    rest: Reservation | None = None  # the reservation of `late`
    rejection: Rejection | None = None
    ceiling: int | None = None  # output tokens that were reserved; None without a reservation
    bound: bool = False  # an upper bound of the input tokens was reserved, which were not counted


@dataclass(slots=True)
class Replay:
    """What `idempotency` knows of an earlier call with the same key."""

    keeper: Keeper | None = None  # keeps the answer of this call; None without a new Idempotency-Key
    kept: KeptAnswer | None = None  # the answer of an earlier call with the same key; None: there is none
    given: bool = False  # the kept answer was sent


@dataclass(slots=True)
class Authorization:
    """What `authorize` decides, and what the decision changes."""

    input: Json | None = None  # the policy input
    decision: Decision | None = None
    edited: bool = False  # the body changed for another reason than redaction
    served_as: str = ""  # the model that the policy routed the call to; "" for the requested model
    of_result: bool = False  # the result of a tool is judged, not the call
    of_list: bool = False  # whether a tool may be seen is judged, before there are arguments


@dataclass(slots=True)
class Call:
    """One call in the line. The first fields are known from the start; each further field is written by one stage."""

    id: str  # UUIDv7: the X-Request-Id, and the id of the reservation and of the record
    route: str  # the path template, as in metrics
    resource: Resource  # the kind follows from the route; name and arguments are known after `ingress`
    codec: Codec
    headers: Headers
    started_ns: int
    budget: Budget  # CPU time for judging the call
    lanes: Lanes
    ticket: Ticket
    values: Mapping[str, str] = field(default_factory=dict)  # the parameters of its path, and the version in it
    array: bool = False  # a streamed answer leaves as one JSON array: see `ingress.arrays`
    throttled: bool = False  # one of many calls without a valid key from its address: not recorded one by one
    reference: Reference | None = None  # the stored state that the call is about, of a call without a body
    key: bytes | None = None  # the key or token in `headers`, never recorded; None before it was looked for
    request: Request = field(default_factory=Request)
    # Written by the stages, in the order of the line:
    subject: Subject | None = None  # None before `identify`
    admission: Admission = field(default_factory=Admission)
    replay: Replay = field(default_factory=Replay)
    redaction: Redaction = field(default_factory=Redaction)
    authorization: Authorization = field(default_factory=Authorization)
    outcome: Outcome = field(default_factory=Outcome)
    screening: Screening = field(default_factory=Screening)
    refusal: Refusal | None = None  # the refusal that ended the call, if any
    stage: Stage = "identify"  # the current stage
    stages: list[tuple[Stage, int]] = field(default_factory=list)  # ended stages with the time in ns, in order

    def copied(self) -> Call:
        """A call of its own with the same fields: faster than `dataclasses.replace`."""
        return Call(*_fields(self))

    @property
    def team(self) -> str:
        """The caller's team; "" before `identify`."""
        return self.subject.team if self.subject is not None else ""

    def providers(self) -> list[str]:
        """The providers that may serve the call, each once, in the order in which they are tried."""
        targets = self.admission.targets
        if len(targets) == 1:
            return [targets[0].provider]
        return list(dict.fromkeys([target.provider for target in targets]))

    def models(self) -> frozenset[str]:
        """The model of every target that may serve the call, as its provider names it."""
        return frozenset([target.model for target in self.admission.targets])

    def step(self, name: Stage) -> None:
        """End the current stage, and begin the stage `name`."""
        self.stages.append((self.stage, time.perf_counter_ns()))
        self.stage = name

    def most(self, default: int) -> int:
        """The maximum of output tokens of all answers: the ceiling of the request, otherwise `default` per answer.

        A larger ceiling in a field that the dialect does not know counts instead of `default`.
        """
        if self.request.ceiling:
            return self.request.ceiling
        return int(max(default, self.codec.elsewhere(self.request.body)) * self.codec.answers(self.request.body))


_fields: Callable[[Call], tuple[Any, ...]] = attrgetter(*[field.name for field in fields(Call)])
