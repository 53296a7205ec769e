"""Which tools a caller may see: those for which the policy would allow a plain call, in a workflow without history."""

from __future__ import annotations

from dataclasses import replace

from gateway.call import Admission, Authorization, Call, Redaction, Request, Resource, Target
from gateway.errors import Refusal
from gateway.policy.authorize import PolicyCheck


class Visible:
    """Asks the policy of one configuration; without a policy, every tool is visible."""

    def __init__(self, policy: PolicyCheck | None) -> None:
        self._policy = policy

    @property
    def version(self) -> str:
        """The version of the policy in force; "" without a policy."""
        return self._policy.version if self._policy is not None else ""

    async def may(self, call: Call, name: str = "") -> bool:
        """Whether the caller of an identified call may see a tool (`server/tool`). Default: the tool that it calls."""
        delegation = call.subject.delegation if call.subject is not None else None
        if delegation is not None and not delegation.allows(call.resource.kind, name or call.resource.name):
            return False
        if self._policy is None:
            return True
        resource = Resource(call.resource.kind, name or call.resource.name)
        server, _, tool = resource.name.partition("/")
        asked = replace(
            call,
            resource=resource,
            request=Request(),
            admission=Admission(targets=[Target(server, tool)]),
            redaction=Redaction(),
            authorization=Authorization(),
        )
        try:
            await self._policy.check(asked)
        except Refusal as refusal:
            return refusal.code == "approval_required"
        return True
