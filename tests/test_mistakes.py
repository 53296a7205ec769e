"""What callers and operators read about mistakes in bodies: the gateway's own words, no value, no name of theirs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from gateway.agents.offers import Registration
from gateway.control.mistakes import described
from gateway.serving.delegate import Wanted

FOREIGN = re.compile(r"Input|should|validat|tuple|dictionary|instance|string|integer|parse|extra|None|pattern", re.I)
NAME = "must be 1 to 64 letters, digits and _.-, the first a letter or digit"


def mistakes(model: type[BaseModel], body: Any) -> str:
    """What is said of a body; "" if it is right."""
    try:
        model.model_validate(body)
    except ValidationError as error:
        return described(error.errors())
    return ""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "agent: is required"),
        ({"agent": "a b"}, f"agent: {NAME}"),
        ({"agent": "a\n"}, f"agent: {NAME}"),
        ({"agent": 5}, "agent: must be text"),
        ({"agent": "a", "roles": "x"}, "roles: must be a list"),
        ({"agent": "a", "roles": [""]}, "roles.0: must have 1 or more characters"),
        ({"agent": "a", "models": ["x" * 200]}, "models.0: may have at most 128 characters"),
        ({"agent": "a", "models": ["x"] * 200}, "models: may have at most 100 entries"),
        ({"agent": "a", "budget": {"tokens": "5"}}, "budget.tokens: must be a whole number"),
        ({"agent": "a", "budget": {"tokens": 0}}, "budget.tokens: must be at least 1"),
        ({"agent": "a", "budget": {"calls": 1.5}}, "budget.calls: must be a whole number"),
        ({"agent": "a", "budget": {"cost_usd": -1}}, "budget.cost_usd: must be greater than 0"),
        ({"agent": "a", "budget": 7}, "budget: must be an object"),
        ({"agent": "a", "ttl": "x"}, "ttl: must be a number"),
        ({"agent": "a", "ttl": 10**9}, "ttl: may be at most 31536000"),
        ({"agent": "a", "tool": []}, "tool: is not a known field"),
        ({"agent": "a", "4111111111111111": []}, "a name: is not a known field"),
        ({"agent": "a", "budget": {"ann.lee@example.org": 1}}, "budget.a name: is not a known field"),
        ({"roles": 1, "ttl": 0}, "agent: is required; roles: must be a list; ttl: must be greater than 0"),
    ],
)
def test_bodies_of_delegations(body: Any, said: str) -> None:
    """Each mistake with its field and what is right."""
    assert mistakes(Wanted, body) == said


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({*Wanted.model_fields, *Registration.model_fields, "tokens", "name", "cost_usd", "seconds", "a2a"})


@pytest.mark.parametrize("model", [Wanted, Registration])
@given(
    body=st.dictionaries(
        st.sampled_from(FIELDS),
        VALUES | st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3) | st.lists(VALUES, max_size=2),
    )
)
def test_no_words_of_the_library(model: type[BaseModel], body: Any) -> None:
    """For any body."""
    assert FOREIGN.search(mistakes(model, body)) is None
