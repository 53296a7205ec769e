"""What the bytes of an answer show before it is searched: null in lists."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import nulls

WORDS = st.sampled_from(["a", "null", '": null', '":null', '"error": null', '"error"', "error", "object", "type", ""])
VALUES = st.recursive(
    st.none() | WORDS | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(WORDS, VALUES, max_size=4)
written = st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 1}])


def has_null(value: Any) -> bool:
    """Whether a list in a value holds null."""
    if isinstance(value, list):
        return None in value or any(map(has_null, value))
    return isinstance(value, dict) and any(map(has_null, value.values()))


@given(body=BODIES, form=written)
def test_null_in_a_list(body: Any, form: dict[str, Any]) -> None:
    """Is never overlooked."""
    if has_null(body):
        assert nulls.may_hold(json.dumps(body, **form).encode())


def test_null_under_a_key() -> None:
    """Is none in a list."""
    assert not nulls.may_hold(b'{"error": null, "user":null, "text": "a, b"}')
