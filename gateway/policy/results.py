"""The policy on the results of tools: what a result says may label the workflow, or withhold the result.

The policy judges the call again, with `action.of_result` and the content of the result in place of that of the request.
A result is text of a stranger: its channel is `tool`.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.call import Authorization, Call, Redaction, Request
from gateway.policy.flow import Flow
from gateway.redaction.content import Contents
from gateway.redaction.edits import BESIDE
from gateway.redaction.texts import Texts
from gateway.texts import Slot


class Results:
    """The judge, for one configuration. `flow`: None without a policy. `contents`: None without `policy.content`."""

    def __init__(self, flow: Flow | None, texts: Texts, contents: Contents | None) -> None:
        self._flow = flow
        self._texts = texts
        self._contents = contents

    @property
    def judges(self) -> bool:
        """Whether there is a policy."""
        return self._flow is not None

    def read(self, call: Call, slots: Sequence[Slot]) -> Call:
        """The call as the policy judges its result. Takes CPU time. `slots`: the texts of the result, unedited."""
        told = [slot._replace(role="tool") for slot in slots]
        counts: dict[str, int] = {}
        for _, findings in self._texts.find(told, call.team):
            for one in findings:
                if not one.entity.startswith(BESIDE):
                    counts[one.entity] = counts.get(one.entity, 0) + 1
        content = self._contents.read(told, call.team) if self._contents is not None else None
        asked, said = call.copied(), call.request
        asked.request = Request(
            correlation_id=said.correlation_id, content=content, writes=said.writes, deletes=said.deletes
        )
        asked.redaction = Redaction(counts=counts, roles=frozenset({"tool"}) if counts else frozenset())
        asked.authorization = Authorization(of_result=True)
        return asked

    async def judge(self, asked: Call) -> None:
        """Have the policy judge what `read` returned. Raises Refusal, StoreUnavailable."""
        if self._flow is not None:
            await self._flow.judge_result(asked)
