"""The words of amounts: what a call asks of the state, and what the state answers. Data only.

Amounts are integers: tokens, calls, requests, and money in nano-USD (1e-9 USD), so that sums are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Reason = Literal["rate", "exceeded", "busy", "frozen", "expired", "idle", "closed", "unknown"]
Unit = Literal["requests", "tokens", "cost", "calls", "seconds", "hops", "repeats"]
NANO_USD = 1_000_000_000
REPEATS = 512  # counters of unit repeats that a workflow keeps; the oldest go
PATH = 128  # changes from one calling agent to the next that a workflow keeps; the oldest go
TOOLS = 64  # names of tools that a workflow keeps; the oldest go
LABELS = 32  # labels of a workflow; one more is refused
LABEL = 64  # characters of a label
STRIPPED = 256  # tools taken out of requests that a workflow keeps; the oldest go


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


class Look(NamedTuple):
    """What a request repeats: debits to take, and what not to count again once the request was answered."""

    debits: tuple[Debit, ...] = ()
    marks: tuple[int, ...] = ()


NO_REPEATS = Look()
