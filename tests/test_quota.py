"""What a call reserves, what it is charged, and the messages of refusals."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.amounts import Ask, Debit, Rejection
from gateway.call import Usage
from gateway.config.limits import Quotas as Settings
from gateway.config.models import Model, Price
from gateway.limits import quota

USD_5 = 5_000_000_000
MINI = Price(input=0.15, output=0.6)
prices = st.decimals(0, 1000, places=4).map(float)
counts = st.integers(0, 10**7)


def model(price: Price) -> Model:
    return Model.model_validate({"targets": ["demo/m"], "price": price})


def test_a_call_reserves_all_it_may_use() -> None:
    """Tokens and money cover the input and the whole output ceiling; a call is a call."""
    settings = Settings.model_validate({"tokens": "200k", "cost_usd": 5, "calls": 500})
    assert quota.Quotas(settings).debits(model(MINI), 1000, 500) == [
        Debit("tokens", "tokens", 1500, 200_000, "quotas.tokens"),
        Debit("cost", "cost", 450_000, 5_000_000_000, "quotas.cost_usd"),
        Debit("calls", "calls", 1, 500, "quotas.calls"),
    ]
    assert quota.Quotas(Settings()).debits(model(MINI), 1000, 500) == []


@pytest.mark.parametrize("settings", [{"calls": 5}, {"seconds": "1h"}, {"strict": True}, {"idle": "1min"}])
def test_what_is_not_limited_is_counted(settings: dict[str, object]) -> None:
    """If any quota is limited, tokens, cost and calls are counted, with limits that are never reached."""
    debits = quota.Quotas(Settings.model_validate(settings)).debits(model(MINI), 1000, 500)
    assert [(debit.key, debit.amount) for debit in debits] == [
        *(("tokens", 1500), ("cost", 450_000)),  # reserved all the same: a call that is lost is charged its estimate
        ("calls", 1),
    ]
    assert all(debit.limit in (settings.get(debit.key), 2**53 - 1) for debit in debits)


def test_a_call_reserves_at_the_most_expensive_target() -> None:
    """The cost at any target is held; a model without target prices has its own price."""
    targets = ["demo/a", {"target": "demo/b", "price": {"input": 1, "output": 9}}, {"target": "demo/c"}]
    many = Model.model_validate({"targets": targets, "price": {"input": 2, "output": 3}})
    quotas = quota.Quotas(Settings.model_validate({"cost_usd": 5}))
    for tokens, ceiling, usd in ((1000, 100, 2000 + 300), (100, 1000, 100 + 9000)):
        assert {it.key: it.amount for it in quotas.debits(many, tokens, ceiling)}["cost"] == usd * 1000


def test_the_rest_is_what_another_model_needs_more() -> None:
    """Only the difference, and nothing if the other model is not more expensive."""
    quotas = quota.Quotas(Settings.model_validate({"tokens": "200k", "cost_usd": 5, "calls": 500}))
    mine, dear = model(MINI), model(Price(input=1, output=2))
    debits = quotas.debits(mine, 1000, 500)
    assert [(it.key, it.amount) for it in quotas.rest(debits, dear, 1000, 500)] == [("cost", 2_000_000 - 450_000)]
    assert quotas.rest(quotas.debits(dear, 1000, 500), mine, 1000, 500) == ()


def test_the_ask_has_the_workflows_times() -> None:
    """Age, ttl and lapse come from the configuration and the call, in whole seconds."""
    settings = Settings.model_validate({"seconds": "1h", "ttl": "24h", "idle": "5min"})
    ask = quota.Quotas(settings).ask("id", "t", "w", "a", [], lapse=600.5)
    assert ask == Ask("id", "t", "w", "a", (), 3600, 86400, 601, 300)
    assert not ask.bare
    assert quota.Quotas(Settings()).ask("id", "t", "w", "a", [], lapse=600).bare


def test_parts_are_priced_apart() -> None:
    """Cached input, reasoning and audio have their own prices, the rest has the normal price."""
    price = Price(input=2, output=8, cached_input=0.5, reasoning=10, audio=40)
    usage = Usage(input=1000, output=500, cached=600, reasoning=200, audio=100)
    assert quota.cost(price, usage) == 400 * 2000 + 600 * 500 + 200 * 8000 + 200 * 10_000 + 100 * 40_000
    assert quota.cost(MINI, usage) == 1000 * 150 + 500 * 600


@given(prices, prices, st.none() | prices, st.none() | prices, st.none() | prices, counts, counts, st.data())
def test_costs_are_exact_and_within_the_reserve(
    input: float,
    output: float,
    cached: float | None,
    reasoning: float | None,
    audio: float | None,
    tokens_in: int,
    tokens_out: int,
    data: st.DataObject,
) -> None:
    """A cost is the exact sum rounded up once, and never more than was reserved for as many tokens."""
    price = Price(input=input, output=output, cached_input=cached, reasoning=reasoning, audio=audio)
    usage = Usage(tokens_in, tokens_out, data.draw(st.integers(0, tokens_in)))
    usage.reasoning = data.draw(st.integers(0, tokens_out))
    usage.audio = data.draw(st.integers(0, tokens_out - usage.reasoning))

    def usd(tokens: int, part: float | None, whole: float) -> Fraction:
        return tokens * Fraction(str(whole if part is None else part)) * 1000

    plain = usd(usage.input - usage.cached, input, 0) + usd(usage.output - usage.reasoning - usage.audio, output, 0)
    parts = usd(usage.cached, cached, input) + usd(usage.reasoning, reasoning, output) + usd(usage.audio, audio, output)
    exact = plain + parts
    charged = quota.cost(price, usage)
    assert exact <= charged < exact + 1
    assert charged <= quota.HighestRates([price]).cost(tokens_in, tokens_out)


@pytest.mark.parametrize("usage", [Usage(-5, -5, -5), Usage(10**40, 10**40), Usage(10, 10, 50, 50, 50)])
def test_absurd_usage_is_not_believed(usage: Usage) -> None:
    """Negative, huge or contradictory reports give amounts that a store can keep."""
    assert 0 <= quota.cost(MINI, usage) < 2**53
    assert 0 <= quota.used([Debit("t", "tokens", 1, 1, "t")], usage, 0)["t"] < 2**53


def test_used_names_what_differs_from_the_estimate() -> None:
    """Tokens and money get their actual amount, in quotas and buckets; calls and requests stay as reserved."""
    debits = [
        Debit("team:t", "tokens", 900, 1000, "team-tokens", 1.0, 60),
        Debit("agent:a", "requests", 1, 10, "agent-requests", 1.0, 60),
        Debit("tokens", "tokens", 900, 1000, "quotas.tokens"),
        Debit("cost", "cost", 900, 1000, "quotas.cost_usd"),
        Debit("calls", "calls", 1, 10, "quotas.calls"),
    ]
    assert quota.used(debits, Usage(100, 50), 42) == {"team:t": 150, "tokens": 150, "cost": 42}


ASK = Ask(
    "id",
    "t",
    "wf-1",
    "a",
    (
        Debit("agent:a", "requests", 1, 20, "agent-requests", 1.0, 60),
        Debit("team:t", "tokens", 5000, 1000, "team-tokens", 10.0, 60),
        Debit("cost", "cost", 1_500_000_000, 5_000_000_000, "quotas.cost_usd"),
        Debit("hops", "hops", 11, 10, "quotas.hops"),
        Debit("repeats:x", "repeats", 1, 5, "the tool search with the same arguments"),
    ),
    3600,
    86400,
    60,
)


@pytest.mark.parametrize(
    ("rejection", "code", "retry_after", "words"),
    [
        (
            Rejection("rate", 0, 20, 0, 0.4, 20),
            "rate_limited",
            0.4,
            ["agent-requests", "60 requests per 60 s", "400ms"],
        ),
        (Rejection("rate", 1, 0, 0, None), "rate_limited", None, ["team-tokens", "5000", "at most", "burst"]),
        (
            Rejection("exceeded", 2, 4_000_000_000, 0, limit=USD_5),
            "quota_exceeded",
            None,
            ["5 USD", "4 USD", "1.5 USD", "resume"],
        ),
        (
            Rejection("busy", 2, 1_000_000_000, 3_000_000_000, limit=USD_5),
            "quota_busy",
            1.0,
            ["5 USD", "3 USD are held"],
        ),
        (
            Rejection("frozen", 2, 4_900_000_001, 0, limit=6_250_000_000),
            "workflow_frozen",
            None,
            ["6.25 USD", "4.900000001 USD"],
        ),
        (Rejection("frozen"), "workflow_frozen", None, ["wf-1", "resume"]),
        (
            Rejection("expired", -1, 4000, limit=3600),
            "quota_exceeded",
            None,
            ["quotas.seconds", "3600 s", "4000 s"],
        ),
        (Rejection("idle", limit=300), "workflow_frozen", None, ["wf-1", "expired", "quotas.idle", "300 s"]),
        (Rejection("closed"), "workflow_frozen", None, ["wf-1", "closed", "X-Correlation-Id"]),
        (Rejection("unknown"), "invalid_request", None, ["wf-1", "opened before", "quotas.strict"]),
        (Rejection("exceeded", 3, 3, 0, limit=10), "hop_limit", None, ["11 hops", "quotas.hops allows 10"]),
        (
            Rejection("exceeded", 4, 4, 1, limit=5),
            "loop_detected",
            None,
            ["the tool search", "occurred 5 times", "5 are"],
        ),
    ],
)
def test_refusals_say_what_happened(
    rejection: Rejection, code: str, retry_after: float | None, words: list[str]
) -> None:
    """A refusal names the limit, the usage and what to do, and a time only if waiting helps."""
    refusal = quota.refusal(rejection, ASK)
    assert (refusal.code, refusal.retry_after) == (code, retry_after)
    for word in words:
        assert word in refusal.message


@pytest.mark.parametrize(
    ("input_tokens", "words"),
    [
        (300, ["300 for its input and 4700 for its output", "max_tokens", "to 700 or less", "burst to 5000"]),
        (1000, ["Its input alone is too large: shorten the input", "burst to 5000"]),
    ],
)
def test_a_call_that_never_fits_is_told_which_number_to_lower(input_tokens: int, words: list[str]) -> None:
    """The output ceiling if that suffices, otherwise the input; and the limit that the operator could raise."""
    refusal = quota.refusal(Rejection("rate", 1, 0, 0, None), ASK, input_tokens)
    assert refusal.retry_after is None
    for word in words:
        assert word in refusal.message
