"""The state: counters, workflows, the vault and keys, kept in SQLite or Redis. Config key: `state`.

Stages describe amounts as `Debit`s; a store takes all debits of a call or none, in one atomic step. Every failure of a
store is a `StoreUnavailable`, which the line turns into `state_unavailable`: fails closed.

The life of a reservation: reserved -> settled (charged the reported usage) | released (the call cost nothing)
| lapsed (the call was lost: the estimate is charged, and marked as an estimate). A reservation ends once; a second end
has no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, get_args

from gateway.amounts import NO_HISTORY, Ask, Debit, History, Marked, Rejection, Reservation
from gateway.stores.address import parse

End = Literal["settled", "released", "lapsed"]
State = Literal["open", "frozen", "closed", "expired"]
STATES: tuple[str, ...] = get_args(State)
Role = Literal["gateway", "cli"]
Clock = Callable[[], float]
Sealed = tuple[str, bytes, bytes]  # entity, digest of the value, ciphertext
Unsealed = tuple[str, int, bytes]  # entity, number within the workflow, ciphertext
Spelling = tuple[bytes, bytes]  # digest of a text and its place, ciphertext

FOREVER = 2**53 - 1  # the largest integer that a Lua number holds exactly; no amount is larger
DEFAULT_TTL = 86400  # seconds that a workflow is kept if it was frozen before its first call
SPELLINGS = 1024  # spellings that a vault keeps; the oldest are dropped
SPELLINGS_SIZE = 512 * 1024  # bytes of all spellings of a vault; the oldest are dropped


class Kept(NamedTuple):
    """The answer that is kept under an idempotency key, sealed."""

    sealed: bytes


FIGURES = 512  # records of a name that are kept; the oldest are dropped
ENTRIES = 500  # entries of the registry for one team
Enlisting = Literal["done", "taken", "full"]
Begun = Literal["new", "running", "conflict"] | Kept


class StoreUnavailable(Exception):
    """The state store did not answer or could not write. The message names the server or file, never a password."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """The record of one correlation id of a team. Times are Unix seconds, amounts are in units of the quota.

    `used` is settled, `held` is in flight, `lapsed` is the part of `used` that is an estimate because its call was
    lost. The `used` of hops is the greatest depth; the `used` of repeats is the highest count of a single counter.
    `reason` says why the workflow is not open: the name of the exhausted quota, or the reason that an operator gave.
    `topups`: `Debit.key` -> amount added to the limit. `agents`: agent -> its parent, "" for none. `path`: the agents
    in the order of their calls, a new entry whenever the agent changes, the newest last. `strict_opened`: opened by
    `open_workflow`, before the first call. A workflow that is older, or idle for longer, than its last call allowed
    (`Ask.seconds`, `Ask.idle`) is shown as the next call would find it: frozen or expired.
    """

    team: str
    correlation_id: str
    state: State
    reason: str
    first_seen: float
    last_seen: float
    agents: Mapping[str, str] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    lapsed: Mapping[str, int] = field(default_factory=dict)
    topups: Mapping[str, int] = field(default_factory=dict)
    strict_opened: bool = False
    path: tuple[str, ...] = ()
    history: History = NO_HISTORY

    @property
    def chain(self) -> tuple[str, ...]:
        """The longest chain of agents, from the first to the deepest."""
        longest: tuple[str, ...] = ()
        for agent in self.agents:
            chain = [agent]
            while (parent := self.agents[chain[-1]]) in self.agents:
                chain.append(parent)
            longest = max(longest, tuple(reversed(chain)), key=len)
        return longest


@dataclass(frozen=True, slots=True)
class Key:
    """A gateway key: only its SHA-256 is kept. Times are Unix seconds, None for an event that has not happened.

    `used` is the last use, with a precision of about a minute.
    """

    id: str
    sha256: str
    agent: str
    team: str
    roles: tuple[str, ...] = ()
    created: float = 0.0
    revoked: float | None = None
    expires: float | None = None
    used: float | None = None


class Connection(Protocol):
    """The life of a store's connection. Every method of a store may raise `StoreUnavailable`."""

    async def open(self) -> None:
        """Connect and prepare the store. Raises `ConfigError` if the operator must change something."""

    async def close(self) -> None:
        """Write pending changes and release the store."""

    async def ping(self) -> None:
        """Raise if a call could not be admitted now."""

    async def refresh(self) -> None:
        """Apply changes that other processes ordered (workflows frozen or resumed). To be called each second."""

    async def durable(self) -> None:
        """Return when all changes so far are on disk. No effect for Redis, which has its own persistence."""


class Ledger(Protocol):
    """Amounts: what calls take, and what is charged in the end."""

    async def reserve(self, ask: Ask) -> Reservation | Rejection:
        """Take every debit of the ask, or none. The state of the workflow is checked first, then the debits in order.

        A bare ask only checks that the workflow is open (with `look`, the answer also has the chain of agents). The
        reservation of a bare ask holds nothing and need not be settled.
        """

    def left(self, team: str, correlation_id: str, debits: Sequence[Debit]) -> Sequence[int] | None:
        """What each bucket and quota holds now, before the debit; None if the store would have to be asked."""

    async def settle(self, reservation: Reservation, used: Mapping[str, int], state: End) -> bool:
        """End a reservation; False if the reservation had ended before.

        `used`: `Debit.key` -> actual amount; a key that is left out is charged its estimate.

        | state | quotas | token buckets | request buckets |
        |---|---|---|---|
        | settled | are charged `used` | get the difference back, or go into debt | do not change |
        | released | get everything back | get everything back | do not change |
        | lapsed | are charged the estimate | do not change | do not change |
        """

    async def settled(self, team: str, correlation_id: str, seconds: float) -> None:
        """Return when a call of the workflow has ended and may have returned quota, or after `seconds`."""

    async def sweep(self) -> int:
        """Lapse overdue reservations and drop expired records; returns the number of lapsed reservations.

        To be called each second.
        """


class Workflows(Protocol):
    """The records of workflows, their states, and what flowed through them."""

    async def workflow(self, team: str, correlation_id: str) -> Workflow | None:
        """One workflow, or None if there is no record of it."""

    async def workflows(self, team: str | None, limit: int) -> list[Workflow]:
        """At most `limit` workflows of a team (None: of all teams), most recently seen first."""

    async def states(self, limit: int) -> Mapping[str, int]:
        """State -> number of workflows, of the `limit` most recently seen. A state of no workflow is left out."""

    async def teams(self) -> list[str]:
        """The teams that have, or had, workflows."""

    async def open_workflow(
        self, team: str, correlation_id: str, ttl: int, *, seconds: int | None = None, idle: int | None = None
    ) -> bool:
        """Open a workflow before its first call, for `ttl` seconds. False if the workflow has a record already.

        `seconds` and `idle` are the limits of its future calls: see `Ask`.
        """

    async def close_workflow(self, team: str, correlation_id: str, reason: str) -> bool:
        """Refuse every further call, permanently. False if the workflow has no record or had ended before."""

    async def freeze(self, team: str, correlation_id: str, reason: str) -> None:
        """Refuse every further call of a workflow, even before its first call. An ended workflow stays ended."""

    async def resume(self, team: str, correlation_id: str, topups: Mapping[str, int] | None = None) -> bool:
        """Reopen a frozen workflow; its age restarts now. False if the workflow has no record or has ended.

        `topups`: `Debit.key` -> amount to add to the limit of this workflow, permanently; several top-ups add up.
        """

    async def mark(self, team: str, correlation_id: str, labels: Sequence[str], version: int) -> Marked:
        """Label a workflow that has a call in flight, if its history still has this version; one atomic step.

        Without labels, only the version is compared. Labels that an operator removed are not set again.
        """

    async def relabel(self, team: str, correlation_id: str, label: str, *, off: bool = False) -> bool:
        """An operator sets a label, or removes it (`off`): then policies cannot set it again.

        False if the workflow has no record or has ended, if nothing would change, or if there are `LABELS` labels.
        """

    async def strip(self, team: str, correlation_id: str, tools: Sequence[str]) -> None:
        """Remember tools that were taken out of a request; the workflow's next reservations have them in `stripped`.

        The workflow has a call in flight. It remembers the newest `STRIPPED`.
        """


class Vault(Protocol):
    """Sealed values and spellings of workflows: ciphertexts that only the gateway can open."""

    async def seal(self, team: str, correlation_id: str, items: Sequence[Sealed], ttl: float) -> list[int]:
        """Keep ciphertexts; returns each value's number, from 1 for an entity, the same as long as the vault lives.

        A vault lives as long as the record of its workflow; where there is no record, for `ttl` seconds.
        """

    async def unseal(self, team: str, correlation_id: str) -> list[Unsealed]:
        """All values that the vault holds for a workflow and that have not expired."""

    async def spell(
        self, team: str, correlation_id: str, items: Sequence[Spelling], ttl: float, places: Sequence[int] = ()
    ) -> None:
        """Keep spellings in the vault, the newest `SPELLINGS`; the first ciphertext of a digest stays.

        `places`: what this process calls the place of each, for `places`.
        """

    async def places(self, team: str, correlation_id: str) -> Mapping[int, bytes] | None:
        """Place -> digest, for all spellings that the vault has; None if this process has not kept all of them.

        Called after the reservation of a call, and at no cost: a store that is shared knows from the reservation.
        Spellings that were dropped to make room may still have a place.
        """

    async def spellings(self, team: str, correlation_id: str, digests: Sequence[bytes]) -> list[bytes | None]:
        """The ciphertext of each digest; None where the vault has none."""


class Answers(Protocol):
    """Answers under idempotency keys."""

    async def begin(self, team: str, key: str, digest: bytes, lease: int) -> Begun:
        """Take an idempotency key for a call, or return the reason why not. Of concurrent calls, one gets "new".

        "running": the same call is in flight; "conflict": the key belongs to another digest; `Kept`: its answer. The
        key is held as long as the process lives, and with Redis for `lease` seconds after the process died.
        """

    async def finish(self, team: str, key: str, digest: bytes, sealed: bytes, ttl: int) -> None:
        """Keep the answer of a call that has begun, durably, for `ttl` seconds."""

    async def abandon(self, team: str, key: str, digest: bytes) -> None:
        """Release a key: its call has no answer."""


class Owners(Protocol):
    """Which team a state at a provider belongs to. `id`: a digest of the id that the provider gave, `record` is sealed.

    Records are kept by team: a lookup of another team's id does the same work as one of an id that nobody has.
    """

    async def own(self, team: str, id: str, record: bytes, ttl: int) -> None:
        """Keep the record of an id durably, for `ttl` seconds. The first record of an id stays until it expires."""

    async def owned(self, team: str, id: str) -> bytes | None:
        """The record of an id; None if the id is another team's, expired or unknown."""

    async def owned_of(self, team: str, ids: Sequence[str]) -> list[bytes | None]:
        """`owned` for several ids, in one query."""
        ...

    async def disown(self, team: str, id: str) -> None:
        """Delete the record of an id, durably."""

    async def reown(self, team: str, id: str, record: bytes, before: bytes | None, ttl: int) -> bool:
        """Replace the record `before` (None: no record) durably, for `ttl` seconds. False if it is another by now."""
        ...


class Pins(Protocol):
    """What operators accepted of the tools of each server: one record for a server, of any bytes, for all teams."""

    async def pins(self, server: str) -> bytes | None:
        """The record of a server; None if there is none."""

    async def pin(self, server: str, record: bytes, before: bytes | None) -> bool:
        """Replace the record `before` (None: no record) durably. False if the record is another by now."""
        ...


class Grants(Protocol):
    """Tokens of users at tool servers, sealed. `id`: a keyed digest of server and user."""

    async def grant(self, id: str) -> bytes | None:
        """The record of an id; None if there is none."""

    async def put_grant(self, id: str, record: bytes | None, before: bytes | None) -> bool:
        """Replace the record `before` durably (None: no record). False if the record is another by now."""
        ...

    async def grants(self) -> Mapping[str, bytes]:
        """All records, by id."""
        ...


class Dues(Protocol):
    """Answers that providers make in the background, which somebody has to fetch: sealed records.

    `id`: a digest of the id that the provider gave.
    """

    async def put_due(self, id: str, record: bytes, seconds: float) -> None:
        """Keep a record durably, in place of an earlier one; it is due in `seconds`."""

    async def take_dues(self, most: int, seconds: float) -> Mapping[str, bytes]:
        """At most `most` records that are due, by id, the oldest first: nobody else gets them for `seconds`."""
        ...

    async def drop_due(self, id: str) -> None:
        """Delete a record, durably."""


class Enlisted(NamedTuple):
    """An entry of the registry: name, the agent that owns the name, a record of any bytes, Unix time of its end."""

    name: str
    owner: str
    record: bytes
    ends: float


class Registry(Protocol):
    """The agents of each team that are registered, each for a time."""

    async def enlist(self, team: str, name: str, owner: str, record: bytes, ttl: int) -> Enlisting:
        """Keep the entry of a name durably for `ttl` seconds, in place of an earlier one of the same owner.

        "taken": the name is another owner's; "full": the team has `ENTRIES` entries.
        """
        ...

    async def enlisted(self, team: str) -> list[Enlisted]:
        """The entries of a team, by name."""
        ...

    async def delist(self, team: str, name: str) -> None:
        """Delete an entry, durably."""


class Leased(NamedTuple):
    """The first record of a queue, given to one process for a time: its number, how often it was given so far."""

    queue: str
    number: int
    tries: int
    record: bytes


class Room(NamedTuple):
    """How much may wait: records of all queues, records of one owner, bytes of all queues."""

    records: int
    own: int
    bytes: int


class Queues(Protocol):
    """Records that wait for their turn. Each queue is in order; any gateway takes the first of a queue that is due.

    Names of queues and owners are digests. What is not taken out within a week of the last `push` may be dropped.
    """

    async def push(self, queue: str, owner: str, record: bytes, room: Room) -> bool:
        """Append a record, durably. False if there is no room."""
        ...

    async def lease(self, seconds: float, most: int) -> list[Leased]:
        """The first record of up to `most` queues that are due; these are not due again for `seconds`."""
        ...

    async def postpone(self, queue: str, number: int, seconds: float) -> None:
        """Let a queue be due in `seconds`, if its first record has this number."""

    async def shift(self, queue: str, number: int, *, all: bool = False) -> int:
        """Take out the first record if it has this number (`all`: and those after it); how many. The next is due."""
        ...


class Figures(Protocol):
    """What gateways measured: the newest `FIGURES` records of each name, of all gateways together."""

    async def measure(self, name: str, records: Sequence[bytes]) -> None:
        """Append records, of which there is at least one."""

    async def measured(self, name: str) -> list[bytes]:
        """The records of a name, the oldest first."""
        ...


class Outages(Protocol):
    """Which upstreams are known to fail, shared by all gateways. `name`: a digest.

    A store of one process has nobody to share with: it remembers nothing, and every probe is granted.
    """

    async def shut(self, name: str, seconds: float, level: int) -> None:
        """An upstream failed, and is not to be called for `seconds`. `level`: how often so far."""

    async def reopen(self, name: str) -> None:
        """An upstream answered again."""

    async def outages(self) -> Mapping[str, tuple[float, int]]:
        """Name -> seconds left (negative: it may be probed), and level. Entries end an hour after their time."""

    async def probe(self, name: str, seconds: float) -> bool:
        """Whether the caller may probe an upstream: one at a time, for at most `seconds`."""


class Keys(Protocol):
    """Gateway keys."""

    async def keys(self) -> list[Key]:
        """All gateway keys, including revoked keys."""

    async def add_key(self, key: Key) -> None:
        """Keep a new key, durably."""

    async def revoke_key(self, id: str) -> bool:
        """Revoke a key, durably. False if no key has this id, or if the key was revoked before."""

    async def expire_key(self, id: str, at: float) -> bool:
        """Let a key expire at a Unix time, durably. False if no valid key has this id."""

    async def note_keys(self, used: Mapping[str, float]) -> None:
        """Record when keys were last used: id -> Unix seconds. `keys_version` does not change."""

    async def keys_version(self) -> int:
        """A number that changes whenever any process changes keys; cheap enough to read each second."""


class Store(
    Connection,
    Ledger,
    Workflows,
    Vault,
    Answers,
    Owners,
    Pins,
    Grants,
    Dues,
    Registry,
    Queues,
    Figures,
    Outages,
    Keys,
    Protocol,
):
    """A state store: all these protocols in one object, so that one atomic step can change several of them."""


class Place(Protocol):
    """The section `state` of the configuration."""

    url: str
    ca_file: str
    replicas_ack: int
    on_error: Literal["closed", "local"]
    replicas: int


def open_store(state: str | Place, *, role: Role = "gateway", clock: Clock | None = None) -> Store:
    """The store of a `state` URL or section, not opened yet. `clock` is for tests. Raises `ConfigError`."""
    address = parse(state if isinstance(state, str) else state.url)
    # Imported on use: a gateway with SQLite does not load the Redis client.
    if address is None:
        from gateway.stores.sqlite import SqliteStore

        url = state if isinstance(state, str) else state.url
        return SqliteStore(url, role=role) if clock is None else SqliteStore(url, role=role, clock=clock)
    from gateway.stores.cluster import ClusterStore
    from gateway.stores.redis import RedisStore

    kind = ClusterStore if address.cluster else RedisStore
    if isinstance(state, str):
        return kind(state, clock=clock)
    store = kind(state.url, clock=clock, ca_file=state.ca_file, acks=state.replicas_ack)
    if state.on_error == "closed" or role != "gateway":
        return store
    from gateway.stores.local import LocalStore

    return LocalStore(store, state.replicas)


def charges(debits: Sequence[Debit]) -> list[tuple[Debit, int]]:
    """Each key once, with the sum of its reserved amounts: debits that share a bucket are settled together."""
    sums: dict[str, tuple[Debit, int]] = {}
    for debit in debits:
        key = debit.key
        if key in sums:
            first, amount = sums[key]
            sums[key] = first, amount + debit.amount
        else:
            sums[key] = debit, debit.amount
    return list(sums.values())


def actual(debit: Debit, amount: int, used: Mapping[str, int], state: End) -> int:
    """The amount that is finally charged for a reserved `amount`; see `Ledger.settle`."""
    if state == "settled":
        reported = used.get(debit.key, amount)
        return reported if 0 <= reported <= FOREVER else min(max(reported, 0), FOREVER)
    if state == "lapsed":
        return amount
    return amount if debit.refill and debit.unit == "requests" else 0


def slowest(refused: Sequence[Rejection]) -> Rejection:
    """Of several refusing buckets, the one to report: a bucket that can never hold the amount, else the slowest."""
    never = [it for it in refused if it.retry_after is None]
    if never:
        return min(never, key=lambda it: it.index)
    return max(refused, key=lambda it: (it.retry_after or 0.0, -it.index))
