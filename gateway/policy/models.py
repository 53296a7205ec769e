"""Which models a caller may use: those for which the policy would allow a plain call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.call import Authorization, Call, Resource
from gateway.errors import Refusal
from gateway.policy.authorize import PolicyCheck
from gateway.redaction.texts import Texts
from gateway.texts import Slot
from gateway.upstream.forward import Forward


class Models:
    """The models of one configuration, by their `names`."""

    def __init__(self, names: Iterable[str], forward: Forward, texts: Texts, policy: PolicyCheck | None) -> None:
        # A pattern is not a name that can be asked for, and neither is a path.
        self._names = [name for name in names if "*" not in name and not name.startswith("/")]
        self._forward = forward
        self._texts = texts
        self._policy = policy

    async def visible(self, call: Call) -> list[str]:
        """The names of the models that the caller of an identified call may use, in the order of the file.

        The policy judges a call without texts and tools for each model. Engines memoize these verdicts.
        """
        policy = self._policy
        names = [name for name in self._names if _delegated(call, name)]
        if policy is None:
            return names
        return [name for name in names if await self._may(call, policy, name)]

    async def may_ask_for(self, call: Call, name: str) -> bool:
        """Whether the caller of an identified call may use a model, also a model that only a pattern matches."""
        try:
            self._forward.model(name)
        except Refusal:
            return False
        if not _delegated(call, name):
            return False
        return self._policy is None or await self._may(call, self._policy, name)

    def find(self, call: Call) -> None:
        """Write `call.request.label` of a call to a model. Raises Refusal(model_not_found)."""
        if call.resource.kind == "llm":
            self._forward.model(call.resource.name)
            call.request.label = self._forward.label(call.resource.name)

    def check_name(self, call: Call) -> None:
        """Scan the name of a model that only a pattern matches, because the caller's spelling goes to the provider.

        Raises Refusal(model_not_found) for a name with personal data or a secret.
        """
        if call.request.label == call.resource.name:
            return
        slot = Slot(call.request.body, "model", call.resource.name, "", None)
        if self._texts.find([slot], call.team):
            raise Refusal(
                "model_not_found",
                "The name of the model contains a value that may not leave. GET /v1/models lists the models.",
                param="model",
            )

    async def _may(self, call: Call, policy: PolicyCheck, name: str) -> bool:
        admission = replace(call.admission, targets=self._forward.targets(name))
        asked = replace(call, resource=Resource("llm", name), admission=admission, authorization=Authorization())
        try:
            await policy.check(asked)
        except Refusal as refusal:
            return refusal.code == "approval_required"
        return True


def _delegated(call: Call, name: str) -> bool:
    """Whether the parents of a sub-agent let it use a model; True for other callers."""
    delegation = call.subject.delegation if call.subject is not None else None
    return delegation is None or delegation.allows("llm", name)
