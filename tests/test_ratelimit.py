"""Which buckets a call pays, and what the headers say of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Ask, Balance, Debit, Rejection, Reservation, Subject
from gateway.config import Limit
from gateway.ratelimit import RateLimits, duration, elsewhere

BOT = Subject("bot", "support")


def limits(*entries: dict[str, object]) -> RateLimits:
    return RateLimits(tuple(Limit.model_validate(entry) for entry in entries))


def reservation(debits: list[Debit], *balances: Balance) -> Reservation:
    return Reservation(Ask("c", "support", "w", "bot", tuple(debits), None, 60, 60), balances)


def test_every_match_applies() -> None:
    """A call pays each limit that matches it: one request, or the estimate in tokens."""
    rates = limits(
        {"per": "agent", "requests": "60/min", "burst": 20},
        {"per": "team", "match": {"model": "gpt-4o*"}, "tokens": "200k/min"},
        {"per": "model", "match": {"team": "sales"}, "requests": "1/s"},
    )
    agent, team = rates.debits(BOT, "gpt-4o-mini", ["openai"], 1234)
    assert (agent.unit, agent.amount, agent.limit, agent.refill, agent.window) == ("requests", 1, 20, 1.0, 60)
    assert (team.unit, team.amount, team.limit, round(team.refill)) == ("tokens", 1234, 200_000, 3333)
    assert [it.name for it in rates.debits(BOT, "claude", ["anthropic"], 5)] == ["agent-requests"]


def test_providers() -> None:
    """A limit per provider has a bucket for each that may serve and matches; others are not touched."""
    rates = limits({"per": "provider", "match": {"provider": "open*"}, "requests": "5/s"})
    assert len(rates.debits(BOT, "m", ["openai", "openrouter", "azure"], 1)) == 2
    assert rates.debits(BOT, "m", ["azure"], 1) == []
    assert limits({"per": "agent", "match": {"provider": "x"}, "requests": "5/s"}).debits(BOT, "m", [], 1) == []


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_callers_never_share_a_bucket_by_name(team: str, agent: str, other_team: str, other_agent: str) -> None:
    """Two agents have one bucket only if team and agent are the same, however they are called."""
    rates = limits({"per": "agent", "requests": "1/s"})
    one = rates.debits(Subject(agent, team), "m", [], 1)[0].key
    two = rates.debits(Subject(other_agent, other_team), "m", [], 1)[0].key
    assert (one == two) == ((agent, team) == (other_agent, other_team))


def test_a_changed_limit_starts_afresh() -> None:
    """A new rate is a new bucket: no debt of the old one is carried over."""
    old = limits({"per": "team", "tokens": "10/d"}).debits(BOT, "m", [], 1)[0]
    new = limits({"per": "team", "tokens": "100k/min"}).debits(BOT, "m", [], 1)[0]
    assert old.key != new.key


def test_headers_of_an_admitted_call() -> None:
    """Every bucket is listed in the IETF fields; the x-ratelimit family has the tightest of each unit."""
    rates = limits(
        {"per": "agent", "requests": "60/min", "burst": 20},
        {"per": "agent", "requests": "1000/h"},
        {"per": "team", "tokens": "200k/min"},
    )
    debits = rates.debits(BOT, "m", [], 500)
    quota = Debit("tokens", "tokens", 1, 10, "quotas.tokens")
    outcome = reservation([*debits, quota], Balance(19, 1.0), Balance(7, 3574.2), Balance(199_500, 0.15), Balance(9, 0))
    assert rates.headers(outcome, [*debits, quota]) == [
        (
            b"ratelimit-policy",
            b'"agent-requests";q=60;w=60, "agent-requests-2";q=1000;w=3600, "team-tokens";q=200000;qu="tokens";w=60',
        ),
        (b"ratelimit", b'"agent-requests";r=19;t=1, "agent-requests-2";r=7;t=3575, "team-tokens";r=199500;t=1'),
        (b"x-ratelimit-limit-requests", b"1000"),
        (b"x-ratelimit-remaining-requests", b"7"),
        (b"x-ratelimit-reset-requests", b"59m34.2s"),
        (b"x-ratelimit-limit-tokens", b"200000"),
        (b"x-ratelimit-remaining-tokens", b"199500"),
        (b"x-ratelimit-reset-tokens", b"150ms"),
    ]


def test_headers_of_a_refused_call() -> None:
    """After a rejection by rate: the bucket that refused; after one by quota: the policies; no limits: nothing."""
    rates = limits({"per": "agent", "requests": "60/min", "burst": 20})
    debits = rates.debits(BOT, "m", [], 1)
    refused = dict(rates.headers(Rejection("rate", 0, used=20, retry_after=0.4), debits))
    assert refused[b"ratelimit"] == b'"agent-requests";r=0;t=20'
    assert refused[b"x-ratelimit-remaining-requests"] == b"0"
    assert [name for name, _ in rates.headers(Rejection("busy", 1), debits)] == [b"ratelimit-policy"]
    assert limits().headers(Rejection("busy", 0), []) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.02, "20ms"), (1, "1s"), (6.5, "6.5s"), (360, "6m0s"), (3723.5, "1h2m3.5s"), (0.0001, "1ms")],
)
def test_durations(seconds: float, text: str) -> None:
    """Times to wait are written as OpenAI writes them, never rounded down."""
    assert duration(seconds) == text


def test_only_the_provider_that_served_is_charged_tokens() -> None:
    """After a failover the token buckets of the others get everything back."""
    limits = RateLimits((Limit.model_validate({"per": "provider", "tokens": "100/min"}),))
    debits = limits.debits(Subject("a", "t"), "m", ["one", "two"], 10)
    assert list(elsewhere(debits, "two").values()) == [0]
    assert "two" not in "".join(elsewhere(debits, "two"))
