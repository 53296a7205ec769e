"""The buckets that a call pays, and their headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.amounts import Ask, Balance, Debit, Rejection, Reservation
from gateway.call import Subject
from gateway.config.limits import Limit
from gateway.limits.ratelimit import RateLimits, duration, elsewhere

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
    """Two agents share a bucket only if team and agent are equal, with any names."""
    rates = limits({"per": "agent", "requests": "1/s"})
    one = rates.debits(Subject(agent, team), "m", [], 1)[0].key
    two = rates.debits(Subject(other_agent, other_team), "m", [], 1)[0].key
    assert (one == two) == ((agent, team) == (other_agent, other_team))


def test_a_changed_limit_starts_afresh() -> None:
    """A new rate is a new bucket, without debts of the old bucket."""
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
    outcome = reservation(
        [*debits, quota], Balance(19, 1.0), Balance(7, 3572.28), Balance(199_500, 0.15), Balance(9, 0)
    )
    assert rates.headers(outcome, [*debits, quota]) == [
        (
            b"ratelimit-policy",
            b'"agent-requests";q=60;w=60;meshgate-burst=20, "agent-requests-2";q=1000;w=3600, '
            b'"team-tokens";q=200000;qu="tokens";w=60',
        ),
        (b"ratelimit", b'"agent-requests";r=19;t=1, "agent-requests-2";r=7;t=2, "team-tokens";r=199500;t=1'),
        (b"x-ratelimit-limit-requests", b"1000"),
        (b"x-ratelimit-remaining-requests", b"7"),
        (b"x-ratelimit-reset-requests", b"59m32.28s"),
        (b"x-ratelimit-limit-tokens", b"200000"),
        (b"x-ratelimit-remaining-tokens", b"199500"),
        (b"x-ratelimit-reset-tokens", b"150ms"),
    ]


def test_headers_of_a_refused_call() -> None:
    """After a rejection by a rate: the refusing bucket; by a quota: only the policies; without limits: nothing."""
    rates = limits({"per": "agent", "requests": "60/min", "burst": 20})
    debits = rates.debits(BOT, "m")
    refused = dict(rates.headers(Rejection("rate", 0, used=20, retry_after=0.4), debits))
    assert refused[b"ratelimit"] == b'"agent-requests";r=0;t=1'
    assert refused[b"x-ratelimit-remaining-requests"] == b"0"
    assert refused[b"x-ratelimit-reset-requests"] == b"20s"
    assert [name for name, _ in rates.headers(Rejection("busy", 1), debits)] == [b"ratelimit-policy"]
    assert limits().headers(Rejection("busy", 0), []) == []


def test_a_refusal_names_the_time_of_its_retry_after() -> None:
    """`t` is when this call fits, never later than Retry-After; where it never fits, when there is more at all."""
    rates = limits({"per": "agent", "tokens": "60/min"})
    debits = rates.debits(BOT, "m", [], 50)
    waits = dict(rates.headers(Rejection("rate", 0, used=55, retry_after=44.001), debits))
    assert waits[b"ratelimit"] == b'"agent-tokens";r=5;t=45'
    never = dict(rates.headers(Rejection("rate", 0, used=55), debits))
    assert never[b"ratelimit"] == b'"agent-tokens";r=5;t=1'
    untouched = dict(rates.headers(Rejection("rate", 0, used=0), debits))
    assert untouched[b"ratelimit"] == b'"agent-tokens";r=60'


def test_partition_keys() -> None:
    """Callers can distinguish several buckets of one name, and learn no name that they did not send."""
    rates = limits({"per": "model", "requests": "5/s"}, {"per": "claims.org", "requests": "5/s"})
    outcome = [Balance(4, 0.2), Balance(4, 0.2)]

    def sent(model: str, org: str) -> list[str]:
        debits = rates.debits(Subject("a", "t", (), {"org": org}), model)
        return dict(rates.headers(reservation(debits, *outcome), debits))[b"ratelimit"].decode().split(", ")

    one, other = sent("gpt-4o", "acme"), sent("gpt-5", "umbrella")
    assert one[0] == '"model-requests";r=4;t=1;pk=:Z3B0LTRv:'
    assert one[0] != other[0]
    assert one[1] != other[1]
    assert "acme" not in one[1]


def test_the_emptiest_of_several_providers_is_shown() -> None:
    """Callers do not choose the provider: its buckets are shown as one bucket, without a name."""
    rates = limits({"per": "provider", "requests": "5/s"})
    debits = rates.debits(BOT, "m", ["openai", "azure"])
    headers = dict(rates.headers(reservation(debits, Balance(4, 0.2), Balance(2, 0.6)), debits))
    assert headers[b"ratelimit-policy"] == b'"provider-requests";q=5;w=1'
    assert headers[b"ratelimit"] == b'"provider-requests";r=2;t=1'


def test_per_role() -> None:
    """A caller pays for each of its roles that the limit counts, and shares them with others, also of other teams."""
    rates = limits({"per": "role", "match": {"role": "dev*"}, "requests": "5/s"})
    debits = rates.debits(Subject("a", "t", ("developer", "devops", "reader")), "m")
    assert len(debits) == 2
    assert rates.debits(Subject("b", "u", ("devops",)), "m") == debits[1:]
    assert rates.debits(Subject("a", "t", ("reader",)), "m") == []


def test_per_claim() -> None:
    """One bucket for each value; callers without the claim, or without a token, are not limited."""
    rates = limits({"per": "claims.org.id", "requests": "5/s"})

    def keys(claims: dict[str, object]) -> list[str]:
        return [debit.key for debit in rates.debits(Subject("a", "t", (), claims), "m")]

    assert keys({"org": {"id": "x"}}) == keys({"org": {"id": "x"}, "sub": "other"}) == keys({"org.id": "x"})
    assert len({*keys({"org": {"id": "x"}}), *keys({"org": {"id": "y"}}), *keys({"org": {"id": 7}})}) == 3
    assert keys({"org": {"id": {"b": 1, "a": 2}}}) == keys({"org": {"id": {"a": 2, "b": 1}}})
    assert keys({}) == keys({"org": "x"}) == keys({"org": {"id": None}}) == []


def test_per_attribute() -> None:
    """Separate from all other limits: one bucket for each value that the policy assigned, none without a value."""
    rates = limits(
        {"per": "attributes.project", "match": {"model": "m*"}, "requests": "5/s"},
        {"per": "attributes.risk", "tokens": "50/s"},
        {"per": "agent", "requests": "5/s"},
    )

    def keys(given: dict[str, str] | None, model: str = "m") -> list[str]:
        debits = rates.debits(Subject("a", "t"), model, tokens=9, attributes=given)
        return [f"{debit.key.rpartition(':')[0]} {debit.amount}" for debit in debits]

    assert keys(None) == ["agent:t:a 1"]
    assert keys({"project": "a b", "risk": "high"}) == ["attributes:project:a%20b 1", "attributes:risk:high 9"]
    assert keys({"risk": "high", "other": "x"}) == ["attributes:risk:high 9"]
    assert keys({"project": "x"}, model="n") == keys({"other": "x"}) == keys({}) == []


@given(st.text(max_size=300), st.text(max_size=300))
def test_values_of_a_claim_never_share_a_bucket(one: str, other: str) -> None:
    """For any value in a token, of any length: a short key, which is shared only by equal values."""
    rates = limits({"per": "claims.c", "requests": "5/s"})
    first, second = (rates.debits(Subject("a", "t", (), {"c": value}), "m")[0].key for value in (one, other))
    assert (first == second) == (one == other)
    assert len(first) < 200
    assert first.isascii()


@pytest.mark.parametrize(
    ("match", "applies"),
    [
        ({"role": "read*"}, True),
        ({"role": "admin"}, False),
        ({"role": "*"}, True),
        ({"stream": True}, True),
        ({"stream": "false"}, False),
        ({"team": "sup*", "agent": "b?t", "model": "m", "provider": "p"}, True),
        ({"team": "sup*", "agent": "other"}, False),
        ({"tool": "orders"}, False),
    ],
)
def test_match(match: dict[str, object], applies: bool) -> None:
    """All patterns of a match must fit the call."""
    rates = limits({"per": "team", "match": match, "requests": "5/s"})
    subject = Subject("bot", "support", ("reader", "writer"))
    assert bool(rates.debits(subject, "m", ["p"], stream=True)) == applies


def test_a_tool_call() -> None:
    """Calls of tools pay the requests of caller and tool; nothing in tokens, nothing for a model; and only they do."""
    rates = limits(
        {"per": "tool", "requests": "1/s"},
        {"per": "agent", "match": {"tool": "ord*"}, "requests": "1/s"},
        {"per": "team", "requests": "1/s"},
        {"per": "team", "tokens": "100/s"},
        {"per": "model", "requests": "1/s"},
        {"per": "provider", "requests": "1/s"},
        {"per": "team", "match": {"model": "gpt*"}, "requests": "1/s"},
    )
    assert [it.name for it in rates.debits(BOT, tool="orders.get")] == [
        "tool-requests",
        "agent-requests",
        "team-requests",
    ]
    assert [it.name for it in rates.debits(BOT, tool="search")] == ["tool-requests", "team-requests"]
    names = [it.name for it in rates.debits(BOT, "gpt", ["openai"], 10)]
    assert "tool-requests" not in names
    assert "agent-requests" not in names


def test_reordered_limits_keep_their_buckets() -> None:
    """The position of a limit in the file is not part of its key."""
    one: dict[str, object] = {"per": "agent", "requests": "1/s"}
    other: dict[str, object] = {**one, "match": {"model": "m"}}
    assert {it.key for it in limits(one, other).debits(BOT, "m")} == {
        it.key for it in limits(other, one).debits(BOT, "m")
    }
    assert len({it.key for it in limits(one, other).debits(BOT, "m")}) == 2


def test_equal_limits_are_one() -> None:
    """The same limit twice is paid once."""
    limit: dict[str, object] = {"per": "agent", "requests": "1/s"}
    assert len(limits(limit, limit).debits(BOT, "m")) == 1


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
