"""What a sub-agent may do: a delegation, as a token of the gateway says it. Data and comparisons only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

from gateway.amounts import SHARE, Debit, Unit

_LIMITED: tuple[Unit, ...] = ("tokens", "cost", "calls")


class Share(NamedTuple):
    """A part of the workflow's quotas, for a sub-agent and its own sub-agents. None: as much as the parent.

    `cost` is in nano-USD.
    """

    id: str
    tokens: int | None = None
    cost: int | None = None
    calls: int | None = None


class Scope(NamedTuple):
    """Shell patterns of what may be called; None: whatever the parent may call. Tools are `server/tool`."""

    models: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    agents: tuple[str, ...] | None = None

    def allows(self, kind: str, name: str) -> bool:
        """Whether something of a kind (llm, tool, agent) may be called by this name."""
        patterns = {"llm": self.models, "tool": self.tools, "agent": self.agents}[kind]
        return patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)

    def offers(self, tool: str) -> bool:
        """Whether a model may be offered a tool of this name: `server/tool`, `server_tool`, or the bare tool."""
        if self.tools is None:
            return True
        names = {form for pattern in self.tools for form in _forms(pattern)}
        return any(fnmatchcase(tool, name) for name in names)


def _forms(pattern: str) -> list[str]:
    """The patterns of names that a model may be offered. A bare `*` of one server would be any tool of any server."""
    server, slash, bare = pattern.partition("/")
    if not slash:
        return [pattern]
    return [pattern, f"{server}_{bare}", *([bare] if bare.strip("*?") else [])]


@dataclass(frozen=True, slots=True)
class Delegation:
    """The delegations that led to a sub-agent, the first agent's first: one name, scope and share for each.

    `workflow`: the one workflow that it may call in, as stored. `chain`: the agents from the workflow's first agent to
    the sub-agent. `expires`: Unix seconds.
    """

    workflow: str
    chain: tuple[str, ...]
    names: tuple[str, ...]
    scopes: tuple[Scope, ...]
    shares: tuple[Share, ...]
    expires: float
    given: str = ""  # the id of the workflow as the caller wrote it, if that contains personal data

    def allows(self, kind: str, name: str) -> bool:
        """Whether every parent lets it call this."""
        return all(scope.allows(kind, name) for scope in self.scopes)

    def hidden(self, tools: Sequence[str]) -> int:
        """How many of these tools no model may be offered."""
        return sum(not all(scope.offers(tool) for scope in self.scopes) for tool in tools)

    def debits(self, quotas: Sequence[Debit]) -> list[Debit]:
        """What a call takes of every share, by what it takes of the quotas of its workflow."""
        found = []
        for debit in quotas:
            if debit.refill or debit.unit not in _LIMITED:
                continue
            for share, name in zip(self.shares, self.names, strict=True):
                limit: int | None = getattr(share, debit.unit)
                if limit is not None:
                    key = f"{SHARE}{share.id}:{debit.unit}"
                    found.append(debit._replace(key=key, limit=limit, name=f"budget.{debit.unit} of {name}"))
        return found
