"""Several output limits in one request, limits without effect, and answers that are generated but not returned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import upstream as scripted
from gateway.amounts import NANO_USD
from gateway.call import Usage
from gateway.config import tiers
from gateway.config.limits import Quotas as Settings
from gateway.config.load import load
from gateway.config.models import Model, Price
from gateway.dialects import Codec
from gateway.dialects.anthropic_messages import ANTHROPIC_COUNT, ANTHROPIC_MESSAGES
from gateway.dialects.openai_ceilings import ANSWERS, CEILINGS
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import ConfigError, Refusal
from gateway.limits.quota import Quotas, charge
from line import config, running


def body(**fields: Any) -> dict[str, Any]:
    """A request with these fields."""
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}


FIELDS = st.dictionaries(st.sampled_from(CEILINGS), st.none() | st.integers(0, 9000), max_size=4)
COUNTS = st.dictionaries(st.sampled_from(ANSWERS), st.none() | st.integers(1, 9), max_size=2)


@given(FIELDS, COUNTS)
def test_the_largest_counts_and_one_is_sent(fields: dict[str, int | None], counts: dict[str, int | None]) -> None:
    """For each generated answer; the sent limit is the reserved limit."""
    request = body(**fields, **counts)
    most = max([value or 0 for value in fields.values()], default=0)
    times = max([value or 1 for value in counts.values()], default=1)
    assert OPENAI_CHAT.parse(request).ceiling == (most * times or None)
    OPENAI_CHAT.request(request, "m", False)
    sent = [request[key] for key in CEILINGS if request.get(key)]
    assert sent == ([most] if most else [])


@given(FIELDS, st.integers(1, 9000))
def test_a_policys_limit_holds_whatever_was_given(fields: dict[str, int | None], limit: int) -> None:
    """Exactly one output limit is sent, and it does not exceed the policy's limit."""
    request = body(**fields)
    OPENAI_CHAT.limit(request, {"max_tokens": limit})
    OPENAI_CHAT.request(request, "m", False)
    [sent] = [request[key] for key in CEILINGS if key in request]
    assert sent == min([limit, *([max(v or 0 for v in fields.values())] if any(fields.values()) else [])])


@pytest.mark.parametrize("field", [*CEILINGS, *ANSWERS])
@pytest.mark.parametrize("value", [-1, 1.5, "5", True, 10**12])
def test_absurd_values_are_refused_by_name(field: str, value: object) -> None:
    """In every field of the table."""
    with pytest.raises(Refusal) as caught:
        OPENAI_CHAT.parse(body(**{field: value}))
    assert caught.value.param == field


def test_none_is_no_ceiling() -> None:
    """`max_completion_tokens: 0` and null are sent unchanged, and the model's `max_output` is reserved."""
    for value in (0, None):
        request = body(max_completion_tokens=value)
        assert OPENAI_CHAT.parse(request).ceiling is None
        assert not OPENAI_CHAT.request(request, "m", False)


PRICE = {"input": 1, "output": 2, "cached_input": 0.5, "tiers": {"flex": {"input": 0.5}, "priority": {"output": 9}}}
TIERS = st.sampled_from(["", "auto", "default", "flex", "priority", "batch"])
TOKENS = st.integers(0, 5000)


def model(*prices: Any) -> Model:
    """A model with a target for each price."""
    return Model.model_validate({"targets": [{"target": f"p/{at}", "price": one} for at, one in enumerate(prices)]})


@given(FIELDS, COUNTS, TIERS, TIERS, TOKENS, st.lists(TOKENS, min_size=9, max_size=9), st.integers(0, 4096), st.data())
def test_a_call_reserves_what_it_can_be_charged(
    fields: dict[str, int | None],
    counts: dict[str, int | None],
    asked: str,
    served: str,
    sent: int,
    parts: list[int],
    most: int,
    data: st.DataObject,
) -> None:
    """Whatever ceilings and counts it gives, whichever tier it asks for and target serves it, however tokens are priced
    apart."""
    request = body(**fields, **counts, **({"service_tier": asked} if asked else {}))
    mine = model(PRICE, {"input": 2, "output": 1, "audio": 3, "tiers": {"priority": {"input": 3}}})
    ceiling = OPENAI_CHAT.parse(request).ceiling or most * OPENAI_CHAT.answers(request)
    tier = OPENAI_CHAT.tier(request)
    tiers.check(mine, tier)
    quotas = Quotas(Settings.model_validate({"cost_usd": 5}))
    [reserved] = [it.amount for it in quotas.debits(mine, sent, ceiling, tier) if it.unit == "cost"]
    # A provider serves what was asked for, or the default; it chooses only where nothing is asked for.
    answered = served if asked in ("", "auto") else data.draw(st.sampled_from([asked, "default", ""]))
    output = min(sum(parts[:5]), ceiling)
    usage = Usage(min(sum(parts[5:]), sent), output, parts[0], parts[1], parts[2], False, parts[3], answered)
    for price in mine.prices.values():
        assert charge(price, usage, tier) <= reserved


@pytest.mark.parametrize(
    ("asked", "served", "usd"),
    [
        *(("", "", 3), ("", "priority", 10), ("", "flex", 2.5), ("", "default", 3), ("", "odd", 3)),
        *(("priority", "", 10), ("priority", "default", 3), ("priority", "priority", 10)),
        *(("flex", "", 3), ("flex", "flex", 2.5)),
    ],
)
def test_the_answers_tier_decides_the_charge(asked: str, served: str, usd: float) -> None:
    """A million tokens in and out; without a tier in the answer, the more expensive possible price."""
    price = Price.model_validate(PRICE)
    assert charge(price, Usage(1_000_000, 1_000_000, tier=served), asked) == usd * NANO_USD


@pytest.mark.parametrize("tier", ["auto", "default", "flex", "batch", None])
def test_tiers_at_the_price_or_below(tier: str | None) -> None:
    """Pass, and are charged at the price itself."""
    asked, plain = OPENAI_CHAT.tier(body(service_tier=tier)), model({"input": 1})
    tiers.check(plain, asked)
    assert list(tiers.charged(plain.price, asked, "")) == [plain.price]


@pytest.mark.parametrize("tier", ["priority", "scale", "ultra"])
def test_tiers_that_may_cost_more_are_refused(tier: str) -> None:
    """By name, unless each target of the model has a price for them."""
    priced = {"tiers": {tier: {"input": 3}}}
    tiers.check(model(priced, priced), tier)
    for other in (model({}), model(priced, {})):
        with pytest.raises(Refusal) as caught:
            tiers.check(other, tier)
        assert caught.value.param == "service_tier"


@pytest.mark.parametrize("tier", ["", 7, ["auto"], "Priority", "a b", "x" * 40, True])
def test_what_is_no_tier_is_refused(tier: object) -> None:
    """By name."""
    with pytest.raises(Refusal) as caught:
        OPENAI_CHAT.tier(body(service_tier=tier))
    assert caught.value.param == "service_tier"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reports", [True, False])
def test_a_tier_is_charged(up: scripted.Upstream, tmp_path: Path, stream: bool, reports: bool) -> None:
    """Through the whole line: reserved at the highest price, settled at the tier of the answer, also if counted."""
    settings = config(tmp_path, up.url, quotas={"cost_usd": 5})
    settings["models"]["script"]["price"] = {"input": 1, "output": 2, "tiers": {"flex": {"input": 100, "output": 200}}}
    usage = {"usage": scripted.USAGE} if reports else {}
    whole = {**scripted.whole({"model": "script", "messages": [{"content": "tier"}]}), "service_tier": "flex", **usage}
    first = scripted.chunk({"content": "tier"}, service_tier="flex")
    last = [scripted.chunk(None, usage=scripted.USAGE)] if reports else []
    up.script["tier"] = [first, scripted.chunk({}, "stop"), *last, b"data: [DONE]\n\n"] if stream else whole
    with running(tmp_path, settings) as line:
        assert line.chat("tier", "script", stream=stream, cid="w").status_code == 200
        line.rows("select 1")
        spent = line.workflow("w").used["cost"]
    if reports:
        assert spent == (11 * 100 + 7 * 200) * 1000
    else:
        assert spent > 8 * 100 * 1000


def test_odd_tiers_in_the_file_are_named(tmp_path: Path) -> None:
    """The standard price is not a tier, and a tier has no tiers of its own."""
    for tier in ("default: {input: 1}", "flex: {tiers: {batch: {input: 1}}}", "flex: {inptu: 1}"):
        path = tmp_path / "gateway.yaml"
        path.write_text(
            "providers: {up: {format: openai, base_url: http://localhost:1}}\nmodels:\n  m:\n    targets: [up/m]\n"
            f"    price: {{input: 1, tiers: {{{tier}}}}}\n"
        )
        with pytest.raises(ConfigError, match="5") as caught:
            load(path)
        assert "tiers" in str(caught.value)


BIG = 99_999
CALLED: dict[str, dict[str, Any]] = {
    **{
        name: {name: BIG}
        for name in (
            *("max-tokens", "maxTokens", "max_total_tokens", "max_gen_toks", "max_output", "max_answer_tokens"),
            *("maximum_tokens", "token_limit", "response_tokens", "output_tokens", "max_generated_tokens"),
            *("max_generation_tokens", "max_decode_tokens", "max_tokens_out", "max_tokens_per_turn", "max_new_toks"),
            *("tokens", "thinking_budget", "thinkingBudget", "thinking_tokens", "max_reasoning_tokens", "max_length"),
            *("min_tokens", "tokens_to_generate", "nTokensPredict", "max_response_length", "max_resp_len", "maxtokens"),
            *("response_length", "generation_length", "max_sequence_length", "max_seq_len", "ntokens", "maxnewtokens"),
        )
    },
    "thinking.budget": {"thinking": {"budget": BIG}},
    "thinking.tokens": {"thinking": {"type": "enabled", "tokens": BIG}},
    "reasoning.budget": {"reasoning": {"effort": "high", "budget": BIG}},
    "budget.tokens": {"budget": {"tokens": BIG}},
    "limits.output": {"limits": {"output": BIG}},
    "in a list": {"config": [{"x": 1}, {"max_tokens": BIG}]},
    "deep": {"a": {"b": {"c": [{"d": {"e": {"max_tokens": BIG}}}]}}},
    "wrapped": {"extra_body": {"extra_body": {"max_tokens": BIG}}},
    "without end": {"options": {"num_predict": -1}},
    "of another dialect": {"generationConfig": {"maxOutputTokens": BIG}},
    "inferenceConfig": {"inferenceConfig": {"maxTokens": BIG}},
}
CODECS = pytest.mark.parametrize("codec", [OPENAI_CHAT, ANTHROPIC_MESSAGES], ids=lambda codec: codec.name)


@CODECS
@pytest.mark.parametrize("how", CALLED)
def test_what_is_called_as_a_ceiling_is_one(codec: Codec, how: str) -> None:
    """In any dialect, under any name, in any object: reserved, and lowered to a policy's limit."""
    request = body(max_tokens=10, **json.loads(json.dumps(CALLED[how])))
    if "without end" not in how:
        assert codec.parse(request).ceiling == BIG
        assert codec.elsewhere(request) in (0, BIG)
    assert codec.limit(request, {"max_tokens": 50})
    said = json.dumps(request)
    assert str(BIG) not in said
    assert "-1" not in said
    assert request["max_tokens"] == 10 or codec is OPENAI_CHAT


@CODECS
@pytest.mark.parametrize(
    "field",
    [
        *(
            "max_input_tokens",
            "max_prompt_tokens",
            "truncate_prompt_tokens",
            "context_length",
            "num_ctx",
            "eos_token_id",
        ),
        *("seed", "top_k", "max_retries", "timeout", "max_tool_calls", "max_context_tokens", "cached_tokens", "budget"),
        *("max_content_tokens", "pad_token_id", "eos_token_id", "length_penalty", "limit", "max_concurrency"),
    ],
)
def test_what_goes_in_is_no_ceiling(codec: Codec, field: str) -> None:
    """And neither is a token's id."""
    request = body(max_tokens=10, x={field: BIG})
    assert codec.parse(request).ceiling == 10
    assert not codec.limit(request, {"max_tokens": 50})


@CODECS
@pytest.mark.parametrize(
    "field",
    [
        *("best_of", "num_return_sequences", "candidateCount", "numChoices", "n", "num_candidates", "numCandidates"),
        *("number_of_completions", "choices_count", "completion_count", "n_samples"),
    ],
)
@pytest.mark.parametrize("where", ["top", "options", "extra", "list"])
def test_answers_count_wherever_they_are_asked_for(codec: Codec, field: str, where: str) -> None:
    """Each of several answers may use the whole ceiling."""
    asked: dict[str, Any] = {field: 5}
    fields = {
        "top": asked,
        "options": {"options": asked},
        "extra": {"extra_body": {"extra_body": asked}},
        "list": {"configs": [asked]},
    }[where]
    request = body(max_tokens=10, **fields)
    assert codec.answers(request) == 5
    assert codec.parse(request).ceiling == 50


@pytest.mark.parametrize("value", [0, 129, "x", True, None, 10**9, -3, 1.5])
def test_what_is_no_count_elsewhere_is_no_fault(value: object) -> None:
    """A field of some other thing may be called `n`."""
    assert OPENAI_CHAT.answers(body(x={"n": value})) == 1


def test_messages_of_a_limit_keep_thinking_below_it() -> None:
    """A budget of thinking has to be smaller than `max_tokens`; counting tokens generates none."""
    request = body(max_tokens=9000, thinking={"type": "enabled", "budget_tokens": 8000})
    assert ANTHROPIC_MESSAGES.limit(request, {"max_tokens": 2000})
    assert (request["max_tokens"], request["thinking"]["budget_tokens"]) == (2000, 1999)
    assert ANTHROPIC_COUNT.parse(body(thinking={"type": "enabled", "budget_tokens": 8000}, n=3)).ceiling is None
    assert not ANTHROPIC_COUNT.limit(body(max_tokens=9000), {"max_tokens": 2000})


@CODECS
@pytest.mark.parametrize("name", ["max_new_tokens", "num_predict", "thinking_budget"])
@pytest.mark.parametrize("own", [10, 9000])
def test_a_number_below_0_is_no_limit(codec: Codec, name: str, own: int) -> None:
    """Beside a limit of the dialect, too: the model's `max_output` is reserved, or the limit if that is larger."""
    request = body(max_tokens=own, options={name: -1})
    assert codec.parse(request).ceiling is None
    assert max(4096, codec.elsewhere(request)) == max(4096, own)


@CODECS
@pytest.mark.parametrize("value", ["5e4", "50_000", "50000.0", " 50000 ", "-1", "inf", "1e400"])
def test_a_ceiling_in_a_string_is_refused(codec: Codec, value: str) -> None:
    """Servers convert strings to numbers in different ways."""
    with pytest.raises(Refusal) as caught:
        codec.parse(body(max_tokens=10, options={"max_new_tokens": value}))
    assert caught.value.param == "max_new_tokens"
    assert codec.parse(body(max_tokens=10, options={"token": "abc", "token_type": "bearer"})).ceiling == 10
    assert codec.answers(body(max_tokens=10, x={"num_results": 9, "samples": 9, "count": 9})) == 1
