"""Amounts: what a call asks of the state, and what the state answers. Data only.

Amounts are integers: tokens, calls, requests, and money in nano-USD (1e-9 USD), so that sums are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Reason = Literal["rate", "exceeded", "busy", "near", "frozen", "expired", "idle", "closed", "unknown"]
Unit = Literal["requests", "tokens", "cost", "calls", "seconds", "hops", "repeats"]
NANO_USD = 1_000_000_000
MOST = 2**53 - 1  # the largest amount, which stores keep exactly; the limit of a quota that only counts
# How much a workflow keeps. Except for labels, the oldest are dropped.
REPEATS = 512  # counters of unit repeats
PATH = 128  # changes from one calling agent to the next
TOOLS = 64  # names of tools that were called
STRIPPED = 256  # names of tools that were taken out of requests
LABELS = 32  # labels; a further label is refused
LABEL = 64  # characters of a label
SHARE = "share:"
"""The keys of debits that belong to a part of a workflow, a sub-agent, begin with this.

Such a debit may refuse the call, but never freezes the workflow, and is not part of the workflow's sums.
"""
HELD = "-held"
"""A reservation whose id ends with this outlives its call and its process: its answer is made in the background."""


class Debit(NamedTuple):
    """An amount to take from one bucket or quota. Stages describe debits, the store applies them.

    `refill`: units per second of a token bucket whose burst is `limit`; 0 for a quota of the workflow, whose ceiling is
    `limit`. `amount` may be 0: nothing is taken, but the balance is read and must not be overdrawn. `name`: the name of
    the bucket or quota in messages and headers. `window`: the seconds of a `RateLimit-Policy`, 0 for a quota.
    `partition`: distinguishes several buckets with the same name for callers, in base64; "" for a unique name.

    Debits of two units may refuse the call, but never freeze the workflow. `repeats` adds up as other units do, but
    calls in flight count as if they had ended; a workflow keeps the newest `REPEATS` keys. `hops` does not add up:
    `amount` is the depth of this call, and the workflow remembers the greatest depth.
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
    """What flowed through a workflow. `version` grows with every change.

    `labels`: sorted by name. `tools`: names of tools that were called, each once, in the order of their first calls.
    `cleared`: labels that an operator removed; policies cannot set them again.
    """

    labels: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    version: int = 0


NO_HISTORY = History()
UNREAD = -1  # the version of a history that was not read


class Ask(NamedTuple):
    """Everything that one call takes, in one atomic step. Times are in seconds.

    `seconds`: maximum age of the workflow, from its first call (None: unlimited). `ttl`: how long the record of the
    workflow is kept after the last call. `lapse`: age at which an unsettled reservation counts as lost. `idle`: time
    without a call after which the workflow expires (None: never). `strict`: the workflow must have been opened before.
    `first`: this call has waited long; as long as it asks, no other call of the workflow is admitted. `chained`: the
    chain of agents is needed, even if nothing is taken. `look`: only reads, takes and keeps nothing; has no debits.
    `history`: the answer must contain the history of the workflow. `tools`: names of tools that were called, by the
    messages of this request; the workflow remembers them. `firm`: False if debits are upper bounds, so that a refusal
    does not freeze the workflow. `excess`: so many tokens of a debit may be too much; the call is refused as `near`
    unless every debit of tokens and cost is far from its limit (`is_far`). 0: nothing is.
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
    firm: bool = True
    excess: int = 0

    @property
    def bare(self) -> bool:
        """Whether the call only asks if the workflow is open: nothing is taken and nothing is kept."""
        timed = self.seconds is not None or self.idle is not None
        return self.look or not (self.debits or timed or self.strict or self.chained or self.history)


FAR: Final = 100
"""A bucket or quota must hold this many times what may be reserved in excess, to be far from its limit."""
AMPLE: Final = 8
"""And this many times the whole amount."""


def is_far(unit: Unit, amount: int, excess: int, level: int) -> bool:
    """Whether a bucket or quota that holds `level` is far from its limit. `redis.lua` has the same."""
    return level >= FAR * (excess if unit == "tokens" else amount) and level >= AMPLE * amount


class Balance(NamedTuple):
    """The balance of a debit after the step. `remaining`: units left. `reset`: seconds until full, 0 for a quota.

    `added`: what top-ups have added to the limit of the debit.
    """

    remaining: int
    reset: float
    added: int = 0


class Reservation(NamedTuple):
    """What was taken. `balances` is parallel to `ask.debits`.

    `chain`: the agents from the workflow's first agent to the agent of this call; the parent of an agent is the agent
    that had called last before its own first call. `path`: the agents in the order of their calls, a new entry whenever
    the agent changes, the newest `PATH`, the oldest first; empty with fewer than three entries. `history`: what flowed
    through the workflow, including the tools of this call; None if not asked for. `stripped`: the tools that policies
    took out of the workflow's requests.
    """

    ask: Ask
    balances: tuple[Balance, ...]
    chain: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    history: History | None = None
    stripped: tuple[str, ...] = ()


class Marked(NamedTuple):
    """The result of labeling a workflow: whether the labels were set, and the history of the workflow now."""

    done: bool
    history: History


@dataclass(frozen=True, slots=True)
class Rejection:
    """Nothing was taken: the reason, and which debit caused it (index into `ask.debits`, -1 for none).

    | reason | meaning |
    |---|---|
    | rate | a bucket is short for `retry_after` seconds (None: the amount is more than the bucket ever holds) |
    | exceeded | settled amounts leave no room; the workflow is now frozen, except by a debit of hops or repeats |
    | busy | calls in flight hold the rest |
    | frozen | the workflow was frozen before |
    | expired | the workflow is older than `Ask.seconds`, and now frozen |
    | idle | the workflow was not called for longer than `Ask.idle`, and has ended |
    | closed | the workflow was closed |
    | unknown | the workflow was not opened, although `Ask.strict` demands that |

    `used` is settled, `held` is in flight, `limit` is the current limit, top-ups included, all in units of the debit;
    for `expired` and `idle`, `used` and `limit` are seconds.
    """

    reason: Reason
    index: int = -1
    used: int = 0
    held: int = 0
    retry_after: float | None = None
    limit: int = 0


class Look(NamedTuple):
    """The repetitions in a request: debits to take, and marks not to count again once the request was answered."""

    debits: tuple[Debit, ...] = ()
    marks: tuple[int, ...] = ()


NO_REPEATS = Look()
