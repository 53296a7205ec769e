"""Fields of other dialects in a request count: output limits, thinking budgets, and other models."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calls
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal

PLACES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "at the top": lambda said: said,
    "options": lambda said: {"options": said},
    "extra_body": lambda said: {"extra_body": said},
    "deep": lambda said: {"extra_body": {"google": {"thinking_config": said}}},
}
NAMES = (
    *("maxTokens", "max_length", "min_tokens", "thinking_budget", "budget_tokens", "max_reasoning_tokens"),
    *("maxOutputTokens", "num_predict", "max_thinking_tokens", "max_tokens ", "MaxNewTokens", "reasoning_tokens"),
)


def body(**fields: Any) -> dict[str, Any]:
    """A request with these fields."""
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}


def most(request: dict[str, Any], default: int) -> int:
    """The reserved output tokens."""
    call = calls.call()
    call.request.body, call.request.ceiling = request, OPENAI_CHAT.parse(request).ceiling
    return call.most(default)


@pytest.mark.parametrize(("place", "name"), list(itertools.product(PLACES, NAMES)))
@settings(max_examples=15)
@given(own=st.none() | st.integers(1, 9000), said=st.integers(1, 9000), default=st.integers(1, 9000))
def test_the_largest_is_reserved(place: str, name: str, own: int | None, said: int, default: int) -> None:
    """With or without a limit of the dialect: never less than any field or the model's default."""
    request = body(**PLACES[place]({name: said}), **({"max_tokens": own} if own else {}))
    other = name in ("maxOutputTokens", "num_predict") and place == "at the top"  # a field of the table
    assert most(request, default) == max(said, own or (0 if other else default))


@pytest.mark.parametrize(("place", "name"), list(itertools.product(PLACES, NAMES)))
@settings(max_examples=15)
@given(said=st.integers(1, 9000), limit=st.integers(1, 9000))
def test_a_policys_limit_holds_for_it(place: str, name: str, said: int, limit: int) -> None:
    """No sent request asks for more."""
    request = body(**PLACES[place]({name: said}))
    OPENAI_CHAT.limit(request, {"max_tokens": limit})
    assert most(request, 1) <= limit


@pytest.mark.parametrize("value", [10**9, 1.5, "30"])
def test_what_is_no_count_is_refused_by_name(value: object) -> None:
    """A server may read it."""
    with pytest.raises(Refusal) as caught:
        OPENAI_CHAT.parse(body(max_tokens=5, options={"num_predict": value}))
    assert caught.value.param == "num_predict"


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tool_calls": 9000, "max_prompt_tokens": 9000, "truncate_prompt_tokens": 9000, "length_penalty": 9000},
        {"metadata": {"max_tokens": 9000}, "tools": [{"function": {"name": "f", "parameters": {"max_tokens": 9000}}}]},
        {"response_format": {"json_schema": {"schema": {"maxLength": 9000}}}},
        {"thinking": {"type": "enabled", "budget_tokens": -1}, "max_length": None, "min_tokens": "auto"},
    ],
)
def test_what_is_no_ceiling_is_none(fields: dict[str, Any]) -> None:
    """Limits of other things, schemas, data of the caller."""
    assert most(body(**fields), 7) == 7


@pytest.mark.parametrize("holder", ["at the top", "extra_body"])
@pytest.mark.parametrize("key", ["models", "fallbacks", "Fallback_Models", "deployment_id", "engine", "modelName"])
@pytest.mark.parametrize("value", ["big", ["m", "big"], [{"model": "big"}], {"model": "big"}, [{"m": ["big"]}]])
def test_another_model_is_refused(holder: str, key: str, value: object) -> None:
    """Policy, price and quota belong to one model; naming the same model twice is harmless."""
    with pytest.raises(Refusal) as caught:
        OPENAI_CHAT.parse(body(**PLACES[holder]({key: value})))
    assert (caught.value.code, caught.value.param) == ("invalid_request", key)
    for same in ("m", ["m"], [{"model": "m"}], [], None):
        OPENAI_CHAT.parse(body(**PLACES[holder]({key: same})))
