"""Rules over a whole workflow: a verdict knows every label that was on record when the call left.

Config key: `policy`; labels come from `obligations.labels`, and come back as `input.context.history`, with the names of
the tools that the workflow called. Code: `policy_unavailable` where calls beside this one keep changing the labels, or
where there would be too many. Fails closed.

The guarantee: a call's *mark* is one atomic step of the store. It puts the call's new labels on record if the history
is still the one that the verdict knew; otherwise the policy judges again, by what is on record now. So marks are in one
order, each verdict knows all labels of the marks before its own, and no call leaves before its mark. Labels that a
policy sets are known to it at once: it judges the same call again with them, and its first no counts.

A policy that neither reads the history nor sets labels (as read from its source) takes no mark: it costs nothing. One
that only sets them takes a mark when there are new ones.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.amounts import LABELS, NO_HISTORY, UNREAD
from gateway.call import NO_OBLIGATIONS, Call, Decision, Obligations
from gateway.policy.authorize import PolicyCheck
from gateway.stores import Workflows

TRIES = 8  # times that others may change the history while a call is judged
_CHANGED = "calls beside it changed what the workflow remembers"


class Flow:
    """Has the policy judge calls by the history of the workflow, which `workflows` keeps."""

    def __init__(self, policy: PolicyCheck, workflows: Workflows) -> None:
        self._policy = policy
        self._workflows = workflows

    async def judge(self, call: Call) -> None:
        """Have the policy judge by what the workflow remembers, and put its labels on record.

        Writes `call.decision` and `call.history`. Raises Refusal and StoreUnavailable.
        """
        subject = call.subject
        assert subject is not None, "authorize comes after identify"
        for _ in range(TRIES):
            version = UNREAD if call.admission.history is None else call.admission.history.version
            reads, fresh = await self._verdict(call)
            if call.replay.kept is not None or not (reads or fresh):  # an answer that is given again labels nothing
                return
            marked = await self._workflows.mark(subject.team, call.request.correlation_id, fresh, version)
            call.admission.history = marked.history
            if marked.done:
                return
        self._policy.undecided(call, f"{_CHANGED}, {TRIES} times while the policy judged; try again")

    async def _verdict(self, call: Call) -> tuple[bool, list[str]]:
        """Judge until the policy knows the labels that it sets: whether it reads them, and the new ones."""
        history = call.admission.history or NO_HISTORY
        off, fresh = {*history.labels, *history.cleared}, list[str]()
        while True:
            reads = await self._policy.check(call)
            labels = call.authorization.decision.obligations.labels if call.authorization.decision is not None else ()
            more = [label for label in labels if label not in off]
            if not more:
                return reads, fresh
            off.update(more)
            fresh += more
            if len(history.labels) + len(fresh) > LABELS:
                words = f"with the policy's labels, the workflow would have more than {LABELS}"
                self._policy.undecided(call, words)
                return reads, []
            if not reads:
                return reads, fresh
            call.admission.history = history._replace(labels=tuple(sorted([*history.labels, *fresh])))

    async def confirm(self, call: Call) -> None:
        """The verdict still stands after the call was changed as it demands, where that may have taken time.

        Raises Refusal where the policy would demand something else by now.
        """
        judged, subject = call.authorization.decision, call.subject
        if judged is None or call.admission.history is None or subject is None:
            return
        if not self._policy.reads_history or _quick(judged):
            return
        marked = await self._workflows.mark(
            subject.team, call.request.correlation_id, (), call.admission.history.version
        )
        if marked.done:
            return
        call.admission.history = marked.history
        await self.judge(call)
        if call.authorization.decision is None or _but_labels(call.authorization.decision) != _but_labels(judged):
            self._policy.undecided(call, f"{_CHANGED}, and with it what is demanded of the call; try again")


def _quick(decision: Decision) -> bool:
    """Whether nothing is demanded that takes time."""
    return replace(_but_labels(decision), strip_tools=(), limit={}) == NO_OBLIGATIONS


def _but_labels(decision: Decision) -> Obligations:
    return replace(decision.obligations, labels=())
