"""Part of stage `authorize`: asks the policy whether a call is allowed, and with which obligations.

Config key: `policy`. Codes: `policy_denied`, `approval_required`, `policy_unavailable`. Fails closed: an error, a
timeout, an undefined result and a malformed result deny. In `mode: shadow` the decision is recorded, and the call
continues unchanged.

docs/policies.md defines input and result; `inputs` builds the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import orjson

from gateway.call import NO_OBLIGATIONS, Call, Decision, Json, Obligations
from gateway.config.sections import Policy
from gateway.errors import POLICY_UNAVAILABLE, Refusal, Stage
from gateway.policy.engines import Engine, PolicyUnavailable
from gateway.policy.engines.live import Policies
from gateway.policy.inputs import Inputs, again
from gateway.policy.verdict import read

STAGE: Final[Stage] = "authorize"
_REMEMBERED = 4096


class PolicyCheck:
    """Asks the live engine. Each result is parsed once: an engine with a memo returns the same object again."""

    def __init__(self, policy: Policy, engine: Engine | Policies, inputs: Inputs) -> None:
        self._source = engine
        self._live = engine if isinstance(engine, Policies) else None
        self._inputs = inputs
        self._mode = policy.mode
        self._read: dict[int, tuple[Json, Decision]] = {}

    @property
    def reads_history(self) -> bool:
        """Whether the current policy reads the history of the workflow."""
        return _reads_history(self._engine)

    @property
    def keeps_history(self) -> bool:
        """Whether the current policy reads the history, or may set labels."""
        engine = self._engine
        return _reads_history(engine) or getattr(engine, "sets_labels", True)

    @property
    def version(self) -> str:
        """The version of the policy in force."""
        return self._engine.version

    @property
    def memoized(self) -> Engine | None:
        """The engine in force, if its verdicts follow from the input alone; None if equal inputs are judged again."""
        engine = self._engine
        return engine if getattr(engine, "memoized", False) else None

    @property
    def _engine(self) -> Engine:
        return self._live.engine if self._live is not None else self._source  # type: ignore[return-value]

    async def check(self, call: Call) -> bool:
        """Write `call.authorization.decision`; returns whether the decision depends on the history of the workflow.

        Raises Refusal for a call that is not allowed.
        """
        engine = self._engine
        authorization = call.authorization
        try:
            asked = authorization.input
            asked = await self._inputs.read(call) if asked is None else again(asked, call.admission.history)
            authorization.input = asked
            result = await engine.decide(asked)
            decision = self._decision(result, engine.version)
        except PolicyUnavailable as error:
            self.undecided(call, str(error), engine.version)
            return False
        authorization.decision = decision
        if self._mode == "enforce" and (not decision.allow or decision.obligations.require_approval is not None):
            _enforce(decision)
        return _reads_history(engine)

    def undecided(self, call: Call, why: str, version: str = "") -> None:
        """Deny a call without a verdict. Raises Refusal, except in `mode: shadow`. `why` completes the message."""
        call.authorization.decision = Decision(
            False, POLICY_UNAVAILABLE, version or self._engine.version, mode=self._mode
        )
        if self._mode == "enforce":
            words = f"No policy decision could be made, so the call is denied: {why}."
            raise Refusal("policy_unavailable", words, stage=STAGE) from None

    def _decision(self, result: Json, version: str) -> Decision:
        known = self._read.get(id(result))
        # An id is unique only while its object lives, so the object is kept and compared.
        if known is not None and known[0] is result and known[1].version == version:
            return known[1]
        said = bytes(memoryview(orjson.dumps(result, option=orjson.OPT_SORT_KEYS)))
        decision = replace(read(result, version), mode=self._mode, result=said)
        if self._mode == "shadow":
            # The call must not change. Labels change no call, and rules over several calls need them.
            decision = replace(decision, obligations=Obligations(labels=decision.obligations.labels))
        if decision.obligations == NO_OBLIGATIONS:
            decision = replace(decision, obligations=NO_OBLIGATIONS)  # the same object, so that it is soon compared
        if len(self._read) >= _REMEMBERED:
            self._read.clear()
        self._read[id(result)] = (result, decision)
        return decision


def _reads_history(engine: Engine) -> bool:
    """Whether the bundle reads the history; True for an engine that does not know what its bundle reads."""
    return getattr(engine, "reads_history", True)


def _enforce(decision: Decision) -> None:
    if not decision.allow:
        raise Refusal("policy_denied", _words(decision), stage=STAGE, detail=_detail(decision))
    if decision.obligations.require_approval is not None:
        raise Refusal(
            "approval_required",
            f"The policy allows this call only once a person has approved it (policy version {decision.version}).",
            stage=STAGE,
            detail=_detail(decision),
        )


def _words(decision: Decision) -> str:
    if not decision.deny:
        return (
            "No policy allows this call, so it is denied. Ask the operator for a rule or a role "
            f"that allows it (rule default, policy version {decision.version})."
        )
    first = decision.deny[0]
    more = f"; {len(decision.deny) - 1} more deny it" if len(decision.deny) > 1 else ""
    return (
        f"{first.message.rstrip('.')}. Denied by rule {first.code} of class {first.cls}{more} "
        f"(policy version {decision.version})."
    )


def _detail(decision: Decision) -> Mapping[str, object]:
    return {"rule": decision.rule, "policy_version": decision.version}
