"""The line carries any kind of call: a call without a model needs no price and takes no tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

import calls
from gateway.amounts import Ask, Balance, Rejection, Reservation
from gateway.call import Resource, Subject, Target
from gateway.config.grammar import Config
from gateway.errors import Refusal, uncounted
from gateway.limits.charges import Charges
from gateway.limits.loops import Loops
from gateway.limits.quota import Quotas
from gateway.limits.ratelimit import RateLimits
from gateway.policy.inputs import Inputs
from gateway.policy.models import Models
from gateway.record.ended import Recorder
from gateway.redaction.texts import Texts
from gateway.reserve.reserve import Reserve
from gateway.settle.settle import Settle
from gateway.stores import Ledger
from gateway.upstream.forward import Forward

LIMITS = [
    {"per": "team", "requests": "10/min"},
    {"per": "team", "tokens": "10/min"},
    {"per": "tool", "match": {"tool": "search"}, "requests": "5/min"},
]


class Store:
    """Grants every ask, and records it."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.settled: list[tuple[dict[str, int], str]] = []

    def left(self, *_: object) -> None:
        """This store must be asked."""

    async def reserve(self, ask: Ask) -> Reservation | Rejection:
        self.asked.append(ask)
        return Reservation(ask, tuple(Balance(debit.limit - debit.amount, 0.0) for debit in ask.debits))

    async def settle(self, _: Reservation, used: Any, state: str) -> None:
        self.settled.append((dict(used), state))


def config() -> Config:
    """Tokens, money and calls are all limited."""
    models = {"m": {"targets": ["demo/m"]}}
    given = {
        "providers": {"demo": {"format": "demo"}},
        "models": models,
        "agents": {},
        "limits": LIMITS,
        "quotas": {"tokens": 100, "cost_usd": 1, "calls": 5},
    }
    return Config.model_validate(given)


def no_model(name: str, *_: object) -> None:
    """The result of every look-up of a model here."""
    raise Refusal("model_not_found", f"nobody may ask for a model {name}")


NO_TEXTS = Texts(len, None)
INPUTS = Inputs(SimpleNamespace(model=lambda _: SimpleNamespace(max_output=0)))
FORWARD = cast("Forward", SimpleNamespace(model=no_model, targets=no_model, patience=lambda targets: 0.0))


@pytest.mark.parametrize("kind", ["tool", "agent"])
async def test_a_call_without_a_model_is_reserved_and_settled(kind: Any) -> None:
    """It counts as a call and as a request, and has no debit of tokens or money."""
    given, store = config(), Store()
    ledger = cast("Ledger", store)
    call = calls.call(
        resource=Resource(kind, "search", {"query": "x"}), subject=Subject("bot", "red"), correlation_id="w"
    )
    loops = Loops(given.quotas, given.loops, lambda kind, text: b"")
    charges = Charges({}, {}, loops, given.quotas.repeats, lambda *_: 0)
    Models([], FORWARD, NO_TEXTS, None).find(call)
    await Reserve(ledger, RateLimits(given.limits), Quotas(given.quotas), loops, FORWARD, charges, None, 0).reserve(
        call
    )
    (ask,) = store.asked
    taken = [debit.name for debit in ask.debits if debit.refill and debit.amount]
    assert taken == ["team-requests", *(["tool-requests"] if kind == "tool" else [])]
    kept = [(debit.name, debit.amount) for debit in ask.debits if not debit.refill]
    assert kept == [("quotas.cost_usd", 0), ("quotas.calls", 1)]  # the balance of the first is read for policies
    call.outcome.sent = True
    assert await Settle(ledger, loops, NO_TEXTS, FORWARD, charges, Recorder((), uncounted), uncounted).settle(call) == 0
    ((used, state),) = store.settled
    assert state == "settled"
    assert not any(used.values())


@pytest.mark.parametrize(
    ("resource", "action", "told"),
    [
        (Resource("llm", "m"), {"name": "m", "model": "m", "args": {}}, {"type": "model", "name": "m"}),
        (Resource("tool", "t", {"a": 1}), {"name": "t", "model": "", "args": {"a": 1}}, {"type": "tool", "name": "t"}),
        (Resource("agent", "b"), {"name": "b", "model": "", "args": {}}, {"type": "agent", "name": "b"}),
    ],
)
def test_policies_are_told_the_resource(resource: Resource, action: dict[str, Any], told: dict[str, Any]) -> None:
    """`action.kind`, `action.name` and `resource` for all kinds; `action.model` for models alone."""
    asked = INPUTS.of(calls.call(resource=resource, subject=Subject("bot", "red")))
    assert asked["action"] == {**asked["action"], **action, "kind": resource.kind, "max_tokens": 0}
    assert asked["resource"] == told


def test_a_target_is_read_as_it_is_written() -> None:
    """The provider ends at the first slash; names of models may have more of them."""
    for text in ("up/echo", "together/meta-llama/Llama-3"):
        assert str(Target.parse(text)) == f"{Target.parse(text)}" == text
    assert Target.parse("together/meta-llama/Llama-3") == Target("together", "meta-llama/Llama-3")
