"""State behind the line: counters, workflows, the vault and keys, kept in SQLite or Redis.

Stages describe what they want in `Debit`s; a store applies them, all or none, in one atomic step. Config key: `state`.
Every failure of a store is a `StoreUnavailable`, which the line turns into `state_unavailable`: fails closed.

The life of a reservation: reserved -> settled (charged what was used) | released (the call never cost anything)
| lapsed (nobody said, so the estimate is charged and marked). Each ends once; a second ending does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, get_args

from gateway.call import NO_HISTORY, Ask, Debit, History, Marked, Rejection, Reservation
from gateway.stores.address import parse

End = Literal["settled", "released", "lapsed"]
State = Literal["open", "frozen", "closed", "expired"]
STATES: tuple[str, ...] = get_args(State)
Role = Literal["gateway", "cli"]
Clock = Callable[[], float]
Sealed = tuple[str, bytes, bytes]  # entity, digest of the value, ciphertext
Unsealed = tuple[str, int, bytes]  # entity, number within the workflow, ciphertext
Spelling = tuple[bytes, bytes]  # digest of a text and its place, ciphertext

FOREVER = 2**53 - 1  # the largest integer that a Lua number holds exactly; amounts never pass it
DEFAULT_TTL = 86400  # seconds a workflow is kept that was frozen before its first call
SPELLINGS = 1024  # spellings that a vault keeps, and
SPELLINGS_SIZE = 512 * 1024  # bytes of them; the oldest go


class Kept(NamedTuple):
    """The answer that is kept under an idempotency key."""

    sealed: bytes


Begun = Literal["new", "running", "conflict"] | Kept


class StoreUnavailable(Exception):
    """The state store did not answer or could not write: what failed, and where to look. Never holds a password."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """What is known of one correlation id of a team. Times are Unix seconds, amounts in units of the quota.

    `used` is settled, `held` is in flight, `lapsed` the part of `used` that is an estimate because its call was lost.
    `reason` says why it is not open: the name of the quota that ran out, or the words of whoever froze or closed it.
    `used` of hops is the deepest, of repeats the most of any one. `topups` is by `Debit.key`: what was added to limits.
    `agents` is each agent with its parent, "" for none; `path` who called after whom, the newest changes.
    `strict_opened`: it was opened by `open_workflow`, before its first call. One that has outlived what its last call
    asked for (`Ask.seconds`, `Ask.idle`) is shown as its next call would find it: frozen, or expired.
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
    """A gateway key: only its SHA-256 is kept. Times are Unix seconds, None for what has not happened or never will.

    `used` is the last use, to about a minute.
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


class Store(Protocol):
    """What the line needs of a store. Every method may raise `StoreUnavailable`."""

    async def open(self) -> None:
        """Connect and make ready. Raises `ConfigError` where the operator must change something."""

    async def close(self) -> None:
        """Write what is pending and let go."""

    async def ping(self) -> None:
        """Raise if a call could not be admitted now."""

    async def reserve(self, ask: Ask) -> Reservation | Rejection:
        """Take every debit of the ask, or none. First the workflow's state is checked, then the debits in order.

        A bare ask only learns whether the workflow is open (one that looks, also the chain of agents); its reservation
        holds nothing and need not be settled.
        """

    async def settle(self, reservation: Reservation, used: Mapping[str, int], state: End) -> bool:
        """End a reservation; False if it had ended before. `used`: `Debit.key` -> actual; one left out: its estimate.

        settled: quotas are charged `used`, token buckets get the difference back (or owe it), request buckets stay.
        released: quotas and token buckets get all back. lapsed: quotas are charged the estimate, buckets stay.
        """

    async def sweep(self) -> int:
        """Lapse what is overdue and drop what has expired. Returns how many reservations lapsed. Call each second."""

    async def refresh(self) -> None:
        """Take over what other processes changed (workflows frozen or resumed by hand). Call each second."""

    async def durable(self) -> None:
        """Return when everything said so far is on disk; Redis answers for itself."""

    async def workflow(self, team: str, correlation_id: str) -> Workflow | None:
        """One workflow, or None if there is no record of it."""

    async def workflows(self, team: str | None, limit: int) -> list[Workflow]:
        """The workflows of a team (None: of all), the last seen first."""

    async def teams(self) -> list[str]:
        """The teams that have, or had, workflows."""

    async def settled(self, team: str, correlation_id: str, seconds: float) -> None:
        """Return when a call of the workflow has ended and may have given room back, or when the time is up."""

    async def open_workflow(
        self, team: str, correlation_id: str, ttl: int, *, seconds: int | None = None, idle: int | None = None
    ) -> bool:
        """Make a workflow known before its first call, for `ttl` seconds. False if there is a record of it.

        `seconds` and `idle` are what its calls will ask for: see `Ask`.
        """

    async def close_workflow(self, team: str, correlation_id: str, reason: str) -> bool:
        """Refuse every further call, for good. False if there is no record of it, or it has ended before."""

    async def freeze(self, team: str, correlation_id: str, reason: str) -> None:
        """Refuse every further call of a workflow, also of one not seen yet. One that has ended stays ended."""

    async def resume(self, team: str, correlation_id: str, topups: Mapping[str, int] | None = None) -> bool:
        """Open a frozen workflow; its age counts from now. False if there is no record of it, or it has ended.

        `topups`: `Debit.key` -> what to add to that limit of the workflow, for good; several add up.
        """

    async def mark(self, team: str, correlation_id: str, labels: Sequence[str], version: int) -> Marked:
        """Label a workflow that has a call in flight, if its history is still of this version; in one atomic step.

        Without labels it only learns whether the history is. Labels that an operator took off are left off.
        """

    async def relabel(self, team: str, correlation_id: str, label: str, *, off: bool = False) -> bool:
        """An operator sets a label, or takes one off (then policies cannot set it again).

        False if there is no record of the workflow, it has ended, it is so already, or there are `LABELS` of them.
        """

    async def seal(self, team: str, correlation_id: str, items: Sequence[Sealed], ttl: float) -> list[int]:
        """Keep ciphertexts; returns each value's number, from 1 for an entity, the same as long as the vault lives.

        A vault lives as long as the record of its workflow; where there is no record, for `ttl` seconds.
        """

    async def unseal(self, team: str, correlation_id: str) -> list[Unsealed]:
        """All values that the vault holds for a workflow and that have not expired."""

    async def spell(self, team: str, correlation_id: str, items: Sequence[Spelling], ttl: float) -> None:
        """Keep spellings in the vault, the newest `SPELLINGS`; of two with the same digest the first stays."""

    async def spellings(self, team: str, correlation_id: str, digests: Sequence[bytes]) -> list[bytes | None]:
        """The ciphertext of each digest; None where the vault has none."""

    async def strip(self, team: str, correlation_id: str, tools: Sequence[str]) -> None:
        """Remember tools that were taken out of a request; the workflow's next reservations have them in `stripped`.

        The workflow has a call in flight. It remembers the newest `STRIPPED`.
        """

    async def begin(self, team: str, key: str, digest: bytes, lease: int) -> Begun:
        """Take an idempotency key for a call, or say why not. Of many at once, one is told "new".

        "running": the same call runs elsewhere; "conflict": the key stands for another digest; `Kept`: its answer. The
        key is held while the process lives, and for `lease` seconds after it died (embedded state: not longer).
        """

    async def finish(self, team: str, key: str, digest: bytes, sealed: bytes, ttl: int) -> None:
        """Keep the answer of a call that has begun, durably, for `ttl` seconds."""

    async def abandon(self, team: str, key: str, digest: bytes) -> None:
        """Let go of a key: its call has no answer."""

    async def keys(self) -> list[Key]:
        """All gateway keys, revoked ones too."""

    async def add_key(self, key: Key) -> None:
        """Keep a new key, durably."""

    async def revoke_key(self, id: str) -> bool:
        """End a key, durably. False if there is none with this id, or it was revoked before."""

    async def expire_key(self, id: str, at: float) -> bool:
        """Have a key end at a time, durably. False if there is no valid key with this id."""

    async def note_keys(self, used: Mapping[str, float]) -> None:
        """When keys were last used: id -> Unix seconds. Not a change of keys."""

    async def keys_version(self) -> int:
        """A number that changes when keys change, in whichever process; cheap to ask each second."""


class Place(Protocol):
    """Where the state is, as the section `state` of the configuration says."""

    url: str
    ca_file: str
    replicas_ack: int
    on_error: Literal["closed", "local"]
    replicas: int


def open_store(state: str | Place, *, role: Role = "gateway", clock: Clock | None = None) -> Store:
    """The store of a `state` URL or section, not yet opened. `clock` is for tests. Raises `ConfigError`."""
    address = parse(state if isinstance(state, str) else state.url)
    # Imported on use: a gateway on SQLite need not load a Redis client.
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
    """Each key once, with the sum of what was reserved on it: debits that share a bucket end as one."""
    sums: dict[str, int] = {}
    for debit in debits:
        sums[debit.key] = sums.get(debit.key, 0) + debit.amount
    first = {debit.key: debit for debit in reversed(debits)}
    return [(first[key], amount) for key, amount in sums.items()]


def actual(debit: Debit, amount: int, used: Mapping[str, int], state: End) -> int:
    """What a charge of `amount` comes to in the end; see `Store.settle`."""
    if state == "settled":
        reported = used.get(debit.key, amount)
        return reported if 0 <= reported <= FOREVER else min(max(reported, 0), FOREVER)
    if state == "lapsed":
        return amount
    return amount if debit.refill and debit.unit == "requests" else 0


def slowest(refused: Sequence[Rejection]) -> Rejection:
    """Of buckets that refuse, the one to name: one that never has the amount, else the slowest."""
    never = [it for it in refused if it.retry_after is None]
    if never:
        return min(never, key=lambda it: it.index)
    return max(refused, key=lambda it: (it.retry_after or 0.0, -it.index))
