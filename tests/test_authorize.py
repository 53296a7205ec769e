"""The stage `authorize`: the policy input, the reading of the result, and its effect on the call."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import calls
from gateway.amounts import Ask, Balance, Debit, History, Reservation
from gateway.call import Call, Json, Obligations, Redaction, Resource, Subject, Target
from gateway.config.sections import Policy
from gateway.errors import Refusal
from gateway.policy.authorize import PolicyCheck
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.engines.bundle import load
from gateway.policy.engines.embedded import Embedded
from gateway.policy.inputs import Inputs
from gateway.policy.verdict import CLASSES, read
from one_answer import Fake

ALLOW: Json = {"allow": True, "deny": [], "obligations": {}}
INPUTS = Inputs(SimpleNamespace(model=lambda name: SimpleNamespace(max_output=100)))


def call(**changes: Any) -> Call:
    made = calls.call()
    made.request.correlation_id = "c-1"
    made.resource = Resource("llm", "demo")
    made.subject = Subject("bot", "support", ("reader",), {"tier": 1})
    made.admission.targets = [Target("demo", "demo"), Target("openai", "gpt"), Target("demo", "other")]
    made.request.tools = ("get_order",)
    made.request.ceiling = 50
    return calls.write(made, **changes)


async def refusal(result: Any, mode: Any = "enforce") -> tuple[Refusal, Call]:
    made = call()
    with pytest.raises(Refusal) as caught:
        await PolicyCheck(Policy(mode=mode), Fake(result), INPUTS).check(made)
    return caught.value, made


def deny(code: str, cls: str, message: str = "No") -> Json:
    return {"code": code, "class": cls, "message": message}


def test_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and counts, as the contract has them; it is plain JSON. The time is that of the minute."""
    monkeypatch.setattr("gateway.policy.inputs.time.time", lambda: 1795170659.9)
    redaction = Redaction(counts={"EMAIL_ADDRESS": 2}, roles=frozenset({"tool"}))
    made = call(redaction=redaction, unscannable={"image": 1})
    made.admission.history = History(("untrusted",), ("search",), ("read:pii",), 3)
    asked = json.loads(json.dumps(INPUTS.of(made)))
    assert asked == {
        "subject": {"agent": "bot", "team": "support", "roles": ["reader"], "claims": {"tier": 1}},
        "action": {
            "kind": "llm",
            "name": "demo",
            "model": "demo",
            "provider": "demo",
            "providers": ["demo", "openai"],
            "stream": False,
            "fields": [],
            "tools": ["get_order"],
            "hosted": [],
            "max_tokens": 50,
            "args": {},
            "server": "",
            "writes": None,
            "deletes": False,
            "of_result": False,
            "of_list": False,
        },
        "resource": {"type": "model", "name": "demo"},
        "content": {
            "pii": {"EMAIL_ADDRESS": 2},
            "secrets": {},
            "pii_from": ["tool"],
            "sql": [],
            "urls": [],
            "injection": {},
            "injection_score": 0,
            "unscannable": 1,
            "unscannable_kinds": {"image": 1},
        },
        "context": {
            "correlation_id": "c-1",
            "hop": 0,
            "chain": ["bot"],
            "calls": 0,
            "time": 1795170600000000000,
            "left": {},
            "history": {"tools": ["search"], "labels": ["untrusted"]},
        },
    }


def test_equal_calls_have_equal_keys() -> None:
    """The shipped policies read no name that the document of a model's call lacks: the key needs no names."""
    engine = Embedded(load(Path(__file__).parents[1] / "policies"), timeout=10)
    assert type(orjson.loads(engine._projection.key(INPUTS.of(call())))) is list


def test_no_text_of_the_call_is_in_the_document() -> None:
    """Neither masked values nor texts."""
    secret = "4111 1111 1111 1111"
    made = call(raw=secret.encode(), body={"messages": [{"role": "user", "content": secret}]})
    made.redaction = Redaction(counts={"CREDIT_CARD": 1}, restore={"<CARD_1>": secret})
    assert secret not in json.dumps(INPUTS.of(made))


def test_calls_of_the_workflow_are_read_from_the_reservation() -> None:
    """Including this call, if calls are counted."""
    debits = (Debit("t", "tokens", 9, 100, "tokens"), Debit("c", "calls", 1, 500, "quotas.calls"))
    ask = Ask("id", "support", "c-1", "bot", debits, None, 60, 60)
    made = call(reservation=Reservation(ask, (Balance(91, 0), Balance(493, 0))))
    assert INPUTS.of(made)["context"]["calls"] == 7


def test_the_chain_is_the_workflows_record() -> None:
    """From the reservation, never from the call itself."""
    made = call(chain=("boss", "bot"))
    context = INPUTS.of(made)["context"]
    assert (context["hop"], context["chain"]) == (1, ["boss", "bot"])


def test_a_call_without_a_ceiling_has_that_of_its_model() -> None:
    """`max_tokens` is always a number, so that a rule can compare it."""
    made = call(ceiling=None, body={"n": 3})
    made.codec = SimpleNamespace(answers=lambda body: body["n"], elsewhere=lambda body: 0, hosted=lambda body: [])
    assert INPUTS.of(made)["action"]["max_tokens"] == 300


async def test_allowed() -> None:
    """The decision is written, and the call continues."""
    made = call()
    await PolicyCheck(Policy(), Fake(ALLOW), INPUTS).check(made)
    assert made.authorization.decision is not None
    assert (
        made.authorization.decision.allow,
        made.authorization.decision.rule,
        made.authorization.decision.version,
    ) == (True, "allow", "v1")


async def test_denied_by_default() -> None:
    """Where nothing allows, the rule is called default."""
    refused, made = await refusal({"allow": False})
    assert (refused.code, refused.stage, refused.status) == ("policy_denied", "authorize", 403)
    assert refused.detail["rule"] == "default"
    assert "No policy allows this call" in refused.message
    assert made.authorization.decision is not None
    assert made.authorization.decision.rule == "default"


async def test_a_deny_beats_an_allow_and_is_named() -> None:
    """The message names the rule and its class."""
    refused, made = await refusal({"allow": True, "deny": [deny("budget", "cost", "The month's budget is used up.")]})
    assert refused.message == (
        "The month's budget is used up. Denied by rule budget of class cost (policy version v1)."
    )
    assert refused.detail == {"rule": "budget", "policy_version": "v1"}
    assert made.authorization.decision is not None
    assert not made.authorization.decision.allow


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(sorted(CLASSES))), min_size=1), st.randoms())
def test_the_highest_class_wins(rules: list[tuple[str, str]], random: Any) -> None:
    """In any order of the rules; within a class, the first by name."""
    denies = [deny(code, cls) for code, cls in rules]
    decision = read({"allow": True, "deny": denies}, "v1")
    random.shuffle(denies)
    assert read({"allow": True, "deny": denies}, "v1") == decision
    top = max(CLASSES[cls] for _, cls in rules)
    assert decision.rule == min(code for code, cls in rules if CLASSES[cls] == top)


async def test_obligations() -> None:
    """All obligations, with their types; sets are sorted."""
    demanded = {
        "redact": ["PERSON", "EMAIL_ADDRESS"],
        "limit": {"tokens": 100},
        "route": "small",
        "strip_tools": ["pay"],
        "labels": ["b", "a"],
        "attributes": {"project": "apollo"},
        "require_approval": None,
    }
    made = call()
    await PolicyCheck(Policy(), Fake({"allow": True, "obligations": demanded, "class": "safety"}), INPUTS).check(made)
    assert made.authorization.decision is not None
    assert made.authorization.decision.obligations == Obligations(
        {"EMAIL_ADDRESS": "redact", "PERSON": "redact"},
        None,
        {"tokens": 100},
        "small",
        ("pay",),
        ("a", "b"),
        {"project": "apollo"},
    )


@pytest.mark.parametrize("demand", [True, {}, {"group": "finance"}])
async def test_approval(demand: Any) -> None:
    """A call that needs an approval is not made without it."""
    refused, made = await refusal({"allow": True, "obligations": {"require_approval": demand}})
    assert refused.code == "approval_required"
    assert refused.detail["rule"] == "allow"
    assert made.authorization.decision is not None
    assert made.authorization.decision.allow


@pytest.mark.parametrize("demand", [False, None])
async def test_no_approval(demand: Any) -> None:
    """False and null demand nothing."""
    made = call()
    await PolicyCheck(Policy(), Fake({"allow": True, "obligations": {"require_approval": demand}}), INPUTS).check(made)
    assert made.authorization.decision is not None
    assert made.authorization.decision.obligations.require_approval is None


MALFORMED: list[Json] = [
    {},
    {"allow": "true"},
    {"allow": 1},
    {"allow": None},
    {"allow": True, "dennied": []},
    {"allow": True, "deny": True},
    {"allow": True, "deny": {"code": "x"}},
    {"allow": True, "deny": ["x"]},
    {"allow": True, "deny": [{"message": "x"}]},
    {"allow": True, "deny": [{"code": 1}]},
    {"allow": True, "deny": [{"code": ""}]},
    {"allow": True, "deny": [{"code": "has a space"}]},
    {"allow": True, "deny": [{"code": "x" * 65}]},
    {"allow": True, "deny": [{"code": "x", "message": 1}]},
    {"allow": True, "deny": [{"code": "x", "class": "urgent"}]},
    {"allow": True, "deny": [{"code": "x", "class": ["safety"]}]},
    {"allow": True, "deny": [{"code": "x", "reason": "y"}]},
    {"allow": True, "class": "urgent"},
    {"allow": True, "obligations": None},
    {"allow": True, "obligations": {"redacted": []}},
    {"allow": True, "obligations": {"redact": "EMAIL"}},
    {"allow": True, "obligations": {"redact": [1]}},
    {"allow": True, "obligations": {"require_approval": "yes"}},
    {"allow": True, "obligations": {"limit": {"tokens": "9"}}},
    {"allow": True, "obligations": {"limit": {"tokens": True}}},
    {"allow": True, "obligations": {"limit": {"tokens": -1}}},
    {"allow": True, "obligations": {"limit": []}},
    {"allow": True, "obligations": {"route": 1}},
    {"allow": True, "obligations": {"route": ""}},
    {"allow": True, "obligations": {"labels": [None]}},
    {"allow": True, "obligations": {"attributes": ["project"]}},
    {"allow": True, "obligations": {"attributes": {"project": 7}}},
    {"allow": True, "obligations": {"attributes": {"project": ""}}},
]


@pytest.mark.parametrize("result", MALFORMED, ids=repr)
async def test_a_malformed_result_denies(result: Json) -> None:
    """A malformed result is not a verdict."""
    refused, made = await refusal(result)
    assert (refused.code, refused.status) == ("policy_unavailable", 503)
    assert "malformed" in refused.message
    assert made.authorization.decision is not None
    assert (made.authorization.decision.allow, made.authorization.decision.rule) == (False, "policy_unavailable")


async def test_no_verdict_denies() -> None:
    """The caller gets the message of the engine, and the call does not continue."""
    refused, _ = await refusal(PolicyUnavailable("the OPA server took longer than 1 s"))
    assert refused.code == "policy_unavailable"
    assert "the OPA server took longer than 1 s" in refused.message


@pytest.mark.parametrize(
    ("result", "rule"),
    [
        ({"allow": False}, "default"),
        ({"allow": True, "deny": [deny("x", "cost")]}, "x"),
        ({"allow": True, "obligations": {"require_approval": True, "redact": ["PERSON"]}}, "allow"),
        (PolicyUnavailable("gone"), "policy_unavailable"),
        ({"allow": 3}, "policy_unavailable"),
    ],
)
async def test_in_the_shadow_every_call_goes_on(result: Any, rule: str) -> None:
    """The deny is recorded; there are no obligations."""
    made = call()
    await PolicyCheck(Policy(mode="shadow"), Fake(result), INPUTS).check(made)
    assert made.authorization.decision is not None
    assert (made.authorization.decision.rule, made.authorization.decision.mode) == (rule, "shadow")
    assert made.authorization.decision.obligations == Obligations()


async def test_the_same_result_is_read_once() -> None:
    """The same object gives the same decision; an equal object, or another version, is parsed again."""
    engine = Fake(ALLOW)
    policy = PolicyCheck(Policy(), engine, INPUTS)
    first, second, third = call(), call(), call()
    await policy.check(first)
    await policy.check(second)
    engine.result = dict(ALLOW)
    await policy.check(third)
    assert first.authorization.decision is second.authorization.decision
    assert third.authorization.decision is not first.authorization.decision
    engine.version = "v2"
    await policy.check(third)
    assert third.authorization.decision is not None
    assert third.authorization.decision.version == "v2"
