"""Which tools a caller may see: those for which the policy would allow a plain call, in a workflow without history."""

from __future__ import annotations

import time
from typing import Final, Protocol

from gateway.call import Admission, Authorization, Call, Redaction, Request, Resource, Subject, Target
from gateway.errors import Refusal
from gateway.policy.authorize import PolicyCheck
from gateway.policy.engines import Engine

_ADMITTED: Final = 4096  # callers and tools that are remembered
_Plain = tuple[int, str, str, bool | None]
"""All that the input of a plain call depends on, but the minute: caller, kind, name, and whether the tool writes."""


class DecisionLog(Protocol):
    """Records decisions."""

    def decided(self, call: Call) -> None:
        """Record the decision of a call."""
        ...


class Visible:
    """Asks the policy of one configuration; without a policy, every tool is visible."""

    def __init__(self, policy: PolicyCheck | None, log: DecisionLog) -> None:
        self._policy = policy
        self._log = log
        self._admitted: dict[_Plain, Subject] = {}
        self._of: tuple[Engine | None, int] = None, 0  # the engine, and the minute

    @property
    def version(self) -> str:
        """The version of the policy in force; "" without a policy."""
        return self._policy.version if self._policy is not None else ""

    async def may(self, call: Call, name: str, *, writes: bool | None = None) -> bool:
        """Whether the caller of an identified call may see a tool (`server/tool`) or an agent."""
        if not _delegated(call, name):
            return False
        return self._policy is None or await self._allows(_plain(call, name, writes), self._policy)

    async def admits(self, call: Call) -> bool:
        """Whether the caller may see the tool that it calls. A denial is the decision of the call, and is recorded."""
        if not _delegated(call, call.resource.name):
            return False
        if self._policy is None:
            return True
        subject, (kind, name, _), writes = call.subject, call.resource, call.request.writes
        assert subject is not None, "tools are found after identify"
        admitted, plain = self._of_now(self._policy), (id(subject), kind, name, writes)
        if admitted.get(plain) is subject:
            return True
        asked = _plain(call, name, writes)
        if await self._allows(asked, self._policy):
            if len(admitted) >= _ADMITTED:
                admitted.clear()
            admitted[plain] = subject
            return True
        call.authorization = asked.authorization
        self._log.decided(call)
        return False

    def _of_now(self, policy: PolicyCheck) -> dict[_Plain, Subject]:
        """Who was admitted where, by the engine in force and in this minute, which is part of the input.

        Empty where equal inputs are judged again. An id is that of a caller only while it lives, so that is kept too.
        """
        engine, now = policy.memoized, int(time.time()) // 60
        if engine is None or engine is not self._of[0] or now != self._of[1]:
            self._admitted, self._of = {}, (engine, now)
        return self._admitted

    async def _allows(self, asked: Call, policy: PolicyCheck) -> bool:
        try:
            await policy.check(asked)
        except Refusal as refusal:
            if refusal.code == "policy_unavailable":
                raise
            return refusal.code == "approval_required"
        return True


def _delegated(call: Call, name: str) -> bool:
    """Whether the parents of a sub-agent let it call this; True for other callers."""
    delegation = call.subject.delegation if call.subject is not None else None
    return delegation is None or delegation.allows(call.resource.kind, name)


def _plain(call: Call, name: str, writes: bool | None) -> Call:
    """A call of a tool without arguments."""
    server, _, tool = name.partition("/")
    asked = call.copied()
    asked.resource = Resource(call.resource.kind, name)
    asked.request = Request(writes=writes)
    asked.admission = Admission(targets=[Target(server, tool)])
    asked.redaction = Redaction()
    asked.authorization = Authorization(of_list=True)
    return asked
