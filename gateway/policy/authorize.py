"""Stage 5, `authorize`: may this call be made, by the policies, and what do they demand of it.

Config key: `policy`. Codes: `policy_denied`, `approval_required`, `policy_unavailable`. Fails closed: an error, a
timeout, an undefined or a malformed result deny. Writes `call.decision`. In `mode: shadow` it records what it would
have said and lets the call go on as it is.

Input and result are those of docs/policies.md. The input holds names and counts, never a text of the call.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import orjson

from gateway.call import NO_HISTORY, Call, Decision, History, Json, Obligations
from gateway.config.sections import Policy
from gateway.errors import POLICY_UNAVAILABLE, Refusal
from gateway.policy.engines import Engine, PolicyUnavailable
from gateway.policy.engines.holder import Policies
from gateway.policy.verdict import read
from gateway.redaction.content import CHANNELS, EMPTY
from gateway.scheduling.judging import judge

STAGE = "authorize"
_REMEMBERED = 4096


class Authorizer:
    """Asks the live engine. Verdicts are read once: an engine that memoizes gives the same object again."""

    def __init__(self, policy: Policy, engine: Engine | Policies) -> None:
        self._source = engine
        self._mode = policy.mode
        self._read: dict[int, tuple[Json, Decision]] = {}

    @property
    def reads_history(self) -> bool:
        """Whether the policy in force reads what a workflow remembers."""
        return _reads_history(self._engine)

    @property
    def keeps_history(self) -> bool:
        """Whether it does, or may set labels."""
        return _reads_history(self._engine) or getattr(self._engine, "sets_labels", True)

    @property
    def _engine(self) -> Engine:
        return self._source.engine if isinstance(self._source, Policies) else self._source

    async def authorize(self, call: Call) -> bool:
        """Write `call.decision`; returns whether it depends on `call.history`, which may have changed since.

        Raises Refusal for a call that may not be made.
        """
        engine = self._engine
        try:
            call.document = await _asked(call) if call.document is None else _retold(call.document, call.history)
            result = await engine.decide(call.document)
            decision = self._decision(result, engine.version)
        except PolicyUnavailable as error:
            self.undecided(call, str(error), engine.version)
            return False
        call.decision = decision
        if self._mode == "enforce":
            _enforce(decision)
        return _reads_history(engine)

    def undecided(self, call: Call, why: str, version: str = "") -> None:
        """There is no verdict: the call is denied, but in `mode: shadow`. Raises Refusal."""
        call.decision = Decision(False, POLICY_UNAVAILABLE, version or self._engine.version, mode=self._mode)
        if self._mode == "enforce":
            words = f"No policy decision could be made, so the call is denied: {why}."
            raise Refusal("policy_unavailable", words, stage=STAGE) from None

    def _decision(self, result: Json, version: str) -> Decision:
        known = self._read.get(id(result))
        # The identity counts only while the object lives, so it is kept and compared.
        if known is not None and known[0] is result and known[1].version == version:
            return known[1]
        said = bytes(memoryview(orjson.dumps(result, option=orjson.OPT_SORT_KEYS)))
        decision = replace(read(result, version), mode=self._mode, result=said)
        if self._mode == "shadow":
            # Nothing may be demanded of the call. Labels demand nothing: without them no rule over time could be tried.
            decision = replace(decision, obligations=Obligations(labels=decision.obligations.labels))
        if len(self._read) >= _REMEMBERED:
            self._read.clear()
        self._read[id(result)] = (result, decision)
        return decision


async def _asked(call: Call) -> Json:
    """The input of a decision; of a request that is not small, SQL in tool calls is read off the event loop."""
    runtime = call.runtime
    if runtime is None or runtime.sql_facts is None or len(call.raw) <= runtime.NEW_TEXT:
        return document(call)
    return await judge(call, len(call.raw) > runtime.LARGE, document, call)


def document(call: Call) -> Json:
    """The input of a decision (contract, section 6), as plain JSON; names and counts only.

    `action.providers` is every provider that may serve the call, in the order tried; `action.provider` is the first.
    `action.max_tokens` is what the answer may take at most, from the call or else from the model's `max_output`.
    `context.chain` is the workflow's own record of who called whom, ending with this agent; `context.hop` its depth.
    `context.time` is the minute in which it came, in nanoseconds of Unix time: verdicts of one minute are memoized.
    `context.calls` counts this call too; 0 where it is not counted (no `quotas.calls`, an answer given again).
    """
    subject = call.subject
    content = call.content or EMPTY
    assert subject is not None, "authorize comes after identify"
    agent = subject.agent
    chain = call.chain or (agent,)
    providers, (kind, name, arguments) = call.providers(), call.resource
    is_model = kind == "llm"
    return {
        "subject": {
            "agent": agent,
            "team": subject.team,
            "roles": subject.roles,
            "claims": dict(subject.claims),
        },
        "action": {
            "kind": kind,
            "name": name,
            "model": name if is_model else "",
            "provider": providers[0] if providers else "",
            "providers": providers,
            "stream": call.stream,
            "tools": call.tools,
            "fields": call.fields,
            "max_tokens": _max_tokens(call),
            "args": dict(arguments),
        },
        "resource": {"type": "model" if is_model else kind, "name": name},
        "content": {
            **_found(call.redaction.counts),
            "pii_from": _pii_from(call),
            "sql": _sql(call),
            "urls": list(content.urls),
            "injection": dict(content.injection),
            "injection_score": content.score,
            "unscannable": sum(call.unscannable.values()),
            "unscannable_kinds": call.unscannable,
        },
        "context": {
            "correlation_id": call.correlation_id,
            "hop": len(chain) - 1,
            "chain": list(chain),
            "calls": _calls(call),
            "time": int(time.time()) // 60 * 60_000_000_000,
            "history": _told(call.history),
        },
    }


def _pii_from(call: Call) -> list[str]:
    """Who wrote the texts that hold personal data: names of channels as those of `content.injection`."""
    return sorted({CHANNELS.get(role, role) for role in call.redaction.roles})


def _told(history: History | None) -> Json:
    history = history or NO_HISTORY
    return {"tools": list(history.tools), "labels": list(history.labels)}


def _retold(asked: Json, history: History | None) -> Json:
    """The same question, of a workflow that remembers more now."""
    return {**asked, "context": {**asked["context"], "history": _told(history)}}


def _reads_history(engine: Engine) -> bool:
    """An engine that cannot tell what its bundle reads is taken to read all."""
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
            "No policy allows this call, and what is not allowed is denied. Ask the operator for a rule or a role "
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


def _found(counts: Mapping[str, int]) -> Json:
    """Personal data and secrets, apart."""
    secrets = {entity: count for entity, count in counts.items() if entity.startswith("SECRET_")}
    if not secrets:
        return {"pii": counts, "secrets": {}}
    return {"pii": {entity: count for entity, count in counts.items() if entity not in secrets}, "secrets": secrets}


def _sql(call: Call) -> list[Json]:
    facts = call.runtime.sql_facts
    return facts.of(call.spans, call.team) if facts is not None else []


def _max_tokens(call: Call) -> int:
    if call.ceiling:
        return call.ceiling
    if call.resource.kind != "llm":
        return 0
    return call.most(call.runtime.forward.model(call.resource.name).max_output)


def _calls(call: Call) -> int:
    reservation = call.reservation
    if reservation is not None:
        for debit, balance in zip(reservation.ask.debits, reservation.balances, strict=True):
            if debit.unit == "calls":
                return debit.limit + balance.added - balance.remaining
    return 0
