"""The record of one workflow in memory, and the changes that an operator makes to it. No IO, no clock.

Times are in whole microseconds. `counters` does the arithmetic, `sqlite` stores the records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from gateway.amounts import LABELS, NO_HISTORY, PATH, REPEATS, SHARE, STRIPPED, TOOLS, Debit, History
from gateway.stores import DEFAULT_TTL, FOREVER, State, Workflow

MICRO = 1_000_000


@dataclass(slots=True)
class Count:
    """The counter of one quota: settled, in flight, and the part of settled that is an estimate.

    `number` orders counters of repeats by age: the first counter of a workflow is 0.
    """

    unit: str
    used: int = 0
    held: int = 0
    lapsed: int = 0
    number: int = 0


class Change(NamedTuple):
    """A change to a workflow by an operator.

    `ttl`: seconds that a workflow is kept that was opened or frozen before its first call. `seconds` and `idle`: the
    limits of a workflow that is opened, see `Ask`. The `reason` of label and unlabel is the label.
    """

    kind: Literal["open", "close", "freeze", "resume", "label", "unlabel"]
    reason: str = ""
    ttl: int = DEFAULT_TTL
    topups: Mapping[str, int] = {}
    seconds: int | None = None
    idle: int | None = None


@dataclass(slots=True)
class Record:
    """The counters and the state of a workflow. Its age counts from `since`; the record expires after `ends`.

    `turn`: the call that has waited long and goes first; until `turn_ends`, no other call is admitted. `seconds` and
    `idle`: the limits of the last admitted call (see `Ask`), which apply between calls. `dirty`: more than counts has
    changed since the last write. `mark`: the writer's mark of the last write.
    """

    team: str
    correlation_id: str
    first: int
    last: int
    since: int
    ends: int
    state: State = "open"
    reason: str = ""
    agents: dict[str, str] = field(default_factory=dict)  # agent -> its parent, "" for none
    path: list[str] = field(default_factory=list)
    counts: dict[str, Count] = field(default_factory=dict)
    repeats: dict[str, Count] = field(default_factory=dict)  # the oldest first
    topups: dict[str, int] = field(default_factory=dict)
    opened: bool = False
    seconds: int | None = None
    idle: int | None = None
    turn: str = ""
    turn_ends: int = 0
    history: History = NO_HISTORY
    stripped: tuple[str, ...] = ()  # tools that policies took out of its requests
    who: bytes = b""  # agents and path as stored; encoded again if the record is dirty
    flow: bytes = b""  # the history as stored
    dirty: bool = True
    mark: int = 0

    def change(self, change: Change, now: int) -> bool:
        """Apply a change to an existing workflow; False if the change does not apply."""
        if change.kind == "open" or self.state in ("closed", "expired"):
            return False
        if change.kind == "label" or change.kind == "unlabel":
            return self.relabel(change.reason, off=change.kind == "unlabel")
        if change.kind == "resume":
            self.state, self.reason, self.since = "open", "", now
            del self.path[:-1]
            for key, amount in change.topups.items():
                self.topups[key] = min(FOREVER, self.topups.get(key, 0) + amount)
        else:
            self.state, self.reason = ("closed" if change.kind == "close" else "frozen"), change.reason
            self.ends = max(self.ends, now + change.ttl * MICRO)
        self.dirty = True
        return True

    def meet(self, agent: str) -> None:
        """Record a new agent; its parent is the agent that called last."""
        if agent not in self.agents:
            self.agents[agent] = self.path[-1] if self.path else ""
            self.dirty = True

    def follow(self, agent: str) -> None:
        """Record a call of an agent."""
        self.meet(agent)
        if not self.path or self.path[-1] != agent:
            self.path.append(agent)
            del self.path[:-PATH]
            self.dirty = True

    def show(self, tools: Sequence[str]) -> None:
        """Record the tools that, by the messages of a request, have been called."""
        known = self.history.tools
        if fresh := tuple([tool for tool in tools if tool not in known]):
            self._remember(self.history._replace(tools=(*known, *fresh)[-TOOLS:]))

    def strip(self, tools: Sequence[str]) -> None:
        """Record tools that were taken out of a request."""
        if fresh := [tool for tool in dict.fromkeys(tools) if tool not in self.stripped]:
            self.stripped = (*self.stripped, *fresh)[-STRIPPED:]
            self.dirty = True

    def set_labels(self, labels: Sequence[str]) -> None:
        """Set labels by policy, except labels that an operator removed."""
        off = (*self.history.labels, *self.history.cleared)
        if fresh := [label for label in labels if label not in off]:
            self._remember(self.history._replace(labels=tuple(sorted({*self.history.labels, *fresh}))))

    def relabel(self, label: str, *, off: bool) -> bool:
        """Set or remove a label by an operator; False if nothing would change, or if there are too many labels."""
        labels, cleared = set(self.history.labels), set(self.history.cleared)
        if (label in labels) != off or len(cleared if off else labels) >= LABELS:
            return False
        labels, cleared = (labels - {label}, cleared | {label}) if off else (labels | {label}, cleared - {label})
        self._remember(self.history._replace(labels=tuple(sorted(labels)), cleared=tuple(sorted(cleared))))
        return True

    def _remember(self, history: History) -> None:
        self.history = history._replace(version=history.version + 1)
        self.dirty = True

    def chain(self, agent: str) -> tuple[str, ...]:
        """The agents from the first to `agent`; a new agent would follow the agent that called last."""
        parent = self.agents[agent] if agent in self.agents else self.path[-1] if self.path else ""
        if not parent:
            return (agent,)
        chain = [agent]
        while parent:
            chain.append(parent)
            parent = self.agents[parent]
        return tuple(reversed(chain))

    def end(self, state: State, reason: str) -> None:
        """Accept no more calls."""
        self.state, self.reason, self.dirty = state, reason, True

    def limit(self, debit: Debit) -> int:
        """The current limit of a quota, top-ups included."""
        return min(FOREVER, debit.limit + self.topups.get(debit.key, 0))

    def count(self, debit: Debit) -> Count | None:
        """The counter of a quota, if there is one."""
        return (self.repeats if debit.unit == "repeats" else self.counts).get(debit.key)

    def begin(self, debit: Debit) -> Count:
        """The counter of a quota, created at first use."""
        count = self.count(debit)
        if count is None:
            count = Count(debit.unit)
            if debit.unit == "repeats":
                newest = next(reversed(self.repeats.values())).number if self.repeats else -1
                count.number = newest + 1
                self.repeats[debit.key] = count
            else:
                self.counts[debit.key] = count
        return count

    def trim(self) -> None:
        """Drop the oldest counters of repeats beyond `REPEATS`."""
        while len(self.repeats) > REPEATS:
            del self.repeats[next(iter(self.repeats))]

    def at_rest(self) -> bool:
        """Whether no call in flight holds any amount."""
        if any(count.held for count in self.counts.values()):
            return False
        return not any(count.held for count in self.repeats.values())

    def view(self, state: State, reason: str) -> Workflow:
        """The record for display, in the given state, summed by unit."""
        used: dict[str, int] = {}
        held: dict[str, int] = {}
        lapsed: dict[str, int] = {}
        for key, count in self.counts.items():
            if key.startswith(SHARE):
                continue
            used[count.unit] = used.get(count.unit, 0) + count.used
            held[count.unit] = held.get(count.unit, 0) + count.held
            lapsed[count.unit] = lapsed.get(count.unit, 0) + count.lapsed
        if self.repeats:
            every = self.repeats.values()
            used["repeats"] = max(count.used for count in every)
            held["repeats"] = sum(count.held for count in every)
            lapsed["repeats"] = max(count.lapsed for count in every)
        return Workflow(
            self.team,
            self.correlation_id,
            state,
            reason,
            self.first / MICRO,
            self.last / MICRO,
            dict(self.agents),
            used,
            held,
            lapsed,
            dict(self.topups),
            self.opened,
            tuple(self.path),
            self.history,
        )
