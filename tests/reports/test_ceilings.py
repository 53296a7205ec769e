"""Several ceilings in one request, ceilings that say nothing, and answers that are generated and not returned."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.formats.openai_ceilings import ANSWERS, CEILINGS
from gateway.formats.openai_chat import OPENAI_CHAT


def body(**fields: Any) -> dict[str, Any]:
    """A request with these fields."""
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}


FIELDS = st.dictionaries(st.sampled_from(CEILINGS), st.none() | st.integers(0, 9000), max_size=4)
COUNTS = st.dictionaries(st.sampled_from(ANSWERS), st.none() | st.integers(1, 9), max_size=2)


@given(FIELDS, COUNTS)
def test_the_largest_counts_and_one_is_sent(fields: dict[str, int | None], counts: dict[str, int | None]) -> None:
    """For each answer that is generated; what leaves says what was reserved."""
    request = body(**fields, **counts)
    most = max([value or 0 for value in fields.values()], default=0)
    times = max([value or 1 for value in counts.values()], default=1)
    assert OPENAI_CHAT.parse(request).ceiling == (most * times or None)
    OPENAI_CHAT.request(request, "m", False)
    sent = [request[key] for key in CEILINGS if request.get(key)]
    assert sent == ([most] if most else [])


@given(FIELDS, st.integers(1, 9000))
def test_a_policys_limit_holds_whatever_was_given(fields: dict[str, int | None], limit: int) -> None:
    """Exactly one ceiling leaves, and it is no higher than the limit."""
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
    """`max_completion_tokens: 0` and null are sent as they came, and the model's own ceiling is reserved."""
    for value in (0, None):
        request = body(max_completion_tokens=value)
        assert OPENAI_CHAT.parse(request).ceiling is None
        assert not OPENAI_CHAT.request(request, "m", False)


@pytest.mark.parametrize(("tier", "taken"), [("auto", True), ("default", True), ("flex", True), (None, True)])
def test_tiers_at_the_price_or_below(tier: str | None, taken: bool) -> None:
    """Pass."""
    OPENAI_CHAT.parse(body(service_tier=tier))


@pytest.mark.parametrize("tier", ["priority", "scale", "", 7, ["auto"]])
def test_tiers_that_cost_more_are_refused(tier: object) -> None:
    """By name: nobody could reserve what they cost."""
    with pytest.raises(Refusal) as caught:
        OPENAI_CHAT.parse(body(service_tier=tier))
    assert caught.value.param == "service_tier"
