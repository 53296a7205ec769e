"""Stage 5, `authorize`: may this call be made, by the policies, and what do they demand of it.

Config key: `policy`. Codes: `policy_denied`, `approval_required`, `policy_unavailable`. Fails closed: an error, a
timeout, an undefined or a malformed result deny. Writes `call.decision`. In `mode: shadow` it records what it would
have said and lets the call go on as it is.

Input and result are those of docs/policies.md. The input holds names and counts, never a text of the call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.actions import ORDER
from gateway.call import Call, Decision, Deny, Json, Obligations
from gateway.content import EMPTY, Content
from gateway.engines import Engine, PolicyUnavailable
from gateway.engines.holder import Policies
from gateway.errors import Refusal
from gateway.scan.sql import KINDS
from gateway.sections import Policy

STAGE = "authorize"
CLASSES: Mapping[str, int] = {"safety": 100, "compliance": 90, "cost": 50, "performance": 10}
"""Where rules disagree, the higher class wins."""
UNAVAILABLE = "policy_unavailable"
_RESULT = frozenset({"allow", "deny", "obligations", "class"})
_DENY = frozenset({"code", "message", "class"})
_OBLIGATIONS = frozenset(
    {"redact", "require_approval", "limit", "route", "strip_tools", "labels", "attributes", "sql", "no_restore"}
)
# A code is the label of a metric: few, short, and no place for a value of the call.
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_REMEMBERED = 4096


class Authorizer:
    """Asks the live engine. Verdicts are read once: an engine that memoizes gives the same object again."""

    def __init__(self, policy: Policy, engine: Engine | Policies) -> None:
        self._source = engine
        self._mode = policy.mode
        self._read: dict[int, tuple[Json, Decision]] = {}

    async def authorize(self, call: Call) -> None:
        """Write `call.decision`. Raises Refusal for a call that may not be made."""
        source = self._source
        engine = source.engine if isinstance(source, Policies) else source
        try:
            call.document = document(call)
            result = await engine.decide(call.document)
            decision = self._decision(result, engine.version)
        except PolicyUnavailable as error:
            call.decision = Decision(False, UNAVAILABLE, engine.version, mode=self._mode)
            if self._mode == "enforce":
                raise Refusal(
                    "policy_unavailable",
                    f"No policy decision could be made, so the call is denied: {error}.",
                    stage=STAGE,
                ) from None
            return
        call.decision = decision
        if self._mode == "enforce":
            _enforce(decision)

    def _decision(self, result: Json, version: str) -> Decision:
        known = self._read.get(id(result))
        # The identity counts only while the object lives, so it is kept and compared.
        if known is not None and known[0] is result and known[1].version == version:
            return known[1]
        said = bytes(memoryview(orjson.dumps(result, option=orjson.OPT_SORT_KEYS)))
        decision = replace(read(result, version), mode=self._mode, result=said)
        if self._mode == "shadow":
            decision = replace(decision, obligations=Obligations())  # nothing may be demanded of the call
        if len(self._read) >= _REMEMBERED:
            self._read.clear()
        self._read[id(result)] = (result, decision)
        return decision


def document(call: Call) -> Json:
    """The input of a decision (contract, section 6), as plain JSON; names and counts only.

    `action.providers` is every provider that may serve the call, in the order tried; `action.provider` is the first.
    `action.max_tokens` is what the answer may take at most, from the call or else from the model's `max_output`.
    `context.chain` is the workflow's own record of who called whom, ending with this agent; `context.hop` its depth.
    `context.calls` counts this call too; 0 where it is not counted (no `quotas.calls`, an answer given again).
    """
    subject = call.subject
    content: Content = call.content or EMPTY
    assert subject is not None, "authorize comes after identify"
    agent = subject.agent
    chain = call.chain or (agent,)
    providers = list(dict.fromkeys([target.partition("/")[0] for target in call.targets]))
    return {
        "subject": {
            "agent": agent,
            "team": subject.team,
            "roles": subject.roles,
            "claims": dict(subject.claims),
        },
        "action": {
            "kind": call.kind,
            "name": call.model,
            "model": call.model,
            "provider": providers[0] if providers else "",
            "providers": providers,
            "stream": call.stream,
            "tools": call.tools,
            "max_tokens": _max_tokens(call),
            "args": {},
        },
        "resource": {"type": "model" if call.kind == "llm" else call.kind, "name": call.model},
        "content": {
            **_found(call.redaction.counts),
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
            "history": {"tools": [], "labels": []},
        },
    }


def read(result: Json, version: str) -> Decision:
    """A decision from an engine's result. Raises PolicyUnavailable for one that is not as the contract says."""
    _known(result, _RESULT, "the result")
    allow = result.get("allow")
    if not isinstance(allow, bool):
        raise _malformed("allow must be true or false")
    if result.get("class") is not None and result["class"] not in CLASSES:
        raise _malformed(f"class must be one of {', '.join(CLASSES)}")
    denies = tuple(sorted((_deny(item) for item in _list(result, "deny")), key=_rank))
    obligations = _obligations(result.get("obligations", {}))
    rule = denies[0].code if denies else "allow" if allow else "default"
    return Decision(allow and not denies, rule, version, denies, obligations)


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


def _rank(deny: Deny) -> tuple[int, str, str]:
    return -CLASSES[deny.cls], deny.code, deny.message


def _deny(item: object) -> Deny:
    if not isinstance(item, dict):
        raise _malformed("each deny must be an object with code, message and class")
    _known(item, _DENY, "a deny")
    code, message, cls = item.get("code"), item.get("message", ""), item.get("class", "safety")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise _malformed("the code of a deny must be 1 to 64 letters, digits and _ . : -")
    if not isinstance(message, str):
        raise _malformed(f"the message of {code} must be a string")
    if not isinstance(cls, str) or cls not in CLASSES:
        raise _malformed(f"the class of {code} must be one of {', '.join(CLASSES)}")
    return Deny(code, message or "The call is not permitted", cls)


def _obligations(value: object) -> Obligations:
    if not isinstance(value, dict):
        raise _malformed("obligations must be an object")
    _known(value, _OBLIGATIONS, "the obligations")
    route = value.get("route")
    if route is not None and (not isinstance(route, str) or not route):
        raise _malformed("obligations.route must be the name of a model")
    return Obligations(
        redact=_redact(value.get("redact", [])),
        require_approval=_approval(value.get("require_approval")),
        limit=_limit(value.get("limit", {})),
        route=route,
        strip_tools=_names(value, "strip_tools"),
        labels=_names(value, "labels"),
        attributes=_attributes(value.get("attributes", {})),
        sql=_kinds(value),
        no_restore=_names(value, "no_restore"),
    )


def _kinds(value: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Kinds of SQL that the answer may hold; None where the policy does not say."""
    if value.get("sql") is None:
        return None
    kinds = _names(value, "sql")
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise _malformed(f"obligations.sql holds {unknown[0]!r}, which is no kind of statement: {', '.join(KINDS)}")
    return kinds


def _redact(value: object) -> Mapping[str, str]:
    """A list of entity types, which are taken out, or `{type: action}`."""
    if isinstance(value, dict):
        if not all(isinstance(action, str) and action in ORDER for action in value.values()):
            raise _malformed(f"obligations.redact must map entity types to one of {', '.join(ORDER)}")
        return dict(sorted(value.items()))
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _malformed("obligations.redact must be a list of entity types, or map them to actions")
    return dict.fromkeys(sorted(value), "redact")


def _approval(value: object) -> Mapping[str, object] | None:
    """`true` or an object with particulars demands it; `false` and `null` do not."""
    if value is None or value is False:
        return None
    if value is True:
        return {}
    if not isinstance(value, dict):
        raise _malformed("obligations.require_approval must be true, false or an object")
    return value


def _limit(value: object) -> Mapping[str, int]:
    if not isinstance(value, dict) or not all(type(number) is int and number >= 0 for number in value.values()):
        raise _malformed("obligations.limit must map names to whole numbers, 0 or more")
    return value


def _attributes(value: object) -> Mapping[str, str]:
    """An empty text would be a bucket that calls share which have nothing in common."""
    if not isinstance(value, dict) or not all(isinstance(text, str) and text for text in value.values()):
        raise _malformed("obligations.attributes must map names to texts that are not empty")
    return value


def _names(holder: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = _list(holder, key)
    if not all(isinstance(name, str) for name in found):
        raise _malformed(f"obligations.{key} must be a list of names")
    return tuple(sorted(found))


def _list(holder: Mapping[str, Any], key: str) -> list[Any]:
    found = holder.get(key, [])
    if not isinstance(found, list):
        raise _malformed(f"{key} must be a list or a set")
    return found


def _known(value: Mapping[str, object], keys: frozenset[str], what: str) -> None:
    """A misspelt key would be a demand that nobody meets."""
    for key in value.keys() - keys:
        raise _malformed(f"{what} has the unknown key {key!r}; known: {', '.join(sorted(keys))}")


def _malformed(what: str) -> PolicyUnavailable:
    return PolicyUnavailable(f"data.gateway.decision is malformed: {what}")


def _found(counts: Mapping[str, int]) -> Json:
    """Personal data and secrets, apart."""
    secrets = {entity: count for entity, count in counts.items() if entity.startswith("SECRET_")}
    if not secrets:
        return {"pii": counts, "secrets": {}}
    return {"pii": {entity: count for entity, count in counts.items() if entity not in secrets}, "secrets": secrets}


def _sql(call: Call) -> list[Json]:
    facts = call.runtime.sql_facts if call.runtime is not None else None
    return facts.of(call.spans) if facts is not None else []


def _max_tokens(call: Call) -> int:
    if call.ceiling:
        return call.ceiling
    if call.runtime is None:
        return 0
    return int(call.runtime.forward.model(call.model).max_output * call.format.answers(call.body))


def _calls(call: Call) -> int:
    reservation = call.reservation
    if reservation is not None:
        for debit, balance in zip(reservation.ask.debits, reservation.balances, strict=True):
            if debit.unit == "calls":
                return debit.limit + balance.added - balance.remaining
    return 0
