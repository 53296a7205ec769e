"""Stage `authorize`: the policy judges the call, and its obligations change the call.

Obligations remove tools, lower ceilings, route the call to another model and redact more. An obligation that cannot be
met ends the call (policy_unavailable). Each decision is recorded, and sent to the candidate bundle if there is one.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.call import NO_OBLIGATIONS, Call, Obligations
from gateway.errors import Refusal
from gateway.output.sqlgate import SqlGate
from gateway.policy import stripped
from gateway.policy.candidate import Candidate
from gateway.policy.flow import Flow
from gateway.policy.inputs import Inputs
from gateway.redaction.redact import Replacer
from gateway.redaction.separate import separate
from gateway.reserve.reserve import Reserve
from gateway.stores import Workflows
from gateway.upstream.forward import Forward


class DecisionLog(Protocol):
    """Records decisions."""

    def decided(self, call: Call) -> None:
        """Record the decision of a call, or a denial."""
        ...


class Authorize:
    """The stage, built for one configuration. `flow` is None without a policy."""

    def __init__(
        self,
        flow: Flow | None,
        inputs: Inputs,
        log: DecisionLog,
        *,
        candidate: Candidate | None,
        forward: Forward,
        replacer: Replacer | None,
        reserve: Reserve,
        sql_gate: SqlGate,
        workflows: Workflows,
    ) -> None:
        self._flow = flow
        self._inputs = inputs
        self._log = log
        self._candidate = candidate
        self._forward = forward
        self._replacer = replacer
        self._reserve = reserve
        self._sql_gate = sql_gate
        self._workflows = workflows

    async def authorize(self, call: Call) -> None:
        """Write `call.authorization`, and apply the obligations of the decision. Raises Refusal, StoreUnavailable."""
        flow = self._flow
        if call.request.control:
            return
        if flow is None:
            call.authorization.input = self._inputs.of(call)
            self._log.decided(call)
            return
        try:
            await flow.judge(call)
        finally:
            if call.authorization.decision is not None:  # a denial is recorded as well
                self._log.decided(call)
                if self._candidate is not None:
                    self._candidate.offer(call)
        if call.replay.kept is not None or call.authorization.decision is None:
            return
        if call.resource.kind != "llm" and call.authorization.decision.obligations.route:
            raise Refusal("policy_unavailable", "The policy routes a call of a tool to a model. Ask the operator.")
        demanded = stripped.obligations(call)
        if demanded is not NO_OBLIGATIONS and demanded != NO_OBLIGATIONS:
            judged = call.authorization.decision
            await self._oblige(call, demanded)
            try:
                await flow.confirm(call)
            finally:
                if call.authorization.decision is not judged:
                    self._log.decided(call)

    async def _oblige(self, call: Call, demanded: Obligations) -> None:
        edits = demanded.strip_tools or demanded.limit or demanded.redact or demanded.no_restore or demanded.route
        if edits or demanded.store is False:
            if self._replacer is not None:
                await self._replacer.separate(call)
            else:
                await separate(call)
        if demanded.strip_tools:
            call.authorization.edited |= call.codec.strip_tools(call.request.body, frozenset(demanded.strip_tools))
            await stripped.remember(call, demanded.strip_tools, self._workflows)
        if demanded.sql is not None:
            await asyncio.to_thread(self._sql_gate.load)
        if demanded.limit:
            call.authorization.edited |= call.codec.limit(call.request.body, demanded.limit)
        reads = call.reference is None or call.reference.reads  # else nothing is added to what is stored
        if demanded.store is False and call.resource.kind == "llm" and reads:
            call.authorization.edited |= call.codec.unstore(call.request.body)
        if demanded.route:
            at = call.request.stored.target if call.request.stored is not None else None
            call.admission.targets = self._forward.targets(demanded.route, call.codec, at, call)
            call.authorization.served_as = demanded.route
            call.authorization.edited = True
        if self._replacer is not None and (demanded.redact or demanded.no_restore or demanded.route):
            await self._replacer.enforce(call, demanded)
        elif demanded.redact:
            raise Refusal(
                "policy_unavailable",
                "The policy demands that personal data be redacted, but this gateway does not look for personal data "
                "(pii: null). Ask the operator to configure pii.",
            )
        if demanded.route or demanded.attributes:
            await self._reserve.rest(call, demanded)
