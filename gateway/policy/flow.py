"""Rules over a whole workflow: a verdict knows every label that was set before the call left.

Config key: `policy`. Labels come from `obligations.labels`; the policy reads them in `input.context.history`, with the
names of the tools that the workflow called. Code: `policy_unavailable` if concurrent calls keep changing the labels, or
if there would be too many labels. Fails closed.

The guarantee: the *mark* of a call is one atomic step of the store. It sets the new labels if the history is still the
history that the verdict knew; otherwise the policy judges again, with the current history. So all marks are in one
order, each verdict knows the labels of all earlier marks, and no call leaves before its mark. A policy also knows the
labels that it sets itself: it judges the same call again with these labels, and the first denial counts.

A policy that neither reads the history nor sets labels (as determined from its source) needs no mark, at no cost. A
policy that only sets labels needs a mark if there are new labels.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.amounts import LABELS, NO_HISTORY, UNREAD
from gateway.call import NO_OBLIGATIONS, Call, Decision, Obligations, Stored
from gateway.errors import Refusal
from gateway.policy.authorize import PolicyCheck
from gateway.stores import Workflows

TRIES = 8  # how often other calls may change the history while a call is judged
_CHANGED = "concurrent calls changed the history of the workflow"


class Flow:
    """Has the policy judge calls by the history of the workflow, which `workflows` keeps."""

    def __init__(self, policy: PolicyCheck, workflows: Workflows) -> None:
        self._policy = policy
        self._workflows = workflows

    async def judge(self, call: Call) -> None:
        """Have the policy judge with the history of the workflow, and set its labels.

        Writes `call.authorization.decision` and `call.admission.history`. Raises Refusal and StoreUnavailable.
        """
        subject = call.subject
        assert subject is not None, "authorize comes after identify"
        if call.request.stored is not None and call.replay.kept is None:
            await self._carry(call, call.request.stored)
        for _ in range(TRIES):
            version = UNREAD if call.admission.history is None else call.admission.history.version
            reads, fresh = await self._verdict(call)
            if call.replay.kept is not None or not (reads or fresh):  # a replayed answer sets no labels
                return
            marked = await self._workflows.mark(subject.team, call.request.correlation_id, fresh, version)
            call.admission.history = marked.history
            if marked.done:
                return
        self._policy.undecided(call, f"{_CHANGED} {TRIES} times while the policy judged; try again")

    async def _carry(self, call: Call, stored: Stored) -> None:
        """Set the labels of a stored conversation again if the record of its workflow has expired meanwhile.

        The texts that caused the labels are at the provider, and are not judged again.
        """
        for _ in range(TRIES):
            history = call.admission.history
            if history is None:  # the policy reads none
                return
            lost = [label for label in stored.labels if label not in history.labels and label not in history.cleared]
            if not lost:
                return
            if len(history.labels) + len(lost) > LABELS:
                self._policy.undecided(
                    call, f"with those of the stored conversation, there are more than {LABELS} labels"
                )
                return
            marked = await self._workflows.mark(call.team, call.request.correlation_id, lost, history.version)
            call.admission.history = marked.history
        self._policy.undecided(call, f"{_CHANGED} {TRIES} times; try again")

    async def judge_result(self, call: Call) -> None:
        """Judge a result. A withheld result labels the workflow as one that is passed on would. Raises Refusal."""
        try:
            await self.judge(call)
        except Refusal:
            decision = call.authorization.decision
            for _ in range(TRIES if decision is not None and decision.obligations.labels else 0):
                history = call.admission.history or NO_HISTORY
                off = {*history.labels, *history.cleared}
                fresh = [label for label in decision.obligations.labels if label not in off] if decision else []
                if not fresh or len(history.labels) + len(fresh) > LABELS:
                    break
                marked = await self._workflows.mark(call.team, call.request.correlation_id, fresh, history.version)
                call.admission.history = marked.history
                if marked.done:
                    break
            raise

    async def _verdict(self, call: Call) -> tuple[bool, list[str]]:
        """Judge until the policy knows its own labels; returns whether it reads the history, and the new labels."""
        history = call.admission.history or NO_HISTORY
        off, fresh = {*history.labels, *history.cleared}, list[str]()
        while True:
            reads = await self._policy.check(call)
            labels = call.authorization.decision.obligations.labels if call.authorization.decision is not None else ()
            if not labels:
                return reads, fresh
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
        """Check that the verdict still holds after its obligations were applied, if that may have taken time.

        Raises Refusal if the policy demands something else by now.
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
            self._policy.undecided(call, f"{_CHANGED}, and the policy now demands something else; try again")


def _quick(decision: Decision) -> bool:
    """Whether the obligations take no time."""
    return replace(_but_labels(decision), strip_tools=(), limit={}) == NO_OBLIGATIONS


def _but_labels(decision: Decision) -> Obligations:
    return replace(decision.obligations, labels=())
